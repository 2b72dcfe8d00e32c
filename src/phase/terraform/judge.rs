//! Judges a plan: what it would do, and which deletions the user must allow first.
//!
//! 1. A plan that only creates and updates is judged by its messages, without a second terraform process. They count
//!    only if terraform's own summary has as many changes: a message that cannot be read is skipped, and could be a
//!    deletion.
//! 2. Any other plan is read as JSON. Deleting or replacing a resource of a protected type is refused, unless its
//!    address is allowed, or it is tainted in a stack that was never complete.
//! 3. Where no list says who administers a cluster, its deployer does. A run by another principal would then take the
//!    access of the one before, and the next run of that one would take it back: that is refused as well.

use super::{
    changes::{Action, Plan, ResourceChange},
    message::Message,
};
use crate::step::{Class, Error, Result};

/// The type that gives a principal access to a cluster, and the variable that lists those principals.
const ACCESS: &str = "aws_eks_access_entry";
const ADMINISTRATORS: &str = "administrator_arns";

/// Types whose deletion loses data, access, or everything that depends on them.
const PROTECTED: [&str; 22] = [
    "aws_cloudtrail_event_data_store",
    "aws_db_instance",
    "aws_docdb_cluster",
    "aws_dynamodb_table",
    "aws_ecr_repository",
    "aws_efs_file_system",
    "aws_eks_cluster",
    "aws_elasticache_replication_group",
    "aws_kms_external_key",
    "aws_kms_key",
    "aws_kms_replica_key",
    "aws_msk_cluster",
    "aws_neptune_cluster",
    "aws_opensearch_domain",
    "aws_rds_cluster",
    "aws_rds_cluster_instance",
    "aws_rds_global_cluster",
    "aws_route53_zone",
    "aws_s3_bucket",
    "aws_s3_directory_bucket",
    "aws_secretsmanager_secret",
    "aws_vpc",
];

/// What a plan would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// One line per change.
    pub lines: Vec<String>,
    /// The operations that an apply counts; a replacement is two.
    pub operations: u32,
    pub refused: Vec<Refusal>,
}

/// A deletion or replacement of a protected resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub address: String,
    pub replace: bool,
    pub reason: String,
    pub loses: Loses,
}

/// What a deletion costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loses {
    Data,
    /// Another deployer's access to a cluster.
    Access,
}

impl Judged {
    /// # Errors
    /// When protected resources, or another deployer's access, would be deleted. Names each, the reason, and the flag that
    /// allows it.
    pub fn check(&self) -> Result<()> {
        if self.refused.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = self
            .refused
            .iter()
            .map(|one| {
                let what = if one.replace { "replace" } else { "delete" };
                format!("would {what} `{}`: {}", one.address, one.reason)
            })
            .collect();
        let flags: Vec<String> =
            self.refused.iter().map(|one| format!("--allow-replace '{}'", one.address)).collect();
        let flags = flags.join(" ");
        let hint = if self.refused.iter().any(|one| one.loses == Loses::Data) {
            format!("if losing all its data is acceptable, run the same command with {flags}")
        } else {
            format!(
                "list everyone who deploys in `{ADMINISTRATORS}` of the region's file; \
                 if only you are to deploy from now on, run the same command with {flags}"
            )
        };
        Err(Error::msg(Class::Refused, lines.join("\n")).with_hint(hint))
    }
}

/// Judges a plan that has changes by its messages if it only creates and updates; `None` if it does more, or if
/// messages are missing, and it must be read as JSON.
pub fn judge_messages(messages: &[Message]) -> Option<Judged> {
    let mut judged = Judged { lines: Vec::new(), operations: 0, refused: Vec::new() };
    let mut announced = None;
    for message in messages {
        match message {
            // What is imported may be replaced as well, which only the JSON says.
            Message::PlannedChange { change } if change.importing.is_some() => return None,
            Message::PlannedChange { change } => {
                let sign = match change.action.as_str() {
                    "create" => "+",
                    "update" => "~",
                    "noop" | "read" => continue,
                    _ => return None,
                };
                judged.lines.push(format!("{sign} {}", change.resource.addr));
                judged.operations += 1;
            }
            Message::Outputs { outputs } => {
                for (name, output) in outputs {
                    let sign = match output.action.as_deref()? {
                        "noop" => continue,
                        "create" => "+",
                        "delete" => "-",
                        _ => "~",
                    };
                    judged.lines.push(format!("{sign} output {name}"));
                }
            }
            Message::ChangeSummary { changes } => announced = Some(changes.operations()),
            _ => {}
        }
    }
    (announced == Some(judged.operations) && !judged.lines.is_empty()).then_some(judged)
}

