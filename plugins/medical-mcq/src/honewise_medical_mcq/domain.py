"""The domain: options in, prompt, parser, rewards, presets, readers, samples and metrics out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from honewise import Domain, Reader, Task, UserError

from .judging import GROUNDING, QUALITY, JudgedRewards
from .metrics import METRICS
from .parse import parse
from .presets import presets
from .prompts import Form
from .readers import Settings, all_readers
from .rewards import all_rewards
from .samples import tasks as sample_tasks
from .tasks import shuffled

__all__ = ["medical_mcq"]


def medical_mcq(
    *,
    style: Literal["full", "compact"] = "full",
    reasoning: bool = True,
    confidence: bool = False,
    abstain: bool = False,
    shuffle: int | None = None,
    counts_from: int | None = None,
    locale: str = "",
    world: str = "simple",
) -> Domain:
    """Multiple-choice medicine in any language. For the study of language models; not a medical device.

    Args:
        style: ``full`` asks in words; ``compact``, for tiny models, shows question and options only.
        reasoning: whether the reply thinks before it answers.
        confidence: whether the reply states the probability that it is right.
        abstain: whether the prompt allows leaving the question open, and says what a wrong answer costs.
        shuffle: a seed by which the options of each question are put in another order; null: as the data has them.
        counts_from: 0 or 1, where a data set numbers right options and the numbers do not show from where.
        locale: whom judges judge for: ``ar``, ``fa``, ``hi``, ``zh``, or a text of your own.
        world: which of the sample questions: ``simple`` or ``wide``.

    Raises:
        UserError: an option has a value that is not allowed.
    """
    if style not in ("full", "compact"):
        raise UserError(f"style is {style!r}; allowed are 'full' and 'compact'")
    form = Form(style, reasoning, confidence, abstain)
    judged = JudgedRewards(locale)

    def ordered(tasks: Iterable[Task]) -> Iterator[Task]:
        return (shuffled(task, shuffle) for task in tasks)

    return Domain(
        prompt=form.prompt,
        parse=parse,
        gold=form.gold,
        samples=lambda split: ordered(sample_tasks(split, world=world)),
        rewards=[*all_rewards(form), *judged.rewards()],
        rubrics=presets(reasoning),
        readers={name: _shuffling(reader, ordered) for name, reader in all_readers(Settings(counts_from)).items()},
        judges=[QUALITY, GROUNDING],
        metrics=METRICS,
    )


def _shuffling(reader: Reader, ordered: Callable[[Iterable[Task]], Iterable[Task]]) -> Reader:
    rows = reader.rows

    def read(path: Path) -> Iterable[Task]:
        return ordered(reader.read(path))

    def read_rows(given: Iterable[Mapping[str, Any]]) -> Iterable[Task]:
        assert rows is not None
        return ordered(rows(given))

    return replace(reader, read=read, rows=None if rows is None else read_rows)
