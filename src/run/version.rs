//! What last worked in a region: commit, add-ons and program. Going back behind that is refused.
//!
//! An older checkout would otherwise silently replace what a newer one has deployed. The record is an
//! object in the region's state bucket, `PROJECT/REGION/paydeploy/version.json`:
//!
//! 1. A run reads it once it holds the leases of its regions, before its first effect in any of them.
//! 2. It may go on if its commit has the recorded one in its history, and no add-on and not the program is older. Or if the
//!    operator allows a downgrade.
//! 3. It writes its own before its first effect in the region: from then on parts of it may be deployed.
//! 4. A complete teardown deletes the record.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::{join_all, try_join_all};
use semver::Version as Number;
use serde::{Deserialize, Serialize};

use super::{Exit, Failure};
use crate::{
    aws::objects::Objects,
    phase::preflight,
    step::{Context, ErrorExt as _, RegionName, Result, World},
};

/// The version of the record. Another one is not read: a newer program that changes it has a newer number as well.
const SCHEMA: u32 = 1;
/// The program's own version.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    schema: u32,
    program: String,
    commit: Option<String>,
    /// By name.
    addons: BTreeMap<String, String>,
}

impl Version {
    fn of(world: &World) -> Self {
        let addons = world.config.addons.iter();
        Self {
            schema: SCHEMA,
            program: PROGRAM.to_owned(),
            commit: preflight::checked_out(&world.config.root),
            addons: addons.map(|(name, addon)| (name.clone(), addon.version.clone())).collect(),
        }
    }

    /// In what this one is older than a deployed one, apart from the commit.
    fn older_than(&self, deployed: &Self, region: &RegionName) -> Vec<String> {
        let mut older = Vec::new();
        if is_older(&self.program, &deployed.program) {
            let program = &deployed.program;
            older.push(format!(
                "region `{region}` was deployed by paydeploy {program}, and this is {PROGRAM}"
            ));
        }
        for (name, version) in &self.addons {
            if let Some(deployed) = deployed.addons.get(name).filter(|deployed| is_older(version, deployed)) {
                older.push(format!(
                    "region `{region}` has add-on `{name}` {deployed}, and paydeploy.toml has {version}"
                ));
            }
        }
        older
    }
}

/// What is not a semantic version is compared with nothing.
fn is_older(ours: &str, deployed: &str) -> bool {
    let number = |text: &str| Number::parse(text.trim_start_matches('v')).ok();
    matches!((number(ours), number(deployed)), (Some(ours), Some(deployed)) if ours < deployed)
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// The versions of a run.
pub(super) struct Versions {
    world: Arc<World>,
    ours: Version,
    allows_downgrade: bool,
}

impl Versions {
    pub fn new(world: Arc<World>, allows_downgrade: bool) -> Self {
        let ours = Version::of(&world);
        Self { world, ours, allows_downgrade }
    }

    /// Why the run may not act, if it would go back behind what was deployed in one of these regions.
    ///
    /// # Errors
    /// When a record cannot be read, or Git cannot tell.
    pub async fn refusal(&self, cx: &Context, regions: &[RegionName]) -> Result<Option<Failure>> {
        if self.allows_downgrade {
            return Ok(None);
        }
        let older = try_join_all(regions.iter().map(|region| self.older(cx, region))).await?.concat();
        if older.is_empty() {
            return Ok(None);
        }
        let message = format!("this would go back behind what is deployed: {}", older.join("; "));
        let fix =
            "check out what is deployed or a later commit; to go back on purpose, add `--allow-downgrade`";
        Ok(Some(Failure::new(Exit::Refused, message).fix(fix)))
    }

    async fn older(&self, cx: &Context, region: &RegionName) -> Result<Vec<String>> {
        let Some(deployed) = read(&self.world, region).await? else { return Ok(Vec::new()) };
        let mut older = self.ours.older_than(&deployed, region);
        if let (Some(ours), Some(deployed)) = (&self.ours.commit, &deployed.commit)
            && ours != deployed
            && !preflight::contains(cx, ours, deployed).await?
        {
            let (ours, deployed) = (short(ours), short(deployed));
            older.push(format!("region `{region}` has commit {deployed}, which {ours} does not contain"));
        }
        Ok(older)
    }

    /// Records that this run is about to act in a region.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub async fn record(&self, region: &RegionName) -> Result<()> {
        let Some((bucket, key)) = place(&self.world, region) else { return Ok(()) };
        if read(&self.world, region).await?.as_ref() != Some(&self.ours) {
            bucket.put(&key, serde_json::to_vec(&self.ours)?).await?;
        }
        Ok(())
    }
}

fn place(world: &World, region: &RegionName) -> Option<(Objects, String)> {
    Some((world.records(region)?, format!("{}/{region}/paydeploy/version.json", world.config.project)))
}

async fn read(world: &World, region: &RegionName) -> Result<Option<Version>> {
    let Some((bucket, key)) = place(world, region) else { return Ok(None) };
    let found = bucket.get(&key).await.doing("read what is deployed")?;
    let found = found.and_then(|found| serde_json::from_slice::<Version>(&found.body).ok());
    Ok(found.filter(|found| found.schema == SCHEMA))
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

    fn version(program: &str, argo_cd: &str) -> Version {
        let addons = BTreeMap::from([("argo-cd".to_owned(), argo_cd.to_owned())]);
        Version { schema: SCHEMA, program: program.to_owned(), commit: None, addons }
    }

    #[test]
    fn only_what_is_older_is_named() {
        let region = "spain".parse().unwrap();
        let older = |ours: &Version, deployed: &Version| ours.older_than(deployed, &region);
        let deployed = version("0.2.0", "9.10.0");
        assert_eq!(older(&version("0.2.0", "9.10.0"), &deployed), Vec::<String>::new());
        assert_eq!(older(&version("0.3.0", "10.0.0"), &deployed), Vec::<String>::new());
        assert_eq!(
            older(&version("0.2.0", "9.2.0"), &deployed),
            ["region `spain` has add-on `argo-cd` 9.10.0, and paydeploy.toml has 9.2.0"]
        );
        assert_eq!(older(&version("0.1.9", "9.10.0"), &deployed).len(), 1);
    }
}
