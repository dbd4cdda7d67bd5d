"""The cache keeps every finished reply once, whatever happens to the processes that use it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer
from judge_world import SCORE, judge_at, scored, verdict_of

from honewise.clients import Cache, Request, default_path
from honewise.contracts import Generation, TokenChoice
from honewise.errors import UserError

CHILD = Path(__file__).parents[1] / "support" / "judge_child.py"


def child(server: ChatServer, cache: Path, out: Path, first: int = 0, count: int = 1000) -> subprocess.Popen[bytes]:
    arguments = [server.url, str(cache), str(first), str(count), str(out)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(CHILD.parent), *sys.path])}
    return subprocess.Popen([sys.executable, str(CHILD), *arguments], env=environment)


def ended(process: subprocess.Popen[bytes], out: Path) -> dict[str, Any]:
    assert process.wait(120) == 0
    told: dict[str, Any] = json.loads(out.read_text())
    return told


def kept(cache: Path) -> int:
    file = cache / "judge.sqlite"
    if not file.is_file():
        return 0
    with sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=30) as db:
        try:
            return int(db.execute("SELECT count(*) FROM replies").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def test_killed_in_the_middle_of_a_thousand_judgements(tmp_path: Path) -> None:
    with ChatServer(scored, service=0.01) as server:
        process = child(server, tmp_path, tmp_path / "never")
        while kept(tmp_path) < 300:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.5)  # the server is still writing to whoever was killed
        finished = kept(tmp_path)
        assert 300 <= finished < 1000, "it was not killed in the middle"
        answered = server.asked(answered=True)
        told = ended(child(server, tmp_path, tmp_path / "out"), tmp_path / "out")
        again = server.asked(answered=True)
    assert (told["cache"], told["endpoint"]) == (finished, 1000 - finished), "a kept reply was paid again"
    assert told["verdicts"] == {f"answer {number}": verdict_of(f"answer {number}") for number in range(1000)}
    twice = [key for key, times in again.items() if times > 1]
    assert max(again.values()) <= 2
    assert set(twice) <= set(answered)
    assert len(twice) == sum(answered.values()) - finished <= 16, "more than the calls under way were lost"
    assert kept(tmp_path) == 1000


def test_two_processes_share_it(tmp_path: Path) -> None:
    with ChatServer(scored, service=0.005) as server:
        outs = [tmp_path / "one", tmp_path / "two"]
        processes = [child(server, tmp_path, outs[0], 0, 400), child(server, tmp_path, outs[1], 200, 400)]
        told = [ended(process, out) for process, out in zip(processes, outs, strict=True)]
        asked = server.asked()
    assert [each["notes"] for each in told] == [[], []]
    for each in told:
        assert each["verdicts"] == {answer: verdict_of(answer) for answer in each["verdicts"]}
        assert len(each["verdicts"]) == 400
    assert kept(tmp_path) == len(asked) == 600
    # Each pays what it asks before the other has kept it, at worst all of the common half; nobody asks twice.
    assert max(asked.values()) <= 2
    assert sum(asked.values()) == sum(each["endpoint"] for each in told)


def test_many_processes_open_it_at_once(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from honewise.clients import Cache; from honewise.contracts import Generation\n"
        "cache = Cache(sys.argv[1])\n"
        "async def work():\n"
        "    for i in range(50):\n"
        "        await cache.put(f'{sys.argv[2]} {i}', Generation('x'), identity='m', template='t', template_hash='h',"
        " cost=1.0)\n"
        "        assert await cache.get(f'{sys.argv[2]} {i}')\n"
        "asyncio.run(work()); cache.close()"
    )
    file = str(tmp_path / "judge.sqlite")
    running = [subprocess.Popen([sys.executable, "-c", code, file, str(number)]) for number in range(4)]
    assert [process.wait(120) for process in running] == [0, 0, 0, 0]
    assert kept(tmp_path) == 200


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    made = Cache(tmp_path / "folder" / "judge.sqlite")
    yield made
    made.close()


def put(cache: Cache, key: str, text: str = "x", **row: Any) -> None:
    row = {"identity": "model @ url", "template": "a.md", "template_hash": "hash", "cost": 0.5, **row}
    asyncio.run(cache.put(key, Generation(text, 3, 2), **row))


def test_a_reply_comes_back_as_it_was(cache: Cache) -> None:
    reply = Generation(
        "שלום \x00 {{x}}", 7, 2, True, (TokenChoice("a", -0.1, (("a", -0.1), ("b", -2.5))), TokenChoice("b", -1e-9))
    )
    asyncio.run(cache.put("k", reply, identity="m", template="t", template_hash="h", cost=0.25))
    assert asyncio.run(cache.get("k")) == (reply, 0.25)
    assert asyncio.run(cache.get("other")) is None


def test_the_first_reply_stays(cache: Cache) -> None:
    put(cache, "k", "first")
    put(cache, "k", "second")
    found = asyncio.run(cache.get("k"))
    assert found is not None
    assert found[0].text == "first"


def test_it_is_for_its_user_alone(cache: Cache) -> None:
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600


def test_pruning(cache: Cache) -> None:
    for number in range(10):
        put(cache, f"a{number}", "x" * 1000)
        put(cache, f"b{number}", identity="other @ url", template="b.md", template_hash="beef")
    assert [(entry.identity, entry.replies) for entry in cache.summary()] == [("model @ url", 10), ("other @ url", 10)]
    assert cache.summary(model="other")[0].cost == 5.0
    assert cache.prune(unused_for=3600) == 0
    assert cache.prune(template="beef", model="nobody") == 0
    assert cache.prune(template="beef") == 10
    assert cache.prune(largest=5 * 1400) == 5
    assert cache.prune(largest=0, template="none such") == 5
    put(cache, "k")
    assert cache.prune(unused_for=0) == 1
    assert cache.summary() == []


def test_what_is_no_cache_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "judge.sqlite"
    file.write_text("not a database, but long enough to be taken for one" * 100)
    with pytest.raises(UserError, match=r"judge\.sqlite: cannot be used \(file is not a database\)"):
        Cache(file)
    with pytest.raises(UserError, match="cannot be used"):
        Cache(file / "below")
    with sqlite3.connect(tmp_path / "newer") as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError, match="another version"):
        Cache(tmp_path / "newer")


def test_where_it_stands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "honewise" / "judge.sqlite"


def test_a_cache_that_fails_later_loses_no_answer(tmp_path: Path) -> None:
    notes: list[str] = []
    with ChatServer(scored) as server, judge_at(server.url, tmp_path, notes.append) as judge:
        assert judge.client.cache is not None
        judge.client.cache._thread.submit(judge.client.cache._connection.execute, "DROP TABLE replies").result()

        async def ask() -> list[float]:
            return [(await judge(SCORE, question="?", answer=answer)).value for answer in "ab"]

        assert asyncio.run(ask()) == [verdict_of("a"), verdict_of("b")]
    assert len(notes) == 1
    assert "no such table: replies; going on without it" in notes[0]


@pytest.mark.parametrize(
    "change",
    [
        {"messages": ({"role": "user", "content": "other"},)},
        {"template_hash": "other"},
        {"temperature": 0.1},
        {"top_p": 0.9},
        {"max_tokens": 7},
        {"seed": 1},
        {"sample": 1},
        {"top_logprobs": 5},
        {"schema": {"type": "object"}},
    ],
)
def test_a_key_is_that_of_all_that_an_answer_depends_on(change: dict[str, Any]) -> None:
    request = {"messages": ({"role": "user", "content": "x"},)}
    assert Request(**request).key("m") != Request(**{**request, **change}).key("m")  # type: ignore[arg-type]
    assert Request(**request).key("m") != Request(**request).key("n")  # type: ignore[arg-type]
    assert Request(**request, template="a").key("m") == Request(**request, template="b").key("m")  # type: ignore[arg-type]
