//! Checks that the load balancer of a region's Ingress exists, is active, and has healthy targets.

use aws_sdk_elasticloadbalancingv2::{
    Client as Elb,
    types::{LoadBalancer, LoadBalancerStateEnum, TargetHealthStateEnum},
};
use k8s_openapi::api::networking::v1::Ingress;
use kube::{Api, Client};

use super::sync_state::Managed;
use crate::{
    aws,
    kubernetes::classify,
    step::{ErrorExt, Poll, Result},
};

/// Ready when every Ingress has a load balancer that can reach the pods; returns their host names.
pub(super) async fn poll(elb: &Elb, client: &Client, ingresses: &[Managed]) -> Result<Poll<Vec<String>>> {
    let mut hosts = Vec::new();
    for managed in ingresses {
        let Managed { namespace, name, .. } = managed;
        let api: Api<Ingress> = Api::namespaced(client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(classify);
        let found = found.doing(format!("read Ingress `{namespace}/{name}`"))?;
        let Some(host) = found.as_ref().and_then(host) else {
            return Ok(Poll::Pending(format!("Ingress `{name}` has no load balancer")));
        };
        let missing = balancer(elb, host).await.doing(format!("read load balancer `{host}`"))?;
        if let Some(why) = missing {
            return Ok(Poll::Pending(why));
        }
        hosts.push(host.to_owned());
    }
    Ok(Poll::Ready(hosts))
}

fn host(ingress: &Ingress) -> Option<&str> {
    let addresses = ingress.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
    addresses.iter().find_map(|address| address.hostname.as_deref())
}

/// What is wrong with a load balancer; `None` if it is active and all its targets are healthy.
async fn balancer(elb: &Elb, host: &str) -> Result<Option<String>> {
    let pages = elb.describe_load_balancers().into_paginator().items().send();
    let all: Vec<LoadBalancer> = pages.collect::<Result<_, _>>().await.map_err(aws::classify)?;
    let is_it = |one: &&LoadBalancer| one.dns_name().is_some_and(|name| name.eq_ignore_ascii_case(host));
    let Some(found) = all.iter().find(is_it) else {
        return Ok(Some(format!("load balancer `{host}` is missing")));
    };
    let state = found.state().and_then(|state| state.code());
    if state != Some(&LoadBalancerStateEnum::Active) {
        let state = state.map_or("unknown", LoadBalancerStateEnum::as_str);
        return Ok(Some(format!(
            "load balancer `{}` is {state}",
            found.load_balancer_name().unwrap_or(host)
        )));
    }
    let groups = elb.describe_target_groups().set_load_balancer_arn(found.load_balancer_arn.clone());
    let groups = groups.send().await.map_err(aws::classify)?;
    for group in groups.target_groups() {
        let health = elb.describe_target_health().set_target_group_arn(group.target_group_arn.clone());
        let health = health.send().await.map_err(aws::classify)?;
        let states: Vec<_> = health
            .target_health_descriptions()
            .iter()
            .filter_map(|target| target.target_health()?.state().cloned())
            .collect();
        if let Some(why) = unhealthy(&states) {
            return Ok(Some(format!("target group `{}`: {why}", group.target_group_name().unwrap_or("?"))));
        }
    }
    Ok(None)
}

/// Draining targets are not counted, because they belong to pods that are being replaced.
fn unhealthy(states: &[TargetHealthStateEnum]) -> Option<String> {
    let count =
        |wanted: &[TargetHealthStateEnum]| states.iter().filter(|state| wanted.contains(state)).count();
    let healthy = count(&[TargetHealthStateEnum::Healthy]);
    let of =
        states.len() - count(&[TargetHealthStateEnum::Draining, TargetHealthStateEnum::UnhealthyDraining]);
    (healthy == 0 || healthy < of).then(|| format!("{healthy} of {of} targets are healthy"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use TargetHealthStateEnum::{Draining, Healthy, Initial, Unhealthy};

    #[test]
    fn a_target_group_is_healthy_when_all_targets_that_do_not_drain_are() {
        assert_eq!(unhealthy(&[Healthy, Healthy, Draining]), None);
        assert_eq!(unhealthy(&[Healthy, Initial]).unwrap(), "1 of 2 targets are healthy");
        assert_eq!(unhealthy(&[Unhealthy]).unwrap(), "0 of 1 targets are healthy");
        assert!(unhealthy(&[]).is_some());
        assert!(unhealthy(&[Draining]).is_some());
    }
}
