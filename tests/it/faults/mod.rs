//! Every call by which paydeploy itself changes AWS meets errors: the next run converges, and nothing exists twice.
//!
//! 1. A run without faults tells which calls there are.
//! 2. For each of them, a run over resources of its own meets a fault at exactly that call. A second run follows.
//! 3. A fault that passes by itself must not fail the first run, and the second run must repair everything else: each
//!    file here says for its calls what must be true then.
//!
//! Each call meets two faults in turn: AWS acts and its answer is lost, and one of the other kinds, the next call the
//! next kind. Where a service is eventually consistent, what it did is also not visible for a while. A call that repeats
//! an action of its run meets only one of the other kinds, because it takes the same path. With
//! `PAYDEPLOY_FAULT_KINDS=11` each call meets all kinds.

mod down;
mod network;
mod secrets;
mod state;

use std::{
    collections::BTreeMap,
    fs, iter,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{account::account, checkout::Checkout, world::printed};

const REGION: &str = "eu-south-2";

/// How much of a test's faults has to be met, and how fast.
#[derive(Clone, Copy)]
struct Extent {
    /// How many worlds meet their faults at the same time. The runs spend most of their time waiting for the next attempt.
    worlds: usize,
    /// How many of a hundred faults may hit no call.
    unmet: usize,
}

const ALL: Extent = Extent { worlds: 4, unmet: 0 };

/// How many times each read is answered as before a change. After a change, a run repeats the reads that it made before:
/// once to check the change, and once more if that check fails.
const OLD_READS: u32 = 2;

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
type Kind = (&'static str, Value);

/// The kinds that a service's calls meet, starting with the one that each of them meets.
fn kinds(service: &str) -> Vec<Kind> {
    let lost = ("done, but the answer is lost", json!({ "status": 500, "code": "own", "after": true }));
    let others = [
        ("done, but the answer is lost in a proxy", json!({ "status": 502, "body": "empty", "after": true })),
        ("throttled", json!({ "status": 400, "code": "ThrottlingException" })),
        ("failed", json!({ "status": 500, "code": "own" })),
        ("unavailable, by a proxy", json!({ "status": 503, "body": "html" })),
        ("denied", json!({ "status": 403, "code": "AccessDenied" })),
        ("refused, because the session has ended", json!({ "status": 403, "code": "ExpiredToken" })),
        // What a time-out comes to, without its wait: a connection that dies, after or before the call has arrived.
        ("done, but the connection dies", json!({ "body": "closed", "after": true })),
        ("not done, and the connection dies", json!({ "body": "closed" })),
    ];
    // These two list every change that they have accepted. The others are eventually consistent.
    if ["s3", "route53"].contains(&service) {
        return iter::once(lost).chain(others).collect();
    }
    let mut lost_and_invisible = lost.1.clone();
    lost_and_invisible["stale"] = json!(OLD_READS);
    let first = ("done, but the answer is lost, and not visible for a while", lost_and_invisible);
    let invisible = ("done, but not visible for a while", json!({ "stale": OLD_READS }));
    [first, lost, invisible].into_iter().chain(others).collect()
}

/// A changing call: how many calls of the same action a run makes before it.
#[derive(Debug, Clone)]
struct Call {
    service: String,
    action: String,
    before: u64,
}

/// One thing that goes wrong in one run.
struct Fault {
    /// Different for each fault of a test.
    id: String,
    /// The call and what is wrong with it.
    name: String,
    call: Call,
    kind: Value,
    was_hit: AtomicBool,
}

/// The kinds that the calls meet.
fn faults(calls: &[Call]) -> Vec<Fault> {
    let wanted: Option<usize> =
        std::env::var("PAYDEPLOY_FAULT_KINDS").ok().map(|count| count.parse().unwrap());
    let kinds = |number: usize, call: &Call| {
        let mut kinds = kinds(&call.service);
        let others = &mut kinds[1..];
        let turn = number % others.len();
        others.rotate_left(turn);
        let repeats = usize::from(call.before > 0);
        let (first, count) = wanted.map_or((repeats, 2 - repeats), |count| (0, count));
        kinds.into_iter().skip(first).take(count).enumerate()
    };
    let each = calls.iter().enumerate().flat_map(|(number, call)| {
        kinds(number, call).map(move |(round, (what, kind))| Fault {
            id: format!("fault-{number}-{round}"),
            name: format!("{}:{} after {} of them: {what}", call.service, call.action, call.before),
            call: call.clone(),
            kind,
            was_hit: AtomicBool::new(false),
        })
    });
    each.collect()
}

impl Fault {
    /// Whether the run that meets it has to end as without it. A refusal is for the operator to fix.
    fn is_survived(&self) -> bool {
        self.kind["status"] != 403
    }
}

/// Lets each call meet its faults, a few of them at the same time, each in one of the worlds that `create` returns.
fn at_each<W>(
    calls: &[Call],
    extent: Extent,
    create: impl Fn() -> W + Sync,
    test: impl Fn(&mut W, &Fault) + Sync,
) {
    let (faults, next) = (faults(calls), AtomicUsize::new(0));
    println!("{} faults at {calls:?}", faults.len());
    thread::scope(|scope| {
        for _ in 0..extent.worlds.min(faults.len()) {
            scope.spawn(|| {
                let mut world = create();
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    test(&mut world, fault);
                }
            });
        }
    });
    let missed = faults.iter().filter(|fault| !fault.was_hit.load(Ordering::Relaxed));
    let missed: Vec<&str> = missed.map(|fault| fault.name.as_str()).collect();
    assert!(
        missed.len() * 100 <= faults.len() * extent.unmet,
        "of {} faults, these hit no call: {missed:?}",
        faults.len()
    );
}

/// The tags with which EC2 creates something.
fn tagged(kind: ResourceType, tags: &[(&str, &str)]) -> TagSpecification {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(*key).value(*value).build());
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags.collect())).build()
}

