//! A team's clone of its repository in which `paydeploy` runs, with tools that only print their version.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;

use crate::{
    account::{Keys, OURS, account},
    world::{printed, text},
};

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
/// What a new enough terraform prints for its version.
pub const TERRAFORM: &str = "{\"terraform_version\": \"1.13.4\"}";

pub struct Checkout {
    folder: TempDir,
    pub keys: Keys,
}

impl Checkout {
    /// A clone whose only commit is pushed, with credentials that may deploy.
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let user = format!("deployer-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let checkout = Self { folder: tempfile::tempdir().unwrap(), keys: account().user(&user, OURS) };
        for folder in ["bin", "work/service"] {
            fs::create_dir_all(checkout.folder.path().join(folder)).unwrap();
        }
        // Without the folders that a developer's own terraform has left in the stacks.
        let copy = "tar -C \"$0\" --exclude .terraform -c terraform charts gitops | tar -C \"$1\" -x";
        text(Command::new("sh").args(["-c", copy, REPOSITORY]).arg(checkout.work()));
        let config = fs::read_to_string(Path::new(REPOSITORY).join("paydeploy.toml")).unwrap();
        checkout.write("paydeploy.toml", &config);
        // Git reads what the configuration's URL names from this folder: a `file://` URL would be refused.
        let instead = format!(
            "[url \"file://{}/\"]\n  insteadOf = https://git.example/\n",
            checkout.folder.path().display()
        );
        fs::write(checkout.folder.path().join(".gitconfig"), instead).unwrap();
        checkout.edit("paydeploy.toml", "payments.git", "origin.git");
        let (page, servers) = (account().page("address"), account().endpoint.replace("http://", ""));
        let world = format!("[preflight]\negress = \"{page}\"\nname_servers = [\"{servers}\"]\n\n[rollout]");
        checkout.edit("paydeploy.toml", "[rollout]", &world);
        checkout.write("service/Dockerfile", "FROM scratch\n");

        checkout.tool("terraform", TERRAFORM);
        checkout.tool("helm", "v3.19.0");
        // AWS SDKs start a credential process with a shell.
        for tool in ["git", "sh"] {
            let path = text(Command::new("sh").args(["-c", &format!("command -v {tool}")]));
            std::os::unix::fs::symlink(path.trim(), checkout.bin().join(tool)).unwrap();
        }

        checkout.git(&["init", "--quiet", "--bare", "--initial-branch=main", "../origin.git"]);
        checkout.git(&["init", "--quiet", "--initial-branch=main"]);
        checkout.commit("the first");
        checkout.push();
        checkout
    }

    pub fn with_keys(keys: Keys) -> Self {
        Self { keys, ..Self::new() }
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    /// The commands for which the tools were run, except those for their version; one per line.
    pub fn ran(&self) -> String {
        fs::read_to_string(self.folder.path().join("ran")).unwrap_or_default()
    }

    /// The changes that the clone's credentials made in the account, or tried to make.
    pub fn changes(&self) -> Vec<String> {
        account().changes_by(&self.keys.id)
    }

    /// The same without the leases and records of runs, which their runs delete again, and the copies of journals.
    pub fn lasting_changes(&self) -> Vec<String> {
        let passing = ["/paydeploy/runs/", "/paydeploy/journals/", "/paydeploy/lease.json"];
        let is_lasting = |call: &String| !passing.iter().any(|name| call.contains(name));
        self.changes().into_iter().filter(is_lasting).collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.work().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Replaces a text that must exist in a file.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "`{name}` has no `{from}`");
        self.write(name, &text.replace(from, to));
    }

