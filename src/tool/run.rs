//! Runs a command for a step, with its output in the step's log.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::Path,
    process::ExitStatus,
};

use futures::StreamExt;
use serde::de::DeserializeOwned;
use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};
use tokio_util::sync::CancellationToken;

use super::{child::supervise, command::Command, exit::ChildExit, follow::follow};
use crate::task::{Error, ErrorExt, Result, Task, write_fix};

impl Command {
    /// Runs the command and expects one of its exit codes.
    ///
    /// # Errors
    /// When it cannot be started, exits with another code (with its last lines), exceeds its deadline, or the
    /// run is cancelled.
    pub async fn run(&self, task: &Task) -> Result<()> {
        self.exit(task).await?.check()
    }

    /// Runs the command; any exit code is returned.
    pub async fn exit(&self, task: &Task) -> Result<ChildExit> {
        self.follow(task, |_| {}).await
    }

    /// Runs the command and passes on each line of its output, shortly after it was written; any exit code is
    /// returned.
    ///
    /// Standard output and error are the log file itself, not a pipe: if paydeploy died, a broken pipe would
    /// kill Terraform in the middle of an apply.
    pub async fn follow(&self, task: &Task, mut on_line: impl FnMut(&str) + Send) -> Result<ChildExit> {
        let (log, from) = open_log(self, &task.log)?;
        let out = log.try_clone().doing(format!("open `{}`", task.log.display()))?;
        let ended = CancellationToken::new();
        let lines = follow(&task.log, from, ended.clone());
        let child = async {
            // The guard ends the stream of lines also when the child cannot be started.
            let _ended = ended.drop_guard();
            supervise(self, task, out, log).await
        };
        let (status, ()) = tokio::join!(
            child,
            lines.for_each(|line| {
                on_line(&line);
                std::future::ready(())
            })
        );
        finished(self, task, status?, from)
    }

    /// Runs the command, expects one of its exit codes and returns its standard output, which stays out of
    /// the log.
    ///
    /// The output goes through a pipe into memory and never to a disk, because it may contain secrets. So this is for
    /// commands that only read: a command that changes something must survive the end of paydeploy, see
    /// [`Command::follow`].
    pub async fn output(&self, task: &Task) -> Result<String> {
        let (log, from) = open_log(self, &task.log)?;
        let (reader, writer) = io::pipe().doing("create a pipe")?;
        let reader = Receiver::from_owned_fd(reader.into()).doing("read from a pipe")?;
        let child = supervise(self, task, OwnedFd::from(writer).into(), log);
        let (status, output) = collect(reader, child).await.doing(format!("read the output of `{self}`"))?;
        finished(self, task, status, from)?.check()?;
        String::from_utf8(output).doing(format!("read the output of `{self}`"))
    }

    /// Like [`Command::output`], parsed as JSON.
    pub async fn json<T: DeserializeOwned>(&self, task: &Task) -> Result<T> {
        let output = self.output(task).await?;
        serde_json::from_str(&output).doing(format!("parse the JSON that `{self}` printed"))
    }
}

/// What a child writes to a pipe until it ends, and its status.
///
/// The end of the child decides, not the end of the pipe: a process that the child leaves behind, such as an SSH
/// connection that Git shares, may keep the pipe open.
async fn collect(
    mut pipe: Receiver,
    child: impl Future<Output = Result<ExitStatus>>,
) -> Result<(ExitStatus, Vec<u8>)> {
    let (mut output, mut is_open) = (Vec::new(), true);
    tokio::pin!(child);
    let status = loop {
        // The branches need no order: what is still in the pipe when the child ends is read below.
        tokio::select! {
            status = &mut child => break status?,
            read = pipe.read_buf(&mut output), if is_open => is_open = read? > 0,
        }
    };
    let mut rest = File::from(pipe.into_nonblocking_fd()?);
    match rest.read_to_end(&mut output) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error.into()),
        _ => Ok((status, output)),
    }
}

