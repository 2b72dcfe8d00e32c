//! The CI recipes of `examples/ci`, executed as far as a shell can.

use std::{collections::BTreeSet, env, fs, path::Path, process::Command};

use super::section;
use crate::{
    recipes,
    world::{World, ends_with, text},
};

/// Runs each job in its own clean clone, as a forge does. A script that several jobs share runs once.
pub fn the_ci_recipes_work_from_clean_clones(world: &World) {
    let mut done = BTreeSet::new();
    for job in recipes::jobs() {
        if job.scripts.iter().all(|script| done.contains(script)) {
            continue;
        }
        section(&format!("CI recipe {}", job.name));
        let folder = tempfile::tempdir().unwrap();
        let clone = folder.path().join("clone");
        let origin =
            text(Command::new("git").args(["remote", "get-url", "origin"]).current_dir(&world.workspace));
        text(Command::new("git").args(["clone", "--quiet", origin.trim()]).arg(&clone));
        let checkout = clone.display().to_string();
        let expanded = |value: &String| value.replace("$CI_PROJECT_DIR", &checkout);
        let summary = folder.path().join("summary.md");
        for script in job.scripts.iter().filter(|script| done.insert((*script).clone())) {
            let mut shell = Command::new("bash");
            shell.args(["-e", "-o", "pipefail", "-c", script]).current_dir(&clone);
            shell.envs(job.variables.iter().map(|(name, value)| (name, expanded(value))));
            shell.env("PATH", with_paydeploy()).env("CI", "true");
            shell.env("RUNNER_TEMP", folder.path()).env("GITHUB_STEP_SUMMARY", &summary);
            shell.env("CI_PROJECT_DIR", &clone).env("AWS_ID_TOKEN", "not used: the sandbox has keys");
            ends_with(0, &mut shell);
        }
        if summary.exists() {
            let summary = fs::read_to_string(summary).unwrap();
            assert!(summary.contains("apps/spain"), "the plan is in the summary: {summary}");
        }
    }
}

/// PATH with the program under test first.
fn with_paydeploy() -> std::ffi::OsString {
    let own = Path::new(env!("CARGO_BIN_EXE_paydeploy")).parent().unwrap().to_owned();
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths([own].into_iter().chain(env::split_paths(&path))).unwrap()
}
