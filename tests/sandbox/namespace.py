"""The outside of a supervisor: making one, starting and stopping programs in its namespaces, ending it with all it holds.

The socket is the only record. Who listens there is asked from the kernel, so no process number is ever stored, and none
can be mistaken for another process that got the same number later.
"""
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import places
from waiting import Failure, wait_until

SUPERVISOR = Path(__file__).with_name("supervisor.py")
# the kernel's limit for the path of a Unix socket, less the final zero
LONGEST_SOCKET_PATH = 107


class Namespace:
    """The namespaces whose supervisor listens on `path`, if one does."""

    def __init__(self, path: Path):
        self.path = path

    def create(self, log: Path, *, inside: "Namespace | None" = None, hide=(), sysctls=()) -> None:
        """Starts the supervisor; with `inside`, as a child of that one, so that it ends with it."""
        if len(os.fsencode(self.path)) > LONGEST_SOCKET_PATH:
            raise Failure(f"`{self.path}` is too long for a Unix socket: set PAYDEPLOY_SANDBOX to a shorter path")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        argv = [sys.executable, "-I", "-S", str(SUPERVISOR), str(self.path), str(log)]
        argv += [f"--hide={path}" for path in hide]
        argv += [f"--keep={path}" for path in (places.state(), places.tools()) if path.exists()]
        argv += [f"--sysctl={setting}" for setting in sysctls]
        if inside is None:
            made = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment())
            if made.returncode != 0:
                raise Failure(f"cannot make the namespaces of `{self.path.parent}`: {made.stderr.strip()}")
        else:
            inside.start("making " + self.path.parent.name, argv, log)
            inside.finish("making " + self.path.parent.name, log, 20)

    def pid(self) -> int | None:
        """The supervisor's process number on the host."""
        try:
            with self._connect() as connection:
                return peer(connection)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def start(self, name: str, argv: list, log: Path, directory: Path | None = None) -> None:
        self._request({"start": name, "argv": [str(word) for word in argv], "log": str(log),
                       "directory": str(directory or self.path.parent), "environment": environment()})

    def programs(self) -> dict[str, int | None]:
        """Every program started here: its exit status, or None while it runs."""
        return self._request({"list": True})["programs"]

    def running(self, name: str) -> bool:
        programs = self.programs()
        return name in programs and programs[name] is None

    def finish(self, name: str, log: Path, seconds: float) -> None:
        """Waits for the end of a program that is to end with success."""
        wait_until(lambda: not self.running(name), f"`{name}` to end (log: {log})", seconds)
        if status := self.programs()[name]:
            raise Failure(f"`{name}` failed with status {status}: {last_lines(log)}")

    def kill_programs(self, *names: str) -> None:
        for name in names:
            self._request({"signal": name, "number": int(signal.SIGKILL)})
        for name in names:
            wait_until(lambda: not self.running(name), f"`{name}` to die", 10)

    def command(self, *argv: str) -> list[str]:
        """The command that runs another in the network namespace alone, with the host's files and processes.

        Not `ip netns exec`, which would mount /sys anew, for that command, without control groups.
        """
        pid = self.pid()
        if pid is None:
            raise Failure(f"nothing runs behind `{self.path}`: start the sandbox again")
        return ["nsenter", "--target", str(pid), "--net", *argv]

    def run(self, *argv: str) -> str:
        return run(*self.command(*argv))

    def kill(self, seconds: float = 20) -> None:
        """Ends the supervisor and thereby everything in its namespaces; returns when the last process is gone."""
        process = self._process()
        if process is not None:
            try:
                signal.pidfd_send_signal(process, signal.SIGKILL)
                ended, _, _ = select.select([process], [], [], seconds)
            except ProcessLookupError:
                ended = [process]
            finally:
                os.close(process)
            if not ended:
                raise Failure(f"the processes behind `{self.path}` did not end within {seconds:g} s")
        self.path.unlink(missing_ok=True)

    def _process(self) -> int | None:
        """A descriptor of the supervisor, which stays that process's even if its number is given to another."""
        try:
            with self._connect() as connection:
                return os.pidfd_open(peer(connection))
        except (FileNotFoundError, ConnectionRefusedError, ProcessLookupError):
            return self._lost_process()

    def _lost_process(self) -> int | None:
        """The same for a supervisor whose socket was deleted: somebody removed the state folder under a running sandbox."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                process = os.pidfd_open(int(entry.name))
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(self.path) in words and os.fsencode(SUPERVISOR) in words:
                return process
            os.close(process)
        return None

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(20)
        try:
            connection.connect(str(self.path))
        except BaseException:
            connection.close()
            raise
        return connection

    def _request(self, message: dict) -> dict:
        try:
            with self._connect() as connection:
                connection.sendall(json.dumps(message).encode() + b"\n")
                reply = json.loads(connection.makefile().readline() or "{}")
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise Failure(f"nothing runs behind `{self.path}`: start the sandbox again") from error
        if problem := reply.get("error"):
            raise Failure(problem)
        return reply


def peer(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[0]


def environment() -> dict[str, str]:
    """What a program gets: no variable of the caller's, so no credentials and no proxy of theirs either."""
    path = f"{places.tools() / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": str(places.state()), "LANG": "C.UTF-8"}


def run(*argv: str, given: str | None = None, seconds: float = 60) -> str:
    """Runs a command to its end and returns its output; a failure carries the command and what it said."""
    try:
        done = subprocess.run(argv, input=given, stdin=None if given is not None else subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=seconds, env=environment())
    except FileNotFoundError as error:
        raise Failure(f"`{argv[0]}` is not installed: run tests/setup") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"`{' '.join(argv)}` did not end within {seconds:g} s") from error
    if done.returncode != 0:
        raise Failure(f"`{' '.join(argv)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def last_lines(log: Path, count: int = 5) -> str:
    try:
        return " | ".join(log.read_text(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return "it left no log"
