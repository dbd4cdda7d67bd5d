"""PhysReason, MMLU and question-and-answer rows, in their published layouts."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import open_text, read_json
from honewise.errors import DataError
from honewise_physics.answers import read_number
from honewise_physics.tasks import LETTERS, make_task, part

from .common import Row, make_reader, needed, text_of, texts_of

__all__ = ["mmlu", "physreason", "question_answer"]


def physreason(tolerance: float | None) -> Reader:
    """One folder for each problem with ``problem.json``: ``question_structure`` (``context``, ``sub_question_1``, ...),
    ``answer``, ``explanation_steps``, ``difficulty``, ``image_captions``; every sub-question is a task.

    Earlier sub-questions of a problem stand before the one that is asked.
    """

    def read(path: Path) -> Iterator[Task]:
        files = [path] if path.is_file() else sorted(path.rglob("problem.json"))
        if not files:
            raise DataError(f"{path}: no problem.json below this folder")
        for file in files:
            row = read_json(file)
            if not isinstance(row, dict):
                raise DataError(f"{file}: an object is needed, this is {type(row).__name__}")
            yield from _problem(
                str(file), file.parent.name if path.is_dir() else file.stem, row, file.parent, tolerance
            )

    def rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
        for number, row in enumerate(given):
            yield from _problem(f"row {number}", text_of(row, "problem_id", "id") or str(number), row, None, tolerance)

    def recognise(path: Path) -> bool:
        files = [path] if path.is_file() else sorted(path.rglob("problem.json"))[:1] if path.is_dir() else []
        if not files or files[0].suffix != ".json":
            return False
        row = read_json(files[0])
        return isinstance(row, dict) and isinstance(row.get("question_structure"), dict)

    return Reader(read=read, recognise=recognise, rows=rows)


def _problem(where: str, name: str, row: Row, home: Path | None, tolerance: float | None) -> Iterator[Task]:
    structure = row.get("question_structure")
    if not isinstance(structure, Mapping):
        raise DataError(f"{where}: 'question_structure' is missing")
    numbers = sorted(int(match[1]) for key in structure if (match := re.fullmatch(r"sub_question_(\d{1,3})", str(key))))
    answers = list(texts_of(row.get("answer")))
    if not numbers or len(answers) < len(numbers):
        raise DataError(f"{where}: {len(numbers)} sub-questions, but {len(answers)} answers")
    explained = row.get("explanation_steps")
    steps = explained if isinstance(explained, Mapping) else {}
    captions = "\n".join(texts_of(row.get("image_captions")))
    folder = home / "images" if home is not None else None
    images = [str(each) for each in sorted(folder.iterdir())] if folder is not None and folder.is_dir() else []
    before = [text_of(structure, "context"), captions]
    for at, number in enumerate(numbers):
        question = text_of(structure, f"sub_question_{number}")
        yield make_task(
            f"{name}-{number}",
            "\n".join(text for text in (*before, question) if text),
            [_guessed(answers[at])],
            tolerance=0.05 if tolerance is None else tolerance,
            solution=_explanation(steps.get(f"sub_question_{number}")),
            meta={"source": "physreason", "difficulty": text_of(row, "difficulty"), "problem": name},
            images=images,
        )
        before.append(question)


def _explanation(steps: Any) -> str:
    if isinstance(steps, Mapping):
        return "\n".join(text_of(steps, key) for key in steps if text_of(steps, key))
    return "\n".join(texts_of(steps))


def _guessed(text: str) -> dict[str, str]:
    """An answer of no declared kind: a number where it can be read as one, an expression where that can, else words."""
    from honewise_physics.symbolic import read_symbolic

    bare = text.strip().strip("$").strip()
    if read_number(bare) is not None:
        return part(bare, "number")
    sides = read_symbolic(bare)
    if sides is not None:
        return part(bare, "equation" if len(sides) > 1 else "expression")
    return part(bare, "text")


def question_answer(tolerance: float | None) -> Reader:
    """Rows with ``question`` (or ``problem``) and ``answer``, and perhaps ``solution`` (or ``explanation``), ``unit``,
    ``topic`` and ``id``: the manner of PhyQA, which is not public.

    An answer that is a number with a unit is compared as one; other words by METEOR and the judges.
    """

    def task(where: str, number: int, row: Row) -> Task:
        answer = text_of(row, "answer", "final_answer")
        if not answer:
            raise DataError(f"{where}: 'answer' is missing")
        unit = text_of(row, "unit")
        return make_task(
            text_of(row, "id", "index") or str(number),
            needed(row, "question" if "question" in row else "problem", where),
            [part(answer, "number", unit) if unit else _guessed(answer)],
            unit=unit,
            tolerance=0.05 if tolerance is None else tolerance,
            solution=text_of(row, "solution", "explanation", "rationale"),
            meta={
                "source": "question-answer",
                "subject": text_of(row, "subject", "topic"),
                "difficulty": text_of(row, "difficulty", "level"),
            },
        )

    allowed = frozenset(
        [
            "id",
            "index",
            "question",
            "problem",
            "answer",
            "final_answer",
            "solution",
            "explanation",
            "rationale",
            "unit",
            "topic",
            "subject",
            "difficulty",
            "level",
        ]
    )

    def knows(row: Row) -> bool:
        return bool({"question", "problem"} & set(row)) and "answer" in row and set(row) <= allowed

    return make_reader("question and answer", knows, task)


_NAMES = re.compile(r"(astronomy|college_physics|conceptual_physics|high_school_physics)(?:_(?:test|val|dev))?\.csv")


def mmlu() -> Reader:
    """MMLU's physics subjects as CSV: without a header ``question, A, B, C, D, letter``, or with the header
    ``question,choice0..choice3,answer`` and a number from 0; of a folder, all files of these subjects.

    Rows of the Hugging Face data set have ``question``, ``choices`` and ``answer``.
    """

    def read(path: Path) -> Iterator[Task]:
        files = [path] if not path.is_dir() else _mmlu_files(path)
        if not files:
            raise DataError(f"{path}: no CSV file of MMLU's physics subjects in this folder")
        for file in files:
            yield from _mmlu_tasks(file, several=len(files) > 1)

    def rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
        for number, row in enumerate(given):
            where = f"row {number}"
            options, right = list(texts_of(row.get("choices"))), row.get("answer")
            if not isinstance(right, int) or not 0 <= right < len(options) <= len(LETTERS):
                raise DataError(f"{where}: 'choices' and 'answer', a number from 0, are needed")
            yield _mmlu_task(
                str(number), needed(row, "question", where), options, LETTERS[right], text_of(row, "subject")
            )

    def recognise(path: Path) -> bool:
        if path.is_dir():
            return bool(_mmlu_files(path))
        return _NAMES.fullmatch(path.name) is not None and path.is_file()

    return Reader(read=read, recognise=recognise, rows=rows)


def _mmlu_files(folder: Path) -> list[Path]:
    return [each for each in sorted(folder.iterdir()) if each.is_file() and _NAMES.fullmatch(each.name)]


def _mmlu_tasks(path: Path, *, several: bool) -> Iterator[Task]:
    known = _NAMES.fullmatch(path.name)
    subject = known[1] if known else path.stem
    with open_text(path) as text:
        table = csv.reader(text)
        number = 0
        try:
            for row in table:
                where = f"{path}:{table.line_num}"
                if not row or (number == 0 and row[0].strip().lower() == "question" and row[-1].strip() == "answer"):
                    continue
                if len(row) != 6:
                    raise DataError(f"{where}: {len(row)} cells; a question, four options and the answer are needed")
                name = f"{path.stem}-{number}" if several else str(number)
                yield _mmlu_task(name, row[0], row[1:5], _letter(row[5].strip(), where), subject)
                number += 1
        except csv.Error as error:
            raise DataError(f"{path}:{table.line_num}: {error}") from error


def _letter(text: str, where: str) -> str:
    if re.fullmatch(r"[A-D]", text):
        return text
    if re.fullmatch(r"[0-3]", text):
        return LETTERS[int(text)]
    raise DataError(f"{where}: the answer is {text!r}; a letter from A to D or a number from 0 to 3 is needed")


def _mmlu_task(name: str, question: str, options: list[str], right: str, subject: str) -> Task:
    return make_task(
        name, question, [part(right, "choice")], choices=options, meta={"source": "mmlu", "subject": subject}
    )
