"""Programs: how much they pass, where they fail, and what readers make of the published layouts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honewise import Domain, Task, Unscored
from honewise.data import load_tasks
from honewise.errors import DataError, SandboxError
from honewise.testing import data_slice

TASK = Task(
    "0",
    {"question": "double"},
    {"solution": "def f(x): return 2 * x", "setup": "", "entry_point": "f",
     "tests": ["assert f(1) == 2", "assert f(2) == 4", "assert f(0) == 0", "assert f(-1) == -2"]},
)  # fmt: skip


@pytest.mark.parametrize(
    ("code", "share", "blame", "kind"),
    [
        ("def f(x): return 2 * x", 1.0, None, "ok"),
        ("def f(x): return 0", 0.25, "", "ok"),
        (
            "def f(x):\n    if x < 0:\n        raise ValueError\n    return x + x",
            0.75,
            "        raise ValueError",
            "ok",
        ),
        ("import os\nx = 1 + '1'\ndef f(x): return 2", 0.0, "x = 1 + '1'", "type"),
        ("def f(x): return y", 0.0, "def f(x): return y", "ok"),
        ("def g(x): return 2 * x", 0.0, "", "ok"),
        ("def f(x)\n    return 2 * x", 0.0, "def f(x)", "syntax"),
        ("import nothing_here", 0.0, "import nothing_here", "import"),
        ("raise SystemExit", 0.0, "raise SystemExit", "runtime"),
        ("import os\nos._exit(0)", 0.0, "", "runtime"),
    ],
)
def test_values(worth: Callable[..., Any], code: str, share: float, blame: str | None, kind: str) -> None:
    found = worth("tests", TASK, code)
    assert found.value == share
    assert found.correct is (share == 1.0)
    assert found.parts[kind] == 1.0
    assert worth("passes", TASK, code).value == float(share == 1.0)
    line = worth("faulty_line", TASK, code)
    assert line.value == (0.0 if blame is None else -1.0)
    text = f"so <answer>\n```python\n{code}\n```\n</answer>"
    assert [text[span.start : span.end] for span in line.spans] == ([blame] if blame else [])


def test_what_cannot_be_read_is_the_models_fault_and_broken_tests_are_not(worth: Callable[..., Any]) -> None:
    assert worth("tests", TASK, "", raw=True).value == 0.0
    assert worth("faulty_line", TASK, "", raw=True).value == -1.0
    broken = Task("0", {"question": "?"}, {"tests": ["def ("], "entry_point": "f"})
    assert isinstance(worth("tests", broken, "x = 1"), Unscored)


def test_a_text_block_that_is_not_closed_is_read(programs: Domain) -> None:
    assert programs.parse("<answer>\n```python\nx = 1\n</answer>", TASK).answer == "x = 1"
    assert programs.parse("look:\n```\nx = 1\n```\nand\n```py\n  y = 2\n```", TASK).answer == "  y = 2"
    assert programs.parse("<answer>\n    return 1\n</answer>", TASK).answer == "    return 1"
    assert programs.parse("x = 1", TASK).answer is None


def test_humaneval_gold_passes(programs: Domain) -> None:
    tasks = load_tasks(programs, path=data_slice("code_api/humaneval")).tasks
    reward = next(each for each in programs.rewards if each.name == "tests")
    for task in tasks:
        found = reward(task=task, completion=programs.parse(programs.gold(task) or "", task))
        assert found.value == 1.0, (task.id, found)
    assert sum(len(task.reference["tests"]) for task in tasks) > 2 * len(tasks), "checks are taken apart"


def test_a_program_cannot_change_the_helpers_of_the_tests(programs: Domain, tmp_path: Path) -> None:
    row = {
        "task_id": "T/0",
        "prompt": "def size(x):\n    return len(x)\n\ndef f(x):\n    '''longer by one'''\n",
        "entry_point": "f",
        "canonical_solution": "    return x + [0]\n",
        "test": "def check(candidate):\n    assert size(candidate([1])) == 2\n    assert candidate([]) == [0]\n",
    }
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row).encode()))
    (task,) = load_tasks(programs, path=path).tasks
    assert len(task.reference["tests"]) == 2
    reward = next(each for each in programs.rewards if each.name == "tests")
    cheat = "<answer>def size(x): return 2\ndef f(x): return 0</answer>"
    assert reward(task=task, completion=programs.parse(cheat, task)).value == 0.0
    assert reward(task=task, completion=programs.parse(programs.gold(task) or "", task)).value == 1.0


@pytest.mark.parametrize("name", ["text", "prompt"])
def test_mbpp_in_both_layouts(programs: Domain, tmp_path: Path, name: str) -> None:
    row: dict[str, Any] = {
        "task_id": 7,
        name: "Write a function that finds the longest chain of pairs.",
        "code": "class Pair:\n    def __init__(s, a, b): s.a, s.b = a, b\ndef size(p): return math_of(p)\n"
        "def math_of(p): return p.b - p.a",
        "test_list": ["assert size(Pair(1, 3)) == 2", "assert math.isclose(size(Pair(0, 1)), 1)"],
        "test_setup_code": "",
        "challenge_test_list": ["assert size(Pair(5, 5)) == 0"],
    }
    path = tmp_path / "mbpp.jsonl"
    path.write_text(json.dumps(row))
    (task,) = load_tasks(programs, path=path).tasks
    assert (task.id, len(task.reference["tests"])) == ("7", 3)
    reward = next(each for each in programs.rewards if each.name == "tests")
    assert reward(task=task, completion=programs.parse(programs.gold(task) or "", task)).value == 1.0


def test_rows_that_lack_something_name_the_place(programs: Domain, tmp_path: Path) -> None:
    path = tmp_path / "mbpp.jsonl"
    path.write_text(json.dumps({"task_id": 1, "code": "x", "test_list": []}))
    with pytest.raises(DataError, match=r"mbpp\.jsonl:1: 'text'"):
        list(load_tasks(programs, path=path, format="mbpp").tasks)


def test_samples_are_right_and_splits_are_apart(programs: Domain, calls: Domain) -> None:
    for domain in (programs, calls):
        train, held_out = list(domain.samples("train")), list(domain.samples("held-out"))
        assert min(len(train), len(held_out)) >= 50
        questions = {task.inputs["question"] for task in train}
        assert not questions & {task.inputs["question"] for task in held_out}
        assert [task.inputs for task in domain.samples("train")] == [task.inputs for task in train]
    reward = next(each for each in programs.rewards if each.name == "tests")
    for task in [*programs.samples("train"), *programs.samples("held-out")][::7]:
        found = reward(task=task, completion=programs.parse(programs.gold(task) or "", task))
        assert found.value == 1.0, (task.reference, found)


def test_errors_of_the_sandbox_are_unscored(programs: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    from honewise_code_api import program_rewards
    from honewise_code_api.domain import code_tests

    def fail(*_: object, **__: object) -> None:
        raise SandboxError("no sandbox here")

    monkeypatch.setattr(program_rewards, "check_python", fail)
    domain = code_tests()
    reward = next(each for each in domain.rewards if each.name == "tests")
    found = reward(task=TASK, completion=domain.parse(domain.gold(TASK) or "", TASK))
    assert found == Unscored("no sandbox here")
