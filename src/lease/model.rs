//! Leases under random schedules: processes on several machines that are suspended, die, return what they hold and wait for
//! each other, over a bucket that is slow, fails and loses answers.
//!
//! At every effect of a process the bucket itself is asked: the region's lease must be that process's own. And a process
//! that waits gets the lease in the end, whatever became of its holder.
//!
//! Wall clocks are absent: leases use none. Each schedule is drawn from a number, which a failure names.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    state::Machine,
    task::{Class, Error, Fence, Place as Where, RunId, testing::paused},
};

/// Schedules in `cargo test`; `PAYDEPLOY_LEASE_ROUNDS` sets another number.
const ROUNDS: u64 = 60;
/// How long the processes of a schedule compete. Longer than three takeovers.
const LENGTH: Duration = Duration::from_mins(15);
/// A process that waits at the end gets the lease by then: another one may come first.
const SETTLED: Duration = Duration::from_mins(20);

fn region() -> RegionName {
    "spain".parse().unwrap()
}

#[derive(Default)]
struct Content {
    objects: BTreeMap<String, Object>,
    writes: u32,
}

struct Weather {
    rng: StdRng,
    /// In a thousand calls.
    lost: u32,
    failed: u32,
    /// The longest delay of a call, in milliseconds.
    slow: u64,
}

/// The bucket.
#[derive(Clone)]
pub struct Bucket {
    content: Arc<Mutex<Content>>,
    weather: Arc<Mutex<Weather>>,
}

impl Bucket {
    /// One that always answers.
    pub fn reliable() -> Self {
        let weather = Weather { rng: StdRng::seed_from_u64(0), lost: 0, failed: 0, slow: 100 };
        Self { content: Arc::default(), weather: Arc::new(Mutex::new(weather)) }
    }

    /// From now on so many of a thousand answers are lost.
    pub fn lose_answers(&self, share: u32) {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner).lost = share;
    }

    pub fn break_lease(&self) {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).objects.clear();
    }

    /// The process `name` on a machine of its own, with its fence.
    pub fn process(&self, name: &str, machine: Machinery, hub: &RegionName) -> (Arc<Leases<Line>>, Fence) {
        let here = Machine { host: name.to_owned(), boot: name.to_owned(), processes: String::new() };
        let holder = Header { machine: here.clone(), ..Header::new(&RunId::named(name), "up") };
        let eyes = Eyes { here, ended: BTreeSet::new(), clock: paused };
        let (line, fence) = (Line { bucket: self.clone(), machine }, Fence::new(paused));
        (Leases::start(line, holder, eyes, fence.clone(), hub.clone()), fence)
    }

    /// As a machine that never sleeps reaches it.
    pub fn line(&self) -> Line {
        Line { bucket: self.clone(), machine: Machinery::default() }
    }
}

/// When a machine is suspended.
#[derive(Clone, Default)]
pub struct Machinery(Arc<Vec<(Duration, Duration)>>);

impl Machinery {
    fn suspended_until(&self) -> Option<Duration> {
        let now = paused();
        self.0.iter().find(|(from, to)| *from <= now && now < *to).map(|(_, to)| *to)
    }

    async fn awake(&self) {
        while let Some(until) = self.suspended_until() {
            tokio::time::sleep(until.saturating_sub(paused())).await;
        }
    }
}

/// The bucket, as one process reaches it.
#[derive(Clone)]
pub struct Line {
    bucket: Bucket,
    machine: Machinery,
}

impl Line {
    /// One request: what happens on its way, at the bucket, and on the way of its answer.
    async fn request<T>(&self, act: impl FnOnce(&mut Content) -> T + Send) -> Result<T> {
        let (before, after, is_failed, is_lost) = {
            let mut weather = self.bucket.weather.lock().unwrap_or_else(PoisonError::into_inner);
            let Weather { rng, lost, failed, slow } = &mut *weather;
            let delay = |rng: &mut StdRng| Duration::from_millis(rng.random_range(1..=*slow));
            let draw = |rng: &mut StdRng, share: u32| rng.random_range(0..1000) < share;
            (delay(rng), delay(rng), draw(rng, *failed), draw(rng, *lost))
        };
        self.machine.awake().await;
        tokio::time::sleep(before).await;
        if is_failed {
            return Err(Error::transient("not reached"));
        }
        // A request that has left a machine arrives, also while the machine sleeps.
        let done = act(&mut self.bucket.content.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::time::sleep(after).await;
        self.machine.awake().await;
        if is_lost { Err(Error::transient("lost")) } else { Ok(done) }
    }
}

impl Place for Line {
    async fn get(&self, key: &str) -> Result<Option<Object>> {
        self.request(|content| content.objects.get(key).cloned()).await
    }

