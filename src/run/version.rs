//! The commit and the program that were last deployed in a region. A run that is older is refused.
//!
//! An older checkout would otherwise silently replace what a newer one has deployed. The record is an object in the
//! region's state bucket, `PROJECT/REGION/paydeploy/version.json`:
//!
//! 1. Before its first deploying effect, a run reads the records of all its regions, whose leases it holds.
//! 2. It is refused if its commit is an ancestor of a recorded one, if the clone does not know the recorded one, or if the
//!    program is older, unless the operator allows a downgrade. Histories that have diverged are a warning.
//! 3. It writes its own record before its first deploying effect in the region: from then on parts of it may be deployed.
//! 4. A complete teardown deletes the record.
//!
//! Add-ons are compared with their live releases (`kubernetes::helm`). Older resources of Terraform are part of the commit.

use std::sync::Arc;

use futures::future::{join_all, try_join_all};
use semver::Version as Number;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::{Exit, Failure};
use crate::{
    aws::objects::{Condition, Objects, Written},
    phase::preflight::{self, Ancestry},
    step::{Context, Error, ErrorExt as _, RegionName, Result, World},
};

/// The version of the record. A newer one was written by a newer program.
const SCHEMA: u32 = 1;
/// The program's own version.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// What every version of the record has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    schema: u32,
    program: String,
    #[serde(default)]
    commit: String,
}

impl Record {
    fn is_newer_program(&self) -> bool {
        let number = |text: &str| Number::parse(text).ok();
        let is_newer =
            matches!((number(&self.program), number(PROGRAM)), (Some(it), Some(ours)) if it > ours);
        is_newer || self.schema > SCHEMA
    }
}

/// The version of a run.
pub(super) struct Versions {
    world: Arc<World>,
    commit: OnceCell<String>,
}

impl Versions {
    pub fn new(world: Arc<World>) -> Self {
        Self { world, commit: OnceCell::new() }
    }

    async fn commit(&self, cx: &Context) -> Result<&String> {
        self.commit.get_or_try_init(|| async { Ok(preflight::head(cx).await?.id) }).await
    }

    /// Why the run may not deploy, if it is older than what is deployed in one of these regions.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub async fn refusal(&self, cx: &Context, regions: &[RegionName]) -> Result<Option<Failure>> {
        let judged = regions.iter().map(async |region| match self.find(region).await? {
            Some((_, record)) => self.judge(cx, region, &record).await,
            None => Ok(None),
        });
        Ok(try_join_all(judged).await?.into_iter().flatten().next())
    }

    async fn judge(&self, cx: &Context, region: &RegionName, deployed: &Record) -> Result<Option<Failure>> {
        if self.world.allow_downgrade {
            return Ok(None);
        }
        let refused = |why: String, fix: &str| {
            let fix = format!("{fix}; to deploy this version anyway, add `--allow-downgrade`");
            Some(Failure::new(Exit::Refused, format!("region `{region}` {why}")).fix(fix))
        };
        if deployed.is_newer_program() {
            let why = format!("was deployed by paydeploy {}, and this is {PROGRAM}", deployed.program);
            return Ok(refused(why, "use that version or a later one"));
        }
        let ours = self.commit(cx).await?;
        if *ours == deployed.commit {
            return Ok(None);
        }
        let (it, this) = (short(&deployed.commit), short(ours));
        Ok(match preflight::ancestry(cx, ours, &deployed.commit).await? {
            Ancestry::Contains => None,
            Ancestry::Older => refused(
                format!("has commit {it}, and {this} is older"),
                "check out that commit or a later one",
            ),
            Ancestry::Unknown => refused(
                format!("has commit {it}, which this clone does not have"),
                "run `git fetch`, in a shallow clone with `--unshallow`, then check out a later commit",
            ),
            Ancestry::Diverged => {
                cx.warn(
                    format!("region `{region}` has commit {it}, which {this} does not contain"),
                    "none needed if this is meant, for instance after a squash or a cherry-pick",
                );
                None
            }
        })
    }

    /// Records that this run is about to deploy in a region. Returns why it may not, if another run has deployed there
    /// since `refusal`.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub async fn record(&self, cx: &Context, region: &RegionName) -> Result<Option<Failure>> {
        let Some((bucket, key)) = place(&self.world, region) else { return Ok(None) };
        let commit = self.commit(cx).await?.clone();
        let ours = Record { schema: SCHEMA, program: PROGRAM.to_owned(), commit };
        let found = self.find(region).await?;
        if let Some((_, record)) = &found {
            if *record == ours {
                return Ok(None);
            }
            if let Some(refused) = self.judge(cx, region, record).await? {
                return Ok(Some(refused));
            }
        }
        let condition = found.as_ref().map_or(Condition::Missing, |(etag, _)| Condition::Is(etag));
        match bucket.write(&key, serde_json::to_vec(&ours)?, condition).await? {
            Written::Done(_) => Ok(None),
            // Or an attempt of ours whose answer was lost. The retry reads it.
            Written::Refused => Err(Error::transient(format!("`{key}` has changed"))),
            Written::NoBucket => {
                Err(Error::transient(format!("the state bucket of region `{region}` is missing")))
            }
        }
    }

    /// A region's record and its mark.
    async fn find(&self, region: &RegionName) -> Result<Option<(String, Record)>> {
        let Some((bucket, key)) = place(&self.world, region) else { return Ok(None) };
        let Some(found) = bucket.get(&key).await? else { return Ok(None) };
        let record = serde_json::from_slice(&found.body).doing(format!("read what is deployed from `{key}`"));
        let record = record.hint("delete the object from the state bucket if it was changed by hand")?;
        Ok(Some((found.etag, record)))
    }
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// Where a region's record is. Unlike leases it is changed only while the run may act.
fn place(world: &World, region: &RegionName) -> Option<(Objects, String)> {
    let region = world.config.regions.get(region)?;
    let aws = world.aws.in_region(&region.aws_region);
    let key = format!("{}/{}/paydeploy/version.json", world.config.project, region.name);
    Some((Objects::new(&aws, &world.config.state_bucket(region)), key))
}

/// Deletes the records of regions of which everything is deleted. One that remains only asks for `--allow-downgrade`.
pub(super) async fn forget(world: &World, regions: &[RegionName]) {
    join_all(regions.iter().map(async |region| {
        let Some((bucket, key)) = place(world, region) else { return };
        if let Ok(Some(found)) = bucket.get(&key).await {
            drop(bucket.delete(&key, &found.etag).await);
        }
    }))
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_newer_program_or_format_is_newer() {
        let record =
            |schema, program: &str| Record { schema, program: program.to_owned(), commit: String::new() };
        assert!(!record(SCHEMA, PROGRAM).is_newer_program());
        assert!(!record(SCHEMA, "0.0.9").is_newer_program());
        assert!(record(SCHEMA, "99.10.0").is_newer_program());
        assert!(record(SCHEMA + 1, PROGRAM).is_newer_program());
        let later = r#"{ "schema": 2, "program": "0.9.0", "commits": [] }"#;
        assert!(serde_json::from_str::<Record>(later).unwrap().is_newer_program());
    }
}
