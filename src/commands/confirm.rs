//! The question before anything is deleted.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    thread,
};

use tokio::sync::oneshot;

use super::{Exit, Failure};
use crate::run::Session;

/// Asks the operator to type a name.
///
/// # Errors
/// When another text is typed, stdin is not a terminal, or a signal arrives.
pub async fn by_name(session: &Session, name: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let message = "cannot ask for confirmation: stdin is not a terminal";
        return Err(Failure::new(Exit::Usage, message).fix("add `--yes` to delete without confirmation"));
    }
    eprint!("Type `{name}` to delete all of this: ");
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
        Failure::new(Exit::Interrupted, "interrupted: nothing was deleted")
    })?;
    // A thread that panicked has read nothing, which confirms nothing.
    let typed = typed.unwrap_or_else(|_| Ok(String::new()))?;
    if typed.trim() == name {
        Ok(())
    } else {
        Err(Failure::new(Exit::Usage, "not confirmed: nothing was deleted")
            .fix("type the name exactly, or add `--yes`"))
    }
}
