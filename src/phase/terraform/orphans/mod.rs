//! Adopts what a `terraform apply` that died has created and could not record.
//!
//! Terraform saves its state every 20 s and at its end, and a resource only once it is complete. What an apply that is
//! killed has created since then is in no state: the next apply would create it again, or fail because the name is taken,
//! and a teardown would miss it. So
//!
//! 1. `stack/plan.rs` records [`Claim::Apply`] before an apply, and releases it when terraform has ended by itself.
//! 2. While such a claim is open, each plan is searched for resources that it would create ([`table`]) and that exist
//!    ([`find`]). Those that are proved ours are added to a generated file of `import` blocks, and the stack is planned
//!    again, until nothing more is found: an adopted network makes the ids known by which its routes are found.
//! 3. The plan is judged and applied as any other. `down` applies it for the adopted resources alone, and then deletes
//!    them with the others.
//!
//! A resource is ours if it is not in the state, has the tags `Project`, `Region` and `Stack`, is planned at exactly one
//! address, and was not created before the apply, where AWS tells when. Anything else is reported with its id and left
//! alone, as is what fits two addresses, and a successor that an interrupted replacement has created already: the state
//! still has its predecessor. An access entry needs no tags and no time, because EKS has one per principal.
//!
//! The table covers every type of `terraform/` that a second apply would create twice or could not create. The others
//! need nothing:
//!
//! - `aws_iam_role_policy`, `aws_iam_role_policy_attachment`, `aws_ecr_lifecycle_policy`, `aws_ec2_tag`,
//!   `aws_eks_access_policy_association`, `aws_db_proxy_default_target_group` and `aws_s3_bucket_*` are settings of another
//!   resource, which AWS overwrites.
//! - `aws_default_security_group` adopts the group that the network has from its start.
//! - `aws_route53_record` overwrites (`allow_overwrite`).
//! - `terraform_data` exists in the state alone.

mod find;
mod table;

pub(super) use table::query;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::{
    changes::{Action, ResourceChange, changes},
    command::{Backend, Terraform},
};
use crate::{
    aws::orphans::{Finder, Query},
    config::Region,
    step::{Claim, Context, ErrorExt, Result},
};

/// How often a stack is planned again because more was found. The relations are found in the second round, and what
/// depends on a cluster's issuer in the third.
const ROUNDS: usize = 5;

/// A resource to adopt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    pub address: String,
    pub id: String,
}

/// The search for what the open claims of one stack left.
pub struct Search<'a> {
    cx: &'a Context,
    finder: Finder<'a>,
    /// Whether what is adopted is then deleted.
    deletes: bool,
    /// When the earliest of the applies started.
    since: jiff::Timestamp,
    /// What is imported without having been searched for.
    kept: Vec<Import>,
    /// What was found, or known before the search.
    pub imports: Vec<Import>,
    rounds: usize,
    /// Addresses that Terraform does not import.
    passed: BTreeSet<String>,
    /// Ids that were already reported.
    reported: BTreeSet<String>,
}

/// The open claims of the stack's applies.
pub fn open(cx: &Context, backend: &Backend) -> Vec<Claim> {
    let is_ours = |claim: &Claim| match claim {
        Claim::Apply { bucket, key, .. } => *bucket == backend.bucket && *key == backend.key,
        _ => false,
    };
    cx.claims.open().into_iter().filter(is_ours).collect()
}

/// Finds what a stack has in AWS.
pub(super) fn finder<'a>(cx: &'a Context, region: &'a Region, stack: &'a str) -> Finder<'a> {
    let config = &cx.world.config;
    Finder {
        aws: cx.world.aws.in_region(&region.aws_region),
        aws_region: &region.aws_region,
        account: &config.account,
        owner: [("Project", &config.project), ("Region", region.name.as_str()), ("Stack", stack)],
        tagged: tokio::sync::OnceCell::new(),
    }
}

