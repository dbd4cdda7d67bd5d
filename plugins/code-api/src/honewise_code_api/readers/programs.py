"""HumanEval and MBPP: programs with unit tests."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import first_object, read_json, read_jsonl
from honewise.errors import DataError
from honewise_code_api.calls import parsed

__all__ = ["HUMANEVAL", "MBPP"]

_SHOWN = 1
"""Of MBPP's tests, how many the prompt shows: they tell the function's name."""


def _needed(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise DataError(f"{where}: {key!r} must be text")
    return value


def humaneval_task(row: Mapping[str, Any], where: str) -> Task:
    """The tests have the prompt's own helpers, and of the program its entry point alone.

    ``check`` is taken apart where that changes nothing: where it is made of assertions only, each is one test.
    """
    prompt, entry = _needed(row, "prompt", where), _needed(row, "entry_point", where)
    test = _needed(row, "test", where)
    reference = {
        "solution": prompt + _needed(row, "canonical_solution", where),
        "setup": f"{prompt}\n{test}",
        "tests": _assertions(test, entry) or [f"check({entry})"],
        "entry_point": entry,
    }
    question = f"Complete the function {entry}."
    return Task(_needed(row, "task_id", where), {"question": question, "start": prompt.strip("\n")}, reference)


def _assertions(test: str, entry: str) -> list[str]:
    tree = parsed(test)
    check = next((each for each in tree.body if getattr(each, "name", "") == "check"), None) if tree else None
    if not isinstance(check, ast.FunctionDef) or len(check.args.args) != 1:
        return []
    if not all(isinstance(statement, ast.Assert) for statement in check.body):
        return []
    name = check.args.args[0].arg
    return [f"{name} = {entry}\n{ast.unparse(statement)}" for statement in check.body]


def mbpp_task(row: Mapping[str, Any], where: str) -> Task:
    """``text`` in the full data set, ``prompt`` in the sanitized one; the challenge tests count as tests."""
    text = row.get("text") or row.get("prompt")
    tests = [*(row.get("test_list") or ()), *(row.get("challenge_test_list") or ())]
    if not isinstance(text, str) or not tests or not all(isinstance(test, str) for test in tests):
        raise DataError(f"{where}: 'text' (or 'prompt') and 'test_list' are needed")
    setup = "\n".join([*(row.get("test_imports") or ()), str(row.get("test_setup_code") or "")])
    reference = {"solution": _needed(row, "code", where), "setup": setup, "tests": tests, "entry_point": None}
    return Task(str(row.get("task_id")), {"question": text, "examples": tests[:_SHOWN]}, reference)


def _reader(make: Any, keys: set[str]) -> Reader:
    def lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
        if path.suffix == ".json" and isinstance(found := _whole(path), list):
            yield from ((f"{path}: row {index}", row) for index, row in enumerate(found))
        else:
            yield from ((f"{path}:{line}", row) for line, row in read_jsonl(path))

    def read(path: Path) -> Iterator[Task]:
        for file in _files(path, keys):
            for where, row in lines(file):
                yield make(row, where)

    def rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
        for index, row in enumerate(given):
            yield make(row, f"row {index}")

    return Reader(read=read, recognise=lambda path: any(_has(file, keys) for file in _files(path, keys)), rows=rows)


def _whole(path: Path) -> Any:
    try:
        return read_json(path)
    except DataError:
        return None


def _files(path: Path, keys: set[str]) -> list[Path]:
    if not path.is_dir():
        return [path]
    entries = sorted(file for file in path.iterdir() if file.suffix in (".json", ".jsonl", ".gz"))
    return [file for file in entries if _has(file, keys)]


def _has(path: Path, keys: set[str]) -> bool:
    row = first_object(path) if path.is_file() else None
    return row is not None and keys <= set(row)


HUMANEVAL = _reader(humaneval_task, {"task_id", "prompt", "entry_point", "canonical_solution", "test"})
MBPP = _reader(mbpp_task, {"task_id", "code", "test_list"})
