//! Who is at work in the regions, as their leases say.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, future::join_all};

use super::{Exit, Failure, Session};
use crate::{
    lease::{self, Lease, Removed},
    state::Header,
    step::{Class, Error, RegionName, Result},
};

/// Who is at work is an addition to the result of `status`, and must not delay it for long.
const DEADLINE: Duration = Duration::from_secs(20);

/// The lease of each region, `None` where it is free.
pub type Holders = BTreeMap<RegionName, Result<Option<Lease>>>;

impl Session {
    /// Reads the leases of the chosen regions.
    pub async fn holders(&self) -> Holders {
        let read = self.chosen().iter().map(async |region| {
            let read = tokio::time::timeout(DEADLINE, self.holder(region)).await;
            (
                region.clone(),
                read.unwrap_or_else(|_| Err(Error::transient("its state bucket does not answer"))),
            )
        });
        join_all(read).await.into_iter().collect()
    }

    async fn holder(&self, region: &RegionName) -> Result<Option<Lease>> {
        let Some(bucket) = self.world.records(region) else { return Ok(None) };
        let found = lease::read(&bucket, &lease::key(&self.config().project, region)).await?;
        Ok(found.map(|(_, lease)| lease))
    }

    /// Removes the lease of a region that the operator has seen.
    ///
    /// # Errors
    /// When another run has taken it since, or it cannot be removed.
    pub async fn remove_lease(
        &self,
        region: &RegionName,
        seen: &Lease,
    ) -> std::result::Result<Removed, Failure> {
        let Some(bucket) = self.world.records(region) else { unreachable!("its lease was read") };
        let key = lease::key(&self.config().project, region);
        let mut signals = self.signals.lock().await;
        let interrupted = async {
            signals.next().await;
        };
        let by = Header::new(&self.run, &self.command);
        lease::remove(&bucket, &key, seen, by, interrupted).await.map_err(|error| {
            let (exit, fix) = match error.class {
                Class::Conflict => (Exit::Locked, Some(self.command_line_in("lock show", &[]))),
                Class::Transient => (Exit::Unknown, None),
                _ => (Exit::Failed, None),
            };
            Failure { fix, ..Failure::of_step(exit, error) }
        })
    }
}
