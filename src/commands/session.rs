//! What commands that run a graph share: the world, the lock, the journal, the signals; and the loop that
//! owns them while the graph runs.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{signal::unix::SignalKind, sync::mpsc::UnboundedReceiver, time::Instant};

use super::{
    Common, Exit, Failure,
    orphans::{self, Orphan},
    signals::Signals,
};
use crate::{
    aws::Aws,
    config::{self, Config, LoadError, Role},
    engine::{self, Budget, Facts, Graph, Orders, Outcome},
    report::{self, Links, Output, Report},
    state::{self, Journal, Lock, LockError, Store, Unfinished},
    step::{Action, Cancel, Event, Events, Message, Phase, RegionName, RunId, StepId, World},
    task::retry,
    tool::Tools,
};

/// How often what is silent is asked whether it has something to say.
const TICK: Duration = Duration::from_secs(1);
/// A look answers soon, or says that it cannot.
const LOOK: Budget = Budget {
    retries: retry::Policy {
        attempts: 3,
        first_delay: Duration::from_millis(200),
        longest_delay: Duration::from_secs(1),
    },
    deadline: Duration::from_secs(60),
};
/// The look for what is no longer configured.
const ORPHANS: Duration = Duration::from_secs(20);
/// How long a command waits for a child process that a dead run left behind.
const CHILD_DEADLINE: Duration = Duration::from_secs(60 * 60);
/// What helps where `.paydeploy` cannot be written.
const FULL: &str = "make room on the disk that holds `.paydeploy`, then run the same command again";

/// A configuration, and the world it speaks of.
pub struct Session {
    pub world: Arc<World>,
    pub store: Store,
    pub output: Output,
    /// Regions that the user asked for; the hub may be in the graph beside them, to be read only.
    pub chosen: Vec<RegionName>,
    /// All regions of the file, and where each is.
    configured: BTreeMap<RegionName, String>,
    pub run: RunId,
}

/// Reads a configuration: the one named, or the closest.
pub fn configuration(common: &Common) -> Result<Config, Failure> {
    let load = || {
        let file = match &common.config {
            Some(file) => file.clone(),
            None => {
                config::find(&std::env::current_dir().map_err(|error| LoadError::Read(".".into(), error))?)?
            }
        };
        config::load(&file)
    };
    load().map_err(Failure::usage)
}

impl Session {
    /// Reads the configuration, finds the tools and the credentials. The phases are what the command is for.
    pub async fn open(
        common: &Common,
        phases: &[Phase],
        allow_replace: Vec<String>,
    ) -> Result<Self, Failure> {
        let mut config = configuration(common)?;
        for region in &common.region {
            if !config.regions.contains_key(region) {
                let known: Vec<&str> = config.regions.keys().map(RegionName::as_str).collect();
                let message = format!("there is no region `{region}`; there are `{}`", known.join("`, `"));
                return Err(Failure::new(Exit::Usage, message));
            }
        }
        let chosen: Vec<RegionName> = match common.region.as_slice() {
            [] => config.regions.keys().cloned().collect(),
            some => some.to_vec(),
        };
        let configured = config.regions.values();
        let configured = configured.map(|region| (region.name.clone(), region.aws_region.clone())).collect();
        // the hub stays: what a region runs is written there
        config.regions.retain(|name, region| chosen.contains(name) || region.role == Role::Hub);
        config.rollout.retain(|name| config.regions.contains_key(name));
        let store = Store::open(&config.root).map_err(|error| {
            Failure::from(
                anyhow::Error::new(error).context("failed to make `.paydeploy` beside `paydeploy.toml`"),
            )
            .hint("make the folder writable and see that its disk has room")
        })?;
        let tools = Tools::on_path(&std::env::var_os("PATH").unwrap_or_default());
        let state = store.path().to_owned();
        let phases = phases.iter().copied().collect();
        let world = World { aws: Aws::from_env().await, config, tools, state, phases, allow_replace };
        let output = Output::here(common.output);
        Ok(Self { world: Arc::new(world), store, output, chosen, configured, run: RunId::new() })
    }

    pub fn config(&self) -> &Config {
        &self.world.config
    }

    /// Whether a step belongs to a region that the user asked for, or to none.
    pub fn is_chosen(&self, step: &StepId) -> bool {
        step.region.as_ref().is_none_or(|region| self.chosen.contains(region))
    }

    /// `action` for the steps of the chosen regions; what the others have is read.
    pub fn actions(&self, graph: &Graph, action: Action) -> BTreeMap<StepId, Action> {
        let choose = |step: &StepId| (step.clone(), if self.is_chosen(step) { action } else { Action::Read });
        graph.ids().map(choose).collect()
    }

