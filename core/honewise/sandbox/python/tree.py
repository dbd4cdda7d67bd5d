"""What files there are for a program: a root that holds Python alone, or rules for Landlock that come close to it.

In a root of its own there is nothing but the standard library, the shared libraries, a few devices and the boxes: one
small file system in memory for each program that runs at a time. Elsewhere the boxes are folders on disk, which are
emptied after each program; the parent made the folder around them and removes it.

What is installed beside the standard library is left out, but for the packages that were asked for: among it may be
what a program must not read, such as the gold answers of a domain.
"""

from __future__ import annotations

import contextlib
import os
import site
import stat
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence

from . import kernel

__all__ = ["BOXES", "Boxes", "enter_own_root", "python_folders", "readable"]

BOXES = 2
"""Programs at a time: the one under test, and the tests."""

_DEVICES = ("null", "zero", "full", "random", "urandom")
_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo")
_PACKAGES = ("site-packages", "dist-packages")


def python_folders() -> list[str]:
    """The standard library, pure and compiled."""
    paths = sysconfig.get_paths()
    return sorted({os.path.realpath(paths[name]) for name in ("stdlib", "platstdlib")})


def readable(packages: Sequence[str]) -> list[str]:
    """For Landlock, which can allow but not except: Python and what it needs, entry by entry."""
    found = [os.path.realpath(sys.executable), *packages, *(f"/dev/{name}" for name in _DEVICES)]
    for folder in _roots():
        found += _without_packages(folder)
    return found


def enter_own_root(at: str, packages: Sequence[str]) -> None:
    """Put a root together at the folder ``at``, and make it the root of this mount namespace."""
    kernel.make_private()
    kernel.mount_tmpfs(at, "size=1m,nr_inodes=4096,mode=755")
    try:
        _furnish(at, packages)
        kernel.enter_root(at)
    except OSError:
        os.chdir("/")
        kernel.unmount(at)
        raise


def _furnish(at: str, packages: Sequence[str]) -> None:
    for path in _roots():
        _show(at, path)
    for path in _roots():
        for hidden in _packages_below(path):
            kernel.mount_tmpfs(at + hidden, "size=4k,nr_inodes=64,mode=755")
    for path in packages:
        _show(at, path)
    _show(at, os.path.realpath(sys.executable))
    for name in _DEVICES:
        _show(at, f"/dev/{name}", device=True)
    for index in range(BOXES):
        os.makedirs(f"{at}/box/{index}")


def _roots() -> list[str]:
    folders = [path for path in _LIBRARIES if os.path.isdir(path)]
    prefix = os.path.realpath(os.path.join(sys.base_prefix, "lib"))
    wanted = [prefix] if os.path.isdir(prefix) else []
    for path in (*wanted, *python_folders()):
        if not any(_within(path, os.path.realpath(folder)) for folder in folders):
            folders.append(path)
    return folders


def _show(at: str, path: str, *, device: bool = False) -> None:
    """Make ``path`` seen at the same place below ``at``: a link as a link, all else read-only."""
    target = at + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    kernel.bind(path, target, readonly=not device)


def _packages_below(path: str) -> list[str]:
    """Folders of installed packages within ``path``, at most two levels down or where this Python has them."""
    if os.path.islink(path):
        return []
    found = {each for each in site.getsitepackages() if _within(each, path) and os.path.isdir(each)}
    for entry in _entries(path):
        found.update(f"{entry.path}/{name}" for name in _PACKAGES if os.path.isdir(f"{entry.path}/{name}"))
        if entry.name in _PACKAGES:
            found.add(entry.path)
    return sorted(found)


def _without_packages(path: str) -> list[str]:
    """``path``, or what is in it but for installed packages."""
    if os.path.islink(path):
        return []
    hidden = _packages_below(path)
    if not hidden:
        return [path]
    found: list[str] = []
    for entry in _entries(path):
        if entry.path in hidden:
            continue
        inner = any(_within(each, entry.path) for each in hidden)
        found += _without_packages(entry.path) if inner else [entry.path]
    return found


def _entries(path: str) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        yield from entries


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


class Boxes:
    """The working folders, numbered. ``prepare`` before a program, ``clean`` after it.

    ``changed`` is called with the path of a box that is another folder from then on.
    """

    def __init__(self, base: str, *, mounted: bool, owner: int, changed: Callable[[str], None]) -> None:
        self._base, self._mounted, self._owner, self._changed = base, mounted, owner, changed
        self._sizes: dict[int, tuple[int, int]] = {}
        self._stamps: dict[int, int] = {}
        for index in range(0 if mounted else BOXES):
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
            options = f"size={size},nr_inodes={files + 1},mode=700,uid={self._owner},gid={self._owner}"
            kernel.mount_tmpfs(path, options)
            self._sizes[index] = size, files
            self._stamps[index] = os.stat(path).st_ctime_ns
        return path

    def clean(self, index: int) -> None:
        """Empty it, whatever was done there. Nothing may run in it any more."""
        path = self.path(index)
        if not self._mounted:
            _empty(path)
        elif os.stat(path).st_ctime_ns != self._stamps[index]:
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
                else:
                    os.unlink(within)
            os.rmdir(path)
