//! A running child: started, followed, interrupted once, killed when it must be.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use futures::StreamExt;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio_util::sync::CancellationToken;

use super::{command::Command, environment, follow::follow};
use crate::task::{Error, ErrorExt, Event, Result, Task};

/// From the signal after a deadline to the kill.
const GRACE: Duration = Duration::from_secs(20);
/// How much of a failed child's output an error repeats.
const TAIL_LINES: usize = 12;
const TAIL_BYTES: u64 = 8 * 1024;

/// How a child ended.
#[derive(Debug, Clone)]
pub struct Exit {
    command: String,
    good: bool,
    status: ExitStatus,
    log: PathBuf,
    from: u64,
}

impl Exit {
    /// The exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether the exit code is one that the command calls good.
    pub fn is_good(&self) -> bool {
        self.good
    }

    /// The last lines that the child wrote to the step's log.
    pub fn tail(&self) -> Vec<String> {
        // a failure is told even if its log cannot be read
        tail(&self.log, self.from).unwrap_or_default()
    }

    /// # Errors
    /// When the exit code is no good one: the command, the code and the child's last lines.
    pub fn check(&self) -> Result<()> {
        if self.good {
            return Ok(());
        }
        let how = match self.status.code() {
            Some(code) => format!("`{}` ended with exit code {code}", self.command),
            None => format!("`{}` was ended by a signal: {}", self.command, self.status),
        };
        let tail = self.tail().join("\n");
        Err(if tail.is_empty() { anyhow::anyhow!(how) } else { anyhow::anyhow!(tail).context(how) }.into())
    }
}

/// Runs with standard output and error in the step's log, and hands over the lines.
pub(super) async fn logged(
    command: &Command,
    task: &Task,
    mut on_line: impl FnMut(&str) + Send,
) -> Result<Exit> {
    let (log, from) = open_log(command, &task.log)?;
    let out = log.try_clone().doing(format!("open `{}`", task.log.display()))?;
    let ended = CancellationToken::new();
    let lines = follow(&task.log, from, ended.clone());
    let child = async {
        let _ended = ended.drop_guard();
        supervise(command, task, out, log).await
    };
    let (status, ()) = tokio::join!(
        child,
        lines.for_each(|line| {
            on_line(&line);
            std::future::ready(())
        })
    );
    finished(command, task, status?, from)
}

/// Runs with standard error in the step's log, and returns standard output.
pub(super) async fn captured(command: &Command, task: &Task) -> Result<(Exit, String)> {
    let (log, from) = open_log(command, &task.log)?;
    // without a name and for us alone: the output may hold what must not stay on a disk
    let mut capture = tempfile::tempfile().doing("make a temporary file")?;
    let out = capture.try_clone().doing("open a temporary file again")?;
    let status = supervise(command, task, out, log).await?;
    let exit = finished(command, task, status, from)?;
    let mut output = String::new();
    capture.seek(SeekFrom::Start(0))?;
    capture.read_to_string(&mut output).doing(format!("read what `{command}` printed"))?;
    Ok((exit, output))
}

fn finished(command: &Command, task: &Task, status: ExitStatus, from: u64) -> Result<Exit> {
    let good = status.code().is_some_and(|code| command.codes.contains(&code));
    if !good && task.cancel.soft.is_cancelled() {
        return Err(Error::cancelled());
    }
    Ok(Exit { command: command.to_string(), good, status, log: task.log.clone(), from })
}

/// Opens the step's log at its end, with the command's line written, and says where its output begins.
fn open_log(command: &Command, path: &Path) -> Result<(File, u64)> {
    let open = || -> io::Result<(File, u64)> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut log = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        log.write_all(format!("$ {command}\n").as_bytes())?;
        let from = log.metadata()?.len();
        Ok((log, from))
    };
    open()
        .doing(format!("write the log `{}`", path.display()))
        .hint("see that the disk of `.paydeploy` has room, and that its folder may be written to")
}