/// Reports that nothing of an earlier apply has to be adopted any more.
pub fn release(terraform: &Terraform<'_>) -> Result<()> {
    // First the file: without a claim, the next check would delete it, but a teardown has no check.
    terraform.folder.remove_imports()?;
    for claim in open(terraform.cx, terraform.backend) {
        terraform.cx.release(&claim);
    }
    Ok(())
}

impl<'a> Search<'a> {
    /// The search; `None` if no apply is open. What an earlier search has written may be in the state by now: only what
    /// is `kept` or `adopted` remains to be imported. Terraform passes over what the state already has.
    ///
    /// What is `kept` has to be imported because the next apply would fail without it. A deletion only touches what it
    /// adopts, and is given in `adopted` what it would otherwise leave.
    pub fn start(
        terraform: &Terraform<'a>,
        region: &'a Region,
        stack: &'a str,
        kept: Vec<Import>,
        adopted: Vec<Import>,
        deletes: bool,
    ) -> Result<Option<Self>> {
        terraform.folder.write_imports(&blocks(kept.iter().chain(&adopted)))?;
        let cx = terraform.cx;
        let start = |claim: &Claim| match claim {
            Claim::Apply { since, .. } => Some(since.parse().unwrap_or(jiff::Timestamp::MIN)),
            _ => None,
        };
        let Some(since) = open(cx, terraform.backend).iter().filter_map(start).min() else { return Ok(None) };
        let finder = finder(cx, region, stack);
        let (passed, reported) = (BTreeSet::new(), BTreeSet::new());
        Ok(Some(Self { cx, finder, deletes, since, kept, imports: adopted, rounds: 0, passed, reported }))
    }

    /// Searches for what a plan, in its JSON, would create. Returns whether the stack has to be planned again.
    pub async fn more(&mut self, terraform: &Terraform<'_>, plan: &str) -> Result<bool> {
        self.rounds += 1;
        if self.rounds > ROUNDS {
            return Ok(false);
        }
        let mut known = in_state(plan)?;
        let mut found = Vec::new();
        let mut wanted: Vec<(ResourceChange, bool, Query)> = Vec::new();
        let changes = changes(plan)?;
        if self.rounds == 1 {
            self.imports = not_in_state(std::mem::take(&mut self.imports), &changes);
        }
        for one in changes {
            let replaces = match one.change.actions[..] {
                [Action::Create] => false,
                [Action::Create, Action::Delete] => true,
                _ => continue,
            };
            let Some(query) = query(&one.kind, &one.change.after) else { continue };
            wanted.push((one, replaces, query));
        }
        for (number, (one, replaces, query)) in wanted.iter().enumerate() {
            if let Some(at) = self.imports.iter().position(|import| import.address == one.address) {
                // Terraform has passed over the import, because the state has the address, of something that was deleted. A
                // second import would be an error of each later plan.
                let passed = self.imports.remove(at);
                terraform.folder.write_imports(&blocks(self.kept.iter().chain(&self.imports)))?;
                self.report_passed(&passed);
                self.passed.insert(passed.address);
            }
            if self.passed.contains(&one.address) {
                continue;
            }
            let is_same = |(other, (_, _, found)): (usize, &(_, _, Query))| other != number && found == query;
            if wanted.iter().enumerate().any(is_same) {
                // Which of them the existing one is cannot be told.
                continue;
            }
            self.cx.progress(format!("looking for what a run that died created: {}", one.address));
            if *replaces {
                self.report_successors(&one.address, query, &known).await?;
            } else if let Some(id) = self.existing(&one.address, query, &mut known).await? {
                found.push(Import { address: one.address.clone(), id });
            }
        }
        if found.is_empty() {
            return Ok(false);
        }
        self.imports.extend(found);
        terraform.folder.write_imports(&blocks(self.kept.iter().chain(&self.imports)))?;
        Ok(true)
    }
}

