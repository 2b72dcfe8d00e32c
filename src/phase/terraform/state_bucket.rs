//! The bucket that holds a region's Terraform state, and the key that encrypts it.
//!
//! Both exist before Terraform does and outlive everything that it creates, so no stack can own them. Terraform sends no
//! encryption headers (`command.rs`): the bucket's default is the key, and its policy denies any other.

use std::time::Duration;

use crate::{
    aws::{
        bucket::{self, Bucket, Wanted},
        key::{self, Key},
    },
    config::Region,
    fact,
    step::{Check, Context, Phase, Poll, Result, Seen, Step, StepId},
};

/// A new bucket is visible to all of S3 within seconds (eventual consistency); its settings fail before that.
const VISIBLE_INTERVAL: Duration = Duration::from_secs(1);
/// Far more than observed, so that a timeout means a real failure.
const VISIBLE_DEADLINE: Duration = Duration::from_mins(1);

pub struct StateBucket {
    region: Region,
}

/// What exists, and the settings that it lacks.
#[derive(Debug)]
pub struct Need {
    bucket: bool,
    /// The key's ARN; `None` if it must be created.
    key: Option<String>,
    bucket_lacks: Vec<bucket::Setting>,
    key_lacks: Vec<key::Setting>,
}

impl StateBucket {
    pub(super) fn new(region: &Region) -> Self {
        Self { region: region.clone() }
    }

    fn bucket(&self, cx: &Context) -> (String, Bucket) {
        let config = &cx.world.config;
        let name = config.state_bucket(&self.region);
        let aws = cx.world.aws.in_region(&self.region.aws_region);
        let bucket = Bucket::new(&aws, &self.region.aws_region, &config.account, &name);
        (name, bucket)
    }

    fn key(&self, cx: &Context) -> (String, Key) {
        let config = &cx.world.config;
        let alias = config.state_key_alias(&self.region.name);
        let aws = cx.world.aws.in_region(&self.region.aws_region);
        let description = format!("Encrypts the Terraform state of {}", config.name_in(&self.region.name));
        let key = Key::new(&aws, &self.region.aws_region, &alias, &description);
        (alias, key)
    }

    async fn compare(&self, cx: &Context) -> Result<Need> {
        let (_, bucket) = self.bucket(cx);
        let (_, key) = self.key(cx);
        let tags = cx.world.config.tags(&self.region);
        let (exists, found) = tokio::try_join!(Box::pin(bucket.exists()), Box::pin(key.find()))?;
        let key_lacks = match &found {
            Some(arn) => key.missing(arn, &tags).await?,
            None => vec![key::Setting::Rotation],
        };
        let bucket_lacks = if exists {
            // Without a key, no encryption and no policy is the wanted one.
            let arn = found.as_deref().unwrap_or_default();
            bucket.missing(&Wanted { key: arn, tags: &tags }).await?
        } else {
            bucket::Setting::ALL.to_vec()
        };
        Ok(Need { bucket: exists, key: found, bucket_lacks, key_lacks })
    }
}

impl Need {
    /// One line per change.
    fn lines(&self, bucket: &str, key: &str) -> Vec<String> {
        let key_lines = match &self.key {
            None => vec![format!("+ key {key}")],
            Some(_) => self.key_lacks.iter().map(|lack| format!("~ key {key}: {}", lack.as_str())).collect(),
        };
        let bucket_lines = if self.bucket {
            self.bucket_lacks.iter().map(|lack| format!("~ bucket {bucket}: {}", lack.as_str())).collect()
        } else {
            vec![format!("+ bucket {bucket}")]
        };
        // A plan shows only the first line of what is missing.
        [bucket_lines, key_lines].concat()
    }
}

impl Step for StateBucket {
    type Input = fact::Preflight;
    type Fact = fact::StateBucket;
    type Change = Need;

    fn id(&self) -> StepId {
        StepId::part(Phase::Terraform, &self.region.name, "state")
    }

    fn estimate(&self) -> Duration {
        Duration::from_secs(5)
    }

    async fn read(&self, cx: &Context, _input: &Self::Input) -> Result<Seen<Self::Fact>> {
        let ((name, _), (alias, _)) = (self.bucket(cx), self.key(cx));
        let need = self.compare(cx).await?;
        if !need.bucket {
            return Ok(Seen::missing("no state bucket"));
        }
        let fact = fact::StateBucket { name: name.clone() };
        let lines = need.lines(&name, &alias);
        Ok(if lines.is_empty() { Seen::ok(fact, name) } else { Seen::differs(fact, lines.join(", ")) })
    }

    async fn check(&self, cx: &Context, _input: &Self::Input) -> Result<Check<Self::Change>> {
        let ((name, _), (alias, _)) = (self.bucket(cx), self.key(cx));
        let change = self.compare(cx).await?;
        let lines = change.lines(&name, &alias);
        Ok(if lines.is_empty() { Check::Clean(name) } else { Check::Change { lines, change } })
    }

    async fn apply(&self, cx: &Context, _input: &Self::Input, change: Self::Change) -> Result<()> {
        let ((name, bucket), (alias, key)) = (self.bucket(cx), self.key(cx));
        let tags = cx.world.config.tags(&self.region);
        let arn = if let Some(arn) = change.key {
            arn
        } else {
            cx.progress(format!("creating key {alias}"));
            key.create(&tags).await?
        };
        for lack in change.key_lacks {
            key.correct(&arn, lack, &tags).await?;
        }
        if !change.bucket {
            cx.progress(format!("creating bucket {name}"));
            bucket.create().await?;
            let visible = || async {
                let visible = bucket.exists().await?;
                Ok(if visible { Poll::Ready(()) } else { Poll::Pending("not visible yet".to_owned()) })
            };
            cx.wait("the new bucket", VISIBLE_INTERVAL, VISIBLE_DEADLINE, visible).await?;
        }
        // One request per setting, public access first. An interrupted run leaves a bucket whose remaining settings the
        // next `check` finds.
        for lack in change.bucket_lacks {
            bucket.correct(lack, &Wanted { key: &arn, tags: &tags }).await?;
        }
        Ok(())
    }

    /// Keeps both: the bucket's object versions are the history of the state, the only record of what was deployed, and
    /// without the key no one can read them.
    async fn destroy(&self, cx: &Context, _input: Option<&Self::Input>) -> Result<Option<String>> {
        let ((name, bucket), (alias, _)) = (self.bucket(cx), self.key(cx));
        let exists = bucket.exists().await?;
        Ok(exists
            .then(|| format!("bucket {name} remains, with the history of the state, and its key {alias}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_without_a_bucket_gets_a_key_and_a_bucket() {
        let need = Need {
            bucket: false,
            key: None,
            bucket_lacks: bucket::Setting::ALL.to_vec(),
            key_lacks: vec![key::Setting::Rotation],
        };
        assert_eq!(need.lines("state", "alias/state"), ["+ bucket state", "+ key alias/state"]);
    }

    #[test]
    fn an_older_bucket_is_changed_in_place() {
        let need = Need {
            bucket: true,
            key: None,
            bucket_lacks: vec![bucket::Setting::Encryption, bucket::Setting::Policy],
            key_lacks: Vec::new(),
        };
        assert_eq!(
            need.lines("state", "alias/state"),
            [
                "~ bucket state: encryption",
                "~ bucket state: policy (TLS and its key only)",
                "+ key alias/state",
            ]
        );
    }
}
