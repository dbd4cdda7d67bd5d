"""The completions of a run as compact JSON for the browser in the page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from honewise.contracts import Cell
from honewise.runs.rows import StoredRollout

__all__ = ["browser_data", "chosen", "embed"]

_PERCENTILE = 0.98


def chosen(rollouts: Sequence[StoredRollout], limit: int) -> list[StoredRollout]:
    """All of them, or whole groups evenly spread over the run so that about ``limit`` remain. 0 is no limit."""
    if not limit or len(rollouts) <= limit:
        return list(rollouts)
    groups: dict[tuple[Any, ...], list[StoredRollout]] = {}
    for row in rollouts:
        groups.setdefault((row.stage, row.step, row.evaluation, row.group), []).append(row)
    whole = list(groups.values())
    wanted = max(round(len(whole) * limit / len(rollouts)), 1)
    return [row for index in range(wanted) for row in whole[index * len(whole) // wanted]]


def browser_data(rollouts: Sequence[StoredRollout], where: Callable[[StoredRollout], str]) -> dict[str, Any]:
    """What the page's script reads.

    ``rows`` are ``[source, step, task, prompt, group, sample, text, total, correct, tokens, truncated, advantage, cut,
    cells, reference, trained]``; ``cells`` are ``[reward, value, weight, unscored, gated, terminal, feedback, spans]``;
    ``spans`` are flat ``start, end, value, label``; ``trained``, what each token earned, is flat ``start, end,
    value``. Texts that repeat are indices into ``strings``. Offsets count characters.
    """
    strings, sources, rewards = _Table(), _Table(), _Table()
    rows = []
    for row in rollouts:
        scored = row.scored
        cells = [_cell(rewards(name), cell, strings) for name, cell in scored.rewards.items()]
        rows.append(
            [
                sources(where(row)),
                row.step,
                strings(row.task_id),
                strings(row.prompt or _messages(scored.task.prompt)),
                row.group,
                row.sample,
                scored.completion.text,
                _short(scored.total),
                None if scored.correct is None else int(scored.correct),
                scored.completion.tokens,
                int(scored.completion.truncated),
                _short(row.advantage),
                _short(scored.cut),
                cells,
                strings(_listing(scored.task.reference)),
                [part for start, end, value in row.credit for part in (start, end, _short(value))],
            ]
        )
    return {
        "rewards": rewards.texts,
        "sources": sources.texts,
        "strings": strings.texts,
        "scale": _scale(rollouts),
        "rows": rows,
    }


def embed(value: Any) -> str:
    """JSON that stays data inside a ``script`` element, whatever text it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


class _Table:
    """Texts to small numbers."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        return self._places.setdefault(text, len(self._places))

    @property
    def texts(self) -> list[str]:
        return list(self._places)


def _cell(reward: int, cell: Cell, strings: _Table) -> list[Any]:
    spans: list[Any] = []
    for span in cell.spans:
        spans += [span.start, span.end, _short(span.value), strings(span.label)]
    return [
        reward,
        _short(cell.value),
        _short(cell.weight),
        -1 if cell.unscored is None else strings(cell.unscored),
        int(cell.gated),
        _short(cell.terminal),
        strings(cell.feedback),
        spans,
    ]


def _short(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.5g}")
    return int(short) if short.is_integer() and abs(short) < 1e9 else short


def _scale(rollouts: Iterable[StoredRollout]) -> float:
    """The credit that gets the full colour: a large one, but not the largest, which one odd span may be."""
    sizes = sorted(
        abs(span.value * cell.weight)
        for row in rollouts
        for cell in row.scored.rewards.values()
        for span in cell.spans
        if span.value * cell.weight
    )
    return sizes[int(_PERCENTILE * (len(sizes) - 1))] if sizes else 1.0


def _messages(prompt: Sequence[Mapping[str, Any]]) -> str:
    return "\n\n".join(f"{message.get('role', '')}: {message.get('content', '')}" for message in prompt)


def _listing(values: Mapping[str, Any]) -> str:
    """One line for each value; text stands as it is, anything else as JSON."""
    return "\n".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}"
        for name, value in values.items()
    )
