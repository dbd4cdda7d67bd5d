"""The vocabulary of errors: who can do something about it, and what the message says."""

from __future__ import annotations

import inspect
import pickle

import pytest

from honewise import errors
from honewise.errors import (
    HonewiseError,
    MissingExtra,
    Problem,
    RecipeError,
    UnknownName,
    UserError,
    first_sentence,
    near,
)


def every_error() -> list[type[HonewiseError]]:
    return [thing for _, thing in inspect.getmembers(errors, inspect.isclass) if issubclass(thing, HonewiseError)]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    parents, path = {}, ["HonewiseError"]
    for line in (errors.__doc__ or "").splitlines():
        if "── " in line:
            depth = line.index("├" if "├" in line else "└") // 4
            path[depth:] = [line.split("── ")[1].split()[0]]
            parents[path[-1]] = path[-2]
    assert parents == {kind.__name__: kind.__bases__[0].__name__ for kind in every_error() if kind is not HonewiseError}


def test_failures_that_are_nobodys_input_are_not_user_errors() -> None:
    others = {kind.__name__ for kind in every_error() if not issubclass(kind, UserError)}
    budgets = {"BudgetExceeded", "JudgeBudgetExceeded", "UnscoredBudgetExceeded"}
    assert others == {"HonewiseError", "JudgeError", "SandboxError", *budgets}


def test_a_recipe_error_shows_every_problem_with_its_path() -> None:
    problems = [Problem("stages.rl.steps", "is 'many'; give a whole number"), Problem("", "the file is empty")]
    error = RecipeError("quick.yaml", problems)
    assert str(error) == (
        "quick.yaml: 2 problems\n  stages.rl.steps: is 'many'; give a whole number\n  the file is empty"
    )
    assert error.problems == tuple(problems)
    assert str(RecipeError("x", problems[:1])).startswith("x: 1 problem\n")


@pytest.mark.parametrize(
    ("name", "allowed", "tail"),
    [
        ("sqll", ["sql", "chess"], "; did you mean 'sql'?"),
        ("zzz", ["sql", "chess"], "; there are: chess, sql"),
        ("zzz", [], "; there are none"),
    ],
)
def test_near(name: str, allowed: list[str], tail: str) -> None:
    assert near(name, allowed) == tail


def test_messages_say_what_to_do() -> None:
    assert str(MissingExtra("stage rl", "honewise[train]")).endswith("run: pip install 'honewise[train]'")
    assert str(UnknownName("reward", "x", ["y"])) == "no reward 'x'; there are: y"


@pytest.mark.parametrize("error", [UserError("plain"), errors.SandboxError("gone")])
def test_plain_errors_cross_processes(error: HonewiseError) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no such model\nIf it is private, log in", "no such model"),
        ("No.\nmore", "No."),
        ("One of: \n(1) a file, \n(2) a thing. \nYou need more.", "One of: (1) a file, (2) a thing."),
        ("Of these:\n\n  Whole\nor half", "Of these: Whole or half"),
        (" \n", "ValueError"),
    ],
)
def test_the_first_sentence_of_an_error_is_whole_and_on_one_line(text: str, said: str) -> None:
    assert first_sentence(ValueError(text)) == said
