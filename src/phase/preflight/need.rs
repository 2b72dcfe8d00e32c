//! What the stacks will create in a region, as far as it depends on what AWS offers there. Pure: computed from the
//! stacks and the region's file.

use hcl::Value;

use super::{
    stack::{Resource, Stack},
    variables,
};
use crate::{
    aws::offers::Feature,
    config::{Config, Region},
    step::Result,
};

/// What a region needs. What its stacks do not say is `None` or empty, and not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Need {
    pub zones: Option<Zones>,
    /// Elastic IP addresses, one per NAT gateway.
    pub addresses: u64,
    pub vpcs: u64,
    /// Full names of services that get an interface endpoint.
    pub endpoints: Vec<String>,
    pub nodes: Vec<Nodes>,
    pub cluster: Option<Cluster>,
    pub database: Option<Database>,
}

/// The availability zones that the network spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zones {
    pub count: u64,
    /// The ids of zones that EKS does not support. A zone's name means another zone in every account.
    pub excluded: Vec<String>,
}

/// A node group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// The variable that describes it.
    pub variable: String,
    pub types: Vec<String>,
    pub architecture: &'static str,
    /// The most nodes at any time: the largest size, and the nodes that EKS adds during an update.
    pub peak: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    pub version: String,
    /// What EKS does when the version's standard support ends, if the stack decides: `STANDARD` or `EXTENDED`.
    pub support_type: Option<String>,
    /// Names and exact versions.
    pub addons: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    pub class: String,
    /// Major version of PostgreSQL.
    pub version: String,
    pub multi_az: bool,
    pub features: Vec<Feature>,
}

/// What a region's stacks will create.
pub fn of(config: &Config, region: &Region) -> Result<Need> {
    let mut given = variables::values(&region.var_file)?;
    // What paydeploy passes to the stacks and their sizes depend on.
    let own = [
        ("project", config.project.as_str()),
        ("profile", config.profile.as_str()),
        ("region_name", region.name.as_str()),
        ("aws_region", &region.aws_region),
        ("role", region.role.as_str()),
    ];
    given.extend(own.map(|(name, value)| (name.to_owned(), value.into())));
    let read = |stack: &str| Stack::read(&config.terraform.stacks.join(stack), &given);
    Ok(need(&read("foundation")?, &read("cluster")?, &read("database")?))
}

fn need(foundation: &Stack, cluster: &Stack, database: &Stack) -> Need {
    let zones = zones(foundation);
    let count = zones.as_ref().map_or(0, |zones| zones.count);
    let gateways = match foundation.local("single_nat_gateway").and_then(Value::as_bool) {
        Some(true) => 1,
        Some(false) => count,
        None => 0,
    };
    Need {
        addresses: if foundation.resources("aws_nat_gateway").is_empty() { 0 } else { gateways },
        vpcs: foundation.resources("aws_vpc").len() as u64,
        endpoints: endpoints(foundation),
        nodes: nodes(cluster, count),
        cluster: wanted_cluster(cluster),
        database: database.resources("aws_db_instance").first().and_then(wanted_database),
        zones,
    }
}

fn zones(foundation: &Stack) -> Option<Zones> {
    let count = foundation.local("zone_count")?.as_u64()?;
    let source = foundation.data("aws_availability_zones").into_iter().next()?;
    let excluded = source.value("exclude_zone_ids").as_ref().map(texts).unwrap_or_default();
    Some(Zones { count, excluded })
}

/// A gateway endpoint, which only S3 and DynamoDB have, exists in every region.
fn endpoints(foundation: &Stack) -> Vec<String> {
    let all = foundation.resources("aws_vpc_endpoint").into_iter();
    let interfaces = all.filter(|one| one.text("vpc_endpoint_type").as_deref() == Some("Interface"));
    interfaces.flat_map(|one| one.texts("service_name")).collect()
}

/// Every variable that describes nodes: an object with instance types and a largest size.
fn nodes(cluster: &Stack, zones: u64) -> Vec<Nodes> {
    let groups = cluster.resources("aws_eks_node_group");
    let Some(group) = groups.first() else { return Vec::new() };
    let arm = group.text("ami_type").is_some_and(|image| image.contains("ARM_64"));
    let unavailable =
        group.block("update_config").and_then(|update| update.value("max_unavailable")?.as_u64());
    // While EKS updates a node group, it adds twice as many nodes as the group has zones, or as many as may be
    // unavailable, if those are more:
    // https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html
    let surge = (2 * zones).max(unavailable.unwrap_or(1));
    let described = |(variable, value): (&str, &Value)| {
        let types = texts(value.as_object()?.get("instance_types")?);
        let max = value.as_object()?.get("max")?.as_u64()?;
        let architecture = if arm { "arm64" } else { "x86_64" };
        Some(Nodes { variable: variable.to_owned(), types, architecture, peak: max + surge })
    };
    cluster.variables().filter_map(described).collect()
}

