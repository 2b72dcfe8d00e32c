//! How the resource that a plan would create is found if it exists: per type, by which of its planned attributes.

use serde_json::Value;

use crate::aws::orphans::Query;

/// The query for a planned resource; `None` if its type needs none, or if what it is found by is known only after the
/// apply of something else. Then that does not exist either, or a plan that adopts it comes first.
pub fn query(kind: &str, after: &Value) -> Option<Query> {
    let text = |key: &str| after[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let name = || after["tags"]["Name"].as_str().map(str::to_owned);
    let tagged = |prefix: &'static str| Some(Query::Tagged { prefix, name: name()? });
    match kind {
        "aws_acm_certificate" => Some(Query::Certificate { domain: text("domain_name")? }),
        "aws_cloudtrail" => Some(Query::Trail(text("name")?)),
        "aws_cloudwatch_log_group" => Some(Query::LogGroup(text("name")?)),
        "aws_db_instance" => Some(Query::Database(text("identifier")?)),
        "aws_db_parameter_group" => Some(Query::ParameterGroup { prefix: text("name_prefix")? }),
        "aws_db_proxy" => Some(Query::Proxy(text("name")?)),
        "aws_db_proxy_target" => Some(Query::ProxyTarget {
            proxy: text("db_proxy_name")?,
            // Unknown while the group's settings are planned, but a proxy has only this one.
            group: text("target_group_name").unwrap_or_else(|| "default".to_owned()),
            database: text("db_instance_identifier")?,
        }),
        "aws_db_subnet_group" => Some(Query::SubnetGroup(text("name")?)),
        "aws_ecr_repository" => Some(Query::Repository(text("name")?)),
        "aws_eip" => tagged("eipalloc-"),
        "aws_eks_access_entry" => {
            Some(Query::AccessEntry { cluster: text("cluster_name")?, principal: text("principal_arn")? })
        }
        "aws_eks_addon" => Some(Query::Addon { cluster: text("cluster_name")?, name: text("addon_name")? }),
        "aws_eks_cluster" => Some(Query::Cluster(text("name")?)),
        "aws_eks_node_group" => {
            Some(Query::NodeGroup { cluster: text("cluster_name")?, name: text("node_group_name")? })
        }
        "aws_flow_log" => tagged("fl-"),
        "aws_iam_openid_connect_provider" => Some(Query::OidcProvider { url: text("url")? }),
        "aws_iam_role" => Some(Query::Role(text("name")?)),
        "aws_internet_gateway" => tagged("igw-"),
        "aws_kms_alias" => Some(Query::Alias(text("name")?)),
        "aws_kms_key" => Some(Query::Key { name: name()? }),
        "aws_launch_template" => Some(Query::LaunchTemplate { prefix: text("name_prefix")? }),
        "aws_nat_gateway" => tagged("nat-"),
        "aws_route" => Some(Query::Route {
            table: text("route_table_id")?,
            destination: text("destination_cidr_block")?,
        }),
        "aws_route_table" => tagged("rtb-"),
        "aws_route_table_association" => {
            Some(Query::Association { subnet: text("subnet_id")?, table: text("route_table_id")? })
        }
        "aws_s3_bucket" => Some(Query::Bucket(text("bucket")?)),
        "aws_secretsmanager_secret" => Some(Query::Secret { prefix: text("name_prefix")? }),
        "aws_security_group" => tagged("sg-"),
        "aws_subnet" => tagged("subnet-"),
        "aws_vpc" => tagged("vpc-"),
        "aws_vpc_endpoint" => tagged("vpce-"),
        "aws_vpc_security_group_egress_rule" => Some(Query::Rule { egress: true, name: name()? }),
        "aws_vpc_security_group_ingress_rule" => Some(Query::Rule { egress: false, name: name()? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use serde_json::json;

    use super::*;

    #[test]
    fn a_planned_resource_is_found_by_its_name_or_its_tag() {
        let vpc = json!({ "cidr_block": "10.0.0.0/16", "tags": { "Name": "pay-spain" } });
        assert_eq!(
            query("aws_vpc", &vpc),
            Some(Query::Tagged { prefix: "vpc-", name: "pay-spain".to_owned() })
        );
        let addon = json!({ "cluster_name": "pay-spain", "addon_name": "coredns" });
        let (cluster, name) = ("pay-spain".to_owned(), "coredns".to_owned());
        assert_eq!(query("aws_eks_addon", &addon), Some(Query::Addon { cluster, name }));
        assert_eq!(
            query("aws_route", &json!({ "destination_cidr_block": "0.0.0.0/0" })),
            None,
            "its table is unknown"
        );
        assert_eq!(query("aws_iam_role_policy", &json!({ "name": "write" })), None);
    }

    /// The types of which a second apply overwrites the first one's, see the module's documentation.
    const NEED_NOTHING: [&str; 15] = [
        "aws_db_proxy_default_target_group",
        "aws_default_security_group",
        "aws_ec2_tag",
        "aws_ecr_lifecycle_policy",
        "aws_eks_access_policy_association",
        "aws_iam_role_policy",
        "aws_iam_role_policy_attachment",
        "aws_route53_record",
        "aws_s3_bucket_lifecycle_configuration",
        "aws_s3_bucket_ownership_controls",
        "aws_s3_bucket_policy",
        "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_s3_bucket_versioning",
        "terraform_data",
    ];

    fn types(folder: &Path, all: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() && !entry.ends_with(".terraform") {
                types(&entry, all);
            } else if entry.extension().is_some_and(|extension| extension == "tf") {
                let text = fs::read_to_string(&entry).unwrap();
                let resources = text.lines().filter_map(|line| line.strip_prefix("resource \""));
                all.extend(resources.filter_map(|line| Some(line.split_once('"')?.0.to_owned())));
            }
        }
    }

    #[test]
    fn every_type_of_the_stacks_is_in_the_table_or_needs_nothing() {
        let keys = [
            "name",
            "name_prefix",
            "identifier",
            "bucket",
            "url",
            "domain_name",
            "db_proxy_name",
            "target_group_name",
            "db_instance_identifier",
            "cluster_name",
            "principal_arn",
            "addon_name",
            "node_group_name",
            "route_table_id",
            "destination_cidr_block",
            "subnet_id",
        ];
        let mut after: Value = keys.iter().map(|key| ((*key).to_owned(), json!("x"))).collect();
        after["tags"] = json!({ "Name": "x" });
        let mut all = BTreeSet::new();
        types(&Path::new(env!("CARGO_MANIFEST_DIR")).join("terraform"), &mut all);
        assert!(all.len() > 40, "{all:?}");
        for kind in all {
            let is_found = query(&kind, &after).is_some();
            assert_ne!(is_found, NEED_NOTHING.contains(&kind.as_str()), "{kind}");
        }
    }
}
