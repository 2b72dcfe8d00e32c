//! The signals that stop a command.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::Stream;
use tokio::signal::unix::{self, SignalKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C, or a cancelled CI job.
    Interrupt,
    /// SIGTERM: a supervisor, or the next step of a cancelled CI job.
    Terminate,
    /// SIGHUP: the terminal was closed.
    HangUp,
}

/// A stream of these signals. From its creation on, none of them ends the process by itself.
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: unix::Signal,
}

impl Signals {
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hang_up: unix::signal(SignalKind::hangup())?,
        })
    }
}

impl Stream for Signals {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        // `Pending` is returned only after all three were polled, so each of them wakes the task. After one that is
        // ready, the others keep their signal for the next poll.
        let interrupt = self.interrupt.poll_recv(cx).is_ready().then_some(Signal::Interrupt);
        let signal = interrupt
            .or_else(|| self.terminate.poll_recv(cx).is_ready().then_some(Signal::Terminate))
            .or_else(|| self.hang_up.poll_recv(cx).is_ready().then_some(Signal::HangUp));
        signal.map_or(Poll::Pending, |signal| Poll::Ready(Some(signal)))
    }
}
