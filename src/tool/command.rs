//! What to run: program, arguments, environment, and which exit codes are fine.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::DeserializeOwned;

use super::child::{self, Exit};
use crate::task::{ErrorExt, Result, Task};

/// A program to run for a step. `Display` is its command line, quoted for a shell.
///
/// It runs in a process group of its own, with nothing on standard input and with a chosen environment;
/// what it prints goes to the step's log. Arguments appear in logs: they are no place for secrets.
#[derive(Debug, Clone)]
pub struct Command {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    /// Set, or removed from what is passed on.
    pub(super) env: Vec<(OsString, Option<OsString>)>,
    pub(super) dir: Option<PathBuf>,
    pub(super) codes: Vec<i32>,
    pub(super) deadline: Option<Duration>,
}

impl Command {
    pub fn new(program: impl AsRef<Path>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            codes: vec![0],
            deadline: None,
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Keeps a variable from the child that is passed on otherwise.
    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Passes a variable on, if it is set, that is not passed on otherwise.
    pub fn pass_env(self, name: impl AsRef<OsStr>) -> Self {
        match std::env::var_os(name.as_ref()) {
            Some(value) => self.env(name, value),
            None => self,
        }
    }

    /// The folder to run in; otherwise that of `paydeploy` itself.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// The exit codes that are no failure; otherwise only 0.
    pub fn codes(mut self, codes: &[i32]) -> Self {
        self.codes = codes.to_vec();
        self
    }

    /// Gives up after that long; otherwise the step's own deadline holds.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Runs to a good end.
    ///
    /// # Errors
    /// When it cannot be started, ends with another exit code (with its last lines), takes longer than its
    /// deadline or the run is cancelled.
    pub async fn run(&self, task: &Task) -> Result<()> {
        self.exit(task).await?.check()
    }

    /// Runs to any end.
    pub async fn exit(&self, task: &Task) -> Result<Exit> {
        child::logged(self, task, |_| {}).await
    }

    /// Runs to any end and hands over each line of its output, soon after it was written.
    pub async fn follow(&self, task: &Task, on_line: impl FnMut(&str) + Send) -> Result<Exit> {
        child::logged(self, task, on_line).await
    }

    /// Runs to a good end and returns what it printed on standard output, which stays out of the log.
    pub async fn output(&self, task: &Task) -> Result<String> {
        let (exit, output) = child::captured(self, task).await?;
        exit.check()?;
        Ok(output)
    }

    /// The same, as the JSON that it is.
    pub async fn json<T: DeserializeOwned>(&self, task: &Task) -> Result<T> {
        let output = self.output(task).await?;
        serde_json::from_str(&output).doing(format!("read the JSON that `{self}` printed"))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program.file_name().unwrap_or(self.program.as_os_str());
        f.write_str(&quoted(program))?;
        for arg in &self.args {
            write!(f, " {}", quoted(arg))?;
        }
        Ok(())
    }
}

/// The word as a POSIX shell reads it back.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::Command;

    #[test]
    fn a_command_reads_as_a_shell_would_take_it() {
        let command = Command::new("/usr/bin/helm").args(["upgrade", "", "a b", "it's", "--set=x"]);
        assert_eq!(command.to_string(), r"helm upgrade '' 'a b' 'it'\''s' --set=x");
    }
}