/// Judges the output of `terraform show -json PLAN`. `allowed` are the addresses whose deletion the user allows.
///
/// While a stack was never `complete` (its outputs are missing), no other stack depends on it, so a resource that an
/// interrupted run left tainted is recreated without the user's permission.
///
/// # Errors
/// When it cannot be read, or when it lists nothing at all: terraform has said that there are changes.
pub fn judge(plan: &str, allowed: &[String], complete: bool) -> Result<Judged> {
    let plan = Plan::parse(plan)?;
    let mut judged = Judged { lines: Vec::new(), operations: 0, refused: Vec::new() };
    for one in plan.managed() {
        let Some(line) = one.line() else { continue };
        judged.lines.push(line);
        judged.operations += one.operations();
        let is_incomplete = one.is_tainted() && !complete;
        let (loses, reason) = if is_destructive(one) && !is_incomplete {
            (Loses::Data, one.reason())
        } else if let Some(principal) = loses_access(&plan, one) {
            (
                Loses::Access,
                format!("`{principal}` deployed before, and would lose its access to the cluster"),
            )
        } else {
            continue;
        };
        if !allowed.contains(&one.address) {
            let replace = one.change.actions.len() > 1;
            judged.refused.push(Refusal { address: one.address.clone(), replace, reason, loses });
        }
    }
    for (name, change) in &plan.output_changes {
        if change.actions != [Action::NoOp] {
            judged.lines.push(format!("{} output {name}", change.sign()));
        }
    }
    let reads = plan.resource_changes.iter().any(|one| one.change.actions.contains(&Action::Read));
    if judged.lines.is_empty() && !reads {
        return Err(Error::permanent(
            "terraform reports changes, but its plan lists none that paydeploy can read",
        )
        .with_hint("use a newer `paydeploy`, or an older terraform"));
    }
    Ok(judged)
}

fn is_destructive(one: &ResourceChange) -> bool {
    PROTECTED.contains(&one.kind.as_str()) && one.change.actions.contains(&Action::Delete)
}

