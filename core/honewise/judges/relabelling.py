"""Which labels of an AI are worth a look: targeted relabelling (RLTHF, 2502.13417).

A reward model that was trained on an AI's labels gives each labelled pair a margin, delta = r(chosen) - r(rejected).
Most wrong labels have a low one. The selection says which labels are kept, which are asked about and which are turned
round; an annotator answers; every change is in the log. **Cross-fit the reward model**: one that has seen a pair has
learnt its wrong label, and its margin says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from honewise.errors import UserError

__all__ = ["Annotator", "Comparison", "Label", "Relabelled", "Selection", "relabel", "select"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A labelled pair."""

    id: str
    prompt: str
    chosen: str
    rejected: str


class Annotator(Protocol):
    """Answers for some pairs, by id: True where the label stands, False where the other answer is better; those about
    which it says nothing are left out."""

    def __call__(self, items: Sequence[Comparison], /) -> Awaitable[Mapping[str, bool]]: ...


@dataclass(frozen=True, slots=True)
class Selection:
    """Places of pairs, each in one of the four."""

    keep: tuple[int, ...]
    """The label is trusted: highest margins first."""
    ask: tuple[int, ...]
    """Somebody should look: lowest margins first."""
    flip: tuple[int, ...]
    """The label is taken for wrong."""
    rest: tuple[int, ...]
    """Neither trusted nor looked at, for want of budget; not to be trained on."""
    elbow: float
    """The margin at which the steep head of the sorted curve ends; labels below its negative are turned round."""
    knee: float
    """The margin at which the steep tail begins; labels above it are trusted."""


@dataclass(frozen=True, slots=True)
class Label:
    """One pair's label after relabelling."""

    id: str
    stands: bool
    """False: the other answer is the better one."""
    source: Literal["ai", "flip", "annotator"]
    delta: float


@dataclass(frozen=True, slots=True)
class Relabelled:
    """What a round came to."""

    labels: tuple[Label, ...]
    """Of pairs to train on, in the caller's order."""
    selection: Selection
    log: tuple[Mapping[str, Any], ...] = field(default=())
    """A row for each label that was looked at or changed: id, delta, what was done, why."""


def select(deltas: Sequence[float], *, budget: float = 0.07, backoff: float = 0.0, flip: bool = True) -> Selection:
    """Which labels to keep, to ask about and to turn round.

    The margins, sorted from high to low and smoothed by a moving mean over n / 50 of them, are a curve with a steep
    head, a flat middle and a steep tail. Against the straight line from its first to its last point, the elbow is where
    it is furthest below before the knee, and the knee where it is furthest above: there the slope is that of the line.
    (The paper names elbow and knee and says that they come from the first derivative; this definition is ours.)

    Args:
        deltas: margins of a reward model that has not seen the pair.
        budget: the share of all pairs that may be asked about.
        backoff: the share of trusted pairs, those nearest to the knee, that are left aside.
        flip: whether labels with a margin below the negative of the elbow's are turned round; else they are asked about
            first.

    Raises ``UserError`` where there are fewer than three.
    """
    count = len(deltas)
    if count < 3 or not all(math.isfinite(delta) for delta in deltas):
        raise UserError(f"relabelling needs three or more margins, all finite; given: {count}")
    order = sorted(range(count), key=lambda place: (-deltas[place], place))
    elbow, knee = _bends(_smoothed([deltas[place] for place in order]))
    high, low = deltas[order[elbow]], deltas[order[knee]]
    turned = [place for place in order if flip and high > 0 and deltas[place] < -high]
    wrong = frozenset(turned)
    trusted = [place for place in order if deltas[place] > low and place not in wrong]
    known = wrong | frozenset(trusted)
    between = [place for place in reversed(order) if place not in known]
    most = math.floor(budget * count + 1e-9)
    kept = trusted[: len(trusted) - math.floor(backoff * len(trusted) + 1e-9)]
    return Selection(
        tuple(kept),
        tuple(between[:most]),
        tuple(turned),
        tuple(between[most:]) + tuple(trusted[len(kept) :]),
        high,
        low,
    )


async def relabel(
    items: Sequence[Comparison],
    deltas: Sequence[float],
    annotator: Annotator,
    *,
    budget: float = 0.07,
    backoff: float = 0.0,
    flip: bool = True,
) -> Relabelled:
    """One round: select, ask the annotator, and say which labels to train on.

    The next round trains a reward model on these, those of the annotator perhaps several times, and comes back with new
    margins. A pair about which the annotator says nothing is left out.
    """
    chosen = select(deltas, budget=budget, backoff=backoff, flip=flip)
    answers = await annotator([items[place] for place in chosen.ask])
    labels: dict[int, Label] = {}
    log: list[Mapping[str, Any]] = []

    def note(place: int, did: str, why: str) -> None:
        log.append({"id": items[place].id, "delta": deltas[place], "did": did, "why": why})

    for place in chosen.keep:
        labels[place] = Label(items[place].id, True, "ai", deltas[place])
    for place in chosen.flip:
        labels[place] = Label(items[place].id, False, "flip", deltas[place])
        note(place, "turned round", f"its margin is below {-chosen.elbow:g}, the negative of the elbow's")
    for place in chosen.ask:
        stands = answers.get(items[place].id)
        if stands is None:
            note(place, "left out", "the annotator said nothing")
            continue
        labels[place] = Label(items[place].id, bool(stands), "annotator", deltas[place])
        note(place, "confirmed" if stands else "turned round", "the annotator said so")
    return Relabelled(tuple(labels[place] for place in sorted(labels)), chosen, tuple(log))


def _bends(curve: Sequence[float]) -> tuple[int, int]:
    """Where the curve is furthest below its chord before it is furthest above, and where that is."""
    last = len(curve) - 1
    above = [curve[at] - (curve[0] + (curve[-1] - curve[0]) * at / last) for at in range(last + 1)]
    knee = max(range(last + 1), key=lambda at: (above[at], -at))
    elbow = min(range(knee + 1), key=lambda at: (above[at], at))
    return elbow, knee


def _smoothed(values: Sequence[float]) -> list[float]:
    """A moving mean over n / 50 values on either side together, fewer at the ends."""
    half = len(values) // 100
    sums = [0.0]
    for value in values:
        sums.append(sums[-1] + value)
    found = []
    for at in range(len(values)):
        reach = min(half, at, len(values) - 1 - at)
        found.append((sums[at + reach + 1] - sums[at - reach]) / (2 * reach + 1))
    return found