/// How a child ended. A failure after the run was cancelled counts as the cancellation that provoked it.
fn finished(command: &Command, task: &Task, status: ExitStatus, from: u64) -> Result<ChildExit> {
    let good = status.code().is_some_and(|code| command.codes.contains(&code));
    if !good && task.cancel.soft.is_cancelled() {
        return Err(Error::cancelled());
    }
    Ok(ChildExit { command: command.to_string(), good, status, log: task.log.clone(), from })
}

/// Appends the command's line to the step's log, and returns the log with the byte at which the output will
/// start.
fn open_log(command: &Command, path: &Path) -> Result<(File, u64)> {
    let open = || -> io::Result<(File, u64)> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Only the owner may read the log, because tools print more than they should.
        let mut log = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        log.write_all(format!("$ {command}\n").as_bytes())?;
        let from = log.metadata()?.len();
        Ok((log, from))
    };
    open().map_err(|error| {
        let fix = write_fix(&error);
        Error::from(
            anyhow::Error::new(error).context(format!("failed to write the log `{}`", path.display())),
        )
        .with_hint(fix)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::signal::unix::{SignalKind, signal};

    use crate::{
        task::{Class, Event, Events, Task, testing},
        tool::Command,
    };

    fn sh(script: &str) -> Command {
        Command::new("/bin/sh").args(["-c", script])
    }

    #[tokio::test]
    async fn a_failure_reports_the_command_its_code_and_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let error = sh("echo fine; echo broken >&2; exit 3").run(&task).await.unwrap_err();
        assert_eq!(
            error.chain(),
            ["`sh -c 'echo fine; echo broken >&2; exit 3'` exited with code 3", "fine\nbroken"]
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
    async fn captured_output_goes_through_a_pipe_whatever_its_size_and_never_to_a_disk() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let target = sh("readlink /proc/$$/fd/1").output(&task).await.unwrap();
        assert!(target.starts_with("pipe:"), "{target}");
        let large = sh("head -c 1000000 /dev/zero | tr '\\0' x; exec echo end").output(&task).await.unwrap();
        assert_eq!((large.len(), &large[1_000_000..]), (1_000_004, "end\n"));
    }

    #[tokio::test]
    async fn a_process_that_the_child_leaves_behind_does_not_delay_its_output() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let command = sh("sleep 300 & echo $!");
        let left = tokio::time::timeout(Duration::from_secs(60), command.output(&task));
        let left: i32 = left.await.unwrap().unwrap().trim().parse().unwrap();
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(left).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
    }

    #[tokio::test]
    async fn lines_are_passed_on_and_other_exit_codes_can_be_expected() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let mut lines = Vec::new();
        let child = sh("echo one; echo two; exit 2").codes(&[0, 2]);
        let exit = child.follow(&task, |line| lines.push(line.to_owned())).await.unwrap();
        exit.check().unwrap();
        assert_eq!((exit.code(), lines), (Some(2), vec!["one".to_owned(), "two".to_owned()]));
    }

    #[tokio::test]
    async fn a_child_is_reported_and_has_no_input_and_its_own_process_group() {
        let dir = tempfile::tempdir().unwrap();
        let (task, mut events) = testing::task(dir.path());
        let group = sh("cat; cut -d' ' -f5 /proc/$$/stat; echo $$").output(&task).await.unwrap();
        let (group, own) = group.trim().split_once('\n').unwrap();
        assert_eq!(group, own);
        let Some(Event::ChildStarted { pid, start, .. }) = events.recv().await else {
            panic!("no child was reported")
        };
        assert!(start > 0);
        assert_eq!(pid.to_string(), own);
        assert_eq!(events.recv().await, Some(Event::ChildEnded { step: task.step.clone(), pid }));
    }

    #[tokio::test]
    async fn a_soft_stop_interrupts_the_child_once() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let soft = task.cancel.soft.clone();
        // A test that a shell started in the background ignores SIGINT, and its children would inherit that.
        // Installing a handler, as a run's owner does, prevents it.
        let _owner = signal(SignalKind::interrupt()).unwrap();
        // A shell runs a trap only when its foreground command ends; a signal just before `wait` would not
        // end `wait`.
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
        assert_eq!(log.matches("asked").count(), 2, "once in the command's own line, once printed: {log}");
    }

    #[tokio::test]
    async fn a_hard_stop_kills_the_whole_process_group() {
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
        let is_dead = || {
            let state = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        while !is_dead() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_child_whose_record_is_not_on_disk_does_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let (events, mut inbox) = Events::channel();
        let task = Task { events, ..task };
        let child = Command::new("/usr/bin/touch").arg(dir.path().join("effect"));
        let run = child.run(&task);
        // The journal cannot be written: the message is received, and its acknowledgement dropped.
        let refuse = async { drop(inbox.recv().await) };
        let (run, ()) = tokio::join!(run, refuse);
        assert!(run.unwrap_err().to_string().contains("failed to write the run's journal"));
        task.ending.close();
        task.ending.wait().await;
        assert!(!dir.path().join("effect").exists());
    }

    #[tokio::test]
    async fn a_child_of_a_step_that_is_dropped_is_interrupted_waited_for_and_recorded_as_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (task, mut events) = testing::task(dir.path());
        let _owner = signal(SignalKind::interrupt()).unwrap();
        let child = sh("trap 'echo saved; exit 1' INT; echo ready; for _ in $(seq 600); do sleep 0.1; done");
        let (started, starts) = tokio::sync::oneshot::channel();
        let mut started = Some(started);
        {
            let run = child.follow(&task, |line| {
                if line == "ready" {
                    started.take().and_then(|started| started.send(()).ok());
                }
            });
            tokio::select! {
                _ = run => panic!("it runs for a minute"),
                _ = starts => {}
            }
        }
        task.ending.close();
        task.ending.wait().await;
        assert!(std::fs::read_to_string(&task.log).unwrap().contains("\nsaved\n"));
        let Some(Event::ChildStarted { pid, .. }) = events.recv().await else {
            panic!("no child was reported")
        };
        assert_eq!(events.recv().await, Some(Event::ChildEnded { step: task.step.clone(), pid }));
    }

    #[tokio::test]
    async fn a_child_that_ignores_the_end_of_its_step_is_killed_after_its_grace() {
        let dir = tempfile::tempdir().unwrap();
        let (task, mut events) = testing::task(dir.path());
        let child = sh("trap '' INT; echo ready; sleep 300").grace(Duration::from_millis(1));
        let (started, starts) = tokio::sync::oneshot::channel();
        let mut started = Some(started);
        {
            let run = child.follow(&task, |line| {
                if line == "ready" {
                    started.take().and_then(|started| started.send(()).ok());
                }
            });
            tokio::select! {
                _ = run => panic!("it runs for minutes"),
                _ = starts => {}
            }
        }
        task.ending.close();
        task.ending.wait().await;
        let Some(Event::ChildStarted { pid, .. }) = events.recv().await else {
            panic!("no child was reported")
        };
        assert_eq!(events.recv().await, Some(Event::ChildEnded { step: task.step.clone(), pid }));
    }

    #[tokio::test]
    async fn a_program_that_is_missing_has_a_fix() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let error = Command::new("no-such-program").run(&task).await.unwrap_err();
        assert!(error.to_string().starts_with("failed to start `no-such-program`"), "{error}");
        assert_eq!(error.hint.unwrap(), "install `no-such-program`, or add its folder to PATH");
    }

    #[tokio::test]
    async fn a_child_that_exceeds_its_deadline_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let (task, _events) = testing::task(dir.path());
        let error = sh("sleep 300 & wait").deadline(Duration::from_millis(50)).run(&task).await.unwrap_err();
        assert_eq!(error.class, Class::Transient);
    }
}