/// The principal whose access a change takes away although no list says who has access.
fn loses_access<'a>(plan: &Plan, one: &'a ResourceChange) -> Option<&'a str> {
    let listed = &plan.variables.get(ADMINISTRATORS)?.value;
    let is_taken = one.kind == ACCESS && one.change.actions == [Action::Delete];
    let is_listed = listed.as_array().is_some_and(|all| !all.is_empty());
    (is_taken && !is_listed).then(|| one.change.before["principal_arn"].as_str()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Judged, Message, judge, judge_messages};
    use crate::step::Class;

    fn change(address: &str, actions: &[&str], more: &Value) -> Value {
        let kind = address.rsplit_once('.').map(|(kind, _)| kind.rsplit('.').next().unwrap_or(kind));
        let mut one = json!({
            "address": address, "mode": "managed", "type": kind, "name": "this",
            "change": { "actions": actions, "before": { "arn": "arn:aws:x" }, "after": {}, "after_unknown": {} },
        });
        for (key, value) in more.as_object().unwrap() {
            match key.as_str() {
                "replace_paths" | "importing" => one["change"][key] = value.clone(),
                _ => one[key] = value.clone(),
            }
        }
        one
    }

    fn judged(changes: &[Value], allowed: &[&str]) -> Judged {
        let plan = json!({ "format_version": "1.2", "new_key": 1, "resource_changes": changes });
        let allowed: Vec<String> = allowed.iter().map(|&address| address.to_owned()).collect();
        judge(&plan.to_string(), &allowed, true).unwrap()
    }

    #[test]
    fn a_plan_is_one_line_per_change() {
        let none = json!({});
        let changes = [
            change("module.network.aws_vpc.this", &["create"], &none),
            change("aws_iam_role.node", &["update"], &none),
            change("aws_route.nat", &["delete"], &none),
            change("aws_eip.nat", &["no-op"], &none),
            change("aws_eip.new", &["no-op"], &json!({ "previous_address": "aws_eip.old" })),
            change(
                "aws_subnet.a",
                &["delete", "create"],
                &json!({
                    "action_reason": "replace_because_cannot_update", "replace_paths": [["cidr_block"], ["tags", "Name"]],
                }),
            ),
        ];
        let judged = judged(&changes, &[]);
        assert_eq!(
            judged.lines,
            [
                "+ module.network.aws_vpc.this",
                "~ aws_iam_role.node",
                "- aws_route.nat",
                "moved aws_eip.old -> aws_eip.new",
                "-/+ aws_subnet.a (`cidr_block`, `tags.Name` cannot be changed in place)",
            ]
        );
        assert_eq!(judged.operations, 5);
        judged.check().unwrap();
    }

    #[test]
    fn replacing_a_database_is_refused_until_its_address_is_allowed() {
        let replace = json!({
            "action_reason": "replace_because_cannot_update", "replace_paths": [["storage_encrypted"]],
        });
        let changes = [change("module.database.aws_db_instance.this", &["delete", "create"], &replace)];
        let error = judged(&changes, &[]).check().unwrap_err();
        assert_eq!(error.class, Class::Refused);
        assert_eq!(
            error.to_string(),
            "would replace `module.database.aws_db_instance.this`: `storage_encrypted` cannot be changed in place"
        );
        assert!(error.hint.unwrap().contains("--allow-replace 'module.database.aws_db_instance.this'"));
        judged(&changes, &["module.database.aws_db_instance.this"]).check().unwrap();
    }

    #[test]
    fn deleting_a_key_by_removing_it_from_the_configuration_is_refused() {
        let removed = json!({ "action_reason": "delete_because_no_resource_config" });
        let judged = judged(&[change("aws_kms_key.this", &["delete"], &removed)], &[]);
        let error = judged.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "would delete `aws_kms_key.this`: it is no longer in the configuration"
        );
    }

    /// The plan of a run by `ana` after one by `ci`.
    fn by_another_deployer(administrators: &Value) -> Value {
        let entry = |name: &str, action: &str| {
            let address = format!("module.cluster.aws_eks_access_entry.administrator[\"{name}\"]");
            let before = json!({ "principal_arn": format!("arn:aws:iam::123456789012:role/{name}") });
            json!({
                "address": address, "mode": "managed", "type": "aws_eks_access_entry",
                "change": { "actions": [action], "before": before },
            })
        };
        json!({
            "format_version": "1.2",
            "variables": { "administrator_arns": { "value": administrators } },
            "resource_changes": [entry("ci", "delete"), entry("ana", "create")],
        })
    }

    #[test]
    fn another_deployer_does_not_take_the_access_of_the_one_before_unless_it_is_allowed() {
        let plan = by_another_deployer(&json!([])).to_string();
        let error = judge(&plan, &[], true).unwrap().check().unwrap_err();
        assert_eq!(error.class, Class::Refused);
        assert!(error.to_string().contains("`arn:aws:iam::123456789012:role/ci` deployed before"), "{error}");
        let fix = error.hint.unwrap();
        let address = r#"module.cluster.aws_eks_access_entry.administrator["ci"]"#;
        assert!(fix.contains("`administrator_arns`"), "{fix}");
        assert!(fix.contains(&format!("--allow-replace '{address}'")), "{fix}");
        judge(&plan, &[address.to_owned()], true).unwrap().check().unwrap();
    }

    #[test]
    fn a_list_of_administrators_says_whose_access_ends() {
        let plan = by_another_deployer(&json!(["arn:aws:iam::123456789012:role/ana"])).to_string();
        judge(&plan, &[], true).unwrap().check().unwrap();
    }

    #[test]
    fn a_resource_attached_to_a_protected_one_is_not_itself_protected() {
        let judged = judged(&[change("aws_s3_bucket_policy.this", &["delete"], &json!({}))], &[]);
        judged.check().unwrap();
    }

    #[test]
    fn a_tainted_resource_may_be_replaced_until_the_stack_was_complete_once() {
        let tainted = json!({ "action_reason": "replace_because_tainted" });
        let changes = [change("aws_vpc.this", &["delete", "create"], &tainted)];
        let plan = json!({ "format_version": "1.2", "resource_changes": changes }).to_string();
        judge(&plan, &[], false).unwrap().check().unwrap();
        assert_eq!(judge(&plan, &[], true).unwrap().check().unwrap_err().class, Class::Refused);

        let moved = json!({ "action_reason": "replace_because_cannot_update" });
        let changes = [change("aws_vpc.this", &["delete", "create"], &moved)];
        let plan = json!({ "format_version": "1.2", "resource_changes": changes }).to_string();
        assert!(judge(&plan, &[], false).unwrap().check().is_err());
    }

    #[test]
    fn a_change_of_outputs_alone_is_a_change() {
        let plan = json!({
            "format_version": "1.2",
            "output_changes": { "vpc_id": { "actions": ["create"] }, "same": { "actions": ["no-op"] } },
        });
        let judged = judge(&plan.to_string(), &[], true).unwrap();
        assert_eq!((judged.lines, judged.operations), (vec!["+ output vpc_id".to_owned()], 0));
    }

    fn planned(action: &str) -> Message {
        let change = json!({
            "type": "planned_change",
            "change": { "resource": { "addr": "aws_eip.nat[0]", "resource": "aws_eip.nat[0]" }, "action": action },
        });
        Message::parse(&change.to_string()).unwrap()
    }

    fn summary(changes: u32) -> Message {
        let changes = json!({ "add": changes, "change": 0, "import": 0, "remove": 0, "operation": "plan" });
        Message::parse(&json!({ "type": "change_summary", "changes": changes }).to_string()).unwrap()
    }

    #[test]
    fn a_plan_that_only_creates_and_updates_is_judged_by_its_messages() {
        let outputs = r#"{"type":"outputs","outputs":{"a":{"sensitive":false,"action":"update"},"b":{"action":"noop"}}}"#;
        let outputs = Message::parse(outputs).unwrap();
        let messages = [planned("create"), planned("update"), planned("read"), summary(2), outputs];
        let judged = judge_messages(&messages).unwrap();
        assert_eq!(judged.lines, ["+ aws_eip.nat[0]", "~ aws_eip.nat[0]", "~ output a"]);
        assert_eq!(judged.operations, 2);
    }

    #[test]
    fn a_plan_that_does_anything_else_must_be_read_as_json() {
        for action in ["delete", "replace", "move", "import", "unknown"] {
            assert_eq!(judge_messages(&[planned("create"), planned(action), summary(1)]), None, "{action}");
        }
    }

    #[test]
    fn a_plan_is_read_as_json_if_a_message_is_missing() {
        assert_eq!(judge_messages(&[]), None);
        assert_eq!(judge_messages(&[summary(0)]), None);
        assert_eq!(judge_messages(&[planned("create")]), None, "without terraform's own number of changes");
        assert_eq!(judge_messages(&[planned("create"), summary(2)]), None, "one of two could not be read");
    }

    #[test]
    fn a_plan_with_changes_that_lists_none_is_an_error_and_not_clean() {
        let plan =
            |changes: &[Value]| json!({ "format_version": "1.2", "resource_changes": changes }).to_string();
        let error = judge(&plan(&[]), &[], true).unwrap_err();
        assert!(error.to_string().contains("lists none"), "{error}");
        let read = change("data.aws_caller_identity.this", &["read"], &json!({ "mode": "data" }));
        assert_eq!(judge(&plan(&[read]), &[], true).unwrap().lines, Vec::<String>::new());
    }

    #[test]
    fn a_plan_of_another_format_is_refused() {
        assert!(judge(r#"{"format_version": "2.0"}"#, &[], true).is_err());
    }
}
