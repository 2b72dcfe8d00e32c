//! How a child ended, and the last lines that it wrote.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::ExitStatus,
};

use crate::task::{Class, Error, Result};

/// How many of a failed child's last lines an error repeats: a screen's worth still shows the error itself.
const TAIL_LINES: usize = 12;
/// How many bytes are read to find those lines: Terraform's longest diagnostics fit, a binary dump is cut
/// off.
const TAIL_BYTES: u64 = 8 * 1024;

/// How a child ended.
#[derive(Debug, Clone)]
pub struct ChildExit {
    pub(super) command: String,
    /// Whether the exit code is one that the command expects.
    pub(super) good: bool,
    pub(super) status: ExitStatus,
    pub(super) log: PathBuf,
    /// The byte of the log at which the child's output starts.
    pub(super) from: u64,
}

/// The number of SIGKILL.
const KILL: i32 = 9;

impl ChildExit {
    /// The exit code; `None` when a signal terminated the child.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether the child was killed and could not even save what it had done, for instance by the kernel when memory
    /// ran out.
    pub fn is_killed(&self) -> bool {
        std::os::unix::process::ExitStatusExt::signal(&self.status) == Some(KILL)
    }

    /// Whether the exit code is one that the command expects.
    pub fn is_good(&self) -> bool {
        self.good
    }

    /// The last lines that the child wrote to the step's log.
    pub fn tail(&self) -> Vec<String> {
        // The error is swallowed because the child's failure matters more than a log that cannot be read.
        tail(&self.log, self.from).unwrap_or_default()
    }

    /// # Errors
    /// When the exit code is unexpected: the command, the code and the child's last lines. Transient for a child that was
    /// killed: whoever did it, or the lack of memory, is most likely gone when it is tried again.
    pub fn check(&self) -> Result<()> {
        if self.good {
            return Ok(());
        }
        let how = match self.status.code() {
            Some(code) => format!("`{}` exited with code {code}", self.command),
            None => format!("`{}` was terminated ({})", self.command, self.status),
        };
        let tail = self.tail().join("\n");
        let error = if tail.is_empty() { anyhow::anyhow!(how) } else { anyhow::anyhow!(tail).context(how) };
        let error = Error::from(error);
        Err(if self.is_killed() { Error { class: Class::Transient, ..error } } else { error })
    }
}

/// The last lines of a file, none from before `from`.
fn tail(path: &Path, from: u64) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let start = from.max(file.metadata()?.len().saturating_sub(TAIL_BYTES));
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    // The limit holds even if another child of the same step appends to the log meanwhile.
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|&line| line.to_owned()).collect())
}
