//! A private bucket whose objects one key encrypts: created, checked, corrected.

mod lifecycle;
mod policy;

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::SdkError,
    types::{
        BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus,
        CreateBucketConfiguration, LifecycleRule, PublicAccessBlockConfiguration, ServerSideEncryption,
        ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag,
        Tagging, VersioningConfiguration,
    },
};

pub use self::lifecycle::{JOURNAL, PASSING};
use self::{lifecycle::with_our_rules, policy::with_our_statements};
use super::{classify, is_missing, partition};
use crate::task::{Error, ErrorExt, Result};

/// The region that `CreateBucket` only accepts by leaving the location constraint out.
const DEFAULT_REGION: &str = "us-east-1";

/// A bucket of one account.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
    account: String,
    aws_region: String,
}

/// A setting that a bucket lacks to be private, versioned and encrypted with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    PublicAccessBlock,
    Encryption,
    Versioning,
    Policy,
    Lifecycle,
    Tags,
}

impl Setting {
    /// In the order of their importance, in which a new bucket gets them.
    pub const ALL: [Self; 6] = [
        Self::PublicAccessBlock,
        Self::Encryption,
        Self::Versioning,
        Self::Policy,
        Self::Lifecycle,
        Self::Tags,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::PublicAccessBlock => "public access block",
            Self::Encryption => "encryption",
            Self::Versioning => "versioning",
            Self::Policy => "policy (TLS and its key only)",
            Self::Lifecycle => "lifecycle (old versions of leases, locks and records)",
            Self::Tags => "tags",
        }
    }
}

/// What a bucket's settings should contain.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The ARN of the key that encrypts its objects.
    pub key: &'a str,
    pub tags: &'a BTreeMap<&'a str, &'a str>,
}

impl Bucket {
    pub fn new(aws: &SdkConfig, aws_region: &str, account: &str, name: &str) -> Self {
        let client = Client::new(aws);
        Self { client, name: name.to_owned(), account: account.to_owned(), aws_region: aws_region.to_owned() }
    }

    /// Whether the bucket exists in this account.
    ///
    /// # Errors
    /// When it belongs to another account or region.
    pub async fn exists(&self) -> Result<bool> {
        let head = self.client.head_bucket().bucket(&self.name).expected_bucket_owner(&self.account);
        let Err(error) = head.send().await else { return Ok(true) };
        // The response to HEAD has no body, and therefore no error code.
        match status(&error) {
            Some(404) => Ok(false),
            Some(301) => Err(Error::permanent(format!(
                "bucket `{}` exists in another region than `{}`",
                self.name, self.aws_region
            ))
            .with_hint("delete it if it is empty, or change `project` in paydeploy.toml")),
            Some(403) => Err(self.foreign()),
            _ => Err(classify(error)).doing(format!("check whether bucket `{}` exists", self.name)),
        }
    }

    fn foreign(&self) -> Error {
        let Self { name, account, .. } = self;
        let message =
            format!("bucket `{name}` belongs to another account than {account}, or access to it is denied");
        Error::permanent(message).with_hint(
            "if it is another account's, change `project` in paydeploy.toml; if it is yours, allow s3:ListBucket \
             on it",
        )
    }

