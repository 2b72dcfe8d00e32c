//! Checks that who deploys is among the administrators of the clusters.
//!
//! A region's file may list them. The list is then complete: the run would end its own access, or never have any, and would
//! fail at the first call to a cluster.

use std::path::Path;

use super::variables;
use crate::{
    config::Region,
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
    config.regions.values().filter(lacks).map(|region| unlisted(region, &config.root, deployer)).collect()
}

fn listed(file: &Path) -> Result<Vec<String>> {
    let values = variables::values(file)?;
    let list = values.get(VARIABLE).and_then(hcl::Value::as_array);
    Ok(list.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect())
}

fn lacks(listed: &[String], deployer: &str) -> bool {
    !listed.is_empty() && !listed.iter().any(|one| one == deployer)
}

fn unlisted(region: &Region, root: &Path, deployer: &str) -> Error {
    let file = region.var_file.strip_prefix(root).unwrap_or(&region.var_file).display();
    let message = format!(
        "region `{}`: `{VARIABLE}` in `{file}` does not list `{deployer}`, which deploys",
        region.name
    );
    Error::permanent(message)
        .with_hint(format!("add it to `{VARIABLE}`, or deploy as one of those that are listed"))
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
    }
}
