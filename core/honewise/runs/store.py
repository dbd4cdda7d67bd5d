"""The store of one run, ``run.sqlite``: everything a report shows can be computed from it again.

SQLite in WAL mode with one transaction per step, so a run killed at any moment leaves whole steps behind, and a
reader may look while the run writes. One process writes; any number read.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from honewise.clients import CallRecord, Spent
from honewise.contracts import Task
from honewise.errors import RunError

from . import calls, glances
from . import rows as records
from .rows import Evaluation, RolloutRow, StoredRollout

__all__ = ["FORMAT", "StageState", "State", "Store"]

FORMAT = 1
"""Version of the tables; a store of another version is refused by name."""

State = Literal["running", "done", "stopped", "failed"]

_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE stages (
    stage TEXT PRIMARY KEY, kind TEXT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,
    seconds REAL NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT ''
);
CREATE TABLE steps (
    stage TEXT NOT NULL, step INTEGER NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (stage, step)
) WITHOUT ROWID;
CREATE TABLE metrics (
    stage TEXT NOT NULL, step INTEGER NOT NULL, name TEXT NOT NULL, value REAL, PRIMARY KEY (stage, step, name)
) WITHOUT ROWID;
CREATE TABLE tasks (hash TEXT PRIMARY KEY, id TEXT NOT NULL, task TEXT NOT NULL);
CREATE TABLE evaluations (
    id INTEGER PRIMARY KEY, stage TEXT NOT NULL, name TEXT NOT NULL, of TEXT NOT NULL,
    settings TEXT NOT NULL, metrics TEXT NOT NULL, UNIQUE (stage, name)
);
CREATE TABLE comparisons (
    stage TEXT NOT NULL, one TEXT NOT NULL, other TEXT NOT NULL, metric TEXT NOT NULL,
    difference REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL, tasks INTEGER NOT NULL,
    PRIMARY KEY (stage, one, other, metric)
);
CREATE TABLE rollouts (
    id INTEGER PRIMARY KEY, stage TEXT NOT NULL, step INTEGER,
    evaluation INTEGER REFERENCES evaluations ON DELETE CASCADE,
    task TEXT NOT NULL, task_id TEXT NOT NULL, grp INTEGER NOT NULL, sample INTEGER NOT NULL,
    prompt TEXT NOT NULL, text TEXT NOT NULL, answer TEXT, pieces TEXT NOT NULL, segments TEXT NOT NULL,
    tokens INTEGER NOT NULL, truncated INTEGER NOT NULL, total REAL, correct INTEGER, cut REAL NOT NULL,
    advantage REAL, credit TEXT NOT NULL
);
CREATE INDEX rollouts_by_step ON rollouts (stage, step);
CREATE INDEX rollouts_by_evaluation ON rollouts (evaluation);
CREATE TABLE scores (
    rollout INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE, reward TEXT NOT NULL, value REAL,
    weight REAL NOT NULL, unscored TEXT, gated INTEGER NOT NULL, terminal REAL NOT NULL, correct INTEGER,
    parts TEXT NOT NULL, feedback TEXT NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (rollout, reward)
) WITHOUT ROWID;
CREATE TABLE spans (
    rollout INTEGER NOT NULL REFERENCES rollouts ON DELETE CASCADE, reward TEXT NOT NULL,
    start INTEGER NOT NULL, "end" INTEGER NOT NULL, value REAL NOT NULL, label TEXT NOT NULL
);
CREATE INDEX spans_by_rollout ON spans (rollout);
"""


@dataclass(frozen=True, slots=True)
class StageState:
    """How far a stage has come."""

    stage: str
    kind: str
    position: int
    state: State
    seconds: float
    """Seconds of work in it, over all resumes; lost steps do not count."""
    reason: str
    """Why it stopped or failed; else empty."""
    steps: int
    """The last step stored; 0 before the first."""


