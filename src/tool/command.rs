//! What to run: program, arguments, environment, and which exit codes are expected.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::environment;

/// A program to run for a step. `Display` is its command line, quoted for a shell.
///
/// It runs in its own process group, without standard input and with a chosen environment; its output goes to
/// the step's log. Arguments appear in logs, so they must not hold secrets.
#[derive(Clone)]
pub struct Command {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    /// Variables that are set, or (`None`) removed from those that are passed on.
    pub(super) env: Vec<(OsString, Option<OsString>)>,
    pub(super) dir: Option<PathBuf>,
    pub(super) codes: Vec<i32>,
    pub(super) deadline: Option<Duration>,
    pub(super) grace: Duration,
}

/// From the SIGINT after a deadline to the SIGKILL. Helm and Git end within seconds; a process that needs longer hangs,
/// and every second more delays the retry.
const GRACE: Duration = Duration::from_secs(20);

impl Command {
    pub fn new(program: impl AsRef<Path>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            codes: vec![0],
            deadline: None,
            grace: GRACE,
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

    /// Withholds a variable that is passed on by default.
    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Passes on a variable that is withheld by default, if it is set.
    pub fn pass_env(self, name: impl AsRef<OsStr>) -> Self {
        match std::env::var_os(name.as_ref()) {
            Some(value) => self.env(name, value),
            None => self,
        }
    }

    /// Passes on how AWS is called (endpoints, certificates, retries), which is withheld by default, with credentials that
    /// are `lent`.
    pub fn with_aws(mut self, lent: Vec<(OsString, OsString)>) -> Self {
        let variables = environment::aws(std::env::vars_os()).chain(lent);
        self.env.extend(variables.map(|(name, value)| (name, Some(value))));
        self
    }

    /// The folder to run in; by default paydeploy's own.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Whether this is one of the arguments.
    pub fn has_arg(&self, arg: &str) -> bool {
        self.args.iter().any(|given| given == arg)
    }

    /// The exit codes that are not a failure; by default only 0.
    pub fn codes(mut self, codes: &[i32]) -> Self {
        self.codes = codes.to_vec();
        self
    }

    /// Stops the child after that time; by default only the step's own deadline applies.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// How long the child may take to end after it was interrupted at a deadline.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// Without the environment, which may hold a token.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Command").field(&self.to_string()).finish()
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

/// The word, quoted so that a POSIX shell reads it back unchanged.
pub fn quoted(word: &OsStr) -> String {
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
    fn a_command_is_printed_as_a_shell_would_read_it() {
        let command = Command::new("/usr/bin/helm").args(["upgrade", "", "a b", "it's", "--set=x"]);
        assert_eq!(command.to_string(), r"helm upgrade '' 'a b' 'it'\''s' --set=x");
    }
}
