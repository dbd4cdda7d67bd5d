"""Sample problems of our own making with worked solutions: what the quickstart trains on, and the domain's own tasks.

Three worlds:

- ``simple``: one or two steps with whole numbers below 1000: what a model of two million parameters learns in minutes;
- ``school``: one to three steps with three digits, other units and a sign;
- ``all``: both.

Three splits share no problem (its kind and its numbers) and no wording: demonstrations, train, held-out. Demonstrations
are worded in one manner, training problems in every manner; held-out ones use no phrasing of the other two, though the
same words.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from honewise import Task
from honewise.errors import UnknownName
from honewise_physics.tasks import make_task, part

from .catalogue import SCHOOL, SIMPLE
from .problems import Problem, Worked, number_text, work_out

__all__ = ["DEMONSTRATIONS", "HELD_OUT", "TRAIN", "WORLDS", "Split", "generate", "tasks"]

Split = Literal["demonstrations", "train", "held-out"]

DEMONSTRATIONS, TRAIN, HELD_OUT = 400, 2000, 600
"""How many tasks each split has."""

WORLDS: Mapping[str, tuple[tuple[Problem, ...], tuple[Problem, ...]]] = {
    "simple": (SIMPLE, ()),
    "school": (SIMPLE[5:], SCHOOL),
    "all": (SIMPLE, (*SIMPLE[5:], *SCHOOL)),
}
"""World to problems with whole numbers and problems with three digits."""

_SHARES: tuple[tuple[int, Split], ...] = ((2, "demonstrations"), (5, "held-out"), (10, "train"))
_DRAWS_PER_TASK = 60
_HELD_OUT_REST, _MODULUS, _SHOWN = 2, 3, 2
_DIGITS = 3
_TOLERANCE = 0.02


def tasks(split: str, *, world: str = "school", seed: int = 0, compact: bool = False) -> list[Task]:
    """The tasks of one split, in an order without meaning; the same for the same arguments, anywhere.

    Args:
        split: ``train`` (first ``DEMONSTRATIONS`` tasks with ``meta["demonstration"]`` true, whose solutions a
        warm-up may
            show, then ``TRAIN`` tasks without the mark) or ``held-out`` (``HELD_OUT`` tasks).
        world: ``simple``, ``school`` or ``all``.
        seed: another seed draws other tasks; no seed ever moves a problem from one split to another.
        compact: solutions with bare numbers and one short line for each step.

    Raises ``UnknownName``: no such split or world.
    """
    if split == "train":
        shown = generate("demonstrations", world, seed, compact)
        return [*shown, *generate("train", world, seed, compact)]
    if split == "held-out":
        return list(generate("held-out", world, seed, compact))
    raise UnknownName("split of the samples", split, ("train", "held-out"))


@lru_cache(maxsize=32)
def generate(split: Split, world: str = "school", seed: int = 0, compact: bool = False) -> tuple[Task, ...]:
    """The tasks of one split, cached in the process. Raises ``UnknownName`` for an unknown world."""
    if world not in WORLDS:
        raise UnknownName("sample world", world, WORLDS)
    wanted = {"demonstrations": DEMONSTRATIONS, "train": TRAIN, "held-out": HELD_OUT}[split]
    whole, digits = WORLDS[world]
    kinds = [*((problem, True) for problem in whole), *((problem, False) for problem in digits)]
    dice = random.Random(f"honewise-physics {split} {world} {seed}")
    asked: set[str] = set()
    found: list[Task] = []
    for _ in range(wanted * _DRAWS_PER_TASK):
        problem, small = dice.choice(kinds)
        values = _values(problem, dice, small)
        if _split_of(problem, values) != split:
            continue
        worked = work_out(problem, values, whole=small)
        if worked is None:
            continue
        task = _task(problem, values, worked, dice, split, f"{world}-{split}-{seed}-{len(found)}", compact, small)
        if task.inputs["question"] in asked:
            continue
        asked.add(task.inputs["question"])
        found.append(task)
        if len(found) == wanted:
            break
    return tuple(found)


def _values(problem: Problem, dice: random.Random, small: bool) -> dict[str, str]:
    values = {}
    for symbol, given in problem.givens.items():
        if small:
            values[symbol] = f"{dice.choice(given.small)} {given.unit}"
            continue
        number = dice.uniform(given.low, given.high)
        unit = dice.choice([given.unit, given.unit, *(given.units or {})])
        factor = (given.units or {}).get(unit, 1.0)
        values[symbol] = f"{number_text(number / factor, dice.choice((2, _DIGITS)))} {unit}"
    return values


def _split_of(problem: Problem, values: Mapping[str, str]) -> Split:
    """By kind and numbers, whatever the wording."""
    bucket = hashlib.sha256(f"{problem.name}: {sorted(values.items())}".encode()).digest()[0] % 10
    return next(split for below, split in _SHARES if bucket < below)


def _worded(problem: Problem, split: Split, dice: random.Random) -> tuple[str, str]:
    """The wording, and its name: kind and indices."""
    while True:
        most = [min(_SHOWN, len(slot)) if split == "demonstrations" else len(slot) for slot in problem.slots]
        chosen = [dice.randrange(count) for count in most]
        if (sum(chosen) % _MODULUS == _HELD_OUT_REST) == (split == "held-out"):
            text = "".join(slot[at] for slot, at in zip(problem.slots, chosen, strict=True))
            return text, f"{problem.name} {'-'.join(map(str, chosen))}"


def _task(
    problem: Problem,
    values: Mapping[str, str],
    worked: list[Worked],
    dice: random.Random,
    split: Split,
    name: str,
    compact: bool,
    small: bool,
) -> Task:
    text, phrasing = _worded(problem, split, dice)
    for symbol, value in values.items():
        text = text.replace(f"{{{symbol}}}", value)
    last = worked[-1]
    meta = {
        "source": "samples",
        "subject": problem.subject,
        "difficulty": ("one step", "two steps", "three steps")[len(worked) - 1],
        "kind": problem.name,
        "phrasing": phrasing,
    }
    if split == "demonstrations":
        meta["demonstration"] = True  # type: ignore[assignment]
    return make_task(
        name,
        text,
        [part(last.result, unit=last.unit)],
        rule="units",
        tolerance=0.001 if small else _TOLERANCE,
        solution=_compact(worked) if compact else _solution(problem, values, worked),
        formula="" if compact else _formula(problem),
        symbols=_symbols(problem),
        meta=meta,
    )


def _solution(problem: Problem, values: Mapping[str, str], worked: list[Worked]) -> str:
    told = ", ".join(f"{symbol} = {value}" for symbol, value in {**values, **(problem.constants or {})}.items())
    lines = [f"{step.symbol} = {step.symbolic} = {step.numeric} = {step.result} {step.unit}" for step in worked]
    return "\n".join([f"Given: {told}", *lines])


def _compact(worked: list[Worked]) -> str:
    return "\n".join(f"{step.symbol}={step.bare}={step.result} {step.unit}" for step in worked) + "\n"


def _formula(problem: Problem) -> str:
    """The answer in what is given: each step put into the next."""
    known: dict[str, str] = {}
    for step in problem.steps:
        text = step.expression
        for symbol, inner in known.items():
            text = text.replace(f"{{{symbol}}}", f"({inner})")
        known[step.symbol] = text
    return known[problem.steps[-1].symbol].replace("{", "").replace("}", "").replace(" m/s", "")


def _symbols(problem: Problem) -> dict[str, str]:
    constants = {symbol: value.split(" ", 1)[1] for symbol, value in (problem.constants or {}).items()}
    givens = {symbol: given.unit for symbol, given in problem.givens.items()}
    return {**givens, **constants, **{step.symbol: step.unit for step in problem.steps}}
