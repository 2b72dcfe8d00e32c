//! The sandbox as seen from outside, never through the program under test.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::Value;

const PAGES: &str = "http://10.89.0.1:5000/sandbox";

pub struct World {
    pub workspace: PathBuf,
}

impl World {
    /// The running sandbox.
    pub fn running() -> Self {
        let workspace = std::env::var_os("PAYDEPLOY_WORKSPACE")
            .expect("the journey needs the sandbox: tests/run, or tests/sandbox/sandbox up and its env");
        Self { workspace: workspace.into() }
    }

    /// The program under test, where a user would run it.
    pub fn paydeploy(&self, args: &[&str]) -> Command {
        Self::paydeploy_in(&self.workspace, args)
    }

    pub fn paydeploy_in(folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_paydeploy"));
        command.args(args).current_dir(folder);
        command
    }

    /// Runs kubectl as the cluster's own administrator.
    pub fn kubectl(&self, region: &str, args: &[&str]) -> String {
        self.sandbox(&[&["kubectl", region], args].concat())
    }

    /// The same for an object that may be missing.
    pub fn try_kubectl(&self, region: &str, args: &[&str]) -> Option<String> {
        let output = sandbox(&[&["kubectl", region], args].concat()).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// Checks until a condition holds. There is no pause: each check runs a program, which takes long enough.
    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_mins(3), "timed out: {what}");
        }
    }

    /// Runs kubectl with the kubeconfig that the program under test has written.
    pub fn own_kubectl(&self, region: &str, args: &[&str]) -> String {
        let file = self.workspace.join(".paydeploy/kubeconfig");
        text(Command::new("kubectl").arg("--kubeconfig").arg(file).args(["--context", region]).args(args))
    }

    pub fn sandbox(&self, args: &[&str]) -> String {
        text(&mut sandbox(args))
    }

    pub fn kubectl_json(&self, region: &str, args: &[&str]) -> Value {
        serde_json::from_str(&self.kubectl(region, &[args, &["-o", "json"]].concat())).unwrap()
    }

    pub fn aws(&self, aws_region: &str, args: &[&str]) -> Value {
        // Passed explicitly: for RDS the CLI does not honour the variable.
        let endpoint = std::env::var("AWS_ENDPOINT_URL").expect("`sandbox env` sets it");
        let common = ["--endpoint-url", &endpoint, "--region", aws_region, "--output", "json"];
        let out = text(Command::new("aws").args(common).args(args));
        if out.trim().is_empty() { Value::Null } else { serde_json::from_str(&out).unwrap() }
    }

    /// Everything that exists in the account.
    pub fn inventory(&self) -> Value {
        page("inventory")
    }

    /// The number of the last changing call.
    pub fn last_call(&self) -> u64 {
        page("calls?since=0").as_array().and_then(|calls| calls.last()?["n"].as_u64()).unwrap_or(0)
    }

    /// Changing calls of the program and its children since a number, as `service Action`.
    pub fn calls_since(&self, number: u64) -> Vec<String> {
        let calls = page(&format!("calls?since={number}"));
        let named = |call: &Value| {
            format!("{} {} {}", text_of(&call["service"]), text_of(&call["action"]), call["resource"])
        };
        calls.as_array().unwrap().iter().map(named).collect()
    }

    pub fn add_fault(&self, rule: &Value) {
        text(Command::new("curl").args([
            "-sSf",
            "-X",
            "POST",
            "-d",
            &rule.to_string(),
            &format!("{PAGES}/faults"),
        ]));
    }

    pub fn clear_faults(&self) {
        text(Command::new("curl").args(["-sSf", "-X", "DELETE", &format!("{PAGES}/faults")]));
    }

    /// Replaces a text that must exist in a file of the workspace.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.workspace.join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "`{name}` has no `{from}`");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Commits and pushes all edits: a new release, even if it is empty.
    pub fn commit(&self, message: &str) -> String {
        let git = |args: &[&str]| text(Command::new("git").args(args).current_dir(&self.workspace));
        git(&["commit", "--quiet", "--all", "--allow-empty", "--message", message]);
        git(&["push", "--quiet", "origin", "main"]);
        git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    pub fn head(&self) -> String {
        text(Command::new("git").args(["rev-parse", "HEAD"]).current_dir(&self.workspace)).trim().to_owned()
    }
}

fn sandbox(args: &[&str]) -> Command {
    let mut sandbox = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sandbox/sandbox"));
    sandbox.args(args);
    sandbox
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn page(name: &str) -> Value {
    serde_json::from_str(&text(Command::new("curl").args(["-sSf", &format!("{PAGES}/{name}")]))).unwrap()
}

/// The standard output of a command that must succeed.
pub fn text(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", printed(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Everything that a command printed.
pub fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a command that must end with a code, and copies its output to the test's output.
pub fn ends_with(code: i32, command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let printed = printed(&output);
    println!("$ {command:?}\n{printed}");
    assert_eq!(output.status.code(), Some(code), "{command:?}");
    printed
}
