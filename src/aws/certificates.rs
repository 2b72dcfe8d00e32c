//! What uses a certificate. ACM does not delete a certificate that is in use.

use aws_config::SdkConfig;
use aws_sdk_acm::Client;
use aws_sdk_elasticloadbalancingv2::{Client as Balancing, types::TagDescription};

use super::balancers;

/// The ARNs of what uses a certificate and remains when a cluster is deleted with its load balancers.
///
/// What the credentials may not read is left out, as is every other error: Terraform reports a certificate that it cannot
/// delete, although not what uses it.
pub async fn lasting_users(aws: &SdkConfig, arn: &str, cluster: &str) -> Vec<String> {
    let described = Client::new(aws).describe_certificate().certificate_arn(arn).send().await;
    let certificate = described.ok().and_then(|described| described.certificate);
    let users = certificate.and_then(|certificate| certificate.in_use_by).unwrap_or_default();
    let elb = Balancing::new(aws);
    let mut lasting = Vec::new();
    for user in users {
        if !is_in_account_of(arn, &user)
            || !is_load_balancer(&user)
            || is_of_others(&elb, &user, cluster).await
        {
            lasting.push(user);
        }
    }
    lasting
}

/// API Gateway and Cognito use certificates through load balancers in accounts of AWS.
fn is_in_account_of(certificate: &str, user: &str) -> bool {
    user.split(':').nth(4) == certificate.split(':').nth(4)
}

/// Whether it is one that the load balancer controller creates. Classic ones have neither of these words.
fn is_load_balancer(arn: &str) -> bool {
    arn.contains(":loadbalancer/app/") || arn.contains(":loadbalancer/net/")
}

/// Whether a load balancer exists without the cluster's tag. ACM still lists one that was deleted minutes ago.
async fn is_of_others(elb: &Balancing, arn: &str, cluster: &str) -> bool {
    let Ok(described) = elb.describe_tags().resource_arns(arn).send().await else { return false };
    let mut tags = described.tag_descriptions().iter().flat_map(TagDescription::tags);
    !tags.any(|tag| tag.key() == Some(balancers::TAG) && tag.value() == Some(cluster))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::testing::{Call, Server};

    const CERTIFICATE: &str = "arn:aws:acm:eu-south-2:123456789012:certificate/1";
    const OURS: &str = "arn:aws:elasticloadbalancing:eu-south-2:123456789012:loadbalancer/app/ours/1";
    const DELETED: &str = "arn:aws:elasticloadbalancing:eu-south-2:123456789012:loadbalancer/app/deleted/1";
    const OTHER: &str = "arn:aws:elasticloadbalancing:eu-south-2:123456789012:loadbalancer/net/other/1";
    const CLASSIC: &str = "arn:aws:elasticloadbalancing:eu-south-2:123456789012:loadbalancer/classic";
    const GATEWAY: &str = "arn:aws:elasticloadbalancing:eu-south-2:999999999999:loadbalancer/net/prod/1";
    const DISTRIBUTION: &str = "arn:aws:cloudfront::123456789012:distribution/E1";

    /// The lasting users if all of these use the certificate. `status` is that of the answer with all users.
    async fn users(status: u16) -> Vec<String> {
        let server = Server::start(move |call: &Call| {
            let asks_for = |name: &str| call.body.contains(&format!("app%2F{name}%2F"));
            if !call.body.starts_with("Action=DescribeTags") {
                let users = [OURS, DELETED, OTHER, CLASSIC, GATEWAY, DISTRIBUTION];
                return (
                    status,
                    json!({ "Certificate": { "CertificateArn": CERTIFICATE, "InUseBy": users } }),
                );
            }
            if asks_for("deleted") {
                let error = "<Error><Code>LoadBalancerNotFound</Code><Message>gone</Message></Error>";
                return (400, json!(format!("<ErrorResponse>{error}</ErrorResponse>")));
            }
            let cluster = if asks_for("ours") { "payments-spain" } else { "another" };
            let tag = format!("<member><Key>elbv2.k8s.aws/cluster</Key><Value>{cluster}</Value></member>");
            let one = format!("<member><Tags>{tag}</Tags></member>");
            let result =
                format!("<DescribeTagsResult><TagDescriptions>{one}</TagDescriptions></DescribeTagsResult>");
            (200, json!(format!("<DescribeTagsResponse>{result}</DescribeTagsResponse>")))
        })
        .await;
        lasting_users(&server.aws().in_region("eu-south-2"), CERTIFICATE, "payments-spain").await
    }

    #[tokio::test]
    async fn users_that_a_teardown_deletes_or_has_deleted_do_not_last() {
        assert_eq!(users(200).await, [OTHER, CLASSIC, GATEWAY, DISTRIBUTION]);
    }

    #[tokio::test]
    async fn a_certificate_that_may_not_be_read_stops_no_teardown() {
        assert!(users(400).await.is_empty());
    }
}
