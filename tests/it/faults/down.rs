//! The calls by which `down` itself deletes what no stack manages, and rescues the key of a snapshot that remains.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_ec2::types::ResourceType;
use aws_sdk_elasticloadbalancingv2::types::{LoadBalancerTypeEnum, ProtocolEnum, TargetTypeEnum};
use aws_sdk_kms::types::KeyState;
use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType};

use super::{ALL, REGION, World, at_each, tagged};
use crate::account::{OURS, account};

const UP: [&str; 4] = ["phase", "terraform", "--region", "spain"];
const DOWN: [&str; 2] = ["down", "--yes"];

/// A region whose `up` got as far as the state's bucket and key. What an earlier cluster and database left behind is
/// created by others, as controllers and AWS do.
struct Region {
    world: World,
    sdk: aws_config::SdkConfig,
    /// The name of its cluster and of its database.
    name: String,
    /// The network in which the load balancers are. A stack would delete the region's own.
    vpc: String,
    subnet: String,
    zone: String,
    /// Encrypts a snapshot of the database.
    key: String,
}

impl Region {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let project = format!("down-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let world = World::of_one_region(&project);
        let output = world.run(&UP);
        assert!(output.contains("✓ terraform/spain/state"), "{output}");
        let name = format!("{project}-spain");
        let runtime = &world.runtime;
        let sdk = runtime.block_on(account().sdk(&account().user(&format!("{project}-team"), OURS), REGION));
        let (vpc, subnet) = runtime.block_on(network(&sdk));
        let zone = runtime.block_on(zone(&sdk));
        let key = runtime.block_on(key_of_a_snapshot(&sdk, &name));
        Self { world, sdk, name, vpc, subnet, zone, key }
    }

    /// Creates what `down` has to delete, and schedules the deletion of the key that it has to keep.
    async fn leave_behind(&self) {
        let Self { sdk, name, vpc, .. } = self;
        let ec2 = aws_sdk_ec2::Client::new(sdk);
        let group =
            ec2.create_security_group().group_name(name).description("of a load balancer").vpc_id(vpc);
        let ours = tagged(ResourceType::SecurityGroup, &[("elbv2.k8s.aws/cluster", name)]);
        group.tag_specifications(ours).send().await.unwrap();
        let volume = ec2.create_volume().availability_zone(format!("{REGION}a")).size(1);
        let ours = tagged(ResourceType::Volume, &[(&format!("kubernetes.io/cluster/{name}"), "owned")]);
        volume.tag_specifications(ours).send().await.unwrap();

        let elb = aws_sdk_elasticloadbalancingv2::Client::new(sdk);
        let ours = aws_sdk_elasticloadbalancingv2::types::Tag::builder();
        let ours = ours.key("elbv2.k8s.aws/cluster").value(name).build();
        let balancer = elb.create_load_balancer().name(name).subnets(&self.subnet).tags(ours.clone());
        balancer.r#type(LoadBalancerTypeEnum::Network).send().await.unwrap();
        let targets = elb.create_target_group().name(name).vpc_id(vpc).tags(ours).port(443);
        targets.protocol(ProtocolEnum::Tcp).target_type(TargetTypeEnum::Ip).send().await.unwrap();

        let logs = aws_sdk_cloudwatchlogs::Client::new(sdk);
        logs.create_log_group().log_group_name(format!("/aws/eks/{name}/cluster")).send().await.unwrap();
        self.add_records().await;
        let kms = aws_sdk_kms::Client::new(sdk);
        kms.schedule_key_deletion().key_id(&self.key).pending_window_in_days(7).send().await.unwrap();
    }

    /// A record, and the mark by which external-dns knows it as its own.
    async fn add_records(&self) {
        let host = format!("{}.payments.example", self.world.project);
        let mark = format!("\"heritage=external-dns,external-dns/owner={}\"", self.name);
        let create = |kind: RrType, name: String, value: &str| {
            let value = ResourceRecord::builder().value(value).build().unwrap();
            let record = ResourceRecordSet::builder().name(name).r#type(kind).ttl(60).resource_records(value);
            let change = Change::builder().action(ChangeAction::Create);
            change.resource_record_set(record.build().unwrap()).build().unwrap()
        };
        let batch = ChangeBatch::builder()
            .changes(create(RrType::A, host.clone(), "192.0.2.1"))
            .changes(create(RrType::Txt, format!("a-{host}"), &mark));
        let change = aws_sdk_route53::Client::new(&self.sdk).change_resource_record_sets();
        let change = change.hosted_zone_id(&self.zone).change_batch(batch.build().unwrap());
        change.send().await.unwrap();
    }

    /// What exists of what was left behind, by the region's name.
    async fn remaining(&self) -> Vec<String> {
        let Self { sdk, name, .. } = self;
        let ec2 = aws_sdk_ec2::Client::new(sdk);
        let of_cluster = aws_sdk_ec2::types::Filter::builder().name("tag-key");
        let of_cluster = of_cluster.values(format!("kubernetes.io/cluster/{name}")).build();
        let volumes = ec2.describe_volumes().filters(of_cluster).send().await.unwrap().volumes.unwrap();
        let mut all: Vec<String> = volumes.into_iter().filter_map(|one| one.volume_id).collect();
        let groups = ec2.describe_security_groups().send().await.unwrap().security_groups.unwrap();
        all.extend(groups.into_iter().filter_map(|one| one.group_name));
        let elb = aws_sdk_elasticloadbalancingv2::Client::new(sdk);
        let balancers = elb.describe_load_balancers().send().await.unwrap().load_balancers.unwrap();
        all.extend(balancers.into_iter().filter_map(|one| one.load_balancer_arn));
        let targets = elb.describe_target_groups().send().await.unwrap().target_groups.unwrap();
        all.extend(targets.into_iter().filter_map(|one| one.target_group_arn));
        let logs = aws_sdk_cloudwatchlogs::Client::new(sdk);
        let groups = logs.describe_log_groups().send().await.unwrap().log_groups.unwrap();
        all.extend(groups.into_iter().filter_map(|one| one.log_group_name));
        let route53 = aws_sdk_route53::Client::new(sdk);
        let records = route53.list_resource_record_sets().hosted_zone_id(&self.zone).send().await.unwrap();
        all.extend(records.resource_record_sets.into_iter().map(|one| one.name));
        all.retain(|one| one.starts_with("vol-") || one.contains(name) || one.contains(&self.world.project));
        all
    }