    pub fn orders(&self, actions: BTreeMap<StepId, Action>) -> Orders {
        Orders { actions, ..Orders::new(self.logs()) }
    }

    /// The run's folder.
    pub fn logs(&self) -> PathBuf {
        self.store.run(&self.run)
    }

    /// The folder of the last look's logs: a look leaves no run behind.
    fn look_logs(&self) -> PathBuf {
        self.store.path().join("look")
    }

    /// A first line that says what is about to happen, and to what.
    pub fn headline(&self, command: &str) -> String {
        let config = self.config();
        let regions: Vec<String> = config
            .regions
            .values()
            .filter(|region| self.chosen.contains(&region.name))
            .map(|region| {
                if region.role == Role::Hub {
                    format!("{} (hub)", region.name)
                } else {
                    region.name.to_string()
                }
            })
            .collect();
        format!("paydeploy {command} · {} · {}", config.project, regions.join(", "))
    }

    /// Reads every step of a graph, without a lock or a journal: nothing is changed and no process is started.
    pub async fn look(&self, graph: &Graph) -> Result<Outcome, Failure> {
        self.look_for(graph, graph.ids().cloned()).await
    }

    /// Reads the steps given and all that they depend on, and no other.
    pub async fn look_for(
        &self,
        graph: &Graph,
        steps: impl IntoIterator<Item = StepId>,
    ) -> Result<Outcome, Failure> {
        let steps = graph.with_ancestors(steps).into_iter();
        let actions = steps.map(|step| (step, Action::Read)).collect();
        let orders = Orders { budget: LOOK, logs: self.look_logs(), ..self.orders(actions) };
        let mut owner = Owner::new(None, None);
        let seen = owner.drive(self, graph, &orders, Facts::default()).await?;
        if owner.cancel.soft.is_cancelled() {
            // what was not seen must not pass for what is not there
            return Err(Failure::new(Exit::Interrupted, "interrupted: nothing was begun"));
        }
        Ok(seen)
    }

    /// Regions that are deployed and no longer configured. That they cannot be looked for is told, and no more:
    /// the command has its own answer.
    ///
    /// # Errors
    /// When interrupted.
    pub async fn orphans(&self) -> Result<Vec<Orphan>, Failure> {
        let mut signals = Signals::listen()?;
        let look = orphans::find(&self.world.aws, self.config(), &self.configured);
        let found = tokio::select! {
            _ = signals.next() => return Err(Failure::new(Exit::Interrupted, "interrupted")),
            found = tokio::time::timeout(ORPHANS, look) => found,
        };
        let why = match found {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        eprintln!("could not look for regions that are no longer configured: {why}");
        Ok(Vec::new())
    }

    /// Takes the machine's lock, and waits for what a dead run left alive.
    pub async fn lock(&self) -> Result<Lock, Failure> {
        let lock = Lock::take(self.store.path(), &self.run).map_err(|error| {
            let held = matches!(error, LockError::Held { .. });
            let failure = Failure::from(error);
            if held {
                Failure { exit: Exit::Locked, ..failure }.hint("wait until it has ended, or interrupt it")
            } else {
                failure.hint(FULL)
            }
        })?;
        self.wait_for_orphaned_child().await?;
        Ok(lock)
    }

    async fn wait_for_orphaned_child(&self) -> Result<(), Failure> {
        let Some(last) = self.store.runs()?.into_iter().next() else { return Ok(()) };
        let (header, records) = match state::read(&self.store.run(&last)) {
            Ok(read) => read,
            Err(error @ state::JournalError::Newer { .. }) => return Err(Failure::usage(error)),
            // a run that died before its first line was on disk had begun nothing
            Err(_) => return Ok(()),
        };
        for (step, (pid, start, command)) in Unfinished::of(&records).children {
            let end = Instant::now() + CHILD_DEADLINE;
            if state::is_alive(&header, pid, start) {
                eprintln!(
                    "waits for `{command}` (process {pid}) of run {last}, step {step}: it outlived its run"
                );
            }
            while state::is_alive(&header, pid, start) {
                if Instant::now() >= end {
                    let message =
                        format!("process {pid} (`{command}`) of run {last} still runs after an hour");
                    return Err(Failure::new(Exit::Locked, message).hint("look at it; end it if it hangs"));
                }
                tokio::time::sleep(TICK).await;
            }
        }
        Ok(())
    }

    /// Runs a graph with journal, report and signals.
    pub async fn run(
        &self,
        command: &str,
        graph: &Graph,
        orders: &Orders,
        facts: Facts,
    ) -> Result<Outcome, Failure> {
        let folder = self.logs();
        let journal = if folder.join("journal.ndjson").exists() {
            Journal::reopen(&folder)
        } else {
            Journal::create(&folder, &self.run, command)
        };
        let journal = journal.map_err(|error| Failure::from(error).hint(FULL))?;
        let mut owner = Owner::new(Some(journal), Some(report::report(self.output)));
        let started = Event::RunStarted {
            run: self.run.clone(),
            command: command.to_owned(),
            headline: self.headline(command),
            steps: orders.planned(graph),
        };
        owner.tell(Message { event: started, recorded: None });
        let begun = Instant::now();
        let outcome = owner.drive(self, graph, orders, facts).await?;
        owner.tell(Message { event: Event::RunFinished { elapsed: begun.elapsed() }, recorded: None });
        match owner.broken {
            Some(error) => {
                // what failed beside the journal would be lost with the outcome
                eprint!("{}", self.failures(command, &outcome));
                Err(Failure::from(error).hint(FULL))
            }
            None => Ok(outcome),
        }
    }

    /// The failures of a run, for standard error.
    pub fn failures(&self, command: &str, outcome: &Outcome) -> String {
        Self::failures_with_logs(self.logs(), command, outcome)
    }

    /// The failures of a look.
    pub fn look_failures(&self, command: &str, outcome: &Outcome) -> String {
        Self::failures_with_logs(self.look_logs(), command, outcome)
    }

    fn failures_with_logs(logs: PathBuf, command: &str, outcome: &Outcome) -> String {
        let shown =
            std::env::current_dir().ok().and_then(|here| Some(logs.strip_prefix(here).ok()?.to_owned()));
        let logs = shown.unwrap_or(logs).display().to_string();
        let links = Links { logs: &logs, again: &format!("paydeploy {command}") };
        report::failures(&outcome.verdicts, &outcome.elapsed, &links)
    }
}

/// The one task that writes the journal and the terminal, and hears the signals.
struct Owner {
    journal: Option<Journal>,
    report: Option<Box<dyn Report>>,
    cancel: Cancel,
    /// The signals so far.
    heard: Vec<SignalKind>,
    /// Why the journal can no longer be written.
    broken: Option<state::JournalError>,
}

impl Owner {
    fn new(journal: Option<Journal>, report: Option<Box<dyn Report>>) -> Self {
        Self { journal, report, cancel: Cancel::default(), heard: Vec::new(), broken: None }
    }

