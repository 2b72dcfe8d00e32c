//! Releases as Helm stores them: one Secret per revision, which holds gzipped JSON in base64.

use std::io::Read;

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::read::GzDecoder;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, api::ListParams};
use semver::Version;
use serde::Deserialize;
use serde_json::Value;

use super::{values, wanted::Wanted};
use crate::{
    kubernetes::classify,
    task::{Class, Error, ErrorExt, Result},
};

/// The label of a revision that paydeploy had Helm write: it shows whose it is while it is pending.
pub(super) const MARK: &str = "paydeploy.io/claim";

/// The newest revision of a release.
#[derive(Debug, Clone)]
pub struct Stored {
    pub revision: u32,
    /// `deployed`, `failed`, `pending-upgrade`, …
    pub status: String,
    pub version: String,
    pub app_version: String,
    /// Rendered, without hooks.
    pub manifest: String,
    /// The latest earlier revision that was deployed successfully.
    pub last_good: Option<u32>,
    /// The label that our Helm writes, see [`MARK`].
    pub(super) mark: Option<String>,
    /// When the operation that led to `status` started; `None` if the time cannot be parsed.
    pub since: Option<jiff::Timestamp>,
    values: Value,
}

impl Stored {
    /// Whether Helm is working on it, or was when it was killed.
    pub fn is_pending(&self) -> bool {
        self.status.starts_with("pending-") || self.status == "uninstalling"
    }

    #[cfg(test)]
    pub fn of_version(version: &str) -> Self {
        Self { version: version.to_owned(), ..Self::for_tests("deployed", None, jiff::Timestamp::UNIX_EPOCH) }
    }

    #[cfg(test)]
    pub(super) fn for_tests(status: &str, last_good: Option<u32>, since: jiff::Timestamp) -> Self {
        Self {
            revision: 4,
            status: status.to_owned(),
            version: String::new(),
            app_version: String::new(),
            manifest: String::new(),
            last_good,
            mark: None,
            since: Some(since),
            values: Value::Null,
        }
    }

    /// See [`super::Compared::refuse_downgrade`].
    pub(super) fn refuse_downgrade(&self, wanted: &Wanted) -> Result<()> {
        let number = |text: &str| Version::parse(text.trim_start_matches('v')).ok();
        // A chart of which nothing runs, because its upgrade failed, is replaced by any other.
        let is_newer = matches!((number(&self.version), number(&wanted.version)), (Some(it), Some(wanted)) if it > wanted);
        if self.status != "deployed" || !is_newer {
            return Ok(());
        }
        let Wanted { release, version, .. } = wanted;
        let message = format!(
            "add-on `{release}` has chart {}, and paydeploy.toml has {version}, which is older",
            self.version
        );
        Err(Error::msg(Class::Refused, message).with_hint(
            "set the version that runs or a later one; to go back anyway, add `--allow-downgrade`",
        ))
    }

    pub(super) fn changes(&self, wanted: &Wanted) -> Vec<String> {
        let mut lines = Vec::new();
        if self.status != "deployed" {
            lines.push(format!("revision {} is {}", self.revision, self.status));
        }
        if self.version.trim_start_matches('v') != wanted.version.trim_start_matches('v') {
            lines.push(format!("chart {} → {}", self.version, wanted.version));
        }
        let keys = values::differing(&self.values, &wanted.values);
        if !keys.is_empty() {
            lines.push(format!("values: {}", keys.join(", ")));
        }
        lines
    }
}

/// The newest revision of a release; `None` when it is not installed.
pub async fn latest(client: &Client, namespace: &str, release: &str) -> Result<Option<Stored>> {
    let doing = || format!("read Helm's release `{release}` in namespace `{namespace}`");
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let params = ListParams::default().labels(&format!("owner=helm,name={release}"));
    // Only metadata is listed first, because each revision may be almost a megabyte.
    let known = api.list_metadata(&params).await.map_err(classify).doing(doing())?;
    let revision =
        |labels: &std::collections::BTreeMap<String, String>| labels.get("version")?.parse::<u32>().ok();
    let newest = known
        .items
        .iter()
        .filter_map(|secret| Some((revision(secret.labels())?, secret)))
        .max_by_key(|(n, _)| *n);
    let Some((number, newest)) = newest else { return Ok(None) };
    let mark = newest.labels().get(MARK).cloned();
    let good = known.items.iter().filter(|secret| {
        secret.labels().get("status").is_some_and(|status| status == "deployed" || status == "superseded")
    });
    let last_good = good.filter_map(|secret| revision(secret.labels())).filter(|good| *good < number).max();
    let Some(secret) = api.get_opt(&newest.name_any()).await.map_err(classify).doing(doing())? else {
        return Err(Error::transient("it was replaced while it was read")).doing(doing());
    };
    let payload = secret.data.and_then(|mut data| data.remove("release"));
    let payload = payload.ok_or_else(|| Error::permanent("its Secret is empty")).doing(doing())?;
    let mut stored = decode(&payload.0).doing(doing())?;
    stored.revision = number;
    stored.last_good = last_good;
    stored.mark = mark;
    Ok(Some(stored))
}

