"""Replies kept on disk, so that no finished call is paid twice: by another process, a resumed run, or tomorrow.

SQLite in WAL mode: any number of processes of one machine read and write at a time, and one killed at any moment
leaves every reply that it had kept. Kept are the reply, what it cost and, as a hash, what it answers; no prompts and no
keys.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from honewise.contracts import Generation, TokenChoice
from honewise.errors import UserError

__all__ = ["Cache", "CacheEntry", "default_path"]

FORMAT = 1
_TABLES = (
    """CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, identity TEXT NOT NULL, template TEXT NOT NULL, template_hash TEXT NOT NULL,
    text TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, tokens INTEGER NOT NULL, truncated INTEGER NOT NULL,
    logprobs TEXT, cost REAL NOT NULL, created REAL NOT NULL, used REAL NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS replies_by_use ON replies (used)",
)
_WAIT = 60.0
"""Seconds to wait for another process's turn; a turn takes milliseconds."""
_FRESH = 86_400.0
"""A reply's last use is noted once a day, so that reading does not write."""
_OVERHEAD = 400
"""Bytes of a row beside its texts, about."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """The replies of one model to one template."""

    identity: str
    template: str
    template_hash: str
    replies: int
    bytes: int
    tokens: int
    """Of prompts and replies, as they were paid for."""
    cost: float
    oldest: float
    """Unix time."""
    used: float
    """Unix time of the last use, to the day."""


def default_path() -> Path:
    """``judge.sqlite`` in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "honewise" / "judge.sqlite"