fn wanted_cluster(cluster: &Stack) -> Option<Cluster> {
    let clusters = cluster.resources("aws_eks_cluster");
    let resource = clusters.first()?;
    let addons = cluster.resources("aws_eks_addon").into_iter().flat_map(|addon| addon.instances("version"));
    let addons = addons.filter_map(|(name, version)| Some((name, version.as_str()?.to_owned())));
    let support_type = resource.block("upgrade_policy").and_then(|policy| policy.text("support_type"));
    Some(Cluster { version: resource.text("version")?, support_type, addons: addons.collect() })
}

fn wanted_database(instance: &Resource) -> Option<Database> {
    let on = |name: &str| instance.value(name).is_some_and(|value| value.as_bool() == Some(true));
    let monitored = instance.value("monitoring_interval").and_then(|value| value.as_u64()).unwrap_or(0) > 0;
    let features = [
        (monitored, Feature::EnhancedMonitoring),
        (on("iam_database_authentication_enabled"), Feature::IamAuthentication),
        (on("performance_insights_enabled"), Feature::PerformanceInsights),
    ];
    Some(Database {
        class: instance.text("instance_class")?,
        version: instance.text("engine_version")?,
        multi_az: on("multi_az"),
        features: features.into_iter().filter_map(|(wanted, feature)| wanted.then_some(feature)).collect(),
    })
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::{Cluster, Database, Feature, Need, Nodes, Zones, of};
    use crate::{
        config::{Config, Profile, Region},
        step::testing,
    };

    /// The need of this repository's own stacks for a region file.
    fn need(profile: Profile, file: &str) -> Need {
        let dir = tempfile::tempdir().unwrap();
        let (cx, _events) = testing::context(dir.path());
        let mut config: Config = cx.world.config.clone();
        config.profile = profile;
        config.terraform.stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("terraform/stacks");
        let var_file = dir.path().join("spain.tfvars");
        fs::write(&var_file, file).unwrap();
        of(&config, &Region { var_file, ..testing::region() }).unwrap()
    }

    #[test]
    fn the_need_of_the_repositorys_stacks_is_found_in_their_code() {
        let need =
            need(Profile::Staging, "system_nodes = { max = 4 }\ndb_instance_class = \"db.m7g.large\"\n");
        assert_eq!((need.addresses, need.vpcs), (1, 1));
        let endpoints = ["ecr.api", "ecr.dkr", "secretsmanager", "sts"];
        assert_eq!(need.endpoints, endpoints.map(|name| format!("com.amazonaws.eu-south-2.{name}")));
        assert!(
            matches!(&need.zones, Some(Zones { count: 3, excluded }) if excluded.contains(&"use1-az3".to_owned()))
        );
        let sizes: Vec<(&str, u64)> =
            need.nodes.iter().map(|Nodes { variable, peak, .. }| (variable.as_str(), *peak)).collect();
        assert_eq!(sizes, [("system_nodes", 4 + 6), ("application_nodes", 6 + 6)]);
        assert!(
            need.nodes.iter().all(|nodes| nodes.types == ["t3.medium"] && nodes.architecture == "x86_64")
        );
        let Some(Cluster { version, support_type, addons }) = need.cluster else { panic!("no cluster") };
        assert!(version.starts_with("1."), "{version}");
        assert_eq!(support_type.as_deref(), Some("STANDARD"));
        let names: Vec<&str> = addons.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["vpc-cni", "kube-proxy", "coredns", "aws-ebs-csi-driver"]);
        let Some(Database { class, version, multi_az, features }) = need.database else {
            panic!("no database")
        };
        assert_eq!((class.as_str(), version.as_str(), multi_az), ("db.m7g.large", "17", true));
        let all = [Feature::EnhancedMonitoring, Feature::IamAuthentication, Feature::PerformanceInsights];
        assert_eq!(features, all);
    }

    #[test]
    fn production_has_a_nat_gateway_per_zone_unless_the_region_file_says_otherwise() {
        assert_eq!(need(Profile::Production, "").addresses, 3);
        assert_eq!(need(Profile::Production, "single_nat_gateway = true").addresses, 1);
        assert_eq!(need(Profile::Staging, "single_nat_gateway = false").addresses, 3);
    }

    #[test]
    fn stacks_that_say_nothing_need_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (cx, _events) = testing::context(dir.path());
        for stack in ["foundation", "cluster", "database"] {
            fs::create_dir_all(cx.world.config.terraform.stacks.join(stack)).unwrap();
        }
        let var_file = dir.path().join("spain.tfvars");
        fs::write(&var_file, "").unwrap();
        let region = Region { var_file, ..testing::region() };
        assert_eq!(of(&cx.world.config, &region).unwrap(), Need::default());
    }
}
