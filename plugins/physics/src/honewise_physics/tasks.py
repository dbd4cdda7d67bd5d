"""The one shape of a physics task, whichever reader or generator made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from honewise import Task

__all__ = ["KINDS", "RULES", "Kind", "Rule", "make_task", "part"]

Kind = Literal["number", "expression", "equation", "choice", "boolean", "interval", "text"]
Rule = Literal["units", "scibench", "jee"]

KINDS: tuple[str, ...] = get_args(Kind)
RULES: tuple[str, ...] = get_args(Rule)
LETTERS = "ABCDEFGHIJ"


def part(text: str, kind: Kind = "number", unit: str = "") -> dict[str, str]:
    """One of the answers of a task: what it is, as text, and its unit, which may carry a power of ten."""
    return {"text": str(text).strip(), "kind": kind, "unit": unit.strip()}


def make_task(
    id: str,
    question: str,
    answers: Sequence[Mapping[str, str]],
    *,
    choices: Sequence[str] = (),
    unit: str = "",
    several: bool = False,
    rule: Rule = "units",
    tolerance: float = 0.05,
    solution: str = "",
    formula: str = "",
    symbols: Mapping[str, str] | None = None,
    meta: Mapping[str, Any] | None = None,
    images: Sequence[str] = (),
) -> Task:
    """A problem with its answers.

    Args:
        id: the data set's own id, else the zero-based row index as text.
        question: what is asked, in any language.
        answers: made by ``part``; all of them are wanted, in any order. Empty where the data has none.
        choices: texts of the options, the first of which is A.
        unit: the unit that the question asks for; a bare number is then taken to be in it.
        several: whether more than one choice may be right.
        rule: which comparison the data set calls right: ``units`` (this plugin's own), ``scibench`` or ``jee``.
        tolerance: how far a number may be off, as a share of it.
        solution: a worked solution, step by step.
        formula: the answer as an expression in the problem's symbols.
        symbols: ``{symbol: unit}`` of the problem, for checks of dimensions.
        meta: anything worth reporting by, such as ``subject`` and ``difficulty``.
        images: paths of figures.

    Returns:
        A ``Task`` whose ``inputs`` are ``question``, ``choices``, ``unit``, ``several``, ``wants`` (the kind of
        answer) and ``count`` (of answers), and whose ``reference``
        holds
        the rest.
    """
    kinds = {str(answer.get("kind") or "number") for answer in answers}
    return Task(
        id=id,
        inputs={
            "question": question.strip(),
            "choices": list(choices),
            "unit": unit.strip(),
            "several": several,
            "wants": kinds.pop() if len(kinds) == 1 else "",
            "count": len(answers),
        },
        reference={
            "answers": [dict(answer) for answer in answers],
            "rule": rule,
            "tolerance": tolerance,
            "solution": solution.strip(),
            "formula": formula.strip(),
            "symbols": dict(symbols or {}),
        },
        images=tuple(images),
        meta=dict(meta or {}),
    )
