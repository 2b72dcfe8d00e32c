//! How far an Application is with one release, from its status. Pure.

use serde_json::Value;

use crate::step::Class;

/// The release to compare with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub commit: &'a str,
    pub digest: &'a str,
}

/// The state of one release's sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SyncState {
    /// Synced to this release, and healthy.
    Healthy,
    /// Still being synced; what is missing.
    Progressing(String),
    /// Synced, and its objects not ready yet; Argo CD 3 does not store which.
    Settling(String),
    /// A failed sync of another release waits for its next retry, which blocks this release's sync.
    Occupied,
    /// This release's sync has failed with its retries used up; Argo CD does not retry it again.
    Failed { why: String, started: String },
    /// Synced, but unhealthy.
    Degraded(String),
    /// Argo CD cannot render or compare the objects of this commit.
    Broken(String),
}

/// An object that the Application manages, as its status names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Managed {
    pub kind: String,
    pub name: String,
    pub namespace: String,
}

/// The objects of a kind that the Application manages. Hooks are left out: they exist only during a sync.
pub(super) fn managed(application: &Value, kind: &str) -> Vec<Managed> {
    let resources = application["status"]["resources"].as_array();
    let of_kind = |resource: &&Value| resource["kind"] == kind && resource["hook"] != true;
    resources.into_iter().flatten().filter(of_kind).map(named).collect()
}

/// The failed Jobs of the latest sync.
pub(super) fn failed_jobs(application: &Value) -> Vec<Managed> {
    let results = application["status"]["operationState"]["syncResult"]["resources"].as_array();
    let failed = |result: &&Value| {
        result["kind"] == "Job" && matches!(result["hookPhase"].as_str(), Some("Failed" | "Error"))
    };
    results.into_iter().flatten().filter(failed).map(named).collect()
}

fn named(resource: &Value) -> Managed {
    let text = |key: &str| resource[key].as_str().unwrap_or_default().to_owned();
    Managed { kind: text("kind"), name: text("name"), namespace: text("namespace") }
}

fn is_of(source: &Value, wanted: Wanted) -> bool {
    source["targetRevision"] == wanted.commit
        && source.pointer("/helm/valuesObject/image/digest").is_some_and(|digest| digest == wanted.digest)
}

pub(super) fn judge(application: &Value, wanted: Wanted) -> SyncState {
    let status = &application["status"];
    if !is_of(&application["spec"]["source"], wanted) {
        return SyncState::Progressing("the ApplicationSet has not updated it yet".to_owned());
    }
    let operation = &status["operationState"];
    let result = &operation["syncResult"];
    // A running operation may have no result yet; its request names the release it is for.
    let is_ours = is_of(&result["source"], wanted);
    match operation["phase"].as_str() {
        Some("Running") if is_obsolete(operation, wanted) => return SyncState::Occupied,
        Some("Running") if is_ours || result.is_null() => {
            // Between two attempts the result is that of the previous one.
            return SyncState::Progressing(with_why("syncing", &failure(operation)));
        }
        Some("Failed" | "Error") if is_ours => {
            let started = operation["startedAt"].as_str().unwrap_or_default().to_owned();
            return SyncState::Failed { why: failure(operation), started };
        }
        _ => {}
    }
    if let Some(conditions) = conditions(status) {
        return match Class::classify_message(&conditions) {
            // A repository or a cluster that does not answer may answer later.
            Class::Transient => SyncState::Progressing(conditions),
            _ => SyncState::Broken(conditions),
        };
    }
    if !is_of(&status["sync"]["comparedTo"]["source"], wanted) || status["sync"]["revision"] != wanted.commit
    {
        return SyncState::Progressing("Argo CD has not compared it yet".to_owned());
    }
    if status["sync"]["status"] != "Synced" {
        let behind =
            unhealthy(status, |resource| resource["status"] == "OutOfSync" && resource["hook"] != true);
        return SyncState::Progressing(with_why("out of sync", &behind));
    }
    let health = status["health"]["status"].as_str().unwrap_or("Unknown");
    let ill = || {
        unhealthy(status, |resource| !matches!(resource["health"]["status"].as_str(), None | Some("Healthy")))
    };
    match health {
        "Healthy" => SyncState::Healthy,
        "Degraded" => SyncState::Degraded(with_why("degraded", &ill())),
        other => SyncState::Settling(with_why(&other.to_lowercase(), &ill())),
    }
}

