//! Measures the engine on 2 and on 64 regions of simulated steps: the plan's own graph, a real journal, and steps
//! that only wait. Prints one line per size: regions, steps, seconds, and seconds spent on the journal.
//!
//! The engine's test of this runs in paused time, in which the engine's own work takes no time; here it does.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use paydeploy::{
    aws::Aws,
    config::{self, Config, Region, Role},
    engine::{After, Facts, Graph, Handle, Orders, run},
    kubernetes::Reached,
    plan,
    state::{Header, Journal},
    step::{
        Action, Cancel, Check, Context, Events, Message, Phase, RegionName, Result, RunId, Seen, Step,
        StepId, Verdict, World,
    },
    tool::Tools,
};

/// Shorter than almost any real step, so that the engine's own work weighs more than on AWS.
const STEP_DURATION: Duration = Duration::from_secs(1);

/// Replaces a step of the plan, and waits.
struct Simulated(StepId);

impl Step for Simulated {
    type Input = ();
    type Fact = ();
    type Change = ();

    fn id(&self) -> StepId {
        self.0.clone()
    }

    async fn read(&self, _cx: &Context, (): &()) -> Result<Seen<()>> {
        Ok(Seen::ok((), "exists"))
    }

    async fn check(&self, _cx: &Context, (): &()) -> Result<Check<()>> {
        Ok(Check::Change { lines: Vec::new(), change: () })
    }

    async fn apply(&self, _cx: &Context, (): &(), (): ()) -> Result<()> {
        tokio::time::sleep(STEP_DURATION).await;
        Ok(())
    }

    async fn destroy(&self, _cx: &Context, _input: Option<&()>) -> Result<Option<String>> {
        Ok(None)
    }
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    for regions in [2, 64] {
        let config = with_regions(regions)?;
        let graph = simulated(&plan::build(&config, &plan::Shape::default()).graph);
        let [took, journal] = runtime.block_on(timed(&graph, config))?.map(|time| time.as_secs_f64());
        println!("{regions} {} {took:.3} {journal:.3}", graph.ids().count());
    }
    Ok(())
}

/// The example's configuration, with spokes added until it has `count` regions.
fn with_regions(count: usize) -> anyhow::Result<Config> {
    let mut config = config::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("paydeploy.toml"))?;
    let spoke = config.regions.values().find(|region| region.role == Role::Spoke);
    let spoke = spoke.context("the example has a spoke")?.clone();
    for number in config.regions.len()..count {
        let name: RegionName = format!("spoke-{number}").parse()?;
        config.rollout.push(name.clone());
        config.regions.insert(name.clone(), Region { name, ..spoke.clone() });
    }
    Ok(config)
}

/// The same graph, with simulated steps.
fn simulated(real: &Graph) -> Graph {
    fn add(step: &StepId, real: &Graph, graph: &mut Graph, added: &mut BTreeMap<StepId, Handle<()>>) {
        if added.contains_key(step) {
            return;
        }
        let mut needs = After::default();
        for need in real.needs(step) {
            add(need, real, graph, added);
            needs = needs.step(&added[need]);
        }
        added.insert(step.clone(), graph.add(Simulated(step.clone()), needs));
    }
    let (mut graph, mut added) = (Graph::default(), BTreeMap::new());
    for step in real.ids() {
        add(step, real, &mut graph, &mut added);
    }
    graph
}

/// Runs the graph as a command does: one owner, which writes each effect to disk before the effect starts. Returns
/// the total time, and the time of it spent on the journal.
async fn timed(graph: &Graph, config: Config) -> anyhow::Result<[Duration; 2]> {
    // Not in the folder for temporary files: that may be in memory, where writes are free.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut journal = Journal::create(folder.path(), &Header::new(&RunId::new(), "bench"))?;
    let mut orders = Orders::new(folder.path().to_owned());
    orders.actions = graph.ids().map(|step| (step.clone(), Action::Up)).collect();
    let world = World {
        config,
        aws: Aws::new(aws_config::SdkConfig::builder().build()),
        tools: Tools::default(),
        state: folder.path().to_owned(),
        phases: Phase::ALL.into(),
        chosen: Vec::new(),
        allow_replace: Vec::new(),
        allow_downgrade: false,
        teardown: None,
        reached: Reached::default(),
    };
    let (events, mut inbox) = Events::channel();
    let (start, mut writing) = (Instant::now(), Duration::ZERO);
    let engine = run(graph, &orders, Facts::default(), Arc::new(world), events, Cancel::default());
    tokio::pin!(engine);
    let outcome = loop {
        tokio::select! {
            biased;
            Some(Message { event, recorded }) = inbox.recv() => {
                let start = Instant::now();
                journal.append(Timestamp::now(), &event)?;
                writing += start.elapsed();
                if let Some(recorded) = recorded {
                    recorded.send(Ok(())).ok();
                }
            }
            outcome = &mut engine => break outcome,
        }
    };
    let took = start.elapsed();
    ensure!(outcome.verdicts.values().all(Verdict::succeeded), "a simulated step did not succeed");
    Ok([took, writing])
}
