//! Whether a single object is ready, by its own spec and status. Pure functions: no I/O, no time.
//!
//! A status only counts for the spec that it was computed from: `observedGeneration` must have reached
//! `generation`, or yesterday's ready pods would count for today's change.

use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::Value;

/// Why an object is not ready; `None` when it is. `replicas` defaults to 1 as in the API.
pub fn judge(kind: &str, live: &Value) -> Option<String> {
    let (spec, status) = (&live["spec"], &live["status"]);
    let count = |name: &str| status[name].as_u64().unwrap_or(0);
    let observed = || {
        let generation = live["metadata"]["generation"].as_u64().unwrap_or(0);
        (count("observedGeneration") < generation)
            .then(|| "its controller has not observed the change yet".to_owned())
    };
    let enough = |have: u64, want: u64, what: &str| (have < want).then(|| format!("{have} of {want} {what}"));
    match kind {
        "Deployment" => {
            let want = spec["replicas"].as_u64().unwrap_or(1);
            observed()
                .or_else(|| enough(count("updatedReplicas"), want, "replicas updated"))
                .or_else(|| enough(count("availableReplicas"), want, "replicas available"))
                // A rollout is over when no old pod can serve requests any more.
                .or_else(|| {
                    let old = count("replicas").saturating_sub(count("updatedReplicas"));
                    (old > 0).then(|| format!("{old} old replicas still running"))
                })
        }
        "StatefulSet" => {
            let want = spec["replicas"].as_u64().unwrap_or(1);
            observed()
                .or_else(|| enough(count("updatedReplicas"), want, "replicas updated"))
                .or_else(|| enough(count("availableReplicas"), want, "replicas available"))
        }
        "DaemonSet" => {
            let want = count("desiredNumberScheduled");
            observed()
                .or_else(|| enough(count("updatedNumberScheduled"), want, "pods updated"))
                .or_else(|| enough(count("numberAvailable"), want, "pods available"))
        }
        "APIService" => unmet(live, "Available"),
        _ => None,
    }
}

/// Why a condition is not `True`; `None` when it is. A missing condition is not met.
pub fn unmet(live: &Value, condition: &str) -> Option<String> {
    let conditions = live["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|found| found["type"] == condition);
    match found {
        None => Some(format!("it does not report the condition {condition}")),
        Some(found) if found["status"] == "True" => None,
        Some(found) => {
            let words = [&found["message"], &found["reason"]].into_iter().filter_map(Value::as_str);
            let why = words.filter(|words| !words.is_empty()).map(str::to_owned).next();
            Some(why.unwrap_or_else(|| format!("it is not {condition}")))
        }
    }
}

/// A workload's own selector, as `a=b,c=d`.
pub(super) fn selector(workload: &Value) -> Option<String> {
    let labels = workload["spec"]["selector"]["matchLabels"].as_object()?;
    let pairs = labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    Some(pairs.collect::<Vec<_>>().join(","))
}

/// The first webhook that calls a service without a CA. A certificate controller may fill it in after the
/// installation.
pub(super) fn without_ca(configuration: &Value) -> Option<&str> {
    let webhooks = configuration["webhooks"].as_array()?;
    let without = webhooks.iter().find(|webhook| {
        let client = &webhook["clientConfig"];
        client["service"].is_object() && client["caBundle"].as_str().is_none_or(str::is_empty)
    })?;
    without["name"].as_str()
}

/// Namespace and name of the services that a webhook configuration calls.
pub(super) fn services(configuration: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let webhooks = configuration["webhooks"].as_array();
    let mut services: Vec<_> = webhooks
        .into_iter()
        .flatten()
        .map(|webhook| &webhook["clientConfig"]["service"])
        .filter_map(|service| Some((text(&service["namespace"])?, text(&service["name"])?)))
        .collect();
    services.sort();
    services.dedup();
    services
}

pub(super) fn has_ready_endpoint(slice: &EndpointSlice) -> bool {
    let mut endpoints = slice.endpoints.iter();
    // An unknown condition counts as ready, as the API documentation of `ready` requires.
    endpoints.any(|endpoint| endpoint.conditions.as_ref().is_none_or(|found| found.ready != Some(false)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(status: Value) -> Value {
        json!({ "metadata": { "generation": 2 }, "spec": { "replicas": 2 }, "status": status })
    }

    #[test]
    fn a_deployment_is_ready_when_only_its_newest_pods_run() {
        let ready =
            json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 });
        assert_eq!(judge("Deployment", &deployment(ready)), None);
        for (status, why) in [
            (
                json!({ "observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2 }),
                "has not observed",
            ),
            (
                json!({ "observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 2 }),
                "1 of 2 replicas updated",
            ),
            (json!({ "observedGeneration": 2, "updatedReplicas": 2 }), "0 of 2 replicas available"),
            (
                json!({ "observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3 }),
                "1 old replicas",
            ),
        ] {
            let reason = judge("Deployment", &deployment(status)).unwrap();
            assert!(reason.contains(why), "{reason}");
        }
    }

    #[test]
    fn a_deployment_scaled_to_zero_is_ready() {
        let live = json!({ "spec": { "replicas": 0 }, "status": {} });
        assert_eq!(judge("Deployment", &live), None);
    }

    #[test]
    fn a_missing_condition_is_not_met() {
        assert!(judge("APIService", &json!({})).is_some());
        let available = json!({ "status": { "conditions": [{ "type": "Available", "status": "True" }] } });
        assert_eq!(judge("APIService", &available), None);
        let refused = json!({ "status": { "conditions": [{ "type": "Available", "status": "False", "message": "no pods" }] } });
        assert_eq!(judge("APIService", &refused).unwrap(), "no pods");
    }

    #[test]
    fn a_webhook_without_a_ca_is_found() {
        let webhook = |ca: &str| json!({ "name": "a.b", "clientConfig": { "service": { "name": "s", "namespace": "n" }, "caBundle": ca } });
        let configuration = json!({ "webhooks": [webhook("Q0E="), webhook("")] });
        assert_eq!(without_ca(&configuration), Some("a.b"));
        assert_eq!(without_ca(&json!({ "webhooks": [webhook("Q0E=")] })), None);
        assert_eq!(services(&configuration), [("n".to_owned(), "s".to_owned())]);
    }

    #[test]
    fn an_endpoint_without_conditions_is_ready() {
        let slice = |conditions: Value| {
            let slice = json!({
                "addressType": "IPv4", "metadata": {},
                "endpoints": [{ "addresses": ["10.0.0.1"], "conditions": conditions }],
            });
            has_ready_endpoint(&serde_json::from_value(slice).unwrap())
        };
        assert!(slice(json!({})));
        assert!(slice(json!({ "ready": true })));
        assert!(!slice(json!({ "ready": false })));
    }
}
