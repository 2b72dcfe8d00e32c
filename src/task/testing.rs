//! A task for unit tests: what it tells goes to the test.

use std::path::Path;

use tokio::sync::mpsc::UnboundedReceiver;

use super::{Cancel, Event, Events, Message, Phase, StepId, Task};

/// What was told, without who waits for it.
pub struct Told(UnboundedReceiver<Message>);

impl Told {
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await.map(|message| message.event)
    }
}

/// A task whose log lies in `dir`, and what is told of it.
pub fn task(dir: &Path) -> (Task, Told) {
    let (events, told) = Events::channel();
    let task = Task {
        step: StepId::global(Phase::Preflight, "test"),
        cancel: Cancel::default(),
        log: dir.join("runs/test.log"),
        events,
    };
    (task, Told(told))
}