#[derive(Deserialize)]
struct Payload {
    info: Info,
    chart: Chart,
    #[serde(default)]
    config: Value,
    #[serde(default)]
    manifest: String,
}

#[derive(Deserialize)]
struct Info {
    status: String,
    #[serde(default)]
    last_deployed: String,
}

#[derive(Deserialize)]
struct Chart {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    version: String,
    #[serde(default)]
    app_version: String,
}

fn decode(payload: &[u8]) -> Result<Stored> {
    let packed = BASE64_STANDARD.decode(payload)?;
    let mut json = Vec::new();
    if packed.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(packed.as_slice()).read_to_end(&mut json)?;
    } else {
        // Early versions of Helm 3 did not compress.
        json = packed;
    }
    let payload: Payload = serde_json::from_slice(&json)?;
    let values =
        if payload.config.is_null() { Value::Object(serde_json::Map::new()) } else { payload.config };
    Ok(Stored {
        revision: 0,
        status: payload.info.status,
        version: payload.chart.metadata.version,
        app_version: payload.chart.metadata.app_version,
        manifest: payload.manifest,
        last_good: None,
        mark: None,
        since: payload.info.last_deployed.parse().ok(),
        values,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    fn packed(release: &Value) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(release.to_string().as_bytes()).unwrap();
        BASE64_STANDARD.encode(gzip.finish().unwrap()).into_bytes()
    }

    fn release(status: &str, config: Value) -> Value {
        json!({
            "name": "external-dns",
            "info": { "status": status, "last_deployed": "2026-11-22T18:30:00.123456789+01:00", "notes": "x" },
            "chart": { "metadata": { "name": "external-dns", "version": "1.19.0", "appVersion": "0.21.0" }, "templates": [] },
            "config": config,
            "manifest": "kind: Deployment",
            "version": 3,
        })
    }

    fn wanted(version: &str, values: Value) -> Wanted {
        Wanted {
            release: "external-dns".to_owned(),
            namespace: "external-dns".to_owned(),
            chart: "oci://x/external-dns".to_owned(),
            version: version.to_owned(),
            values,
        }
    }

    #[test]
    fn a_release_is_decoded_as_helm_encoded_it() {
        let stored = decode(&packed(&release("deployed", json!({ "a": 1 })))).unwrap();
        assert_eq!((stored.status.as_str(), stored.version.as_str()), ("deployed", "1.19.0"));
        assert_eq!(stored.app_version, "0.21.0");
        assert_eq!(stored.since.unwrap().to_string(), "2026-11-22T17:30:00.123456789Z");
        assert!(!stored.is_pending());
        decode(b"not base64!").unwrap_err();
    }

    #[test]
    fn a_release_is_unchanged_when_chart_values_and_status_match() {
        let stored = decode(&packed(&release("deployed", json!({ "a": 1 })))).unwrap();
        assert_eq!(stored.changes(&wanted("1.19.0", json!({ "a": 1.0 }))), Vec::<String>::new());
        let lines = stored.changes(&wanted("1.20.0", json!({ "a": 2, "b": 3 })));
        assert_eq!(lines, ["chart 1.19.0 → 1.20.0", "values: a, b"]);
    }

    #[test]
    fn only_an_older_chart_than_the_one_that_runs_is_refused() {
        let runs = decode(&packed(&release("deployed", Value::Null))).unwrap();
        for version in ["1.19.0", "v1.19.0", "1.20.0", "not a version"] {
            runs.refuse_downgrade(&wanted(version, Value::Null)).unwrap();
        }
        let refused = runs.refuse_downgrade(&wanted("1.9.0", Value::Null)).unwrap_err();
        let expected = "add-on `external-dns` has chart 1.19.0, and paydeploy.toml has 1.9.0, which is older";
        assert_eq!((refused.class, refused.to_string().as_str()), (Class::Refused, expected));
        let failed = decode(&packed(&release("failed", Value::Null))).unwrap();
        failed.refuse_downgrade(&wanted("1.9.0", Value::Null)).unwrap();
    }

    #[test]
    fn a_release_without_values_equals_empty_values() {
        let stored = decode(&packed(&release("deployed", Value::Null))).unwrap();
        assert_eq!(stored.changes(&wanted("1.19.0", json!({}))), Vec::<String>::new());
    }

    #[test]
    fn a_failed_or_pending_release_is_upgraded_again() {
        for status in ["failed", "pending-install", "pending-upgrade", "uninstalling"] {
            let stored = decode(&packed(&release(status, json!({})))).unwrap();
            assert_eq!(stored.changes(&wanted("1.19.0", json!({}))), [format!("revision 0 is {status}")]);
            assert_eq!(stored.is_pending(), status != "failed");
        }
    }
}