/// Whether a sync of another commit waits between two attempts: ending it then leaves nothing half done.
fn is_obsolete(operation: &Value, wanted: Wanted) -> bool {
    let revision = operation.pointer("/operation/sync/revision").and_then(Value::as_str);
    let message = operation["message"].as_str().unwrap_or_default();
    revision.is_some_and(|revision| revision != wanted.commit) && message.contains("Retrying attempt")
}

/// Errors that Argo CD reports outside a sync: a repository or a cluster that it cannot read, an invalid spec.
fn conditions(status: &Value) -> Option<String> {
    let conditions = status["conditions"].as_array()?;
    let errors: Vec<_> = conditions
        .iter()
        .filter(|condition| condition["type"].as_str().is_some_and(|kind| kind.ends_with("Error")))
        .filter_map(|condition| condition["message"].as_str())
        .collect();
    (!errors.is_empty()).then(|| errors.join("; "))
}

/// An operation's message, and the failed objects with theirs.
fn failure(operation: &Value) -> String {
    let results = operation["syncResult"]["resources"].as_array();
    let failed = |result: &&Value| {
        result["status"] == "SyncFailed" || matches!(result["hookPhase"].as_str(), Some("Failed" | "Error"))
    };
    let described = |result: &Value| {
        let Managed { kind, name, .. } = named(result);
        with_why(&format!("{} `{name}`", kind.to_lowercase()), result["message"].as_str().unwrap_or_default())
    };
    let lines: Vec<_> = results.into_iter().flatten().filter(failed).map(described).collect();
    let message = operation["message"].as_str().unwrap_or_default();
    match (message, lines.is_empty()) {
        (message, true) => message.to_owned(),
        ("", false) => lines.join("; "),
        (message, false) => format!("{message} ({})", lines.join("; ")),
    }
}

fn unhealthy(status: &Value, is_unhealthy: impl Fn(&Value) -> bool) -> String {
    let resources = status["resources"].as_array();
    let described = |resource: &Value| {
        let Managed { kind, name, .. } = named(resource);
        let health = &resource["health"];
        let why = match health["message"].as_str() {
            Some(message) if !message.is_empty() => format!(": {message}"),
            _ => String::new(),
        };
        format!("{} `{name}`{why}", kind.to_lowercase())
    };
    let lines: Vec<_> =
        resources.into_iter().flatten().filter(|found| is_unhealthy(found)).map(described).collect();
    lines.join("; ")
}