    async fn drive(
        &mut self,
        session: &Session,
        graph: &Graph,
        orders: &Orders,
        facts: Facts,
    ) -> Result<Outcome, Failure> {
        let (events, mut inbox) = Events::channel();
        let mut signals = Signals::listen()?;
        let mut tick = tokio::time::interval(TICK);
        let engine = engine::run(graph, orders, facts, session.world.clone(), events, self.cancel.clone());
        tokio::pin!(engine);
        let outcome = loop {
            tokio::select! {
                biased;
                signal = signals.next() => self.interrupt(signal),
                Some(message) = inbox.recv() => self.tell(message),
                outcome = &mut engine => break outcome,
                _ = tick.tick() => self.report.iter_mut().for_each(|report| report.tick(Timestamp::now())),
            }
        };
        self.drain(&mut inbox);
        Ok(outcome)
    }

    fn drain(&mut self, inbox: &mut UnboundedReceiver<Message>) {
        while let Ok(message) = inbox.try_recv() {
            self.tell(message);
        }
    }

    /// Only who says the same twice means it: a CI system that cancels sends one signal and soon another, and a
    /// terminal that closes after a Ctrl-C one more.
    fn interrupt(&mut self, signal: SignalKind) {
        let forced = self.heard.contains(&signal);
        let first = self.heard.is_empty();
        self.heard.push(signal);
        if !first && !forced {
            return;
        }
        self.tell(Message { event: Event::Interrupted { forced }, recorded: None });
        if forced { self.cancel.hard.cancel() } else { self.cancel.soft.cancel() }
    }

    fn tell(&mut self, Message { event, recorded }: Message) {
        let at = Timestamp::now();
        if let Some(report) = &mut self.report {
            report.event(at, &event);
        }
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.append(at, &event)
        {
            // nothing more goes behind a line that may be cut off
            self.journal = None;
            self.broken = Some(error);
            self.cancel.soft.cancel();
        }
        // what cannot be written down must not be begun; who waits learns it by the dropped sender
        if let Some(recorded) = recorded
            && self.broken.is_none()
        {
            // the step may have been stopped meanwhile
            let _gone = recorded.send(());
        }
    }
}

/// Removes the folders of old runs beyond the newest hundred.
pub fn forget_old_runs(store: &Store) {
    const KEPT: usize = 100;
    for run in store.runs().unwrap_or_default().into_iter().skip(KEPT) {
        // tidying is no reason to fail
        drop(fs::remove_dir_all(store.run(&run)));
    }
}