/// Those of the imports that the state does not have yet. What the state has, a plan does not import, although its
/// `prior_state` lists both.
fn not_in_state(imports: Vec<Import>, changes: &[ResourceChange]) -> Vec<Import> {
    let is_imported = |one: &Import| {
        changes.iter().any(|change| change.address == one.address && change.change.importing.is_some())
    };
    imports.into_iter().filter(is_imported).collect()
}

/// The ids and ARNs of everything in the state, and of what this plan imports.
fn in_state(plan: &str) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Plan {
        #[serde(default)]
        prior_state: Value,
    }
    let plan: Plan = serde_json::from_str(plan).doing("read terraform's plan")?;
    let mut all = BTreeSet::new();
    let mut modules = vec![&plan.prior_state["values"]["root_module"]];
    while let Some(module) = modules.pop() {
        modules.extend(module["child_modules"].as_array().into_iter().flatten());
        for resource in module["resources"].as_array().into_iter().flatten() {
            // What a data source reads may exist without being managed.
            if resource["mode"] == "managed" {
                let values = &resource["values"];
                all.extend(
                    [&values["id"], &values["arn"]].into_iter().filter_map(Value::as_str).map(str::to_owned),
                );
            }
        }
    }
    Ok(all)
}

fn blocks<'a>(imports: impl IntoIterator<Item = &'a Import>) -> String {
    let block = |one: &Import| {
        let id = one.id.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "$${").replace("%{", "%%{");
        format!("import {{\n  to = {}\n  id = \"{id}\"\n}}\n", one.address)
    };
    imports.into_iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn import_blocks_name_an_address_and_a_quoted_id() {
        let import = |address: &str, id: &str| Import { address: address.to_owned(), id: id.to_owned() };
        let text = blocks(&[
            import("module.network.aws_eip.nat[\"eu-south-2a\"]", "eipalloc-1"),
            import("a.b", "x\"${y}"),
        ]);
        assert!(
            text.contains("  to = module.network.aws_eip.nat[\"eu-south-2a\"]\n  id = \"eipalloc-1\"\n"),
            "{text}"
        );
        assert!(text.contains("  id = \"x\\\"$${y}\"\n"), "{text}");
    }

    #[test]
    fn of_what_was_known_before_the_search_only_that_which_the_state_lacks_is_adopted() {
        let import = |address: &str| Import { address: address.to_owned(), id: "alias/spain".to_owned() };
        let change = |address: &str, importing: bool| {
            let mut change = serde_json::json!({ "actions": ["no-op"] });
            if importing {
                change["importing"] = serde_json::json!({ "id": "alias/spain" });
            }
            serde_json::json!({ "address": address, "mode": "managed", "type": "aws_kms_key", "change": change })
        };
        let changes_of =
            [change("module.key.aws_kms_key.this", false), change("module.key.aws_kms_alias.this", true)];
        let plan = serde_json::json!({ "format_version": "1.2", "resource_changes": changes_of }).to_string();
        let (key, alias) = (import("module.key.aws_kms_key.this"), import("module.key.aws_kms_alias.this"));
        assert_eq!(not_in_state(vec![key, alias.clone()], &changes(&plan).unwrap()), [alias]);
    }

    #[test]
    fn what_is_in_the_state_is_known_by_id_and_arn_also_in_modules() {
        let resource = |mode: &str, id: &str| serde_json::json!({ "mode": mode, "values": { "id": id, "arn": format!("arn:{id}") } });
        let plan = serde_json::json!({ "prior_state": { "values": { "root_module": {
            "resources": [resource("managed", "a"), resource("data", "read")],
            "child_modules": [{ "child_modules": [{ "resources": [resource("managed", "b")] }] }],
        } } } });
        let known = in_state(&plan.to_string()).unwrap();
        assert_eq!(known.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "arn:a", "arn:b", "b"]);
        assert!(in_state("{}").unwrap().is_empty(), "there may be no state yet");
    }
}
