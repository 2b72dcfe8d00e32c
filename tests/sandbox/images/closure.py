"""Programs of this machine with every shared library that they load, placed where the loader finds them."""

import os
import re
import subprocess
from pathlib import Path


def add_programs(layer, programs):
    """Adds `programs`, host paths by their path in the image, and their libraries."""
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
    # the kernel asks for the loader under the name in each program, /lib64/ld-linux-x86-64.so.2
    for link in ("bin", "lib", "lib64", "sbin"):
        layer.link(link, f"usr/{link}")


def shared_libraries(source):
    """The libraries of one program or library, the loader among them, by the names that they are asked for."""
    answer = subprocess.run(["ldd", source], capture_output=True, text=True)
    if "not a dynamic executable" in answer.stdout + answer.stderr or "statically linked" in answer.stdout:
        return set()
    if answer.returncode != 0 or "not found" in answer.stdout:
        raise RuntimeError(f"`ldd {source}` finds not all libraries: {answer.stdout}{answer.stderr}")
    return set(re.findall(r"(/\S+) \(0x", answer.stdout))


def library_folder(libraries):
    """Where the C library is, which is where the loader looks without being told."""
    for library in libraries:
        if Path(library).name == "libc.so.6":
            return os.path.dirname(merged(library))
    raise RuntimeError("no program here loads the C library")


def merged(path):
    """The path under /usr, into which /lib and /lib64 are merged."""
    return path if path.startswith("/usr/") else "/usr" + path
