"""``tasks`` and ``score`` as a person types them, and their formats to the letter."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributions import install

from honewise import cli, load_domain
from honewise.cli import score
from honewise.cli.tasks import _apart
from honewise.metrics import metric_numbers
from honewise.stages.measure import numbers_of
from honewise.testing import data_slice

Command = Callable[..., tuple[int, str, str]]
CELL = ["value", "weight", "unscored", "gated", "spans", "parts", "feedback"]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run the command line in this process, in a folder of its own: exit code, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(list(arguments))
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return call


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def test_tasks_as_json_are_one_object_a_line_and_nothing_else(command: Command) -> None:
    code, out, _ = command("tasks", "arithmetic", "--json", "--limit", "3")
    rows = lines(out)
    assert code == 0
    assert [list(row) for row in rows] == [["task_id", "prompt", "reference", "gold"]] * 3
    assert rows[0]["prompt"][0]["role"] == "user"
    domain = load_domain("arithmetic")
    tasks = domain.tasks(limit=3).tasks
    assert [(row["task_id"], row["gold"]) for row in rows] == [(task.id, domain.gold(task)) for task in tasks]
    _, train, _ = command("tasks", "arithmetic", "--json", "--limit", "1", "--split", "train")
    assert lines(train)[0]["task_id"] != rows[0]["task_id"]


def test_tasks_for_people(command: Command) -> None:
    code, out, err = command("tasks", "arithmetic", "--limit", "2")
    assert code == 0
    _, *rows = out.splitlines()
    assert [row.split("  ")[1].strip() for row in rows] == ["17 + 13 - 8", "18 + 6 + 0"]
    assert "2 tasks of samples: held-out" in err


def test_tasks_of_long_prompts_are_told_apart(command: Command, tmp_path: Path) -> None:
    """Where the form of the answer stands last, and where there is a question."""
    pytest.importorskip("honewise_text_to_sql")
    code, out, _ = command("tasks", "text-to-sql", "--limit", "5")
    assert code == 0
    rows = [row.split(maxsplit=1)[1] for row in out.splitlines()[1:]]
    assert len(set(rows)) == 5
    domain = load_domain("text-to-sql")
    for row, task in zip(rows, domain.tasks(limit=5), strict=True):
        assert str(task.inputs["question"])[-30:] in row
        assert task.reference["sql"][0][-30:] in row


@pytest.mark.parametrize(
    ("texts", "apart"),
    [
        (["Form:\nhow many?\nReply so.", "Form:\nhow old?\nReply so."], ["how many?", "how old?"]),
        (["Say one please", "Say only please"], ["one", "only"]),
        (["same", "same"], ["same", "same"]),
        (["a b", "a b c"], ["b", "b c"]),
        (["a ", "a b"], ["a ", "b"]),
        (["\U0001f600x", "\U0001f600y"], ["\U0001f600x", "\U0001f600y"]),
        (["alone"], ["alone"]),
        ([], []),
    ],
)
def test_what_all_texts_share_is_left_out(texts: list[str], apart: list[str]) -> None:
    assert _apart(texts) == apart


def test_metrics_are_called_as_everywhere(tmp_path: Path) -> None:
    """``score`` and what evaluations store give one name to one number."""
    domain = load_domain("arithmetic")
    tasks = domain.tasks(limit=2).tasks
    scored = domain.score(["x", str(domain.gold(tasks[1]))], tasks=tasks, workers=0)
    ours = {name: value for name, value in numbers_of(domain.domain, scored).items() if name.startswith("metric/")}
    assert ours["metric/accuracy"] == 0.5
    assert score._numbers(domain.domain, scored) == ours
    assert metric_numbers("m", lambda rows: {"m": 1, "m/easy": len(rows)}, scored) == {
        "metric/m": 1.0,
        "metric/m/m/easy": 2.0,
    }


def test_where_nothing_can_be_written_nothing_is_scored(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "c.jsonl", [{"task_id": "held-out-0", "completion": "x"}])
    monkeypatch.setattr(score, "Scorer", lambda *_, **__: pytest.fail("scored before the look"))
    code, out, err = command("score", "arithmetic", "--completions", file, "--out", "c.jsonl/o.jsonl")
    assert (code, out) == (2, "")
    assert err == "error: --out c.jsonl/o.jsonl: cannot be written (File exists)\n"
    assert [path.name for path in tmp_path.iterdir()] == ["c.jsonl"]


def test_no_command_writes_over_what_it_reads(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "c.jsonl", [{"task_id": "held-out-0", "completion": "x"}])
    before = Path(file).read_bytes()
    (tmp_path / "link.jsonl").symlink_to(file)
    (tmp_path / "sub").mkdir()
    monkeypatch.setattr(score, "Scorer", lambda *_, **__: pytest.fail("scored before the look"))
    for out in (file, "c.jsonl", "link.jsonl", "sub/../c.jsonl"):
        for reads, option in (
            (["score", "arithmetic", "--completions", file], "completions"),
            (["score", "arithmetic", "--completions", "other.jsonl", "--data", file], "data"),
            (["score", "arithmetic", "--completions", "other.jsonl", "--judge", file], "judge"),
            (["eval", "arithmetic", "--model", str(tmp_path), "--data", file], "data"),
            (["audit", "judge", "--data", file], "data"),
        ):
            code, _, err = command(*reads, "--out", out)
            assert code == 2
            assert err == (
                f"error: --out {out}: is the file that --{option} reads, which would be lost; give another name\n"
            )
    assert Path(file).read_bytes() == before


def test_score_writes_exactly_this(command: Command, tmp_path: Path) -> None:
    tasks = lines(command("tasks", "arithmetic", "--json", "--limit", "2")[1])
    rows = [
        {"task_id": tasks[1]["task_id"], "completion": tasks[1]["gold"]},
        {"task_id": tasks[0]["task_id"], "completion": "é🙂 \u202e nothing \u2028\x00"},
        {"task_id": tasks[1]["task_id"], "completion": tasks[1]["gold"]},
    ]
    file = write(tmp_path / "c.jsonl", rows)
    code, out, err = command("score", "arithmetic", "--completions", file, "--out", "o.jsonl", "--workers", "1")
    assert code == 0
    assert "reward correct" in out
    assert "1 of 3 completions repeat another" in err
    made = lines((tmp_path / "o.jsonl").read_text("utf-8"))
    assert [list(row) for row in made] == [["task_id", "completion", "total", "correct", "rewards"]] * 3
    assert [(row["task_id"], row["completion"]) for row in made] == [(r["task_id"], r["completion"]) for r in rows]
    assert [row["correct"] for row in made] == [True, False, True]
    for row in made:
        assert all(list(cell) == CELL for cell in row["rewards"].values())
        assert row["total"] == pytest.approx(math.fsum(c["value"] * c["weight"] for c in row["rewards"].values()))
        for cell in row["rewards"].values():
            assert all(0 <= start <= end <= len(row["completion"]) for start, end, _, _ in cell["spans"])


def test_score_to_standard_output_has_rows_only(command: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", [{"task_id": "held-out-0", "completion": "\ud800 lone"}])
    code, out, _ = command("score", "arithmetic", "--completions", file, "--out", "-", "--workers", "1")
    assert code == 0
    assert [row["completion"] for row in lines(out)] == ["\ud800 lone"]


def test_the_summary_as_json(command: Command, tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl", [{"task_id": "held-out-0", "completion": "x"}] * 2)
    code, out, _ = command("score", "arithmetic", "--completions", file, "--out", "o.jsonl", "--json", "--workers", "1")
    report = json.loads(out)
    assert code == 0
    assert report["correct"] == {"mean": 0.0, "scored": 2, "of": 2}
    assert (report["completions"], report["tasks"], report["format"]) == (2, 1, "samples")
    assert report["rewards"]["correct"]["calls"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["arithmetics"], "did you mean 'arithmetic'"),
        (["arithmetic", "--data", "nowhere.json"], "no such file or folder"),
        (["arithmetic", "--format", "jsonl"], "needs a path"),
        (["arithmetic", "--data", "c.jsonl", "--format", "jsonk"], "did you mean 'jsonl'"),
        (["arithmetic", "--option", "steps"], "must be written as key=value"),
        (["arithmetic", "--option", "nothing=1"], "nothing"),
        (["arithmetic", "--rubric", "defoult"], "no rubric 'defoult'"),
        (["arithmetic", "--out", "folder"], "is a folder"),
        (["arithmetic", "--out", "c.jsonl/o.jsonl"], "cannot be written"),
        (["arithmetic", "--completions", "bad.jsonl"], "bad.jsonl:1: not JSON"),
        (["arithmetic", "--completions", "other.jsonl"], "other.jsonl:1: no task has the id 'zzz'"),
        (["arithmetic", "--out", "-", "--json"], "give --out a file"),
    ],
)
def test_user_errors_leave_with_2_and_one_line(
    command: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    write(tmp_path / "c.jsonl", [{"task_id": "held-out-0", "completion": "x"}])
    write(tmp_path / "other.jsonl", [{"task_id": "zzz", "completion": "x"}])
    (tmp_path / "bad.jsonl").write_text("{")
    (tmp_path / "folder").mkdir()
    rest = [] if "--completions" in arguments else ["--completions", "c.jsonl"]
    rest += [] if "--out" in arguments else ["--out", "o.jsonl"]
    code, out, err = command("score", *arguments, *rest, "--workers", "1")
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "o.jsonl").exists()


def test_what_rewards_print_and_what_goes_wrong_stays_out_of_the_rows(tmp_path: Path) -> None:
    """Through the real command: a plugin that prints, hangs and crashes; standard output holds JSON lines only."""
    install(tmp_path, "honewise-trial", {"trial": "trial_domain"})
    support = Path(__file__).parents[1] / "support"
    file = write(
        tmp_path / "c.jsonl", [{"task_id": "held-out-0", "completion": f"right {n}"} for n in ("shout", "a", "é")]
    )
    done = subprocess.run(
        [sys.executable, "-m", "honewise", "score", "trial", "--completions", file, "--out", "-"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(support)])},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert [row["correct"] for row in lines(done.stdout.decode("utf-8"))] == [True, True, True]


@pytest.mark.parametrize("place", ["", "dev.json"])
def test_the_published_layout_of_spider_end_to_end(command: Command, tmp_path: Path, place: str) -> None:
    """The gold completion of every task is right, through both commands."""
    spider = str(data_slice("text_to_sql/spider") / place)
    code, out, err = command("tasks", "text-to-sql", "--data", spider, "--json")
    assert code == 0, err
    assert "read as spider" in err
    tasks = lines(out)
    assert [task["task_id"] for task in tasks] == [str(n) for n in range(len(tasks))]
    file = write(tmp_path / "c.jsonl", [{"task_id": t["task_id"], "completion": t["gold"]} for t in tasks])
    code, _, err = command("score", "text-to-sql", "--data", spider, "--completions", file, "--out", "o.jsonl")
    assert code == 0, err
    scored = lines((tmp_path / "o.jsonl").read_text("utf-8"))
    assert len(scored) == len(tasks)
    wrong = [row["task_id"] for row in scored if row["correct"] is not True]
    assert not wrong
