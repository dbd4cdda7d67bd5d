"""What goes into a run's store and comes out again, and how one becomes the other."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from honewise.contracts import Cell, Completion, Piece, Scored, Span, Task

__all__ = ["Comparison", "Evaluation", "RolloutRow", "StoredRollout", "task_hash", "to_json"]

_LONGEST_IMAGE = 4096


@dataclass(frozen=True, slots=True)
class RolloutRow:
    """One completion to be stored."""

    scored: Scored
    prompt: str = ""
    """The prompt as the model read it, through its chat template."""
    group: int = 0
    """Completions of one prompt share it; counted within the step or the evaluation."""
    sample: int = 0
    """Which completion of its group."""
    advantage: float | None = None
    """Mean advantage over its tokens; None outside training."""
    credit: Sequence[tuple[int, int, float]] = ()
    """``(start, end, value)`` in characters: what each token earned, for colouring."""


@dataclass(frozen=True, slots=True)
class StoredRollout:
    """One completion from the store."""

    id: int
    stage: str
    step: int | None
    """None in an evaluation."""
    evaluation: int | None
    task_id: str
    group: int
    sample: int
    prompt: str
    scored: Scored
    """Task, completion and cells as they were scored."""
    advantage: float | None
    credit: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One policy measured in one way."""

    id: int
    stage: str
    """The `evaluate` stage that measured it."""
    name: str
    """Unique within the stage: ``sft greedy``, ``sft t=0.3``."""
    of: str
    """The stage whose policy was measured, or ``base``."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """``temperature``, ``top_p``, ``samples``, ``tasks``, ``control``."""
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """``one`` minus ``other`` in one metric, with a paired interval over tasks."""

    stage: str
    one: str
    other: str
    metric: str
    difference: float
    low: float
    high: float
    tasks: int


_PLAIN = frozenset({str, int, bool})
_COMPACT = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


def to_json(value: Any) -> str:
    """Compact JSON with sorted keys; numbers that JSON has no form for become null."""
    return _COMPACT.encode(_finite(value))


def _finite(value: Any) -> Any:
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, (dict, Mapping)):
        return {str(key): _finite(item) for key, item in value.items()}
    return value


def _text(value: str) -> str:
    """SQLite takes no lone surrogates, which a byte-level decode may leave."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _task_json(task: Task) -> str:
    images = [
        image if len(image) <= _LONGEST_IMAGE else f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
        for image in task.images
    ]
    return _text(
        to_json(
            {
                "inputs": task.inputs,
                "reference": task.reference,
                "meta": task.meta,
                "prompt": [dict(message) for message in task.prompt],
                "images": images,
            }
        )
    )


def task_hash(task: Task) -> str:
    """Hash of everything a task holds; equal tasks have equal hashes on every machine."""
    return task_record(task)[0]


def task_record(task: Task) -> tuple[str, str, str]:
    """Its hash, its id and the rest of it."""
    written = _task_json(task)
    whole = hashlib.sha256(f"{task.id}\0{written}".encode("utf-8", "backslashreplace")).hexdigest()
    return whole, _text(task.id), written


def rollout_record(row: RolloutRow, task: str) -> tuple[Any, ...]:
    """``task``: the hash of the row's."""
    scored, completion = row.scored, row.scored.completion
    pieces = {name: [piece.start, piece.end] for name, piece in completion.pieces.items()}
    return (
        task,
        _text(scored.task.id),
        row.group,
        row.sample,
        _text(row.prompt),
        _text(completion.text),
        None if completion.answer is None else _text(to_json(completion.answer)),
        _text(to_json(pieces)),
        to_json(completion.segments),
        completion.tokens,
        int(completion.truncated),
        scored.total,
        _flag(scored.correct),
        scored.cut,
        row.advantage,
        to_json(row.credit),
    )


def score_records(scored: Scored) -> Iterator[tuple[Any, ...]]:
    for name, cell in scored.rewards.items():
        yield (
            name,
            cell.value,
            cell.weight,
            None if cell.unscored is None else _text(cell.unscored),
            int(cell.gated),
            cell.terminal,
            _flag(cell.correct),
            _text(to_json(cell.parts)),
            _text(cell.feedback),
            cell.seconds,
        )


def span_records(scored: Scored) -> Iterator[tuple[Any, ...]]:
    for name, cell in scored.rewards.items():
        for span in cell.spans:
            yield name, span.start, span.end, span.value, _text(span.label)


def _flag(value: bool | None) -> int | None:
    return None if value is None else int(value)


def _truth(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def evaluation(row: Sequence[Any]) -> Evaluation:
    key, stage, name, of, settings, metrics = row
    numbers = {label: float("nan") if value is None else value for label, value in json.loads(metrics).items()}
    return Evaluation(key, stage, name, of, json.loads(settings), numbers)


def stored(
    row: Sequence[Any], task: Sequence[Any], scores: Sequence[Sequence[Any]], spans: Sequence[Sequence[Any]]
) -> StoredRollout:
    """Rows of the tables `rollouts`, `tasks`, `scores` and `spans`, as one object."""
    (key, stage, step, of, _, task_id, group, sample, prompt, text, answer, pieces, segments) = row[:13]
    tokens, truncated, total, correct, cut, advantage, credit = row[13:]
    completion = Completion(
        text,
        None if answer is None else json.loads(answer),
        {name: Piece(text[start:end], start) for name, (start, end) in json.loads(pieces).items()},
        tokens,
        bool(truncated),
        tuple((start, end, role) for start, end, role in json.loads(segments)),
    )
    by_reward: dict[str, list[Span]] = {}
    for _, name, start, end, value, label in spans:
        by_reward.setdefault(name, []).append(Span(start, end, value, label))
    cells = {score[1]: _cell(score, by_reward.get(score[1], [])) for score in scores}
    scored = Scored(_task(task), completion, cells, total, _truth(correct), cut)
    marks = tuple((start, end, value) for start, end, value in json.loads(credit))
    return StoredRollout(key, stage, step, of, task_id, group, sample, prompt, scored, advantage, marks)


def _cell(score: Sequence[Any], spans: Sequence[Span]) -> Cell:
    _, _, value, weight, unscored, gated, terminal, correct, parts, feedback, seconds = score
    return Cell(
        value,
        weight,
        unscored,
        bool(gated),
        terminal,
        tuple(spans),
        _truth(correct),
        json.loads(parts),
        feedback,
        seconds,
    )


def _task(row: Sequence[Any]) -> Task:
    fields = json.loads(row[1])
    return Task(
        row[0], fields["inputs"], fields["reference"], tuple(fields["images"]), fields["meta"], tuple(fields["prompt"])
    )
