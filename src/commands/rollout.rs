//! Whether a release goes to all regions at once or to one after the other.

use super::{Failure, session::Session};
use crate::{
    kubernetes,
    phase::apps,
    plan::{self, Shape},
    step::Verdict,
};

/// In order as soon as any region has had a healthy release, for then somebody is served. Where the hub's
/// history cannot be read, in order too: that is the careful way, and the run tells what is wrong.
///
/// # Errors
/// When interrupted.
pub async fn shape(session: &Session) -> Result<Shape, Failure> {
    let at_once = Shape::default();
    let plan = plan::build(session.config(), &at_once);
    let access = &plan.accesses[&session.config().hub().name];
    let seen = session.look_for(&plan.graph, [access.id().clone()]).await?;
    let served = match seen.facts.get(access) {
        Some(hub) => match kubernetes::connect(&session.world.aws, &hub).await {
            Ok(client) => apps::any_healthy(&client).await.unwrap_or(true),
            Err(_) => true,
        },
        None => seen.verdicts.values().any(|verdict| matches!(verdict, Verdict::Failed { .. })),
    };
    Ok(if served { Shape { in_order: session.chosen.iter().cloned().collect() } } else { at_once })
}
