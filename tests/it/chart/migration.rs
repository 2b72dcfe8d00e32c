//! The database migration, which is part of every release.

use serde_json::{Value, json};

use super::{MIGRATION, NAME, Release, container, list, text};

const HOOK: &str = "argocd.argoproj.io/hook";
const WAVE: &str = "argocd.argoproj.io/sync-wave";

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][name].as_str()
}

fn wave(object: &Value) -> i32 {
    annotation(object, WAVE).map_or(0, |wave| wave.parse().unwrap())
}

#[test]
fn the_database_is_migrated_before_a_release_starts() {
    let release = Release::of("spain");
    let job = release.the("Job");
    assert_eq!(annotation(job, HOOK), Some("PreSync"));
    let pod = &job["spec"]["template"];
    assert_eq!(container(pod)["args"], json!(["migrate"]));
    assert_eq!(pod["spec"]["restartPolicy"], "Never", "the pod of a failed attempt is kept for inspection");
    assert_eq!(job["spec"]["backoffLimit"], 1);
}

#[test]
fn the_migrations_inputs_are_created_before_it() {
    let release = Release::of("spain");
    let migration = |object: &&Value| text(&object["metadata"]["name"]).starts_with(MIGRATION);
    let mut hooks: Vec<(i32, &str)> =
        release.0.iter().filter(migration).map(|object| (wave(object), text(&object["kind"]))).collect();
    hooks.sort_unstable();
    assert_eq!(hooks, [(-2, "ConfigMap"), (-2, "ServiceAccount"), (-1, "ExternalSecret"), (0, "Job")]);
    for object in &release.0 {
        let expected = migration(&object).then_some("PreSync");
        assert_eq!(annotation(object, HOOK), expected, "{}", object["metadata"]);
    }
}

#[test]
fn the_master_users_login_is_deleted_after_the_migration_and_the_job_is_kept() {
    let release = Release::of("spain");
    let policy =
        |object: &Value| annotation(object, "argocd.argoproj.io/hook-delete-policy").unwrap().to_owned();
    assert_eq!(policy(release.named("ExternalSecret", MIGRATION)), "BeforeHookCreation,HookSucceeded");
    assert_eq!(policy(release.the("Job")), "BeforeHookCreation");
}

#[test]
fn the_migration_runs_on_the_nodes_that_may_connect_to_the_instance() {
    let release = Release::of("spain");
    let pod = &release.the("Job")["spec"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"], json!({"role": "system"}));
    let toleration =
        json!({"key": "dedicated", "operator": "Equal", "value": "system", "effect": "NoSchedule"});
    assert_eq!(pod["tolerations"], json!([toleration]));
}

#[test]
fn the_migration_connects_to_the_instance_and_reports_its_own_timeout() {
    let release = Release::with("spain", &["migration.timeoutSeconds=300"]);
    let job = release.the("Job");
    let environment = list(&container(&job["spec"]["template"])["env"]);
    let value_of = |name: &str| {
        let variable = environment.iter().find(|variable| variable["name"] == name);
        text(&variable.unwrap_or_else(|| panic!("no {name}"))["value"])
    };
    assert!(
        !value_of("DATABASE_DIRECT_HOST").contains(".proxy-"),
        "the proxy may move a session in the middle of a migration"
    );
    assert_eq!(value_of("MIGRATE_TIMEOUT_SECONDS"), "300");
    let killed = job["spec"]["activeDeadlineSeconds"].as_u64().unwrap();
    assert!(killed > 2 * 300, "the program's own limit is reached first, in both attempts");
}

#[test]
fn pods_start_after_their_secret_exists() {
    let release = Release::of("spain");
    let secret = wave(release.named("ExternalSecret", NAME));
    for kind in ["Deployment", "Service", "Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget"] {
        assert!(
            wave(release.the(kind)) > secret,
            "Argo CD waits for the secret before it creates the {kind}"
        );
    }
}
