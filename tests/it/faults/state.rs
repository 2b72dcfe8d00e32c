//! The calls for the state's bucket and key, for records and for locks.

use super::{ALL, Extent, World, at_each};
use crate::account::OURS;

const RUN: [&str; 4] = ["phase", "terraform", "--region", "spain"];

/// What the project has: its keys by their description and state, and each object of its bucket.
async fn exists(world: &World) -> Vec<String> {
    use aws_sdk_resourcegroupstagging::{Client, types::TagFilter};
    let sdk = world.sdk().await;
    let ours = TagFilter::builder().key("Project").values(&world.project).build();
    let pages = Client::new(&sdk).get_resources().tag_filters(ours).resource_type_filters("kms:key");
    let keys = pages.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
    let kms = aws_sdk_kms::Client::new(&sdk);
    let mut all = Vec::new();
    for arn in keys.into_iter().filter_map(|key| key.resource_arn) {
        let key = kms.describe_key().key_id(arn).send().await.unwrap().key_metadata.unwrap();
        let (state, text) = (key.key_state.unwrap(), key.description.unwrap_or_default());
        all.push(format!("{} key: {text}", state.as_str()));
    }
    let s3 = aws_sdk_s3::Client::new(&sdk);
    let bucket = format!("{}-tfstate-{OURS}-{}", world.project, super::REGION);
    let objects = s3.list_objects_v2().bucket(bucket).send().await.unwrap();
    let keys = objects.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
    // Written by a run that deploys or changes something, which not every one of these comes to.
    let is_kept =
        |key: &String| !key.ends_with("/paydeploy/version.json") && !key.contains("/paydeploy/journals/");
    all.extend(keys.filter(is_kept));
    all
}

#[test]
fn whatever_call_fails_in_whatever_way_the_next_run_converges_and_nothing_exists_twice() {
    let mut world = World::new();
    world.start_over("faultless");
    let calls = world.calls_of(|| {
        let output = world.run(&RUN);
        assert!(output.contains("✓ terraform/spain/state"), "{output}");
    });
    assert!(calls.len() > 12, "{calls:?}");

    // How many records a run writes depends on its duration, so it may not come to the last one.
    at_each(&calls, Extent { unmet: 10, ..ALL }, World::new, |world, fault| {
        world.start_over(&fault.id);
        let first = world.run_with(fault, &RUN);
        let second = world.run(&RUN);
        let met = format!("{}:\n{first}\nthen:\n{second}", fault.name);
        assert!(second.contains("✓ terraform/spain/state"), "{met}");
        assert!(!fault.is_survived() || first.contains("✓ terraform/spain/state"), "{met}");
        let exists = world.runtime.block_on(exists(world));
        let key = format!("Enabled key: Encrypts the Terraform state of {}-spain", world.project);
        assert_eq!(exists, [key], "{met}");
    });
}
