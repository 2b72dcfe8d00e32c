//! The question before anything is deleted or removed.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    thread,
};

use tokio::sync::oneshot;

use super::{Exit, Failure};
use crate::run::Session;

/// Asks the operator to type a name. `what` is what follows if they do, and `nothing` says that it did not.
///
/// # Errors
/// When another text is typed, stdin is not a terminal, or a signal arrives.
pub async fn by_name(session: &Session, name: &str, what: &str, nothing: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let message = "cannot ask for confirmation: stdin is not a terminal";
        return Err(Failure::new(Exit::Usage, message).fix("add `--yes` to go on without confirmation"));
    }
    eprint!("Type `{name}` to {what}: ");
    let (send, typed) = oneshot::channel();
    // A dedicated thread, because a blocking read of a terminal cannot be cancelled: tokio's blocking pool would
    // wait for it at shutdown, while a plain thread ends with the process.
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        drop(send.send(read.map(|_| line)));
    });
    let typed = session.or_interrupted(typed).await.map_err(|_| {
        // The shell's prompt belongs on a line of its own.
        eprintln!();
        Failure::new(Exit::Interrupted, format!("interrupted: {nothing}"))
    })?;
    // A thread that panicked has read nothing, which confirms nothing.
    let typed = typed.unwrap_or_else(|_| Ok(String::new()))?;
    if typed.trim() == name {
        Ok(())
    } else {
        Err(Failure::new(Exit::Usage, format!("not confirmed: {nothing}"))
            .fix("type the name exactly, or add `--yes`"))
    }
}
