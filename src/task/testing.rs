//! A task for unit tests, whose events go to the test.

use std::{path::Path, time::Duration};

use tokio::{sync::mpsc::UnboundedReceiver, time::Instant};
use tokio_util::task::TaskTracker;

use super::{Cancel, Claims, Event, Events, Fence, Message, Phase, StepId, Task};

/// The events of a task.
pub struct Sent(UnboundedReceiver<Message>);

impl Sent {
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await.map(|message| message.event)
    }
}

/// The time of Tokio's clock, which tests pause, as [`super::since_boot`] gives that of the machine.
pub fn paused() -> Duration {
    thread_local!(static START: Instant = Instant::now());
    START.with(Instant::elapsed)
}

/// A task whose log is in `dir`, and its events.
pub fn task(dir: &Path) -> (Task, Sent) {
    let (events, inbox) = Events::unowned();
    let task = Task {
        step: StepId::global(Phase::Preflight, "test"),
        cancel: Cancel::default(),
        log: dir.join("runs/test.log"),
        events,
        claims: Claims::default(),
        fence: Fence::default(),
        ending: TaskTracker::new(),
    };
    (task, Sent(inbox))
}
