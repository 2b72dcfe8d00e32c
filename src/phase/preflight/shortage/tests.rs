//! One need that the offer meets, and what is reported for each part of the offer that is missing.

use std::collections::BTreeMap;

use super::{Place, compare};
use crate::{
    aws::{
        offers::{Feature, InstanceType, Orderable, Support, Zone},
        quotas::{Quota, Used},
    },
    phase::preflight::{
        need::{Cluster, Database, Need, Nodes, Zones},
        offer::Offer,
    },
};

fn text(text: &str) -> String {
    text.to_owned()
}

const STS: &str = "com.amazonaws.us-east-1.sts";
const ENDPOINTS: [&str; 2] = ["com.amazonaws.us-east-1.ecr.api", STS];

fn need() -> Need {
    let nodes = |variable: &str, peak| Nodes {
        variable: text(variable),
        types: vec![text("t3.medium")],
        architecture: "x86_64",
        peak,
    };
    Need {
        zones: Some(Zones { count: 3, excluded: vec![text("use1-az3")] }),
        addresses: 3,
        vpcs: 1,
        endpoints: ENDPOINTS.map(text).into(),
        nodes: vec![nodes("system_nodes", 9), nodes("application_nodes", 12)],
        cluster: Some(Cluster {
            version: text("1.35"),
            support_type: None,
            addons: vec![(text("coredns"), text("v2"))],
        }),
        database: Some(Database {
            class: text("db.t4g.micro"),
            version: text("17"),
            multi_az: true,
            features: vec![Feature::EnhancedMonitoring, Feature::PerformanceInsights],
        }),
    }
}

fn support(standard: &str) -> Support {
    Support {
        standard: Some(standard.parse().unwrap()),
        extended: Some("2030-01-01T00:00:00Z".parse().unwrap()),
    }
}

fn offer() -> Offer {
    // By name, the zone without EKS comes first.
    let zones =
        [("a", "use1-az3"), ("b", "use1-az1"), ("c", "use1-az2"), ("d", "use1-az4"), ("e", "use1-az5")];
    let ids = ["use1-az1", "use1-az2", "use1-az4"].map(text);
    let kind = InstanceType { vcpus: 2, architectures: vec![text("x86_64")], zones: ids.into() };
    Offer {
        zones: Some(zones.map(|(name, id)| Zone { name: text(name), id: text(id) }).into()),
        limits: vec![(Quota::Addresses, 5), (Quota::Vpcs, 5), (Quota::Vcpus, 64)],
        addresses: Some(Used { all: 2, ours: 0 }),
        vpcs: Some(Used { all: 4, ours: 0 }),
        endpoints: Some(ENDPOINTS.map(|one| (text(one), ["b", "c", "d"].map(text).into())).into()),
        instances: Some([(text("t3.medium"), Used { all: 11, ours: 0 })].into()),
        types: Some([(text("t3.medium"), kind)].into()),
        kubernetes: Some(["1.34", "1.35"].map(|one| (text(one), support("2027-03-27T00:00:00Z"))).into()),
        addons: Some([(text("coredns"), vec![text("v3"), text("v2")])].into()),
        orderable: Some(vec![Orderable {
            version: text("17.6"),
            zones: ["b", "c"].map(text).into(),
            multi_az: true,
            features: vec![
                Feature::EnhancedMonitoring,
                Feature::IamAuthentication,
                Feature::PerformanceInsights,
            ],
        }]),
        postgres: Some([(text("17"), support("2030-02-28T00:00:00Z"))].into()),
        ..Offer::default()
    }
}

/// The shortages with their fixes, then the warnings with theirs.
fn found(need: &Need, offer: &Offer) -> String {
    let place = Place { region: "mexico", aws_region: "us-east-1", file: "terraform/regions/mexico.tfvars" };
    let found = compare(need, offer, place, "2026-11-29T00:00:00Z".parse().unwrap());
    let shortages =
        found.shortages.iter().map(|error| format!("{error}\n  fix: {}\n", error.hint.as_deref().unwrap()));
    let warnings = found.warnings.iter().map(|(warning, fix)| format!("warning: {warning}\n  fix: {fix}\n"));
    shortages.chain(warnings).collect()
}

/// What is reported if the offer is changed.
fn with(change: impl FnOnce(&mut Offer)) -> String {
    let mut offer = offer();
    change(&mut offer);
    found(&need(), &offer)
}

#[test]
fn an_offer_that_meets_the_need_exactly_is_no_problem() {
    assert_eq!(found(&need(), &offer()), "");
    assert_eq!(found(&Need::default(), &offer()), "");
    assert_eq!(found(&need(), &Offer::default()), "", "what could not be read is not compared");
}

#[test]
fn what_already_exists_of_this_deployment_is_not_needed_again() {
    let existing = with(|offer| {
        offer.addresses = Some(Used { all: 5, ours: 3 });
        offer.vpcs = Some(Used { all: 5, ours: 1 });
        offer.instances = Some([(text("t3.medium"), Used { all: 15, ours: 4 })].into());
        offer.kubernetes = Some(BTreeMap::new());
        offer.addons = Some(BTreeMap::new());
        offer.endpoints = Some(BTreeMap::new());
        offer.deployed.endpoints = ENDPOINTS.map(text).into();
        offer.orderable = Some(Vec::new());
        offer.deployed.cluster = Some(text("1.35"));
        offer.deployed.addons = [(text("coredns"), text("v2"))].into();
        offer.deployed.database = Some((text("db.t4g.micro"), text("17")));
    });
    assert_eq!(existing, "");
}

