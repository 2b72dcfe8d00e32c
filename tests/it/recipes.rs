//! The shell commands of the CI recipes in `examples/ci`, extracted as a forge's runner would execute them.
//! `journey::recipes` executes them on the sandbox; the tests here need none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_norway::Value;

use crate::support::paydeploy;

/// A job, and what its runner executes in one checkout.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The file and the job's name in it, as in `github/up.yml up`.
    pub name: String,
    /// What the runner exports first; values may refer to the runner's own variables.
    pub variables: BTreeMap<String, String>,
    /// GitHub: the `run` of each step. GitLab: each line of `before_script`, `script` and `after_script`.
    pub scripts: Vec<String>,
}

/// Every job of every recipe.
pub fn jobs() -> Vec<Job> {
    let mut jobs = Vec::new();
    for file in files("github") {
        let workflow = read(&file);
        // A called workflow has no inputs: it is extracted with those of its callers.
        if workflow["on"].get("workflow_call").is_none() {
            jobs.extend(github(&file, &workflow, None));
        }
    }
    for file in files("gitlab") {
        jobs.extend(gitlab(&file, &read(&file)));
    }
    jobs
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci")
}

fn files(forge: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join(forge)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read(file: &Path) -> Value {
    let text = fs::read_to_string(file).unwrap();
    serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn name(file: &Path, job: &str) -> String {
    format!("{} {job}", file.strip_prefix(folder()).unwrap().display())
}

fn github(file: &Path, workflow: &Value, inputs: Option<&Value>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (key, job) in workflow["jobs"].as_mapping().unwrap() {
        let key = key.as_str().unwrap();
        if let Some(called) = job.get("uses") {
            let called = file.with_file_name(Path::new(called.as_str().unwrap()).file_name().unwrap());
            let called = github(&called, &read(&called), job.get("with"));
            jobs.extend(called.into_iter().map(|job| Job { name: name(file, key), ..job }));
            continue;
        }
        let steps = job["steps"].as_sequence().unwrap();
        let runs = steps.iter().filter_map(|step| step.get("run")?.as_str());
        let scripts = runs.map(|run| with_inputs(run, inputs)).collect();
        jobs.push(Job { name: name(file, key), variables: BTreeMap::new(), scripts });
    }
    jobs
}

/// Replaces `${{ inputs.NAME }}` by what the caller passes.
fn with_inputs(run: &str, inputs: Option<&Value>) -> String {
    let mut run = run.to_owned();
    for (name, value) in inputs.and_then(Value::as_mapping).into_iter().flatten() {
        let expression = format!("${{{{ inputs.{} }}}}", name.as_str().unwrap());
        run = run.replace(&expression, value.as_str().unwrap());
    }
    run
}

/// Keys at the top of a GitLab file that are not jobs.
const SETTINGS: [&str; 5] = ["default", "include", "stages", "variables", "workflow"];

fn gitlab(file: &Path, pipeline: &Value) -> Vec<Job> {
    let jobs = pipeline.as_mapping().unwrap().iter().map(|(key, job)| (key.as_str().unwrap(), job));
    let is_job = |key: &str| !key.starts_with('.') && !SETTINGS.contains(&key);
    jobs.filter(|(key, _)| is_job(key))
        .map(|(key, job)| {
            let template = job.get("extends").map(|template| &pipeline[template.as_str().unwrap()]);
            let setting = |name: &str| job.get(name).or_else(|| template?.get(name));
            let lines = ["before_script", "script", "after_script"].into_iter().filter_map(setting);
            let scripts = lines.flat_map(|lines| lines.as_sequence().unwrap());
            let variables = setting("variables").and_then(Value::as_mapping).into_iter().flatten();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            Job {
                name: name(file, key),
                variables: variables.map(|(name, value)| (text(name), text(value))).collect(),
                scripts: scripts.map(text).collect(),
            }
        })
        .collect()
}

/// The arguments of each call of paydeploy in the recipes of a forge.
fn calls(forge: &str) -> Vec<Vec<String>> {
    let scripts = jobs().into_iter().filter(|job| job.name.starts_with(forge)).flat_map(|job| job.scripts);
    let lines: Vec<String> =
        scripts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let calls = lines.iter().filter_map(|line| line.trim().strip_prefix("paydeploy "));
    calls
        .map(|call| call.split_whitespace().take_while(|word| *word != ">").map(str::to_owned).collect())
        .collect()
}

#[test]
fn every_script_of_a_recipe_is_one_that_a_shell_can_run() {
    for job in jobs() {
        assert!(!job.scripts.is_empty(), "{} runs nothing", job.name);
        for script in job.scripts {
            assert!(!script.contains("${{"), "{}: a shell cannot evaluate `{script}`", job.name);
            let parsed = Command::new("bash").args(["-n", "-c", &script]).status().unwrap();
            assert!(parsed.success(), "{}: `{script}`", job.name);
        }
    }
}

#[test]
fn every_call_of_paydeploy_in_a_recipe_is_one_that_the_program_takes() {
    for forge in ["github", "gitlab"] {
        let calls = calls(forge);
        assert!(calls.len() >= 4, "{forge}: {calls:?}");
        for call in calls {
            // With `--help` at its end a call is parsed and not run.
            paydeploy().args(call).arg("--help").assert().code(0);
        }
    }
}

#[test]
fn the_recipes_of_both_forges_plan_deploy_check_for_drift_and_run_every_phase() {
    for forge in ["github", "gitlab"] {
        let calls: BTreeSet<String> = calls(forge).iter().map(|call| call.join(" ")).collect();
        let phases = ["terraform", "kubeconfig", "docker", "helm-deps", "secrets", "argocd", "apps"];
        let phases = phases.map(|phase| format!("phase {phase} --output lines --lock-wait 30m"));
        let others =
            ["plan --output lines", "up --output lines --lock-wait 30m", "status --drift"].map(str::to_owned);
        for call in phases.iter().chain(&others) {
            assert!(calls.contains(call), "{forge} has no `paydeploy {call}`: {calls:?}");
        }
    }
}

#[test]
fn no_recipe_uses_a_static_key() {
    for file in files("github").into_iter().chain(files("gitlab")) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("ACCESS_KEY") && !text.contains("access-key"), "{}", file.display());
        assert!(text.contains("id-token: write") || text.contains("id_tokens:"), "{}", file.display());
    }
}
