"""Sample questions of our own making, about an invented world: what the quickstart trains on.

Two worlds: ``simple`` (English, three things to ask, four options, few words: what a model of two million parameters
learns in minutes) and ``wide`` (English, Persian, Arabic and Spanish, five things to ask, three to five options, some
with a text that they are about).

Three splits share no pair of an ailment and what is asked about it: demonstrations, train, held-out. Demonstrations are
worded in one manner, training and held-out questions in every manner.
"""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache
from typing import Literal

from honewise import Task
from honewise.errors import UnknownName
from honewise_medical_mcq.tasks import make_task

from .world import ENDINGS, FACTS, LANGUAGES, STEMS, WORLDS, World

__all__ = ["DEMONSTRATIONS", "HELD_OUT", "TRAIN", "WORLDS", "tasks"]

DEMONSTRATIONS, TRAIN, HELD_OUT = 400, 2000, 600
"""How many tasks each split has."""

Split = Literal["demonstrations", "train", "held-out"]

_SHARES: tuple[tuple[int, Split], ...] = ((3, "demonstrations"), (6, "held-out"), (10, "train"))


def tasks(split: str, *, world: str = "simple", seed: int = 0) -> list[Task]:
    """The tasks of one split, the same for the same arguments, anywhere.

    Args:
        split: ``train`` (first ``DEMONSTRATIONS`` tasks with ``meta["demonstration"]`` true, whose gold replies a warm-
            up may show, then ``TRAIN`` tasks without the mark) or ``held-out`` (``HELD_OUT`` tasks).
        world: ``simple`` or ``wide``.
        seed: another seed draws other tasks; no seed moves what is asked from one split to another.

    Raises:
        UnknownName: no such split or world.
    """
    if split == "train":
        return [*_generate("demonstrations", world, seed), *_generate("train", world, seed)]
    if split == "held-out":
        return list(_generate("held-out", world, seed))
    raise UnknownName("split of the samples", split, ("train", "held-out"))


@lru_cache(maxsize=16)
def _generate(split: Split, world: str, seed: int) -> tuple[Task, ...]:
    if world not in WORLDS:
        raise UnknownName("sample world", world, WORLDS)
    setting, dice = WORLDS[world], random.Random(f"{split}/{world}/{seed}")
    wanted = {"demonstrations": DEMONSTRATIONS, "train": TRAIN, "held-out": HELD_OUT}[split]
    asked: set[tuple[str, ...]] = set()
    made: list[Task] = []
    while len(made) < wanted:
        ailment, family = dice.choice(STEMS), dice.randrange(len(ENDINGS))
        ailment += f"-{ENDINGS[family]}"
        relation = dice.choice(setting.relations)
        if _split_of(ailment, relation) != split:
            continue
        task = _task(f"{world}-{split}-{seed}-{len(made)}", split, setting, dice, ailment, family, relation)
        key = (task.inputs["question"], *task.inputs["options"])
        if key not in asked:
            asked.add(key)
            made.append(task)
    return tuple(made)


def _split_of(ailment: str, relation: str) -> Split:
    bucket = hashlib.sha256(f"{ailment} {relation}".encode()).digest()[0] % 10
    return next(split for below, split in _SHARES if bucket < below)


def _task(id: str, split: Split, setting: World, dice: random.Random, ailment: str, family: int, relation: str) -> Task:
    language = dice.choice(setting.languages)
    phrasings = LANGUAGES[language][relation]
    pool = phrasings[:1] if split == "demonstrations" else phrasings
    right = FACTS[relation][family]
    others = [fact for fact in FACTS[relation] if fact != right]
    options = [right, *dice.sample(others, dice.choice(setting.options) - 1)]
    dice.shuffle(options)
    context = _context(dice, ailment, family) if setting.context and dice.random() < 0.25 else ""
    return make_task(
        id,
        dice.choice(pool).format(x=ailment),
        options,
        options.index(right),
        context=context,
        explanation=f"Ailments in -{ENDINGS[family]}: the {relation} is {right}.",
        language=language,
        subject=relation,
        meta={"invented": True, **({"demonstration": True} if split == "demonstrations" else {})},
    )


def _context(dice: random.Random, ailment: str, family: int) -> str:
    """A note of the invented world from which the answer can be read."""
    told = [f"the {relation} of {ailment} is {facts[family]}" for relation, facts in FACTS.items()]
    dice.shuffle(told)
    return f"A field note: {'; '.join(told)}."
