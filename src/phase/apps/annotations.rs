//! A release as annotations of the region's cluster Secret, from which the ApplicationSet reads it.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Value, json};

use super::{NAMESPACE, input::ReleaseInput};
use crate::{
    config::{Config, Region},
    step::{ErrorExt, Result},
};

/// The prefix of a release's annotations and labels.
pub const PREFIX: &str = "paydeploy.io/";
/// The label by which the ApplicationSet selects a region.
pub const LABEL: &str = "paydeploy.io/release";

/// A release's annotations, without their prefix.
pub(super) type Annotations = BTreeMap<String, String>;

/// The part of a release that comes from the configuration.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    pub repository: String,
    pub region: String,
    pub aws_region: String,
    pub environment: String,
    pub data_residency: Option<String>,
}

impl Constant {
    pub fn new(config: &Config, region: &Region) -> Self {
        Self {
            repository: config.gitops.repository.clone(),
            region: region.name.to_string(),
            aws_region: region.aws_region.clone(),
            environment: config.profile.as_str().to_owned(),
            data_residency: None,
        }
    }
}

/// The jurisdiction of a region's data, from its Terraform variables; optional there.
pub(super) fn data_residency(var_file: &Path) -> Result<Option<String>> {
    #[derive(serde::Deserialize)]
    struct Variables {
        data_residency: Option<String>,
    }
    let doing = || format!("read `data_residency` in `{}`", var_file.display());
    let text = std::fs::read_to_string(var_file).doing(doing())?;
    let variables: Variables = hcl::from_str(&text).doing(doing())?;
    Ok(variables.data_residency)
}

/// The annotations of a release with these facts.
pub(super) fn annotations(constant: &Constant, input: &ReleaseInput) -> Annotations {
    let ReleaseInput { preflight, foundation, image, secrets, database, certificate, .. } = input;
    let port = database.db_port.to_string();
    let mut annotations: Annotations = [
        ("repository", constant.repository.as_str()),
        ("commit", &preflight.commit.id),
        ("image", &image.repository),
        ("digest", &image.digest.0),
        ("region", &constant.region),
        ("aws-region", &constant.aws_region),
        ("environment", &constant.environment),
        ("domain", &foundation.app_domain),
        ("certificate-arn", &certificate.arn),
        ("api-secret", &secrets.api),
        ("db-app-secret", &secrets.db_app),
        ("db-migrator-secret", &secrets.db_migrator),
        ("db-master-secret", &database.master_secret_arn),
        ("db-host", &database.db_connection_endpoint),
        ("db-direct-host", &database.db_endpoint),
        ("db-port", &port),
        ("db-name", &database.db_name),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    if let Some(jurisdiction) = &constant.data_residency {
        annotations.insert("data-residency".to_owned(), jurisdiction.clone());
    }
    annotations
}

/// The part of the cluster Secret that a release owns. With `label`, the ApplicationSet selects the Secret.
pub(super) fn patch(secret: &str, annotations: &Annotations, label: bool) -> Value {
    let annotations: serde_json::Map<String, Value> =
        annotations.iter().map(|(key, value)| (format!("{PREFIX}{key}"), value.as_str().into())).collect();
    let labels = if label { json!({ LABEL: "true" }) } else { json!({}) };
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": secret, "namespace": NAMESPACE, "labels": labels, "annotations": annotations },
    })
}

/// The changes from one release to another, one line per change: `digest 77ab → 9d1e`.
pub(super) fn changes(current: &Annotations, wanted: &Annotations) -> Vec<String> {
    let mut keys: Vec<_> = current.keys().chain(wanted.keys()).collect();
    keys.sort();
    keys.dedup();
    let text = |of: &Annotations, key: &String| of.get(key).map_or("nothing".to_owned(), |text| short(text));
    keys.into_iter()
        .filter(|key| current.get(*key) != wanted.get(*key))
        .map(|key| format!("{key} {} → {}", text(current, key), text(wanted, key)))
        .collect()
}

