//! Why pods are not ready: what an operator would check first, for an error message.

use futures::future::join_all;
use k8s_openapi::api::core::v1::{ContainerState, Event, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
};

/// How many pods are reported: pods of one workload usually fail alike.
const PODS: usize = 3;
/// How many of a container's last log lines are reported for each pod.
const LOG_LINES: i64 = 8;
/// The limit for those lines, because a single one can be megabytes long.
const LOG_BYTES: i64 = 16 * 1024;

/// A few lines about the unready pods of a selector: their state, the newest warning event, the last log
/// lines.
///
/// All errors are swallowed, because this explains another error.
pub async fn pods(client: &Client, namespace: &str, selector: &str) -> Vec<String> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let Ok(list) = api.list(&ListParams::default().labels(selector)).await else { return Vec::new() };
    let unready = list.items.iter().filter_map(|pod| Some((pod, pod_trouble(pod)?)));
    let lines = unready.take(PODS).map(|(pod, trouble)| one(client, namespace, pod, trouble));
    without_repetition(join_all(lines).await)
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

async fn one(client: &Client, namespace: &str, pod: &Pod, trouble: String) -> Vec<String> {
    let name = pod.name_any();
    let (warning, output) =
        futures::join!(newest_warning(client, namespace, &name), last_lines(client, namespace, pod));
    let mut lines = vec![format!("pod `{name}`: {trouble}")];
    lines.extend(warning.filter(|warning| !lines[0].contains(warning)).map(|warning| format!("  {warning}")));
    lines.extend(output.into_iter().map(|line| format!("  | {line}")));
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
    Some(format!("{}: {}", newest.reason?, newest.message?.trim()))
}

/// The last log lines of the first unready container; those of the previous instance if it is waiting to be
/// restarted.
async fn last_lines(client: &Client, namespace: &str, pod: &Pod) -> Vec<String> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let Some(container) = statuses.into_iter().flatten().find(|status| !status.ready) else {
        return Vec::new();
    };
    let is_waiting = container.state.as_ref().is_some_and(|state| state.waiting.is_some());
    let params = LogParams {
        container: Some(container.name.clone()),
        previous: is_waiting && container.restart_count > 0,
        tail_lines: Some(LOG_LINES),
        limit_bytes: Some(LOG_BYTES),
        ..LogParams::default()
    };
    let text = api.logs(&pod.name_any(), &params).await.unwrap_or_default();
    text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
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
        // The message of a crash loop only gives the back-off; the last state has the cause.
        let message = waiting.message.as_deref().filter(|_| reason != "CrashLoopBackOff");
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

    #[test]
    fn a_ready_or_finished_pod_has_no_trouble() {
        let ready = json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] });
        assert_eq!(trouble(ready), None);
        assert_eq!(trouble(json!({ "phase": "Succeeded" })), None);
    }
}
