//! Problems that are found before a run starts: `paydeploy` names the location and the fix, exits with the matching
//! code, changes nothing and prints no secret. A stopped container engine and an unreachable registry need a partly
//! deployed region, and are not tested yet.

mod account;
mod checkout;
mod confirmation;
mod run;

use crate::{
    checkout::Checkout,
    support::{PREFLIGHT, assert_contains},
};

/// Every command that reads the account.
const COMMANDS: [&[&str]; 5] = [&["up"], &["plan"], &["status"], &["phase", "terraform"], &["down", "--yes"]];

#[test]
fn changes_of_a_run_that_starts_are_recorded() {
    let checkout = Checkout::new();
    checkout.rename_project("started");
    let up = checkout.command(env!("CARGO_BIN_EXE_paydeploy")).arg("up").output().unwrap();
    assert_eq!(up.status.code(), Some(1), "the terraform of these tests only prints its version");
    assert!(
        checkout.changes().iter().any(|change| change.contains("CreateBucket")),
        "{:?}",
        checkout.changes()
    );
    assert_contains(&checkout.ran(), &["stacks/foundation init"]);
}
