"""SciBench, JEEBench and UGPhysics, in their published layouts."""

from __future__ import annotations

import re

from honewise import Reader, Task
from honewise.errors import DataError
from honewise_physics.official import without_power
from honewise_physics.tasks import Kind, make_task, part

from .common import Row, make_reader, needed, text_of, texts_of

__all__ = ["jeebench", "scibench", "ugphysics"]

_PHYSICS = frozenset(("fund", "class", "thermo"))


def scibench(tolerance: float | None) -> Reader:
    """``<book>.json``, lists of ``problem_text``, ``answer_number``, ``unit`` and, in ``<book>_sol.json``,
    ``solution``.

    A power of ten in the unit belongs to the number; the prompt shows the unit without it, as SciBench does. Ids are
    ``problemid``s, of one book each, with the row number where a book has one twice.
    """

    def task(where: str, number: int, row: Row) -> Task:
        question, answer = needed(row, "problem_text", where), text_of(row, "answer_number")
        if not answer:
            raise DataError(f"{where}: 'answer_number' is missing")
        unit = text_of(row, "unit").strip()
        source = text_of(row, "source").strip()
        return make_task(
            f"{text_of(row, 'problemid').strip() or 'row'}-{number}",
            question,
            [part(answer, unit=unit)],
            unit=_shown(unit),
            rule="scibench",
            tolerance=0.05 if tolerance is None else tolerance,
            solution=text_of(row, "solution"),
            meta={"source": "scibench", "book": source, "subject": "physics" if source in _PHYSICS else source},
        )

    return make_reader("SciBench", lambda row: {"problem_text", "answer_number", "unit"} <= set(row), task)


def _shown(unit: str) -> str:
    """What the prompt may show: nothing where the unit is a power of ten alone."""
    rest = without_power(unit)
    return "" if rest == unit and re.fullmatch(r"\$? *10\^\{? *-?[0-9]+ *\}? *\$?", unit) else rest.strip()


_TYPES = ("MCQ", "MCQ(multiple)", "Integer", "Numeric")


def jeebench(tolerance: float | None) -> Reader:
    """``dataset.json``: ``index``, ``subject`` (phy, chem, math), ``type``, ``question``, ``gold``; physics only.

    Options stand in the question. Marks are JEE's; numbers are compared to 0.01.
    """

    def task(where: str, number: int, row: Row) -> Task:
        kind = text_of(row, "type")
        if kind not in _TYPES:
            raise DataError(f"{where}: 'type' is {kind!r}; there are {', '.join(_TYPES)}")
        gold = text_of(row, "gold").strip()
        if not gold:
            raise DataError(f"{where}: 'gold' is missing")
        choice = kind.startswith("MCQ")
        if choice and not re.fullmatch(r"[A-D]{1,4}", gold):
            raise DataError(f"{where}: 'gold' is {gold!r}; letters from A to D are needed")
        return make_task(
            f"{text_of(row, 'description').strip() or 'row'}-{text_of(row, 'index') or number}",
            needed(row, "question", where),
            [part(gold, "choice" if choice else "number")],
            several=kind == "MCQ(multiple)",
            rule="jee",
            tolerance=0.01 if tolerance is None else tolerance,
            meta={"source": "jeebench", "subject": text_of(row, "subject"), "type": kind},
        )

    return make_reader(
        "JEEBench",
        lambda row: {"subject", "type", "question", "gold"} <= set(row) and row.get("type") in _TYPES,
        task,
        wanted=lambda row: row.get("subject") in ("phy", None),
    )


_KINDS: dict[str, Kind] = {
    "NV": "number", "EX": "expression", "EQ": "equation", "MC": "choice", "MCQ": "choice", "TF": "boolean",
    "IN": "interval", "INT": "interval", "OE": "text",
}  # fmt: skip


def ugphysics(tolerance: float | None, language: str | None) -> Reader:
    """Rows with ``problem``, ``solution``, ``answers``, ``answer_type``, ``unit``, ``is_multiple_answer``,
    ``language``.

    Answer types, several of them between commas, are NV, EX, EQ, MC, TF, IN (or INT) and OE; of several answers each
    has
    the type, and the unit, at its place, or the only one.
    """

    def task(where: str, number: int, row: Row) -> Task:
        types = [each.strip().upper() for each in re.split(r"[,;]", text_of(row, "answer_type")) if each.strip()]
        unknown = [each for each in types if each not in _KINDS]
        if unknown or not types:
            raise DataError(f"{where}: 'answer_type' is {text_of(row, 'answer_type')!r}; there are {', '.join(_KINDS)}")
        answers = _answers(row, len(types))
        if not answers:
            raise DataError(f"{where}: 'answers' is missing")
        units = [each.strip() for each in re.split(r"[,;]", text_of(row, "unit"))]
        parts = [
            part(
                _bare(answer),
                _KINDS[types[at] if at < len(types) else types[-1]],
                units[at] if len(units) == len(answers) else units[0] if len(units) == 1 else "",
            )
            for at, answer in enumerate(answers)
        ]
        shown = parts[0]["unit"] if len(parts) == 1 else ""
        return make_task(
            f"{text_of(row, 'language') or 'any'}-{text_of(row, 'subject') or 'row'}-{text_of(row, 'index') or number}",
            needed(row, "problem", where),
            parts,
            unit=shown,
            several=types[0] in ("MC", "MCQ"),
            tolerance=0.01 if tolerance is None else tolerance,
            solution=text_of(row, "solution"),
            meta={
                "source": "ugphysics",
                "subject": text_of(row, "subject"),
                "domain": text_of(row, "domain"),
                "topic": text_of(row, "topic"),
                "difficulty": text_of(row, "level"),
                "language": text_of(row, "language"),
            },
        )

    return make_reader(
        "UGPhysics",
        lambda row: {"problem", "answers", "answer_type"} <= set(row),
        task,
        wanted=lambda row: language is None or text_of(row, "language").lower() in (language.lower(), ""),
    )


def _answers(row: Row, types: int) -> list[str]:
    given = row.get("answers")
    if not isinstance(given, str):
        return [each for each in texts_of(given) if each.strip()]
    if not row.get("is_multiple_answer"):
        return [given] if given.strip() else []
    from honewise_physics.answers import split_answers

    boxed = re.findall(r"\\boxed\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}", given[:4000])
    return boxed if len(boxed) > 1 or types == len(boxed) else [text for _, text in split_answers(_bare(given))]


def _bare(answer: str) -> str:
    """Without dollars and the box around all of it."""
    text = answer.strip().strip("$").strip()
    if text.startswith("\\boxed{") and text.endswith("}"):
        text = text[len("\\boxed{") : -1]
    return text
