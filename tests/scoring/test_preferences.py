"""Files of preferences: what is written comes back, what others wrote is read, and faults name their line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from honewise.contracts import Task
from honewise.errors import DataError
from honewise.scoring.pairs import Pair, PairRule
from honewise.scoring.preferences import pair_line, read_pairs, read_preferences, write_pairs

TASKS = [Task(name, {}, prompt=({"role": "user", "content": f"Say {name}"},)) for name in ("heap", "7")]


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    pairs = [
        Pair("heap", TASKS[0].prompt, "a", "b", (1.0, 0.5), 0.5, None, (True, False), (False, True), "own", 2.0,
             {"rule": "all", "rewards": {"x": [1.0, None]}, "votes": [3, 1]}),
        Pair("x", ({"role": "system", "content": "s"}, {"role": "user", "content": "\u2028\ud800"}), "", "שבע\r\n\x85"),
    ]  # fmt: skip
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    assert read_pairs(tmp_path / "pairs.jsonl") == pairs
    assert len((tmp_path / "pairs.jsonl").read_bytes().splitlines()) == 2
    first = json.loads(pair_line(pairs[0]))
    assert list(first) == [
        "format", "task_id", "prompt", "chosen", "rejected", "scores", "margin", "prob", "safe", "truncated", "source",
        "weight", "provenance",
    ]  # fmt: skip
    assert first["format"] == 1


def test_preferences_that_others_wrote(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "given.jsonl",
        {"task_id": 7, "chosen": "yes", "rejected": "no", "votes": [4, 1], "order": "both", "template": "sha256:ab"},
        {"prompt": "Say what?", "chosen": "a", "rejected": "b", "scores": [9, 4], "source": "human", "weight": 3},
        {"prompt": "Say what?", "chosen": "c", "rejected": "b", "prob": 0.8, "safe": [True, False]},
    )
    found = read_preferences(path, TASKS, source="labels")
    one, two, three = found.pairs
    assert (one.task_id, one.prompt, one.source, one.weight) == ("7", TASKS[1].prompt, "labels", 1.0)
    assert one.provenance == {"votes": [4, 1], "order": "both", "template": "sha256:ab"}
    assert (one.margin, one.scores, one.prob) == (None, None, None)
    assert two.prompt == ({"role": "user", "content": "Say what?"},)
    assert (two.margin, two.source, two.weight) == (5.0, "human", 3.0)
    assert two.task_id == three.task_id
    assert (three.prob, three.safe) == (0.8, (True, False))


def test_completions_with_and_without_their_scores(tmp_path: Path) -> None:
    """The output of ``honewise score`` is read as it is; what has no total is scored later."""
    path = lines(
        tmp_path / "completions.jsonl",
        {"task_id": "heap", "completion": "one", "tokens": 3, "truncated": True},
        {"task_id": "heap", "completion": "two", "total": 0.5, "rewards": {"kind": {"value": 1.0, "weight": 2}}},
        {"task_id": "heap", "completion": "three", "total": None, "rewards": {"kind": {"value": None}}, "source": "x"},
        {"task_id": "new", "prompt": "Say it", "completion": "four", "total": 1},
    )
    found = read_preferences(path, TASKS, PairRule(safe="kind >= 1"), source="file")
    ((row, source, weight),) = found.open
    assert (row.text, row.tokens, row.truncated, row.task, source, weight) == ("one", 3, True, TASKS[0], "file", 1.0)
    two, three, four = (candidate for candidate, _, _ in found.scored)
    assert (two.score, two.safe, two.rewards) == (0.5, True, {"kind": 1.0})
    assert (three.score, three.safe) == (None, None)
    assert (four.task.id, four.score, four.task.prompt[0]["content"]) == ("new", 1.0, "Say it")
    assert [source for _, source, _ in found.scored] == ["file", "x", "file"]
    by_reward = read_preferences(path, TASKS, PairRule(by="kind"))
    assert [candidate.score for candidate, _, _ in by_reward.scored] == [1.0, None, None]
    with pytest.raises(DataError, match="not paired; give the file to a `pairs` stage"):
        read_pairs(path, TASKS)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"task_id": "heap", "chosen": "a"}, "'rejected' is missing"),
        ({"task_id": "heap", "chosen": "a", "rejected": 3}, "'rejected' must be text, this is 3"),
        ({"task_id": "heap", "chosen": "a", "rejected": "a"}, "the same text"),
        ({"task_id": "heep", "chosen": "a", "rejected": "b"}, "no task has the id 'heep'; did you mean 'heap'?"),
        ({"task_id": True, "chosen": "a", "rejected": "b"}, "'task_id' must be text or a whole number"),
        ({"chosen": "a", "rejected": "b"}, "'task_id' is missing, and no 'prompt'"),
        ({"prompt": [], "chosen": "a", "rejected": "b"}, "'prompt' must be text or a list of messages"),
        ({"prompt": [{"role": "user"}], "chosen": "a", "rejected": "b"}, "messages with role and content"),
        ({"task_id": "heap", "chosen": "a", "rejected": "b", "scores": [1]}, "'scores' must be a list of two"),
        ({"task_id": "heap", "chosen": "a", "rejected": "b", "scores": [1, "x"]}, "'scores' must be a number"),
        ({"task_id": "heap", "chosen": "a", "rejected": "b", "prob": 1.5}, "between 0 and 1, this is 1.5"),
        ({"task_id": "heap", "chosen": "a", "rejected": "b", "weight": -1}, "must not be below 0"),
        ({"task_id": "heap", "chosen": "a", "rejected": "b", "safe": [1, 0]}, "'safe' must be true or false"),
        ({"task_id": "heap", "chosen": "a", "rejected": "b", "format": 2}, "this version reads format 1"),
        ({"task_id": "heap", "text": "a"}, "neither a pair"),
        ({"task_id": "new", "prompt": "p", "completion": "a"}, "needs the id of a known task"),
        ({"task_id": "heap", "completion": "a", "tokens": -1}, "'tokens' must be a count"),
        ({"task_id": "heap", "completion": "a", "total": "high"}, "'total' must be a number"),
        ({"task_id": "heap", "completion": "a", "truncated": 1}, "'truncated' must be true or false"),
    ],
)
def test_faults_name_file_and_line(row: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = lines(tmp_path / "faulty.jsonl", {"task_id": "heap", "chosen": "a", "rejected": "b"}, row)
    with pytest.raises(DataError) as caught:
        read_preferences(path, TASKS)
    assert f"{path}:2: " in str(caught.value)
    assert said in str(caught.value)


def test_an_empty_file_is_no_preferences(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty"):
        read_preferences(lines(tmp_path / "empty.jsonl"), TASKS)
