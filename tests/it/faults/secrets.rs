//! The calls by which the phase `secrets` restores and fills.

use super::{ALL, World, at_each};
use crate::secrets::{API_KEY, LOGIN, Secrets};

const RUN: [&str; 4] = ["phase", "secrets", "--region", "spain"];

#[test]
fn whatever_call_fails_each_secret_gets_one_value_and_keeps_it() {
    let mut world = World::new();
    world.start_over("filled");
    world.runtime.block_on(Secrets::of(&world.project));
    let mut calls = world.calls_of(|| drop(world.run(&RUN)));
    // Records and locks meet their faults in `state.rs`.
    calls.retain(|call| call.service == "secretsmanager");
    let actions: Vec<&str> = calls.iter().map(|call| call.action.as_str()).collect();
    assert_eq!(actions, ["RestoreSecret", "PutSecretValue"]);

    at_each(&calls, ALL, World::new, |world, fault| {
        world.start_over(&format!("secret-{}", fault.id));
        let secrets = world.runtime.block_on(Secrets::of(&world.project));
        let first = world.run_with(fault, &RUN);
        let second = world.run(&RUN);
        let met = format!("{}:\n{first}\nthen:\n{second}", fault.name);
        assert!(second.contains("✓ secrets/spain"), "{met}");
        assert!(!fault.is_survived() || first.contains("✓ secrets/spain"), "{met}");
        world.runtime.block_on(async {
            assert_eq!(secrets.value(&secrets.deleted).await, API_KEY, "{met}");
            assert_eq!(secrets.value(&secrets.filled).await, LOGIN, "{met}");
            for secret in [&secrets.deleted, &secrets.filled, &secrets.empty] {
                // A client may have read the first value as soon as AWS has stored it, whether or not paydeploy learned that.
                assert_eq!(secrets.versions(secret).await, 1, "{secret} got another value: {met}");
            }
        });
    });
}