class Store:
    """Open or create ``run.sqlite``. Close it, or use it as a context manager.

    ``readonly`` opens an existing store beside its writer. Raises ``RunError`` where the file is missing, no store,
    or of another format.
    """

    def __init__(self, path: str | Path, *, readonly: bool = False) -> None:
        self.path = Path(path)
        self.readonly = readonly
        self._started: dict[str, tuple[float, float]] = {}
        if readonly and not self.path.is_file():
            raise RunError(f"{self.path}: no run store there")
        try:
            self._db = _connect(self.path, readonly)
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise RunError(f"{self.path}: not a readable run store ({error})") from error

    def _prepare(self) -> None:
        known = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'facts'").fetchone()
        if known is None:
            if self.readonly:
                raise RunError(f"{self.path}: the run has not written anything yet")
            with self._transaction():
                for statement in (*_TABLES.split(";\n"), calls.TABLE):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO facts VALUES ('format', ?)", (str(FORMAT),))
        elif not self.readonly:
            calls.make_table(self._db)
        found = self.fact("format")
        if found != str(FORMAT):
            raise RunError(f"{self.path}: store format {found}; this version of honewise reads format {FORMAT}")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # facts about the whole run

    def fact(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str) -> None:
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    # stages

    def stages(self) -> list[StageState]:
        """The stages that have begun, in their order."""
        found = self._db.execute(
            "SELECT stage, kind, position, state, seconds, reason,"
            " (SELECT coalesce(max(step), 0) FROM steps WHERE steps.stage = stages.stage) FROM stages ORDER BY position"
        )
        return [StageState(*row) for row in found]

    def stage(self, stage: str) -> StageState | None:
        return next((state for state in self.stages() if state.stage == stage), None)

    def start_stage(self, stage: str, kind: str, position: int) -> StageState:
        """Mark a stage as running and start its clock, which goes on from the seconds already stored."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO stages (stage, kind, position, state) VALUES (?, ?, ?, 'running')"
                " ON CONFLICT (stage) DO UPDATE SET state = 'running', reason = ''",
                (stage, kind, position),
            )
        state = self.stage(stage)
        assert state is not None
        self._started[stage] = (time.monotonic(), state.seconds)
        return state

    def set_stage(self, stage: str, state: State, *, seconds: float | None = None, reason: str = "") -> None:
        """Record how a stage stands; ``seconds`` left out, what its clock says."""
        with self._transaction():
            self._db.execute(
                "UPDATE stages SET state = ?, seconds = ?, reason = ? WHERE stage = ?",
                (state, self.seconds(stage) if seconds is None else seconds, reason, stage),
            )

    def seconds(self, stage: str) -> float:
        """Seconds of work in a stage so far: live where this process runs it, else as stored."""
        if stage in self._started:
            begun, before = self._started[stage]
            return before + time.monotonic() - begun
        state = self.stage(stage)
        return 0.0 if state is None else state.seconds

    # steps

    def write_step(
        self,
        stage: str,
        step: int,
        metrics: Mapping[str, float],
        rows: Sequence[RolloutRow] = (),
        asked: Sequence[CallRecord] = (),
    ) -> None:
        """All of one step in one transaction. A step that is already there is an error: truncate first."""
        seconds = self.seconds(stage)
        with self._transaction():
            try:
                self._db.execute("INSERT INTO steps VALUES (?, ?, ?)", (stage, step, seconds))
            except sqlite3.IntegrityError:
                raise RunError(f"{self.path}: step {step} of {stage} is already stored") from None
            self._db.execute("UPDATE stages SET seconds = ? WHERE stage = ?", (seconds, stage))
            self._write_metrics(stage, step, metrics)
            self._write_rollouts(stage, step, None, rows)
            calls.write_calls(self._db, stage, step, asked)

    def add_metrics(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        """More metrics of a step already written, such as those known only after its update."""
        with self._transaction():
            self._write_metrics(stage, step, metrics)

    def truncate(self, stage: str, after_step: int) -> int:
        """Forget every step of a stage past ``after_step``, in one transaction; returns how many steps went."""
        with self._transaction():
            gone = self._db.execute("DELETE FROM steps WHERE stage = ? AND step > ?", (stage, after_step)).rowcount
            self._db.execute("DELETE FROM metrics WHERE stage = ? AND step > ?", (stage, after_step))
            self._db.execute("DELETE FROM rollouts WHERE stage = ? AND step > ?", (stage, after_step))
            self._db.execute(
                "UPDATE stages SET seconds = coalesce((SELECT max(seconds) FROM steps WHERE stage = ?), 0)"
                " WHERE stage = ?",
                (stage, stage),
            )
        if stage in self._started:
            state = self.stage(stage)
            self._started[stage] = (time.monotonic(), state.seconds if state else 0.0)
        return gone

    def _write_metrics(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?)",
            [(stage, step, name, float(value)) for name, value in metrics.items()],
        )

    def _write_rollouts(self, stage: str, step: int | None, evaluation: int | None, rows: Iterable[RolloutRow]) -> None:
        known: dict[int, tuple[Task, str]] = {}  # the task beside its hash, so that its id stays its own
        scores: list[tuple[Any, ...]] = []
        spans: list[tuple[Any, ...]] = []
        for row in rows:
            task = row.scored.task
            if id(task) not in known:
                record = records.task_record(task)
                known[id(task)] = task, record[0]
                self._db.execute("INSERT OR IGNORE INTO tasks VALUES (?, ?, ?)", record)
            rollout = self._db.execute(
                f"INSERT INTO rollouts VALUES ({', '.join('?' * 20)})",
                (None, stage, step, evaluation, *records.rollout_record(row, known[id(task)][1])),
            ).lastrowid
            scores += [(rollout, *record) for record in records.score_records(row.scored)]
            spans += [(rollout, *record) for record in records.span_records(row.scored)]
        self._db.executemany(f"INSERT INTO scores VALUES ({', '.join('?' * 11)})", scores)
        self._db.executemany("INSERT INTO spans VALUES (?, ?, ?, ?, ?, ?)", spans)

    # judges

    def write_calls(self, stage: str, step: int | None, asked: Sequence[CallRecord]) -> None:
        """What a judge was asked outside of a step that is stored; ``step`` is None in an evaluation."""
        if asked:
            with self._transaction():
                calls.write_calls(self._db, stage, step, asked)

    def calls(self, stage: str | None = None, step: int | None = None) -> list[calls.StoredCall]:
        """What judges were asked, in the order of writing; see ``runs.calls``."""
        return calls.read_calls(self._db, stage, step)

    def judge_spent(self) -> Spent:
        """What the run's judge calls have used, those of forgotten steps included."""
        return calls.spent_on_calls(self._db)

    # evaluations

    def write_eval(
        self,
        stage: str,
        name: str,
        of: str,
        settings: Mapping[str, Any],
        rows: Sequence[RolloutRow],
        metrics: Mapping[str, float],
    ) -> None:
        """One policy measured in one way, replacing what a killed run may have left under the same name."""
        with self._transaction():
            self._db.execute("DELETE FROM evaluations WHERE stage = ? AND name = ?", (stage, name))
            evaluation = self._db.execute(
                "INSERT INTO evaluations VALUES (NULL, ?, ?, ?, ?, ?)",
                (stage, name, of, records.to_json(settings), records.to_json(metrics)),
            ).lastrowid
            self._write_rollouts(stage, None, evaluation, rows)

    def write_comparison(
        self, stage: str, one: str, other: str, metric: str, *, difference: float, low: float, high: float, tasks: int
    ) -> None:
        """``one`` minus ``other`` (evaluation names) with its interval over ``tasks`` paired tasks."""
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO comparisons VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (stage, one, other, metric, difference, low, high, tasks),
            )

    def evaluations(self, stage: str | None = None) -> list[Evaluation]:
        """What was measured, in the order of measuring."""
        where, values = ("WHERE stage = ?", (stage,)) if stage is not None else ("", ())
        found = self._db.execute(
            f"SELECT id, stage, name, of, settings, metrics FROM evaluations {where} ORDER BY id", values
        )
        return [records.evaluation(row) for row in found]

    def comparisons(self, stage: str | None = None) -> list[records.Comparison]:
        """Differences between evaluations, in the order of writing."""
        where, values = ("WHERE stage = ?", (stage,)) if stage is not None else ("", ())
        found = self._db.execute(f"SELECT * FROM comparisons {where} ORDER BY rowid", values)
        return [records.Comparison(*row) for row in found]

    # reading

    def steps(self, stage: str) -> list[int]:
        return [row[0] for row in self._db.execute("SELECT step FROM steps WHERE stage = ? ORDER BY step", (stage,))]

    def sampled(self, stage: str) -> dict[int, int]:
        """Step to how many completions of it are stored, for the steps that have any."""
        return glances.sampled(self._db, stage)

    def glance(self) -> glances.Glance:
        return glances.glance(self._db)

    def metrics(self, stage: str) -> dict[int, dict[str, float]]:
        """Step to named numbers, steps in order. NaN stands for a number that could not be had."""
        table: dict[int, dict[str, float]] = {}
        found = self._db.execute("SELECT step, name, value FROM metrics WHERE stage = ? ORDER BY step, name", (stage,))
        for step, name, value in found:
            table.setdefault(step, {})[name] = float("nan") if value is None else value
        return table

    def rollouts(
        self,
        stage: str | None = None,
        step: int | None = None,
        *,
        evaluation: int | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[StoredRollout]:
        """Completions with their scores, in the order of writing; of one step or one evaluation where said."""
        wanted = {"stage": stage, "step": step, "evaluation": evaluation}
        given = {column: value for column, value in wanted.items() if value is not None}
        where = "WHERE " + " AND ".join(f"{column} = ?" for column in given) if given else ""
        found = self._db.execute(
            f"SELECT * FROM rollouts {where} ORDER BY id LIMIT ? OFFSET ?",
            (*given.values(), -1 if limit is None else limit, offset),
        ).fetchall()
        return [self._rollout(row) for row in found]

    def _rollout(self, row: tuple[Any, ...]) -> StoredRollout:
        scores = self._db.execute("SELECT * FROM scores WHERE rollout = ?", (row[0],)).fetchall()
        spans = self._db.execute("SELECT * FROM spans WHERE rollout = ? ORDER BY rowid", (row[0],)).fetchall()
        task = self._db.execute("SELECT id, task FROM tasks WHERE hash = ?", (row[4],)).fetchone()
        return records.stored(row, task, scores, spans)


def _connect(path: Path, readonly: bool) -> sqlite3.Connection:
    if not readonly:
        db = sqlite3.connect(path, isolation_level=None, timeout=30)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        return db
    address = path.absolute().as_uri()
    db = sqlite3.connect(f"{address}?mode=ro", uri=True, isolation_level=None, timeout=30)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # A folder without write permission cannot hold the shared-memory file that WAL asks for; without a
        # log there is no writer either, and the file alone is the whole store.
        db.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        db = sqlite3.connect(f"{address}?mode=ro&immutable=1", uri=True, isolation_level=None)
    return db
