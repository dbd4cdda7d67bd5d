"""Credit that no later text can earn anew.

A token is paid what is earned from it on. Where the last of several answers is the one that counts, paying its spans
where they stand would pay whoever writes the answer once more for what was earned before; a policy learns to. So a
text in which a part is written again is scored as it stood after each of them, and each is paid what it adds to what
was there before, or takes away: a difference of potentials (Ng, Harada and Russell, 1999), whose sum is what the whole
text is worth.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from honewise.contracts import Completion, Piece, Span

from .outcome import Outcome

__all__ = ["MOST_TURNS", "Turn", "in_turn", "part_ends", "settled"]

MOST_TURNS = 8
"""Parts of one text that are told apart where one is written again: the first, and the last ones."""
_CLOSING = re.compile(r"(?:\s*(?:</\w+>|```|[])}*]))*")
"""Of a part: tags, fences, brackets."""
_SETTLED = "in place of what stood before"

Read = Callable[[str], Completion | None]
"""The domain's parser; None for a text that it fails on."""


class Turn(NamedTuple):
    """A part of a text, and what is written between the one before and it. Places are in characters."""

    start: int
    part: int
    """Where the part itself begins."""
    completion: Completion
    """The text up to the end of the turn."""


def in_turn(read: Read, whole: Completion) -> list[Turn]:
    """The parts of a text of which one is written again, in order; one turn where none is. The last holds ``whole``.

    A part is a piece that lies in no other. It comes again where a piece of its name stands in the text before it; for
    the piece ``answer``, also where one stands there that is the text of the answer. A turn ends where what closes its
    part does.
    """
    places = sorted({place for name, piece in _parts(whole) for place in _written(read, whole.text, name, piece)})
    if len(places) > MOST_TURNS:
        places = [places[0], *places[1 - MOST_TURNS :]]
    found, start = list[Turn](), 0
    for begin, end in places[:-1]:
        alone = read(whole.text[:end]) if end > start else None
        if alone is not None:
            found.append(Turn(start, begin, alone))
            start = end
    return [*found, Turn(start, max(start, places[-1][0] if places else 0), whole)]


def part_ends(whole: Completion) -> list[int]:
    """Where the parts of a text end, with what closes them."""
    return sorted({_closed(whole.text, piece, len(whole.text)) for _, piece in _parts(whole)})


def settled(turns: Sequence[tuple[Turn, Outcome]]) -> Outcome:
    """The last outcome, with spans that each stand behind everything that earned them; their sum is unchanged.

    Each turn comes with what the text was worth at its end. What it earns outside of itself, and what it loses of the
    turns before, is settled at the first character of its part.
    """
    (_, standing), *later = turns
    spans = list(standing.spans)
    for turn, outcome in later:
        before, now = Counter(standing.spans), Counter(outcome.spans)
        fresh, gone = list((now - before).elements()), (before - now).elements()
        spans += [span for span in fresh if span.end > turn.start]
        owed = math.fsum([*(s.value for s in fresh if s.end <= turn.start), *(-s.value for s in gone)])
        if owed:
            spans.append(Span(turn.part, turn.part + 1, owed, _SETTLED))
        standing = outcome
    return replace(standing, spans=tuple(spans), seconds=math.fsum(outcome.seconds for _, outcome in turns))


def _parts(completion: Completion) -> Iterator[tuple[str, Piece]]:
    """The pieces that lie in no other, without those that name a tag by itself."""
    pieces = [(name, piece) for name, piece in completion.pieces.items() if piece.text != name]
    for at, (name, piece) in enumerate(pieces):
        others = [(other, i > at) for i, (_, other) in enumerate(pieces) if i != at]
        if not any(
            other.start <= piece.start and piece.end <= other.end and (other.text != piece.text or not behind)
            for other, behind in others
        ):
            yield name, piece


def _written(read: Read, text: str, name: str, piece: Piece) -> list[tuple[int, int]]:
    """Where each part of a name begins and ends; none where there is but one."""
    found = [(piece.start, piece.end)]
    while 0 < found[0][0] < len(text):
        next_one = found[0][0]
        earlier = _named(read(text[:next_one]), name)
        if earlier is None or earlier.start >= next_one:
            break
        if len(found) == MOST_TURNS - 1:
            earlier = _first(read, text, name, next_one) or earlier
            return [(earlier.start, _closed(text, earlier, next_one)), *found]
        found.insert(0, (earlier.start, _closed(text, earlier, next_one)))
    return found if len(found) > 1 else []


def _first(read: Read, text: str, name: str, length: int) -> Piece | None:
    """The first part of a name within ``length`` characters, without reading every one that follows it."""
    sizes = range(length + 1)
    least = bisect_left(sizes, True, key=lambda size: _named(read(text[:size]), name) is not None)
    first = _named(read(text[:least]), name)
    if first is None:
        return None
    start = first.start

    def beyond(size: int) -> bool:
        found = _named(read(text[:size]), name)
        return found is None or found.start != start

    most = bisect_left(sizes, True, lo=least, key=beyond) - 1
    return _named(read(text[:most]), name)


def _named(completion: Completion | None, name: str) -> Piece | None:
    if completion is None:
        return None
    pieces, said = completion.pieces, completion.answer
    if name not in pieces and name == "answer":
        return next((piece for piece in pieces.values() if piece.text == said), None)
    return pieces.get(name)


def _closed(text: str, piece: Piece, limit: int) -> int:
    closing = _CLOSING.match(text, piece.end, limit)
    return piece.end if closing is None else closing.end()