    /// Creates the bucket. One that already exists in this account counts as created: two runs may race.
    pub async fn create(&self) -> Result<()> {
        let mut create = self.client.create_bucket().bucket(&self.name);
        if self.aws_region != DEFAULT_REGION {
            let place = BucketLocationConstraint::from(self.aws_region.as_str());
            let place = CreateBucketConfiguration::builder().location_constraint(place).build();
            create = create.create_bucket_configuration(place);
        }
        match create.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(service) if service.is_bucket_already_owned_by_you() => Ok(()),
                Some(service) if service.is_bucket_already_exists() => Err(self.foreign()),
                _ => Err(classify(error)).doing(format!("create bucket `{}`", self.name)),
            },
        }
    }

    /// The settings that differ from the wanted ones.
    pub async fn missing(&self, wanted: &Wanted<'_>) -> Result<Vec<Setting>> {
        let (private, encrypted, versioned, policy, rules, tagged) = tokio::try_join!(
            Box::pin(self.is_private()),
            Box::pin(self.is_encrypted(wanted.key)),
            Box::pin(self.is_versioned()),
            Box::pin(self.policy()),
            Box::pin(self.rules()),
            Box::pin(self.tags()),
        )
        .doing(format!("read the settings of bucket `{}`", self.name))?;
        let checks = [
            (Setting::PublicAccessBlock, private),
            (Setting::Encryption, encrypted),
            (Setting::Versioning, versioned),
            (Setting::Policy, self.with_our_statements(policy.as_deref(), wanted.key)?.is_none()),
            (Setting::Lifecycle, with_our_rules(&rules)?.is_none()),
            (
                Setting::Tags,
                wanted.tags.iter().all(|(key, value)| tagged.get(*key).is_some_and(|has| has == value)),
            ),
        ];
        Ok(checks.into_iter().filter(|(_, good)| !good).map(|(setting, _)| setting).collect())
    }

    /// Corrects a setting.
    pub async fn correct(&self, setting: Setting, wanted: &Wanted<'_>) -> Result<()> {
        match setting {
            Setting::PublicAccessBlock => self.block_public_access().await,
            Setting::Encryption => self.encrypt(wanted.key).await,
            Setting::Versioning => self.enable_versioning().await,
            Setting::Policy => self.restrict(wanted.key).await,
            Setting::Lifecycle => self.let_pass().await,
            Setting::Tags => self.tag(wanted.tags).await,
        }
        .doing(format!("set {} of bucket `{}`", setting.as_str(), self.name))
    }

    async fn is_private(&self) -> Result<bool> {
        let got = self.client.get_public_access_block().bucket(&self.name).send().await;
        let Some(got) = if_present(got)? else { return Ok(false) };
        Ok(got.public_access_block_configuration().is_some_and(|block| {
            [
                block.block_public_acls(),
                block.block_public_policy(),
                block.ignore_public_acls(),
                block.restrict_public_buckets(),
            ]
            .iter()
            .all(|set| *set == Some(true))
        }))
    }

    async fn block_public_access(&self) -> Result<()> {
        let block = PublicAccessBlockConfiguration::builder()
            .block_public_acls(true)
            .block_public_policy(true)
            .ignore_public_acls(true)
            .restrict_public_buckets(true)
            .build();
        let put = self.client.put_public_access_block().bucket(&self.name);
        put.public_access_block_configuration(block).send().await.map_err(classify)?;
        Ok(())
    }

    async fn is_encrypted(&self, key: &str) -> Result<bool> {
        let got = self.client.get_bucket_encryption().bucket(&self.name).send().await;
        let Some(got) = if_present(got)? else { return Ok(false) };
        let rules = got
            .server_side_encryption_configuration()
            .map(ServerSideEncryptionConfiguration::rules)
            .unwrap_or_default();
        Ok(rules.iter().any(|rule| is_with(rule, key)))
    }

    /// Affects new objects only: S3 remembers for each object how it was encrypted, so those from before stay readable.
    async fn encrypt(&self, key: &str) -> Result<()> {
        let default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(ServerSideEncryption::AwsKms)
            .kms_master_key_id(key)
            .build()?;
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(default)
            // One request to KMS per bucket and a while, instead of one per object.
            .bucket_key_enabled(true)
            .build();
        let rules = ServerSideEncryptionConfiguration::builder().rules(rule).build()?;
        let put = self.client.put_bucket_encryption().bucket(&self.name);
        put.server_side_encryption_configuration(rules).send().await.map_err(classify)?;
        Ok(())
    }

    async fn is_versioned(&self) -> Result<bool> {
        let got = self.client.get_bucket_versioning().bucket(&self.name).send().await.map_err(classify)?;
        Ok(got.status() == Some(&BucketVersioningStatus::Enabled))
    }

    async fn enable_versioning(&self) -> Result<()> {
        let on = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let put = self.client.put_bucket_versioning().bucket(&self.name).versioning_configuration(on);
        put.send().await.map_err(classify)?;
        Ok(())
    }

    async fn policy(&self) -> Result<Option<String>> {
        let got = self.client.get_bucket_policy().bucket(&self.name).send().await;
        Ok(if_present(got)?.and_then(|got| got.policy))
    }

    async fn restrict(&self, key: &str) -> Result<()> {
        let present = self.policy().await?;
        let Some(policy) = self.with_our_statements(present.as_deref(), key)? else { return Ok(()) };
        let put = self.client.put_bucket_policy().bucket(&self.name).policy(policy);
        put.send().await.map_err(classify)?;
        Ok(())
    }

    fn with_our_statements(&self, policy: Option<&str>, key: &str) -> Result<Option<String>> {
        let arn = format!("arn:{}:s3:::{}", partition(&self.aws_region), self.name);
        with_our_statements(policy, &arn, key).doing(format!("read the policy of bucket `{}`", self.name))
    }

    async fn rules(&self) -> Result<Vec<LifecycleRule>> {
        let got = self.client.get_bucket_lifecycle_configuration().bucket(&self.name).send().await;
        Ok(if_present(got)?.and_then(|got| got.rules).unwrap_or_default())
    }

    /// Sets our rules and keeps all others, because the call replaces the whole set.
    async fn let_pass(&self) -> Result<()> {
        let Some(rules) = with_our_rules(&self.rules().await?)? else { return Ok(()) };
        let rules = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build()?;
        let put = self.client.put_bucket_lifecycle_configuration().bucket(&self.name);
        put.lifecycle_configuration(rules).send().await.map_err(classify)?;
        Ok(())
    }

    async fn tags(&self) -> Result<BTreeMap<String, String>> {
        let got = self.client.get_bucket_tagging().bucket(&self.name).send().await;
        let tags = if_present(got)?.map(|got| got.tag_set).unwrap_or_default();
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// Sets the tags and keeps all others, because the call replaces the whole set.
    async fn tag(&self, tags: &BTreeMap<&str, &str>) -> Result<()> {
        let mut all = self.tags().await?;
        all.extend(tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let mut tagging = Tagging::builder();
        for (key, value) in all {
            tagging = tagging.tag_set(Tag::builder().key(key).value(value).build()?);
        }
        let put = self.client.put_bucket_tagging().bucket(&self.name).tagging(tagging.build()?);
        put.send().await.map_err(classify)?;
        Ok(())
    }
}

/// Whether objects are encrypted with this key unless a request names another one.
fn is_with(rule: &ServerSideEncryptionRule, key: &str) -> bool {
    let default = rule.apply_server_side_encryption_by_default();
    rule.bucket_key_enabled() == Some(true)
        && default.is_some_and(|default| {
            *default.sse_algorithm() == ServerSideEncryption::AwsKms
                && default.kms_master_key_id() == Some(key)
        })
}

/// A setting of a bucket; `None` if it was never set, which S3 reports as an error.
fn if_present<T, E>(got: Result<T, SdkError<E>>) -> Result<Option<T>>
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match got {
        Ok(got) => Ok(Some(got)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(classify(error)),
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}
