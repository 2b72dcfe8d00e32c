//! Running steps with journal, report and signals.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use futures::Stream;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    Failure, Session,
    copies::Copies,
    gate::Gate,
    mirror::Mirror,
    others::{Left, Others},
    owner::{Owner, Recorder},
    signals::Signal,
    version::{self, Versions},
};
use crate::{
    engine::{self, Facts, Graph, Orders, Outcome},
    report::{self, Links, Report},
    state::{Header, Journal, JournalError},
    step::{Action, Cancel, Event, Events, StepId},
    task::{Fence, write_fix},
};

impl Session {
    /// `action` for the steps of the chosen regions; the steps of other regions are read.
    pub fn actions(&self, graph: &Graph, action: Action) -> BTreeMap<StepId, Action> {
        let choose = |step: &StepId| (step.clone(), if self.is_chosen(step) { action } else { Action::Read });
        graph.ids().map(choose).collect()
    }

    pub fn orders(&self, actions: BTreeMap<StepId, Action>) -> Orders {
        let others = Others::new(self.run.clone(), self.earlier(), self.world.clone());
        let orders = Orders { actions, ..Orders::new(self.logs()) };
        // What changes nothing passes no gate.
        let Some(hold) = self.hold.get() else { return orders };
        let is_up = self.world.teardown.is_none();
        let versions = is_up.then(|| Versions::new(self.world.clone()));
        let gate = Gate::new(others, hold.clone(), self.chosen().to_vec(), is_up, versions);
        Orders { gate: Arc::new(gate), ..orders }
    }

    /// The header of the current run.
    pub(super) fn header(&self) -> Header {
        let line = self.command_line(&self.command);
        Header::new(&self.run, line.strip_prefix("paydeploy ").unwrap_or(&line))
    }

    /// A complete teardown has deleted the chosen regions, so nothing there is newer than anything.
    pub async fn forget_versions(&self) {
        version::forget(&self.world, self.chosen()).await;
    }

    /// Why the run had to stop, if that is because of another run.
    pub(super) fn stopped(&self) -> Option<Failure> {
        self.hold.get()?.failure(|command| self.command_line_in(command, &[]))
    }

    /// Runs a graph. `facts` are those of an earlier probe (a teardown starts with one).
    ///
    /// # Errors
    /// When the journal cannot be written, or the run may not act in its regions (any more): nothing new starts after that,
    /// and what runs ends first.
    pub async fn execute(&self, graph: &Graph, orders: &Orders, facts: Facts) -> Result<Outcome, Failure> {
        let header = self.header();
        let command = header.command.clone();
        let journal = Journal::create(&self.logs(), &header).map_err(unwritten)?;
        let recording = Recording {
            journal: Box::new(journal),
            copies: Some(Copies::new(self.world.clone(), &header, self.config().hub().name.clone())),
            mirror: Mirror::new(self.world.clone(), header),
            report: report::report(self.output),
            clock: Timestamp::now,
        };
        let started = Event::RunStarted {
            run: self.run.clone(),
            command,
            headline: self.headline(),
            steps: orders.planned(graph),
        };
        let mut signals = self.signals.lock().await;
        let engine = |events, cancel| engine::run(graph, orders, facts, self.world.clone(), events, cancel);
        let fence = self.world.aws.fence();
        let (outcome, broken) =
            recording.run(self.earlier().left, started, engine, &mut *signals, fence).await;
        let stopped = broken.map(unwritten).or_else(|| self.stopped());
        match stopped {
            Some(failure) => {
                // The outcome is dropped here, so the failures of steps are printed first.
                eprint!("{}", self.failures(orders, &outcome));
                Err(failure)
            }
            None => Ok(outcome),
        }
    }

    /// The failures of a run, for standard error.
    pub fn failures(&self, orders: &Orders, outcome: &Outcome) -> String {
        let resumes = orders.actions.values().any(|action| matches!(action, Action::Up | Action::Destroy));
        self.failures_with_logs(self.logs(), resumes, outcome)
    }

    pub(super) fn failures_with_logs(&self, logs: PathBuf, resumes: bool, outcome: &Outcome) -> String {
        let here = std::env::current_dir().ok();
        let log = |step: &StepId| {
            let path = logs.join(step.log_name());
            let relative = here.as_ref().and_then(|here| path.strip_prefix(here).ok());
            path.exists().then(|| relative.unwrap_or(&path).display().to_string())
        };
        let links = Links { log: &log, again: &self.command_line(&self.command), resumes };
        report::failures(&outcome.verdicts, &outcome.elapsed, &links)
    }
}

/// What a run writes.
pub(super) struct Recording<'a> {
    pub journal: Box<dyn Recorder + 'a>,
    pub mirror: Mirror,
    pub copies: Option<Copies>,
    pub report: Box<dyn Report + 'a>,
    pub clock: fn() -> Timestamp,
}

impl Recording<'_> {
    /// Runs an engine from `run-started` to `run-finished`. `left` is what earlier runs of the folder left open. Returns
    /// also why the journal can no longer be written.
    pub async fn run<T, E: Future<Output = T>>(
        self,
        left: Left,
        run_started: Event,
        engine: impl FnOnce(Events, Cancel) -> E,
        signals: impl Stream<Item = Signal> + Unpin,
        fence: &Fence,
    ) -> (T, Option<JournalError>) {
        let mut owner = Owner::new(Some(self.journal), Some(self.report), self.clock);
        owner.mirror = Some(self.mirror);
        owner.copies = self.copies;
        owner.fence = Some(fence.clone());
        // Before the run counts as started: from then on its journal alone says what earlier runs left open.
        for (step, claims) in left {
            for claim in claims {
                owner.record(&Event::Claimed { step: step.clone(), claim });
            }
        }
        owner.emit(run_started);
        let started = Instant::now();
        let (events, inbox) = Events::channel();
        let engine = engine(events, owner.cancel.clone());
        let outcome = owner.drive(engine, inbox, signals).await;
        owner.finish(started.elapsed());
        let (mirror, copies) = (owner.mirror.take(), owner.copies.take());
        tokio::join!(
            async {
                if let Some(mirror) = mirror {
                    mirror.finish().await;
                }
            },
            async {
                if let Some(copies) = copies {
                    copies.finish().await;
                }
            },
        );
        (outcome, owner.broken)
    }
}

fn unwritten(error: JournalError) -> Failure {
    let fix = match &error {
        JournalError::Write(_, cause) => Some(write_fix(cause)),
        _ => None,
    };
    Failure { fix: fix.map(str::to_owned), ..Failure::from(error) }
}