#[test]
fn all_shortages_of_a_region_are_listed_together() {
    let all = with(|offer| {
        offer.addresses = Some(Used { all: 4, ours: 1 });
        offer.vpcs = Some(Used { all: 5, ours: 0 });
        offer.limits[2].1 = 5;
        offer.types.as_mut().unwrap().get_mut("t3.medium").unwrap().zones.clear();
        offer.kubernetes = Some([(text("1.36"), Support::default())].into());
        offer.orderable = Some(Vec::new());
    });
    insta::assert_snapshot!(all);
}

#[test]
fn endpoints_that_a_region_or_a_zone_does_not_offer_are_left_out_together() {
    let fix = "  fix: set `interface_endpoints = []` in `terraform/regions/mexico.tfvars`, so that";
    let lacking = with(|offer| {
        let offered = offer.endpoints.as_mut().unwrap();
        offered.remove(STS);
        for zones in offered.values_mut() {
            zones.remove("d");
        }
    });
    let expected = format!(
        "region `mexico`: a VPC endpoint for `ecr.api` is not offered in use1-az4 (d)\n{fix} `ecr.api` is reached through \
         NAT\nregion `mexico`: a VPC endpoint for `sts` is not offered in `us-east-1`\n{fix} `sts` is reached through NAT\n"
    );
    assert_eq!(lacking, expected);
}

#[test]
fn a_single_nat_gateway_cannot_be_saved() {
    let mut need = need();
    need.addresses = 1;
    let mut offer = offer();
    offer.addresses = Some(Used { all: 5, ours: 0 });
    let found = found(&need, &offer);
    assert!(found.contains("--desired-value 6") && !found.contains("single_nat_gateway"), "{found}");
}

#[test]
fn a_zone_that_lacks_the_instance_type_is_named_by_its_id() {
    let found = with(|offer| {
        let kind = offer.types.as_mut().unwrap().get_mut("t3.medium").unwrap();
        kind.zones.remove("use1-az2");
        // Not among the three zones that the network spans.
        kind.zones.remove("use1-az5");
    });
    insta::assert_snapshot!(found);
}

#[test]
fn a_zone_without_eks_is_excluded_by_its_id_whatever_its_name() {
    let found = with(|offer| offer.zones.as_mut().unwrap().truncate(3));
    insta::assert_snapshot!(found);
}

#[test]
fn an_instance_type_of_another_architecture_is_reported() {
    let found = with(|offer| {
        let kind = offer.types.as_mut().unwrap().get_mut("t3.medium").unwrap();
        kind.architectures = vec![text("arm64")];
    });
    assert!(found.contains("not every type of `t3.medium` (`system_nodes`) is an x86_64 type"), "{found}");
}

#[test]
fn an_add_on_version_that_is_not_offered_is_reported_with_the_default() {
    let found = with(|offer| offer.addons = Some([(text("coredns"), vec![text("v3")])].into()));
    insta::assert_snapshot!(found);
}

#[test]
fn a_database_class_must_fit_version_zones_and_features() {
    let option = |change: fn(&mut Orderable)| with(|offer| change(&mut offer.orderable.as_mut().unwrap()[0]));
    let all = [
        option(|option| option.version = text("16.10")),
        option(|option| option.features.retain(|one| *one != Feature::EnhancedMonitoring)),
        option(|option| option.features.retain(|one| *one != Feature::PerformanceInsights)),
        option(|option| option.zones = [text("b"), text("e")].into()),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_cluster_that_runs_a_newer_version_than_configured_is_reported_before_terraform_tries_to_downgrade_it() {
    let newer = with(|offer| offer.deployed.cluster = Some(text("1.36")));
    assert!(newer.contains("runs Kubernetes 1.36, but 1.35 is configured"), "{newer}");
    assert!(
        newer.contains("`kubernetes_version` in `terraform/regions/mexico.tfvars` to \"1.36\""),
        "{newer}"
    );
    assert_eq!(with(|offer| offer.deployed.cluster = Some(text("1.9"))), "", "an upgrade");
}

#[test]
fn the_end_of_standard_support_is_a_warning_two_months_before_unless_extended_support_is_accepted() {
    let soon = |support_type: Option<&str>, end: &str| {
        let (mut need, mut offer) = (need(), offer());
        need.cluster.as_mut().unwrap().support_type = support_type.map(text);
        offer.kubernetes = Some([(text("1.35"), support(end))].into());
        found(&need, &offer)
    };
    let warning = soon(None, "2027-01-27T00:00:00Z");
    assert!(
        warning.contains("warning: region `mexico`: standard support of Kubernetes 1.35 ends on 2027-01-27")
    );
    assert_eq!(soon(None, "2027-01-29T00:00:00Z"), "");
    assert_eq!(soon(Some("EXTENDED"), "2027-01-27T00:00:00Z"), "");
}

#[test]
fn extended_support_is_a_warning_with_its_end_and_price_unless_accepted() {
    let late = |support_type: Option<&str>| {
        let (mut need, mut offer) = (need(), offer());
        need.cluster.as_mut().unwrap().support_type = support_type.map(text);
        offer.kubernetes = Some([(text("1.35"), support("2026-11-01T00:00:00Z"))].into());
        offer.postgres = Some([(text("17"), support("2026-11-02T00:00:00Z"))].into());
        found(&need, &offer)
    };
    insta::assert_snapshot!([late(None), late(Some("STANDARD"))].join("\n"));
    assert!(!late(Some("EXTENDED")).contains("Kubernetes"), "{}", late(Some("EXTENDED")));
}
