"""The team's Git repository: a bare repository that git daemon serves to the clusters."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import places
import processes
from waiting import Failure

NAME = "payments.git"
URL = f"git://{places.HOST}/{NAME}"


def repository() -> Path:
    """The path that pushes go to. The daemon serves fetches only."""
    return places.state() / "git" / NAME


def git(*words: str, directory: Path, environment: dict[str, str] | None = None, stdin: bytes | None = None) -> bytes:
    """Runs git independent of the caller's configuration."""
    clean = {
        **processes.plain_environment(),
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
    source = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *words],
        cwd=directory,
        env={**clean, **(environment or {})},
        capture_output=True,
        **source,
    )
    if done.returncode:
        raise Failure(f"`git {words[0]}` in `{directory}` failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def create() -> None:
    repository().mkdir(parents=True)
    git("init", "--bare", "--quiet", "--initial-branch=main", directory=repository())


def start() -> None:
    programs = git("--exec-path", directory=places.SANDBOX).decode().strip()
    argv = [
        os.path.join(programs, "git-daemon"),
        *("--reuseaddr", "--export-all", "--informative-errors"),
        *(f"--listen={places.HOST}", f"--port={places.GIT_PORT}", f"--base-path={repository().parent}"),
        str(repository().parent),
    ]
    # Git refuses repositories of another owner unless they are declared safe. git-daemon is started directly, so the
    # setting is passed in the environment, which its children inherit.
    environment = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
    process = processes.spawn("git", argv, environment=environment)
    processes.wait_ready(process, _listens, "git daemon to listen")


def _listens() -> bool:
    try:
        socket.create_connection((places.HOST, places.GIT_PORT), timeout=2).close()
    except OSError:
        return False
    return True
