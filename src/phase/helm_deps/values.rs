//! The values of add-ons that come from facts. A list here replaces the list in a values file.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fact;

/// The values for an add-on, by its name in `[addons.NAME]`; empty for add-ons that are not known.
/// `tags` are those of every resource that paydeploy causes in the region.
pub(super) fn from_facts(
    addon: &str,
    access: &fact::Access,
    network: &fact::Foundation,
    tags: &BTreeMap<&str, &str>,
) -> Value {
    let fact::Access { cluster, aws_region } = access;
    let account = |role: &str| json!({ "annotations": { "eks.amazonaws.com/role-arn": role } });
    match addon {
        "aws-load-balancer-controller" => json!({
            "clusterName": cluster.cluster_name,
            "region": aws_region,
            "vpcId": network.vpc_id,
            "defaultTags": listable(tags),
            "serviceAccount": account(&cluster.lb_controller_role_arn),
        }),
        "external-secrets" => json!({
            "serviceAccount": account(&cluster.external_secrets_role_arn),
        }),
        "external-dns" => json!({
            // The owner in the TXT registry: external-dns does not touch the records of other clusters.
            "txtOwnerId": cluster.cluster_name,
            "domainFilters": [network.hosted_zone_name.trim_end_matches('.')],
            "env": [{ "name": "AWS_DEFAULT_REGION", "value": aws_region }],
            "serviceAccount": account(&cluster.external_dns_role_arn),
        }),
        _ => json!({}),
    }
}

/// The tags that fit into a list `k=v,k=v`, which the controller gets as an argument.
fn listable<'a>(tags: &BTreeMap<&'a str, &'a str>) -> BTreeMap<&'a str, &'a str> {
    tags.iter().filter(|(_, value)| !value.contains([',', '='])).map(|(key, value)| (*key, *value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([("Project", "payments"), ("Exception", "approved by A, B")])
    }

    fn facts() -> (fact::Access, fact::Foundation) {
        let text = |text: &str| text.to_owned();
        let cluster = fact::Cluster {
            cluster_name: text("payments-spain"),
            cluster_endpoint: text("https://x"),
            cluster_ca: String::new(),
            external_secrets_role_arn: text("arn:secrets"),
            external_dns_role_arn: text("arn:dns"),
            lb_controller_role_arn: text("arn:balancers"),
            argocd_role_arn: String::new(),
        };
        let network = fact::Foundation {
            vpc_id: text("vpc-1"),
            hosted_zone_name: text("payments.example."),
            ..fact::Foundation::default()
        };
        (fact::Access { cluster, aws_region: text("eu-south-2") }, network)
    }

    #[test]
    fn known_addons_get_values_from_facts() {
        let (access, network) = facts();
        let values = |addon: &str| from_facts(addon, &access, &network, &tags());
        let balancers = values("aws-load-balancer-controller");
        assert_eq!(balancers["clusterName"], "payments-spain");
        assert_eq!(balancers["vpcId"], "vpc-1");
        assert_eq!(balancers["defaultTags"], json!({ "Project": "payments" }));
        let role = "/serviceAccount/annotations/eks.amazonaws.com~1role-arn";
        assert_eq!(balancers.pointer(role).unwrap(), "arn:balancers");
        assert_eq!(values("external-secrets").pointer(role).unwrap(), "arn:secrets");
        let dns = values("external-dns");
        assert_eq!(dns.pointer(role).unwrap(), "arn:dns");
        assert_eq!(dns["domainFilters"], json!(["payments.example"]));
        assert_eq!(dns["txtOwnerId"], "payments-spain");
    }

    #[test]
    fn an_unknown_addon_gets_no_values_from_facts() {
        let (access, network) = facts();
        assert_eq!(from_facts("metrics-server", &access, &network, &tags()), json!({}));
    }
}
