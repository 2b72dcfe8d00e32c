//! A question before something is destroyed.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::{Exit, Failure};

/// Asks for a name to be typed.
///
/// # Errors
/// When something else is typed, or nobody is there to type.
pub fn by_name(name: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let message = "nobody is there to confirm: standard input is no terminal";
        return Err(Failure::new(Exit::Usage, message).hint("add `--yes` where that is meant"));
    }
    eprint!("type `{name}` to take all of this down: ");
    io::stderr().flush()?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == name {
        Ok(())
    } else {
        Err(Failure::new(Exit::Usage, "not confirmed: nothing was done"))
    }
}
