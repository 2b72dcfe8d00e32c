//! The phase `secrets` in an account without a cluster: what it fills, what it restores, and what it leaves alone.

use aws_sdk_secretsmanager::Client;
use serde_json::{Value, json};

use crate::{
    account::{OURS, account},
    checkout::Checkout,
    world::ends_with,
};

const REGION: &str = "eu-south-2";

/// The region's secrets as the stack `foundation` and an earlier release left them.
pub struct Secrets {
    client: Client,
    /// Has a value, and is scheduled for deletion.
    pub deleted: String,
    /// Has no value yet.
    pub empty: String,
    /// Has a value.
    pub filled: String,
}

pub const API_KEY: &str = r#"{"API_SECRET_KEY":"the key that clients have"}"#;
pub const LOGIN: &str = r#"{"username":"migrator","password":"the password in the database"}"#;

impl Secrets {
    pub async fn of(project: &str) -> Self {
        let by = account().user(&format!("{project}-team"), OURS);
        let sdk = account().sdk(&by, REGION).await;
        let client = Client::new(&sdk);
        let create = async |name: &str, value: Option<&str>| {
            let create = client.create_secret().name(format!("{project}/{name}"));
            let created = create.set_secret_string(value.map(str::to_owned)).send().await.unwrap();
            created.arn.unwrap()
        };
        let deleted = create("api", Some(API_KEY)).await;
        let (empty, filled) = (create("app", None).await, create("migrator", Some(LOGIN)).await);
        client.delete_secret().secret_id(&deleted).recovery_window_in_days(7).send().await.unwrap();
        let secrets = Self { client, deleted, empty, filled };
        secrets.write_state(&sdk, project).await;
        secrets
    }

    /// The state of the stack `foundation`, from which the phase reads which secrets there are.
    async fn write_state(&self, sdk: &aws_config::SdkConfig, project: &str) {
        let outputs = json!({
            "vpc_id": "", "nat_public_ips": [], "ecr_repository_name": "", "ecr_repository_url": "",
            "api_secret_arn": self.deleted,
            "db_app_secret_arn": self.empty,
            "db_migrator_secret_arn": self.filled,
            "certificate_arn": "", "hosted_zone_id": "", "hosted_zone_name": "", "app_domain": "",
        });
        let outputs: serde_json::Map<String, Value> = outputs
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), json!({ "value": value })))
            .collect();
        let state = json!({
            "version": 4,
            "outputs": outputs,
            "resources": [{ "mode": "managed", "instances": [{}] }],
        });
        let bucket = format!("{project}-tfstate-{OURS}-{REGION}");
        let s3 = aws_sdk_s3::Client::new(sdk);
        let place = aws_sdk_s3::types::CreateBucketConfiguration::builder()
            .location_constraint(REGION.into())
            .build();
        s3.create_bucket().bucket(&bucket).create_bucket_configuration(place).send().await.unwrap();
        let key = format!("{project}/spain/foundation.tfstate");
        s3.put_object()
            .bucket(bucket)
            .key(key)
            .body(state.to_string().into_bytes().into())
            .send()
            .await
            .unwrap();
    }

    /// Schedules a secret's deletion, as a person does by mistake.
    pub async fn delete(&self, arn: &str) {
        self.client.delete_secret().secret_id(arn).send().await.unwrap();
    }

    pub async fn value(&self, arn: &str) -> String {
        self.client.get_secret_value().secret_id(arn).send().await.unwrap().secret_string.unwrap()
    }

    /// How many values a secret has had, including deprecated ones.
    pub async fn versions(&self, arn: &str) -> usize {
        let listed =
            self.client.list_secret_version_ids().secret_id(arn).include_deprecated(true).send().await;
        listed.unwrap().versions().len()
    }
}

fn fill(checkout: &Checkout) -> String {
    let mut phase = checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
    ends_with(0, phase.args(["phase", "secrets", "--region", "spain"]))
}

#[tokio::test]
async fn a_deleted_secret_is_restored_an_empty_one_filled_and_no_value_ever_replaced() {
    let checkout = Checkout::new();
    checkout.rename_project("restored");
    let secrets = Secrets::of("restored").await;

    let output = fill(&checkout);
    assert_eq!(secrets.value(&secrets.deleted).await, API_KEY, "restored with the value that it had");
    assert_eq!(secrets.value(&secrets.filled).await, LOGIN);
    let login = secrets.value(&secrets.empty).await;
    let fresh: Value = serde_json::from_str(&login).unwrap();
    assert_eq!(fresh["username"], "app");
    let password = fresh["password"].as_str().unwrap();
    assert!(password.len() >= 32 && !output.contains(password), "{output}");

    let changes = checkout.lasting_changes();
    fill(&checkout);
    assert_eq!(checkout.lasting_changes(), changes, "a second run changes nothing");
    assert_eq!(secrets.value(&secrets.empty).await, login);
}
