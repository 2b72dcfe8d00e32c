//! The owner of a run: the only task that writes the journal and the terminal and that reacts to signals.
//!
//! Steps send events; the owner records each in the journal, then acknowledges it to the step that waits for the
//! record, then reports it. Invariants:
//!
//! - The journal comes first: what an operator has read on the terminal is also on disk.
//! - The report never blocks: it hands the event to the thread that writes the stream (`console`). A terminal that is
//!   stopped delays neither journal nor effects nor signals.
//! - An event whose sender waits (`EffectStarted`, `Claimed`, `ChildStarted`) is acknowledged only once it is on disk,
//!   and what is held in a region also in its state bucket (`mirror`). After the first failed
//!   write nothing is acknowledged, so no new effect starts; the run stops softly and the error is kept.
//! - All events that were sent are recorded and reported, also those that are still queued when the engine returns.
//! - A run that may no longer act (`task::Fence`) is stopped softly as well.
//! - The first signal stops softly. A second signal of the same kind forces the stop; any other is ignored.

use std::{future::Future, time::Duration};

use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{copies::Copies, mirror::Mirror, signals::Signal};
use crate::{
    report::Report,
    state::{Journal, JournalError},
    step::{Cancel, Event, Message, StepId, Verdict},
    task::Fence,
};

/// How often the report may say that something is still running. A heartbeat is due after 30 s; a second is
/// precise enough for that and costs nothing.
const TICK: Duration = Duration::from_secs(1);

/// Where events are recorded.
pub trait Recorder: Send {
    /// # Errors
    /// When the event may not be on disk.
    fn append(&mut self, at: Timestamp, event: &Event) -> Result<(), JournalError>;
}

impl Recorder for Journal {
    fn append(&mut self, at: Timestamp, event: &Event) -> Result<(), JournalError> {
        Self::append(self, at, event)
    }
}

pub struct Owner<'a> {
    /// None for a probe, which leaves no trace, and after a failed write.
    journal: Option<Box<dyn Recorder + 'a>>,
    /// None for a probe, which holds nothing.
    pub mirror: Option<Mirror>,
    /// None for a probe, which changes nothing.
    pub copies: Option<Copies>,
    /// Whether the run may still act. None for a probe, which does not act.
    pub fence: Option<Fence>,
    /// None for a probe, which prints only its result.
    report: Option<Box<dyn Report + 'a>>,
    clock: fn() -> Timestamp,
    pub cancel: Cancel,
    /// The signals so far.
    received: Vec<Signal>,
    /// The steps that failed so far.
    failed: Vec<StepId>,
    /// How many steps ended without having come to their end.
    undone: usize,
    /// Why the journal can no longer be written.
    pub broken: Option<JournalError>,
}

