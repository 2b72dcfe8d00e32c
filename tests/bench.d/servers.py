"""PostgreSQL, a pooler and the payment API as processes of this machine, as they run in production: TLS between all of
them, commits that reach the disk, and the roles and secrets that `payment-api migrate` creates.

All of them end with this process, and their folder is deleted by whoever made it.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

# Seconds after which a server that does not answer has failed.
PATIENCE = 60
AS_POSTGRES = ["setpriv", "--pdeathsig=KILL", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
DATABASE = "payments"
KEY = secrets.token_hex(16)


def programs() -> Path:
    return max(Path("/usr/lib/postgresql").glob("*/bin"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: str, holds: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"bench: {what} does not answer")
        time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Servers:
    """The servers of one benchmark, in a folder that the user `postgres` may enter."""

    def __init__(self, folder: Path, program: Path):
        self.folder, self.program = folder, program
        self.processes: list[subprocess.Popen[bytes]] = []
        self.postgres_port, self.pooler_port = free_port(), free_port()
        self._certificates()
        self._secrets()

    def start(self) -> None:
        self._postgres()
        self._migrate()
        self._pooler()

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()

    def _certificates(self) -> None:
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        # Its own authority, and yet no authority: rustls takes none for a server's certificate.
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"]
        files = ["-keyout", self.folder / "server.key", "-out", self.folder / "server.crt"]
        subprocess.run([*make, *names, *files], check=True, capture_output=True)
        self._give_away(self.folder / "server.key", self.folder / "server.crt", self.folder)

    def _give_away(self, *paths: Path) -> None:
        account = pwd.getpwnam("postgres")
        for path in paths:
            os.chown(path, account.pw_uid, account.pw_gid)

    def _secrets(self) -> None:
        self.passwords = {role: secrets.token_hex(16) for role in ("master", "migrator", "app")}
        for folder, files in {
            "secrets": {"API_SECRET_KEY": KEY, "DB_USERNAME": "app", "DB_PASSWORD": self.passwords["app"]},
            "migrate": {
                f"{role}-{kind}": value
                for role, password in self.passwords.items()
                for kind, value in (("username", role), ("password", password))
            },
        }.items():
            (self.folder / folder).mkdir()
            for name, value in files.items():
                (self.folder / folder / name).write_text(value)

    def _start(self, command: list[str | Path], name: str, environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd="/")
        self.processes.append(process)
        return process

    def _postgres(self) -> None:
        data = self.folder / "data"
        arguments = ["--username=postgres", "--auth-local=trust", "--encoding=UTF8", "--locale=C"]
        subprocess.run([*AS_POSTGRES, programs() / "initdb", "-D", data, *arguments], check=True, capture_output=True, cwd="/")
        # What is not named here is PostgreSQL's default: fsync and synchronous_commit are on.
        settings = {
            "listen_addresses": "'localhost'",
            "port": self.postgres_port,
            "unix_socket_directories": f"'{self.folder}'",
            "ssl": "on",
            "ssl_cert_file": f"'{self.folder}/server.crt'",
            "ssl_key_file": f"'{self.folder}/server.key'",
            "max_connections": 200,
        }
        with open(data / "postgresql.conf", "a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        (data / "pg_hba.conf").write_text("local all all trust\nhostssl all all all scram-sha-256\n")
        process = self._start([*AS_POSTGRES, programs() / "postgres", "-D", data], "postgres")
        ready = [*AS_POSTGRES, programs() / "pg_isready", "-q", "-h", self.folder, "-p", str(self.postgres_port)]
        wait_until("PostgreSQL", lambda: subprocess.run(ready, cwd="/").returncode == 0, process)
        self.sql(f"CREATE ROLE master LOGIN CREATEROLE CREATEDB PASSWORD '{self.passwords['master']}'")
        self.sql(f"CREATE DATABASE {DATABASE} OWNER master")

    def sql(self, statement: str, database: str = "postgres") -> str:
        command = [*AS_POSTGRES, programs() / "psql", "-XAtq", "-h", self.folder, "-p", str(self.postgres_port), "-d", database]
        done = subprocess.run([*command, "-c", statement], check=True, capture_output=True, text=True, cwd="/")
        return done.stdout.strip()

    def _migrate(self) -> None:
        environment = {
            "DATABASE_DIRECT_HOST": "localhost",
            "DATABASE_PORT": str(self.postgres_port),
            "DATABASE_CA_FILE": str(self.folder / "server.crt"),
            "MIGRATE_SECRETS_DIR": str(self.folder / "migrate"),
        }
        subprocess.run([self.program, "migrate"], env=environment, check=True)

    def _pooler(self) -> None:
        text = f"""\
[databases]
{DATABASE} = host={self.folder} port={self.postgres_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.pooler_port}
unix_socket_dir =
pool_mode = transaction
default_pool_size = 32
max_client_conn = 400
auth_type = scram-sha-256
auth_user = postgres
auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1
client_tls_sslmode = require
client_tls_cert_file = {self.folder}/server.crt
client_tls_key_file = {self.folder}/server.key
"""
        settings = self.folder / "pgbouncer.ini"
        settings.write_text(text)
        found = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
        process = self._start([*AS_POSTGRES, str(found), "--quiet", settings], "pgbouncer")
        wait_until("pgbouncer", lambda: listens(self.pooler_port), process)

    def payment_api(self) -> tuple[str, int]:
        """Starts the payment API behind the pooler. Returns its URL and its process id."""
        port, inner = free_port(), free_port()
        environment = {
            "BIND_ADDRESS": "127.0.0.1",
            "PORT": str(port),
            "METRICS_PORT": str(inner),
            "REGION": "eu-south-2",
            "ENVIRONMENT": "production",
            "DATABASE_HOST": "localhost",
            "DATABASE_PORT": str(self.pooler_port),
            "DATABASE_CA_FILE": str(self.folder / "server.crt"),
            # As many as pgbench has.
            "DATABASE_MAX_CONNECTIONS": "32",
            "SECRETS_DIR": str(self.folder / "secrets"),
        }
        command: list[str | Path] = ["setpriv", "--pdeathsig=KILL", "--", self.program, "serve"]
        process = self._start(command, "payment-api", environment)
        url = f"http://127.0.0.1:{port}"
        probe = ["curl", "--silent", "--fail", "--output", "/dev/null", f"{url}/readyz"]
        wait_until("the payment API", lambda: subprocess.run(probe).returncode == 0, process)
        return url, process.pid
