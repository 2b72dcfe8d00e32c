//! Finishes what an interrupted apply had begun to create, where AWS continues by itself.
//!
//! A terraform that is interrupted while it waits for a cluster or a database marks the resource as tainted, and the next
//! plan replaces it. That would delete what took a quarter of an hour, and it fails: what depends on the cluster is created
//! before it is destroyed, so the new cluster comes first, and its name is taken; and a database in production is protected.
//! So while a stack was never complete,
//!
//! 1. a plan that replaces such a resource is not applied;
//! 2. AWS is waited for until it has created the resource;
//! 3. the mark is removed (`terraform untaint`), and the stack is planned again.

use std::time::Duration;

use super::{
    super::{
        changes::{Action, changes},
        command::{Terraform, UNTAINT},
        kind::Kind,
        lock, orphans,
    },
    Stack,
};
use crate::{
    aws::{
        inventory,
        orphans::{Query, Standing},
    },
    step::{Error, ErrorExt as _, Poll, Result},
};

/// What AWS creates by itself once it was asked to, with nothing that Terraform would have to do afterwards.
const KINDS: [&str; 2] = ["aws_db_instance", "aws_eks_cluster"];

/// Between two reads of a resource that AWS is creating.
const INTERVAL: Duration = Duration::from_secs(5);
/// A database in two zones takes up to 40 minutes, and a cluster less.
const DEADLINE: Duration = Duration::from_mins(60);

/// A resource whose creation was interrupted.
#[derive(Debug)]
pub struct Unfinished {
    pub address: String,
    query: Query,
}

/// Those that a plan, in its JSON, would replace.
pub(super) fn unfinished(plan: &str) -> Result<Vec<Unfinished>> {
    let is_unfinished = |one: &super::super::changes::ResourceChange| {
        one.is_tainted() && KINDS.contains(&one.kind.as_str()) && one.change.actions.contains(&Action::Delete)
    };
    let all = changes(plan)?.into_iter().filter(is_unfinished).filter_map(|one| {
        let query = orphans::query(&one.kind, &one.change.before)?;
        Some(Unfinished { address: one.address, query })
    });
    Ok(all.collect())
}

impl<K: Kind> Stack<K> {
    /// Waits until AWS has created the resources, and tells Terraform that they are good.
    pub(super) async fn finish(&self, terraform: &Terraform<'_>, all: &[Unfinished]) -> Result<()> {
        let cx = terraform.cx;
        let finder = orphans::finder(cx, &self.region, K::NAME);
        for Unfinished { address, query } in all {
            let what = format!("`{address}`, whose creation was interrupted");
            let created = cx.wait(&what, INTERVAL, DEADLINE, || async {
                // Where it is missing, the next plan creates it.
                let Some(one) = finder.find(query).await?.pop() else { return Ok(Poll::Ready(())) };
                match one.standing {
                    Standing::Ready => Ok(Poll::Ready(())),
                    Standing::Pending(status) => Ok(Poll::Pending(status)),
                    Standing::Failed(status) => {
                        let delete = inventory::command(
                            one.arn.as_deref().unwrap_or(&one.id),
                            &self.region.aws_region,
                        );
                        Err(Error::permanent(format!("its creation ended in status {status}"))
                            .with_hint(format!("delete it, then run the same command again: {delete}")))
                    }
                }
            });
            created.await.doing(format!("finish {what}"))?;
            cx.progress(format!("finishing {address}"));
            let untaint = terraform.command(["untaint", "-allow-missing"])?.arg(address);
            let lock = lock::hold(terraform, UNTAINT).await?;
            let done = untaint.run(cx).await;
            lock.release(terraform).await;
            done.doing(format!("finish {what}"))?;
        }
        Ok(())
    }
}
