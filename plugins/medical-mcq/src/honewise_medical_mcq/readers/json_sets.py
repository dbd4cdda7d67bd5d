"""MedMCQA, MedQA (both layouts) and PubMedQA."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import first_object, read_json
from honewise.errors import DataError
from honewise_medical_mcq.tasks import LETTERS, YES_NO_MAYBE, make_task

from .layout import (
    Place,
    Settings,
    choose,
    count_from,
    has_suffix,
    json_keys,
    needed,
    numbered,
    place_of,
    read_rows,
    text_of,
)

__all__ = ["medmcqa", "medqa", "pubmedqa"]

Make = Callable[[Sequence[Place], str], Iterator[Task]]


def _reader(knows: Callable[[Path], bool], preferred: Sequence[str], make: Make, asked: str) -> Reader:
    def read(path: Path) -> Iterator[Task]:
        files = choose(path, knows, preferred)
        if not files:
            raise DataError(f"{path}: no file of rows with {asked} in this folder")
        yield from make(read_rows(files[0]), str(files[0]))

    def rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
        yield from make([(f"row {number}", row) for number, row in enumerate(given)], "the rows")

    return Reader(
        read=read,
        recognise=lambda path: bool(choose(path, knows, preferred)) if path.is_dir() else knows(path),
        rows=rows,
    )


_MEDMCQA = ("question", "opa", "opb", "opc", "opd")


def medmcqa(settings: Settings) -> Reader:
    """``dev.json`` and its like, or the hub's rows; ``cop`` counts from 1 in the files, from 0 on the hub."""

    def make(rows: Sequence[Place], what: str) -> Iterator[Task]:
        ids = numbered(rows)
        places = [place_of(row.get("cop"), where) for where, row in rows]
        numbers = [place for place in places if isinstance(place, int)]
        first = count_from(numbers, 4, settings, f"{what}: 'cop'") if any(n != -1 for n in numbers) else 0
        for id, place, (where, row) in zip(ids, places, rows, strict=True):
            yield _option_columns(id, where, row, _MEDMCQA[1:], _from_zero(place, first))

    return _reader(lambda path: json_keys(path, *_MEDMCQA), ("dev.json", "train.json", "test.json"), make, "opa to opd")


def _from_zero(place: int | str | None, first: int) -> int | None:
    if place is None or (place == -1 and first == 0):
        return None
    return int(place) if isinstance(place, str) else place - first


def _option_columns(id: str, where: str, row: Mapping[str, Any], columns: Sequence[str], answer: int | None) -> Task:
    return make_task(
        id,
        needed(row, "question", where),
        [needed(row, column, where) for column in columns],
        answer,
        explanation=text_of(row.get("exp")),
        subject=text_of(row.get("subject_name")),
        meta={"topic": text_of(row.get("topic_name")), "choice_type": text_of(row.get("choice_type"))},
    )


def medqa() -> Reader:
    """Rows with ``options`` and ``answer_idx``, or the hub's with ``sent1``, ``ending0``... and ``label``."""

    def make(rows: Sequence[Place], _what: str) -> Iterator[Task]:
        for id, (where, row) in zip(numbered(rows), rows, strict=True):
            yield _endings(id, where, row) if "ending0" in row else _keyed(id, where, row)

    def knows(path: Path) -> bool:
        if json_keys(path, "sent1", "ending0", "label"):
            return True
        row = (first_object(path) or {}) if has_suffix(path, ".json", ".jsonl") else {}
        own = {"question", "options"} <= row.keys() and "answer" in row
        return own and ("answer_idx" in row or "meta_info" in row)

    preferred = ("phrases_no_exclude_test.jsonl", "test.jsonl", "US_qbank.jsonl", "test.json")
    return _reader(knows, preferred, make, "options and answer_idx")


def _endings(id: str, where: str, row: Mapping[str, Any]) -> Task:
    columns = sorted(key for key in row if key.startswith("ending") and key[6:].isdigit())
    question = " ".join(part for part in (text_of(row.get("sent1")), text_of(row.get("sent2"))) if part)
    place = place_of(row.get("label"), where)  # the hub's own layout always counts from 0
    answer = None if place is None or place == -1 else int(place)
    return make_task(id, question, [needed(row, column, where) for column in columns], answer)


