"""What the published Gorilla answers are worth here, answer by answer, beside the official rule.

The official rule as described by its authors, written anew: the first entry of the table whose name is that of a call
in the answer and whose repository and model stand somewhere in the text of that call; right where its domain is the
gold's.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from honewise import Completion, Task
from honewise.data.files import read_jsonl
from honewise.testing import data_slice
from honewise_code_api.apis import read_table
from honewise_code_api.calls import calls_within
from honewise_code_api.domain import code_api
from honewise_code_api.readers.gorilla import GORILLA, answer_of

DOMAIN = code_api()
CALL = next(each for each in DOMAIN.rewards if each.name == "call")
KINDS = ("correct", "wrong", "hallucinated", "unreadable")


@cache
def answered(model: str) -> list[tuple[int, Task, str]]:
    """Each with its number and the call it gives."""
    folder = data_slice("code_api/gorilla_apibench")
    tasks = list(GORILLA.read(folder / "torchhub_eval.json"))
    rows = [row for _, row in read_jsonl(folder / f"response_torchhub_Gorilla_{model}_0_shot.jsonl")]
    return [(row["question_id"], tasks[row["question_id"] - 1], answer_of(row["text"])) for row in rows]


def ours(task: Task, answer: str) -> str:
    completion: Completion = DOMAIN.parse(f"<answer>{answer}</answer>", task)
    parts = CALL(task=task, completion=completion).parts
    return next(kind for kind in KINDS if parts[kind])


def official(task: Task, answer: str) -> str:
    calls = calls_within(answer)
    if not calls:
        return "unreadable"
    for api in read_table(task.reference["table"]):
        for call in calls:
            text = answer[call.start : call.end]
            if call.name == api.call.name and all(each.value in text for each in api.texts[:2]):
                return "correct" if api.domain == task.reference["domain"] else "wrong"
    return "hallucinated"


def verdicts(model: str) -> dict[int, tuple[str, str, str]]:
    return {number: (ours(task, text), official(task, text), text) for number, task, text in answered(model)}


DEVIATIONS: dict[tuple[str, int], str] = {
    ("FT", 59): "text must be equal: no model is called vanilla_resnet50, though resnet50 stands within that name",
}
"""Answers on which the two rules differ, and the documented deviation that explains it."""


@pytest.mark.parametrize(
    ("model", "counts"),
    [("FT", {"correct": 74, "wrong": 8, "hallucinated": 7, "unreadable": 1}), ("RT", {"unreadable": 90})],
)
def test_each_answer_has_a_verdict(model: str, counts: dict[str, int]) -> None:
    found = verdicts(model)
    differ = {number: each for number, each in found.items() if each[0] != each[1]}
    assert Counter(each[0] for each in found.values()) == counts
    assert set(differ) == {number for which, number in DEVIATIONS if which == model}


def table() -> str:
    """Every answer with both verdicts, as ``python`` prints it for whoever wants to look."""
    lines = []
    for model in ("FT", "RT"):
        for number, (mine, theirs, text) in verdicts(model).items():
            lines.append(f"{model}\t{number}\t{mine}\t{theirs}\t{text}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
