"""Tables: MMLU's CSV files, with a header or without, and the spreadsheets of the Persian sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.errors import DataError
from honewise_medical_mcq.tasks import LETTERS, make_task

from .layout import Place, Settings, cells, choose, count_from, has_suffix, numbered, place_of, text_of

__all__ = ["gaokerena", "mmlu"]

_ANSWERS = ("answer", "correctanswer", "correctchoice", "correct", "label", "target")
_OPTION = re.compile(r"(?:choice|option|opt|op)?_?([a-j]|\d{1,2})")
_LISTED = re.compile(r"(?m)^\s*\[?([A-J])\]?\s*[:.)]\s*(.+?)\s*$")
_SPLIT = re.compile(r"_(?:test|dev|val|train|fa)$")


@dataclass(frozen=True, slots=True)
class _Header:
    """Which column holds what; names are compared without case, spaces, underscores."""

    question: int
    options: tuple[int, ...]
    answer: int
    named_by_number: bool
    others: Mapping[str, int]


def _folded(cell: str) -> str:
    return re.sub(r"[\s_\-]+", "", cell).casefold()


def _header(row: Sequence[str]) -> _Header | None:
    names = {_folded(cell): place for place, cell in enumerate(row) if cell.strip()}
    answer = next((names[name] for name in _ANSWERS if name in names), None)
    if answer is None or "question" not in names:
        return None
    found = {match[1]: place for name, place in names.items() if (match := _OPTION.fullmatch(name))}
    numbers = sorted((key for key in found if key.isdigit()), key=int)
    letters = sorted(key for key in found if not key.isdigit())
    keys = numbers if len(numbers) >= len(letters) else letters
    if len(keys) < 2:
        return None
    return _Header(names["question"], tuple(found[key] for key in keys), answer, keys is numbers, names)


def _is_bare(row: Sequence[str]) -> bool:
    """A row of MMLU's own files: a question, its options, and a letter that is one of theirs."""
    letter = row[-1].strip() if row else ""
    return len(row) >= 4 and len(letter) == 1 and letter in LETTERS[: len(row) - 2]


def mmlu(settings: Settings) -> Reader:
    """``<subject>_test.csv`` with or without a header, one file or a folder of them; the hub's rows.

    A letter is the right option's; a number counts from 0, as on the hub, unless the numbers say otherwise.
    """

    def knows(path: Path) -> bool:
        if not has_suffix(path, ".csv", ".tsv"):
            return False
        first = _first(path)
        header = _header(first)
        return _is_bare(first) if header is None else not _persian(header)

    def read(path: Path) -> Iterator[Task]:
        files = choose(path, knows, (), all_of=True)
        if not files:
            raise DataError(f"{path}: no CSV file with a question, options and an answer in this folder")
        count = 0
        for file in files:
            for task in _table(file, settings, usual=0, first_number=count):
                yield task
                count += 1

    def rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
        for number, row in enumerate(given):
            where = f"row {number}"
            options = row.get("choices")
            if not isinstance(options, Sequence) or isinstance(options, str):
                raise DataError(f"{where}: 'choices' must be a list of texts")
            place = place_of(row.get("answer"), where)
            answer = None if place is None or place == -1 else int(place)
            texts = [text_of(option) for option in options]
            yield make_task(
                str(number), text_of(row.get("question")), texts, answer, subject=text_of(row.get("subject"))
            )

    return Reader(read=read, recognise=_recognise(knows), rows=rows)


def gaokerena(settings: Settings) -> Reader:
    """Spreadsheets of FA_MED_MMLU, KOPP and Gaokerena: questions with Option1 to Option4, or its pairs.

    Whether ``Correct_answer`` counts from 0 or 1 differs between these files; it is told by the numbers, else asked.
    """

    def knows(path: Path) -> bool:
        if not has_suffix(path, ".xlsx", ".xlsm", ".csv", ".tsv"):
            return False
        first = _first(path)
        header = _header(first)
        return _is_pairs(first) or (header is not None and _persian(header))

    def read(path: Path) -> Iterator[Task]:
        files = choose(path, knows, (), all_of=True)
        if not files:
            raise DataError(f"{path}: no spreadsheet with a question, Option1, ... and a right answer in this folder")
        count = 0
        for file in files:
            paired = _is_pairs(_first(file))
            for task in _pairs(file, settings) if paired else _table(file, settings, usual=None, first_number=count):
                yield task
                count += 1

    def rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
        listed = list(given)
        names = list(dict.fromkeys(key for row in listed for key in row))
        header = _header(names)
        if header is None:
            raise DataError(f"the rows have the keys {', '.join(names)}; question, option1, ... and answer are needed")
        places = [(f"row {at}", [text_of(row.get(name)) for name in names]) for at, row in enumerate(listed)]
        yield from _tasks(places, header, settings, "the rows", usual=None, subject="", first_number=0)

    return Reader(read=read, recognise=_recognise(knows), rows=rows)


