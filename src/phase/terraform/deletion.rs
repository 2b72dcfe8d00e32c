//! Judges the plan of a deletion: what it would delete, and what the operator must allow first.
//!
//! - In the profile `production` a resource that holds data, or on which everything else depends, is deleted only if
//!   its kind or its address was allowed.
//! - In `staging` the operator's confirmation is enough, except for a resource that AWS itself protects: the profile
//!   was then changed and never applied, or the deployment is another one than the operator thinks.
//!
//! - A key that outlives its stack (`data_key.rs`) is not deleted, so it needs no permission.
//!
//! What AWS or the provider would still refuse to delete ([`Lock`]) is lifted just before the plan is applied, so a
//! refused deletion changes nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use super::changes::{Action, ResourceChange, changes};
use crate::{
    config::Profile,
    step::{Class, Error, Result},
};

/// The kind of log groups.
pub const LOGS: &str = "logs";
/// The kind of buckets, file systems and volumes.
pub const STORAGE: &str = "storage";

/// What a deletion would do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// How many resources it deletes.
    pub resources: u32,
    pub refused: Vec<Protected>,
    pub locks: Vec<Lock>,
    /// The ARNs of the certificates among them.
    pub certificates: Vec<String>,
}

/// A protected resource whose deletion was not allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct Protected {
    pub address: String,
    /// What `--allow-delete` calls it.
    pub kind: &'static str,
    /// What would be lost.
    pub loss: String,
}

/// A resource that cannot be deleted as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// A database with deletion protection, by its identifier.
    Database(String),
    /// A cluster with deletion protection, by its name.
    Cluster(String),
    /// A repository that must be empty, by its name.
    Repository(String),
    /// A bucket that must be empty, by its name.
    Bucket(String),
}

/// Judges the output of `terraform show -json PLAN` of a deletion. `allowed` are kinds and addresses. Terraform forgets
/// the resources `kept`, by their addresses, before the deletion.
pub fn judge(plan: &str, profile: Profile, allowed: &[String], kept: &[String]) -> Result<Deletion> {
    let changes = changes(plan)?;
    let deletions = changes.iter().filter(|one| one.change.actions.contains(&Action::Delete));
    Ok(judge_all(deletions.filter(|one| !kept.contains(&one.address)), profile, allowed))
}

/// Judges the deletion of resources that a plan, which is not that of a deletion, would adopt at these addresses.
pub fn judge_adopted(
    plan: &str,
    profile: Profile,
    allowed: &[String],
    adopted: &BTreeSet<&str>,
) -> Result<Deletion> {
    let changes = changes(plan)?;
    Ok(judge_all(changes.iter().filter(|one| adopted.contains(one.address.as_str())), profile, allowed))
}

fn judge_all<'a>(
    all: impl Iterator<Item = &'a ResourceChange>,
    profile: Profile,
    allowed: &[String],
) -> Deletion {
    let mut deletion = Deletion::default();
    for one in all {
        deletion.resources += 1;
        deletion.locks.extend(lock(one));
        let is_certificate = one.kind == "aws_acm_certificate";
        let arn = is_certificate.then(|| one.change.before["arn"].as_str()).flatten();
        deletion.certificates.extend(arn.map(str::to_owned));
        let Some((kind, loss)) = protection(one) else { continue };
        let is_guarded = one.change.before["deletion_protection"] == true;
        let is_protected = profile == Profile::Production || is_guarded;
        let is_allowed = allowed.iter().any(|name| name == kind || *name == one.address);
        if is_protected && !is_allowed {
            deletion.refused.push(Protected { address: one.address.clone(), kind, loss });
        }
    }
    deletion
}

impl Deletion {
    /// # Errors
    /// When protected resources would be deleted. Names each, what would be lost, and the flag that allows it.
    pub fn check(&self) -> Result<()> {
        if self.refused.is_empty() {
            return Ok(());
        }
        let line = |one: &Protected| format!("`{}` is protected ({}): {}", one.address, one.kind, one.loss);
        let lines: Vec<String> = self.refused.iter().map(line).collect();
        let kinds: BTreeSet<&str> = self.refused.iter().map(|one| one.kind).collect();
        let flags: Vec<String> = kinds.iter().map(|kind| format!("--allow-delete {kind}")).collect();
        Err(Error::msg(Class::Refused, lines.join("\n")).with_hint(format!(
            "if that loss is acceptable, add {} (or --allow-delete 'ADDRESS' for a single resource)",
            flags.join(" ")
        )))
    }
}

/// A protected resource's kind, and what its deletion loses; `None` for types that can be created again as they were.
fn protection(one: &ResourceChange) -> Option<(&'static str, String)> {
    let before = &one.change.before;
    let text = |loss: &str| loss.to_owned();
    Some(match one.kind.as_str() {
        "aws_eks_cluster" => ("cluster", text("everything that runs in it")),
        "aws_db_instance"
        | "aws_docdb_cluster"
        | "aws_dynamodb_table"
        | "aws_elasticache_replication_group"
        | "aws_msk_cluster"
        | "aws_neptune_cluster"
        | "aws_opensearch_domain"
        | "aws_rds_cluster"
        | "aws_rds_global_cluster" => ("database", snapshot(before)),
        "aws_efs_file_system" | "aws_s3_bucket" | "aws_s3_directory_bucket" => {
            (STORAGE, text("all its objects"))
        }
        "aws_cloudtrail" | "aws_cloudtrail_event_data_store" => {
            ("trail", text("nothing is audited from then on"))
        }
        "aws_cloudwatch_log_group" => (LOGS, text("all its log events")),
        "aws_ecr_repository" => ("registry", text("all its images")),
        "aws_secretsmanager_secret" => ("secret", window(before, "recovery_window_in_days", "its value")),
        "aws_kms_external_key" | "aws_kms_key" | "aws_kms_replica_key" => {
            ("key", window(before, "deletion_window_in_days", "everything that it encrypts"))
        }
        "aws_route53_zone" => ("zone", text("all its records, and its name servers")),
        _ => return None,
    })
}

