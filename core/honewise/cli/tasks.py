"""``honewise tasks``: what a data set asks, and what would be right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from honewise.contracts import Message, Task
from honewise.errors import DataError, UserError
from honewise.scoring.packing import plain

from .data_options import DataPath, DomainName, Format, Limit, Options, Split, open_domain, open_tasks
from .terminal import json_line, note, print_table, show

__all__ = ["attach"]

_WIDTH = 60


def attach(app: typer.Typer) -> None:
    app.command()(tasks)


def tasks(
    domain: DomainName,
    data: DataPath = None,
    format: Format = None,
    split: Split = "held-out",
    limit: Limit = None,
    option: Options = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per task: task_id, prompt, reference, gold.")
    ] = False,
) -> None:
    """List the tasks of a data set: what the policy is shown, the reference, and a completion that is right.

    Example: honewise tasks text-to-sql --data spider --json
    """
    opened = open_domain(domain, option)
    found = open_tasks(opened, data, format, split, limit)
    if as_json:
        for task in found:
            show(json_line(_row(task, opened.gold)))
        return
    asked = _apart([_asked(task.prompt) for task in found])
    asked = [_question(task) or text for task, text in zip(found, asked, strict=True)]
    golds = _apart([_gold(task, opened.gold) or "-" for task in found])
    rows = [(task.id, _short(q), _short(gold)) for task, q, gold in zip(found, asked, golds, strict=True)]
    print_table(("task", "prompt", "gold"), rows)
    note(f"{len(found)} tasks of {found.source} ({found.format}); --json shows them whole")


def _row(task: Task, gold: Any) -> dict[str, Any]:
    return {
        "task_id": task.id,
        "prompt": plain(task.prompt),
        "reference": plain(task.reference),
        "gold": _gold(task, gold),
    }


def _gold(task: Task, gold: Any) -> str | None:
    try:
        text: str | None = gold(task)
    except UserError:
        raise
    except Exception as error:
        raise DataError(
            f"task {task.id!r}: no gold completion can be made ({type(error).__name__}: {error})"
        ) from error
    return text


def _asked(prompt: tuple[Message, ...]) -> str:
    """What the last message asks."""
    content = prompt[-1].get("content", "") if prompt else ""
    return content if isinstance(content, str) else str(content)


def _question(task: Task) -> str:
    """What most domains call a task's question."""
    question = task.inputs.get("question")
    return question if isinstance(question, str) else ""


def _apart(texts: Sequence[str]) -> list[str]:
    """Each without what all of them begin and end with, to the nearest line or word: a template tells none apart."""
    if len(set(texts)) < 2:
        return list(texts)
    start = _edge(texts)
    rest = [text[start:] for text in texts]
    end = _edge([text[::-1] for text in rest])
    return [text[: len(text) - end].strip() or whole for text, whole in zip(rest, texts, strict=True)]


def _edge(texts: Sequence[str]) -> int:
    """How long a beginning all texts share, up to the end of a line or else of a word."""
    first, last = min(texts), max(texts)
    length = next((i for i, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return (first.rfind("\n", 0, length) + 1) or (first.rfind(" ", 0, length) + 1)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _WIDTH else "…" + flat[-_WIDTH + 1 :]
