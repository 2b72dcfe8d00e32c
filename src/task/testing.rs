//! A task for unit tests, whose events go to the test.

use std::path::Path;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::task::TaskTracker;

use super::{Cancel, Claims, Event, Events, Message, Phase, StepId, Task};

/// The events of a task.
pub struct Sent(UnboundedReceiver<Message>);

impl Sent {
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await.map(|message| message.event)
    }
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
        ending: TaskTracker::new(),
    };
    (task, Sent(inbox))
}
