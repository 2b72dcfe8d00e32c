"""The init process (PID 1) of a region's or a node's namespaces (network, mount, PID).

It starts programs there on request and reaps every orphan. When it ends, the kernel kills all processes in its PID
namespace and releases their mounts and interfaces. Killing this one process therefore removes a whole node or region,
whatever state its container shims are in.

1. `main` unshares the namespaces and forks. The child is PID 1 of the new PID namespace.
2. The child binds the socket, arranges the mounts, listens, and writes `ready` into a pipe.
3. The parent waits for that pipe, so the command returns only when requests can be made, or fails with the reason.
4. `Supervisor.serve` then alternates between requests and reaping, woken by the socket or by SIGCHLD.

Invariants: one request is served at a time; programs are reaped before each request, so a name never counts as running
after its process has ended; the socket exists before the mounts change, and nothing connects before `listen`.

usage: supervisor.py SOCKET LOG [--hide DIR].. [--keep DIR].. [--sysctl NAME=VALUE]..

A request to the Unix socket SOCKET is one line of JSON, and so is its answer:
  {"start": NAME, "argv": [..], "log": FILE, "directory": DIR, "environment": {..}}   start a program unless it is running
  {"signal": NAME, "number": N}                                                       send it a signal
  {"list": true}                                                                      {NAME: exit status or null}
--hide mounts an empty tmpfs over a directory, so that files which programs keep at fixed paths stay in the namespace.
--keep leaves a directory below a hidden one visible. --sysctl mounts a file with the value over a kernel setting: the
kubelet insists on some settings that are global to the machine, and a sandbox must not change those.
"""
import argparse
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000


class Supervisor:
    def __init__(self, listener: socket.socket):
        self.listener = listener
        self.running: dict[str, int] = {}
        self.ended: dict[str, int] = {}

    def serve(self) -> None:
        # SIGCHLD must wake the selector. Python writes each signal's number to the wake-up descriptor, but only for
        # signals that have a handler, hence the empty one.
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # PID 1 ignores signals without a handler.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        selector = selectors.DefaultSelector()
        selector.register(self.listener, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is self.listener:
                    self.answer()
                else:
                    os.read(wake_read, 4096)
            self.reap()

    def reap(self) -> None:
        """Collects every ended child, started programs and adopted orphans alike, and keeps the programs' exit status."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name in [name for name, child in self.running.items() if child == pid]:
                del self.running[name]
                self.ended[name] = os.waitstatus_to_exitcode(status)
                log(f"{name} (process {pid}) ended: {self.ended[name]}")

    def answer(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            # Requests are served one at a time: a client that sends nothing must not block the others for more than 5 s.
            connection.settimeout(5)
            try:
                line = connection.makefile().readline()
                if not line:
                    return
                reply = self.perform(json.loads(line))
            except Exception as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            try:
                connection.sendall(json.dumps(reply).encode() + b"\n")
            except OSError:
                log("the client disconnected before it received the answer")

    def perform(self, request: dict) -> dict:
        # Reap first, so that a program which has just ended counts as ended.
        self.reap()
        if "start" in request:
            name = request["start"]
            if name not in self.running:
                self.running[name] = execute(request["argv"], request["log"], request["directory"], request["environment"])
                self.ended.pop(name, None)
                log(f"{name} (process {self.running[name]}) started")
            return {}
        if "signal" in request:
            if pid := self.running.get(request["signal"]):
                os.kill(pid, request["number"])
            return {}
        return {"programs": self.ended | {name: None for name in self.running}}


def execute(argv: list[str], log_file: str, directory: str, environment: dict[str, str]) -> int:
    """Starts a program in its own session and returns its process id. Raises OSError if it cannot be executed.

    A successful exec closes the pipe (O_CLOEXEC) without a byte in it; a failure writes the reason first.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            # The child must not inherit the supervisor's signal handling.
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            redirect(log_file)
            os.chdir(directory)
            os.execvpe(argv[0], argv, environment)
        except OSError as error:
            os.write(write, f"failed to start `{argv[0]}`: {error}".encode())
        finally:
            os._exit(127)
    os.close(write)
    with os.fdopen(read) as pipe:
        problem = pipe.read()
    if problem:
        raise OSError(problem)
    return pid


def redirect(log_file: str) -> None:
    """Detaches stdin and appends stdout and stderr to the log file."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)


def log(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"failed to create namespaces: {os.strerror(number)} (requires root)")


def mount(*arguments: str, descriptors: tuple[int, ...] = ()) -> None:
    subprocess.run(["mount", *arguments], check=True, stdin=subprocess.DEVNULL, pass_fds=descriptors)


def arrange_mounts(hide: list[str], keep: list[str], sysctls: list[str]) -> None:
    # Private, so that no mount below propagates to the host.
    mount("--make-rprivate", "/")
    mount("-t", "proc", "proc", "/proc")
    # Opened before the tmpfs mounts hide them; bound from the open descriptors afterwards.
    kept = [(os.path.realpath(path), os.open(path, os.O_PATH)) for path in keep
            if any(os.path.realpath(path).startswith(hidden + "/") for hidden in hide)]
    for path in hide:
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", path)
    for path, descriptor in kept:
        os.makedirs(path, exist_ok=True)
        mount("--bind", f"/proc/self/fd/{descriptor}", path, descriptors=(descriptor,))
    for setting in sysctls:
        name, value = setting.split("=")
        shown = f"/run/sysctl/{name}"
        os.makedirs("/run/sysctl", exist_ok=True)
        with open(shown, "w") as file:
            file.write(value + "\n")
        mount("--bind", shown, "/proc/sys/" + name.replace(".", "/"))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("socket")
    parser.add_argument("log")
    parser.add_argument("--hide", action="append", default=[])
    parser.add_argument("--keep", action="append", default=[])
    parser.add_argument("--sysctl", action="append", default=[])
    options = parser.parse_args()
    read, write = os.pipe2(os.O_CLOEXEC)
    unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID)
    # unshare does not move the caller itself into the PID namespace: its first child becomes PID 1 there.
    if os.fork():
        os.close(write)
        with os.fdopen(read) as pipe:
            outcome = pipe.read()
        sys.exit(0 if outcome == "ready" else f"the init process of the namespaces failed: {outcome or 'it was killed'}")
    try:
        os.setsid()
        os.chdir("/")
        redirect(options.log)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The socket gives control over processes of root: only root may connect.
        os.umask(0o077)
        listener.bind(options.socket)
        os.umask(0o022)
        arrange_mounts(options.hide, options.keep, options.sysctl)
        listener.listen(16)
        os.write(write, b"ready")
    except Exception:
        # The parent prints it. os._exit, because this is a forked child of an interpreter with open buffers.
        os.write(write, traceback.format_exc().encode())
        os._exit(1)
    os.close(write)
    Supervisor(listener).serve()


if __name__ == "__main__":
    main()
