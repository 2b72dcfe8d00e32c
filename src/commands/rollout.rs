//! Decides whether all regions are released in parallel or one after the other.

use super::Failure;
use crate::{
    kubernetes,
    phase::apps,
    plan::{self, Shape},
    run::Session,
    step::Verdict,
};

/// One region after the other if any region has had a healthy release, because it may be serving payments. If the
/// hub's history cannot be read, also one after the other: that is the safe choice, and the run itself reports why.
///
/// # Errors
/// When interrupted.
pub async fn shape(session: &Session) -> Result<Shape, Failure> {
    let at_once = Shape::default();
    let plan = plan::build(session.config(), &at_once);
    let access = &plan.accesses[&session.config().hub().name];
    let seen = session.probe_steps(&plan.graph, [access.id().clone()]).await?;
    let served = match seen.facts.get(access) {
        Some(hub) => {
            let served = async {
                match kubernetes::connect(&session.world.aws, &hub).await {
                    Ok(client) => apps::any_healthy(&client).await.unwrap_or(true),
                    Err(_) => true,
                }
            };
            session.or_interrupted(served).await?
        }
        None => seen.verdicts.values().any(|verdict| matches!(verdict, Verdict::Failed { .. })),
    };
    Ok(if served { Shape { in_order: session.chosen().iter().cloned().collect() } } else { at_once })
}