/// A digest or a commit shortened to 7 digits; any other text unchanged.
pub(super) fn short(text: &str) -> String {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let is_hash = hex.len() >= 40 && hex.chars().all(|c| c.is_ascii_hexdigit());
    if is_hash { hex[..7].to_owned() } else { text.to_owned() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::fact;

    fn text(text: &str) -> String {
        text.to_owned()
    }

    pub fn constant() -> Constant {
        Constant {
            repository: text("https://git.example/payments.git"),
            region: text("spain"),
            aws_region: text("eu-south-2"),
            environment: text("staging"),
            data_residency: Some(text("EU")),
        }
    }

    pub fn input() -> ReleaseInput {
        let cluster = fact::Cluster {
            cluster_name: text("payments-spain"),
            cluster_endpoint: text("https://x"),
            cluster_ca: String::new(),
            external_secrets_role_arn: String::new(),
            external_dns_role_arn: String::new(),
            lb_controller_role_arn: String::new(),
            argocd_role_arn: String::new(),
        };
        let access = fact::Access { cluster, aws_region: text("eu-south-2") };
        let commit = fact::Commit { id: "4f1c2ab".repeat(6)[..40].to_owned() };
        let foundation = fact::Foundation {
            vpc_id: text("vpc-1"),
            nat_public_ips: Vec::new(),
            ecr_repository_name: text("payments"),
            ecr_repository_url: text("ecr/payments"),
            api_secret_arn: text("arn:api"),
            db_app_secret_arn: text("arn:app"),
            db_migrator_secret_arn: text("arn:migrator"),
            certificate_arn: text("arn:certificate"),
            hosted_zone_id: text("Z1"),
            hosted_zone_name: text("payments.example"),
            app_domain: text("api-es.payments.example"),
        };
        let database = fact::Database {
            db_instance_id: text("db"),
            db_endpoint: text("db.example"),
            db_port: 5432,
            db_name: text("payments"),
            db_connection_endpoint: text("proxy.example"),
            master_secret_arn: text("arn:master"),
        };
        let digest = fact::ImageDigest(format!("sha256:{}", "9d".repeat(32)));
        ReleaseInput {
            access: access.clone(),
            hub_access: access,
            preflight: fact::Preflight { deployer_arn: text("arn:me"), commit },
            registered: fact::Registered { secret: text("cluster-spain") },
            foundation,
            image: fact::Image { repository: text("ecr/payments"), digest },
            secrets: fact::Secrets {
                api: text("arn:api"),
                db_app: text("arn:app"),
                db_migrator: text("arn:migrator"),
            },
            database,
            certificate: fact::Certificate { arn: text("arn:certificate") },
        }
    }

    #[test]
    fn a_release_holds_every_annotation_that_the_applicationset_requires() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/gitops/argocd/applicationset.yaml");
        let manifest = std::fs::read_to_string(manifest).unwrap();
        let held = annotations(&constant(), &input());
        let named = manifest.split(r#"annotations "paydeploy.io/"#).skip(1);
        let named = named.filter_map(|rest| rest.split('"').next());
        let required = manifest.split("range list").nth(1).unwrap().split("}}").next().unwrap();
        let required = required.split('"').skip(1).step_by(2);
        let read: Vec<_> = named.chain(required).collect();
        assert!(read.len() > 17 && read.iter().all(|key| held.contains_key(*key)), "{read:?}");
        assert_eq!(held["db-host"], "proxy.example");
        assert_eq!(held["db-direct-host"], "db.example");
    }

    #[test]
    fn a_region_without_data_residency_has_no_such_annotation() {
        let constant = Constant { data_residency: None, ..constant() };
        assert!(!annotations(&constant, &input()).contains_key("data-residency"));
    }

    #[test]
    fn the_label_is_set_only_on_request() {
        let annotations = annotations(&constant(), &input());
        let with = patch("cluster-spain", &annotations, true);
        assert_eq!(with["metadata"]["labels"][LABEL], "true");
        assert_eq!(with["metadata"]["annotations"]["paydeploy.io/db-port"], "5432");
        assert_eq!(patch("cluster-spain", &annotations, false)["metadata"]["labels"], json!({}));
    }

    #[test]
    fn changes_are_listed_with_short_hashes() {
        let current = annotations(&constant(), &input());
        let mut wanted = current.clone();
        wanted.insert("digest".to_owned(), format!("sha256:{}", "77".repeat(32)));
        wanted.remove("data-residency");
        assert_eq!(changes(&current, &wanted), ["data-residency EU → nothing", "digest 9d9d9d9 → 7777777"]);
        assert_eq!(changes(&current, &current), Vec::<String>::new());
    }
}
