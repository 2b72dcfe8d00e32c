//! The content of one region's context: its cluster, and `paydeploy token` as its user's credential plugin.

use std::path::{Path, PathBuf};

use serde_norway::Value;

use crate::{
    aws::token::EXEC_API,
    fact,
    task::{ErrorExt, Result},
};

/// Cluster, user and context. The plugin is given by its absolute path and with all its arguments, so that it
/// works from any folder.
pub(super) fn parts(name: &str, access: &fact::Access, namespace: &str, program: &Path) -> [Value; 3] {
    let fact::Access { cluster, aws_region } = access;
    // `interactiveMode: Never`: kubectl need not pass the terminal on, because the plugin never prompts.
    let args = ["token", "--cluster", &cluster.cluster_name, "--aws-region", aws_region];
    let parts = serde_json::json!([
        { "server": cluster.cluster_endpoint, "certificate-authority-data": cluster.cluster_ca },
        { "exec": {
            "apiVersion": EXEC_API,
            "command": program,
            "args": args,
            "interactiveMode": "Never",
            "provideClusterInfo": false,
        } },
        { "cluster": name, "user": name, "namespace": namespace },
    ]);
    serde_norway::from_str(&parts.to_string()).expect("every JSON document is a YAML document")
}

/// The path of this program, which the contexts name as kubectl's credential plugin.
pub fn program() -> Result<PathBuf> {
    Ok(installed(&std::env::current_exe().doing("find the path of the running paydeploy")?))
}

/// Linux appends ` (deleted)` to the path when an upgrade replaces the file of the running program. The path
/// without it is the new version.
fn installed(program: &Path) -> PathBuf {
    match program.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
        Some(path) => path.into(),
        None => program.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_during_a_run_does_not_change_the_programs_path() {
        for seen in ["/opt/bin/paydeploy (deleted)", "/opt/bin/paydeploy"] {
            assert_eq!(installed(Path::new(seen)), Path::new("/opt/bin/paydeploy"));
        }
    }
}