impl<'a> Owner<'a> {
    pub fn new(
        journal: Option<Box<dyn Recorder + 'a>>,
        report: Option<Box<dyn Report + 'a>>,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            journal,
            mirror: None,
            copies: None,
            fence: None,
            report,
            clock,
            cancel: Cancel::default(),
            received: Vec::new(),
            failed: Vec::new(),
            undone: 0,
            broken: None,
        }
    }

    /// Serves events, signals and ticks until the engine returns.
    pub async fn drive<T>(
        &mut self,
        engine: impl Future<Output = T>,
        mut inbox: UnboundedReceiver<Message>,
        mut signals: impl Stream<Item = Signal> + Unpin,
    ) -> T {
        let mut tick = tokio::time::interval(TICK);
        tokio::pin!(engine);
        let fence = self.fence.clone();
        let closed = async {
            match &fence {
                Some(fence) => fence.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(closed);
        let mut is_closed = false;
        let result = loop {
            tokio::select! {
                // In this order: a flood of events must not delay a Ctrl-C; steps wait for acknowledgements, so
                // events come before the engine's own work; a tick matters only while nothing else happens.
                biased;
                Some(signal) = signals.next() => self.interrupt(signal),
                why = &mut closed, if !is_closed => {
                    is_closed = true;
                    self.emit(Event::LeaseLost { why });
                    self.cancel.soft.cancel();
                }
                Some(message) = inbox.recv() => self.handle(message),
                result = &mut engine => break result,
                _ = tick.tick() => self.tick(),
            }
        };
        // The engine sends its last verdicts immediately before it returns.
        while let Ok(message) = inbox.try_recv() {
            self.handle(message);
        }
        result
    }

    /// Records and reports the end of the run.
    pub fn finish(&mut self, elapsed: Duration) {
        let failed = std::mem::take(&mut self.failed);
        self.emit(Event::RunFinished { elapsed, failed, undone: self.undone });
    }

    /// Records and reports an event of the owner itself.
    pub fn emit(&mut self, event: Event) {
        self.handle(Message { event, recorded: None });
    }

    fn tick(&mut self) {
        let now = (self.clock)();
        if let Some(report) = &mut self.report {
            report.tick(now);
        }
    }

    /// Only a second signal of the same kind forces the stop. CI systems send SIGINT and soon SIGTERM for one
    /// cancellation, and a terminal that is closed after a Ctrl-C adds a SIGHUP.
    fn interrupt(&mut self, signal: Signal) {
        let forced = self.received.contains(&signal);
        let first = self.received.is_empty();
        self.received.push(signal);
        if !first && !forced {
            return;
        }
        self.emit(Event::Interrupted { forced });
        if forced { self.cancel.hard.cancel() } else { self.cancel.soft.cancel() }
    }

    /// Records an event of the owner itself and does not report it: what it takes over from dead runs.
    pub fn record(&mut self, event: &Event) {
        self.write((self.clock)(), event);
        if let Some(mirror) = &mut self.mirror {
            mirror.note(event, None);
        }
    }

    fn write(&mut self, at: Timestamp, event: &Event) {
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.append(at, event)
        {
            // Stop writing: the last line may be truncated, and a line behind it could not be read.
            self.journal = None;
            self.broken = Some(error);
            self.cancel.soft.cancel();
        }
        if let Some(copies) = &mut self.copies {
            copies.note(at, event);
        }
    }

    fn handle(&mut self, Message { event, recorded }: Message) {
        let at = (self.clock)();
        if let Event::StepFinished { step, verdict, .. } = &event {
            match verdict {
                Verdict::Failed { .. } => self.failed.push(step.clone()),
                Verdict::Cancelled | Verdict::Missing { .. } => self.undone += 1,
                _ => {}
            }
        }
        self.write(at, &event);
        // If the write failed, the sender is dropped here, so the waiting step does not start its effect.
        let recorded = recorded.filter(|_| self.broken.is_none());
        match &mut self.mirror {
            // It acknowledges what is also in the state bucket.
            Some(mirror) => mirror.note(&event, recorded),
            // A hard cancel may have dropped the step that waits.
            None => {
                recorded.and_then(|recorded| recorded.send(Ok(())).ok());
            }
        }
        if let Some(report) = &mut self.report {
            report.event(at, &event);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use futures::stream;

    use super::*;
    use crate::{
        step::{Events, Phase},
        task,
    };

    /// What journal and report received, in order.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<String>>>);

    impl Seen {
        fn push(&self, by: &str, event: &Event) {
            let name = match event {
                Event::Interrupted { forced: true } => "forced",
                Event::Interrupted { forced: false } => "interrupted",
                Event::EffectStarted { .. } => "effect",
                _ => "other",
            };
            self.0.lock().unwrap().push(format!("{by} {name}"));
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl Report for Seen {
        fn event(&mut self, _at: Timestamp, event: &Event) {
            self.push("report", event);
        }

        fn tick(&mut self, at: Timestamp) {
            self.0.lock().unwrap().push(format!("tick {at}"));
        }
    }

    impl Recorder for Seen {
        fn append(&mut self, _at: Timestamp, event: &Event) -> Result<(), JournalError> {
            self.push("journal", event);
            Ok(())
        }
    }

    struct FullDisk;

    impl Recorder for FullDisk {
        fn append(&mut self, _at: Timestamp, _event: &Event) -> Result<(), JournalError> {
            Err(JournalError::Write("journal.ndjson".into(), io::ErrorKind::StorageFull.into()))
        }
    }

    fn owner(seen: &Seen) -> Owner<'static> {
        Owner::new(Some(Box::new(seen.clone())), Some(Box::new(seen.clone())), || Timestamp::UNIX_EPOCH)
    }

    fn effect() -> Event {
        Event::EffectStarted { step: StepId::global(Phase::Docker, "build") }
    }

    /// An owner after these signals, while the engine runs until the last of them was handled.
    async fn after(signals: &[Signal]) -> (Cancel, Vec<String>) {
        let seen = Seen::default();
        let mut owner = owner(&seen);
        let (_events, inbox) = Events::channel();
        // Signals are served first, so an engine that is ready immediately returns after all of them.
        let signals = stream::iter(signals.to_vec()).chain(stream::pending());
        owner.drive(async {}, inbox, signals).await;
        let reported = seen.take().into_iter().filter(|line| line.starts_with("report"));
        (owner.cancel.clone(), reported.collect())
    }

    #[tokio::test]
    async fn the_first_signal_stops_softly() {
        for signal in [Signal::Interrupt, Signal::Terminate, Signal::HangUp] {
            let (cancel, reported) = after(&[signal]).await;
            assert!(cancel.soft.is_cancelled() && !cancel.hard.is_cancelled(), "{signal:?}");
            assert_eq!(reported, ["report interrupted"], "{signal:?}");
        }
    }

    #[tokio::test]
    async fn a_second_signal_of_the_same_kind_forces_the_stop() {
        let (cancel, reported) = after(&[Signal::Interrupt, Signal::Interrupt]).await;
        assert!(cancel.hard.is_cancelled());
        assert_eq!(reported, ["report interrupted", "report forced"]);
    }

    #[tokio::test]
    async fn a_sigterm_after_a_sigint_forces_nothing() {
        let (cancel, reported) = after(&[Signal::Interrupt, Signal::Terminate, Signal::HangUp]).await;
        assert!(!cancel.hard.is_cancelled());
        assert_eq!(reported, ["report interrupted"]);
        let (cancel, _) = after(&[Signal::Interrupt, Signal::Terminate, Signal::Terminate]).await;
        assert!(cancel.hard.is_cancelled());
    }

    #[tokio::test]
    async fn an_event_is_on_disk_before_it_is_acknowledged_and_reported() {
        let seen = Seen::default();
        let mut owner = owner(&seen);
        let (events, inbox) = Events::channel();
        let step = seen.clone();
        let engine = async move {
            events.record(effect()).await.unwrap();
            step.0.lock().unwrap().push("step starts its effect".to_owned());
        };
        owner.drive(engine, inbox, stream::pending()).await;
        assert_eq!(seen.take(), ["journal effect", "report effect", "step starts its effect"]);
    }

    #[tokio::test]
    async fn a_journal_that_cannot_be_written_stops_the_run_softly_and_keeps_the_error() {
        let seen = Seen::default();
        let mut owner = Owner::new(Some(Box::new(FullDisk)), Some(Box::new(seen.clone())), Timestamp::now);
        let (events, inbox) = Events::channel();
        let engine = async move { (events.record(effect()).await, events.record(effect()).await) };
        let (first, second) = owner.drive(engine, inbox, stream::pending()).await;
        assert_eq!(first.unwrap_err().class, task::Class::Permanent);
        assert_eq!(second.unwrap_err().class, task::Class::Permanent);
        assert!(owner.cancel.soft.is_cancelled() && !owner.cancel.hard.is_cancelled());
        let error = owner.broken.expect("the error is kept").to_string();
        assert_eq!(error, "failed to write the journal `journal.ndjson`");
        let mut reported = seen.take();
        // On a busy machine the first tick comes in between.
        reported.retain(|line| !line.starts_with("tick"));
        assert_eq!(reported, ["report effect", "report effect"], "the terminal still shows what happens");
    }

    #[tokio::test(start_paused = true)]
    async fn the_report_gets_a_tick_every_second_while_nothing_happens() {
        let seen = Seen::default();
        let mut owner = owner(&seen);
        let (_events, inbox) = Events::channel();
        owner.drive(tokio::time::sleep(Duration::from_millis(2500)), inbox, stream::pending()).await;
        assert_eq!(seen.take(), ["tick 1970-01-01T00:00:00Z"; 3]);
    }

    #[tokio::test]
    async fn events_that_are_queued_when_the_engine_returns_are_not_lost() {
        let seen = Seen::default();
        let mut owner = owner(&seen);
        let (events, inbox) = Events::channel();
        owner.drive(async move { events.send(effect()) }, inbox, stream::pending()).await;
        assert_eq!(seen.take(), ["journal effect", "report effect"]);
    }
}
