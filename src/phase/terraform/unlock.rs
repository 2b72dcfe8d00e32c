//! Lifts what would stop an allowed deletion: deletion protection, and content that the provider does not delete.
//!
//! It is done by AWS's API and not by Terraform: a plan that changes the protection would make the judged plan of the
//! deletion stale, and in a stack that was never complete it would also create what is missing.

use std::time::Duration;

use super::deletion::Lock;
use crate::{
    aws::{classify, content, is_missing},
    step::{Context, ErrorExt, Poll, Result},
};

/// Between two reads of a database or a cluster.
const INTERVAL: Duration = Duration::from_secs(2);
/// The change takes effect within seconds, unless another modification is under way.
const DEADLINE: Duration = Duration::from_mins(15);

/// Lifts one lock. What it protects may be deleted already.
pub(super) async fn unlock(cx: &Context, aws_region: &str, lock: &Lock) -> Result<()> {
    let aws = cx.world.aws.in_region(aws_region);
    match lock {
        Lock::Database(name) => {
            cx.progress(format!("turning off the deletion protection of database {name}"));
            database(cx, &aws_sdk_rds::Client::new(&aws), name).await
        }
        Lock::Cluster(name) => {
            cx.progress(format!("turning off the deletion protection of cluster {name}"));
            cluster(cx, &aws_sdk_eks::Client::new(&aws), name).await
        }
        Lock::Repository(name) => {
            cx.progress(format!("deleting the images in repository {name}"));
            content::empty_repository(&aws, name).await
        }
        Lock::Bucket(name) => {
            cx.progress(format!("deleting the objects in bucket {name}"));
            content::empty_bucket(&aws, name).await
        }
    }
}

async fn database(cx: &Context, rds: &aws_sdk_rds::Client, name: &str) -> Result<()> {
    let doing = || format!("turn off the deletion protection of database `{name}`");
    let change = rds.modify_db_instance().db_instance_identifier(name);
    match change.deletion_protection(false).apply_immediately(true).send().await {
        Ok(_) => {}
        Err(error) if is_missing(&error) => return Ok(()),
        Err(error) => return Err(classify(error)).doing(doing()),
    }
    let what = format!("database `{name}` to lose its deletion protection");
    cx.wait(&what, INTERVAL, DEADLINE, || async {
        let found = match rds.describe_db_instances().db_instance_identifier(name).send().await {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(Poll::Ready(())),
            Err(error) => return Err(classify(error)).doing(doing()),
        };
        let Some(found) = found.db_instances().first() else { return Ok(Poll::Ready(())) };
        let status = found.db_instance_status().unwrap_or("unknown");
        let is_protected = found.deletion_protection() == Some(true);
        Ok(if is_protected || status == "modifying" {
            Poll::Pending(status.to_owned())
        } else {
            Poll::Ready(())
        })
    })
    .await
}

async fn cluster(cx: &Context, eks: &aws_sdk_eks::Client, name: &str) -> Result<()> {
    let doing = || format!("turn off the deletion protection of cluster `{name}`");
    match eks.update_cluster_config().name(name).deletion_protection(false).send().await {
        Ok(_) => {}
        Err(error) if is_missing(&error) => return Ok(()),
        Err(error) => return Err(classify(error)).doing(doing()),
    }
    let what = format!("cluster `{name}` to lose its deletion protection");
    cx.wait(&what, INTERVAL, DEADLINE, || async {
        let found = match eks.describe_cluster().name(name).send().await {
            Ok(found) => found.cluster,
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(classify(error)).doing(doing()),
        };
        let is_protected = found.is_some_and(|found| found.deletion_protection() == Some(true));
        Ok(if is_protected { Poll::Pending("still protected".to_owned()) } else { Poll::Ready(()) })
    })
    .await
}
