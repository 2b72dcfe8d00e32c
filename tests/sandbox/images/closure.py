"""Copies programs of this machine into a layer, with all shared libraries that they load, where the loader finds them."""

import os
import re
import subprocess
from pathlib import Path


def add_programs(layer, programs):
    """Adds `programs` (path in the image to path on the host) and their libraries."""
    libraries = set()
    for path, source in programs.items():
        layer.file(path, source, 0o755)
        libraries |= shared_libraries(source)
    add_libraries(layer, libraries)


def add_libraries(layer, libraries):
    home = library_folder(libraries)
    for library in sorted(libraries):
        standard = library.startswith(("/lib", "/usr/lib"))
        layer.file(merged(library) if standard else f"{home}/{Path(library).name}", library)
    # The kernel opens the loader by the path recorded in each program, /lib64/ld-linux-x86-64.so.2.
    for link in ("bin", "lib", "lib64", "sbin"):
        layer.link(link, f"usr/{link}")


def shared_libraries(source):
    """The libraries of one program or library, including the loader, by the paths under which they are loaded."""
    answer = subprocess.run(["ldd", source], capture_output=True, text=True)
    if "not a dynamic executable" in answer.stdout + answer.stderr or "statically linked" in answer.stdout:
        return set()
    if answer.returncode != 0 or "not found" in answer.stdout:
        raise RuntimeError(f"`ldd {source}` failed or did not find all libraries: {answer.stdout}{answer.stderr}")
    return set(re.findall(r"(/\S+) \(0x", answer.stdout))


def library_folder(libraries):
    """The C library's folder, which the loader searches by default."""
    for library in libraries:
        if Path(library).name == "libc.so.6":
            return os.path.dirname(merged(library))
    raise RuntimeError("none of the programs loads the C library")


def merged(path):
    """The same path under /usr, because /lib and /lib64 are links into it (merged /usr)."""
    return path if path.startswith("/usr/") else "/usr" + path
