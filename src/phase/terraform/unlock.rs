//! Lifts what would stop an allowed deletion: deletion protection, and content that the provider does not delete.
//!
//! It is done by AWS's API and not by Terraform: a plan that changes the protection would make the judged plan of the
//! deletion stale, and in a stack that was never complete it would also create what is missing.

use std::time::Duration;

use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::deletion::Lock;
use crate::{
    aws::{classify, content, is_missing},
    step::{Context, Error, ErrorExt, Poll, Result},
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

/// Each attempt reads first: an answer may have been lost, and AWS refuses a change that has been made already, as well as
/// one beside another.
async fn database(cx: &Context, rds: &aws_sdk_rds::Client, name: &str) -> Result<()> {
    let doing = || format!("turn off the deletion protection of database `{name}`");
    let what = format!("database `{name}` to lose its deletion protection");
    cx.wait(&what, INTERVAL, DEADLINE, || async {
        let found = match rds.describe_db_instances().db_instance_identifier(name).send().await {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(Poll::Ready(())),
            Err(error) => return Err(classify(error)).doing(doing()),
        };
        let Some(found) = found.db_instances().first() else { return Ok(Poll::Ready(())) };
        let status = found.db_instance_status().unwrap_or("unknown").to_owned();
        if found.deletion_protection() != Some(true) {
            return Ok(if status == "modifying" { Poll::Pending(status) } else { Poll::Ready(()) });
        }
        let change = rds.modify_db_instance().db_instance_identifier(name);
        match change.deletion_protection(false).apply_immediately(true).send().await {
            Ok(_) => Ok(Poll::Pending(status)),
            Err(error) if is_missing(&error) => Ok(Poll::Ready(())),
            Err(error) if error.code().is_some_and(|code| code.starts_with("InvalidDBInstanceState")) => {
                if stays(&status) {
                    let message = format!("database `{name}` cannot be changed in status {status}");
                    return Err(Error::permanent(message).with_hint(
                        "bring it back to `available` (a stopped one: `aws rds start-db-instance`), then run the same command again",
                    ));
                }
                Ok(Poll::Pending(format!("it cannot be changed in status {status}")))
            }
            Err(error) => Err(classify(error)).doing(doing()),
        }
    })
    .await
}

/// Whether a database stays in a status until a person acts. All others pass by themselves.
fn stays(status: &str) -> bool {
    let prefixes = ["inaccessible-", "incompatible-", "insufficient-"];
    prefixes.iter().any(|prefix| status.starts_with(prefix))
        || matches!(status, "failed" | "restore-error" | "stopped" | "storage-full")
}

/// Reads first, as for a database.
async fn cluster(cx: &Context, eks: &aws_sdk_eks::Client, name: &str) -> Result<()> {
    let doing = || format!("turn off the deletion protection of cluster `{name}`");
    let what = format!("cluster `{name}` to lose its deletion protection");
    cx.wait(&what, INTERVAL, DEADLINE, || async {
        let found = match eks.describe_cluster().name(name).send().await {
            Ok(found) => found.cluster,
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(classify(error)).doing(doing()),
        };
        if found.is_none_or(|found| found.deletion_protection() != Some(true)) {
            return Ok(Poll::Ready(()));
        }
        match eks.update_cluster_config().name(name).deletion_protection(false).send().await {
            Ok(_) => Ok(Poll::Pending("still protected".to_owned())),
            Err(error) if is_missing(&error) => Ok(Poll::Ready(())),
            // Another update of the cluster is under way, which may be this one, or the read above was outdated.
            Err(error) if is_busy(&error) => {
                Ok(Poll::Pending(error.message().unwrap_or_default().to_owned()))
            }
            Err(error) => Err(classify(error)).doing(doing()),
        }
    })
    .await
}

/// Whether EKS refuses an update only because of another one, or because it has been made already.
fn is_busy(error: &impl ProvideErrorMetadata) -> bool {
    let message = error.message().unwrap_or_default();
    match error.code() {
        Some("ResourceInUseException") => true,
        // As in "Cluster is already at the desired configuration".
        Some("InvalidParameterException") => message.contains("already"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        kubernetes::testing::{Call, Server},
        step::{Class, testing::context},
    };

    /// A service that protects one resource, and a fault.
    struct Service {
        is_protected: bool,
        /// Changing calls that are refused, because another change is under way.
        busy: u32,
        /// Calls until the fault.
        before: u32,
        /// Calls that meet the fault.
        faults: u32,
        /// The service acts, and its answer is lost.
        acts: bool,
    }

    impl Service {
        fn answer(&mut self, call: &Call) -> (u16, Value) {
            let is_eks = call.path != "/";
            if self.before > 0 || self.faults == 0 {
                self.before = self.before.saturating_sub(1);
                return self.act(call, is_eks);
            }
            if self.acts {
                self.act(call, is_eks);
            }
            self.faults -= 1;
            (500, if is_eks { json!({ "__type": "ServerException" }) } else { json!("<ErrorResponse/>") })
        }

        fn act(&mut self, call: &Call, is_eks: bool) -> (u16, Value) {
            let protected = self.is_protected;
            match (is_eks, call.method == "GET" || call.body.contains("DescribeDBInstances")) {
                (true, true) => (200, json!({ "cluster": { "deletionProtection": protected } })),
                (false, true) => {
                    let one = format!(
                        "<DBInstance><DBInstanceStatus>available</DBInstanceStatus>\
                         <DeletionProtection>{protected}</DeletionProtection></DBInstance>"
                    );
                    (
                        200,
                        json!(format!(
                            "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances>{one}</DBInstances>\
                         </DescribeDBInstancesResult></DescribeDBInstancesResponse>"
                        )),
                    )
                }
                (is_eks, false) if self.busy > 0 => {
                    self.busy -= 1;
                    refusal(is_eks, 409, "ResourceInUseException", "InvalidDBInstanceState")
                }
                (true, false) if !protected => refusal(true, 400, "InvalidParameterException", ""),
                (true, false) => {
                    self.is_protected = false;
                    (200, json!({ "update": {} }))
                }
                (false, false) => {
                    self.is_protected = false;
                    (
                        200,
                        json!(
                            "<ModifyDBInstanceResponse><ModifyDBInstanceResult/></ModifyDBInstanceResponse>"
                        ),
                    )
                }
            }
        }
    }

    fn refusal(is_eks: bool, status: u16, eks: &str, rds: &str) -> (u16, Value) {
        let xml = format!(
            "<ErrorResponse><Error><Code>{rds}</Code><Message>busy</Message></Error></ErrorResponse>"
        );
        (status, if is_eks { json!({ "__type": eks, "message": "it is already so" }) } else { json!(xml) })
    }

    /// Attempts as the engine makes them, until the lock is lifted.
    async fn converge(lock: &Lock, service: Service) {
        let service = Arc::new(Mutex::new(service));
        let shared = service.clone();
        let folder = tempfile::tempdir().unwrap();
        let (mut cx, _events) = context(folder.path());
        let aws = Server::start(move |call| shared.lock().unwrap().answer(call)).await.aws();
        Arc::get_mut(&mut cx.world).unwrap().aws = aws;
        for attempt in 1.. {
            match unlock(&cx, "eu-south-2", lock).await {
                Ok(()) => break,
                Err(error) => assert!(error.class == Class::Transient && attempt < 4, "{error}"),
            }
        }
        assert!(!service.lock().unwrap().is_protected, "{lock:?} is lifted");
    }

    #[test]
    fn a_status_that_only_a_person_ends_is_not_waited_for() {
        assert!(stays("stopped") && stays("incompatible-network"));
        assert!(!stays("modifying") && !stays("backing-up") && !stays("stopping"));
    }

    #[tokio::test]
    async fn whatever_call_fails_the_next_attempts_lift_a_protection() {
        let locks = [Lock::Cluster("payments-spain".to_owned()), Lock::Database("payments-spain".to_owned())];
        let mut runs = Vec::new();
        for lock in &locks {
            for before in 0..3 {
                for (faults, acts, busy) in
                    [(1, true, 0), (1, false, 0), (3, true, 0), (3, false, 0), (0, false, 1)]
                {
                    let service = Service { is_protected: true, busy, before, faults, acts };
                    runs.push(converge(lock, service));
                }
            }
        }
        futures::future::join_all(runs).await;
    }
}