/// The last lines of a file, none from before `from`.
fn tail(path: &Path, from: u64) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let start = from.max(file.metadata()?.len().saturating_sub(TAIL_BYTES));
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|&line| line.to_owned()).collect())
}

async fn supervise(command: &Command, task: &Task, out: File, err: File) -> Result<ExitStatus> {
    if task.cancel.soft.is_cancelled() {
        return Err(Error::cancelled());
    }
    let mut child = start(command, out, err)?;
    let mut alive = Alive::new(&child, command, task);
    let deadline = async {
        match command.deadline {
            Some(deadline) => tokio::time::sleep(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    let mut asked = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            () = task.cancel.soft.cancelled(), if !asked => {
                asked = true;
                alive.interrupt();
            }
            () = task.cancel.hard.cancelled() => {
                alive.kill();
                break child.wait().await;
            }
            () = &mut deadline => {
                alive.interrupt();
                drop(tokio::time::timeout(GRACE, child.wait()).await);
                // with what it started and did not take along
                alive.kill();
                drop(child.wait().await);
                alive.ended();
                let after = command.deadline.unwrap_or_default().as_secs();
                return Err(Error::transient(format!("`{command}` did not end within {after} s")));
            }
        }
    };
    alive.ended();
    status.doing(format!("wait for `{command}`"))
}

fn start(command: &Command, out: File, err: File) -> Result<tokio::process::Child> {
    let mut process = tokio::process::Command::new(&command.program);
    process.args(&command.args).env_clear().envs(environment::chosen(std::env::vars_os()));
    for (name, value) in &command.env {
        match value {
            Some(value) => process.env(name, value),
            None => process.env_remove(name),
        };
    }
    if let Some(dir) = &command.dir {
        process.current_dir(dir);
    }
    process.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    process.spawn().map_err(|error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let program = command.program.display();
        let error = Error::from(anyhow::Error::new(error).context(format!("failed to start `{program}`")));
        if missing { error.with_hint(format!("install `{program}`, or put it on PATH")) } else { error }
    })
}

/// A child that runs. Dropped before its end (the step's deadline, a forced stop), it is not left to itself:
/// killed with its group when the stop is forced, else asked to stop, for a killed terraform leaves a lock.
struct Alive<'a> {
    pid: Option<Pid>,
    task: &'a Task,
}

impl<'a> Alive<'a> {
    fn new(child: &tokio::process::Child, command: &Command, task: &'a Task) -> Self {
        let id = child.id().expect("a child that nobody waited for has an id");
        let pid = Pid::from_raw(id.cast_signed());
        let start = start_time(id).unwrap_or_default();
        let (step, command) = (task.step.clone(), command.to_string());
        task.emit(Event::ChildStarted { step, pid: id, start, command });
        Self { pid, task }
    }

    /// One SIGINT to the child alone: it ends its own children in good order.
    fn interrupt(&self) {
        if let Some(pid) = self.pid {
            // it may have ended meanwhile
            kill_process(pid, Signal::INT).ok();
        }
    }

    fn kill(&self) {
        if let Some(pid) = self.pid {
            // nobody may be left
            kill_process_group(pid, Signal::KILL).ok();
        }
    }

    fn ended(&mut self) {
        if let Some(pid) = self.pid.take() {
            let pid = pid.as_raw_nonzero().get().cast_unsigned();
            self.task.emit(Event::ChildEnded { step: self.task.step.clone(), pid });
        }
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        if self.task.cancel.hard.is_cancelled() {
            self.kill();
            self.ended();
        } else {
            self.interrupt();
        }
    }
}

