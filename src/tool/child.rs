//! A running child: started, interrupted once, killed when it must be.
//!
//! 1. The child starts in its own process group, so that the terminal's Ctrl-C reaches paydeploy alone and
//!    paydeploy decides what its children receive.
//! 2. A soft stop sends the child one SIGINT and then waits without a limit: Terraform needs as long as the
//!    resource that it is creating, and a second SIGINT would make it exit without saving its state.
//! 3. A hard stop sends SIGKILL to the whole group.
//! 4. A command's own deadline does both: SIGINT, [`GRACE`], SIGKILL.
//!
//! Every child that was started is reported as ended exactly once, except one that is only interrupted when
//! its step is dropped: it may outlive paydeploy, and the journal must then name it as running so that the
//! next run waits for it.

use std::{
    fs::File,
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::{command::Command, environment, process::start_time};
use crate::task::{Error, ErrorExt, Event, Result, Task};

/// From the SIGINT after a command's deadline to the SIGKILL. Terraform and Helm release their locks within
/// seconds; a process that needs longer hangs, and every second more delays the retry.
const GRACE: Duration = Duration::from_secs(20);

/// Runs a command to its end with the given standard output and standard error.
///
/// # Errors
/// When it cannot be started, exceeds its deadline (transient), or the run was cancelled before it started.
pub(super) async fn supervise(command: &Command, task: &Task, out: File, err: File) -> Result<ExitStatus> {
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
    let mut interrupted = false;
    // The branches need no order: whichever is taken first, the child's status is still collected by `wait`.
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            () = task.cancel.soft.cancelled(), if !interrupted => {
                interrupted = true;
                alive.interrupt();
            }
            () = task.cancel.hard.cancelled() => {
                alive.kill();
                break child.wait().await;
            }
            () = &mut deadline => {
                alive.interrupt();
                // Whether it ended in time does not matter: what follows is right in both cases.
                drop(tokio::time::timeout(GRACE, child.wait()).await);
                // The group is killed even when the child has ended, because its own children may still run.
                alive.kill();
                drop(child.wait().await);
                alive.ended();
                let after = command.deadline.unwrap_or_default().as_secs();
                return Err(Error::transient(format!("`{command}` timed out after {after} s")));
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
    // Without standard input a tool that asks a question fails immediately instead of waiting for an answer.
    process.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    process.spawn().map_err(|error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let program = command.program.display();
        let error = Error::from(anyhow::Error::new(error).context(format!("failed to start `{program}`")));
        if missing {
            error.with_hint(format!("install `{program}`, or add its folder to PATH"))
        } else {
            error
        }
    })
}

/// A running child. When it is dropped before its end (the step's deadline, a forced stop), the child is not
/// left alone: a forced stop kills its group, everything else interrupts it, because a killed Terraform
/// leaves its lock.
struct Alive<'a> {
    /// `None` once the end has been reported.
    pid: Option<Pid>,
    task: &'a Task,
}

impl<'a> Alive<'a> {
    /// Reports the start. The id is known only after the spawn: a paydeploy that is killed in between leaves
    /// a child that the journal does not name.
    fn new(child: &tokio::process::Child, command: &Command, task: &'a Task) -> Self {
        let id = child.id().expect("a child that has not been waited for has an id");
        let pid = Pid::from_raw(id.cast_signed());
        // Even a child that has already exited keeps its entry in /proc until it is waited for.
        let start = start_time(id).unwrap_or_default();
        let (step, command) = (task.step.clone(), command.to_string());
        task.emit(Event::ChildStarted { step, pid: id, start, command });
        Self { pid, task }
    }

    /// Sends one SIGINT to the child alone: Terraform stops its own plugins in the right order.
    fn interrupt(&self) {
        if let Some(pid) = self.pid {
            // The error is swallowed because the child may have exited in the meantime.
            kill_process(pid, Signal::INT).ok();
        }
    }

    /// Sends SIGKILL to the child and everything that it started.
    fn kill(&self) {
        if let Some(pid) = self.pid {
            // The error is swallowed because the group may be empty by now.
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
