//! A KMS key of our own, known by its alias: created, checked, corrected.

use std::{collections::BTreeMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_kms::{
    Client,
    types::{KeyManagerType, KeyMetadata, KeyState, Tag},
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::Instant;

use super::{classify, is_missing, may_have_acted};
use crate::task::{Error, ErrorExt, Result};

/// KMS's shortest waiting period, for a key that has never encrypted anything.
const SHORTEST_WINDOW_DAYS: i32 = 7;

/// KMS shows new keys and aliases after a few seconds: how long they are looked for, and how often.
const VISIBLE_WITHIN: Duration = Duration::from_secs(5);
const VISIBLE_INTERVAL: Duration = Duration::from_secs(1);

/// A key of one region. Its alias and its description are unique in the account.
#[derive(Debug, Clone)]
pub struct Key {
    client: Client,
    aws_region: String,
    alias: String,
    description: String,
}

/// A setting that a key lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    Rotation,
    Tags,
}

impl Setting {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rotation => "rotation",
            Self::Tags => "tags",
        }
    }
}

impl Key {
    pub fn new(aws: &SdkConfig, aws_region: &str, alias: &str, description: &str) -> Self {
        Self {
            client: Client::new(aws),
            aws_region: aws_region.to_owned(),
            alias: alias.to_owned(),
            description: description.to_owned(),
        }
    }

    /// The ARN of the key that the alias names; `None` if there is no such alias.
    ///
    /// # Errors
    /// When KMS would not use the key: whether to restore it is for the person who disabled it to say.
    pub async fn find(&self) -> Result<Option<String>> {
        let found = self.described().await?;
        found.map(|key| usable(&key, &self.alias, &self.aws_region)).transpose()
    }

    /// As [`Self::find`], but also for a key that KMS would not use.
    pub async fn find_in_any_state(&self) -> Result<Option<String>> {
        Ok(self.described().await?.and_then(|key| key.arn))
    }

    async fn described(&self) -> Result<Option<KeyMetadata>> {
        match self.client.describe_key().key_id(&self.alias).send().await {
            Ok(described) => Ok(described.key_metadata),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(classify(error)).doing(self.reading()),
        }
    }

    /// Creates the key, and then its alias. Adopts a key whose alias an interrupted run did not create.
    pub async fn create(&self, tags: &BTreeMap<&str, &str>) -> Result<String> {
        let doing = || format!("create key `{}`", self.alias);
        if let Some(arn) = self.without_alias().await.doing(doing())? {
            return self.name(&arn).await.doing(doing());
        }
        let arn = self.create_key(tags).await.doing(doing())?;
        let named = self.name(&arn).await.doing(doing())?;
        if named != arn {
            // Another run has created both in the meantime. Ours has encrypted nothing.
            let delete = self.client.schedule_key_deletion().key_id(&arn);
            let delete = delete.pending_window_in_days(SHORTEST_WINDOW_DAYS).send().await;
            delete.map_err(classify).doing(format!("delete key `{arn}`, which is not needed"))?;
        }
        Ok(named)
    }

    async fn create_key(&self, tags: &BTreeMap<&str, &str>) -> Result<String> {
        let create = self.client.create_key().description(&self.description).set_tags(Some(kms_tags(tags)?));
        // The SDK would send it again after a lost answer, and create a second key.
        let once = aws_sdk_kms::config::Builder::default()
            .retry_config(aws_sdk_kms::config::retry::RetryConfig::disabled());
        let created = match create.customize().config_override(once).send().await {
            Ok(created) => created,
            // The step's next attempt looks for the key before it creates another one, but may look too early.
            Err(error) if may_have_acted(&error) => {
                // If this read fails too, the first error says more.
                let found = until_visible(|| self.without_alias()).await.ok().flatten();
                return found.ok_or_else(|| classify(error));
            }
            Err(error) => return Err(classify(error)),
        };
        let arn = created.key_metadata.and_then(|key| key.arn);
        arn.ok_or_else(|| Error::permanent("KMS returned no ARN"))
    }

    /// Points the alias to a key, unless it exists: then returns the ARN of its key.
    async fn name(&self, arn: &str) -> Result<String> {
        let create = self.client.create_alias().alias_name(&self.alias).target_key_id(arn);
        match create.send().await {
            Ok(_) => Ok(arn.to_owned()),
            Err(error)
                if error.as_service_error().is_some_and(
                    aws_sdk_kms::operation::create_alias::CreateAliasError::is_already_exists_exception,
                ) =>
            {
                // Which key it names has to be known now: the next attempt finds this key by its description, and does not
                // compare the two again.
                let named = until_visible(|| self.find()).await?;
                named.ok_or_else(|| {
                    Error::transient(format!("`{}` exists, but is not visible yet", self.alias))
                })
            }
            Err(error) => Err(classify(error)),
        }
    }

    /// A key with our description, whatever its alias.
    async fn without_alias(&self) -> Result<Option<String>> {
        let mut keys = self.client.list_keys().into_paginator().items().send();
        while let Some(key) = keys.next().await {
            let Some(id) = key.map_err(classify)?.key_id else { continue };
            let described = match self.client.describe_key().key_id(&id).send().await {
                Ok(described) => described.key_metadata,
                // A key whose policy excludes us is another team's.
                Err(error)
                    if is_missing(&error)
                        || error.code().is_some_and(|code| code.contains("AccessDenied")) =>
                {
                    None
                }
                Err(error) => return Err(classify(error)),
            };
            let is_ours = |key: &KeyMetadata| {
                key.key_manager == Some(KeyManagerType::Customer)
                    && key.key_state == Some(KeyState::Enabled)
                    && key.description.as_deref() == Some(&self.description)
            };
            if let Some(key) = described.filter(is_ours) {
                return Ok(key.arn);
            }
        }
        Ok(None)
    }

