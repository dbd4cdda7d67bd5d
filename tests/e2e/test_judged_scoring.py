"""Text-to-SQL scored with its judge, as a person types it and from Python; the cache and the doctor by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chat_server import ChatServer, last_text

from honewise import cli, load_domain, load_judge
from honewise.errors import UserError

pytest.importorskip("honewise_text_to_sql")

Command = Callable[..., tuple[int, str, str]]
WRONG = "<answer>SELECT 1 WHERE 0</answer>"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run the command line in this process: exit code, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(list(arguments))
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return call


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(lambda body: "One slip.\nScore: 1.5") as running:
        yield running


@pytest.fixture
def judge(tmp_path: Path, server: ChatServer) -> Path:
    file = tmp_path / "judge.yaml"
    where = f"url: {server.url}\nmodel: tiny\ncache: {tmp_path / 'cache.sqlite'}\n"
    file.write_text(where + "deadline: 0.5\nbackoff: 0.05\nprices: {input: 1.0, output: 1.0}\n")
    return file


def completions(folder: Path, count: int = 4) -> str:
    domain = load_domain("text-to-sql")
    rows = [{"task_id": task.id, "completion": WRONG} for task in domain.tasks(limit=count)]
    path = folder / "completions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_score_with_a_judge(command: Command, judge: Path, server: ChatServer, tmp_path: Path) -> None:
    arguments = [
        "score",
        "text-to-sql",
        "--completions",
        completions(tmp_path),
        "--out",
        str(tmp_path / "scored.jsonl"),
    ]
    code, out, err = command(*arguments, "--judge", str(judge), "--json", "--workers", "1")
    assert code == 0, err
    told = json.loads(out)
    assert told["judge"]["judge/calls"] == 4
    assert told["judge"]["judge/cost"] == pytest.approx(4 * 110 / 1e6)
    assert "judge: 4 questions, 4 calls, 0 from the cache or shared, 0 without an answer; 440 tokens" in err
    rows = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert [row["rewards"]["judge"]["value"] for row in rows] == [0.75] * 4
    asked = last_text(server.calls[0].body)
    assert "SELECT 1 WHERE 0</predicted-" in asked
    code, _, err = command(*arguments, "--judge", str(judge), "--workers", "1")
    assert code == 0
    assert "0 calls, 4 from the cache" in err
    assert len(server.calls) == 4


def test_scored_without_an_endpoint(command: Command, judge: Path, server: ChatServer, tmp_path: Path) -> None:
    server.stop()
    out = tmp_path / "scored.jsonl"
    code, _, err = command(
        *("score", "text-to-sql", "--completions", completions(tmp_path), "--out", str(out)),
        *("--judge", str(judge), "--workers", "1"),
    )
    assert code == 0
    assert "cannot be reached" in err
    assert "what the cache does not know will be unscored until it answers" in err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(row["rewards"]["judge"]["value"] is None and row["total"] is None for row in rows)
    assert all("no verdict" in row["rewards"]["judge"]["unscored"] for row in rows)


def test_from_python(judge: Path, server: ChatServer, tmp_path: Path) -> None:
    domain = load_domain("text-to-sql")
    tasks = domain.tasks(limit=2)
    by_file = domain.score([WRONG] * 2, tasks=tasks, judge=judge, workers=0)
    by_mapping = domain.score(
        [WRONG] * 2, tasks=tasks, judge={"url": server.url, "model": "tiny", "cache": False}, workers=0
    )
    with load_judge(judge) as asked:
        by_judge = domain.score([WRONG] * 2, tasks=tasks, judge=asked, workers=0)
        assert {call.source for call in asked.take_calls()} == {"cache"}
    for scored in (by_file, by_mapping, by_judge):
        assert [row.rewards["judge"].value for row in scored] == [0.75, 0.75]
    without = domain.score([WRONG] * 2, tasks=tasks, workers=0)
    assert "judge" not in without[0].rewards


def test_in_a_notebook_that_has_a_running_loop(judge: Path) -> None:
    domain = load_domain("text-to-sql")
    tasks = domain.tasks(limit=1)

    async def cell() -> float | None:
        return domain.score([WRONG], tasks=tasks, judge=judge, workers=0)[0].rewards["judge"].value

    assert asyncio.run(cell()) == 0.75


def test_a_refused_key_is_told_at_once(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-0123456789")
    server.key = "sk-another"
    with pytest.raises(UserError, match=r"refuses the key \(HTTP 401"):
        load_judge({"url": server.url, "model": "tiny", "api_key_env": "MY_KEY", "cache": False})


def test_a_model_that_is_not_listed_is_said(command: Command, judge: Path, server: ChatServer, tmp_path: Path) -> None:
    server.models = ("other", "third")
    _, _, err = command("doctor", "arithmetic", "--judge", str(judge))
    assert "lists no model 'tiny'; there are: other, third" in err


def test_doctor_asks_the_judge(command: Command, judge: Path, server: ChatServer) -> None:
    code, out, _ = command("doctor", "arithmetic", "--judge", str(judge))
    assert code == 0
    assert "judge tiny: answers in" in out
    server.stop()
    code, out, _ = command("doctor", "arithmetic", "--judge", str(judge), "--json")
    assert code == 1
    told = json.loads(out)
    assert not told["healthy"]
    assert told["judge"]["said"].startswith("does not answer: ")


def test_asking_by_hand(command: Command, judge: Path, server: ChatServer, tmp_path: Path) -> None:
    (tmp_path / "t.md").write_text("Is {{answer}} right for {{question}}?")
    (tmp_path / "a.txt").write_text("four")
    template = ("--judge", str(judge), "--template", "t.md", "question=2+2?", "answer=@a.txt")
    code, out, err = command("judge", "ask", *template)
    assert (code, out) == (0, "One slip.\nScore: 1.5\n")
    assert "endpoint: 100 + 10 tokens" in err
    code, out, _ = command("judge", "ask", *template, "--json")
    told = json.loads(out)
    assert told["source"] == "cache"
    assert ">four</answer-" in told["prompt"]
    assert command("judge", "ask", "--judge", str(judge), "--template", "t.md", "question=x")[0] == 2
    assert command("judge", "ask", "--judge", str(judge), "--template", "none.md")[0] == 2
    assert command("judge", "ask", *template, "answer")[0] == 2
    server.stop()
    code, _, err = command("judge", "ask", *template, "answer=other")
    assert code == 2
    assert "the judge gave no answer: " in err


def test_the_cache_by_hand(command: Command, judge: Path, server: ChatServer, tmp_path: Path) -> None:
    path = str(tmp_path / "cache.sqlite")
    command("score", "text-to-sql", "--completions", completions(tmp_path), "--out", "s.jsonl", "--judge", str(judge),
            "--workers", "1")  # fmt: skip
    code, out, err = command("judge", "cache", "--path", path)
    assert code == 0
    assert f"tiny @ {server.url}" in out
    assert "judges/near_match.md" in out
    assert f"4 replies in {path}" in err
    told = json.loads(command("judge", "cache", "--path", path, "--json")[1])
    (entry,) = told["entries"]
    assert (entry["replies"], entry["tokens"], told["forgotten"]) == (4, 440, None)
    assert command("judge", "cache", "--path", path, "--prune")[0] == 2, "all of it is forgotten by name only"
    for wrong in (["--unused-for", "long"], ["--largest", "much"]):
        assert command("judge", "cache", "--path", path, *wrong)[0] == 2
    kept = json.loads(command("judge", "cache", "--path", path, "--unused-for", "1d", "--prune", "--json")[1])
    assert (kept["forgotten"], len(kept["entries"])) == (0, 1)
    gone = json.loads(command("judge", "cache", "--path", path, "--model", "tiny", "--prune", "--json")[1])
    assert (gone["forgotten"], gone["entries"]) == (4, [])
    assert command("judge", "cache", "--path", str(tmp_path / "none"))[0] == 2


def test_a_mapping_with_faults_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"judge\.model: is missing"):
        load_judge({"url": "http://127.0.0.1:1/v1"})
