//! The bucket that holds a region's Terraform state.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    aws::bucket::{Bucket, Setting},
    config::{Config, Region},
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

/// The settings that a bucket lacks, and whether it must be created first.
#[derive(Debug)]
pub struct Need {
    create: bool,
    lacks: Vec<Setting>,
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

    fn tags<'a>(&'a self, config: &'a Config) -> BTreeMap<&'a str, &'a str> {
        BTreeMap::from([
            ("Project", config.project.as_str()),
            ("Environment", config.profile.as_str()),
            ("Region", self.region.name.as_str()),
            ("ManagedBy", "paydeploy"),
        ])
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
        let (name, bucket) = self.bucket(cx);
        if !bucket.exists().await? {
            return Ok(Seen::missing("no state bucket"));
        }
        let lacks = bucket.missing(&self.tags(&cx.world.config)).await?;
        let fact = fact::StateBucket { name: name.clone() };
        if lacks.is_empty() {
            return Ok(Seen::ok(fact, name));
        }
        let lacks: Vec<&str> = lacks.into_iter().map(Setting::as_str).collect();
        Ok(Seen::differs(fact, format!("lacks {}", lacks.join(", "))))
    }

    async fn check(&self, cx: &Context, _input: &Self::Input) -> Result<Check<Self::Change>> {
        let (name, bucket) = self.bucket(cx);
        if !bucket.exists().await? {
            let lacks = vec![
                Setting::PublicAccessBlock,
                Setting::Encryption,
                Setting::Versioning,
                Setting::TlsOnly,
                Setting::Tags,
            ];
            let lines = vec![format!("+ bucket {name}")];
            return Ok(Check::Change { lines, change: Need { create: true, lacks } });
        }
        let lacks = bucket.missing(&self.tags(&cx.world.config)).await?;
        if lacks.is_empty() {
            return Ok(Check::Clean(name));
        }
        let lines = lacks.iter().map(|lack| format!("~ bucket {name}: {}", lack.as_str())).collect();
        Ok(Check::Change { lines, change: Need { create: false, lacks } })
    }

    async fn apply(&self, cx: &Context, _input: &Self::Input, change: Self::Change) -> Result<()> {
        let (name, bucket) = self.bucket(cx);
        if change.create {
            cx.progress(format!("creating bucket {name}"));
            bucket.create().await?;
            let visible = || async {
                let visible = bucket.exists().await?;
                Ok(if visible { Poll::Ready(()) } else { Poll::Pending("not visible yet".to_owned()) })
            };
            cx.wait("the new bucket", VISIBLE_INTERVAL, VISIBLE_DEADLINE, visible).await?;
        }
        // One request per setting, in the order of their importance: public access is blocked first. An interrupted
        // run leaves a bucket whose remaining settings the next `check` finds.
        let tags = self.tags(&cx.world.config);
        for lack in change.lacks {
            bucket.correct(lack, &tags).await?;
        }
        Ok(())
    }

    /// Keeps the bucket: its object versions are the history of the state, the only record of what was deployed.
    async fn destroy(&self, cx: &Context, _input: Option<&Self::Input>) -> Result<Option<String>> {
        let (name, bucket) = self.bucket(cx);
        Ok(bucket.exists().await?.then(|| format!("bucket {name} remains, with the history of the state")))
    }
}