    async fn state_of_key(&self) -> KeyState {
        let described = aws_sdk_kms::Client::new(&self.sdk).describe_key().key_id(&self.key).send().await;
        described.unwrap().key_metadata.unwrap().key_state.unwrap()
    }
}

/// The account's default network and one of its subnets: another one would count against the quota that all tests share.
async fn network(sdk: &aws_config::SdkConfig) -> (String, String) {
    let default = aws_sdk_ec2::types::Filter::builder().name("default-for-az").values("true").build();
    let found = aws_sdk_ec2::Client::new(sdk).describe_subnets().filters(default).send().await.unwrap();
    let subnet = found.subnets.unwrap().swap_remove(0);
    (subnet.vpc_id.unwrap(), subnet.subnet_id.unwrap())
}

async fn zone(sdk: &aws_config::SdkConfig) -> String {
    let zones = aws_sdk_route53::Client::new(sdk).list_hosted_zones().send().await.unwrap().hosted_zones;
    zones.into_iter().find(|zone| zone.name == "payments.example.").unwrap().id
}

/// A database that was deleted with its key, but not its snapshot.
async fn key_of_a_snapshot(sdk: &aws_config::SdkConfig, name: &str) -> String {
    let tag = |key: &str, value: &str| {
        aws_sdk_kms::types::Tag::builder().tag_key(key).tag_value(value).build().unwrap()
    };
    let project = name.strip_suffix("-spain").unwrap();
    let key = aws_sdk_kms::Client::new(sdk).create_key();
    let key = key.tags(tag("Project", project)).tags(tag("Region", "spain")).send().await.unwrap();
    let key = key.key_metadata.unwrap();
    let rds = aws_sdk_rds::Client::new(sdk);
    let create = rds.create_db_instance().db_instance_identifier(name).engine("postgres");
    let create = create.db_instance_class("db.t4g.micro").allocated_storage(20).master_username("postgres");
    let create = create.manage_master_user_password(true).storage_encrypted(true).set_kms_key_id(key.arn);
    create.send().await.unwrap();
    let snapshot = rds.create_db_snapshot().db_instance_identifier(name);
    snapshot.db_snapshot_identifier(format!("{name}-final")).send().await.unwrap();
    let delete = rds.delete_db_instance().db_instance_identifier(name).skip_final_snapshot(true);
    delete.delete_automated_backups(true).send().await.unwrap();
    key.key_id
}

#[test]
fn whatever_call_of_a_teardown_fails_the_next_one_deletes_the_rest_and_keeps_the_key_of_a_snapshot() {
    let region = Region::new();
    region.world.runtime.block_on(region.leave_behind());
    let mut calls = region.world.calls_of(|| drop(region.world.run(&DOWN)));
    // Records and locks meet their faults in `state.rs`.
    calls.retain(|call| call.service != "s3");
    let actions: Vec<&str> = calls.iter().map(|call| call.action.as_str()).collect();
    let expected = [
        "ChangeResourceRecordSets",
        "DeleteLoadBalancer",
        "DeleteTargetGroup",
        "DeleteSecurityGroup",
        "DeleteLogGroup",
        "DeleteVolume",
        "CancelKeyDeletion",
        "EnableKey",
    ];
    assert_eq!(actions, expected);

    at_each(&calls, ALL, Region::new, |region, fault| {
        let world = &region.world;
        world.runtime.block_on(region.leave_behind());
        let first = world.run_with(fault, &DOWN);
        let second = world.run(&DOWN);
        let met = format!("{}:\n{first}\nthen:\n{second}", fault.name);
        let is_deleted = |output: &str| output.contains("the history of the Terraform state");
        assert!(is_deleted(&second) && !second.contains("left behind"), "{met}");
        assert!(!fault.is_survived() || is_deleted(&first), "{met}");
        let remaining = world.runtime.block_on(region.remaining());
        assert!(remaining.is_empty(), "{remaining:?} remain: {met}");
        assert_eq!(world.runtime.block_on(region.state_of_key()), KeyState::Enabled, "{met}");
    });
}

#[test]
fn a_key_that_a_person_has_disabled_stays_disabled_and_is_named() {
    let region = Region::new();
    region.world.runtime.block_on(async {
        aws_sdk_kms::Client::new(&region.sdk).disable_key().key_id(&region.key).send().await.unwrap();
    });
    let output = region.world.run(&DOWN);
    assert!(output.contains("is disabled, so snapshot"), "{output}");
    assert!(output.contains(&format!("aws kms enable-key --region {REGION} --key-id")), "{output}");
    assert_eq!(region.world.runtime.block_on(region.state_of_key()), KeyState::Disabled);
}
