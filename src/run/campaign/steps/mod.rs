//! Steps that do to the world in memory what the real ones do to the world outside, and claim it in the same order.
//!
//! Each region has a bucket, two stacks, a release and a probe; one image serves all regions. What a step claims, does
//! and repairs is copied from the phase that its module names, so that the same gaps are open to a kill.

mod probe;
mod release;
mod stack;
mod upload;

use std::time::Duration;

use super::world::{Hand, Things};
pub use probe::Register;
pub use release::Install;
pub use stack::{STACKS, Stacked};
pub use upload::Upload;

use crate::{
    engine::{After, Graph},
    step::{Check, Context, Phase, RegionName, Result, Seen, Step, StepId},
};

/// The graph of all steps, as one run reaches the world.
pub fn graph(hand: &Hand, regions: &[RegionName]) -> Graph {
    let mut graph = Graph::default();
    let image = graph.add(Upload(hand.clone()), ());
    for region in regions {
        let bucket = graph.add(StateBucket { hand: hand.clone(), region: region.clone() }, ());
        let mut after = After::default().step(&bucket);
        for (name, resources) in STACKS {
            let stack = Stacked { hand: hand.clone(), stack: (region.clone(), name), resources };
            let stack = graph.add(stack, after);
            after = After::default().step(&stack);
        }
        let release = Install { hand: hand.clone(), region: region.clone() };
        let release = graph.add(release, after.step(&image));
        graph.add(Register { hand: hand.clone(), region: region.clone() }, After::default().step(&release));
    }
    graph
}

/// The region's state bucket, which a teardown keeps. Nothing can be recorded in it before it exists.
struct StateBucket {
    hand: Hand,
    region: RegionName,
}

impl Step for StateBucket {
    type Input = ();
    type Fact = ();
    type Change = ();

    fn id(&self) -> StepId {
        StepId::part(Phase::Terraform, &self.region, "state")
    }

    fn estimate(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn read(&self, _cx: &Context, (): &()) -> Result<Seen<()>> {
        let exists =
            self.hand.read("find the bucket", |things| things.buckets.contains(&self.region)).await?;
        Ok(if exists { Seen::ok((), "exists") } else { Seen::missing("missing") })
    }

    async fn check(&self, cx: &Context, (): &()) -> Result<Check<()>> {
        Ok(match self.read(cx, &()).await?.fact {
            Some(()) => Check::Clean("exists".to_owned()),
            None => Check::Change { lines: vec!["+ bucket".to_owned()], change: () },
        })
    }

    async fn apply(&self, _cx: &Context, (): &(), (): ()) -> Result<()> {
        let create = |things: &mut Things| things.buckets.extend([self.region.clone()]);
        self.hand.overwrite(&format!("create the bucket of {}", self.region), create).await
    }

    async fn destroy(&self, _cx: &Context, _input: Option<&()>) -> Result<Option<String>> {
        Ok(None)
    }
}