    pub fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }

    pub fn push(&self) {
        self.git(&["push", "--quiet", "../origin.git", "main"]);
    }

    pub fn git(&self, args: &[&str]) -> String {
        let mut git = Command::new("git");
        git.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        git.env("HOME", self.folder.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        git.args(["-c", "user.name=developer", "-c", "user.email=developer@payments.example"]);
        text(git.args(args).current_dir(self.work()))
    }

    /// Gives the clone a project of its own, because what a test creates remains in the account that all tests share.
    pub fn rename_project(&self, name: &str) {
        for key in ["project", "repository"] {
            let line = |value: &str| format!("{key} = \"{value}\"");
            self.edit("paydeploy.toml", &line("payment-latency-api"), &line(name));
        }
        self.commit("another project");
        self.push();
    }

    /// A clone that deploys a hub and spokes, this many regions in all.
    pub fn of_regions(count: usize) -> Self {
        let checkout = Self::new();
        let config = fs::read_to_string(checkout.path("paydeploy.toml")).unwrap();
        let (first, spoke) = config.split_once("[regions.mexico]").unwrap();
        let variables = fs::read_to_string(checkout.path("terraform/regions/mexico.tfvars")).unwrap();
        let (mut spokes, mut order) = (String::new(), vec!["spain".to_owned()]);
        for number in 1..count {
            let name = format!("spoke-{number}");
            // AWS has fewer regions than some tests. The SDK and the simulator take any name that looks like one.
            let made_up = format!("us-east-{}", number + 10);
            let aws_region = ["us-east-1", "us-west-2"].get(number - 1).copied().unwrap_or(&made_up);
            let section = spoke.replace("us-east-1", aws_region);
            let section = section
                .replace("api-mx.", &format!("api-{name}."))
                .replace("mexico.tfvars", &format!("{name}.tfvars"));
            spokes += &format!("[regions.{name}]{section}\n");
            let variables = variables.replace("10.20.0.0/16", &format!("10.{}.0.0/16", number + 20));
            checkout.write(&format!("terraform/regions/{name}.tfvars"), &variables);
            order.push(name);
        }
        let config = format!("{first}{spokes}").replace("[\"spain\", \"mexico\"]", &format!("{order:?}"));
        checkout.write("paydeploy.toml", &config);
        checkout.commit("more regions");
        checkout.push();
        checkout
    }

    /// A clone that deploys one region, under a project of its own, with the real Terraform.
    pub fn of_one_region(project: &str) -> Self {
        let checkout = Self::new();
        checkout.use_real("terraform");
        let config = fs::read_to_string(checkout.path("paydeploy.toml")).unwrap();
        let (config, _mexico) = config.split_once("[regions.mexico]").unwrap();
        checkout.write("paydeploy.toml", config);
        let host = format!("{project}.payments.example");
        checkout.edit("paydeploy.toml", "api-es.payments.example", &host);
        checkout.edit("paydeploy.toml", "[\"spain\", \"mexico\"]", "[\"spain\"]");
        checkout.rename_project(project);
        checkout
    }

    /// Puts a tool first on PATH that prints this version and logs any other command that it is run for.
    pub fn tool(&self, name: &str, version: &str) {
        self.stand_in(name, version, &format!("echo \"{name} $*\" >>\"$RAN\"; exit 1"));
    }

    /// Puts a tool first on PATH that prints this version, and runs this shell script for any other command. What the
    /// script appends to `$RAN` is returned by `ran`.
    pub fn stand_in(&self, name: &str, version: &str, script: &str) {
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = version ] && {{ echo '{version}'; exit; }}\nRAN='{}'\n{script}\n",
            self.folder.path().join("ran").display()
        );
        // Written by another process: a child that another test forks meanwhile could inherit this process's open
        // file, and a file that is open for writing cannot be executed (ETXTBSY).
        let write = "printf %s \"$1\" >\"$0\" && chmod +x \"$0\"";
        text(Command::new("sh").args(["-c", write]).arg(self.bin().join(name)).arg(script));
    }

    /// Puts the machine's own program in the place of a tool.
    pub fn use_real(&self, name: &str) {
        self.without_tool(name);
        let real = text(Command::new("sh").args(["-c", &format!("command -v {name}")]));
        std::os::unix::fs::symlink(real.trim(), self.bin().join(name)).unwrap();
    }

    pub fn without_tool(&self, name: &str) {
        fs::remove_file(self.bin().join(name)).unwrap();
    }

    /// A program in the clone, with a small environment and the clone's credentials.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.work()).stdin(std::process::Stdio::null());
        command.env("PATH", self.bin()).env("HOME", self.folder.path()).env("TERM", "dumb");
        command.env("AWS_ENDPOINT_URL", &account().endpoint).env("AWS_EC2_METADATA_DISABLED", "true");
        if let Some(file) = std::env::var_os("TF_CLI_CONFIG_FILE") {
            command.env("TF_CLI_CONFIG_FILE", file);
        }
        let Keys { id, secret, session } = &self.keys;
        if !id.is_empty() {
            command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
        }
        if let Some(session) = session {
            command.env("AWS_SESSION_TOKEN", session);
        }
        command
    }

    /// Runs the program under test, which must end with a code and change nothing. Returns its output.
    pub fn refused(&self, code: i32, args: &[&str]) -> String {
        self.changed_nothing(code, self.command(env!("CARGO_BIN_EXE_paydeploy")).args(args))
    }

    /// Like `refused`, for a command that starts the program in another way.
    pub fn changed_nothing(&self, code: i32, command: &mut Command) -> String {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(code), "{printed}");
        let (changes, ran) = (self.changes(), self.ran());
        assert!(changes.is_empty() && ran.is_empty(), "{changes:#?}\n{ran}\n{printed}");
        self.no_secret_in(&output);
        printed
    }

    /// Neither the output nor `.paydeploy` contains the credentials.
    fn no_secret_in(&self, output: &Output) {
        let secrets = [Some(&self.keys.secret), self.keys.session.as_ref()];
        for secret in secrets.into_iter().flatten().filter(|secret| !secret.is_empty()) {
            let printed = printed(output);
            assert!(!printed.contains(secret), "{printed}");
            let found = Command::new("grep")
                .args(["-rlF", "--", secret, ".paydeploy"])
                .current_dir(self.work())
                .output();
            let found = String::from_utf8(found.unwrap().stdout).unwrap();
            assert!(found.is_empty(), "a secret is in {found}");
        }
    }
}