def _keyed(id: str, where: str, row: Mapping[str, Any]) -> Task:
    given = row.get("options")
    if isinstance(given, Mapping):
        pairs = sorted((str(key), text_of(text)) for key, text in given.items() if text is not None)
    elif isinstance(given, list) and all(isinstance(each, Mapping) and "value" in each for each in given):
        pairs = [(text_of(each.get("key")), text_of(each["value"])) for each in given]
    else:
        raise DataError(f"{where}: 'options' must be an object of letters to texts")
    if [key for key, _ in pairs] != list(LETTERS[: len(pairs)]):
        raise DataError(
            f"{where}: the options are called {', '.join(key for key, _ in pairs)}; letters from A are needed"
        )
    texts = [text for _, text in pairs]
    return make_task(
        id, needed(row, "question", where), texts, _right(row, texts, where), subject=text_of(row.get("meta_info"))
    )


def _right(row: Mapping[str, Any], texts: Sequence[str], where: str) -> int | None:
    letter, text = text_of(row.get("answer_idx")), text_of(row.get("answer"))
    if not letter and not text:
        return None
    if letter:
        place = place_of(letter, where)
        if isinstance(place, str):
            return int(place)
        raise DataError(f"{where}: 'answer_idx' is {letter!r}; a letter is needed")
    if texts.count(text) == 1:
        return texts.index(text)
    raise DataError(f"{where}: 'answer' {text[:60]!r} is {'several' if text in texts else 'none'} of the options")


def pubmedqa() -> Reader:
    """``ori_pqal.json`` keyed by PMID, or the hub's rows; ``test_ground_truth.json`` beside it marks the test split."""

    def knows(path: Path) -> bool:
        if json_keys(path, "pubid", "question", "context"):
            return True
        row = (first_object(path) or {}) if has_suffix(path, ".json") else {}
        entry = next(iter(row.values()), None)
        return isinstance(entry, Mapping) and {"QUESTION", "CONTEXTS"} <= entry.keys()

    preferred = ("test_set.json", "ori_pqal.json", "ori_pqaa.json", "ori_pqau.json")
    base = _reader(knows, preferred, lambda rows, _what: (_hub_abstract(*place) for place in rows), "QUESTION")

    def read(path: Path) -> Iterator[Task]:
        files = choose(path, knows, preferred)
        if not files or json_keys(files[0], "pubid"):
            yield from base.read(path)
            return
        entries, test = read_json(files[0]), _test_ids(files[0].parent)
        if not isinstance(entries, dict):
            raise DataError(f"{files[0]}: an object of PMIDs is needed")
        for pmid, entry in entries.items():
            where = f"{files[0]}: {pmid!r}"
            if not isinstance(entry, Mapping):
                raise DataError(f"{where}: an object is needed, this is {type(entry).__name__}")
            split = {"split": "test" if pmid in test else "train"} if test else {}
            yield _abstract(pmid, where, entry, split)

    return Reader(read=read, recognise=base.recognise, rows=base.rows)


def _test_ids(folder: Path) -> frozenset[str]:
    marks = folder / "test_ground_truth.json"
    return frozenset(read_json(marks)) if marks.is_file() else frozenset()


def _abstract(pmid: str, where: str, entry: Mapping[str, Any], meta: Mapping[str, Any]) -> Task:
    parts = [text_of(part) for part in entry.get("CONTEXTS") or ()]
    heads = [text_of(head) for head in entry.get("LABELS") or ()]
    heads += [""] * (len(parts) - len(heads))
    return make_task(
        pmid,
        needed(entry, "QUESTION", where),
        YES_NO_MAYBE,
        _decision(entry.get("final_decision"), where),
        labels=YES_NO_MAYBE,
        context="\n".join(f"{head}: {part}" if head else part for head, part in zip(heads, parts, strict=False)),
        explanation=text_of(entry.get("LONG_ANSWER")),
        meta={"year": text_of(entry.get("YEAR")), **meta},
    )


def _hub_abstract(where: str, row: Mapping[str, Any]) -> Task:
    context = row.get("context")
    inner: Mapping[str, Any] = context if isinstance(context, Mapping) else {}
    entry = {
        "QUESTION": row.get("question"),
        "CONTEXTS": inner.get("contexts") if inner else [context],
        "LABELS": inner.get("labels"),
        "LONG_ANSWER": row.get("long_answer"),
        "final_decision": row.get("final_decision"),
    }
    return _abstract(needed(row, "pubid", where), where, entry, {})


def _decision(value: Any, where: str) -> int | None:
    said = text_of(value).lower()
    if said and said not in YES_NO_MAYBE:
        raise DataError(f"{where}: 'final_decision' is {said[:40]!r}; allowed are {', '.join(YES_NO_MAYBE)}")
    return YES_NO_MAYBE.index(said) if said else None