fn snapshot(before: &Value) -> String {
    match before["skip_final_snapshot"].as_bool() {
        Some(false) => "its data, except for a final snapshot that is kept".to_owned(),
        _ => "all its data".to_owned(),
    }
}

fn window(before: &Value, key: &str, loss: &str) -> String {
    match before[key].as_u64() {
        Some(days @ 1..) => format!("{loss}, which can be restored for {days} days"),
        _ => loss.to_owned(),
    }
}

fn lock(one: &ResourceChange) -> Option<Lock> {
    let before = &one.change.before;
    let name = |key: &str| before[key].as_str().map(str::to_owned);
    let is = |key: &str| before[key] == true;
    match one.kind.as_str() {
        "aws_db_instance" if is("deletion_protection") => name("identifier").map(Lock::Database),
        "aws_eks_cluster" if is("deletion_protection") => name("name").map(Lock::Cluster),
        // The provider deletes the content only if the flag was in effect before; see hashicorp/terraform-provider-aws#33523.
        "aws_ecr_repository" if !is("force_delete") => name("name").map(Lock::Repository),
        "aws_s3_bucket" if !is("force_destroy") => name("bucket").map(Lock::Bucket),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn delete(address: &str, before: &Value) -> Value {
        let kind = address.rsplit('.').nth(1).unwrap();
        json!({
            "address": address, "mode": "managed", "type": kind, "name": "this",
            "change": { "actions": ["delete"], "before": before, "after": null },
        })
    }

    fn plan() -> String {
        let changes = [
            delete(
                "module.database.aws_db_instance.this",
                &json!({ "identifier": "pay-spain", "deletion_protection": true, "skip_final_snapshot": false }),
            ),
            delete("module.key.aws_kms_key.this", &json!({ "deletion_window_in_days": 30 })),
            delete(
                "module.registry.aws_ecr_repository.this",
                &json!({ "name": "pay", "force_delete": false }),
            ),
            delete("module.network.aws_vpc.this", &json!({})),
        ];
        json!({ "format_version": "1.2", "resource_changes": changes }).to_string()
    }

    fn judged(profile: Profile, allowed: &[&str]) -> Deletion {
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        judge(&plan(), profile, &allowed, &[]).unwrap()
    }

    #[test]
    fn in_production_what_would_be_lost_is_refused_with_the_flag_that_allows_it() {
        let error = judged(Profile::Production, &[]).check().unwrap_err();
        assert_eq!(error.class, Class::Refused);
        assert_eq!(
            error.to_string(),
            "`module.database.aws_db_instance.this` is protected (database): its data, except for a final \
             snapshot that is kept\n\
             `module.key.aws_kms_key.this` is protected (key): everything that it encrypts, which can be \
             restored for 30 days\n\
             `module.registry.aws_ecr_repository.this` is protected (registry): all its images"
        );
        let flags = "--allow-delete database --allow-delete key --allow-delete registry";
        assert!(error.hint.unwrap().contains(flags));
    }

    #[test]
    fn a_kind_or_an_address_lifts_a_protection() {
        let refused = |allowed: &[&str]| -> Vec<&str> {
            judged(Profile::Production, allowed).refused.iter().map(|one| one.kind).collect()
        };
        assert_eq!(refused(&["database", "module.key.aws_kms_key.this"]), ["registry"]);
        judged(Profile::Production, &["database", "key", "registry"]).check().unwrap();
    }

    #[test]
    fn a_key_that_outlives_its_stack_is_not_among_what_is_deleted() {
        let kept = ["module.key.aws_kms_key.this".to_owned()];
        let deletion = judge(&plan(), Profile::Production, &[], &kept).unwrap();
        assert_eq!(deletion.resources, 3);
        assert!(deletion.refused.iter().all(|one| one.kind != "key"), "{:?}", deletion.refused);
    }

    #[test]
    fn in_staging_only_what_aws_itself_protects_is_refused() {
        let refused = judged(Profile::Staging, &[]).refused;
        assert_eq!(refused.iter().map(|one| one.kind).collect::<Vec<_>>(), ["database"]);
        judged(Profile::Staging, &["database"]).check().unwrap();
    }

    #[test]
    fn what_cannot_be_deleted_as_it_is_has_to_be_unlocked() {
        let deletion = judged(Profile::Production, &["database", "key", "registry"]);
        assert_eq!(deletion.resources, 4);
        assert_eq!(
            deletion.locks,
            [Lock::Database("pay-spain".to_owned()), Lock::Repository("pay".to_owned())]
        );
        let forced = delete("aws_s3_bucket.this", &json!({ "bucket": "b", "force_destroy": true }));
        let plan = json!({ "format_version": "1.2", "resource_changes": [forced] }).to_string();
        assert_eq!(judge(&plan, Profile::Staging, &[], &[]).unwrap().locks, []);
    }
}
