//! Why pods are not ready: what an operator would check first, for an error message.
//!
//! What the application itself wrote is left out, because it may contain secrets, and errors go to the terminal, to the
//! journal and to CI's logs. The command that reads it is named instead.

use futures::future::join_all;
use k8s_openapi::api::core::v1::{ContainerState, Event, Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};

/// How many pods are reported: pods of one workload usually fail alike.
const PODS: usize = 3;

/// Reasons of events whose messages end with what a program in the container wrote: a hook's output, or an `exec`
/// probe's.
const WITH_OUTPUT: [&str; 4] = ["FailedPostStartHook", "FailedPreStopHook", "ProbeWarning", "Unhealthy"];
/// Waiting states whose message is not reported: of a crash loop it only gives the back-off, and the last state has the
/// cause; of a failed hook it is what the hook wrote.
const WITHOUT_MESSAGE: [&str; 2] = ["CrashLoopBackOff", "PostStartHookError"];

/// A few lines about the unready pods of a selector: their state, the newest warning event, and the command that reads
/// their log.
///
/// All errors are swallowed, because this explains another error.
pub async fn pods(client: &Client, namespace: &str, selector: &str) -> Vec<String> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let Ok(list) = api.list(&ListParams::default().labels(selector)).await else { return Vec::new() };
    let unready = list.items.iter().filter_map(|pod| Some((pod, pod_trouble(pod)?))).take(PODS);
    let unready: Vec<_> = unready.collect();
    let lines = unready.iter().map(|(pod, trouble)| one(client, namespace, pod, trouble));
    let mut lines = without_repetition(join_all(lines).await);
    lines.extend(unready.iter().find_map(|(pod, _)| log_command(namespace, pod)));
    lines
}

/// Leaves out the details of a pod that are the same as those of the pod before it.
fn without_repetition(pods: Vec<Vec<String>>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut before: &[String] = &[];
    for pod in &pods {
        let (head, details) = pod.split_at(1.min(pod.len()));
        lines.extend_from_slice(head);
        if details != before {
            lines.extend_from_slice(details);
        }
        before = details;
    }
    lines
}

async fn one(client: &Client, namespace: &str, pod: &Pod, trouble: &str) -> Vec<String> {
    let name = pod.name_any();
    let warning = newest_warning(client, namespace, &name).await;
    let mut lines = vec![format!("pod `{name}`: {trouble}")];
    lines.extend(warning.filter(|warning| !lines[0].contains(warning)).map(|warning| format!("  {warning}")));
    lines
}

async fn newest_warning(client: &Client, namespace: &str, pod: &str) -> Option<String> {
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let fields = format!("involvedObject.kind=Pod,involvedObject.name={pod},type=Warning");
    let list = api.list(&ListParams::default().fields(&fields)).await.ok()?;
    // A back-off event only repeats the container's own state.
    let news = list.items.into_iter().filter(|event| event.reason.as_deref() != Some("BackOff"));
    let newest = news.max_by_key(|event| {
        let seen = event.last_timestamp.as_ref().map(|time| time.0);
        seen.or(event.metadata.creation_timestamp.as_ref().map(|time| time.0))
    })?;
    let (reason, message) = (newest.reason?, newest.message?);
    Some(format!("{reason}: {}", without_output(&reason, message.trim())))
}

/// An event's message without what a program in the container wrote.
fn without_output<'a>(reason: &str, message: &'a str) -> &'a str {
    // The kubelet's own words about an HTTP or TCP probe: a status, or an error of the connection. Only where they come
    // first, because an `exec` probe may print the same words behind a secret.
    let kubelets = ["HTTP probe failed with statuscode", "Get \"http", "dial tcp"];
    let cause = message.split_once(" failed: ").map_or("", |(_, cause)| cause);
    if !WITH_OUTPUT.contains(&reason) || kubelets.iter().any(|text| cause.starts_with(text)) {
        return message;
    }
    message.split(':').next().unwrap_or_default()
}

/// The command that reads the log of a pod's first unready container: of the previous instance if it waits to be
/// restarted. `None` if none has run yet.
fn log_command(namespace: &str, pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let mut containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let has_run = |state: Option<&ContainerState>| {
        state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    let container = containers.find(|container| {
        !container.ready && (container.restart_count > 0 || has_run(container.state.as_ref()))
    })?;
    let is_waiting = container.state.as_ref().is_some_and(|state| state.waiting.is_some());
    let previous = if is_waiting { " --previous" } else { "" };
    let (pod, container) = (pod.name_any(), &container.name);
    Some(format!("read its log: `kubectl -n {namespace} logs {pod} -c {container}{previous}`"))
}

/// Why a pod is not ready, in a few words; `None` when it is ready, finished or being deleted.
pub fn pod_trouble(pod: &Pod) -> Option<String> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() == Some("Succeeded") {
        return None;
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let stuck = containers.filter(|container| !container.ready).find_map(|container| {
        let last = container.last_state.as_ref().and_then(ended);
        let now = container.state.as_ref().and_then(state);
        match (now, last) {
            (Some(now), Some(last)) => Some(format!("{now} (previously: {last})")),
            (now, last) => now.or(last),
        }
    });
    let conditions = status.conditions.iter().flatten();
    let unmet = |kind: &str| {
        let condition =
            conditions.clone().find(|condition| condition.type_ == kind && condition.status != "True")?;
        let why = condition.message.as_deref().or(condition.reason.as_deref()).unwrap_or("no reason given");
        Some(why.to_owned())
    };
    stuck
        .or_else(|| unmet("PodScheduled").map(|why| format!("not scheduled: {why}")))
        .or_else(|| unmet("Ready").map(|why| format!("not ready: {why}")))
}

fn state(state: &ContainerState) -> Option<String> {
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("waiting");
        // Every new pod passes through these states.
        if matches!(reason, "ContainerCreating" | "PodInitializing") {
            return None;
        }
        let message = waiting.message.as_deref().filter(|_| !WITHOUT_MESSAGE.contains(&reason));
        return Some(message.map_or(reason.to_owned(), |message| format!("{reason}: {message}")));
    }
    ended(state)
}

