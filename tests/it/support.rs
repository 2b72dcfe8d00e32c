//! A folder with a configuration, and the program that runs in it.

use std::{fs, path::Path};

use assert_cmd::Command;
use tempfile::TempDir;

/// The configuration of `Workspace::new`; tests change single lines of it.
pub const CONFIG: &str = r#"project = "payments"
account = "123456789012"
profile = "staging"

[terraform]
stacks = "stacks"

[image]
context = "."
dockerfile = "Dockerfile"
repository = "payments"

[gitops]
repository = "https://git.example/payments.git"
chart = "chart"
manifests = "manifests"

[rollout]
order = ["spain", "mexico"]

[addons.aws-load-balancer-controller]
chart = "oci://charts.example/aws-load-balancer-controller"
version = "1.14.0"

[addons.external-secrets]
chart = "oci://charts.example/external-secrets"
version = "0.20.4"

[addons.argo-cd]
chart = "oci://charts.example/argo-cd"
version = "9.1.0"

[regions.spain]
aws_region = "eu-south-2"
role = "hub"
var_file = "spain.tfvars"
domain = "api-es.payments.example"

[regions.mexico]
aws_region = "us-east-1"
role = "spoke"
var_file = "mexico.tfvars"
domain = "api-mx.payments.example"
"#;

pub struct Workspace(TempDir);

impl Workspace {
    pub fn new() -> Self {
        Self::with(CONFIG)
    }

    pub fn with(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for stack in ["foundation", "cluster", "database", "audit"] {
            fs::create_dir_all(at("stacks").join(stack)).unwrap();
        }
        for name in ["chart", "manifests"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("Dockerfile"), "FROM scratch\n").unwrap();
        fs::write(at("spain.tfvars"), "vpc_cidr = \"10.10.0.0/16\"\n").unwrap();
        fs::write(at("mexico.tfvars"), "vpc_cidr = \"10.20.0.0/16\"\n").unwrap();
        fs::write(at("paydeploy.toml"), config).unwrap();
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Turns the folder into a repository with one commit.
    pub fn commit(&self) {
        let identity = ["-c", "user.name=x", "-c", "user.email=x@example"];
        for args in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message=one"]] {
            Command::new("git").current_dir(self.path()).args(identity).args(args).assert().success();
        }
    }

    /// The program in this folder, with unknown credentials and an AWS that does not respond.
    pub fn paydeploy(&self) -> Command {
        let mut command = paydeploy();
        command
            .current_dir(self.path())
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "a-secret-that-no-output-may-hold")
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }
}

/// The program with a minimal environment.
pub fn paydeploy() -> Command {
    let mut command = Command::cargo_bin("paydeploy").unwrap();
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TERM", "dumb");
    command
}

/// What a command wrote to standard error.
pub fn stderr(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

pub fn stdout(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

/// The exit code of a run that preflight ends.
pub const PREFLIGHT: i32 = 4;

pub fn assert_contains(output: &str, pieces: &[&str]) {
    for piece in pieces {
        assert!(output.contains(piece), "`{piece}` is not in:\n{output}");
    }
}
