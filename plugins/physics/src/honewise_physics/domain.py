"""The domain: options in, prompt, parser, rewards, presets, readers, samples and metrics out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

from honewise import Domain, Task, UserError

from .judging import RANKING, STEPS
from .metrics import METRICS
from .parse import parse
from .presets import PRESETS
from .prompts import Form
from .readers import all_readers
from .rewards import all_rewards
from .samples import WORLDS
from .samples import tasks as sample_tasks

__all__ = ["physics"]

_DIFFICULTIES = {
    **dict.fromkeys(("easy", "knowledge", "one step"), 0.0),
    **dict.fromkeys(("medium", "two steps"), 0.5),
    **dict.fromkeys(("hard", "three steps"), 1.0),
}


def physics(
    *,
    style: Literal["full", "compact"] = "full",
    world: str = "school",
    tolerance: float | None = None,
    language: str | None = None,
) -> Domain:
    """Physics problems: numbers with units, steps that can be checked, expressions and choices.

    Args:
        style: ``full`` asks in words for reasoning and answer in tags; ``compact``, for tiny models, shows the problem
            only and wants steps and ``<answer>``.
        world: which of the sample problems: ``simple``, ``school`` or ``all``.
        tolerance: how far numbers of data may be off, as a share; None: as each data set's own rule has it.
        language: of data sets with several, the one to read: ``en`` or ``zh`` of UGPhysics; None: all.

    Raises:
        UserError: an option has a value that is not allowed.
    """
    if style not in ("full", "compact"):
        raise UserError(f"style is {style!r}; allowed are 'full' and 'compact'")
    if world not in WORLDS:
        raise UserError(f"world is {world!r}; allowed are {', '.join(WORLDS)}")
    if tolerance is not None and not 0 <= tolerance < 1:
        raise UserError(f"tolerance is {tolerance}; it must lie in [0, 1)")
    form = Form(style)
    return Domain(
        prompt=form.prompt,
        parse=parse,
        gold=form.gold,
        samples=partial(_samples, world=world, style=style),
        rewards=all_rewards(form),
        rubrics=PRESETS,
        readers=all_readers(tolerance, language),
        judges=[STEPS, RANKING],
        metrics=METRICS,
        difficulty=_difficulty,
    )


def _samples(split: str, *, world: str, style: str) -> Iterator[Task]:
    yield from sample_tasks(split, world=world, compact=style == "compact")


def _difficulty(task: Task) -> float:
    """0 (easiest) to 1 by the data set's own word; 0.5 where it has none that is known."""
    return _DIFFICULTIES.get(str(task.meta.get("difficulty")), 0.5)
