"""A region's database server: PostgreSQL configured like RDS, and pgbouncer in the place of RDS Proxy.

This module starts an empty server. `aws/database.py` creates roles and databases in it when the RDS API asks for them.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import ca
import places
import processes
from waiting import Failure

USER = "postgres"
SERVER = """
listen_addresses = '{address}'
port = {port}
unix_socket_directories = '{run}'
max_connections = 80
shared_buffers = 32MB
password_encryption = 'scram-sha-256'
ssl = on
ssl_cert_file = '{certificate}'
ssl_key_file = '{key}'
ssl_min_protocol_version = 'TLSv1.2'
# Durability is not needed: the data never outlives the sandbox.
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
"""
# Administrators connect over the Unix socket only, all other roles over TLS, as with rds.force_ssl.
ACCESS = """
local all postgres peer
local all all scram-sha-256
host all postgres,rdsadmin all reject
hostnossl all all all reject
hostssl all all all scram-sha-256
"""
# pgbouncer 1.18 does not support prepared statements in transaction mode (max_prepared_statements came with 1.21). Clients
# must avoid them, as they must with RDS Proxy, where prepared statements pin the session to one connection.
PROXY = """
[pgbouncer]
listen_addr = {address}
listen_port = {port}
unix_socket_dir =
pidfile = {home}/pgbouncer.pid
pool_mode = transaction
default_pool_size = 20
max_client_conn = 400
query_wait_timeout = 120
auth_type = scram-sha-256
auth_file = {home}/userlist.txt
auth_query = SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1 AND NOT usesuper
ignore_startup_parameters = extra_float_digits, options
client_tls_sslmode = require
client_tls_cert_file = {certificate}
client_tls_key_file = {key}
client_tls_protocols = secure
%include {home}/databases.ini
"""


def home(region: places.Region) -> Path:
    return places.state() / "postgres" / region.name


def _programs() -> Path:
    """The folder of the newest server's programs, which Debian keeps outside PATH, one folder per version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if not found:
        raise Failure("the PostgreSQL server is not installed; fix: apt-get install postgresql-15")
    return found[-1].parent


def _own(path: Path, mode: int) -> None:
    shutil.chown(path, USER, USER)
    path.chmod(mode)


def initialize(region: places.Region) -> None:
    """Creates an empty server and writes its certificate, configuration and access rules. Starts nothing."""
    folder = home(region)
    (folder / "run").mkdir(parents=True)
    for path in (folder, folder / "run"):
        _own(path, 0o700)
    argv = [
        str(_programs() / "initdb"),
        "-D",
        str(folder / "data"),
        "-U",
        USER,
        "-A",
        "peer",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
        "--no-instructions",
    ]
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        cwd="/",
        env=processes.plain_environment(),
        user=USER,
        group=USER,
        extra_groups=[],
    )
    if done.returncode:
        raise Failure(f"initdb of {region.name} failed: {done.stderr.strip()[-500:]}")
    domain = f"{places.rds_suffix(region.aws)}.{region.aws}.rds.amazonaws.com"
    certificate, key = ca.server(folder / "server", f"rds.{region.aws}", (f"*.{domain}", f"*.proxy-{domain}"), USER)
    values = {"port": places.POSTGRES_PORT, "certificate": certificate, "key": key, "home": folder}
    with (folder / "data" / "postgresql.conf").open("a") as out:
        out.write(SERVER.format(address=region.host, run=folder / "run", **values))
    (folder / "data" / "pg_hba.conf").write_text(ACCESS)
    (folder / "pgbouncer.ini").write_text(PROXY.format(address=region.proxy, **values))
    (folder / "databases.ini").write_text("[databases]\n")
    for name in ("pgbouncer.ini", "databases.ini"):
        _own(folder / name, 0o600)


def start(region: places.Region) -> None:
    """Starts PostgreSQL and pgbouncer. pgbouncer serves no database until an RDS Proxy gets a target."""
    folder = home(region)
    server = processes.spawn(
        f"postgres-{region.name}",
        [str(_programs() / "postgres"), "-D", str(folder / "data")],
        user=USER,
        # Immediate shutdown: SIGTERM would wait for clients, and there is nothing to save.
        stop_signal=signal.SIGQUIT,
    )
    socket_file = folder / "run" / f".s.PGSQL.{places.POSTGRES_PORT}"
    processes.wait_ready(
        server,
        lambda: _connects(socket.AF_UNIX, str(socket_file)) and _accepts(region),
        f"PostgreSQL of {region.name} to accept connections",
    )
    password = secrets.token_hex(24)
    _sql(region, f"CREATE ROLE rdsadmin LOGIN SUPERUSER PASSWORD '{password}';")
    users = folder / "userlist.txt"
    users.touch(0o600)
    users.write_text(f'"rdsadmin" "{password}"\n')
    _own(users, 0o600)
    proxy = processes.spawn(f"pgbouncer-{region.name}", ["pgbouncer", "-q", str(folder / "pgbouncer.ini")], user=USER)
    processes.wait_ready(
        proxy,
        lambda: _connects(socket.AF_INET, (region.proxy, places.POSTGRES_PORT)),
        f"pgbouncer of {region.name} to listen",
    )


def _connects(family: int, address) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(address)
        except OSError:
            return False
    return True


def _accepts(region: places.Region) -> bool:
    argv = [str(_programs() / "pg_isready"), "-q", "-h", str(home(region) / "run"), "-p", str(places.POSTGRES_PORT)]
    return (
        subprocess.run(argv, stdin=subprocess.DEVNULL, user=USER, group=USER, extra_groups=[], cwd="/").returncode == 0
    )


def _sql(region: places.Region, statement: str) -> None:
    """Runs a statement, passed on stdin because it may contain a password and arguments are visible to all users."""
    argv = [
        str(_programs() / "psql"),
        "-h",
        str(home(region) / "run"),
        "-p",
        str(places.POSTGRES_PORT),
        "-U",
        USER,
        "-d",
        "postgres",
        "-Xq",
        "-v",
        "ON_ERROR_STOP=1",
    ]
    done = subprocess.run(
        argv,
        input=statement,
        text=True,
        capture_output=True,
        user=USER,
        group=USER,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
    )
    if done.returncode:
        raise Failure(f"PostgreSQL of {region.name}: {done.stderr.strip().splitlines()[0]}")
