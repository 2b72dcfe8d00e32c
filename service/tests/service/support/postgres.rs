//! One PostgreSQL for the whole test binary, in its own folder. Deleted however the binary ends.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;

use super::{certificates, eventually, free_port};

const MISSING: &str =
    "PostgreSQL's server is not installed: `apt-get install postgresql-15`, or put pg_config on PATH";

/// Runs "$@" until standard input is closed, when the test binary ends. Then stops it and deletes "$0".
const SUPERVISOR: &str = r#"
"$@" & server=$!
read -r _
kill -INT "$server"
wait "$server"
rm -rf "$0"
"#;

pub struct Postgres {
    pub folder: PathBuf,
    pub port: u16,
    programs: PathBuf,
    /// Keeps the supervisor's standard input open until this process ends.
    _supervisor: Child,
}

/// A psql session that stays open and can hold locks.
pub struct Session {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Postgres {
    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Postgres> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    fn start() -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new().prefix("payment-api-test-").tempdir().unwrap().keep();
        certificates::write(&folder);
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(folder.join(certificates::KEY), PermissionsExt::from_mode(0o600)).unwrap();
        give_away(&folder);

        let data = folder.join("data");
        run(as_server_user(programs.join("initdb")).arg("-D").arg(&data).args([
            "--username=postgres",
            "--auth-local=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]));
        let port = free_port();
        let place = folder.display();
        let settings = format!(
            "listen_addresses = 'localhost'\nport = {port}\nunix_socket_directories = '{place}'\n\
             ssl = on\nssl_cert_file = '{place}/server.crt'\nssl_key_file = '{place}/server.key'\n\
             max_connections = 300\nfsync = off\nlog_statement = all\n"
        );
        append(&data.join("postgresql.conf"), &settings);
        // TLS is required, as on RDS with rds.force_ssl.
        std::fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all all scram-sha-256\n")
            .unwrap();

        let log = std::fs::File::create(folder.join("server.log")).unwrap();
        let server = as_server_user(programs.join("postgres"));
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR])
            .arg(&folder)
            .arg(server.get_program())
            .args(server.get_args())
            .arg("-D")
            .arg(&data)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self { folder, port, programs, _supervisor: supervisor };
        eventually("PostgreSQL answers (see server.log in its folder)", || {
            server.try_sql("postgres", "SELECT 1").status.success().then_some(())
        });
        server
    }

    /// Runs `sql` as the superuser and returns its rows, `|` between columns.
    #[track_caller]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.try_sql(database, sql);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn try_sql(&self, database: &str, sql: &str) -> Output {
        self.psql(database).args(["-c", sql]).output().unwrap()
    }

    /// Runs `sql` as `user` over TLS. Returns the output or the error.
    pub fn sql_as(&self, user: &str, password: &str, database: &str, sql: &str) -> Result<String, String> {
        let output = Command::new(self.client())
            .env("PGPASSWORD", password)
            .env("PGSSLROOTCERT", self.folder.join(certificates::AUTHORITY))
            .env("PGSSLMODE", "verify-full")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "localhost", "-U", user, "-d", database])
            .args(["-p", &self.port.to_string(), "-c", sql])
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    pub fn session(&self, database: &str) -> Session {
        let mut process = self.psql(database).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take(), process.stdout.take().unwrap());
        Session { process, input, output: BufReader::new(output) }
    }

    /// The server's log, which includes all statements.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("server.log")).unwrap()).into_owned()
    }

    /// The server's own psql, or the one on PATH.
    fn client(&self) -> PathBuf {
        Some(self.programs.join("psql")).filter(|program| program.exists()).unwrap_or_else(|| "psql".into())
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(self.client());
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database]);
        psql.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string()]);
        psql
    }
}

impl Session {
    /// Runs `sql` and returns once it is done.
    pub fn run(&mut self, sql: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{sql};\n\\echo done").unwrap();
        let mut line = String::new();
        while line.trim_end() != "done" {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "psql ended in {sql}");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.input.take());
        self.process.wait().unwrap();
    }
}

/// `program`, killed with its parent. Under root it runs as `postgres`: PostgreSQL does not run as root.
pub fn as_server_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}

/// Makes the server's user the owner of `folder` and the files in it.
pub fn give_away(folder: &Path) {
    if !is_root() {
        return;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let account = accounts.lines().find(|line| line.starts_with("postgres:")).expect(MISSING);
    let ids: Vec<u32> = account.split(':').skip(2).take(2).map(|id| id.parse().unwrap()).collect();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        chown(path, Some(ids[0]), Some(ids[1])).unwrap();
    }
    chown(folder, Some(ids[0]), Some(ids[1])).unwrap();
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The folder named by POSTGRES_BIN, else Debian's folder of the newest version, else that of pg_config.
fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("POSTGRES_BIN") {
        return folder.into();
    }
    let has_server = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).filter(has_server).max();
    newest
        .or_else(|| {
            let output = Command::new("pg_config").arg("--bindir").output().ok()?;
            Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim())).filter(has_server)
        })
        .expect(MISSING)
}

fn run(command: &mut Command) {
    let output = command.current_dir("/").output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
