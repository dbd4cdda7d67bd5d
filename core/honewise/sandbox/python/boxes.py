"""The working folders of programs, and what of the file system they may read."""

from __future__ import annotations

import os
import site
import stat
import sys
import sysconfig
from collections.abc import Callable

from . import kernel

__all__ = ["PROGRAMS", "TESTS", "Boxes", "python_folders", "readable"]

PROGRAMS, TESTS = (0, 1), 2
"""Programs take turns: while one runs, the process for the next is made ready in the other box."""

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/share/zoneinfo")
_SHARED_LIBRARIES = "/etc/ld.so.cache"
_PACKAGES = ("site-packages", "dist-packages")


def python_folders() -> list[str]:
    """The standard library, pure and compiled."""
    folder = os.path.realpath(os.path.dirname(os.__file__))
    compiled = os.path.realpath(f"{folder}/lib-dynload")
    return [folder] if compiled.startswith(folder) or not os.path.isdir(compiled) else [folder, compiled]


def readable() -> dict[str, bool]:
    """Python and the shared libraries, entry by entry: Landlock can allow but not except. False: names only.

    What is installed beside the standard library is left out: among it may be what a program must not read, such as
    the gold answers of a domain.
    """
    found = dict.fromkeys([os.path.realpath(sys.executable), _SHARED_LIBRARIES, *_DEVICES], True)
    libraries = {os.path.realpath(path) for path in _LIBRARIES if os.path.isdir(path)}
    for folder in sorted({*libraries, *python_folders(), *_libpython()}):
        found |= _without_packages(folder)
    return found


def _libpython() -> list[str]:
    name = sysconfig.get_config_var("INSTSONAME")
    path = os.path.realpath(os.path.join(sys.base_prefix, "lib", str(name)))
    return [path] if os.path.isfile(path) else []


def _without_packages(path: str, depth: int = 0) -> dict[str, bool]:
    """``path``, or what is in it but for folders of installed packages, at most two levels down."""
    if os.path.islink(path) or not os.path.isdir(path):
        return {path: True}
    hidden = {os.path.realpath(each) for each in (*site.getsitepackages(), site.getusersitepackages())}
    if os.path.basename(path) in _PACKAGES or path in hidden:
        return {}
    if depth == 2 and not any(each.startswith(path + "/") for each in hidden):
        return {path: True}
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return {}
    found: dict[str, bool] = {}
    entries = [os.path.join(path, name) for name in names]
    for entry in entries:
        found |= _without_packages(entry, depth + 1)
    return {path: True} if list(found) == entries else {path: False, **found}


class Boxes:
    """The working folders, numbered, below ``base``. ``prepare`` before a program, ``clean`` after it.

    ``mounted``: each is a small file system in memory, which bounds the bytes and the number of files; else a folder
    on disk. ``changed`` is called with the path of a box that is another folder from then on.
    """

    def __init__(self, base: str, *, mounted: bool, owner: int, changed: Callable[[str], None]) -> None:
        self._base, self._mounted, self._owner, self._changed = base, mounted, owner, changed
        self._sizes: dict[int, tuple[int, int]] = {}
        if not mounted:
            os.chmod(base, 0o711)
        for index in (*PROGRAMS, TESTS):
            os.mkdir(self.path(index), 0o700)
            if owner != os.geteuid():
                os.chown(self.path(index), owner, owner)

    def path(self, index: int) -> str:
        return f"{self._base}/{index}"

    def prepare(self, index: int, size: int, files: int) -> str:
        """An empty folder, of at most ``size`` bytes and ``files`` files where it can be mounted."""
        path = self.path(index)
        if self._mounted and self._sizes.get(index) != (size, files):
            self._forget(index)
            options = f"size={size},nr_inodes={files + 1},mode=700"
            if self._owner != os.geteuid():
                options += f",uid={self._owner},gid={self._owner}"
            kernel.mount_tmpfs(path, options)
            self._sizes[index] = size, files
        return path

    def clean(self, index: int) -> None:
        """Empty it, whatever was done there. Nothing may run in it any more."""
        path = self.path(index)
        if not self._mounted:
            _empty(path)
        elif os.listdir(path):
            self._forget(index)  # the next program gets another file system

    def _forget(self, index: int) -> None:
        if self._sizes.pop(index, None) is not None:
            self._changed(self.path(index))
            kernel.unmount(self.path(index))


def _empty(folder: str) -> None:
    """Remove everything in a folder, however deep and whatever its modes; a link is never followed.

    What a folder holds is moved up before the folder is removed, so that no depth is too much.
    """
    os.chmod(folder, 0o700)
    count, mark = 0, os.urandom(16).hex()  # no name that is there already
    while names := os.listdir(folder):
        for name in names:
            path = os.path.join(folder, name)
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in os.listdir(path):
                count += 1
                within = os.path.join(path, inner)
                if stat.S_ISDIR(os.lstat(within).st_mode):
                    os.chmod(within, 0o700)  # to move a folder, it must be writable
                os.rename(within, os.path.join(folder, f"{mark}-{count}"))
            os.rmdir(path)