fn ended(state: &ContainerState) -> Option<String> {
    let ended = state.terminated.as_ref()?;
    let reason = ended.reason.as_deref().unwrap_or("terminated");
    Some(format!("{reason}, exit code {}", ended.exit_code))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kubernetes::testing::Server;

    fn trouble(status: Value) -> Option<String> {
        pod_trouble(
            &serde_json::from_value(json!({ "metadata": { "name": "x" }, "status": status })).unwrap(),
        )
    }

    #[test]
    fn a_crash_loop_is_reported_with_the_last_exit_code() {
        let text = trouble(json!({
            "phase": "Running",
            "containerStatuses": [{
                "name": "api", "ready": false, "restartCount": 3, "image": "", "imageID": "",
                "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s" } },
                "lastState": { "terminated": { "reason": "Error", "exitCode": 2 } },
            }],
        }));
        assert_eq!(text.unwrap(), "CrashLoopBackOff (previously: Error, exit code 2)");
    }

    #[test]
    fn an_unschedulable_pod_is_reported_with_the_reason() {
        let text = trouble(json!({
            "phase": "Pending",
            "conditions": [{ "type": "PodScheduled", "status": "False", "message": "0/2 nodes are available" }],
        }));
        assert_eq!(text.unwrap(), "not scheduled: 0/2 nodes are available");
    }

    #[test]
    fn the_same_details_of_several_pods_are_reported_once() {
        let pod = |name: &str, words: &str| vec![name.to_owned(), words.to_owned()];
        let lines = without_repetition(vec![pod("a", "no"), pod("b", "no"), pod("c", "never"), Vec::new()]);
        assert_eq!(lines, ["a", "no", "b", "c", "never"]);
    }

    #[tokio::test]
    async fn what_a_crashed_pod_wrote_is_not_reported_but_the_command_that_reads_it() {
        let pod = json!({
            "metadata": { "name": "api-1" },
            "status": { "phase": "Running", "containerStatuses": [{
                "name": "api", "ready": false, "restartCount": 3, "image": "", "imageID": "",
                "state": { "waiting": { "reason": "CrashLoopBackOff" } },
                "lastState": { "terminated": { "reason": "Error", "exitCode": 2, "message": "s3cr3t" } },
            }] },
        });
        let event = json!({
            "metadata": {}, "involvedObject": {}, "reason": "Unhealthy",
            "message": "Readiness probe failed: password s3cr3t rejected",
        });
        let server = Server::with([
            ("/api/v1/namespaces/pay/pods", json!({ "metadata": {}, "items": [pod] })),
            ("/api/v1/namespaces/pay/pods/api-1/log", json!("password s3cr3t rejected")),
            ("/api/v1/namespaces/pay/events", json!({ "metadata": {}, "items": [event] })),
        ]);
        let server = server.await;
        let lines = pods(&server.client(), "pay", "app=api").await;
        assert_eq!(
            lines,
            [
                "pod `api-1`: CrashLoopBackOff (previously: Error, exit code 2)",
                "  Unhealthy: Readiness probe failed",
                "read its log: `kubectl -n pay logs api-1 -c api --previous`",
            ]
        );
        assert!(!server.asked().iter().any(|call| call.ends_with("/log")), "{:?}", server.asked());
    }

    #[test]
    fn what_the_kubelet_says_about_a_probe_is_reported() {
        let message = "Readiness probe failed: HTTP probe failed with statuscode: 503";
        assert_eq!(without_output("Unhealthy", message), message);
        let printed = "Readiness probe failed: postgres://user:secret@db: dial tcp 10.0.0.1:5432: refused";
        assert_eq!(without_output("Unhealthy", printed), "Readiness probe failed");
        let warned = "Liveness probe warning: secret";
        assert_eq!(without_output("ProbeWarning", warned), "Liveness probe warning");
        let pull = "Failed to pull image \"x\": not found";
        assert_eq!(without_output("Failed", pull), pull);
    }

    #[test]
    fn a_ready_or_finished_pod_has_no_trouble() {
        let ready = json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] });
        assert_eq!(trouble(ready), None);
        assert_eq!(trouble(json!({ "phase": "Succeeded" })), None);
    }
}
