"""The toy domain: sums that a tiny model can learn in a minute, and a complete example of a domain.

It shows each part once: options, a prompt, a parser that keeps positions, dense and sparse rewards, presets, a
reader, metrics and samples. It uses what any plugin may use, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from honewise import Completion, Domain, Message, Piece, Reader, Rubric, Score, Scored, Span, Task, UserError, reward
from honewise.data import first_object, read_jsonl
from honewise.errors import DataError
from honewise.rewards import pay_tags, tagged

from .expressions import MOST_NUMBERS, Step, random_expressions, work_out

__all__ = ["arithmetic"]

TRAIN, HELD_OUT = 2000, 200

_NUMBER = re.compile(r"-?[0-9]{1,200}")
_STEP = r"^[ \t]*(-?[0-9]{1,200})[ \t]*([+*-])[ \t]*(-?[0-9]{1,200})[ \t]*=[ \t]*(-?[0-9]{1,200})[ \t]*$"


def arithmetic(*, numbers: int = 3, largest: int = 20, reasoning: bool = True) -> Domain:
    """Sums of so many ``numbers`` from 0 to ``largest``; with ``reasoning``, the steps are asked for and paid."""
    if not 2 <= numbers <= MOST_NUMBERS:
        raise UserError(f"numbers must lie between 2 and {MOST_NUMBERS}, not {numbers}")
    if not 1 <= largest <= 999_999:
        raise UserError(f"largest must lie between 1 and 999999, not {largest}")
    plain = Rubric({"correct": 1.0}, correct="correct")
    if reasoning:
        dense = Rubric({"correct": 2.0, "digits": 0.5, "steps": 0.5, "form": 0.25}, correct="correct")
        rewards = [correct, digits, steps, form]
    else:
        dense = Rubric({"correct": 2.0, "digits": 0.5, "answer_form": 0.25}, correct="correct")
        rewards = [correct, digits, answer_form]
    return Domain(
        prompt=partial(_prompt, reasoning=reasoning),
        parse=_parse,
        gold=partial(_gold, reasoning=reasoning),
        samples=partial(_samples, numbers=numbers, largest=largest),
        rewards=rewards,
        rubrics={"partial": dense, "answer-only": plain},
        readers={"sums": Reader(_read, _recognise, _from_rows)},
        metrics={"accuracy": _accuracy},
        difficulty=_difficulty,
    )


def _prompt(task: Task, *, reasoning: bool) -> Sequence[Message]:
    form = "<think>steps</think><answer>number</answer>" if reasoning else "<answer>number</answer>"
    return [{"role": "user", "content": f"Work out {task.inputs['expression']}\n{form}"}]


def _gold(task: Task, *, reasoning: bool) -> str:
    found = work_out(task.inputs["expression"])
    thought = "\n".join(str(step) for step in found)
    return f"<think>{thought}</think>" * reasoning + f"<answer>{found[-1].result}</answer>"


def _parse(text: str, _: Task) -> Completion:
    pieces: dict[str, Piece] = {}
    for name, tag in (("reasoning", "think"), ("answer", "answer")):
        if (piece := tagged(text, tag)) is not None:
            pieces[name] = piece
    said = pieces["answer"].text.strip() if "answer" in pieces else ""
    return Completion(text, said if _NUMBER.fullmatch(said) else None, pieces)


@reward
def correct(task: Task, completion: Completion) -> bool:
    """Whether the answer is the right number."""
    return completion.answer is not None and int(completion.answer) == task.reference["answer"]


@reward
def digits(task: Task, completion: Completion) -> Score:
    """The share of the answer's characters that are right, counted from the last digit; each is paid where it stands.

    A missing or superfluous digit counts as wrong, and so does a wrong sign.
    """
    if completion.answer is None:
        return Score()
    wanted, said = str(task.reference["answer"]), completion.answer
    (number,) = completion.pieces["answer"].find(re.escape(said))
    share = 1 / max(len(wanted), len(said))
    last = len(said) - 1
    right = [last - back for back, (a, b) in enumerate(zip(reversed(said), reversed(wanted), strict=False)) if a == b]
    return Score(spans=[number.slice(at, at + 1).pays(share, "digit") for at in reversed(right)])


@reward
def steps(task: Task, completion: Completion) -> Score:
    """The share of the needed steps that are written down, one to a line, each paid where it stands.

    A step counts once, in any order, until the first false equation: what rests on an error earns nothing.
    """
    needed = work_out(task.inputs["expression"])
    open_steps = [step.key for step in needed]
    spans: list[Span] = []
    for line in completion.pieces.get("reasoning", Piece("")).find(_STEP, re.MULTILINE):
        step = _step(line.text)
        if not step.true:
            return Score(spans=spans, feedback=f"{step} is false")
        if step.key in open_steps:
            open_steps.remove(step.key)
            spans.append(line.pays(1 / len(needed), "step"))
    return Score(spans=spans, feedback=f"{len(open_steps)} of {len(needed)} steps missing" * bool(open_steps))


@reward
def form(completion: Completion) -> Score:
    """Pays each of the four tags that stands once and in order."""
    return pay_tags(completion, ("think", "answer"))


@reward
def answer_form(completion: Completion) -> Score:
    """Pays each of the two answer tags that stands once and in order."""
    return pay_tags(completion, ("answer",))


def _step(line: str) -> Step:
    match = re.fullmatch(_STEP, line)
    assert match is not None
    return Step(int(match[1]), match[2], int(match[3]), int(match[4]))


def _samples(split: str, *, numbers: int, largest: int) -> Iterator[Task]:
    """Different sums, every tenth of them held out."""
    stride = (TRAIN + HELD_OUT) // HELD_OUT
    for index, expression in enumerate(random_expressions(numbers, largest, TRAIN + HELD_OUT, seed=0)):
        if (index % stride == 0) == (split == "held-out"):
            yield _task(f"{split}-{index}", expression)


def _task(name: str, expression: str) -> Task:
    found = work_out(expression)
    return Task(name, {"expression": expression}, {"answer": found[-1].result}, meta={"steps": len(found)})


def _read(path: Path) -> Iterator[Task]:
    """A file of JSON lines: ``{"expression": "1 + 2 * 3"}``, optionally with ``id`` and ``answer``."""
    for line, row in read_jsonl(path):
        yield _from_row(row, line - 1, f"{path}:{line}")


def _from_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
    for index, row in enumerate(rows):
        yield _from_row(row, index, f"row {index}")


def _from_row(row: Mapping[str, Any], index: int, where: str) -> Task:
    expression = row.get("expression")
    if not isinstance(expression, str):
        raise DataError(f"{where}: 'expression' must be text such as '1 + 2 * 3', not {expression!r}")
    try:
        task = _task(str(row.get("id", index)), expression)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    answer = task.reference["answer"]
    if row.get("answer", answer) != answer:
        raise DataError(f"{where}: {expression} is {answer}, not {row['answer']!r}")
    return task


def _recognise(path: Path) -> bool:
    if not path.is_file():
        return False
    return isinstance((first_object(path) or {}).get("expression"), str)


def _accuracy(scored: Sequence[Scored]) -> Mapping[str, float]:
    """The share of correct answers, of readable ones, and of correct ones by number of steps."""
    groups: dict[str, list[float]] = {"accuracy": [float(row.correct is True) for row in scored]}
    groups["readable"] = [float(row.completion.answer is not None) for row in scored]
    for row in scored:
        steps = len(work_out(row.task.inputs["expression"]))
        groups.setdefault(f"{steps} steps", []).append(float(row.correct is True))
    return {name: sum(values) / len(values) for name, values in groups.items() if values}


def _difficulty(task: Task) -> float:
    return float(sum(len(str(abs(step.result))) for step in work_out(task.inputs["expression"])))
