//! The binary under test as a process: ports, signals, log.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::{eventually, get};

/// A running `payment-api serve`.
pub struct Service {
    process: Child,
    log: PathBuf,
    pub port: u16,
    pub metrics_port: u16,
    /// How many connections it keeps open for payments.
    warm: usize,
}

/// A process that has ended: its exit code and its log lines.
pub struct Ended {
    pub code: Option<i32>,
    pub log: Vec<Value>,
}

/// The binary with only `variables` in its environment. Killed when the thread that starts it ends.
pub fn command(subcommand: &str, variables: &[(String, String)]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig=KILL", "--", env!("CARGO_BIN_EXE_payment-api"), subcommand]);
    command.env_clear().envs(variables.iter().cloned()).stdin(Stdio::null());
    // `setpriv` itself is found through PATH.
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command
}

/// Runs the binary to its end.
pub fn run(subcommand: &str, variables: &[(String, String)]) -> Ended {
    let output = command(subcommand, variables).output().unwrap();
    Ended { code: output.status.code(), log: parse(&String::from_utf8(output.stderr).unwrap()) }
}

impl Ended {
    pub fn messages(&self) -> Vec<&str> {
        messages(&self.log)
    }

    /// Whether any message contains `text`.
    pub fn logged(&self, text: &str) -> bool {
        self.messages().iter().any(|message| message.contains(text))
    }
}

impl Service {
    /// Starts the binary and waits until it listens.
    pub fn start(variables: &[(String, String)], log: PathBuf) -> Self {
        let file = std::fs::File::create(&log).unwrap();
        let process = command("serve", variables).stderr(file).spawn().unwrap();
        let mut service = Self { process, log, port: 0, metrics_port: 0, warm: 4 };
        service.port = service.port_after("✅ Server listening on :");
        let value =
            |name: &str| variables.iter().find(|(variable, _)| variable == name).map(|(_, value)| value);
        let one_port = value("PORT") != Some(&"0".to_owned()) && value("PORT") == value("METRICS_PORT");
        let most = value("DATABASE_MAX_CONNECTIONS").and_then(|most| most.parse().ok());
        service.warm = service.warm.min(most.unwrap_or(usize::MAX));
        service.metrics_port = if one_port { service.port } else { service.port_after("   Metrics: :") };
        service
    }

    /// Waits until `/readyz` passes.
    pub fn ready(self) -> Self {
        eventually("the service is ready", || (get(self.port, "/readyz").status == 200).then_some(()));
        self
    }

    /// Waits until all connections that it keeps open are. Whoever changes what a login gets, and then ends all sessions,
    /// would miss one that is logging in.
    pub fn wait_until_warm(&self) {
        let idle = format!("database_connections{{state=\"idle\"}} {}\n", self.warm);
        eventually("connections are open", || self.metrics().contains(&idle).then_some(()));
    }

    pub fn log(&self) -> Vec<Value> {
        parse(&self.log_text())
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits for a line whose message contains `text`.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) -> Value {
        eventually(&format!("the log contains {text:?}"), || {
            let is_it = |line: &Value| line["message"].as_str().is_some_and(|message| message.contains(text));
            self.log().into_iter().find(is_it)
        })
    }

    pub fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").arg(format!("-{signal}")).arg(self.process.id().to_string()).status();
        assert!(status.unwrap().success());
    }

    /// Waits until the process ends.
    pub fn end(mut self) -> Ended {
        let status = eventually("the service ends", || self.process.try_wait().unwrap());
        Ended { code: status.code(), log: self.log() }
    }

    /// Its metrics as text.
    pub fn metrics(&self) -> String {
        get(self.metrics_port, "/metrics").body
    }

    fn port_after(&mut self, prefix: &str) -> u16 {
        eventually(&format!("the log contains {prefix:?}"), || {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "the service ended: {}", self.log_text());
            let log = self.log();
            messages(&log).iter().find_map(|message| message.strip_prefix(prefix)?.parse().ok())
        })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The process may have ended already.
        self.process.kill().ok();
        self.process.wait().unwrap();
    }
}

pub fn messages(log: &[Value]) -> Vec<&str> {
    log.iter().filter_map(|line| line["message"].as_str()).collect()
}

/// Every complete line must be JSON. The last line may be incomplete while it is being written.
fn parse(log: &str) -> Vec<Value> {
    let complete = log.rfind('\n').map_or("", |end| &log[..end]);
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
    complete.lines().map(parse).collect()
}
