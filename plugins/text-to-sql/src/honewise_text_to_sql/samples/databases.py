"""The sample databases as SQLite files in a cache folder of the user.

The files are built on first use, since an installed package may be read-only. They lie under ``HONEWISE_CACHE``, else
``XDG_CACHE_HOME/honewise``, else ``~/.cache/honewise``, in a folder named by a digest of their content: another
version of the samples is another folder, and a file that is there is complete.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

from honewise.errors import UnknownName, UserError

from .fields import FIELDS
from .tables import script

__all__ = ["cache_folder", "database"]


def cache_folder() -> Path:
    """Where the files lie. Raises ``UserError`` where the environment names no usable place."""
    given = os.environ.get("HONEWISE_CACHE")
    if given:
        return Path(given).expanduser().absolute() / "text-to-sql"
    # The XDG specification tells programs to ignore a path that is not absolute.
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "honewise" / "text-to-sql"
    try:
        return Path.home() / ".cache" / "honewise" / "text-to-sql"
    except RuntimeError as problem:
        raise UserError(
            f"no folder for the sample databases ({problem}); set HONEWISE_CACHE to a writable folder"
        ) from problem


def database(db_id: str) -> Path:
    """The read-only SQLite file of one sample database, built where it is not there yet.

    Safe with several processes at once: each builds under a name of its own and moves the finished file into place.
    Raises ``UnknownName`` for a name that is not one of ``FIELDS``, ``UserError`` where the cache cannot be written.
    """
    if db_id not in FIELDS:
        raise UnknownName("sample database", db_id, FIELDS)
    text, digest = _source(db_id)
    path = cache_folder() / digest / f"{db_id}.sqlite"
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _build(text, path)
        except OSError as problem:
            raise UserError(
                f"{path}: the sample database cannot be written ({problem.strerror}); "
                "set HONEWISE_CACHE to a writable folder"
            ) from problem
    return path


@cache
def _source(db_id: str) -> tuple[str, str]:
    text = script(FIELDS[db_id])
    return text, hashlib.sha256(text.encode()).hexdigest()[:12]


def _build(text: str, path: Path) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        with closing(sqlite3.connect(name, isolation_level=None)) as connection:
            connection.executescript(f"BEGIN;\n{text}COMMIT;")
        os.chmod(name, 0o444)
        _flush(name)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def _flush(name: str) -> None:
    handle = os.open(name, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
