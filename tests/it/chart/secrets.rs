//! Secrets reach the pods only as files, which are reloaded when they change.

use serde_json::{Value, json};

use super::{MIGRATION, NAME, Release, container, list, text};

#[test]
fn no_secret_is_in_an_environment_variable() {
    let release = Release::of("spain");
    for pod in release.pods() {
        let container = container(pod);
        for source in list(&container["envFrom"]) {
            assert_eq!(source.get("secretRef"), None, "{source}");
        }
        for variable in list(&container["env"]) {
            assert_eq!(variable["valueFrom"].get("secretKeyRef"), None, "{variable}");
        }
    }
    let names = |variables: &Value| {
        variables.as_object().unwrap().keys().filter(|name| is_secret(name)).cloned().collect::<Vec<_>>()
    };
    assert!(names(&release.named("ConfigMap", NAME)["data"]).is_empty());
    let [_, migrating] = release.pods();
    for variable in list(&container(migrating)["env"]) {
        assert!(!is_secret(text(&variable["name"])), "{variable}");
    }
}

/// Whether the program reads a secret under this name.
fn is_secret(name: &str) -> bool {
    ["PASSWORD", "USERNAME", "API_SECRET_KEY", "DATABASE_URL"].iter().any(|word| name.contains(word))
}

#[test]
fn secrets_are_files_in_the_folders_that_the_program_reads() {
    let release = Release::of("spain");
    let [serving, migrating] = release.pods();
    let variable = list(&container(migrating)["env"]).iter().find(|one| one["name"] == "MIGRATE_SECRETS_DIR");
    for (pod, name, folder) in [
        (serving, NAME, &release.named("ConfigMap", NAME)["data"]["SECRETS_DIR"]),
        (migrating, MIGRATION, &variable.expect("the migration gets its secrets folder")["value"]),
    ] {
        let volumes = list(&pod["spec"]["volumes"]).iter().filter(|volume| volume.get("secret").is_some());
        let volumes: Vec<&Value> = volumes.collect();
        // Readable only by the pod's group, which is that of the program. Kubernetes reads the mode as octal.
        let secret = json!({"secretName": name, "defaultMode": "0440"});
        assert_eq!(volumes, [&json!({"name": "secrets", "secret": secret})]);
        let mount = list(&container(pod)["volumeMounts"]).iter().find(|mount| mount["name"] == "secrets");
        assert_eq!(*mount.unwrap(), json!({"name": "secrets", "mountPath": folder, "readOnly": true}));
        assert_eq!(pod["spec"]["securityContext"]["fsGroup"], 65534);
        let delivered = &release.named("ExternalSecret", name)["spec"]["target"]["name"];
        assert_eq!(delivered, name, "the pod mounts the Secret that External Secrets creates");
    }
}

#[test]
fn serving_pods_get_only_the_api_key_and_their_own_login() {
    let release = Release::of("spain");
    let spec = &release.named("ExternalSecret", NAME)["spec"];
    assert_eq!(
        single_values(spec),
        [("DB_USERNAME", "db-app", "username"), ("DB_PASSWORD", "db-app", "password")]
    );
    let whole: Vec<&str> =
        list(&spec["dataFrom"]).iter().map(|from| source(&from["extract"]["key"])).collect();
    assert_eq!(whole, ["api"], "all keys are taken, so that a rotation can keep two of them valid");
    assert_eq!(spec["secretStoreRef"], json!({"kind": "ClusterSecretStore", "name": "aws-secrets-manager"}));
    assert_eq!(spec["refreshInterval"], "1h", "a rotated key is delivered automatically");
}

#[test]
fn only_the_migration_gets_the_master_users_login() {
    let release = Release::of("spain");
    let spec = &release.named("ExternalSecret", MIGRATION)["spec"];
    let mut taken = single_values(spec);
    taken.sort_unstable();
    assert_eq!(
        taken,
        [
            ("app-password", "db-app", "password"),
            ("app-username", "db-app", "username"),
            ("master-password", "db-01234567", "password"),
            ("master-username", "db-01234567", "username"),
            ("migrator-password", "db-migrator", "password"),
            ("migrator-username", "db-migrator", "username"),
        ]
    );
    assert_eq!(spec.get("dataFrom"), None);
}

#[test]
fn the_chart_contains_no_secret() {
    assert_eq!(Release::of("spain").all("Secret").len(), 0);
}

/// File, secret and property of each single value.
fn single_values(spec: &Value) -> Vec<(&str, &str, &str)> {
    list(&spec["data"])
        .iter()
        .map(|data| {
            let from = &data["remoteRef"];
            (text(&data["secretKey"]), source(&from["key"]), text(&from["property"]))
        })
        .collect()
}

/// Which of the example secrets an ARN names.
fn source(arn: &Value) -> &str {
    let name = text(arn).rsplit(['/', '!']).next().unwrap();
    ["api", "db-app", "db-migrator", "db-01234567"]
        .into_iter()
        .find(|secret| name.starts_with(secret))
        .unwrap()
}
