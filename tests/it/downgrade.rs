//! An older checkout does not replace what a newer one has deployed, unless that is meant.

use std::process::Command;

use crate::{checkout::Checkout, secrets::Secrets, world::ends_with};

fn phase(checkout: &Checkout) -> Command {
    let mut phase = checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
    phase.args(["phase", "secrets", "--region", "spain"]);
    phase
}

fn commit(checkout: &Checkout, name: &str) -> String {
    checkout.git(&["rev-parse", "--short=12", name]).trim().to_owned()
}

#[tokio::test]
async fn going_back_behind_what_is_deployed_is_refused_without_permission() {
    let checkout = Checkout::new();
    checkout.rename_project("downgrade");
    let _secrets = Secrets::of("downgrade").await;
    ends_with(0, &mut phase(&checkout));
    checkout.write("note", "newer");
    checkout.commit("a newer commit");
    checkout.push();
    ends_with(0, &mut phase(&checkout));

    let (newer, older) = (commit(&checkout, "main"), commit(&checkout, "main~1"));
    checkout.git(&["checkout", "--quiet", "--detach", "main~1"]);
    let changes = checkout.lasting_changes();
    let refused = ends_with(6, &mut phase(&checkout));
    let why = format!("region `spain` has commit {newer}, which {older} does not contain");
    assert!(refused.contains(&why) && refused.contains("add `--allow-downgrade`"), "{refused}");
    assert_eq!(checkout.lasting_changes(), changes, "nothing was changed");
    ends_with(0, phase(&checkout).arg("--allow-downgrade"));
    ends_with(0, &mut phase(&checkout));

    // A CI job's clone knows only the last commit, and asks the repository for the rest of the history.
    checkout.git(&["checkout", "--quiet", "main"]);
    checkout.write(".git/shallow", &checkout.git(&["rev-parse", "main"]));
    assert!(checkout.git(&["log", "--format=%H"]).lines().count() == 1, "the clone is shallow");
    ends_with(0, &mut phase(&checkout));

    checkout.edit("paydeploy.toml", "version = \"9.1.0\"", "version = \"8.6.0\"");
    checkout.commit("an older add-on");
    checkout.push();
    let refused = ends_with(6, &mut phase(&checkout));
    assert!(
        refused.contains("region `spain` has add-on `argo-cd` 9.1.0, and paydeploy.toml has 8.6.0"),
        "{refused}"
    );
}
