//! Terraform's state as it lies in S3: what a look can tell without running terraform.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{classify, is_missing};
use crate::task::{Error, ErrorExt, Result};

/// The version of the format that is understood.
const VERSION: u64 = 4;

/// What a state says, without its resources' attributes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateFile {
    /// Instances of managed resources.
    pub resources: usize,
    /// Of those, the ones whose creation was not finished.
    pub tainted: usize,
    outputs: BTreeMap<String, Value>,
}

/// Who holds the lock on a state, as terraform writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Lock {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(default)]
    pub who: String,
    #[serde(default)]
    pub operation: String,
    #[serde(default)]
    pub created: String,
}

impl StateFile {
    /// Reads the text of a state.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let raw: RawState = serde_json::from_slice(text).doing("read a Terraform state")?;
        if raw.version != VERSION {
            let message = format!("the Terraform state has format {}, not {VERSION}", raw.version);
            return Err(Error::permanent(message).with_hint("use a newer `paydeploy`"));
        }
        let managed = raw.resources.iter().filter(|resource| resource.mode == "managed");
        let instances: Vec<&RawInstance> = managed.flat_map(|resource| &resource.instances).collect();
        let tainted = instances.iter().filter(|one| one.status.as_deref() == Some("tainted")).count();
        let outputs = raw.outputs.into_iter().map(|(name, output)| (name, output.value)).collect();
        Ok(Self { resources: instances.len(), tainted, outputs })
    }

    /// The outputs as a fact; `Err` names the output that is missing or of another type.
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
    mode: String,
    #[serde(default)]
    instances: Vec<RawInstance>,
}

#[derive(Deserialize)]
struct RawInstance {
    status: Option<String>,
}

/// The state at a key; `None` where there is no such bucket or key.
pub async fn state(aws: &SdkConfig, bucket: &str, key: &str) -> Result<Option<StateFile>> {
    let text = object(aws, bucket, key).await.doing(format!("read the state `s3://{bucket}/{key}`"))?;
    text.as_deref().map(StateFile::parse).transpose().doing(format!("understand `s3://{bucket}/{key}`"))
}

/// Who holds the lock on the state at a key, if anybody does.
pub async fn lock(aws: &SdkConfig, bucket: &str, key: &str) -> Result<Option<Lock>> {
    let key = format!("{key}.tflock");
    let text = object(aws, bucket, &key).await.doing(format!("read the lock `s3://{bucket}/{key}`"))?;
    let lock = text.map(|text| serde_json::from_slice(&text)).transpose();
    lock.doing(format!("understand the lock `s3://{bucket}/{key}`"))
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

    use super::{Lock, StateFile};

    const STATE: &str = r#"{
        "version": 4, "terraform_version": "1.11.4", "serial": 12, "lineage": "x",
        "outputs": {
            "vpc_id": {"value": "vpc-1", "type": "string"},
            "nat_public_ips": {"value": ["192.0.2.1"], "type": ["list", "string"]}
        },
        "resources": [
            {"mode": "data", "type": "aws_partition", "name": "current", "instances": [{}]},
            {"mode": "managed", "type": "aws_vpc", "name": "this", "instances": [{"schema_version": 1}]},
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
    fn a_state_tells_its_outputs_and_counts_what_it_manages() {
        let state = StateFile::parse(STATE.as_bytes()).unwrap();
        assert_eq!((state.resources, state.tainted), (3, 1));
        let outputs: Outputs = state.outputs().unwrap();
        assert_eq!((outputs.vpc_id.as_str(), outputs.nat_public_ips.len()), ("vpc-1", 1));
        assert!(state.outputs::<More>().unwrap_err().to_string().contains("cluster_name"));
    }

    #[test]
    fn a_state_of_another_format_is_refused() {
        let error = StateFile::parse(br#"{"version": 5}"#).unwrap_err();
        assert_eq!(error.to_string(), "the Terraform state has format 5, not 4");
    }

    #[test]
    fn a_lock_names_its_holder() {
        let text = r#"{"ID":"17ae","Operation":"OperationTypeApply","Info":"","Who":"ci@runner-7",
            "Version":"1.11.4","Created":"2026-11-22T10:00:00.1Z","Path":"b/k"}"#;
        let lock: Lock = serde_json::from_str(text).unwrap();
        assert_eq!((lock.id.as_str(), lock.who.as_str()), ("17ae", "ci@runner-7"));
    }
}
