"""Results of reference statements, computed once: in memory, and in a directory that several processes share.

The directory is named by ``HONEWISE_GOLD_CACHE``, which the scoring pool sets for its workers; it must belong to this
user and be closed to others (mode 700), else it is not used. Files are written under a temporary name and renamed.
Their values are marshalled plain data, which only workers read, never the process that trains. A result that depends
on how busy the machine was (timeout, memory, crashed) is kept in memory only, and so is one that took less than 5 ms:
making a file takes about as long.
"""

from __future__ import annotations

import contextlib
import hashlib
import marshal
import os
import stat
from collections import OrderedDict

from .guard import Identity, SqlResult
from .worker import inside_worker

__all__ = ["DIRECTORY", "cache"]

DIRECTORY = "HONEWISE_GOLD_CACHE"
_FORMAT = 1
_MAX_ENTRIES = 512
_MAX_BYTES = 64 << 20
_WORTH_A_FILE = 0.005
_PASSING = frozenset({"timeout", "memory", "crashed"})

Key = tuple[str, Identity, str, tuple[float, ...]]


class _Cache:
    """The latest results, at most 512 and 64 MiB; one thread changes one entry at a time, which dicts make safe."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, tuple[SqlResult, int]] = OrderedDict()
        self._bytes = 0
        self._directory: tuple[str, bool] = ("", False)

    def get(self, key: Key) -> SqlResult | None:
        found = self._kept.get(key)
        if found is not None:
            return found[0]
        path = self._path(key)
        if path is None:
            return None
        try:
            with open(path, "rb") as file:
                data = file.read()
            made, *values = marshal.loads(data)
        except (OSError, ValueError, TypeError, EOFError):
            return None
        if made != _FORMAT:
            return None
        result = SqlResult(*values)
        self._keep(key, result, len(data))
        return result

    def put(self, key: Key, result: SqlResult) -> None:
        values = (result.columns, result.rows, result.error, result.kind, result.seconds)
        data = marshal.dumps((_FORMAT, *values))
        self._keep(key, result, len(data))
        if result.kind in _PASSING or result.seconds < _WORTH_A_FILE:
            return
        path = self._path(key)
        if path is not None:
            _write(path, data)

    def clear(self) -> None:
        """Forget what is in memory."""
        self._kept.clear()
        self._bytes = 0

    def _keep(self, key: Key, result: SqlResult, size: int) -> None:
        if size > _MAX_BYTES:
            return
        self._kept[key] = (result, size)
        self._bytes += size
        while len(self._kept) > _MAX_ENTRIES or self._bytes > _MAX_BYTES:
            self._bytes -= self._kept.popitem(last=False)[1][1]

    def _path(self, key: Key) -> str | None:
        if not inside_worker():
            return None
        directory = os.environ.get(DIRECTORY, "")
        if self._directory[0] != directory:
            self._directory = (directory, _is_private(directory))
        if not self._directory[1]:
            return None
        return os.path.join(directory, hashlib.sha256(repr(key).encode("utf-8", "surrogatepass")).hexdigest())


def _is_private(directory: str) -> bool:
    try:
        status = os.stat(directory)
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077


def _write(path: str, data: bytes) -> None:
    """Best effort: a full disk costs the cache, not the score."""
    name = f"{path}.{os.getpid()}"
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)
        os.replace(name, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(name)


cache = _Cache()
