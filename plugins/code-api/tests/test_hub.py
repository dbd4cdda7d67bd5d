"""Data sets of the Hugging Face hub, by the library's own builder from files on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from honewise import Domain, Task, UserError
from honewise.data import load_tasks
from honewise.errors import DataError
from honewise_code_api.domain import code_api, code_preferences, code_tests

Load = Callable[..., Sequence[Task]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Tasks of a data set with these rows, as ``org/name:train`` would give them."""
    datasets = pytest.importorskip("datasets")
    build = datasets.load_dataset
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def local(name: str, config: str | None, split: str | None = None) -> Any:
        assert (name, config) == ("org/name", None)
        return build("json", data_files={"train": str(tmp_path / "rows.jsonl")}, split=split, cache_dir=str(tmp_path))

    monkeypatch.setattr(datasets, "load_dataset", local)

    def load(domain: Domain, format: str | None, *rows: dict[str, Any]) -> Sequence[Task]:
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load_tasks(domain, path="org/name:train", format=format).tasks

    return load


def right(domain: Domain, task: Task, reward: str) -> bool:
    found = next(each for each in domain.rewards if each.name == reward)
    return bool(found(task=task, completion=domain.parse(domain.gold(task) or "", task)).value == 1.0)


def function(name: str, **kinds: str) -> dict[str, Any]:
    properties = {key: {"type": kind} for key, kind in kinds.items()}
    return {"name": name, "parameters": {"type": "dict", "properties": properties, "required": list(kinds)}}


def test_bfcl_with_its_answers_in_a_column(hub: Load) -> None:
    asked = [[{"role": "user", "content": "Go."}]]
    rows = [
        {"id": "simple_0", "question": asked, "function": [function("go", fast="boolean")],
         "ground_truth": [{"go": {"fast": [True]}}]},
        {"id": "simple_1", "question": asked, "function": [function("send", to="string")],
         "ground_truth": [{"send": {"to": ["Ada"]}}]},
        {"id": "irrelevance_0", "question": asked, "function": [function("send", to="string")], "ground_truth": []},
    ]  # fmt: skip
    domain = code_api()
    for given in (rows, [{**row, "ground_truth": json.dumps(row["ground_truth"])} for row in rows]):
        tasks = hub(domain, "bfcl", *given)
        assert [task.id for task in tasks] == ["simple_0", "simple_1", "irrelevance_0"]
        assert list(tasks[0].inputs["functions"][0]["parameters"]["properties"]) == ["fast"]
        assert tasks[1].reference["calls"] == [{"send": {"to": ["Ada"]}}]
        assert all(right(domain, task, "match") for task in tasks)


def test_bfcl_without_answers_says_where_they_are(hub: Load) -> None:
    row = {"id": "simple_0", "question": [[{"role": "user", "content": "Go."}]], "function": [function("go")]}
    with pytest.raises(DataError, match=r"row 0: no answer for 'simple_0'; .*'ground_truth'.* possible_answer/"):
        hub(code_api(), "bfcl", row)


def apis(*calls: str) -> list[dict[str, Any]]:
    return [
        {"code": f"###Instruction: Do {number}.\n###Output: <<<api_call>>>: {call}", "api_call": call,
         "provider": "P", "api_data": {"domain": f"D{number}", "api_call": call, "extra": {str(number): "x"}}}
        for number, call in enumerate(calls)
    ]  # fmt: skip


def test_apibench_keeps_the_table_of_its_own_apis(hub: Load, tmp_path: Path) -> None:
    domain = code_api()
    rows = apis("hub.load('a/b', 'small')", "hub.load('a/b', 'large')")
    one, other = hub(domain, "gorilla", *rows)
    table = Path(one.reference["table"])
    assert table.parent == tmp_path / "cache" / "honewise" / "code-api"
    assert one.reference["table"] == other.reference["table"]
    assert [json.loads(line)["domain"] for line in table.read_text().splitlines()] == ["D0", "D1"]
    assert right(domain, one, "match")
    assert right(domain, other, "match")
    assert hub(domain, "gorilla", *rows)[0].reference == one.reference


def test_apibench_with_a_table_that_is_named(hub: Load, tmp_path: Path) -> None:
    table = tmp_path / "hub_api.jsonl"
    table.write_text(json.dumps({"domain": "D0", "api_call": "hub.load('a/b', 'small')"}))
    domain = code_api(table=str(table))
    (task,) = hub(domain, "gorilla", *apis("hub.load('a/b', 'small')"))
    assert task.reference["table"] == str(table)
    assert right(domain, task, "match")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(UserError, match="there is no such file"):
        code_api(table=str(tmp_path / "none.jsonl"))


def test_a_table_that_cannot_be_kept_is_told(hub: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DataError, match="name one with the domain's option table: FILE"):
        hub(code_api(), "gorilla", *apis("hub.load('a/b', 'small')"))


def test_programs(hub: Load) -> None:
    domain = code_tests(seconds=10.0)
    row = {
        "task_id": "T/0",
        "prompt": "def f(x):\n    '''Itself.'''\n",
        "entry_point": "f",
        "canonical_solution": "    return x\n",
        "test": "def check(candidate):\n    assert candidate(1) == 1\n",
    }
    (task,) = hub(domain, "humaneval", row)
    assert task.id == "T/0"
    assert right(domain, task, "tests")
    full = {"task_id": 7, "text": "Add one.", "code": "def f(x): return x + 1", "test_list": ["assert f(1) == 2"],
            "test_setup_code": "", "challenge_test_list": []}  # fmt: skip
    sanitized = {"task_id": 8, "prompt": "Add one.", "code": "def f(x): return x + 1",
                 "test_list": ["assert f(1) == 2"], "test_imports": ["import math"]}  # fmt: skip
    for given in (full, sanitized):
        (task,) = hub(domain, "mbpp", given)
        assert task.id == str(given["task_id"])
        assert right(domain, task, "tests")


def test_preferences_need_no_format(hub: Load) -> None:
    row = {"instruction": "Sort.", "preference": "style", "models": ["a", "b"],
           "responses": [{"model": "a", "response": "A"}, {"model": "b", "response": "B"}],
           "annotations": [{"model": "a", "rating": "2"}, {"model": "b", "rating": "4"}]}  # fmt: skip
    domain = code_preferences()
    (task,) = hub(domain, None, row)
    assert domain.gold(task) == "B"
