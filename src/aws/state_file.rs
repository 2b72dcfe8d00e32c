//! Terraform's state in S3: what can be read from it without running Terraform.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{classify, is_missing};
use crate::task::{Error, ErrorExt, Result};

/// The supported version of the state format, which Terraform has used since 0.12.
const VERSION: u64 = 4;

/// The types that a kept key consists of.
const KEY_TYPES: [&str; 2] = ["aws_kms_alias", "aws_kms_key"];

/// A state without its resources' attributes, which may hold secrets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateFile {
    /// Instances of managed resources.
    pub resources: usize,
    /// How many of those are tainted: their creation failed half-way.
    pub tainted: usize,
    /// The addresses of KMS keys and their aliases.
    pub keys: Vec<String>,
    outputs: BTreeMap<String, Value>,
}

/// The lock on a state, as Terraform writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StateLock {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(default)]
    pub who: String,
    #[serde(default)]
    pub operation: String,
    #[serde(default)]
    pub created: String,
    /// What the holder says about itself; Terraform leaves it empty.
    #[serde(default)]
    pub info: String,
}

impl StateFile {
    /// Parses a state.
    ///
    /// # Errors
    /// When its format is not supported.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let raw: RawState = serde_json::from_slice(text).doing("parse a Terraform state")?;
        if raw.version != VERSION {
            let message =
                format!("the Terraform state has format {}, but only {VERSION} is supported", raw.version);
            return Err(Error::permanent(message).with_hint("use a newer paydeploy"));
        }
        let managed = || raw.resources.iter().filter(|resource| resource.mode == "managed");
        let instances: Vec<&RawInstance> = managed().flat_map(|resource| &resource.instances).collect();
        let keys = managed().filter(|one| KEY_TYPES.contains(&one.kind.as_str()));
        let keys = keys.map(RawResource::address).collect();
        let tainted = instances.iter().filter(|one| one.status.as_deref() == Some("tainted")).count();
        let outputs = raw.outputs.into_iter().map(|(name, output)| (name, output.value)).collect();
        Ok(Self { resources: instances.len(), tainted, keys, outputs })
    }

    /// The outputs as a fact.
    ///
    /// # Errors
    /// With the name of the output that is missing or has another type.
    pub fn outputs<F: DeserializeOwned>(&self) -> Result<F, serde_json::Error> {
        let outputs = self.outputs.iter().map(|(name, value)| (name.clone(), value.clone()));
        serde_json::from_value(Value::Object(outputs.collect()))
    }
}

#[derive(Deserialize)]
struct RawState {
    version: u64,
    #[serde(default)]
    outputs: BTreeMap<String, RawOutput>,
    #[serde(default)]
    resources: Vec<RawResource>,
}

#[derive(Deserialize)]
struct RawOutput {
    value: Value,
}

#[derive(Deserialize)]
struct RawResource {
    module: Option<String>,
    mode: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    instances: Vec<RawInstance>,
}

impl RawResource {
    /// The address of all its instances.
    fn address(&self) -> String {
        let module = self.module.as_deref().map(|module| format!("{module}.")).unwrap_or_default();
        format!("{module}{}.{}", self.kind, self.name)
    }
}

#[derive(Deserialize)]
struct RawInstance {
    status: Option<String>,
}

/// The state at a key; `None` if the bucket or the key does not exist.
pub async fn state(aws: &SdkConfig, bucket: &str, key: &str) -> Result<Option<StateFile>> {
    let text = object(aws, bucket, key).await.doing(format!("read the state `s3://{bucket}/{key}`"))?;
    text.as_deref().map(StateFile::parse).transpose().doing(format!("parse the state `s3://{bucket}/{key}`"))
}

/// The lock on the state at a key; `None` if it is not locked.
pub async fn lock(aws: &SdkConfig, bucket: &str, key: &str) -> Result<Option<StateLock>> {
    let key = format!("{key}.tflock");
    let text = object(aws, bucket, &key).await.doing(format!("read the lock `s3://{bucket}/{key}`"))?;
    let lock = text.map(|text| serde_json::from_slice(&text)).transpose();
    lock.doing(format!("parse the lock `s3://{bucket}/{key}`"))
}

async fn object(aws: &SdkConfig, bucket: &str, key: &str) -> Result<Option<Vec<u8>>> {
    let got = match aws_sdk_s3::Client::new(aws).get_object().bucket(bucket).key(key).send().await {
        Ok(got) => got,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(classify(error)),
    };
    let body = got.body.collect().await.map_err(|error| Error::transient(error.to_string()))?;
    Ok(Some(body.into_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{StateFile, StateLock};

    const STATE: &str = r#"{
        "version": 4, "terraform_version": "1.11.4", "serial": 12, "lineage": "x",
        "outputs": {
            "vpc_id": {"value": "vpc-1", "type": "string"},
            "nat_public_ips": {"value": ["192.0.2.1"], "type": ["list", "string"]}
        },
        "resources": [
            {"mode": "data", "type": "aws_partition", "name": "current", "instances": [{}]},
            {"mode": "managed", "type": "aws_vpc", "name": "this", "instances": [{"schema_version": 1}]},
            {"mode": "data", "type": "aws_kms_key", "name": "of_others", "instances": [{}]},
            {"module": "module.key", "mode": "managed", "type": "aws_kms_key", "name": "this", "instances": [{}]},
            {"mode": "managed", "type": "aws_eip", "name": "nat",
             "instances": [{"index_key": 0}, {"index_key": 1, "status": "tainted"}]}
        ]
    }"#;

    #[derive(Debug, Deserialize)]
    struct Outputs {
        vpc_id: String,
        nat_public_ips: Vec<String>,
    }

    #[derive(Debug, Deserialize)]
    struct More {
        #[serde(rename = "cluster_name")]
        _cluster: String,
    }

    #[test]
    fn a_state_has_outputs_and_a_count_of_managed_resources() {
        let state = StateFile::parse(STATE.as_bytes()).unwrap();
        assert_eq!((state.resources, state.tainted), (4, 1));
        assert_eq!(state.keys, ["module.key.aws_kms_key.this"]);
        let outputs: Outputs = state.outputs().unwrap();
        assert_eq!((outputs.vpc_id.as_str(), outputs.nat_public_ips.len()), ("vpc-1", 1));
        assert!(state.outputs::<More>().unwrap_err().to_string().contains("cluster_name"));
    }

    #[test]
    fn a_state_in_another_format_is_refused() {
        let error = StateFile::parse(br#"{"version": 5}"#).unwrap_err();
        assert_eq!(error.to_string(), "the Terraform state has format 5, but only 4 is supported");
    }

    #[test]
    fn a_lock_names_its_holder() {
        let text = r#"{"ID":"17ae","Operation":"OperationTypeApply","Info":"","Who":"ci@runner-7",
            "Version":"1.11.4","Created":"2026-11-22T10:00:00.1Z","Path":"b/k"}"#;
        let lock: StateLock = serde_json::from_str(text).unwrap();
        assert_eq!((lock.id.as_str(), lock.who.as_str()), ("17ae", "ci@runner-7"));
    }
}
