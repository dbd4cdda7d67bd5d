"""Everything that goes wrong at an endpoint, over real sockets: items are scored or unscored with a reason, and never
scored by a failure."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from chat_server import FINAL, TRANSIENT, ChatServer, hostile
from judge_world import SCORE, answer_in, judge_at, scored, verdict_of

from honewise.contracts import Verdict
from honewise.errors import JudgeError
from honewise.judges import TemplateJudge


async def ask_all(judge: TemplateJudge, answers: list[str]) -> list[Verdict | BaseException]:
    try:
        questions = [judge(SCORE, question="Which?", answer=answer) for answer in answers]
        return await asyncio.gather(*questions, return_exceptions=True)
    finally:
        await judge.aclose()


def test_three_replies_in_ten_go_wrong(tmp_path: Path) -> None:
    answers = [f"answer {i % 300}" for i in range(400)]
    refused = hostile(0.03, "final", FINAL)
    broken = hostile(0.3, "a")

    def fault(text: str, times: int) -> str | None:
        return refused(answer_in(text), 0) or broken(answer_in(text), times)

    with (
        ChatServer(scored, fault, service=0.01, slow=0.6) as server,
        judge_at(server.url, tmp_path, timeout=0.3) as judge,
    ):
        began = time.monotonic()
        verdicts = asyncio.run(ask_all(judge, answers))
        seconds = time.monotonic() - began
        calls = judge.take_calls()
    never = {answer for answer in answers if refused(answer, 0)}
    assert never
    for answer, verdict in zip(answers, verdicts, strict=True):
        if answer in never:
            assert isinstance(verdict, JudgeError)
            assert "refused" in str(verdict)
        else:
            assert isinstance(verdict, Verdict), (answer, verdict)
            assert verdict.value == verdict_of(answer)
    assert {call.fault for call in server.calls} >= {*TRANSIENT, *FINAL, None}
    assert len([call for call in server.calls if call.answered]) == 300, "an answered question was asked again"
    assert len(calls) == 400
    assert sum(call.source == "shared" for call in calls) == 100 - sum(answer in never for answer in answers[300:]), (
        "equal questions were not asked together"
    )
    # The sharp claim, 1.5 times the ideal, is measured in tests/bench; this only finds what waits in line.
    ideal = sum(call.seconds for call in server.calls) / 16
    assert seconds < 10 * ideal + 10


@pytest.mark.parametrize("fault", TRANSIENT)
def test_each_kind_of_failure_alone_passes(fault: str) -> None:
    def once(text: str, times: int) -> str | None:
        return fault if times == 0 else None

    with ChatServer(scored, once, slow=0.6) as server, judge_at(server.url, timeout=0.3) as judge:
        (verdict,) = asyncio.run(ask_all(judge, ["x"]))
        (record,) = judge.take_calls()
    assert isinstance(verdict, Verdict)
    assert (record.attempts, record.source) == (2, "endpoint")


@pytest.mark.parametrize(
    ("fault", "reason", "attempts"),
    [
        ("429", "HTTP 429", 3),
        ("500", "HTTP 500", 3),
        ("html", "sent no JSON: '<html>the proxy is tired", 3),
        ("no choices", "0 choices, where one was asked for", 3),
        ("two choices", "2 choices, where one was asked for", 3),
        ("empty", "an empty reply", 3),
        ("401", "HTTP 401", 1),
        ("404", "HTTP 404", 1),
        ("refusal", "the model refused: I would rather not", 1),
        ("filter", "content filter", 1),
    ],
)
def test_what_does_not_pass_is_an_error_with_its_reason(fault: str, reason: str, attempts: int) -> None:
    with ChatServer(scored, lambda *_: fault) as server, judge_at(server.url, attempts=3) as judge:
        (error,) = asyncio.run(ask_all(judge, ["x"]))
        (record,) = judge.take_calls()
    assert isinstance(error, JudgeError)
    assert reason in str(error)
    assert (record.source, record.attempts, len(server.calls)) == ("failed", attempts, attempts)
    assert reason in record.reason


def test_a_reply_without_a_verdict_is_asked_for_once_more() -> None:
    def answer(body: Any) -> str:
        return "Score: 7" if len(body["messages"]) == 3 else "Rather good."

    with ChatServer(answer) as server, judge_at(server.url) as judge:
        (verdict,) = asyncio.run(ask_all(judge, ["x"]))
    assert isinstance(verdict, Verdict)
    assert verdict.value == 0.7
    repair = server.calls[1].body["messages"]
    assert [message["role"] for message in repair] == ["user", "assistant", "user"]
    assert repair[1]["content"] == "Rather good."
    assert "('Rather good.' is no number)" in repair[2]["content"]


@pytest.mark.parametrize("reply", ["Score: 11", "Score: 5\nScore: eleven", "I cannot grade this.\nSorry."])
def test_no_verdict_after_the_repair_is_an_error(reply: str) -> None:
    with ChatServer(lambda body: reply) as server, judge_at(server.url) as judge:
        (error,) = asyncio.run(ask_all(judge, ["x"]))
        records = judge.take_calls()
    assert isinstance(error, JudgeError)
    assert "the second reply" in str(error)
    assert len(server.calls) == 2
    assert [record.verdict for record in records] == [None, None]


def test_the_last_verdict_binds() -> None:
    with (
        ChatServer(lambda body: 'The answer says "Score: 10".\nScore: 10\nThat is its own.\nScore: 2') as server,
        judge_at(server.url) as judge,
    ):
        (verdict,) = asyncio.run(ask_all(judge, ["Score: 10"]))
    assert isinstance(verdict, Verdict)
    assert verdict.value == 0.2


def test_a_server_with_little_capacity_is_not_overrun() -> None:
    async def ask(judge: TemplateJudge) -> tuple[list[Any], int]:
        questions = [judge(SCORE, question="Which?", answer=f"answer {i}") for i in range(200)]
        found = await asyncio.gather(*questions, return_exceptions=True)
        limit = judge.client._desks.here().limiter.limit
        await judge.aclose()
        return found, limit

    with (
        ChatServer(scored, service=0.02, capacity=4) as server,
        judge_at(server.url, concurrency=64, attempts=30) as judge,
    ):
        verdicts, late = asyncio.run(ask(judge))
    assert all(isinstance(verdict, Verdict) for verdict in verdicts)
    assert late < 16, "the limit never came down"


def test_a_cancelled_question_is_still_kept(tmp_path: Path) -> None:
    async def leave(judge: TemplateJudge) -> None:
        question = asyncio.ensure_future(judge(SCORE, question="Which?", answer="x"))
        await asyncio.sleep(0.1)
        question.cancel()
        await asyncio.gather(question, return_exceptions=True)
        while judge.client._desks.here().flights:
            await asyncio.sleep(0.01)
        assert (await judge(SCORE, question="Which?", answer="x")).value == verdict_of("x")
        await judge.aclose()

    with ChatServer(scored, service=0.3) as server, judge_at(server.url, tmp_path) as judge:
        asyncio.run(leave(judge))
    assert len(server.calls) == 1


def test_from_one_event_loop_to_the_next(tmp_path: Path) -> None:
    with ChatServer(scored) as server, judge_at(server.url, tmp_path) as judge:
        for answer in "abc":
            assert asyncio.run(judge(SCORE, question="Which?", answer=answer)).value == verdict_of(answer)


def test_from_two_event_loops_at_once(tmp_path: Path) -> None:
    """As when one scorer is still closing its connections while the next one asks."""
    with ChatServer(scored, hostile(0.3), service=0.01, slow=0.2) as server, judge_at(server.url, tmp_path) as judge:
        found: dict[int, list[Any]] = {}

        def work(number: int) -> None:
            found[number] = asyncio.run(ask_all(judge, [f"{number}/{i}" for i in range(60)]))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    for number, verdicts in found.items():
        assert [each.value for each in verdicts] == [verdict_of(f"{number}/{i}") for i in range(60)]
    assert len(found) == 3
