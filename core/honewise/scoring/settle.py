"""Credit that no later text can earn anew.

A token is paid what is earned from it on. Where the last of several answers is the one that counts, paying its spans
where they stand would pay whoever writes the answer once more for what was earned before; a policy learns to. So a
text with several answers is scored as it stood after each of them, and each is paid what it adds to the one before,
or takes away: a difference of potentials (Ng, Harada and Russell, 1999), whose sum is what the whole text is worth.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from honewise.contracts import Completion, Piece, Span

from .outcome import Outcome

__all__ = ["MOST_TURNS", "Turn", "in_turn", "settled"]

MOST_TURNS = 8
"""Answers of one text that are told apart, the last ones."""
_CLOSING = re.compile(r"(?:\s*(?:</\w+>|```|[])}*]))*")
"""Of an answer: tags, fences, brackets."""
_SETTLED = "in place of the answer before"


class Turn(NamedTuple):
    """An answer, and what is written between the one before and it. Places are in characters."""

    start: int
    answer: int
    """Where the answer itself begins."""
    completion: Completion
    """The text up to the end of the turn."""


def in_turn(read: Callable[[str], Completion | None], whole: Completion) -> list[Turn]:
    """The answers of a text in order; ``whole`` is that of the last turn.

    An answer stands in the piece ``answer``, without one in a piece that is its text; its turn ends where what closes
    it does. ``read`` is the domain's parser, or None for a text that it fails on.
    """
    said = _answer(whole)
    later = [Turn(0, 0 if said is None else said.start, whole)]
    while said is not None and 0 < said.start < len(whole.text) and len(later) < MOST_TURNS:
        before = read(whole.text[: said.start])
        earlier = None if before is None else _answer(before)
        if earlier is None or earlier.start >= said.start:
            break
        closing = _CLOSING.match(whole.text, earlier.end, said.start)
        end = earlier.end if closing is None else closing.end()
        alone = read(whole.text[:end])
        if alone is None:
            break
        later[0] = later[0]._replace(start=end)
        later.insert(0, Turn(0, earlier.start, alone))
        said = earlier
    return later


def _answer(completion: Completion) -> Piece | None:
    pieces, said = completion.pieces, completion.answer
    if "answer" in pieces:
        return pieces["answer"]
    return next((piece for piece in pieces.values() if piece.text == said), None)


def settled(turns: Sequence[tuple[Turn, Outcome]]) -> Outcome:
    """The last outcome, with spans that each stand behind everything that earned them; their sum is unchanged.

    Each turn comes with what the text was worth at its end. What it earns outside of itself, and what it loses of the
    turns before, is settled at the first character of its answer.
    """
    (_, standing), *later = turns
    spans = list(standing.spans)
    for turn, outcome in later:
        before, now = Counter(standing.spans), Counter(outcome.spans)
        fresh, gone = list((now - before).elements()), (before - now).elements()
        spans += [span for span in fresh if span.end > turn.start]
        owed = math.fsum([*(s.value for s in fresh if s.end <= turn.start), *(-s.value for s in gone)])
        if owed:
            spans.append(Span(turn.answer, turn.answer + 1, owed, _SETTLED))
        standing = outcome
    return replace(standing, spans=tuple(spans), seconds=math.fsum(outcome.seconds for _, outcome in turns))
