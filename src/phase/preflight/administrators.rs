//! Checks that the deployer is among the administrators of the clusters.
//!
//! A region's file may list them. The list is then complete: the run would end its own access, or never have any, and would
//! fail at the first call to a cluster.
//!
//! The path of a deployer's role is unknown if it may not read its own role, so roles are compared without their paths.

use std::path::Path;

use super::variables;
use crate::{
    config::{Region, Role},
    step::{Context, Error, Phase, Result},
};

/// The variable that lists them.
const VARIABLE: &str = "administrator_arns";

/// One error per region whose list lacks the deployer.
pub fn problems(cx: &Context, deployer: &str) -> Vec<Error> {
    let needs_clusters = [Phase::Kubeconfig, Phase::HelmDeps, Phase::Argocd, Phase::Apps];
    if !super::concerns(&cx.world.phases, &needs_clusters) {
        return Vec::new();
    }
    let config = &cx.world.config;
    // A file that cannot be read is a problem of the check of the variables.
    let lacks = |region: &&Region| listed(&region.var_file).is_ok_and(|all| lacks(&all, deployer));
    let needs_hub = super::concerns(&cx.world.phases, &[Phase::Argocd, Phase::Apps]);
    let is_used =
        |region: &&Region| cx.world.chosen.contains(&region.name) || (needs_hub && region.role == Role::Hub);
    let regions = config.regions.values().filter(is_used).filter(lacks);
    regions.map(|region| unlisted(region, &config.root, deployer)).collect()
}

fn listed(file: &Path) -> Result<Vec<String>> {
    let values = variables::values(file)?;
    let list = values.get(VARIABLE).and_then(hcl::Value::as_array);
    Ok(list.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect())
}

fn lacks(listed: &[String], deployer: &str) -> bool {
    !listed.is_empty() && !listed.iter().any(|one| without_path(one) == without_path(deployer))
}

/// A role's ARN without its path; that of a user as it is.
fn without_path(arn: &str) -> String {
    match arn.split_once(":role/") {
        Some((account, role)) => format!("{account}:role/{}", role.rsplit('/').next().unwrap_or(role)),
        None => arn.to_owned(),
    }
}

fn unlisted(region: &Region, root: &Path, deployer: &str) -> Error {
    let file = region.var_file.strip_prefix(root).unwrap_or(&region.var_file).display();
    let message = format!(
        "region `{}`: the deployer `{deployer}` is missing from `{VARIABLE}` in `{file}`",
        region.name
    );
    Error::permanent(message).with_hint("add it, or deploy as one of those that are listed")
}

#[cfg(test)]
mod tests {
    use super::lacks;

    #[test]
    fn without_a_list_the_deployer_has_access() {
        let ana = "arn:aws:iam::123456789012:user/ana";
        assert!(!lacks(&[], ana));
        assert!(!lacks(&["arn:aws:iam::123456789012:role/ci".to_owned(), ana.to_owned()], ana));
        assert!(lacks(&["arn:aws:iam::123456789012:role/ci".to_owned()], ana));
        let with_path = "arn:aws:iam::123456789012:role/company/ci".to_owned();
        assert!(!lacks(std::slice::from_ref(&with_path), "arn:aws:iam::123456789012:role/ci"));
        assert!(lacks(&[with_path], "arn:aws:iam::123456789012:user/ci"));
    }
}