/// When a process started, in clock ticks since boot: field 22 of its `stat`.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // the second field is the program's name in parentheses, and may itself hold blanks and parentheses
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::signal::unix::{SignalKind, signal};

    use crate::{
        task::{Class, Event, testing},
        tool::Command,
    };

    fn sh(script: &str) -> Command {
        Command::new("/bin/sh").args(["-c", script])
    }

    #[tokio::test]
    async fn a_failure_tells_the_command_its_code_and_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let error = sh("echo fine; echo broken >&2; exit 3").run(&task).await.unwrap_err();
        assert_eq!(
            error.chain(),
            ["`sh -c 'echo fine; echo broken >&2; exit 3'` ended with exit code 3", "fine\nbroken"]
        );
        let log = std::fs::read_to_string(&task.log).unwrap();
        assert_eq!(log, "$ sh -c 'echo fine; echo broken >&2; exit 3'\nfine\nbroken\n");
    }

    #[tokio::test]
    async fn captured_output_stays_out_of_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let printed = sh("echo '{\"a\": 7}'; echo note >&2");
        let value: serde_json::Value = printed.json(&task).await.unwrap();
        assert_eq!(value["a"], 7);
        assert!(std::fs::read_to_string(&task.log).unwrap().ends_with("\nnote\n"));
    }

    #[tokio::test]
    async fn lines_are_handed_over_and_other_exit_codes_can_be_good() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let mut lines = Vec::new();
        let child = sh("echo one; echo two; exit 2").codes(&[0, 2]);
        let exit = child.follow(&task, |line| lines.push(line.to_owned())).await.unwrap();
        exit.check().unwrap();
        assert_eq!((exit.code(), lines), (Some(2), vec!["one".to_owned(), "two".to_owned()]));
    }

    #[tokio::test]
    async fn a_child_is_told_of_and_has_no_input_and_a_group_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let (task, mut events) = testing::task(dir.path());
        let group = sh("cat; cut -d' ' -f5 /proc/$$/stat; echo $$").output(&task).await.unwrap();
        let (group, own) = group.trim().split_once('\n').unwrap();
        assert_eq!(group, own);
        let Some(Event::ChildStarted { pid, start, .. }) = events.recv().await else {
            panic!("no child was told of")
        };
        assert!(start > 0);
        assert_eq!(pid.to_string(), own);
        assert_eq!(events.recv().await, Some(Event::ChildEnded { step: task.step.clone(), pid }));
    }

    #[tokio::test]
    async fn a_stopped_run_interrupts_its_child_once() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let soft = task.cancel.soft.clone();
        // as a run's owner does: started in the background a test ignores the signal, and so would its children
        let _owner = signal(SignalKind::interrupt()).unwrap();
        // a shell runs a trap when what it waits for ends, and a signal just before its `wait` does not end that
        let script = "trap 'echo asked; exit 1' INT; echo ready; for _ in $(seq 600); do sleep 0.1; done";
        let child = sh(script);
        let run = child.follow(&task, |line| {
            if line == "ready" {
                soft.cancel();
            }
        });
        let error = tokio::time::timeout(Duration::from_secs(30), run).await.unwrap().unwrap_err();
        assert_eq!(error.class, Class::Cancelled);
        let log = std::fs::read_to_string(&task.log).unwrap();
        assert_eq!(log.matches("asked").count(), 2, "once in the command's own line, once said: {log}");
    }

    #[tokio::test]
    async fn a_forced_stop_kills_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let (soft, hard) = (task.cancel.soft.clone(), task.cancel.hard.clone());
        let mut grandchild = 0;
        let child = sh("trap '' INT; sleep 300 & echo $!; wait; wait");
        let run = child.follow(&task, |line| {
            grandchild = line.parse().unwrap();
            soft.cancel();
            hard.cancel();
        });
        let error = tokio::time::timeout(Duration::from_secs(30), run).await.unwrap().unwrap_err();
        assert_eq!(error.class, Class::Cancelled);
        let gone = || {
            let state = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        while !gone() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_child_that_takes_too_long_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let error = sh("sleep 300 & wait").deadline(Duration::from_millis(50)).run(&task).await.unwrap_err();
        assert_eq!(error.class, Class::Transient);
    }
}
