//! A question before something is destroyed.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    thread,
};

use tokio::sync::oneshot;

use super::{Exit, Failure, signals::Signals};

/// Asks for a name to be typed.
///
/// # Errors
/// When something else is typed, nobody is there to type, or the answer is a signal.
pub async fn by_name(name: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let message = "nobody is there to confirm: standard input is no terminal";
        return Err(Failure::new(Exit::Usage, message).hint("add `--yes` where that is meant"));
    }
    let mut signals = Signals::listen()?;
    eprint!("type `{name}` to take all of this down: ");
    io::stderr().flush()?;
    let (tell, told) = oneshot::channel();
    // a thread of its own: nothing ends its read, and nothing has to wait for it
    thread::spawn(move || {
        let mut typed = String::new();
        let read = io::stdin().lock().read_line(&mut typed);
        drop(tell.send(read.map(|_| typed)));
    });
    let typed = tokio::select! {
        _ = signals.next() => {
            eprintln!();
            return Err(Failure::new(Exit::Interrupted, "interrupted: nothing was done"));
        }
        typed = told => typed.unwrap_or_else(|_| Ok(String::new()))?,
    };
    if typed.trim() == name {
        Ok(())
    } else {
        Err(Failure::new(Exit::Usage, "not confirmed: nothing was done"))
    }
}