fn with_why(what: &str, why: &str) -> String {
    if why.is_empty() { what.to_owned() } else { format!("{what}: {why}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WANTED: Wanted = Wanted { commit: "c2", digest: "sha256:2" };

    fn source(commit: &str, digest: &str) -> Value {
        json!({ "targetRevision": commit, "helm": { "valuesObject": { "image": { "digest": digest } } } })
    }

    fn ours() -> Value {
        source("c2", "sha256:2")
    }

    fn synced(health: &str) -> Value {
        json!({
            "sync": { "status": "Synced", "revision": "c2", "comparedTo": { "source": ours() } },
            "health": { "status": health },
            "operationState": { "phase": "Succeeded", "syncResult": { "revision": "c2", "source": ours() } },
            "resources": [
                { "kind": "Deployment", "name": "api", "namespace": "payment-api",
                  "health": { "status": health, "message": "exceeded its progress deadline" } },
                { "kind": "Service", "name": "api", "status": "Synced" },
                { "kind": "Deployment", "name": "of-a-hook", "hook": true },
            ],
        })
    }

    fn state(status: Value) -> SyncState {
        judge(&json!({ "spec": { "source": ours() }, "status": status }), WANTED)
    }

    fn progress(status: Value) -> String {
        match state(status) {
            SyncState::Progressing(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn synced_and_healthy_at_this_release_is_healthy() {
        assert_eq!(state(synced("Healthy")), SyncState::Healthy);
    }

    #[test]
    fn a_release_that_changes_no_object_needs_no_sync_of_its_own() {
        let mut status = synced("Healthy");
        status["operationState"]["syncResult"] =
            json!({ "revision": "c1", "source": source("c1", "sha256:2") });
        assert_eq!(state(status), SyncState::Healthy);
    }

    #[test]
    fn healthy_at_another_release_is_not_yet_healthy() {
        for (commit, digest) in [("c1", "sha256:2"), ("c2", "sha256:1")] {
            let application =
                json!({ "spec": { "source": source(commit, digest) }, "status": synced("Healthy") });
            assert!(matches!(judge(&application, WANTED), SyncState::Progressing(_)));
            let mut status = synced("Healthy");
            status["sync"]["comparedTo"]["source"] = source(commit, digest);
            assert_eq!(progress(status), "Argo CD has not compared it yet");
        }
    }

    #[test]
    fn an_application_without_a_status_is_on_its_way() {
        assert_eq!(progress(Value::Null), "Argo CD has not compared it yet");
    }

    #[test]
    fn a_sync_that_retries_is_on_its_way_and_says_why() {
        let mut status = synced("Missing");
        let job = json!({ "kind": "Job", "name": "api-migrate", "hookPhase": "Failed", "message": "backoff limit" });
        status["operationState"] = json!({
            "phase": "Running", "message": "Retrying attempt #2",
            "syncResult": { "source": ours(), "resources": [job] },
        });
        assert_eq!(
            progress(status.clone()),
            "syncing: Retrying attempt #2 (job `api-migrate`: backoff limit)"
        );
        status["operationState"] = json!({ "phase": "Running" });
        assert_eq!(progress(status), "syncing");
    }

    #[test]
    fn a_failed_sync_of_another_release_is_not_waited_for() {
        let mut status = synced("Missing");
        let operation = |revision: &str, message: &str| {
            let operation = json!({ "sync": { "revision": revision } });
            json!({ "phase": "Running", "message": message, "operation": operation, "syncResult": { "source": ours() } })
        };
        status["operationState"] = operation("c1", "it failed. Retrying attempt #3 at 8:46PM.");
        assert_eq!(state(status.clone()), SyncState::Occupied);
        for (revision, message) in
            [("c2", "it failed. Retrying attempt #3 at 8:46PM."), ("c1", "waits for a hook")]
        {
            status["operationState"] = operation(revision, message);
            assert!(matches!(state(status.clone()), SyncState::Progressing(_)), "{revision}");
        }
    }

    #[test]
    fn a_failed_sync_of_this_release_names_what_failed() {
        let mut status = synced("Healthy");
        status["operationState"] = json!({
            "phase": "Failed", "message": "one or more synchronization tasks completed unsuccessfully",
            "startedAt": "2026-11-22T18:00:00Z",
            "syncResult": { "source": ours(), "resources": [
                { "kind": "Job", "name": "api-migrate", "namespace": "payment-api", "hookPhase": "Failed",
                  "message": "Job has reached the specified backoff limit" },
                { "kind": "ServiceAccount", "name": "x", "hookPhase": "Succeeded" },
            ] },
        });
        let SyncState::Failed { why, started } = state(status.clone()) else { panic!() };
        assert_eq!(started, "2026-11-22T18:00:00Z");
        assert!(why.contains("job `api-migrate`: Job has reached the specified backoff limit"), "{why}");
        assert!(!why.contains("serviceaccount"), "{why}");
        let jobs = failed_jobs(&json!({ "status": status }));
        assert_eq!(jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["api-migrate"]);
    }

    #[test]
    fn a_failed_sync_of_an_earlier_release_does_not_count() {
        let mut status = synced("Healthy");
        status["operationState"] =
            json!({ "phase": "Failed", "syncResult": { "source": source("c1", "sha256:1") } });
        assert_eq!(state(status), SyncState::Healthy);
    }

    #[test]
    fn a_degraded_application_names_the_objects_and_their_reasons() {
        let why = "degraded: deployment `api`: exceeded its progress deadline".to_owned();
        assert_eq!(state(synced("Degraded")), SyncState::Degraded(why));
    }

    #[test]
    fn errors_of_argo_cd_itself_are_reported() {
        let described = |message: &str| {
            let conditions = json!([{ "type": "ComparisonError", "message": message }]);
            state(json!({ "sync": { "status": "Unknown" }, "conditions": conditions }))
        };
        let chart = "values don't meet the specifications of the schema";
        assert_eq!(described(chart), SyncState::Broken(chart.to_owned()));
        let network = "dial tcp 10.0.0.1:9418: connect: connection refused";
        assert_eq!(described(network), SyncState::Progressing(network.to_owned()));
    }

    #[test]
    fn objects_are_found_by_kind() {
        let application = json!({ "status": synced("Healthy") });
        let names: Vec<_> = managed(&application, "Deployment").into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["api"]);
    }
}
