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
    let secrets = Secrets::of("downgrade").await;
    ends_with(0, &mut phase(&checkout));
    checkout.write("note", "newer");
    checkout.commit("a newer commit");
    checkout.push();
    secrets.delete(&secrets.deleted).await;
    ends_with(0, &mut phase(&checkout));

    let (newer, older) = (commit(&checkout, "main"), commit(&checkout, "main~1"));
    checkout.git(&["checkout", "--quiet", "--detach", "main~1"]);
    let changes = checkout.lasting_changes();
    let refused = ends_with(6, &mut phase(&checkout));
    let why = format!("region `spain` has commit {newer}, and {older} is older");
    assert!(refused.contains(&why) && refused.contains("add `--allow-downgrade`"), "{refused}");
    assert_eq!(checkout.lasting_changes(), changes, "nothing was changed");
    ends_with(0, phase(&checkout).arg("--allow-downgrade"));
    // Nothing had to be changed, so the newer commit is still the one that is deployed.
    ends_with(6, &mut phase(&checkout));

    // A CI job's clone may know only its own commit.
    checkout.write(".git/shallow", &checkout.git(&["rev-parse", "HEAD"]));
    checkout.git(&["update-ref", "-d", "refs/heads/main"]);
    checkout.git(&["reflog", "expire", "--expire=now", "--all"]);
    checkout.git(&["gc", "--quiet", "--prune=now"]);
    let refused = ends_with(6, &mut phase(&checkout));
    assert!(refused.contains(&format!("has commit {newer}, which this clone does not have")), "{refused}");
    assert!(refused.contains("fix: run `git fetch`, in a shallow clone with `--unshallow`"), "{refused}");
}

#[tokio::test]
async fn a_branch_that_does_not_contain_what_is_deployed_is_a_warning() {
    let checkout = Checkout::new();
    checkout.rename_project("diverged");
    let secrets = Secrets::of("diverged").await;
    ends_with(0, &mut phase(&checkout));
    checkout.git(&["checkout", "--quiet", "-b", "hotfix", "main~1"]);
    // The same change in the same second would be the same commit.
    checkout.write("hotfix.md", "");
    checkout.rename_project("diverged");
    checkout.git(&["push", "--quiet", "../origin.git", "hotfix"]);
    let warned = ends_with(0, &mut phase(&checkout));
    assert!(
        warned.contains("warning: region `spain` has commit ") && warned.contains(" does not contain"),
        "{warned}"
    );
    assert!(!secrets.value(&secrets.empty).await.is_empty());
}
