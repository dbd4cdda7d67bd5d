"""``jsonl``: this plugin's own format, one JSON object a line; also core's form of a task, a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import first_object, read_jsonl
from honewise.data.formats import JSONL
from honewise.errors import DataError, near
from honewise_medical_mcq.tasks import LETTERS, make_task

from .layout import Place, choose, has_suffix, needed, numbered, text_of

__all__ = ["own"]

_FIELDS = frozenset(
    {"id", "question", "options", "answer", "context", "explanation", "language", "subject", "labels", "meta"}
)


def own() -> Reader:
    """``question`` and ``options`` are needed; see the README."""

    def read(path: Path) -> Iterator[Task]:
        files = choose(path, _is_rows, ())
        if not files:
            raise DataError(f"{path}: no file of rows with question and options in this folder")
        if "inputs" in (first_object(files[0]) or {}):
            yield from JSONL.read(files[0])
            return
        yield from _tasks([(f"{files[0]}:{number}", row) for number, row in read_jsonl(files[0])])

    def rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
        yield from _tasks([(f"row {at}", row) for at, row in enumerate(given)])

    return Reader(
        read=read,
        recognise=lambda path: bool(choose(path, _is_rows, ())) if path.is_dir() else _is_rows(path),
        rows=rows,
    )


def _is_rows(path: Path) -> bool:
    if not has_suffix(path, ".json", ".jsonl"):
        return False
    if JSONL.recognise is not None and JSONL.recognise(path):
        return True
    row = first_object(path) or {}
    return {"question", "options"} <= row.keys() and not set(row) - _FIELDS


def _tasks(rows: Sequence[Place]) -> Iterator[Task]:
    for id, (where, row) in zip(numbered(rows), rows, strict=True):
        for key in row:
            if key not in _FIELDS:
                raise DataError(
                    f"{where}: unknown key {key!r}{near(key, _FIELDS)}; there are {', '.join(sorted(_FIELDS))}"
                )
        labels, texts = _options(row, where)
        meta = row.get("meta") or {}
        if not isinstance(meta, Mapping):
            raise DataError(f"{where}: 'meta' must be an object")
        yield make_task(
            id,
            needed(row, "question", where),
            texts,
            _answer(row.get("answer"), labels, texts, where),
            labels=labels,
            context=text_of(row.get("context")),
            explanation=text_of(row.get("explanation")),
            language=text_of(row.get("language")),
            subject=text_of(row.get("subject")),
            meta=meta,
        )


def _options(row: Mapping[str, Any], where: str) -> tuple[list[str], list[str]]:
    given = row.get("options")
    if isinstance(given, Mapping):
        labels, texts = [str(label) for label in given], [text_of(text) for text in given.values()]
    elif isinstance(given, list) and not any(isinstance(text, list | dict) for text in given):
        texts = [text_of(text) for text in given]
        labels = [str(label) for label in row.get("labels") or LETTERS[: len(texts)]]
    else:
        raise DataError(f"{where}: 'options' must be a list of texts, or an object of labels to texts")
    if len(labels) != len(texts) or len({label.casefold() for label in labels}) != len(labels):
        raise DataError(f"{where}: {len(texts)} options need as many labels, no two of them alike")
    return labels, texts


def _answer(value: Any, labels: Sequence[str], texts: Sequence[str], where: str) -> int | None:
    """A label, the zero-based place as a number, or the option's text."""
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    said = text_of(value)
    if said in labels:
        return labels.index(said)
    if texts.count(said) == 1:
        return texts.index(said)
    raise DataError(
        f"{where}: 'answer' is {said[:60]!r}; a label ({', '.join(labels)}) or the text of one option is needed"
    )
