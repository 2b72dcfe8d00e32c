//! The calls by which `down` empties a network before its stack deletes it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use aws_sdk_ec2::types::{Filter, ResourceType, VpcEndpointType};

use super::{ALL, Extent, REGION, World, at_each, tagged};
use crate::account::{Keys, OURS, account};

const DOWN: [&str; 2] = ["down", "--yes"];

/// Another one than that of most tests, which share a quota of networks.
const AWS_REGION: &str = "us-east-1";
const PROJECT: &str = "emptied";
/// Its cluster, which is gone.
const CLUSTER: &str = "emptied-spain";

/// A region whose network has outlived the Terraform state.
struct Network {
    world: World,
    keys: Keys,
}

impl Network {
    fn new() -> Self {
        let world = World::of_one_region(PROJECT);
        world.checkout.edit("paydeploy.toml", REGION, AWS_REGION);
        world.checkout.commit("another region");
        world.checkout.push();
        Self { world, keys: account().user("emptied-team", OURS) }
    }

    /// Deletes the network once it is empty, as its stack does. Otherwise each teardown would ask for a minute whether the
    /// network is still there.
    fn beside_its_stack(&self, run: impl FnOnce() -> String) -> String {
        let has_ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let inside = Inside::of(&self.keys).await;
                    while !has_ended.load(Ordering::Relaxed) {
                        if inside.remaining().await.is_empty() {
                            inside.delete().await;
                            return;
                        }
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                });
            });
            let output = run();
            has_ended.store(true, Ordering::Relaxed);
            output
        })
    }

    fn leave_behind(&self) {
        self.world.runtime.block_on(async { Inside::of(&self.keys).await.leave_behind().await });
    }

    fn remaining(&self) -> Vec<String> {
        self.world.runtime.block_on(async { Inside::of(&self.keys).await.remaining().await })
    }
}

/// The network, as another team sees it.
struct Inside {
    ec2: aws_sdk_ec2::Client,
}

impl Inside {
    async fn of(keys: &Keys) -> Self {
        Self { ec2: aws_sdk_ec2::Client::new(&account().sdk(keys, AWS_REGION).await) }
    }

    /// The ids of the network and its subnet, if they exist.
    async fn ids(&self) -> Option<(String, String)> {
        let of_project = || Filter::builder().name("tag:Project").values(PROJECT).build();
        let vpcs = self.ec2.describe_vpcs().filters(of_project()).send().await.unwrap().vpcs.unwrap();
        let subnets =
            self.ec2.describe_subnets().filters(of_project()).send().await.unwrap().subnets.unwrap();
        Some((vpcs.first()?.vpc_id.clone()?, subnets.first()?.subnet_id.clone()?))
    }

    async fn create(&self) -> (String, String) {
        let ours = [("Project", PROJECT), ("Region", "spain"), ("ManagedBy", "terraform")];
        let vpc = self.ec2.create_vpc().cidr_block("10.9.0.0/16");
        let vpc = vpc.tag_specifications(tagged(ResourceType::Vpc, &ours)).send().await.unwrap();
        let vpc = vpc.vpc.unwrap().vpc_id.unwrap();
        let subnet = self.ec2.create_subnet().vpc_id(&vpc).cidr_block("10.9.0.0/24");
        let subnet = subnet.tag_specifications(tagged(ResourceType::Subnet, &ours)).send().await.unwrap();
        (vpc, subnet.subnet.unwrap().subnet_id.unwrap())
    }

    async fn delete(&self) {
        let Some((vpc, subnet)) = self.ids().await else { return };
        self.ec2.delete_subnet().subnet_id(subnet).send().await.unwrap();
        self.ec2.delete_vpc().vpc_id(vpc).send().await.unwrap();
    }

    /// Creates what GuardDuty and the network plugin leave behind.
    async fn leave_behind(&self) {
        let ec2 = &self.ec2;
        let (vpc, subnet) = match self.ids().await {
            Some(ids) => ids,
            None => self.create().await,
        };
        let endpoint = ec2.create_vpc_endpoint().vpc_id(&vpc).vpc_endpoint_type(VpcEndpointType::Interface);
        let endpoint = endpoint.service_name(format!("com.amazonaws.{AWS_REGION}.guardduty-data"));
        let by_guardduty = tagged(ResourceType::VpcEndpoint, &[("GuardDutyManaged", "true")]);
        endpoint.subnet_ids(&subnet).tag_specifications(by_guardduty).send().await.unwrap();
        let interface = ec2.create_network_interface().subnet_id(subnet);
        let by_plugin =
            tagged(ResourceType::NetworkInterface, &[("cluster.k8s.amazonaws.com/name", CLUSTER)]);
        interface.tag_specifications(by_plugin).send().await.unwrap();
        let group =
            ec2.create_security_group().group_name(CLUSTER).description("of the endpoint").vpc_id(vpc);
        let by_guardduty = tagged(ResourceType::SecurityGroup, &[("GuardDutyManaged", "true")]);
        group.tag_specifications(by_guardduty).send().await.unwrap();
    }

    /// The ids of what was left behind and exists.
    async fn remaining(&self) -> Vec<String> {
        let Some((vpc, _)) = self.ids().await else { return Vec::new() };
        let ec2 = &self.ec2;
        let within = || Filter::builder().name("vpc-id").values(&vpc).build();
        let endpoints = ec2.describe_vpc_endpoints().filters(within()).send().await.unwrap();
        let endpoints = endpoints.vpc_endpoints.unwrap_or_default().into_iter();
        let exists = |state: &str| !state.to_lowercase().starts_with("delet");
        let endpoints = endpoints.filter(|one| one.state().is_none_or(|state| exists(state.as_str())));
        let mut all: Vec<String> = endpoints.filter_map(|one| one.vpc_endpoint_id).collect();
        let interfaces = ec2.describe_network_interfaces().filters(within()).send().await.unwrap();
        let interfaces = interfaces.network_interfaces.unwrap_or_default().into_iter();
        all.extend(interfaces.filter_map(|one| one.network_interface_id));
        let groups = ec2.describe_security_groups().filters(within()).send().await.unwrap();
        let groups = groups.security_groups.unwrap_or_default().into_iter();
        let groups = groups.filter(|one| one.group_name() != Some("default"));
        all.extend(groups.filter_map(|one| one.group_id));
        all
    }
}

#[test]
fn whatever_call_fails_a_network_is_emptied_by_the_next_teardown() {
    let network = Network::new();
    network.leave_behind();
    let mut calls = network.world.calls_of(|| {
        network.beside_its_stack(|| network.world.run(&DOWN));
    });
    // Records and locks meet their faults in `state.rs`.
    calls.retain(|call| call.service == "ec2");
    let actions: Vec<&str> = calls.iter().map(|call| call.action.as_str()).collect();
    assert_eq!(actions, ["DeleteVpcEndpoints", "DeleteNetworkInterface", "DeleteSecurityGroup"]);

    // One network at a time, because each counts against the quota.
    at_each(&calls, Extent { worlds: 1, ..ALL }, Network::new, |network, fault| {
        let world = &network.world;
        network.leave_behind();
        let first = network.beside_its_stack(|| world.run_with(fault, &DOWN));
        let after_first = network.remaining();
        let second = network.beside_its_stack(|| world.run(&DOWN));
        let met = format!("{}:\n{first}\nthen:\n{second}", fault.name);
        assert!(!fault.is_survived() || after_first.is_empty(), "{after_first:?} remain: {met}");
        assert!(!second.contains("left: "), "{met}");
    });
}
