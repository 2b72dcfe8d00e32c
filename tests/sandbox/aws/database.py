"""What RDS does inside the database server: roles and databases in the region's PostgreSQL, over its socket as superuser."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import places

from .settings import current

# Roles that belong to the server. All others belong to the RDS instance and are dropped with it.
OWN_ROLES = ("postgres", "rdsadmin")


def _home(region: places.Region) -> Path:
    assert current.state
    return current.state / "postgres" / region.name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _run(region: places.Region, script: str, database: str = "postgres") -> str:
    """Runs SQL and returns its output. SQL is passed on stdin, because it may contain a password."""
    done = subprocess.run(
        [
            "psql",
            "-h",
            str(_home(region) / "run"),
            "-U",
            "postgres",
            "-d",
            database,
            "-XqAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-f",
            "-",
        ],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        user="postgres",
        group="postgres",
        extra_groups=[],
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": "/"},
    )
    if done.returncode:
        # Some messages of psql repeat the statement, which may contain a password. The first line never does.
        first = done.stderr.strip().splitlines()[:1]
        raise RuntimeError(f"PostgreSQL of {region.name}: {first[0] if first else done.returncode}")
    return done.stdout


def open_instance(region: places.Region, *, user: str, password: str, database: str | None) -> None:
    """Creates the master user, with the rights that RDS gives it (not a superuser), and the first database."""
    role = _quoted(user)
    _run(
        region,
        f"SET password_encryption = 'scram-sha-256'; CREATE ROLE {role} LOGIN CREATEROLE CREATEDB PASSWORD {_literal(password)};"
        f" GRANT pg_monitor, pg_signal_backend TO {role} WITH ADMIN OPTION;",
    )
    if database:
        _run(region, f"CREATE DATABASE {_quoted(database)} OWNER {role};")


def set_password(region: places.Region, user: str, password: str) -> None:
    _run(
        region, f"SET password_encryption = 'scram-sha-256'; ALTER ROLE {_quoted(user)} PASSWORD {_literal(password)};"
    )


def close_instance(region: places.Region) -> None:
    """Drops everything that belongs to the instance, including roles that its users created."""
    databases = _run(
        region, "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres';"
    ).split()
    for database in databases:
        _run(region, f"DROP DATABASE {_quoted(database)} WITH (FORCE);")
    own = ", ".join(_literal(role) for role in OWN_ROLES)
    roles = _run(
        region, f"SELECT rolname FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' AND rolname NOT IN ({own});"
    ).splitlines()
    for role in roles:
        _run(region, f"DROP OWNED BY {_quoted(role)} CASCADE; DROP ROLE {_quoted(role)};")


def open_proxy(region: places.Region) -> None:
    """Lets pgbouncer forward connections to the instance's databases."""
    # Only names that need no quoting in pgbouncer's configuration.
    names = _run(
        region, "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname ~ '^[A-Za-z0-9_-]+$';"
    ).splitlines()
    server = f"host={_home(region) / 'run'} port={places.POSTGRES_PORT} auth_user=rdsadmin"
    _databases(region, "".join(f"{name} = {server}\n" for name in names))


def close_proxy(region: places.Region) -> None:
    _databases(region, "")


def _databases(region: places.Region, lines: str) -> None:
    home = _home(region)
    (home / "databases.ini").write_text(f"[databases]\n{lines}")
    # pgbouncer reloads its configuration on SIGHUP.
    os.kill(int((home / "pgbouncer.pid").read_text()), signal.SIGHUP)
