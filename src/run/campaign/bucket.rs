//! The regions' buckets: the memory of `mirror::testing`, reached as a process of the campaign reaches the world.

use super::world::{Answer, Hand, QUICK};
use crate::{
    aws::objects::{Condition, Object, Written},
    lease::{self, Lease, Place, Places},
    run::mirror::{Bucket, Buckets, Mirrored, testing::Memory},
    step::{Claim, Error, RegionName, Result, StepId},
};

/// The buckets as one run reaches them.
pub struct Reached(pub Hand);

/// One of them.
#[derive(Clone)]
pub struct Region {
    hand: Hand,
    region: RegionName,
    memory: Memory,
}

impl Reached {
    fn bucket(&self, region: &RegionName) -> Option<Region> {
        let memory = self.0.world.lock().records.get(region)?.clone();
        Some(Region { hand: self.0.clone(), region: region.clone(), memory })
    }
}

impl Buckets for Reached {
    type Bucket = Region;

    fn of(&self, region: &RegionName) -> Option<(Region, String)> {
        Some((self.bucket(region)?, format!("payments/{region}/paydeploy/runs/")))
    }
}

impl Places for Reached {
    type Place = Region;

    fn of(&self, region: &RegionName) -> Option<(Region, String)> {
        Some((self.bucket(region)?, lease::key("payments", region)))
    }
}

/// Who holds the region, as its lease says.
pub fn holder(memory: &Memory, region: &RegionName) -> Option<String> {
    let object = memory.object(&lease::key("payments", region))?;
    Some(serde_json::from_slice::<Lease>(&object.body).unwrap().holder.command)
}

/// Whether any run's record has the claim.
pub fn has(memory: &Memory, step: &StepId, claim: &Claim) -> bool {
    memory.with(|content| {
        content.objects.iter().filter(|(key, _)| key.contains("/runs/")).any(|(_, object)| {
            let mirrored: Mirrored = serde_json::from_slice(&object.body).unwrap();
            mirrored.claims.iter().any(|held| held.step == *step && held.claim == *claim)
        })
    })
}

impl Region {
    /// One request, which is served unless the bucket is down; `None` if it does not exist.
    async fn ask<T>(
        &self,
        what: &str,
        answer: Answer,
        serve: impl FnOnce(&Memory) -> T,
    ) -> Result<Option<T>> {
        let Self { hand, region, memory } = self;
        hand.ask_always(&format!("{what} in {region}"), QUICK, answer, |inner| {
            if hand.process.meets_outage(region) {
                return Err(Error::transient("the bucket is down"));
            }
            Ok(inner.things.buckets.contains(region).then(|| serve(memory)))
        })
        .await
    }
}

impl Place for Region {
    async fn get(&self, key: &str) -> Result<Option<Object>> {
        Bucket::get(self, key).await
    }

    async fn write(&self, key: &str, body: Vec<u8>, condition: Condition<'_>) -> Result<Written> {
        let write = |memory: &Memory| memory.write_if(key, body, condition);
        Ok(match self.ask(&format!("write {key}"), Answer::MayBeLost, write).await? {
            Some(Some(etag)) => Written::Done(etag),
            Some(None) => Written::Refused,
            None => Written::NoBucket,
        })
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<()> {
        Bucket::delete(self, key, etag).await
    }

    async fn exists(&self) -> Result<bool> {
        Ok(self.ask("look for the bucket", Answer::Certain, |_| ()).await?.is_some())
    }
}

impl Bucket for Region {
    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let keys = self.ask("list the records", Answer::Certain, Memory::keys).await?.unwrap_or_default();
        Ok(keys.into_iter().filter(|key| key.starts_with(prefix)).collect())
    }

    async fn get(&self, key: &str) -> Result<Option<Object>> {
        Ok(self.ask(&format!("get {key}"), Answer::Certain, |memory| memory.object(key)).await?.flatten())
    }

    async fn put(&self, key: &str, body: Vec<u8>) -> Result<Option<String>> {
        self.ask(&format!("put {key}"), Answer::MayBeLost, |memory| memory.write(key, body)).await
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<()> {
        let delete = |memory: &Memory| memory.remove(key, etag);
        self.ask(&format!("delete {key}"), Answer::MayBeLost, delete).await.map(drop)
    }
}