/// A clone with credentials of its own, by which faults hit its calls alone.
struct World {
    checkout: Checkout,
    project: String,
    runtime: Runtime,
}

impl World {
    fn new() -> Self {
        let checkout = Checkout::new();
        checkout.stand_in("terraform", "{\"terraform_version\": \"1.13.4\"}", TERRAFORM);
        Self::with(checkout, "payment-latency-api")
    }

    /// A clone that deploys one region, whose stacks nothing plans either.
    fn of_one_region(project: &str) -> Self {
        let checkout = Checkout::of_one_region(project);
        checkout.without_tool("terraform");
        checkout.stand_in("terraform", "{\"terraform_version\": \"1.13.4\"}", TERRAFORM);
        Self::with(checkout, project)
    }

    fn with(checkout: Checkout, project: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { checkout, project: project.to_owned(), runtime }
    }

    /// Continues with another project, of which nothing exists yet, and without local state.
    fn start_over(&mut self, project: &str) {
        for key in ["project", "repository"] {
            let line = |value: &str| format!("{key} = \"{value}\"");
            self.checkout.edit("paydeploy.toml", &line(&self.project), &line(project));
        }
        self.checkout.commit("another project");
        self.checkout.push();
        project.clone_into(&mut self.project);
        drop(fs::remove_dir_all(self.checkout.path(".paydeploy")));
    }

    /// What a run prints, however it ends.
    fn run(&self, args: &[&str]) -> String {
        let output = self.checkout.command(env!("CARGO_BIN_EXE_paydeploy")).args(args).output().unwrap();
        printed(&output)
    }

    /// The calls of a run that change something. How many only read depends on what other tests have.
    fn calls_of(&self, run: impl FnOnce()) -> Vec<Call> {
        let earlier = self.checkout.changes().len();
        run();
        let mut made: BTreeMap<(String, String), u64> = BTreeMap::new();
        let calls = self.checkout.changes().into_iter().skip(earlier).map(|call| {
            let call: Value = serde_json::from_str(&call).unwrap();
            let text = |name: &str| call[name].as_str().unwrap().to_owned();
            let (service, action) = (text("service"), text("action"));
            let made = made.entry((service.clone(), action.clone())).or_default();
            *made += 1;
            Call { service, action, before: *made - 1 }
        });
        calls.collect()
    }

    /// What a run prints that meets a fault.
    fn run_with(&self, fault: &Fault, args: &[&str]) -> String {
        let mut rule = fault.kind.clone();
        let key = &self.checkout.keys.id;
        let Call { service, action, before } = &fault.call;
        let more = json!({ "service": service, "action": action, "skip": before, "access_key": key });
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        account().add_fault(&rule);
        let output = self.run(args);
        let matched = account().matched(|rule| rule["access_key"] == key.as_str());
        fault.was_hit.store(matched.last().is_some_and(|matched| matched > before), Ordering::Relaxed);
        // Otherwise a rule that this run did not reach would hit the next one.
        account().clear_faults(key);
        output
    }

    async fn sdk(&self) -> aws_config::SdkConfig {
        account().sdk(&self.checkout.keys, REGION).await
    }
}