class Cache:
    """The cache in the file ``path``, made where there is none, for its user alone.

    ``get`` and ``put`` are coroutines, work in a thread of the cache's own, and may be awaited from any event loop.
    ``summary`` and ``prune`` block. Raises ``UserError`` where the file cannot be made or is no cache.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path).expanduser() if path else default_path()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="honewise-judge-cache")
        self._db: sqlite3.Connection | None = None
        self._unwritten: deque[Sequence[Any]] = deque()
        try:
            self._thread.submit(self._open).result()
        except (sqlite3.DatabaseError, OSError) as error:
            self._thread.shutdown(wait=False)
            raise UserError(
                f"judge cache {self.path}: cannot be used ({error}); name another with judge.cache, or remove it"
            ) from error

    async def get(self, key: str) -> tuple[Generation, float] | None:
        """The reply kept under ``key`` and what it cost, or None."""
        return await self._away(lambda: self._get(key))

    async def put(
        self, key: str, reply: Generation, *, identity: str, template: str, template_hash: str, cost: float
    ) -> None:
        """Keep a reply for good. Where another process was first, its reply stays."""
        logprobs = [[each.token, each.logprob, each.top] for each in reply.logprobs]
        told = json.dumps(logprobs, ensure_ascii=False) if logprobs else None
        size = _OVERHEAD + len(reply.text.encode("utf-8")) + len((told or "").encode("utf-8"))
        row = (key, identity, template, template_hash, reply.text, reply.prompt_tokens, reply.tokens,
               int(reply.truncated), told, cost, time.time(), time.time(), size)  # fmt: skip
        self._unwritten.append(row)
        await self._away(self._write)

    def summary(self, **which: Any) -> list[CacheEntry]:
        """What is kept, by model and template, the largest first; ``which`` as in ``prune``."""
        where, values = _where(**which)
        found = self._thread.submit(
            lambda: self._connection.execute(
                "SELECT identity, template, template_hash, count(*), sum(bytes), sum(prompt_tokens + tokens),"
                f" sum(cost), min(created), max(used) FROM replies {where}"
                " GROUP BY identity, template, template_hash ORDER BY sum(bytes) DESC",
                values,
            ).fetchall()
        ).result()
        return [CacheEntry(*row) for row in found]

    def prune(
        self,
        *,
        unused_for: float | None = None,
        model: str | None = None,
        template: str | None = None,
        largest: int | None = None,
    ) -> int:
        """Forget replies and give their room back; returns how many.

        Args:
            unused_for: those not used for so many seconds (last uses are noted to the day).
            model: those of models whose identity contains this.
            template: those of templates whose file or hash contains this.
            largest: and then the longest unused ones, until at most so many bytes are kept.

        Without any of them all replies go.
        """
        return self._thread.submit(self._prune, largest, unused_for=unused_for, model=model, template=template).result()

    def close(self) -> None:
        """Finish what is being written and close the file."""
        if self._db is not None:
            self._thread.submit(self._connection.close).result()
            self._db = None
        self._thread.shutdown()

    async def _away(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: _patiently(work))

    @property
    def _connection(self) -> sqlite3.Connection:
        assert self._db is not None, "the cache is closed"
        return self._db

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        self._db = sqlite3.connect(self.path, isolation_level=None, timeout=_WAIT)
        # Two processes that turn to WAL at once get an error at once, whatever the time to wait.
        _patiently(lambda: self._connection.execute("PRAGMA journal_mode = WAL").fetchone())
        self._connection.execute("PRAGMA synchronous = NORMAL")
        if _patiently(lambda: self._connection.execute("PRAGMA user_version").fetchone())[0] not in (0, FORMAT):
            raise sqlite3.DatabaseError("it was made by another version of honewise")
        with _patient_turn(self._connection):
            for statement in _TABLES:
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")

    def _get(self, key: str) -> tuple[Generation, float] | None:
        row = self._connection.execute(
            "SELECT text, prompt_tokens, tokens, truncated, logprobs, cost, used FROM replies WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        if time.time() - row[6] > _FRESH:
            with _patient_turn(self._connection):
                self._connection.execute("UPDATE replies SET used = ? WHERE key = ?", (time.time(), key))
        logprobs = tuple(
            TokenChoice(token, logprob, tuple((str(name), float(value)) for name, value in top))
            for token, logprob, top in json.loads(row[4] or "[]")
        )
        return Generation(row[0], row[1], row[2], bool(row[3]), logprobs), float(row[5])

    def _write(self) -> None:
        """All that waits to be written, in one turn: many replies at a time cost one visit to the disk."""
        rows = []
        while self._unwritten:
            rows.append(self._unwritten.popleft())
        if not rows:
            return
        try:
            with _patient_turn(self._connection):
                self._connection.executemany(f"INSERT OR IGNORE INTO replies VALUES ({', '.join('?' * 13)})", rows)
        except BaseException:
            self._unwritten.extendleft(reversed(rows))
            raise

    def _prune(self, largest: int | None, **which: Any) -> int:
        where, values = _where(**which)
        selected = any(value is not None for value in which.values())
        with _patient_turn(self._connection):
            gone = 0
            if selected or largest is None:
                gone += self._connection.execute(f"DELETE FROM replies {where}", values).rowcount
            if largest is not None:
                gone += self._connection.execute(
                    "DELETE FROM replies WHERE key IN (SELECT key FROM (SELECT key, sum(bytes) OVER"
                    " (ORDER BY used DESC, created DESC, key) AS kept FROM replies) WHERE kept > ?)",
                    (largest,),
                ).rowcount
        if gone:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            _patiently(lambda: self._connection.execute("VACUUM"))
        return gone


def _where(
    *, unused_for: float | None = None, model: str | None = None, template: str | None = None
) -> tuple[str, Mapping[str, Any]]:
    parts = []
    if unused_for is not None:
        parts.append("used <= :before")
    if model is not None:
        parts.append("instr(identity, :model) > 0")
    if template is not None:
        parts.append("(instr(template, :template) > 0 OR instr(template_hash, :template) > 0)")
    values = {"before": time.time() - (unused_for or 0.0), "model": model, "template": template}
    return ("WHERE " + " AND ".join(parts) if parts else ""), values


def _patiently(work: Callable[[], T]) -> T:
    """SQLite waits for a lock by itself, but for some that it reports at once."""
    give_up = time.monotonic() + _WAIT
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if not any(word in str(error) for word in ("locked", "busy")) or time.monotonic() > give_up:
                raise
            time.sleep(0.01)


@contextmanager
def _patient_turn(db: sqlite3.Connection) -> Iterator[None]:
    _patiently(lambda: db.execute("BEGIN IMMEDIATE"))
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    _patiently(lambda: db.execute("COMMIT"))
