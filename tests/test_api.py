"""The Python face: what a notebook calls."""

from __future__ import annotations

import subprocess
import sys

import pytest

import honewise
from honewise import LoadedDomain, Rubric, UserError, load_domain
from honewise.errors import UnknownName


@pytest.fixture(scope="module")
def domain() -> LoadedDomain:
    return load_domain("arithmetic")


def test_gold_completions_are_right(domain: LoadedDomain) -> None:
    tasks = domain.tasks(limit=3)
    golds = [str(domain.gold(task)) for task in tasks]
    scored = domain.score(golds, tasks=tasks, workers=1)
    assert [row.correct for row in scored] == [True] * 3
    assert [row.task.id for row in scored] == [task.id for task in tasks]


def test_completions_by_task_id_may_be_one_or_several(domain: LoadedDomain) -> None:
    tasks = domain.tasks(limit=3).tasks
    by_id = {tasks[2].id: ["", str(domain.gold(tasks[2]))], tasks[0].id: "nothing"}
    scored = domain.score(by_id, tasks=tasks, workers=0)
    assert [(row.task.id, row.correct) for row in scored] == [
        (tasks[0].id, False),
        (tasks[2].id, False),
        (tasks[2].id, True),
    ]
    name = next(iter(domain.domain.rubrics["default"].terms if "default" in domain.domain.rubrics else ["correct"]))
    (row,) = domain.score({tasks[0].id: "x"}, tasks=tasks, rubric=Rubric({name: 3.0}), workers=0)
    assert list(row.rewards) == [name]


def test_what_does_not_fit_is_told(domain: LoadedDomain) -> None:
    tasks = domain.tasks(limit=2)
    with pytest.raises(UserError, match="1 completions for 2 tasks"):
        domain.score(["x"], tasks=tasks)
    with pytest.raises(UserError, match="this is one text"):
        domain.score("xy", tasks=tasks)
    with pytest.raises(UserError, match=f"no task has the id .* did you mean '{tasks.tasks[0].id}'"):
        domain.score({tasks.tasks[0].id + "0": "x"}, tasks=tasks)
    with pytest.raises(UnknownName, match="did you mean 'arithmetic'"):
        load_domain("arithmetics")
    with pytest.raises(UserError):
        load_domain("arithmetic", nothing_like_it=1)


def test_the_public_names_are_these() -> None:
    assert honewise.load_domain is load_domain
    assert callable(honewise.run)


def test_scoring_needs_no_torch() -> None:
    code = """
import sys, honewise
domain = honewise.load_domain("arithmetic")
tasks = domain.tasks(limit=1)
domain.score([domain.gold(tasks.tasks[0])], tasks=tasks, workers=1)
assert not {"torch", "transformers", "trl", "evaluate", "datasets"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
