"""Replies to coding requests, rated by a judge for one of five preferences, after CodeUltraFeedback.

The preferences and their scale of five levels are the data set's; the wording of the judges is ours, and each reply is
rated alone, not beside three others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from honewise import Completion, Judge, JudgeTemplate, Message, Piece, Reader, Score, Task, Unscored, reward
from honewise.data.files import first_object, read_jsonl
from honewise.errors import DataError
from honewise.judges import scale

from .calls import parsed
from .samples import program_tasks

__all__ = [
    "CODEULTRAFEEDBACK",
    "JUDGES",
    "PREFERENCES",
    "code_block",
    "gold",
    "parse",
    "preference",
    "prompt",
    "samples",
]

PREFERENCES = ("instruction-following", "readability", "complexity", "style", "explanation")
JUDGES: Mapping[str, JudgeTemplate] = {
    name: JudgeTemplate(f"judges/{name.replace('-', '_')}.md", parse=scale(1, 5), package=__name__)
    for name in PREFERENCES
}
_ASK = "Reply with Python code in a fenced block, and explain it in a few sentences."


def prompt(task: Task) -> Sequence[Message]:
    return [{"role": "user", "content": f"{task.inputs['question']}\n\n{_ASK}"}]


def parse(text: str, _task: Task) -> Completion:
    """``answer`` is the whole reply, None where it is blank; the piece ``code`` is its first fenced block."""
    pieces: dict[str, Piece] = {}
    opening = text.find("```")
    start = text.find("\n", opening) + 1 if opening >= 0 else 0
    if start:
        closing = text.find("```", start)
        pieces["code"] = Piece(text).slice(start, closing if closing >= 0 else len(text))
    return Completion(text, text.strip() or None, pieces)


def gold(task: Task) -> str | None:
    """The best rated response, the first of them."""
    text = task.reference.get("response")
    return str(text) if text else None


@reward(cost="judge", deadline=60.0)
async def preference(task: Task, completion: Completion, judge: Judge) -> float | Unscored:
    """How good the reply is in the task's preference, by a language model: 1 to 5, as 0 to 1."""
    template = JUDGES.get(str(task.meta.get("preference")))
    if template is None:
        return Unscored(f"the task's preference is none of {', '.join(PREFERENCES)}")
    if completion.answer is None:
        return 0.0
    verdict = await judge(template, question=str(task.inputs["question"]), reply=completion.answer)
    return verdict.value


@reward
def code_block(completion: Completion) -> Score:
    """1 where the reply has a fenced block that is Python, paid there; else 0."""
    code = completion.pieces.get("code")
    if code is None or not code.text.strip() or parsed(code.text) is None:
        return Score()
    return Score(spans=[code.pays(1.0, "Python")])


def samples(split: str) -> Iterator[Task]:
    """Requests for the sample programs, each with one preference, in turn."""
    for number, task in enumerate(program_tasks(split)):
        question = f"Write a Python function: {task.inputs['question']}."
        response = f"```python\n{task.reference['solution']}\n```\nIt goes through xs once and keeps what is asked for."
        meta = {"preference": PREFERENCES[number % len(PREFERENCES)]}
        yield Task(task.id, {"question": question}, {"response": response}, meta=meta)


def _read(path: Path) -> Iterator[Task]:
    for file in _files(path):
        for line, row in read_jsonl(file):
            yield _task(row, f"{file}:{line}", line - 1)


def _rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
    for index, row in enumerate(given):
        yield _task(row, f"row {index}", index)


def _task(row: Mapping[str, Any], where: str, index: int) -> Task:
    """``responses`` with ``annotations``, or the binarised form with ``chosen`` and ``rejected``."""
    wanted, question = row.get("preference"), row.get("instruction")
    if wanted not in PREFERENCES or not isinstance(question, str):
        raise DataError(f"{where}: 'instruction' must be text and 'preference' one of {', '.join(PREFERENCES)}")
    ratings = {each.get("model"): _rating(each.get("rating")) for each in row.get("annotations") or ()}
    rated: list[dict[str, Any]] = [
        {"text": str(each.get("response")), "rating": ratings.get(each.get("model"))}
        for each in row.get("responses") or ()
    ]
    known = [each for each in rated if each["rating"] is not None]
    best = max(known, key=lambda each: each["rating"], default={}).get("text") or _text(row.get("chosen"))
    reference = {"response": best, "rated": rated}
    if row.get("rejected") is not None:
        reference["rejected"] = _text(row["rejected"])
    return Task(str(index), {"question": question}, reference, meta={"preference": wanted})


def _rating(value: Any) -> int | None:
    """1 to 5; None for the data's own N/A."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        return None
    return number if 1 <= number <= 5 else None


def _text(value: Any) -> str:
    """A response is a text, or a conversation whose last message it is."""
    if isinstance(value, list) and value and isinstance(value[-1], Mapping):
        return str(value[-1].get("content", ""))
    return str(value or "")


def _files(path: Path) -> list[Path]:
    return [file for file in sorted(path.glob("*.json*")) if _is_rows(file)] if path.is_dir() else [path]


def _is_rows(path: Path) -> bool:
    row = first_object(path) if path.is_file() else None
    return row is not None and {"instruction", "preference"} <= set(row)


CODEULTRAFEEDBACK = Reader(read=_read, recognise=lambda path: any(_is_rows(file) for file in _files(path)), rows=_rows)
