"""The one shape of a multiple-choice task, whichever reader or generator made it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from honewise import Task
from honewise.errors import DataError

from .language import language_of

__all__ = ["LETTERS", "MOST_OPTIONS", "YES_NO_MAYBE", "gold_label", "label_text", "make_task", "shuffled"]

LETTERS = "ABCDEFGHIJ"
MOST_OPTIONS = len(LETTERS)
"""How many options a question may have."""
YES_NO_MAYBE = ("yes", "no", "maybe")
"""The options of PubMedQA, which are their own labels."""


def make_task(
    id: str,
    question: str,
    options: Sequence[str],
    answer: int | None,
    *,
    labels: Sequence[str] | None = None,
    context: str = "",
    explanation: str = "",
    language: str = "",
    subject: str = "",
    meta: Mapping[str, Any] | None = None,
) -> Task:
    """A question with options, one of which is right.

    Args:
        id: the data set's own id, else the zero-based row index as text.
        question: what is asked, in any language.
        options: the texts of 2 to 10 options, in the order in which they are shown.
        answer: the zero-based place of the right one; None where the data does not say.
        labels: what each option is called; left out, A, B, C, ...
        context: a text the question is about, such as an abstract; shown above the question.
        explanation: why the answer is right; judges and teachers see it, the policy does not.
        language: ISO 639-1 code; left out, that of the question.
        subject: metrics report by it.
        meta: anything more worth reporting by.

    Returns:
        A ``Task`` with

        - ``inputs``: ``question``, ``options`` (texts), ``labels`` (as many), ``context``, ``language``;
        - ``reference``: ``answer`` (the right option's place, or None), ``explanation``;
        - ``meta``: ``subject`` and what ``meta`` adds.

    Raises:
        DataError: fewer than two options or too many, an empty one, or an answer outside them.
    """
    texts = [str(option).strip() for option in options]
    if not 2 <= len(texts) <= MOST_OPTIONS:
        raise DataError(f"task {id!r}: {len(texts)} options; a question has 2 to {MOST_OPTIONS}")
    if not all(texts):
        raise DataError(f"task {id!r}: option {LETTERS[texts.index('')]} is empty")
    if answer is not None and not 0 <= answer < len(texts):
        raise DataError(f"task {id!r}: the right option is number {answer} from 0, of {len(texts)} options")
    if not question.strip():
        raise DataError(f"task {id!r}: the question is empty")
    return Task(
        id=id,
        inputs={
            "question": question.strip(),
            "options": texts,
            "labels": list(labels or LETTERS[: len(texts)]),
            "context": context.strip(),
            "language": language or language_of(question),
        },
        reference={"answer": answer, "explanation": explanation.strip()},
        meta={"subject": subject, **(meta or {})},
    )


def gold_label(task: Task) -> str | None:
    """What the right option is called; None where the data does not say."""
    place = task.reference.get("answer")
    return None if place is None else str(task.inputs["labels"][place])


def label_text(task: Task, label: str) -> str:
    """The text of the option called ``label``."""
    return str(task.inputs["options"][task.inputs["labels"].index(label)])


def shuffled(task: Task, seed: int | None) -> Task:
    """The task with its options in another order, which follows from the seed and the task's id alone.

    ``None`` leaves them as they are, and so do options that are their own labels (yes, no, maybe). ``meta["order"]``
    holds the former place of each.
    """
    texts, labels = task.inputs["options"], task.inputs["labels"]
    if seed is None or list(texts) == list(labels):
        return task
    order = list(range(len(texts)))
    random.Random(f"options {seed} {task.id}").shuffle(order)
    answer = task.reference.get("answer")
    return replace(
        task,
        inputs={**task.inputs, "options": [texts[place] for place in order]},
        reference={**task.reference, "answer": None if answer is None else order.index(answer)},
        meta={**task.meta, "order": order},
    )
