//! Checks the path from a region's host name to its pods: the record, the load balancer, its targets.

use kube::Client;
use serde_json::Value;

use super::{balancer, dns, sync_state};
use crate::{
    aws::{Aws, zones::normal},
    step::{Poll, Result},
};

pub(super) struct Endpoint<'a> {
    pub aws: &'a Aws,
    pub aws_region: &'a str,
    /// The region's cluster.
    pub cluster: &'a Client,
    pub host: &'a str,
    /// The id of the zone that external-dns writes the host's record to; `None` where external-dns is not configured.
    pub zone: Option<&'a str>,
}

impl Endpoint<'_> {
    /// Ready when the whole path works. An application without an Ingress has no such path, and is ready.
    pub async fn poll(&self, application: &Value) -> Result<Poll<()>> {
        let elb = aws_sdk_elasticloadbalancingv2::Client::new(&self.aws.in_region(self.aws_region));
        let ingresses = sync_state::managed(application, "Ingress");
        let balancers = match balancer::poll(&elb, self.cluster, &ingresses).await? {
            Poll::Ready(balancers) => balancers,
            Poll::Pending(why) => return Ok(Poll::Pending(why)),
        };
        let Some(zone) = self.zone.filter(|_| !balancers.is_empty()) else { return Ok(Poll::Ready(())) };
        let targets = dns::targets(self.aws, self.aws_region, zone, self.host).await?;
        Ok(record_problem(self.host, &targets, &balancers).map_or(Poll::Ready(()), Poll::Pending))
    }
}

/// What is wrong with a host's record, if anything: it is missing, or points at a deleted load balancer.
fn record_problem(host: &str, targets: &[String], balancers: &[String]) -> Option<String> {
    // external-dns prefixes the target with `dualstack.` for addresses of both families.
    let plain = |name: &str| {
        let name = normal(name);
        name.strip_prefix("dualstack.").map_or(name.clone(), str::to_owned)
    };
    if targets.is_empty() {
        return Some(format!("`{host}` has no record"));
    }
    let stale = targets.iter().find(|target| !balancers.iter().any(|one| plain(one) == plain(target)));
    stale.map(|target| format!("the record of `{host}` points at `{target}`"))
}

#[cfg(test)]
mod tests {
    use super::record_problem;

    #[test]
    fn a_record_must_point_at_the_existing_load_balancer() {
        let balancers = ["k8s-payments-1.elb.eu-south-2.amazonaws.com".to_owned()];
        let wrong = |target: &str| record_problem("api.example", &[target.to_owned()], &balancers);
        assert_eq!(wrong("dualstack.K8S-payments-1.elb.eu-south-2.amazonaws.com."), None);
        assert_eq!(
            wrong("k8s-payments-0.elb.eu-south-2.amazonaws.com").unwrap(),
            "the record of `api.example` points at `k8s-payments-0.elb.eu-south-2.amazonaws.com`"
        );
        assert_eq!(record_problem("api.example", &[], &balancers).unwrap(), "`api.example` has no record");
    }
}
