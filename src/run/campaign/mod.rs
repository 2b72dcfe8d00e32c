//! Ten thousand simulated kills: the real engine, owner, journal, mirror and taking over, in paused time and over a world
//! in memory.
//!
//! A round ([`round`]) starts `up` or `down`, kills it in some moment, and runs on. Whatever the kills left, one further
//! run has to end with success and with every resource exactly once, no lock, no temporary object and no record; a run
//! after that changes nothing. At every change in between, the world itself ([`world`]) checks that
//!
//! - nothing happens that is not in an open claim on disk and in the region's bucket;
//! - nothing with a fixed name is created while it exists;
//! - nothing is freed that a living process holds.
//!
//! A seed gives the same round again: the runtime has one thread and its time is paused, runs are numbered, and pauses are
//! drawn from the seed. A failure names the seed of its round.

mod bucket;
mod command;
mod process;
mod round;
mod steps;
mod world;

use std::collections::BTreeMap;

use process::{End, When};
use round::{Loss, Report};
use world::Stage;

use crate::step::{self, RegionName};

/// As many rounds as take about ten seconds.
const ROUNDS: u64 = 300;
/// The seed of the first round, unless another one is given; each further round has the next one.
const SEED: u64 = 1;
/// With fewer rounds than this, such as in the replay of one, some stage may not be met.
const ENOUGH: u64 = 200;
/// How much of the trace a failure prints.
const SHOWN: usize = 150;

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn regions() -> [RegionName; 2] {
    ["mexico", "spain"].map(|name| name.parse().unwrap())
}

/// What all rounds have met together.
#[derive(Debug, Default)]
struct Total {
    ends: BTreeMap<String, u32>,
    stages: BTreeMap<Stage, u32>,
    before_any_claim: u32,
    inside_an_effect: u32,
    kills: u32,
    escaped: u32,
    rivals: u32,
    rivals_beside_a_living_one: u32,
}

impl Total {
    fn add(&mut self, report: &Report) {
        for (loss, end) in &report.ends {
            *self.ends.entry(named(*loss, *end)).or_default() += 1;
        }
        for (stage, count) in &report.tally.stages {
            *self.stages.entry(*stage).or_default() += count;
        }
        self.kills += report.tally.kills;
        self.before_any_claim += report.tally.before_any_claim;
        self.inside_an_effect += report.tally.inside_an_effect;
        self.escaped += report.escaped;
        self.rivals += report.rivals;
        self.rivals_beside_a_living_one += report.rivals_beside_a_living_one;
    }
}

fn named(loss: Loss, end: End) -> String {
    match end {
        End::Killed(When::Moment(_) | When::Claimed(_) | When::After(_)) => {
            format!("killed, and lost: {loss:?}")
        }
        End::Interrupted(_, None) => "interrupted once".to_owned(),
        End::Interrupted(_, Some(_)) => "interrupted twice".to_owned(),
    }
}

#[test]
fn whatever_a_killed_run_leaves_the_next_one_converges() {
    let (seed, rounds) =
        (variable("PAYDEPLOY_CAMPAIGN_SEED", SEED), variable("PAYDEPLOY_CAMPAIGN_ROUNDS", ROUNDS));
    let (folder, regions) = (tempfile::tempdir().unwrap(), regions());
    let unused = step::testing::context(folder.path()).0.world;
    let complete = round::complete(&unused, &regions);
    let mut total = Total::default();
    for round in 0..rounds {
        let seed = seed.wrapping_add(round);
        let (report, played) = round::play(seed, &complete, &unused, &regions);
        if let Err(broken) = played {
            let trace = report.trace[report.trace.len().saturating_sub(SHOWN)..].join("\n");
            panic!(
                "round {round} (seed {seed}): {broken}\n{trace}\n\
                 again: PAYDEPLOY_CAMPAIGN_SEED={seed} PAYDEPLOY_CAMPAIGN_ROUNDS=1 \
                 cargo test --workspace --lib -- run::campaign"
            );
        }
        total.add(&report);
    }
    println!("{rounds} rounds: {total:#?}");
    if rounds >= ENOUGH {
        for stage in [Stage::Claiming, Stage::Claimed, Stage::Midway, Stage::Done, Stage::Repairing] {
            assert!(
                total.stages.contains_key(&stage),
                "no kill has met a claim that was {stage:?}: {total:?}"
            );
        }
        assert!(total.before_any_claim > 0 && total.rivals_beside_a_living_one > 0, "{total:?}");
        assert!(total.inside_an_effect * 10 > total.kills, "few kills fell inside an effect: {total:?}");
    }
}

#[test]
fn a_seed_gives_the_same_round_again() {
    let (folder, regions) = (tempfile::tempdir().unwrap(), regions());
    let unused = step::testing::context(folder.path()).0.world;
    let complete = round::complete(&unused, &regions);
    for seed in 1..20 {
        let traces = [(); 2].map(|()| round::play(seed, &complete, &unused, &regions).0.trace);
        assert!(!traces[0].is_empty());
        let same = traces[0].iter().zip(&traces[1]).take_while(|(one, other)| one == other).count();
        let around =
            |trace: &[String]| trace[same.saturating_sub(12)..(same + 6).min(trace.len())].join("\n");
        assert!(
            traces.iter().all(|trace| trace.len() == same),
            "seed {seed}:\n{}\n\nand again:\n{}",
            around(&traces[0]),
            around(&traces[1])
        );
    }
}
