"""The domain: options in, prompt, parser, rewards, presets, readers, samples and metrics out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from honewise import Domain, Task, UserError
from honewise.sandbox import SqlLimits

from .judging import NEAR_MATCH
from .metrics import METRICS
from .parse import parse
from .presets import PRESETS
from .prompts import Form
from .readers import Settings, all_readers
from .rewards import all_rewards
from .samples import tasks as sample_tasks
from .schema import read_schema
from .serialise import SchemaStyle
from .tasks import show_schema

__all__ = ["text_to_sql"]

_DIFFICULTIES = {
    **dict.fromkeys(("easy", "simple"), 0.0),
    **dict.fromkeys(("medium", "moderate"), 1 / 3),
    **dict.fromkeys(("hard", "challenging"), 2 / 3),
    "extra": 1.0,
}


def text_to_sql(
    *,
    style: Literal["full", "compact"] = "full",
    reasoning: bool | None = None,
    schema_tokens: int = 2000,
    prune: bool = False,
    databases: str | None = None,
    seconds: float = 5.0,
    world: str = "simple",
) -> Domain:
    """Questions in any language to queries for SQLite.

    Args:
        style: ``full`` asks in words and wants a fenced query; ``compact``, for tiny models, shows schema and question
            only and wants ``<answer>query</answer>``.
        reasoning: whether the reply must think first, in ``<reasoning>`` tags; None: in the full style only.
        schema_tokens: budget of the schema in the prompt, in estimated tokens.
        prune: show only the tables that the gold query uses.
        databases: folder that holds ``<db_id>/<db_id>.sqlite``, where it is not beside the data.
        seconds: time limit of one query.
        world: which of the sample questions: ``simple``, ``joins`` or ``all``.

    Raises:
        UserError: an option has a value that is not allowed.
    """
    if style not in ("full", "compact"):
        raise UserError(f"style is {style!r}; allowed are 'full' and 'compact'")
    if schema_tokens < 1:
        raise UserError(f"schema_tokens is {schema_tokens}; it must be at least 1")
    if not seconds > 0:
        raise UserError(f"seconds is {seconds}; it must be above 0")
    form = Form(style, style == "full" if reasoning is None else reasoning)
    look = SchemaStyle(style, schema_tokens, prune)
    settings = Settings(Path(databases).expanduser() if databases else None, look)

    def samples(split: str) -> Iterator[Task]:
        for task in sample_tasks(split, world=world):
            yield show_schema(task, read_schema(task.reference["database"]), look)

    return Domain(
        prompt=form.prompt,
        parse=parse,
        gold=form.gold,
        samples=samples,
        rewards=all_rewards(form, SqlLimits(seconds=seconds)),
        rubrics=PRESETS,
        readers=all_readers(settings),
        judges=[NEAR_MATCH],
        metrics=METRICS,
        difficulty=_difficulty,
    )


def _difficulty(task: Task) -> float:
    """0 (easiest) to 1 by the data set's own word; 0.5 where it has none that is known."""
    return _DIFFICULTIES.get(str(task.meta.get("difficulty")), 0.5)
