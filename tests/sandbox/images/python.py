"""Adds a Python interpreter, and the packages that the load balancer controller's stand-in imports, to a layer."""

import ast
import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import closure

# The AWS services that it calls. botocore's models of all other services are 90 % of its size.
SERVICES = ("ec2", "elbv2", "sts")
PACKAGES = "/usr/local/lib/packages"

_UNUSED = {
    "__pycache__", "curses", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test",
    "tests", "tkinter", "turtledemo",
}
_UNUSED_MODULES = ("_curses", "_dbm", "_gdbm", "_sqlite3", "_test", "_tkinter", "nis", "readline", "xxlimited")


def add_interpreter(layer, work):
    """Adds the interpreter that runs this program, under /usr/local, where it finds its library without configuration."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = _clean_folder(work, "library")
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=_unused_of_library, dirs_exist_ok=True)
    _compile(library)
    interpreter = os.path.realpath(sys.executable)
    modules = sorted((library / "lib-dynload").glob("*.so"))
    libraries = closure.shared_libraries(interpreter).union(*map(closure.shared_libraries, modules))
    for module in modules:
        _strip(module, module)
    layer.file(f"/usr/local/bin/{version}", interpreter, 0o755)
    layer.link("/usr/local/bin/python3", version)
    layer.tree(f"/usr/local/lib/{version}", library)
    closure.add_libraries(layer, libraries)
    for own in (library for library in libraries if Path(library).name.startswith("libpython")):
        stripped = Path(work, Path(own).name)
        _strip(own, stripped)
        layer.file(f"{closure.library_folder(libraries)}/{stripped.name}", stripped)


def add_packages(layer, distributions, work):
    """Adds the named distributions and their dependencies."""
    target = _clean_folder(work, "packages")
    for distribution in sorted(_with_requirements(distributions)):
        for file in metadata.files(distribution) or ():
            if not (file.parts[0] == ".." or _UNUSED.intersection(file.parts) or _foreign_service(file.parts)):
                place = target / file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), place)
    _compile(target)
    layer.tree(PACKAGES, target)


def imports_of(program):
    """The program and the files in its folder that it imports, and the distributions that these need."""
    files, distributions, queue = set(), set(), [program]
    installed = metadata.packages_distributions()
    while queue:
        file = queue.pop()
        if file in files:
            continue
        files.add(file)
        for name in _imported_names(file):
            beside = file.with_name(f"{name}.py")
            if beside.exists():
                queue.append(beside)
            elif name in installed:
                distributions.add(installed[name][0])
            elif name not in sys.stdlib_module_names:
                raise RuntimeError(f"`{file}` imports `{name}`, which is neither in its folder nor in requirements.txt")
    return sorted(files), sorted(distributions)


def _imported_names(file):
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


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
    """Whether a distribution is installed. Requirements for other systems or Python versions are not."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _foreign_service(parts):
    return parts[:2] == ("botocore", "data") and len(parts) > 3 and parts[2] not in SERVICES


def _unused_of_library(folder, names):
    """The entries of the standard library that a server does not import, as `copytree` wants them."""
    return [name for name in names if name in _UNUSED or name.startswith("config-")
            or (Path(folder).name == "lib-dynload" and name.startswith(_UNUSED_MODULES))]


def _compile(folder):
    """Compiles ahead of time: a pod with a read-only root file system could not store what it compiles at its start.

    Unchecked hashes instead of timestamps, because layers set all timestamps to 0.
    """
    compileall.compile_dir(folder, quiet=2, stripdir=folder,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def _strip(source, target):
    """Strips debugging information, which is three quarters of a Python that was built from source."""
    subprocess.run(["strip", "--strip-unneeded", "-o", target, source], check=True)


def _clean_folder(work, name):
    folder = Path(work, name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
