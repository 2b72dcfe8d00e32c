"""The client side of `supervisor.py`: create namespaces, start and stop programs in them, and remove them as a whole.

The socket is the only record. The kernel tells which process listens on it (SO_PEERCRED), so no process id is ever stored,
and none can be mistaken for another process that received the same id later.
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
# Bytes: the kernel's limit of 108 for the path of a Unix socket, less the final zero.
LONGEST_SOCKET_PATH = 107


class Namespace:
    """The namespaces whose supervisor listens on `path`, if one does."""

    def __init__(self, path: Path):
        self.path = path

    def create(self, log: Path, *, inside: "Namespace | None" = None, hide=(), sysctls=()) -> None:
        """Starts the supervisor. With `inside`, it starts in that namespace's PID namespace and ends together with it."""
        if len(os.fsencode(self.path)) > LONGEST_SOCKET_PATH:
            raise Failure(f"`{self.path}` is too long for a Unix socket; fix: set PAYDEPLOY_SANDBOX to a shorter path")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        argv = [sys.executable, "-I", "-S", str(SUPERVISOR), str(self.path), str(log)]
        argv += [f"--hide={path}" for path in hide]
        argv += [f"--keep={path}" for path in (places.state(), places.tools()) if path.exists()]
        argv += [f"--sysctl={setting}" for setting in sysctls]
        if inside is None:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment())
            if done.returncode != 0:
                raise Failure(f"failed to create the namespaces of `{self.path.parent}`: {done.stderr.strip()}")
        else:
            inside.start("create " + self.path.parent.name, argv, log)
            inside.finish("create " + self.path.parent.name, log, 20)

    def pid(self) -> int | None:
        """The supervisor's process id on the host, or None if none is running."""
        try:
            with self._connect() as connection:
                return peer(connection)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def start(self, name: str, argv: list, log: Path, directory: Path | None = None) -> None:
        self._request({"start": name, "argv": [str(word) for word in argv], "log": str(log),
                       "directory": str(directory or self.path.parent), "environment": environment()})

    def programs(self) -> dict[str, int | None]:
        """Every program started here, with its exit status, or None while it is running."""
        return self._request({"list": True})["programs"]

    def running(self, name: str) -> bool:
        programs = self.programs()
        return name in programs and programs[name] is None

    def finish(self, name: str, log: Path, seconds: float) -> None:
        """Waits until a program has ended. Raises Failure unless it succeeded."""
        wait_until(lambda: not self.running(name), f"`{name}` to end (log: {log})", seconds)
        if status := self.programs()[name]:
            raise Failure(f"`{name}` failed with status {status}: {last_lines(log)}")

    def kill_programs(self, *names: str) -> None:
        for name in names:
            self._request({"signal": name, "number": int(signal.SIGKILL)})
        for name in names:
            wait_until(lambda: not self.running(name), f"`{name}` to die", 10)

    def command(self, *argv: str) -> list[str]:
        """The command line that runs `argv` in the network namespace only, with the host's files and processes.

        `ip netns exec` is not used, because it remounts /sys for the command, without the cgroup hierarchy.
        """
        pid = self.pid()
        if pid is None:
            raise self._no_supervisor()
        return ["nsenter", "--target", str(pid), "--net", *argv]

    def run(self, *argv: str) -> str:
        return run(*self.command(*argv))

    def kill(self, seconds: float = 20) -> None:
        """Kills the supervisor and thereby everything in its namespaces. Returns when the last process has ended."""
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
                raise Failure(f"the processes in the namespaces of `{self.path.parent}` did not end within {seconds:g} s")
        self.path.unlink(missing_ok=True)

    def _process(self) -> int | None:
        """A pidfd of the supervisor, which stays valid for that process even if its process id is reused."""
        try:
            with self._connect() as connection:
                return os.pidfd_open(peer(connection))
        except (FileNotFoundError, ConnectionRefusedError, ProcessLookupError):
            return self._lost_process()

    def _lost_process(self) -> int | None:
        """The same for a supervisor without a socket: the state folder was deleted while the sandbox was running."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                process = os.pidfd_open(int(entry.name))
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                # The process ended between the listing and this line.
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
            raise self._no_supervisor() from error
        if problem := reply.get("error"):
            raise Failure(problem)
        return reply

    def _no_supervisor(self) -> Failure:
        return Failure(f"no process is running in the namespaces of `{self.path.parent}`; fix: run `sandbox up` again")


def peer(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[0]


def environment() -> dict[str, str]:
    """A program's environment. It has none of the caller's variables, and so no credentials or proxy settings."""
    path = f"{places.tools() / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": str(places.state()), "LANG": "C.UTF-8"}


def run(*argv: str, given: str | None = None, seconds: float = 60) -> str:
    """Runs a command to its end and returns its stdout. A Failure contains the command and its error output."""
    try:
        done = subprocess.run(argv, input=given, stdin=None if given is not None else subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=seconds, env=environment())
    except FileNotFoundError as error:
        raise Failure(f"`{argv[0]}` is not installed; fix: run tests/setup") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"`{' '.join(argv)}` did not end within {seconds:g} s") from error
    if done.returncode != 0:
        raise Failure(f"`{' '.join(argv)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def last_lines(log: Path, count: int = 5) -> str:
    try:
        return " | ".join(log.read_text(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return "it wrote no log"
