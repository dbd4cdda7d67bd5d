"""API calls against a table: known, of another domain, or made up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honewise import Task, Unscored
from honewise.data import load_tasks
from honewise.testing import data_slice
from honewise_code_api.domain import code_api
from honewise_code_api.readers.gorilla import answer_of

TABLE = [
    ("Speech", "hub.load(repo='a/speech', model='small', pretrained=True)"),
    ("Speech", "hub.load(repo='a/speech', model='large')"),
    ("Vision", "hub.load(repo='b/vision', model='small')"),
    ("Text", "Model.from_pretrained('c/text')"),
    ("Odd", "hub.load(repo='d/odd', 'entry', model='x')"),
]


@pytest.fixture
def task(tmp_path: Path) -> Task:
    table = tmp_path / "table.jsonl"
    table.write_text("\n".join(json.dumps({"domain": domain, "api_call": text}) for domain, text in TABLE))
    return Task("0", {"question": "?"}, {"api_call": TABLE[0][1], "domain": "Speech", "table": str(table)})


@pytest.mark.parametrize(
    ("code", "value", "kind"),
    [
        ("hub.load(repo='a/speech', model='small', pretrained=True)", 1.0, "correct"),
        ("hub.load('a/speech', 'large')", 1.0, "correct"),
        ("import hub\nm = hub.load('a/speech', model='small', extra=1)\nm.eval()", 1.0, "correct"),
        ("hub.load(repo='b/vision', model='small')", 0.5, "wrong"),
        ("hub.load(repo='a/speech', model='tiny')", 0.25, "hallucinated"),
        ("hub.load(repo='small', model='a/speech')", 0.25, "hallucinated"),
        ("hub.load(repo='a/speechless', model='small')", 0.25, "hallucinated"),
        ("Model.from_pretrained('c/text')", 0.5, "wrong"),
        ("Other.from_pretrained('c/text')", 0.0, "hallucinated"),
        ("hub.load('d/odd', 'entry', model='x')", 0.5, "wrong"),
        ("x = 1", 0.0, "unreadable"),
        ("hub.load(", 0.0, "unreadable"),
    ],
)
def test_classes(task: Task, worth: Callable[..., Any], code: str, value: float, kind: str) -> None:
    found = worth("call", task, code)
    assert found.value == pytest.approx(value)
    assert found.parts[kind] == 1.0
    assert sum(found.parts.values()) == 1.0
    assert found.correct is (kind == "correct")


def test_only_the_first_known_call_counts(task: Task, worth: Callable[..., Any]) -> None:
    shots = "\n".join(text for _, text in reversed(TABLE[:4]))
    assert worth("match", task, shots).value == 0.0


def test_a_missing_table_is_nobodys_score(worth: Callable[..., Any]) -> None:
    task = Task("0", {"question": "?"}, {"api_call": "f('x')", "domain": "D", "table": "/nowhere/table.jsonl"})
    assert isinstance(worth("call", task, "f('x')"), Unscored)
    assert isinstance(worth("call", Task("0", {"question": "?"}), "f('x')"), Unscored)


def test_answers_of_both_layouts() -> None:
    marked = "<<<domain>>>: X\n<<<api_call>>>: f('a', b=1)\n<<<api_provider>>>: P"
    assert answer_of(marked) == "f('a', b=1)"
    assert answer_of("{'domain': 'X', 'api_call': 'f('a')', 'api_provider': 'P'}") == "f('a')"
    assert answer_of("{'api_call': \\\"m = f('a')\\\", 'api_provider': 1}") == "m = f('a')"
    assert answer_of("nothing") == ""


EXCEPTIONS = {"huggingface_eval-112": "the published call is a text in quotes, in which the model's name has none"}


def test_the_published_answers_of_the_rows_are_correct() -> None:
    domain = code_api()
    tasks = load_tasks(domain, path=data_slice("code_api/gorilla_apibench")).tasks
    match = next(each for each in domain.rewards if each.name == "match")
    failed = {
        task.id for task in tasks if not match(task=task, completion=domain.parse(domain.gold(task) or "", task)).value
    }
    assert failed == set(EXCEPTIONS)
    assert len(failed) <= 0.02 * len(tasks)
