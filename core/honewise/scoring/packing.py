"""Tasks and completions as plain data, for the way to a worker and back."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from honewise.contracts import Completion, Piece, Task

__all__ = ["no_collection", "pack_completion", "pack_task", "plain", "unpack_completion", "unpack_task"]

_ATOMS = frozenset({str, int, float, bool, type(None)})


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
    if type(value) in _ATOMS:
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(item) for item in value]
    return value


def pack_completion(completion: Completion) -> list[Any]:
    """All but what the other side has: the text, its counts, and every copy of a part of it."""
    text, answer = completion.text, completion.answer
    at = text.rfind(answer) if isinstance(answer, str) else -1
    pieces: list[Any] = []
    for name, piece in completion.pieces.items():
        stands = piece.start >= 0 and text.startswith(piece.text, piece.start)
        pieces += (name, piece.start, len(piece.text) if stands else piece.text)
    packed: list[Any] = [[answer] if at < 0 else [at, len(answer)], pieces]
    if completion.segments:
        packed.append([list(segment) for segment in completion.segments])
    return packed


def unpack_completion(packed: Sequence[Any], text: str, tokens: int, truncated: bool) -> Completion:
    answer, pieces, *segments = packed
    return Completion(
        text,
        answer[0] if len(answer) == 1 else text[answer[0] : answer[0] + answer[1]],
        {
            name: Piece(text[start : start + what] if isinstance(what, int) else what, start)
            for name, start, what in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
        },
        tokens,
        truncated,
        tuple([(start, end, role) for start, end, role in segments[0]]) if segments else (),
    )


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Without the garbage collector: what is made here is thousands of small objects, none of them garbage, and
    searching a large heap for some among them would take longer than making them."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
