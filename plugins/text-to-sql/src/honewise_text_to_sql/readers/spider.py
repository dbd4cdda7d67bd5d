"""Spider and what has its layout (MachineSpider, Spider-Syn): JSON rows, or a gold file of ``SQL<TAB>db_id``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import first_object, open_text
from honewise.errors import DataError
from honewise_text_to_sql.tasks import make_task, show_schema

from .hardness import hardness
from .layout import Layout, Settings, choose, folders, is_json, needed, read_rows

__all__ = ["spider"]

_PREFERRED = ("dev.json", "test.json", "train_spider.json+train_others.json", "train_spider.json", "train.json")
_PREFERRED_GOLD = ("dev_gold.sql", "train_gold.sql")


def spider(settings: Settings) -> Reader:
    """``dev.json`` and the like with ``tables.json`` and ``database/``; a task's id is its row number from 0."""

    def read(path: Path) -> Iterator[Task]:
        files = _files(path)
        if not files:
            raise DataError(f"{path}: no file of Spider's rows (db_id, question, query) in this folder")
        layout = Layout(settings, files[0].parent)
        rows = [row for file in files for row in (_gold_rows(file) if _is_gold(file) else read_rows(file))]
        for number, (where, row) in enumerate(rows):
            yield _task(number, where, row, layout, settings)

    def rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
        layout = Layout(settings, None)
        for number, row in enumerate(given):
            yield _task(number, f"row {number}", row, layout, settings)

    return Reader(read=read, recognise=_recognise, rows=rows)


def _task(number: int, where: str, row: Mapping[str, Any], layout: Layout, settings: Settings) -> Task:
    db_id = needed(row, "db_id", where)
    database, schema = layout.look_up(db_id)
    task = make_task(
        str(number),
        needed(row, "question", where),
        needed(row, "query", where),
        database=database,
        db_id=db_id,
        difficulty=hardness(row.get("sql")),
    )
    return show_schema(task, schema, settings.style)


def _recognise(path: Path) -> bool:
    return bool(_files(path)) if path.is_dir() else _is_rows(path) or _is_gold(path)


def _files(path: Path) -> list[Path]:
    """A gold file stands for a folder only where nobody's rows are: BIRD has one beside its own."""
    files = choose(path, _is_rows, _PREFERRED)
    return files if files or _asks(path) else choose(path, _is_gold, _PREFERRED_GOLD)


def _asks(path: Path) -> bool:
    """Whether a folder, or one of its own folders, has rows with questions in whatever format."""
    if not path.is_dir():
        return False
    entries = [entry for folder in folders(path) for entry in sorted(folder.iterdir())]
    return any(is_json(entry) and "question" in (first_object(entry) or {}) for entry in entries)


def _is_rows(path: Path) -> bool:
    if not is_json(path):
        return False
    row = first_object(path) or {}
    return all(isinstance(row.get(key), str) for key in ("db_id", "question", "query"))


def _is_gold(path: Path) -> bool:
    """A gold file: its first line that has anything is a query, a tab and a bare name."""
    if path.suffix.lower() != ".sql":
        return False
    try:
        with open_text(path) as text:
            line = next((line for line in text if line.strip()), "")
    except DataError:
        return False
    sql, tab, db_id = line.rstrip("\r\n").rpartition("\t")
    return bool(tab) and sql.strip().lower().startswith(("select", "with", "values")) and db_id.strip().isidentifier()


def _gold_rows(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    rows: list[tuple[str, Mapping[str, Any]]] = []
    with open_text(path) as text:
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            sql, tab, db_id = line.rstrip("\r\n").rpartition("\t")
            if not tab:
                raise DataError(f"{path}:{number}: a query, a tab and the name of a database are needed")
            rows.append((f"{path}:{number}", {"question": "", "query": sql, "db_id": db_id.strip()}))
    return rows
