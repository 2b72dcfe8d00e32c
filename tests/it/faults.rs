//! Every call by which paydeploy itself changes AWS meets errors: the next run converges, and nothing exists twice.
//!
//! 1. A run without faults tells how many such calls there are: of the state's bucket and key, of records and locks.
//! 2. For each of them, a project of its own is deployed while exactly that call fails, and then once more.
//! 3. The second run must repair everything: each thing exists once, and no record and no lock remains.
//!
//! Each call meets two faults in turn: AWS acts and its answer is lost, and one of the other kinds, the next call the
//! next kind. With `PAYDEPLOY_FAULT_KINDS=7` each call meets all of them.

use std::fs;

use serde_json::{Value, json};

use crate::{
    account::{OURS, account},
    checkout::Checkout,
    world::ends_with,
};

const REGION: &str = "eu-south-2";

/// A Terraform that initialises its folder and refuses to plan. Until then paydeploy has created the state's bucket and
/// key, and recorded and locked.
const TERRAFORM: &str = r#"
PATH=/usr/bin:/bin
folder=${1#-chdir=}; shift
cd "$folder" || exit
mkdir -p .terraform
echo '{"backend":{"type":"s3"}}' >.terraform/terraform.tfstate
[ "$1" = init ] || { echo '{"type":"diagnostic","diagnostic":{"severity":"error","summary":"far enough"}}'; exit 1; }
"#;

/// What goes wrong with a call, and its name.
fn kinds() -> [(&'static str, Value); 7] {
    [
        ("done, but the answer is lost", json!({ "status": 500, "code": "own", "after": true })),
        ("done, but the answer is lost in a proxy", json!({ "status": 502, "body": "empty", "after": true })),
        ("throttled", json!({ "status": 400, "code": "ThrottlingException" })),
        ("failed", json!({ "status": 500, "code": "own" })),
        ("unavailable, by a proxy", json!({ "status": 503, "body": "html" })),
        ("denied", json!({ "status": 403, "code": "AccessDenied" })),
        ("refused, because the session has ended", json!({ "status": 403, "code": "ExpiredToken" })),
    ]
}

struct World {
    checkout: Checkout,
    project: String,
}

impl World {
    fn new() -> Self {
        let checkout = Checkout::new();
        checkout.stand_in("terraform", "{\"terraform_version\": \"1.13.4\"}", TERRAFORM);
        Self { checkout, project: "payment-latency-api".to_owned() }
    }

    /// Continues with another project, of which nothing exists yet, and without local state.
    fn start_over(&mut self, project: String) {
        for key in ["project", "repository"] {
            let line = |value: &str| format!("{key} = \"{value}\"");
            self.checkout.edit("paydeploy.toml", &line(&self.project), &line(&project));
        }
        self.checkout.commit("another project");
        self.checkout.push();
        self.project = project;
        drop(fs::remove_dir_all(self.checkout.path(".paydeploy")));
    }

    /// Always ends with an error, at the latest Terraform's.
    fn run(&self) -> String {
        let mut phase = self.checkout.command(env!("CARGO_BIN_EXE_paydeploy"));
        ends_with(1, phase.args(["phase", "terraform", "--region", "spain"]))
    }

    /// Adds a rule for the deployer's calls that change something. How many only read depends on what others have.
    fn add(&self, rule: &Value) {
        let mut rule = rule.clone();
        rule["changes"] = json!(true);
        rule["access_key"] = json!(self.checkout.keys.id);
        account().add_fault(&rule);
    }

    /// How many calls the last rule has matched.
    fn matched(&self) -> u64 {
        *account().matched(|rule| rule["access_key"] == self.checkout.keys.id.as_str()).last().unwrap()
    }

    /// What the project has: each key with the region's tags, by its description, and each object of its bucket.
    async fn exists(&self) -> Vec<String> {
        let sdk = account().sdk(&self.checkout.keys, REGION).await;
        let kms = aws_sdk_kms::Client::new(&sdk);
        let keys: Vec<_> =
            kms.list_keys().into_paginator().items().send().collect::<Result<_, _>>().await.unwrap();
        let mut all = Vec::new();
        for key in keys {
            let described = kms.describe_key().key_id(key.key_id.unwrap()).send().await.unwrap();
            let described = described.key_metadata.unwrap().description.unwrap_or_default();
            all.extend(Some(described).filter(|text| text.contains(&self.project)));
        }
        let s3 = aws_sdk_s3::Client::new(&sdk);
        let bucket = format!("{}-tfstate-{OURS}-{REGION}", self.project);
        let objects = s3.list_objects_v2().bucket(bucket).send().await.unwrap();
        all.extend(objects.contents.unwrap_or_default().into_iter().filter_map(|object| object.key));
        all
    }
}

#[tokio::test]
async fn whatever_call_fails_in_whatever_way_the_next_run_converges_and_nothing_exists_twice() {
    let mut world = World::new();
    world.start_over("faultless".to_owned());
    world.add(&json!({ "delay": 0.001, "count": null }));
    let output = world.run();
    let calls = world.matched();
    account().clear_faults(&world.checkout.keys.id);
    assert!(output.contains("✓ terraform/spain/state"), "{output}");
    assert!(calls > 12, "{calls} calls: {output}");

    let rounds = std::env::var("PAYDEPLOY_FAULT_KINDS").map_or(2, |rounds| rounds.parse().unwrap());
    let (kinds, mut hit) = (kinds(), 0);
    for (call, round) in (0..calls).flat_map(|call| (0..rounds).map(move |round| (call, round))) {
        let others = kinds.len() - 1;
        let which = if round == 0 { 0 } else { 1 + (usize::try_from(call).unwrap() + round) % others };
        let (name, kind) = &kinds[which];
        world.start_over(format!("fault-{call}-{round}"));
        let mut rule = kind.clone();
        rule["skip"] = json!(call);
        world.add(&rule);
        let first = world.run();
        hit += u64::from(world.matched() > call);
        // Otherwise a rule that this run did not reach would hit the next one.
        account().clear_faults(&world.checkout.keys.id);

        let second = world.run();
        let met = format!("call {call} {name}:\n{first}\nthen:\n{second}");
        assert!(second.contains("✓ terraform/spain/state"), "{met}");
        let exists = world.exists().await;
        assert_eq!(exists, [format!("Encrypts the Terraform state of {}-spain", world.project)], "{met}");
    }
    assert!(hit * 10 > calls * rounds as u64 * 9, "{hit} of {calls} calls were hit");
}
