//! The regions' buckets: the memory of `mirror::testing`, reached as a process of the campaign reaches the world.

use super::world::{Answer, Hand, QUICK};
use crate::{
    aws::objects::Object,
    run::mirror::{Bucket, Buckets, Mirrored, testing::Memory},
    step::{Claim, Error, RegionName, Result, StepId},
};

/// The buckets as one run reaches them.
pub struct Reached(pub Hand);

/// One of them.
pub struct Region {
    hand: Hand,
    region: RegionName,
    memory: Memory,
}

impl Buckets for Reached {
    type Bucket = Region;

    fn of(&self, region: &RegionName) -> Option<(Region, String)> {
        let memory = self.0.world.lock().records.get(region)?.clone();
        let bucket = Region { hand: self.0.clone(), region: region.clone(), memory };
        Some((bucket, format!("payments/{region}/paydeploy/runs/")))
    }
}

/// Whether any run's record has the claim.
pub fn has(memory: &Memory, step: &StepId, claim: &Claim) -> bool {
    memory.with(|content| {
        content.objects.values().any(|object| {
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
        hand.ask(&format!("{what} in {region}"), QUICK, answer, |inner| {
            if hand.process.meets_outage(region) {
                return Err(Error::transient("the bucket is down"));
            }
            Ok(inner.things.buckets.contains(region).then(|| serve(memory)))
        })
        .await
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
