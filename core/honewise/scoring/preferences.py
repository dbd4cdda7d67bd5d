"""Files of preferences: one JSON object a line, written by ``pairs`` stages and read from anywhere.

A line is a pair, ``{"task_id": ..., "chosen": ..., "rejected": ...}``, or a completion to be paired,
``{"task_id": ..., "completion": ...}``. Keys that may stand beside them, and what they mean, are those of ``Pair`` and
``Candidate``; ``core/docs/preferences.md`` lists them. Written lines hold all of a pair's keys and ``format``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honewise.contracts import Message, Task
from honewise.data import read_jsonl
from honewise.errors import DataError, near

from .jobs import Row
from .pairs import BY_TOTAL, Candidate, Pair, PairRule, safety
from .rows import write_lines

__all__ = ["FORMAT", "Preferences", "pair_line", "read_pairs", "read_preferences", "write_pairs"]

FORMAT = 1
"""Version of the lines of a pairs file."""

_BREAKS = {ord(each): f"\\u{ord(each):04x}" for each in "\x85\u2028\u2029"}
"""Characters that some reader takes for the end of a line."""


@dataclass(slots=True)
class Preferences:
    """What a file holds."""

    pairs: list[Pair] = field(default_factory=list)
    scored: list[tuple[Candidate, str, float]] = field(default_factory=list)
    """Completions that bring their score along, with their source and weight."""
    open: list[tuple[Row, str, float]] = field(default_factory=list)
    """Completions still to be scored, with their source and weight."""


def pair_line(pair: Pair) -> str:
    """One line of a pairs file."""
    values = {
        "format": FORMAT,
        "task_id": pair.task_id,
        "prompt": [dict(message) for message in pair.prompt],
        "chosen": pair.chosen,
        "rejected": pair.rejected,
        "scores": None if pair.scores is None else list(pair.scores),
        "margin": pair.margin,
        "prob": pair.prob,
        "safe": None if pair.safe is None else list(pair.safe),
        "truncated": list(pair.truncated),
        "source": pair.source,
        "weight": pair.weight,
        "provenance": dict(pair.provenance),
    }
    text = json.dumps(values, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which a byte-level decode may leave
        text = json.dumps(values, allow_nan=False)
    return text.translate(_BREAKS)


def write_pairs(path: str | Path, pairs: Iterable[Pair]) -> None:
    """Write a pairs file, whole or not at all."""
    write_lines(path, map(pair_line, pairs))


def read_pairs(path: str | Path, tasks: Iterable[Task] = ()) -> list[Pair]:
    """The pairs of a file. Raises ``DataError`` where it holds completions, which are no pairs yet, or nothing."""
    found = read_preferences(path, tasks)
    if found.scored or found.open:
        raise DataError(f"{path}: holds completions that are not paired; give the file to a `pairs` stage")
    return found.pairs


def read_preferences(
    path: str | Path, tasks: Iterable[Task], rule: PairRule | None = None, *, source: str = ""
) -> Preferences:
    """Read a file of pairs, of completions, or of both; ``source`` is that of lines which name none.

    Raises ``DataError`` naming file and line where a line is neither, where a value is not what it should be, where a
    task is not known and no prompt stands in its place, and where the file is empty.
    """
    by_id = {task.id: task for task in tasks}
    found = Preferences()
    for line, entry in read_jsonl(path):
        reader = _Line(entry, f"{path}:{line}", by_id, source)
        if "completion" in entry:
            _completion(reader, rule or PairRule(), found)
        elif "chosen" in entry or "rejected" in entry:
            found.pairs.append(_pair(reader))
        else:
            raise DataError(
                f'{path}:{line}: neither a pair {{"task_id": ..., "chosen": ..., "rejected": ...}} nor a completion'
                ' {"task_id": ..., "completion": ...}'
            )
    if not (found.pairs or found.scored or found.open):
        raise DataError(f"{path}: empty; a line is a pair or a completion")
    return found


def _pair(line: _Line) -> Pair:
    task_id, prompt = line.task()
    chosen, rejected = line.text("chosen"), line.text("rejected")
    if chosen == rejected:
        raise DataError(f"{line.where}: 'chosen' and 'rejected' are the same text")
    scores = line.two("scores", line.number)
    margin = line.number("margin", line.entry.get("margin"), optional=True)
    if margin is None and scores is not None:
        margin = scores[0] - scores[1]
    prob = line.number("prob", line.entry.get("prob"), optional=True)
    if prob is not None and not 0 <= prob <= 1:
        raise DataError(f"{line.where}: 'prob' must lie between 0 and 1, this is {prob:g}")
    told = {key: line.entry[key] for key in ("votes", "order", "template", "judge") if key in line.entry}
    return Pair(
        task_id=task_id,
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        scores=scores,
        margin=margin,
        prob=prob,
        safe=line.two("safe", line.flag),
        truncated=line.two("truncated", line.flag) or (False, False),
        source=line.source(),
        weight=line.weight(),
        provenance={**told, **line.mapping("provenance")},
    )


def _completion(line: _Line, rule: PairRule, found: Preferences) -> None:
    task_id, prompt = line.task()
    text, truncated = line.text("completion"), line.flag("truncated", line.entry.get("truncated", False))
    task = line.tasks.get(task_id)
    if "total" not in line.entry:
        if task is None:
            raise DataError(f"{line.where}: a completion without 'total' is scored, which needs the id of a known task")
        tokens = line.entry.get("tokens", 0)
        if type(tokens) is not int or tokens < 0:
            raise DataError(f"{line.where}: 'tokens' must be a count")
        found.open.append((Row(task, text, tokens, truncated), line.source(), line.weight()))
        return
    total = line.number("total", line.entry["total"], optional=True)
    rewards: dict[str, float | None] = {}
    for name, cell in line.mapping("rewards").items():
        value = cell.get("value") if isinstance(cell, Mapping) else cell
        rewards[name] = line.number(f"rewards.{name}", value, optional=True)
    score = total if rule.by == BY_TOTAL else rewards.get(rule.by)
    stand_in = task or Task(task_id, {}, prompt=prompt)
    made = Candidate(stand_in, text, score, rewards, truncated, safety(rewards, rule.safe))
    found.scored.append((made, line.source(), line.weight()))


@dataclass(frozen=True, slots=True)
class _Line:
    """One object, and where it stands."""

    entry: Mapping[str, Any]
    where: str
    tasks: Mapping[str, Task]
    usual: str

    def __post_init__(self) -> None:
        if self.entry.get("format", FORMAT) != FORMAT:
            raise DataError(f"{self.where}: format {self.entry['format']!r}; this version reads format {FORMAT}")

    def task(self) -> tuple[str, tuple[Message, ...]]:
        """The task's id, and the prompt: the line's own, else that of the task."""
        identity, prompt = self.entry.get("task_id"), self._prompt()
        if identity is not None and (isinstance(identity, bool) or not isinstance(identity, (str, int))):
            raise DataError(f"{self.where}: 'task_id' must be text or a whole number, this is {identity!r:.60}")
        known = None if identity is None else self.tasks.get(str(identity))
        if prompt is not None:
            told = json.dumps(prompt, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
            return str(identity) if identity is not None else f"prompt-{hashlib.sha256(told).hexdigest()[:12]}", prompt
        if known is not None:
            return known.id, known.prompt
        if identity is None:
            raise DataError(f"{self.where}: 'task_id' is missing, and no 'prompt' stands in its place")
        raise DataError(f"{self.where}: no task has the id {str(identity)!r:.80}{near(str(identity), self.tasks)}")

    def _prompt(self) -> tuple[Message, ...] | None:
        prompt = self.entry.get("prompt")
        if prompt is None:
            return None
        if isinstance(prompt, str):
            return ({"role": "user", "content": prompt},)
        good = isinstance(prompt, list) and all(
            isinstance(each, Mapping) and isinstance(each.get("role"), str) and "content" in each for each in prompt
        )
        if not good or not prompt:
            raise DataError(f"{self.where}: 'prompt' must be text or a list of messages with role and content")
        return tuple(prompt)

    def text(self, key: str) -> str:
        value = self.entry.get(key)
        if not isinstance(value, str):
            said = "is missing" if key not in self.entry else f"must be text, this is {value!r:.60}"
            raise DataError(f"{self.where}: {key!r} {said}")
        return value

    def source(self) -> str:
        value = self.entry.get("source") or self.usual
        if not isinstance(value, str):
            raise DataError(f"{self.where}: 'source' must be text, this is {value!r:.60}")
        return value

    def weight(self) -> float:
        value = self.number("weight", self.entry.get("weight", 1.0))
        if value < 0:
            raise DataError(f"{self.where}: 'weight' must not be below 0, this is {value:g}")
        return float(value)

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self.entry.get(key) or {}
        if not isinstance(value, Mapping):
            raise DataError(f"{self.where}: {key!r} must be an object, this is {value!r:.60}")
        return value

    def number(self, key: str, value: Any, *, optional: bool = False) -> Any:
        if value is None and optional:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise DataError(f"{self.where}: {key!r} must be a number, this is {value!r:.60}")
        return float(value)

    def flag(self, key: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise DataError(f"{self.where}: {key!r} must be true or false, this is {value!r:.60}")
        return value

    def two(self, key: str, read: Any) -> Any:
        """Values of the chosen and the rejected one; None where there are none."""
        value = self.entry.get(key)
        if value is None:
            return None
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
            raise DataError(f"{self.where}: {key!r} must be a list of two, of the chosen and the rejected one")
        return read(key, value[0]), read(key, value[1])