def _recognise(knows: Callable[[Path], bool]) -> Callable[[Path], bool]:
    return lambda path: bool(choose(path, knows, (), all_of=True)) if path.is_dir() else knows(path)


def _persian(header: _Header) -> bool:
    return header.named_by_number and "option1" in header.others


def _first(path: Path) -> list[str]:
    try:
        return next((row for _, row in islice(cells(path), 1)), [])
    except DataError:
        return []


def _is_pairs(row: Sequence[str]) -> bool:
    names = {_folded(cell) for cell in row}
    return {"prompt", "correctchoice"} <= names


def _table(path: Path, settings: Settings, *, usual: int | None, first_number: int) -> Iterator[Task]:
    rows = list(cells(path))
    subject = _SPLIT.sub("", path.name.partition(".")[0])
    header = _header(rows[0][1]) if rows else None
    if header is None:
        yield from _bare(rows, path, subject, first_number)
        return
    body = [place for place in rows[1:] if _header(place[1]) is None]  # further sheets repeat the header
    yield from _tasks(body, header, settings, str(path), usual=usual, subject=subject, first_number=first_number)


def _bare(rows: Sequence[tuple[str, list[str]]], path: Path, subject: str, first_number: int) -> Iterator[Task]:
    if not rows:
        raise DataError(f"{path}: empty; rows of a question, its options and the right letter are needed")
    width = len(rows[0][1])
    for number, (where, row) in enumerate(rows):
        if len(row) != width:
            raise DataError(f"{where}: {len(row)} cells where the first row has {width}")
        if not _is_bare(row):
            raise DataError(f"{where}: the last cell is {row[-1][:40]!r}; the letter of the right option is needed")
        yield make_task(str(first_number + number), row[0], row[1:-1], LETTERS.index(row[-1].strip()), subject=subject)


def _tasks(
    rows: Sequence[tuple[str, list[str]]],
    header: _Header,
    settings: Settings,
    what: str,
    *,
    usual: int | None,
    subject: str,
    first_number: int,
) -> Iterator[Task]:
    width = max(header.question, header.answer, *header.options, *header.others.values()) + 1
    filled = [(where, [*row, *[""] * (width - len(row))]) for where, row in rows]
    places = [place_of(row[header.answer], where) for where, row in filled]
    numbers = [place for place in places if isinstance(place, int)]
    known = [number for number in numbers if number != -1]
    first = count_from(numbers, len(header.options), settings, what, usual=usual) if known else 0

    def cell(row: list[str], *names: str) -> str:
        return next((row[header.others[name]] for name in names if name in header.others), "")

    listed: list[Place] = [(where, {"id": cell(row, "id")}) for where, row in filled]
    ids = numbered(listed) if "id" in header.others else [str(first_number + at) for at in range(len(filled))]
    for id, place, (where, row) in zip(ids, places, filled, strict=True):
        options = [row[at] for at in header.options]
        while len(options) > 2 and not options[-1].strip():  # a question with fewer options than the table has columns
            options.pop()
        answer = int(place) if isinstance(place, str) else None if place is None else place - first
        try:
            yield make_task(
                id,
                row[header.question],
                options,
                None if place == -1 and first == 0 else answer,
                explanation=cell(row, "expression", "explanation", "exp"),
                subject=cell(row, "subjectname", "subject", "topic") or subject,
                meta={
                    "topic": cell(row, "topicname"),
                    "choice_type": cell(row, "choicetype"),
                    "source": cell(row, "source"),
                },
            )
        except DataError as error:
            raise DataError(f"{where}: {error}") from None


def _pairs(path: Path, settings: Settings) -> Iterator[Task]:
    """Each prompt of a file of pairs, which holds the question and its options as lines ``[A] : text``."""
    rows = list(cells(path))
    names = {_folded(cell): at for at, cell in enumerate(rows[0][1])}
    body = [(where, row + [""] * (len(rows[0][1]) - len(row))) for where, row in rows[1:] if not _is_pairs(row)]
    places = [place_of(row[names["correctchoice"]], where) for where, row in body]
    numbers = [place for place in places if isinstance(place, int)]
    first = count_from(numbers, 4, settings, str(path)) if numbers else 0
    listed: list[Place] = [(where, {"id": row[names["id"]] if "id" in names else ""}) for where, row in body]
    for id, place, (where, row) in zip(numbered(listed), places, body, strict=True):
        prompt = row[names["prompt"]]
        options = list(_LISTED.finditer(prompt))
        if [match[1] for match in options] != list(LETTERS[: len(options)]) or len(options) < 2:
            raise DataError(f"{where}: no options '[A] : text', one a line, in the prompt")
        answer = int(place) if isinstance(place, str) else None if place is None else place - first
        yield make_task(id, prompt[: options[0].start()], [match[2] for match in options], answer)
