"""Many questions to a pairs file, and the published pairs of Gaokerena as one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from honewise import Judge, Task, UserError
from honewise.errors import DataError
from honewise.scoring.pairs import Pair
from honewise.scoring.preferences import write_pairs
from honewise_medical_mcq.readers.layout import cells

from .loop import Outcome, Writer, corrected_pair, retried_pair

__all__ = ["Built", "build_pairs", "gaokerena_pairs"]


@dataclass(slots=True)
class Built:
    """Pairs, and what became of the other questions."""

    pairs: list[Pair] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


async def build_pairs(
    tasks: Iterable[Task],
    student: Writer,
    teacher: Judge,
    *,
    method: Literal["teacher", "retry"] = "teacher",
    rounds: int = 10,
    tries: int = 2,
    unreadable: Literal["skip", "rejected"] = "skip",
    at_once: int = 8,
    out: str | Path | None = None,
    student_name: str = "",
    teacher_name: str = "",
    note: Callable[[Task, Outcome], None] = lambda _task, _outcome: None,
) -> Built:
    """Pairs for every question that the student gets wrong, in the order of the tasks.

    Args:
        tasks: with their prompts, as ``honewise.load_domain("medical-mcq").tasks(...)`` gives them.
        student, teacher: see ``corrected_pair``; ``writer_of`` makes a student of a judge.
        method: ``teacher`` (the teacher rewrites) or ``retry`` (the teacher criticises, the student tries again).
        at_once: questions that are worked on at the same time.
        out: a pairs file, written whole or not at all; nothing is written where there are no pairs.
        student_name, teacher_name: for the record of each pair.
        note: told what became of each question.

    Raises ``UserError`` for a method that does not exist, a prompt that is missing, and where no pair came of it while
    ``out`` asks for a file; its message says what became of the questions.
    """
    if method not in ("teacher", "retry"):
        raise UserError(f"method is {method!r}; allowed are teacher, retry")
    if at_once < 1 or rounds < 1 or tries < 1:
        raise UserError(f"at_once ({at_once}), rounds ({rounds}) and tries ({tries}) must be at least 1")
    names = {"student": student_name, "teacher": teacher_name}
    gate = asyncio.Semaphore(at_once)

    async def one(task: Task) -> Outcome:
        if not task.prompt:
            raise UserError(f"task {task.id!r} has no prompt; load tasks through honewise.load_domain('medical-mcq')")
        async with gate:
            if method == "teacher":
                made = await corrected_pair(task, student, teacher, tries=tries, unreadable=unreadable, names=names)
            else:
                made = await retried_pair(
                    task, student, teacher, rounds=rounds, tries=tries, unreadable=unreadable, names=names
                )
        note(task, made)
        return made

    built = Built()
    for outcome in await asyncio.gather(*map(one, tasks)):
        built.counts[outcome.why] += 1
        if outcome.pair is not None:
            built.pairs.append(outcome.pair)
    if out is not None:
        if not built.pairs:
            became = ", ".join(f"{count} {why}" for why, count in built.counts.most_common())
            raise UserError(f"{out}: no pair came of it, so nothing is written ({became or 'no questions'})")
        write_pairs(out, built.pairs)
    return built


def gaokerena_pairs(path: str | Path) -> list[Pair]:
    """The published pairs: a spreadsheet with ``prompt``, ``prefered_answer`` and ``rejected_answer``.

    Their preferred answers are in lower case throughout, which a policy can learn instead of the reasoning; it is said
    in each pair's ``provenance``. Rows without two different answers are left out.

    Raises ``DataError`` where the sheet is none of these.
    """
    rows = list(cells(Path(path)))
    head = [cell.strip().casefold() for cell in rows[0][1]] if rows else []
    wanted = {"prompt", "rejected_answer"}
    chosen_name = next((name for name in ("prefered_answer", "preferred_answer") if name in head), "")
    if not wanted <= set(head) or not chosen_name:
        raise DataError(f"{path}: no sheet of pairs; prompt, prefered_answer and rejected_answer are needed")
    pairs = []
    for number, (_, row) in enumerate(rows[1:]):
        cell = dict(zip(head, [*row, *[""] * len(head)], strict=False))
        chosen, rejected = cell[chosen_name], cell["rejected_answer"]
        if cell["prompt"] and chosen and rejected and chosen != rejected:
            pairs.append(
                Pair(
                    task_id=cell.get("id") or str(number),
                    prompt=({"role": "user", "content": cell["prompt"]},),
                    chosen=chosen,
                    rejected=rejected,
                    source="gaokerena",
                    provenance={"lower_case": chosen == chosen.lower() != chosen.upper()},
                )
            )
    return pairs
