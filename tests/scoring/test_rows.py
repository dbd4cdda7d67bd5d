"""Completions files in, scored rows out."""

from __future__ import annotations

import gzip
import json
import math
import os
import stat
from pathlib import Path

import pytest

from honewise import Cell, Completion, Scored, Span, Task, UserError
from honewise.errors import DataError
from honewise.scoring import read_completions, to_json, write_lines

TASKS = [Task("0", {}), Task("q-1", {}), Task("2", {})]


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return path


def test_rows_keep_the_files_order_and_their_groups(tmp_path: Path) -> None:
    file = write(
        tmp_path / "c.jsonl",
        {"task_id": "q-1", "completion": "é\u2028🙂"},
        "",
        {"task_id": 0, "completion": "", "model": "any", "tokens": 7, "truncated": True},
        {"task_id": "q-1", "completion": "again"},
        {"task_id": "q-1", "completion": "again"},
    )
    read = read_completions(file, TASKS)
    assert [(row.task.id, row.text, row.group) for row in read.rows] == [
        ("q-1", "é\u2028🙂", 0),
        ("0", "", 1),
        ("q-1", "again", 0),
        ("q-1", "again", 0),
    ]
    assert (read.rows[1].tokens, read.rows[1].truncated) == (7, True)
    assert read.notes == (
        "1 of 4 completions repeat another of the same task; each is computed once",
        "1 of 3 tasks have no completion (2)",
    )


def test_compressed_files_and_byte_order_marks_are_read(tmp_path: Path) -> None:
    line = json.dumps({"task_id": "0", "completion": "x"}).encode() + b"\r\n"
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(line * 2))
    (tmp_path / "b.jsonl").write_bytes(b"\xef\xbb\xbf" + line)
    assert len(read_completions(tmp_path / "a.jsonl.gz", TASKS).rows) == 2
    assert len(read_completions(tmp_path / "b.jsonl", TASKS).rows) == 1


GOOD = {"task_id": "0", "completion": "x"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "no completions in it"),
        (["", "  "], "no completions in it"),
        ([GOOD, "{"], r"c.jsonl:2: not JSON"),
        ([GOOD, "[1]"], r"c.jsonl:2: a JSON object is needed, this is list"),
        ([GOOD, "", {"task_id": "0"}], r"c.jsonl:3: 'completion' is missing"),
        ([{"completion": "x"}], r"c.jsonl:1: 'task_id' is missing"),
        ([{"task_id": None, "completion": "x"}], "must be text or a whole number"),
        ([{"task_id": True, "completion": "x"}], "must be text or a whole number"),
        ([{"task_id": 1.5, "completion": "x"}], "must be text or a whole number"),
        ([{"task_id": "0", "completion": None}], "'completion' must be text, this is None"),
        ([{"task_id": "9", "completion": "x"}], r"c.jsonl:1: no task has the id '9'; there are 3: 0, q-1, 2"),
        ([{**GOOD, "tokens": -1}], "'tokens' must be a count"),
        ([{**GOOD, "truncated": "no"}], "'truncated' true or false"),
        (['{"task_id": "0", "completion": NaN}'], "NaN is no JSON number"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, lines: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_completions(write(tmp_path / "c.jsonl", *lines), TASKS)


def test_a_missing_file_a_folder_and_bytes_are_told(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b'{"task_id": "0", "completion": "\xe9"}')
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"{}" * 1000)[:-9])
    for name, message in [
        ("none", "no such file"),
        ("", "is a folder"),
        ("latin", "not UTF-8"),
        ("cut.gz", "broken gzip"),
    ]:
        with pytest.raises(DataError, match=message):
            read_completions(tmp_path / name, TASKS)


def row(**settings: object) -> Scored:
    cells = {
        "a": Cell(
            0.75, 2.0, terminal=0.25, spans=(Span(0, 2, 0.5, "x"),), correct=True, parts={"p": 1.0}, feedback="f"
        ),
        "b": Cell(None, 1.0, unscored="b: gone"),
        "c": Cell(0.5, 0.0, gated=True, terminal=0.5),
    }
    return Scored(Task("t", {}), Completion("text"), cells, **settings)  # type: ignore[arg-type]


def test_the_row_is_exactly_this() -> None:
    assert to_json(row(total=None, correct=True)) == {
        "task_id": "t",
        "completion": "text",
        "total": None,
        "correct": True,
        "rewards": {
            "a": {
                "value": 0.75,
                "weight": 2.0,
                "unscored": None,
                "gated": False,
                "spans": [[0, 2, 0.5, "x"]],
                "parts": {"p": 1.0},
                "feedback": "f",
            },
            "b": {
                "value": None,
                "weight": 1.0,
                "unscored": "b: gone",
                "gated": False,
                "spans": [],
                "parts": {},
                "feedback": "",
            },
            "c": {
                "value": 0.5,
                "weight": 0.0,
                "unscored": None,
                "gated": True,
                "spans": [],
                "parts": {},
                "feedback": "",
            },
        },
    }


def test_with_a_cut_the_values_still_sum_to_the_total() -> None:
    made = to_json(row(total=1.0, correct=False, cut=-0.5))
    assert list(made) == ["task_id", "completion", "total", "correct", "rewards"]
    weighted = (each["weight"] * each["value"] for each in made["rewards"].values() if each["value"] is not None)
    assert math.fsum(weighted) == made["total"]
    assert made["rewards"]["cap"]["value"] == -0.5


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out.jsonl"
    write_lines(target, ["é", "b"])
    assert target.read_bytes() == "é\nb\n".encode()
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask

    def lines() -> object:
        yield "new"
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError):
        write_lines(target, lines())  # type: ignore[arg-type]
    assert target.read_text() == "é\nb\n"
    assert os.listdir(target.parent) == ["out.jsonl"]
    with pytest.raises(UserError, match="cannot be written"):
        write_lines(target / "below", ["x"])
