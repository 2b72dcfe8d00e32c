//! A power cut in the middle of a real `terraform apply`, against the simulated AWS: paydeploy and all its children are
//! killed at once. The next run has to free Terraform's lock by itself, also when the journal is lost.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    account::account,
    checkout::Checkout,
    world::{printed, text},
};

const PAYDEPLOY: &str = env!("CARGO_BIN_EXE_paydeploy");
const KEY: &str = "cut/spain/foundation.tfstate";

/// What the stack `foundation` returns to the others.
const OUTPUTS: [&str; 10] = [
    "vpc_id",
    "ecr_repository_name",
    "ecr_repository_url",
    "api_secret_arn",
    "db_app_secret_arn",
    "db_migrator_secret_arn",
    "certificate_arn",
    "hosted_zone_id",
    "hosted_zone_name",
    "app_domain",
];

/// What the region's file sets.
const VARIABLES: [&str; 9] = [
    "application_nodes",
    "cluster_endpoint_public_access_cidrs",
    "compliance",
    "data_residency",
    "db_instance_class",
    "db_storage_gib",
    "hosted_zone_name",
    "system_nodes",
    "vpc_cidr",
];

/// The stack `foundation` with resources of Terraform itself, so that no provider is needed; each round adds one. With
/// `hangs` the creation of the last one says that it has started, and never ends.
fn stack(ready: &Path, round: usize, hangs: bool) -> String {
    let outputs = OUTPUTS.map(|name| format!("output \"{name}\" {{\n  value = \"x\"\n}}\n")).concat();
    let command = format!("echo x >'{}'; exec /bin/sleep 600", ready.display());
    let hang = format!("  provisioner \"local-exec\" {{\n    command = \"{command}\"\n  }}\n");
    let resource = |number| {
        let hang = if hangs && number == round { hang.as_str() } else { "" };
        format!("resource \"terraform_data\" \"round_{number}\" {{\n{hang}}}\n")
    };
    let resources = (0..=round).map(resource).collect::<String>();
    format!(
        "terraform {{\n  backend \"s3\" {{}}\n}}\n{resources}{outputs}\
         output \"nat_public_ips\" {{\n  value = [\"192.0.2.1\"]\n}}\n"
    )
}

fn prepare() -> Checkout {
    let checkout = Checkout::new();
    checkout.edit("paydeploy.toml", "project = \"payment-latency-api\"", "project = \"cut\"");
    checkout.edit("paydeploy.toml", "repository = \"payment-latency-api\"", "repository = \"cut\"");
    // Preflight wants every variable of the region's file to be declared somewhere.
    let variables = VARIABLES.map(|name| format!("variable \"{name}\" {{}}\n")).concat();
    for name in ["foundation", "cluster", "database", "audit"] {
        let folder = checkout.path("terraform/stacks").join(name);
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        // The other stacks fail immediately, because they keep their state elsewhere: this test is not about them.
        fs::write(folder.join("main.tf"), format!("terraform {{}}\n{variables}")).unwrap();
    }
    checkout.without_tool("terraform");
    let real = text(Command::new("sh").args(["-c", "command -v terraform"]));
    std::os::unix::fs::symlink(real.trim(), checkout.path("../bin/terraform")).unwrap();
    checkout
}

/// The processes that a process has started.
pub fn children(parent: u32) -> Vec<String> {
    let is_child = |pid: &String| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name in parentheses: the state, then the parent.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace());
        fields.and_then(|mut fields| fields.nth(1)) == Some(parent.to_string().as_str())
    };
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    processes.filter(is_child).collect()
}

impl Checkout {
    fn stack(&self, round: usize, hangs: bool) {
        let text = stack(&self.path("../ready"), round, hangs);
        self.write("terraform/stacks/foundation/main.tf", &text);
        self.commit("a stack");
        self.push();
    }

    fn phase(&self) -> Command {
        let mut command = self.command(PAYDEPLOY);
        command.args(["phase", "terraform", "--region", "spain"]);
        command
    }

    /// An object of the state bucket, or the list of its keys.
    fn object(&self, key: &str) -> String {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--noproxy", "*", "--aws-sigv4", "aws:amz:eu-south-2:s3"]);
        // The digest of an empty body, which S3 wants to be signed.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        curl.args(["-H", &format!("x-amz-content-sha256: {empty}")]);
        curl.args(["--user", &format!("{}:{}", self.keys.id, self.keys.secret)]);
        text(curl.arg(format!("{}/cut-tfstate-123456789012-eu-south-2/{key}", account().endpoint)))
    }

    /// Starts an apply, and kills paydeploy, its guard, terraform and what it runs, as a power cut does.
    fn power_cut(&self) {
        let ready = self.path("../ready");
        fs::remove_file(&ready).ok();
        let log = fs::File::create(self.path("../log")).unwrap();
        let mut up = self.phase().stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let started = Instant::now();
        while !ready.exists() {
            let log = fs::read_to_string(self.path("../log")).unwrap();
            assert!(up.try_wait().unwrap().is_none(), "it ended: {log}");
            assert!(started.elapsed() < Duration::from_mins(5), "terraform does not apply: {log}");
            std::thread::yield_now();
        }
        let groups: Vec<String> = children(up.id()).iter().map(|child| format!("-{child}")).collect();
        assert_eq!(groups.len(), 2, "the guard and terraform");
        // All at once: the guard would interrupt terraform. Each child leads a process group.
        text(Command::new("kill").args(["-KILL", "--", &up.id().to_string()]).args(groups));
        up.wait().unwrap();
    }
}

#[test]
fn after_a_power_cut_the_next_run_frees_terraforms_lock_with_and_without_the_journal() {
    let checkout = prepare();
    for (round, lost) in [false, true].into_iter().enumerate() {
        checkout.stack(round, true);
        checkout.power_cut();
        let lock = checkout.object(&format!("{KEY}.tflock"));
        assert!(lock.contains("OperationTypeApply"), "the lock is left: {lock}");
        assert!(checkout.object("?list-type=2").contains("cut/spain/paydeploy/runs/"), "so is the record");
        if lost {
            fs::remove_dir_all(checkout.path(".paydeploy")).unwrap();
        }
        checkout.stack(round, false);
        let output = printed(&checkout.phase().output().unwrap());
        assert!(output.contains("✓ terraform/spain/foundation"), "{output}");
        let keys = checkout.object("?list-type=2");
        assert!(!keys.contains(".tflock") && !keys.contains("paydeploy/runs/"), "{keys}");
        assert!(keys.contains(KEY), "{keys}");
    }
}
