"""One layer of an image: a reproducible tar file. The same content gives the same bytes, and so the same digest.

Layers are not compressed: they are transferred over loopback only, where compression would cost more time than it saves.
"""

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar"


class Layer:
    """Collects entries; `seal` then writes them in sorted order to a file that is named by its digest."""

    def __init__(self):
        self._entries = {}  # path in the image -> (TarInfo, host path or bytes or None)

    def directory(self, path, mode=0o755, uid=0, gid=0):
        entry = self._info(path, tarfile.DIRTYPE, mode, uid, gid)
        self._entries[entry.name] = (entry, None)

    def data(self, path, content, mode=0o644, uid=0):
        entry = self._info(path, tarfile.REGTYPE, mode, uid, 0)
        content = content.encode() if isinstance(content, str) else content
        entry.size = len(content)
        self._entries[entry.name] = (entry, content)

    def link(self, path, target):
        entry = self._info(path, tarfile.SYMTYPE, 0o777, 0, 0)
        entry.linkname = target
        self._entries[entry.name] = (entry, None)

    def file(self, path, source, mode=None):
        """Adds a regular file of the host. Symbolic links are followed."""
        status = os.stat(source)
        entry = self._info(path, tarfile.REGTYPE, stat.S_IMODE(status.st_mode) if mode is None else mode, 0, 0)
        entry.size = status.st_size
        self._entries[entry.name] = (entry, Path(source))

    def tree(self, path, source, keep=lambda relative: True):
        """Adds a folder of the host with its links. `keep` is called with each path, relative to the folder."""
        for folder, names, files in os.walk(source):
            for name in sorted(names + files):
                host = Path(folder, name)
                relative = host.relative_to(source)
                if not keep(str(relative)):
                    if name in names:
                        names.remove(name)
                elif host.is_symlink():
                    self.link(f"{path}/{relative}", os.readlink(host))
                elif host.is_file():
                    self.file(f"{path}/{relative}", host)

    def seal(self, folder):
        """Writes the layer into `folder`. Returns its OCI descriptor and the file's path."""
        file = Path(folder, "layer.part")
        with file.open("wb") as out, tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name in self._with_parents():
                entry, content = self._entries[name]
                if isinstance(content, Path):
                    with content.open("rb") as data:
                        tar.addfile(entry, data)
                else:
                    tar.addfile(entry, io.BytesIO(content) if content is not None else None)
        with file.open("rb") as written:
            digest = "sha256:" + hashlib.file_digest(written, "sha256").hexdigest()
        sealed = file.rename(file.with_name(digest.replace(":", "-")))
        return {"mediaType": MEDIA_TYPE, "digest": digest, "size": sealed.stat().st_size}, sealed

    def _with_parents(self):
        for name in list(self._entries):
            for parent in Path(name).parents:
                if str(parent) not in (".", *self._entries):
                    self.directory(str(parent))
        return sorted(self._entries)

    @staticmethod
    def _info(path, kind, mode, uid, gid):
        entry = tarfile.TarInfo(str(path).strip("/"))
        entry.type, entry.mode, entry.uid, entry.gid, entry.mtime = kind, mode, uid, gid, 0
        return entry
