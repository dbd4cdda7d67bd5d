"""Tasks and completions as plain data, for the way to a worker and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from honewise.contracts import Completion, Piece, Task

__all__ = ["pack_completion", "pack_task", "plain", "unpack_completion", "unpack_task"]


def pack_task(task: Task) -> list[Any]:
    """Every field; the values of a task are JSON."""
    return [
        task.id,
        plain(task.inputs),
        plain(task.reference),
        list(task.images),
        plain(task.meta),
        plain(task.prompt),
    ]


def unpack_task(packed: Sequence[Any]) -> Task:
    identity, inputs, reference, images, meta, prompt = packed
    return Task(identity, inputs, reference, tuple(images), meta, tuple(prompt))


def plain(value: Any) -> Any:
    """Read-only mappings as dictionaries, other sequences as lists."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(item) for item in value]
    return value


def pack_completion(completion: Completion) -> list[Any]:
    """All but the text, which the other side has, and what core fills in."""
    text = completion.text
    pieces = {
        name: [piece.start, len(piece.text) if text[piece.start : piece.end] == piece.text else piece.text]
        for name, piece in completion.pieces.items()
    }
    return [completion.answer, pieces, [list(segment) for segment in completion.segments]]


def unpack_completion(packed: Sequence[Any], text: str, tokens: int, truncated: bool) -> Completion:
    answer, pieces, segments = packed
    return Completion(
        text=text,
        answer=answer,
        pieces={
            name: Piece(text[start : start + what] if isinstance(what, int) else what, start)
            for name, (start, what) in pieces.items()
        },
        tokens=tokens,
        truncated=truncated,
        segments=tuple([(start, end, role) for start, end, role in segments]),
    )