    /// The settings that the key lacks, given the tags that it should have.
    pub async fn missing(&self, arn: &str, tags: &BTreeMap<&str, &str>) -> Result<Vec<Setting>> {
        let rotated = async {
            let status = self.client.get_key_rotation_status().key_id(arn).send().await;
            Ok::<_, Error>(status.map_err(classify)?.key_rotation_enabled())
        };
        let tagged = has_tags(&self.client, arn, tags);
        let (rotated, tagged) =
            tokio::try_join!(Box::pin(rotated), Box::pin(tagged)).doing(self.reading())?;
        let checks = [(Setting::Rotation, rotated), (Setting::Tags, tagged)];
        Ok(checks.into_iter().filter(|(_, good)| !good).map(|(setting, _)| setting).collect())
    }

    /// Corrects a setting.
    pub async fn correct(&self, arn: &str, setting: Setting, tags: &BTreeMap<&str, &str>) -> Result<()> {
        let set = match setting {
            Setting::Rotation => {
                self.client.enable_key_rotation().key_id(arn).send().await.map(drop).map_err(classify)
            }
            Setting::Tags => {
                let tag = self.client.tag_resource().key_id(arn).set_tags(Some(kms_tags(tags)?));
                tag.send().await.map(drop).map_err(classify)
            }
        };
        set.doing(format!("set {} of key `{}`", setting.as_str(), self.alias))
    }

    fn reading(&self) -> String {
        format!("read key `{}`", self.alias)
    }
}

/// Whether a key has all these tags.
async fn has_tags(client: &Client, key: &str, tags: &BTreeMap<&str, &str>) -> Result<bool> {
    let all = client.list_resource_tags().key_id(key).into_paginator().items().send();
    let all: Vec<Tag> = all.collect::<Result<_, _>>().await.map_err(classify)?;
    let has = |key: &str, value: &str| all.iter().any(|tag| tag.tag_key == key && tag.tag_value == value);
    Ok(tags.iter().all(|(key, value)| has(key, value)))
}

/// Repeats a read for a few seconds, until it finds what was just created.
async fn until_visible<T, F>(mut find: impl FnMut() -> F) -> Result<Option<T>>
where
    F: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + VISIBLE_WITHIN;
    loop {
        let found = find().await?;
        if found.is_some() || Instant::now() >= deadline {
            return Ok(found);
        }
        tokio::time::sleep(VISIBLE_INTERVAL).await;
    }
}

/// The ARN of a key.
///
/// # Errors
/// When KMS would not use it, with the commands that restore it.
fn usable(key: &KeyMetadata, alias: &str, aws_region: &str) -> Result<String> {
    let arn = key.arn.clone().ok_or_else(|| Error::permanent(format!("KMS returned no ARN of `{alias}`")))?;
    let restore = match &key.key_state {
        None | Some(KeyState::Enabled) => return Ok(arn),
        Some(KeyState::PendingDeletion) => {
            format!("`aws kms cancel-key-deletion --region {aws_region} --key-id {arn}`, then ")
        }
        Some(_) => String::new(),
    };
    let state = key.key_state.as_ref().map_or("", KeyState::as_str);
    let message = format!("key `{alias}` is in state {state}, so nothing that it encrypted can be read");
    Err(Error::permanent(message).with_hint(format!(
        "{restore}`aws kms enable-key --region {aws_region} --key-id {arn}`; if all its data may be lost, \
         `aws kms delete-alias --region {aws_region} --alias-name {alias}`"
    )))
}

fn kms_tags(tags: &BTreeMap<&str, &str>) -> Result<Vec<Tag>> {
    let tag = |(key, value): (&&str, &&str)| Tag::builder().tag_key(*key).tag_value(*value).build();
    Ok(tags.iter().map(tag).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:eu-south-2:123456789012:key/0";

    fn key(state: KeyState) -> KeyMetadata {
        KeyMetadata::builder().key_id("0").arn(ARN).key_state(state).build().unwrap()
    }

    #[test]
    fn an_enabled_key_is_used() {
        assert_eq!(usable(&key(KeyState::Enabled), "alias/state", "eu-south-2").unwrap(), ARN);
    }

    #[test]
    fn a_key_that_someone_is_deleting_is_reported_with_the_commands_that_restore_it() {
        let error = usable(&key(KeyState::PendingDeletion), "alias/state", "eu-south-2").unwrap_err();
        assert!(error.to_string().contains("`alias/state` is in state PendingDeletion"), "{error}");
        let fix = error.hint.unwrap();
        assert!(
            fix.starts_with(&format!("`aws kms cancel-key-deletion --region eu-south-2 --key-id {ARN}`")),
            "{fix}"
        );
        assert!(fix.contains("aws kms enable-key"), "{fix}");
    }

    #[test]
    fn a_disabled_key_only_has_to_be_enabled() {
        let fix = usable(&key(KeyState::Disabled), "alias/state", "eu-south-2").unwrap_err().hint.unwrap();
        assert!(fix.starts_with("`aws kms enable-key"), "{fix}");
    }
}
