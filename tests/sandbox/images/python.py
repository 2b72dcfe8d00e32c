"""A Python interpreter with the packages of the load balancer controller's stand-in, as a layer."""

import compileall
import os
import py_compile
import re
import shutil
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import closure

# What the stand-in may import; what these need comes along.
DISTRIBUTIONS = ("boto3", "kubernetes", "PyYAML")
# The services it speaks to: botocore's descriptions of all the others are nine tenths of it.
SERVICES = ("ec2", "elbv2", "sts")
PACKAGES = "/usr/local/lib/packages"

_UNUSED = {
    "__pycache__", "curses", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test",
    "tests", "tkinter", "turtledemo",
}
_UNUSED_MODULES = ("_curses", "_dbm", "_gdbm", "_sqlite3", "_test", "_tkinter", "nis", "readline", "xxlimited")


def add_interpreter(layer, work):
    """The interpreter that runs this program, under /usr/local, where it finds its library by itself."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = _clean_folder(work, "library")
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=_unused_of_library, dirs_exist_ok=True)
    _compile(library)
    interpreter = os.path.realpath(sys.executable)
    libraries = closure.shared_libraries(interpreter)
    for module in (library / "lib-dynload").glob("*.so"):
        libraries |= closure.shared_libraries(module)
    layer.file(f"/usr/local/bin/{version}", interpreter, 0o755)
    layer.link("/usr/local/bin/python3", version)
    layer.tree(f"/usr/local/lib/{version}", library)
    closure.add_libraries(layer, libraries)


def add_packages(layer, work):
    target = _clean_folder(work, "packages")
    for distribution in sorted(_with_requirements(DISTRIBUTIONS)):
        for file in metadata.files(distribution) or ():
            if not (file.parts[0] == ".." or _UNUSED.intersection(file.parts) or _foreign_service(file.parts)):
                place = target / file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), place)
    _compile(target)
    layer.tree(PACKAGES, target)


def _with_requirements(names):
    found, queue = set(), list(names)
    while queue:
        name = queue.pop().lower()
        if name in found:
            continue
        found.add(name)
        for requirement in metadata.requires(name) or ():
            text, _, condition = requirement.partition(";")
            needed = re.match(r"[A-Za-z0-9._-]+", text).group()
            if "extra" not in condition and _installed(needed):
                queue.append(needed)
    return found


def _installed(name):
    """A requirement for another system or version of Python is not; its condition says so."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _foreign_service(parts):
    return parts[:2] == ("botocore", "data") and len(parts) > 3 and parts[2] not in SERVICES


def _unused_of_library(folder, names):
    """What to leave out of the standard library: the parts nobody imports in a server."""
    return [name for name in names if name in _UNUSED or name.startswith("config-")
            or (Path(folder).name == "lib-dynload" and name.startswith(_UNUSED_MODULES))]


def _compile(folder):
    """Compiles ahead and bound to no timestamp: a pod with a read-only root could not keep what its start compiles."""
    compileall.compile_dir(folder, quiet=2, stripdir=folder,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def _clean_folder(work, name):
    folder = Path(work, name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