    async fn write(&self, key: &str, body: Vec<u8>, condition: Condition<'_>) -> Result<Written> {
        self.request(|content| {
            let found = content.objects.get(key).map(|object| object.etag.as_str());
            let holds = match condition {
                Condition::Missing => found.is_none(),
                Condition::Is(etag) => found == Some(etag),
            };
            if !holds {
                return Written::Refused;
            }
            content.writes += 1;
            let etag = content.writes.to_string();
            content.objects.insert(key.to_owned(), Object { etag: etag.clone(), body });
            Written::Done(etag)
        })
        .await
    }

    async fn exists(&self) -> Result<bool> {
        Ok(true)
    }

    async fn delete(&self, key: &str, etag: &str) -> Result<()> {
        self.request(|content| {
            if content.objects.get(key).is_some_and(|object| object.etag == etag) {
                content.objects.remove(key);
            }
        })
        .await
    }
}

impl Places for Line {
    type Place = Self;

    fn of(&self, region: &RegionName) -> Option<(Self, String)> {
        Some((self.clone(), take::key("payments", region)))
    }
}

/// What one process does.
#[derive(Debug, Clone)]
struct Script {
    starts: Duration,
    /// How long it has something to do.
    works: Duration,
    patience: Duration,
    /// When it is killed; `None` if it reaches its end.
    dies: Option<Duration>,
}

/// What the schedules have met.
#[derive(Debug, Default)]
struct Tally {
    effects: u32,
    refused: u32,
    expired: u32,
    lost: u32,
    takeovers: u32,
    deaths: u32,
}

struct World {
    bucket: Bucket,
    tally: Arc<Mutex<Tally>>,
}

impl World {
    fn count(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The id in the lease, as the bucket has it.
    fn holder(&self) -> Option<String> {
        let content = self.bucket.content.lock().unwrap_or_else(PoisonError::into_inner);
        let object = content.objects.get(&take::key("payments", &region()))?;
        Some(serde_json::from_slice::<Lease>(&object.body).unwrap().holder.run.to_string())
    }

    /// One process from its start to its end. Returns whether it held the lease at some time.
    async fn process(self: Arc<Self>, number: u32, script: Script, machine: Machinery, seed: u64) -> bool {
        tokio::time::sleep(script.starts).await;
        let name = format!("process-{number}");
        let (leases, fence) = self.bucket.process(&name, machine.clone(), &region());
        // As often as the engine tries it.
        for _ in 0..5 {
            machine.awake().await;
            match leases.take(&[region()], script.patience, drop).await {
                Ok(Ok(_)) => break,
                Ok(Err(_)) => {
                    self.count(|tally| tally.refused += 1);
                    leases.finish().await;
                    return false;
                }
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
        if !leases.holds(&region()) {
            leases.finish().await;
            return false;
        }
        let mut rng = StdRng::seed_from_u64(seed);
        let until = paused() + script.works;
        while paused() < until {
            machine.awake().await;
            if let Err(shut) = fence.pass(Where::Region(None)) {
                if shut.class == Class::Cancelled {
                    self.count(|tally| tally.lost += 1);
                    break;
                }
                self.count(|tally| tally.expired += 1);
                tokio::time::sleep(Duration::from_secs(5)).await;
                continue;
            }
            assert_eq!(self.holder().as_ref(), Some(&name), "an effect of {name} at {:?}", paused());
            self.count(|tally| tally.effects += 1);
            tokio::time::sleep(Duration::from_millis(rng.random_range(100..20_000))).await;
        }
        leases.finish().await;
        true
    }
}

fn draw_script(rng: &mut StdRng) -> Script {
    let seconds = |rng: &mut StdRng, most: u64| Duration::from_secs(rng.random_range(0..most));
    let starts = seconds(rng, LENGTH.as_secs() / 2);
    let dies = rng.random_bool(0.4).then(|| starts + seconds(rng, 400));
    let patience = if rng.random_bool(0.4) { Duration::ZERO } else { LENGTH };
    Script { starts, works: seconds(rng, 600), patience, dies }
}

fn draw_machine(rng: &mut StdRng) -> Machinery {
    let suspends = (0..rng.random_range(0..3)).map(|_| {
        let from = Duration::from_secs(rng.random_range(0..LENGTH.as_secs()));
        (from, from + Duration::from_secs(rng.random_range(1..500)))
    });
    Machinery(Arc::new(suspends.collect()))
}

/// One schedule.
async fn round(seed: u64, tally: Arc<Mutex<Tally>>) {
    let mut rng = StdRng::seed_from_u64(seed);
    let weather = Weather {
        rng: StdRng::seed_from_u64(seed.wrapping_add(1)),
        lost: rng.random_range(0..150),
        failed: rng.random_range(0..150),
        slow: if rng.random_bool(0.3) { 20_000 } else { 500 },
    };
    let bucket = Bucket { content: Arc::default(), weather: Arc::new(Mutex::new(weather)) };
    let world = Arc::new(World { bucket, tally });
    let start = paused();
    // Of this schedule: the clock goes on from one to the next.
    let shift = |machine: &Machinery| {
        Machinery(Arc::new(machine.0.iter().map(|(from, to)| (*from + start, *to + start)).collect()))
    };
    let mut running = Vec::new();
    for number in 0..rng.random_range(2..5) {
        let (script, machine) = (draw_script(&mut rng), shift(&draw_machine(&mut rng)));
        let process = tokio::spawn(world.clone().process(number, script.clone(), machine, rng.random()));
        running.push(async move {
            let Some(dies) = script.dies else { return process.await.map(|_| false) };
            let stop = process.abort_handle();
            tokio::select! {
                ended = process => ended.map(|_| false),
                // It dies with its renewals: those end with the value that is dropped.
                () = tokio::time::sleep(dies) => {
                    stop.abort();
                    Ok(true)
                }
            }
        });
    }
    for ended in futures::future::join_all(running).await {
        // A panic of a process is the failure of the schedule.
        let died = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        world.count(|tally| tally.deaths += u32::from(died));
    }
    // Whatever they left, one that waits gets it, and returns it where nothing hinders that.
    {
        let mut weather = world.bucket.weather.lock().unwrap_or_else(PoisonError::into_inner);
        (weather.lost, weather.failed, weather.slow) = (0, 0, 100);
    }
    let last =
        Script { starts: Duration::ZERO, works: Duration::from_secs(30), patience: SETTLED, dies: None };
    let was_left = world.holder().is_some();
    let last = world.clone().process(99, last, Machinery::default(), seed);
    let held = tokio::time::timeout(SETTLED, last).await.expect("a process that waits gets the lease");
    assert!(held);
    assert_eq!(world.holder(), None, "the last process returns the lease");
    world.count(|tally| tally.takeovers += u32::from(was_left));
}

#[test]
fn no_effect_starts_without_the_lease_and_a_run_that_waits_gets_it() {
    let rounds = std::env::var("PAYDEPLOY_LEASE_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let tally = Arc::<Mutex<Tally>>::default();
    for seed in 0..rounds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let (runtime, tally) = (runtime.unwrap(), tally.clone());
        let told = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(round(seed, tally))));
        told.unwrap_or_else(|_| panic!("schedule {seed} failed"));
    }
    let all = tally.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{rounds} schedules: {all:?}");
    // Otherwise the schedules would prove nothing.
    let counted = [
        ("refused", all.refused),
        ("expired", all.expired),
        ("taken over", all.takeovers),
        ("died", all.deaths),
    ];
    assert!(all.lost > 0 || rounds < ROUNDS, "no lease was lost in {rounds} schedules");
    for (what, count) in counted {
        assert!(u64::from(count) * 20 > rounds, "only {count} were {what} in {rounds} schedules");
    }
}
