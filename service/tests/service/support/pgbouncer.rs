//! pgbouncer in transaction mode, which resembles RDS Proxy: TLS on both sides, the database's passwords.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::postgres::{as_server_user, give_away};
use super::{World, certificates, eventually, free_port};

pub struct Pgbouncer {
    pub port: u16,
    process: Child,
    folder: TempDir,
}

impl Pgbouncer {
    /// Use a `pool_size` below the number of clients, so that several clients share a connection.
    pub fn start(world: &World, pool_size: u32) -> Self {
        Self::start_at(world, pool_size, free_port())
    }

    pub fn start_at(world: &World, pool_size: u32, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in [certificates::AUTHORITY, certificates::CERTIFICATE, certificates::KEY] {
            std::fs::copy(world.server.folder.join(file), folder.path().join(file)).unwrap();
        }
        let place = folder.path().display();
        let settings = format!(
            "[databases]\n{database} = host={server} port={server_port}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir = {place}\n\
             pool_mode = transaction\ndefault_pool_size = {pool_size}\nmax_client_conn = 200\n\
             auth_type = scram-sha-256\nauth_user = postgres\n\
             auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1\n\
             client_tls_sslmode = require\nclient_tls_cert_file = {place}/server.crt\n\
             client_tls_key_file = {place}/server.key\nlogfile = {place}/log\n",
            database = world.database,
            server = world.server.folder.display(),
            server_port = world.server.port,
        );
        std::fs::write(folder.path().join("pgbouncer.ini"), settings).unwrap();
        give_away(folder.path());
        let process = as_server_user(program())
            .arg("--quiet")
            .arg(folder.path().join("pgbouncer.ini"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pgbouncer = Self { port, process, folder };
        eventually("pgbouncer listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        pgbouncer
    }

    /// How many transactions and how many queries it has passed on. Its administrator is whoever runs it.
    pub fn counts(&self) -> (u64, u64) {
        let output = as_server_user("psql")
            .args(["-XAtq", "-U", "pgbouncer", "-d", "pgbouncer", "-c", "SHOW STATS_TOTALS"])
            .arg("-h")
            .arg(self.folder.path())
            .args(["-p", &self.port.to_string()])
            .current_dir("/")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        // The first line is that of the administration itself.
        let lines = text.lines().filter(|line| !line.starts_with("pgbouncer|"));
        let numbers = |line: &str| -> Vec<u64> {
            line.split('|').skip(1).take(2).map(|count| count.parse().unwrap()).collect()
        };
        let counts: Vec<_> = lines.map(numbers).collect();
        let [ref counts] = counts[..] else { panic!("{text}") };
        (counts[0], counts[1])
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Pgbouncer {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn program() -> PathBuf {
    let found = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"]
        .into_iter()
        .find(|path| Command::new(path).arg("--version").output().is_ok());
    found.expect("pgbouncer is not installed: `apt-get install pgbouncer`").into()
}
