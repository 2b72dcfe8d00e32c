//! A running child: started, interrupted once, killed when it must be.
//!
//! 1. The child starts in its own process group, so that the terminal's Ctrl-C reaches paydeploy alone and
//!    paydeploy decides what its children receive. It is blocked until its record is on disk (`release`).
//! 2. A soft stop sends the child one SIGINT and then waits without a limit: Terraform needs as long as the
//!    resource that it is creating, and a second SIGINT would make it exit without saving its state.
//! 3. A hard stop sends SIGKILL to the whole group.
//! 4. A command's own deadline does both: SIGINT, the command's grace, SIGKILL. So does the step's deadline, which
//!    drops the step: the child is then waited for beside the run, which ends only after it (`Task::ending`).
//! 5. While the run may not act (`Fence`), no child starts. One that runs gets its SIGINT, and is killed before another run
//!    may act.
//! 6. Another process (`guard`) interrupts the child when paydeploy has died, and does what 5 says if paydeploy is stopped.
//!
//! Every child that was recorded as started is recorded as ended exactly once, when it has ended.
//!
//! The crate `process-wrap` is not used: of process groups, kill on drop and job control it would replace two calls
//! (`process_group`, `kill_process_group`), and it knows neither a blocked start nor a single SIGINT.

use std::{
    fs::File,
    io,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{io::AsyncWriteExt as _, process::Child};
use tokio_util::task::AbortOnDropHandle;

use super::{command::Command, environment, find::is_on_path, guard, process::start_time, release};
use crate::task::{Error, ErrorExt, Event, Place, Result, Task, since_boot};

/// Runs a command to its end with the given standard output and standard error.
///
/// # Errors
/// When it cannot be started or recorded, exceeds its deadline (transient), or the run was cancelled before it
/// started.
pub(super) async fn supervise(command: &Command, task: &Task, out: File, err: File) -> Result<ExitStatus> {
    if task.cancel.soft.is_cancelled() {
        return Err(Error::cancelled());
    }
    task.fence.pass(task.place())?;
    let mut child = Alive::start(command, task, out, err).await?;
    let deadline = async {
        match command.deadline {
            Some(deadline) => tokio::time::sleep(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    let mut shut = None;
    // The branches need no order: whichever is taken first, the child's status is still collected by `wait`.
    let status = loop {
        tokio::select! {
            status = child.process.wait() => break status,
            () = task.cancel.soft.cancelled(), if !child.interrupted => child.interrupt(),
            () = task.cancel.hard.cancelled() => {
                child.kill();
                break child.process.wait().await;
            }
            why = task.fence.shut(task.place()), if shut.is_none() => {
                if !child.interrupted {
                    child.interrupt();
                }
                shut = Some(why);
            }
            () = task.fence.is_over(task.place()) => {
                child.kill();
                break child.process.wait().await;
            }
            () = &mut deadline => {
                child.stop().await;
                let after = command.deadline.unwrap_or_default().as_secs();
                return Err(Error::transient(format!("`{command}` timed out after {after} s")));
            }
        }
    };
    child.ended();
    let status = status.doing(format!("wait for `{command}`"))?;
    // The guard may have interrupted it while this process did not run.
    match shut.or_else(|| task.fence.was_shut(task.place(), child.process.since)) {
        // One that was killed may have left something that still acts: its caller has to see that.
        Some(why) if !status.success() && status.signal() != Some(Signal::KILL.as_raw()) => {
            Err(Error::msg(why.class, format!("`{command}` was interrupted: {why}")))
        }
        _ => Ok(status),
    }
}

/// Starts the helper that becomes the program once it is released.
fn start(command: &Command, out: File, err: File) -> Result<Child> {
    if !is_on_path(&command.program) {
        return Err(not_started(&command.program, io::ErrorKind::NotFound.into()));
    }
    let (helper, first) = release::helper();
    let mut process = tokio::process::Command::new(helper);
    process.args(first).arg(&command.program).args(&command.args);
    process.env_clear().envs(environment::chosen(std::env::vars_os()));
    for (name, value) in &command.env {
        match value {
            Some(value) => process.env(name, value),
            None => process.env_remove(name),
        };
    }
    if let Some(dir) = &command.dir {
        process.current_dir(dir);
    }
    process.stdin(Stdio::piped()).stdout(out).stderr(err).process_group(0);
    process.spawn().map_err(|error| not_started(&command.program, error))
}

fn not_started(program: &Path, error: io::Error) -> Error {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let program = program.display();
    let error = Error::from(anyhow::Error::new(error).context(format!("failed to start `{program}`")));
    if missing { error.with_hint(format!("install `{program}`, or add its folder to PATH")) } else { error }
}

/// A child that runs. When it is dropped before its end (the step's deadline, a forced stop), it is stopped and
/// waited for in the background.
struct Alive<'a> {
    process: Running,
    task: &'a Task,
    interrupted: bool,
}

/// The process itself, which outlives a dropped step.
struct Running {
    /// `None` once it was handed to the background.
    child: Option<Child>,
    pid: Pid,
    start: u64,
    /// When it was started, on the clock of the leases.
    since: Duration,
    grace: Duration,
    /// Tells the guard until when it may run.
    limits: Option<AbortOnDropHandle<()>>,
}

impl Running {
    async fn wait(&mut self) -> io::Result<ExitStatus> {
        match &mut self.child {
            Some(child) => child.wait().await,
            None => std::future::pending().await,
        }
    }

    fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Sends one SIGINT to the child alone: Terraform stops its own plugins in the right order.
    fn interrupt(&self, task: &Task) {
        if task.fence.is_timed_out(task.place(), self.since) && guard::interrupt(self.id(), self.start) {
            return;
        }
        // First, so that paydeploy's death in between costs the child its signal rather than giving it a second.
        guard::interrupted(self.id(), self.start);
        // The error is swallowed because the child may have exited in the meantime.
        kill_process(self.pid, Signal::INT).ok();
    }

    /// Lets the guard end the child if this process cannot.
    fn guard(&mut self, task: &Task) {
        let (pid, start) = (self.id(), self.start);
        guard::watch(pid, start);
        let mut until = task.fence.until(task.place());
        guard::limit(pid, start, until);
        let (fence, region) = (task.fence.clone(), task.step.region.clone());
        let limits = async move {
            loop {
                until = fence.moved(Place::Region(region.as_ref()), until).await;
                guard::limit(pid, start, until);
            }
        };
        self.limits = Some(AbortOnDropHandle::new(tokio::spawn(limits)));
    }

    /// Sends SIGKILL to the child and everything that it started.
    fn kill(&self) {
        // The error is swallowed because the group may be empty by now.
        kill_process_group(self.pid, Signal::KILL).ok();
    }

    /// Gives the interrupted child its grace, but not longer than until another run may act; then kills what remains, and
    /// returns after its end.
    async fn end(&mut self, task: &Task) {
        let grace = self.grace;
        // Which of them comes first does not matter: what follows is right in all cases.
        tokio::select! {
            _ = tokio::time::timeout(grace, self.wait()) => {}
            () = task.fence.is_over(task.place()) => {}
        }
        // The group is killed even when the child has ended, because its own children may still run.
        self.kill();
        drop(self.wait().await);
    }

    fn ended(&self, task: &Task) {
        guard::forget(self.id());
        task.emit(Event::ChildEnded { step: task.step.clone(), pid: self.id() });
    }
}

impl<'a> Alive<'a> {
    /// Starts a child, records it, and releases it.
    async fn start(command: &Command, task: &'a Task, out: File, err: File) -> Result<Self> {
        let mut child = start(command, out, err)?;
        let release = child.stdin.take();
        let id = child.id().ok_or_else(|| Error::transient(format!("`{command}` ended before it ran")))?;
        let pid =
            Pid::from_raw(id.cast_signed()).ok_or_else(|| Error::permanent("a process has the id 0"))?;
        // 0 for a child that was killed before its release.
        let start = start_time(id).unwrap_or_default();
        let (child, since) = (Some(child), since_boot());
        let process = Running { child, pid, start, since, grace: command.grace, limits: None };
        // From here on the child's end is reported, also when the record fails or the step is dropped meanwhile.
        let mut alive = Self { process, task, interrupted: false };
        let (step, text) = (task.step.clone(), command.to_string());
        task.events.record(Event::ChildStarted { step, pid: id, start, command: text }).await?;
        // A cancel may have come, or a lease may have expired, while the record was written.
        let shut = if task.cancel.soft.is_cancelled() {
            Some(Error::cancelled())
        } else {
            task.fence.pass(task.place()).err()
        };
        if let Some(why) = shut {
            drop(release);
            drop(alive.process.wait().await);
            alive.ended();
            return Err(why);
        }
        alive.process.guard(task);
        if let Some(mut release) = release {
            // If the helper was killed meanwhile, its exit status says so.
            release.write_all(b"\n").await.ok();
        }
        Ok(alive)
    }

    fn interrupt(&mut self) {
        self.interrupted = true;
        self.process.interrupt(self.task);
    }

    fn kill(&self) {
        self.process.kill();
    }

    /// Interrupts the child, kills it after its grace, and reports its end.
    async fn stop(&mut self) {
        if !self.interrupted {
            self.interrupt();
        }
        self.process.end(self.task).await;
        self.ended();
    }

    fn ended(&mut self) {
        self.process.child = None;
        self.process.ended(self.task);
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        let Some(child) = self.process.child.take() else { return };
        // Outside of a runtime the process is ending, and the guard interrupts the child.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let limits = self.process.limits.take();
        let mut process = Running { child: Some(child), limits, ..self.process };
        let (task, interrupted) = (self.task.clone(), self.interrupted);
        self.task.ending.spawn_on(
            async move {
                let hard = task.cancel.hard.clone();
                if !interrupted && !hard.is_cancelled() {
                    process.interrupt(&task);
                }
                let killed = {
                    let end = process.end(&task);
                    tokio::select! {
                        () = end => false,
                        () = hard.cancelled() => true,
                    }
                };
                if killed {
                    process.kill();
                    drop(process.wait().await);
                }
                process.ended(&task);
            },
            &runtime,
        );
    }
}
