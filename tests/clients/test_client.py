"""Budget, outages, prices, what an endpoint cannot do, keys, and the number of calls at a time."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, last_text
from judge_world import SCORE, SCORE_JSON, judge_at, scored, verdict_of

from honewise.clients import (
    CallFailed,
    CallRecord,
    Client,
    Endpoint,
    LocalBackend,
    Patience,
    Prices,
    Request,
    Spent,
    judge_numbers,
)
from honewise.clients.budget import Budget, Purse
from honewise.clients.limiter import Limiter, backoff
from honewise.clients.reading import read_reply, retry_after, status_failure
from honewise.contracts import Generation, Verdict
from honewise.errors import JudgeBudgetExceeded, JudgeError, MissingExtra, UserError
from honewise.judges import TemplateJudge


def ask(judge: TemplateJudge, *answers: str, template: Any = SCORE) -> list[Any]:
    """Verdicts or errors, asked all at once."""

    async def all_of_them() -> list[Any]:
        slots = [{"answer": answer} | ({"question": "?"} if template is SCORE else {}) for answer in answers]
        try:
            return await asyncio.gather(*(judge(template, **each) for each in slots), return_exceptions=True)
        finally:
            await judge.aclose()

    return asyncio.run(all_of_them())


# budget and prices


def test_a_budget_of_calls_is_never_passed(tmp_path: Path) -> None:
    with ChatServer(scored, service=0.01) as server, judge_at(server.url, tmp_path, budget={"calls": 7}) as judge:
        found = ask(judge, *map(str, range(30)))
        assert len(server.calls) == 7
        assert sum(isinstance(each, Verdict) for each in found) == 7
        errors = [each for each in found if isinstance(each, JudgeBudgetExceeded)]
        assert len(errors) == 23
        assert "calls 7 of 7; to go on, allow it more with judge.budget.calls=NUMBER" in str(errors[0])
        assert {call.source for call in judge.take_calls()} == {"endpoint", "refused"}
        answered = [str(i) for i, each in enumerate(found) if isinstance(each, Verdict)]
        assert all(isinstance(each, Verdict) for each in ask(judge, *answered)), "what is cached costs nothing"
        assert len(server.calls) == 7


def test_failed_attempts_use_no_calls_of_the_budget() -> None:
    with (
        ChatServer(scored, lambda text, times: "500" if times < 3 else None) as server,
        judge_at(server.url, budget={"calls": 1}) as judge,
    ):
        (verdict,) = ask(judge, "x")
        assert isinstance(verdict, Verdict)
        assert judge.client.purse.spent.calls == 1


def test_tokens_and_money_are_counted_and_limited() -> None:
    prices = {"input": 2.0, "output": 10.0}  # 100 and 10 tokens a call: 0.0003
    with (
        ChatServer(scored) as server,
        judge_at(server.url, prices=prices, budget={"cost": 0.00075}, concurrency=1) as judge,
    ):
        found = ask(judge, *map(str, range(10)))
        assert sum(isinstance(each, Verdict) for each in found) == 3, "the call that passes the limit is the last"
        assert judge.client.purse.spent == Spent(3, 330, pytest.approx(0.0009))
        numbers = judge_numbers(judge.take_calls())
    assert numbers["judge/cost"] == pytest.approx(0.0009)
    assert numbers["judge/tokens"] == 330
    with ChatServer(scored) as server, judge_at(server.url, budget={"tokens": 110}, concurrency=1) as judge:
        assert sum(isinstance(each, Verdict) for each in ask(judge, "a", "b")) == 1


def test_what_was_spent_before_counts() -> None:
    purse = Purse(Budget(calls=5))
    purse.charge(Spent(calls=4))
    purse.take()
    with pytest.raises(JudgeBudgetExceeded):
        purse.take()
    purse.give_back()
    purse.take()


def test_tokens_are_estimated_where_none_are_reported() -> None:
    with ChatServer(lambda body: "Score: 5", usage=False) as server, judge_at(server.url) as judge:
        ask(judge, "x")
        (call,) = judge.take_calls()
    assert call.tokens == 2
    assert call.prompt_tokens == -(-len(last_text(server.calls[0].body).encode()) // 4)


# outages


def test_an_outage_shorter_than_the_deadline_costs_nothing() -> None:
    with ChatServer(scored) as server, judge_at(server.url, deadline=30.0, attempts=1) as judge:
        server.stop()
        threading.Timer(1.0, server.start).start()
        found = ask(judge, *map(str, range(20)))
    assert all(isinstance(each, Verdict) for each in found)


def test_a_longer_one_fails_all_at_once_and_is_over_when_it_is_over() -> None:
    notes: list[str] = []
    with ChatServer(scored) as server:
        server.stop()
        judge = judge_at(server.url, note=notes.append)
        judge.client.patience = Patience(timeout=5.0, deadline=3.0, backoff=0.05, concurrency=4, probe=0.2)

        async def through_it() -> tuple[list[Any], list[Any], int]:
            loop = asyncio.get_running_loop()
            first = await asyncio.gather(
                *(judge(SCORE, question="?", answer=str(i)) for i in range(200)), return_exceptions=True
            )
            judge.take_calls()
            more = await asyncio.gather(
                *(judge(SCORE, question="?", answer=str(i)) for i in range(500)), return_exceptions=True
            )
            tried = sum(call.attempts > 0 for call in judge.take_calls())
            await loop.run_in_executor(None, server.start)
            while True:
                try:
                    await judge(SCORE, question="?", answer="back")
                    break
                except JudgeError:
                    await asyncio.sleep(0.05)
            last = await asyncio.gather(
                *(judge(SCORE, question="?", answer=str(i)) for i in range(200)), return_exceptions=True
            )
            await judge.aclose()
            return first + more, last, tried

        failed, last, tried = asyncio.run(through_it())
    assert all(isinstance(each, JudgeError) for each in failed)
    assert sum("cannot be reached" in str(each) for each in failed) > 600
    assert tried < 250, "questions were put to an endpoint that is known to be down"
    assert all(isinstance(each, Verdict) for each in last)
    assert notes[0].endswith("calls fail at once until it answers again")
    assert notes[-1].endswith("answers again")


def test_a_wait_longer_than_the_deadline_is_not_begun() -> None:
    class Busy:
        model = identity = "busy"

        async def complete(self, request: Request, seconds: float) -> Generation:
            raise CallFailed("come back tomorrow", transient=True, overloaded=True, retry_after=86_400.0)

        async def aclose(self) -> None: ...

    client = Client(Busy(), patience=Patience(deadline=60))
    with pytest.raises(JudgeError, match=r"come back tomorrow$"):
        asyncio.run(asyncio.wait_for(client.complete(Request(())), 20))


# what an endpoint cannot do


def structured(body: Any) -> str:
    return '{"score": 7}' if "response_format" in body else 'Well: {"score": 3}'


def test_structured_output_is_asked_for() -> None:
    with ChatServer(structured) as server, judge_at(server.url) as judge:
        assert [each.value for each in ask(judge, "a", "b", "c", template=SCORE_JSON)] == [0.7] * 3
        ask(judge, "a")
    form = server.calls[0].body["response_format"]
    assert form["json_schema"]["schema"] == SCORE_JSON.schema
    assert "response_format" not in server.calls[-1].body, "a template without a schema asks for none"


def test_its_refusal_is_found_out_once() -> None:
    notes: list[str] = []
    with (
        ChatServer(structured, refuses=("response_format", "logprobs"), service=0.01) as server,
        judge_at(server.url, note=notes.append) as judge,
    ):
        assert {each.value for each in ask(judge, *map(str, range(20)), template=SCORE_JSON)} == {0.3}
        assert sum("response_format" in call.body for call in server.calls) == 1

        async def with_logprobs() -> Any:
            return await judge.ask(SCORE_JSON, {"answer": "x"}, top_logprobs=3)

        assert asyncio.run(with_logprobs()).reply.logprobs == ()
    assert [note.rpartition(" refuses ")[2] for note in notes] == [
        "response_format; going on without",
        "logprobs; going on without",
    ]


def test_once_it_is_found_out_calls_go_side_by_side() -> None:
    """The first call tries what the endpoint can do; those that waited for it must not be sent one after another."""
    for refused in ((), ("response_format",)):
        with ChatServer(structured, refuses=refused, service=0.3) as server, judge_at(server.url) as judge:
            assert all(isinstance(each, Verdict) for each in ask(judge, *map(str, range(9)), template=SCORE_JSON))
            assert server.busiest > 1


def test_who_waits_for_what_another_call_finds_out_is_patient_for_its_own_time_alone() -> None:
    async def two(server: ChatServer) -> None:
        endpoint = Endpoint(server.url, "tiny")
        hanging, short = (Request(({"role": "user", "content": text},), schema={}) for text in ("first", "second"))
        first = asyncio.create_task(endpoint.complete(hanging, 60))
        while not server.calls:
            await asyncio.sleep(0.01)
        with pytest.raises(CallFailed, match=r"no reply within 0\.2 s"):
            await endpoint.complete(short, 0.2)
        assert not first.done()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await endpoint.aclose()

    with ChatServer(structured, service=60) as server:
        asyncio.run(two(server))


def test_off_and_on() -> None:
    with ChatServer(structured, refuses=("response_format",)) as server:
        with judge_at(server.url, structured="off") as judge:
            assert ask(judge, "a", template=SCORE_JSON)[0].value == 0.3
            assert "response_format" not in server.calls[0].body
        with judge_at(server.url, structured="on") as judge:
            (error,) = ask(judge, "a", template=SCORE_JSON)
    assert isinstance(error, JudgeError)
    assert "HTTP 422" in str(error)


def test_max_tokens_under_its_other_name() -> None:
    settings = {"max_tokens": 77, "concurrency": 1}
    with ChatServer(scored, refuses=("max_tokens",)) as server, judge_at(server.url, **settings) as judge:
        assert all(isinstance(each, Verdict) for each in ask(judge, "a", "b"))
    assert "max_tokens" in server.calls[0].body
    assert [call.body.get("max_completion_tokens") for call in server.calls[1:]] == [77, 77]


def test_further_fields_and_settings_are_sent() -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    with ChatServer(scored) as server, judge_at(server.url, extra=extra, seed=5, temperature=0.5, top_p=0.9) as judge:
        ask(judge, "a")
    body = server.calls[0].body
    assert body["chat_template_kwargs"] == {"enable_thinking": False}
    assert (body["seed"], body["temperature"], body["top_p"], body["model"]) == (5, 0.5, 0.9, "tiny")
    with ChatServer(scored) as server, judge_at(server.url, extra={"temperature": 1}) as judge:
        ask(judge, "a")
    assert server.calls[0].body["temperature"] == 1


def test_further_fields_tell_models_apart_and_stay_unknown() -> None:
    plain, extra = (judge_at("http://127.0.0.1:1/v1", **more) for more in ({}, {"extra": {"api_key": "sk-0123456789"}}))
    named = judge_at("http://127.0.0.1:2/v1", identity="mine")
    assert plain.client.backend.identity == "tiny @ http://127.0.0.1:1/v1"
    assert extra.client.backend.identity.startswith("tiny @ http://127.0.0.1:1/v1 with ")
    assert "sk-" not in extra.client.backend.identity
    assert named.client.backend.identity == "mine"


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"pip install 'honewise\[judge\]'"):
        judge_at("http://127.0.0.1:1/v1")


def test_pictures_are_shown(tmp_path: Path) -> None:
    picture = b"\x89PNG\r\n\x1a\nrest"
    (tmp_path / "a.png").write_bytes(picture)
    (tmp_path / "b.txt").write_text("no picture")

    async def see(judge: TemplateJudge, *images: str) -> Verdict:
        try:
            return await judge(SCORE, images=images, question="?", answer="x")
        finally:
            await judge.aclose()

    with ChatServer(scored) as server, judge_at(server.url) as judge:
        assert asyncio.run(see(judge, str(tmp_path / "a.png"), "https://example.org/x.png")).value == verdict_of("x")
        for wrong, reason in {"b.txt": "is neither PNG", "none.png": "cannot be read"}.items():
            with pytest.raises(JudgeError, match=reason):
                asyncio.run(see(judge, str(tmp_path / wrong)))
    text, shown, address = server.calls[0].body["messages"][0]["content"]
    assert text["type"] == "text"
    assert shown["image_url"]["url"] == f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    assert address["image_url"]["url"] == "https://example.org/x.png"


# keys


KEY = "sk-very-secret-0123456789"


def test_a_key_is_sent_and_stands_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-key-0123456789")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-of-mine")

    def tells(body: Any) -> str:
        return f"Your key is {KEY}.\nScore: 5"

    notes: list[str] = []
    with ChatServer(tells, lambda text, times: "401" if "denied" in text else None) as server:
        judge = judge_at(server.url, tmp_path, notes.append, api_key_env="MY_KEY")
        verdict, error = ask(judge, "x", "denied")
        calls = judge.take_calls()
        judge.close()
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"
    assert not {"openai-organization", "openai-project"} & set(server.calls[0].headers)
    assert "another" not in str(server.calls[0].headers)
    assert verdict.value == 0.5
    told = [str(error), repr(error.__cause__), str(calls), str(notes), repr(vars(judge.client.backend))]
    stored = [file.read_bytes().decode("latin-1") for file in tmp_path.iterdir()]
    assert not [text for text in told + stored if KEY in text]
    assert "(hidden)" in str(error)


def test_a_missing_key_is_told_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(UserError, match="the environment variable MY_KEY is not set"):
        judge_at("http://127.0.0.1:1/v1", api_key_env="MY_KEY")


# numbers


def test_the_numbers_of_a_step() -> None:
    def record(source: Any, **values: Any) -> CallRecord:
        return CallRecord("t", "h", "m", "k", source, **values)

    records = [
        record("endpoint", attempts=3, prompt_tokens=10, tokens=5, cost=0.5, seconds=1.0, verdict=1.0),
        record("endpoint", attempts=1, prompt_tokens=10, tokens=5, cost=0.5, seconds=2.0),
        record("cache", verdict=0.0),
        record("failed", attempts=2),
    ]
    assert judge_numbers(records) == {
        "judge/asked": 4,
        "judge/calls": 2,
        "judge/cached": 0.25,
        "judge/failed": 0.25,
        "judge/retries": 3,
        "judge/tokens": 30,
        "judge/cost": 1.0,
        "judge/unread": pytest.approx(1 / 3),
        "judge/seconds": 1.5,
    }
    assert judge_numbers([]) == {}


def test_how_far_several_judges_lie_apart() -> None:
    def said(question: str, judge: str, verdict: float | None) -> CallRecord:
        return CallRecord("t", "h", judge, f"{question}/{judge}", "endpoint", verdict=verdict, question=question)

    three = [said("one", "a", 0.1), said("one", "b", 0.4), said("one", "c", 1.0)]  # .3, .9 and .6 apart
    again = [said("one", "a", 0.1), said("two", "a", 0.5), said("two", "b", None), said("", "a", 0), said("", "b", 1)]
    assert judge_numbers([*three, *again])["judge/disagreement"] == pytest.approx(0.6)
    assert "judge/disagreement" not in judge_numbers(again)


def test_prices_are_for_a_million_tokens() -> None:
    assert Prices(3.0, 15.0).cost(Generation("x", 2_000_000, 1_000_000)) == 21.0


# calls at a time


def test_the_limit_grows_and_halves() -> None:
    async def rounds(limiter: Limiter, count: int, *, overloaded: bool) -> None:
        async def call() -> None:
            async with limiter.slot() as slot:
                await asyncio.sleep(0)
                slot.overloaded = overloaded

        await asyncio.gather(*(call() for _ in range(count)))

    async def watch() -> list[int]:
        limiter, seen = Limiter(64, start=4), []
        for overloaded in (False, True, False):
            await rounds(limiter, 200, overloaded=overloaded)
            seen.append(limiter.limit)
            assert limiter.running == 0
        return seen

    grown, halved, again = asyncio.run(watch())
    assert grown == 64
    assert halved < 8
    assert halved < again < 64


def test_a_few_refusals_of_another_kind_do_not_lower_it() -> None:
    async def watch() -> int:
        limiter = Limiter(32)

        async def call(number: int) -> None:
            async with limiter.slot() as slot:
                await asyncio.sleep(0)
                slot.overloaded = number % 20 == 0

        await asyncio.gather(*(call(number) for number in range(2000)))
        return limiter.limit

    assert asyncio.run(watch()) == 32


def test_a_caller_that_leaves_the_queue_takes_no_place() -> None:
    async def leave() -> None:
        limiter = Limiter(1)
        async with limiter.slot():
            waiting = [asyncio.ensure_future(hold(limiter)) for _ in range(5)]
            await asyncio.sleep(0)
            for each in waiting[:4]:
                each.cancel()
            await asyncio.sleep(0)
        await asyncio.wait_for(waiting[4], 5)
        assert limiter.running == 0

    async def hold(limiter: Limiter) -> None:
        async with limiter.slot():
            pass

    asyncio.run(leave())


def test_waits_double_and_obey() -> None:
    assert all(0.25 <= backoff(1, 0.5, 30) <= 0.5 for _ in range(100))
    assert all(1.0 <= backoff(3, 0.5, 30) <= 2.0 for _ in range(100))
    assert all(15 <= backoff(99, 0.5, 30) <= 30 for _ in range(100))
    assert all(7 <= backoff(1, 0.5, 30, asked=7) <= 7.1 for _ in range(100))


# reading


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "Sun, 01 Feb 2026 10:00:20 GMT"}, 20.0),
        ({"retry-after": "Sun, 01 Feb 2026 09:00:00 GMT"}, 0.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, datetime(2026, 2, 1, 10, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    ("status", "transient", "overloaded"),
    [
        *((status, False, False) for status in (400, 401, 404, 422, 501)),
        *((status, True, False) for status in (408, 500, 502, 504)),
        *((status, True, True) for status in (429, 503, 529)),
    ],
)
def test_statuses(status: int, transient: bool, overloaded: bool) -> None:
    failure = status_failure(status, "why", {})
    assert (failure.transient, failure.overloaded, str(failure)) == (transient, overloaded, f"HTTP {status}: why")
    assert not status_failure(429, "insufficient_quota", {}).transient


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"\xff\xfe", b"[]", b"{}", b"null", b"[" * 100_000),
        *(b'{"choices": {}}', b'{"choices": [1]}', b'{"choices": [{"message": 1}]}'),
        b'{"choices": [{"message": {"content": "x"}, "logprobs": {"content": [{"token": 1}]}}]}',
    ],
)
def test_odd_bodies_are_tried_again(body: bytes) -> None:
    with pytest.raises(CallFailed) as caught:
        read_reply(body)
    assert caught.value.transient


def test_a_reply_in_parts_and_one_cut_off() -> None:
    parts = b'{"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"text": "b"}]}}]}'
    assert read_reply(parts).text == "ab"
    assert read_reply(b'{"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}').truncated
    assert read_reply(b'{"choices": [{"message": {"content": "\\ud800"}}]}').text == "?"


def test_what_no_store_takes_is_not_passed_on() -> None:
    """Half of a surrogate pair as a token of its own, and counts beyond what SQLite holds."""
    body = {
        "choices": [
            {
                "message": {"content": "ok"},
                "logprobs": {
                    "content": [
                        {"token": "\ud83d", "logprob": -0.1, "top_logprobs": [{"token": "\ude00", "logprob": -3.0}]}
                    ]
                },
            }
        ],
        "usage": {"prompt_tokens": 10**30, "completion_tokens": 2},
    }
    reply = read_reply(json.dumps(body).encode(), "12345")
    assert (reply.prompt_tokens, reply.tokens) == (2, 2)
    assert (reply.logprobs[0].token, reply.logprobs[0].top) == ("?", (("?", -3.0),))


# local


class Echo:
    def __init__(self) -> None:
        self.batches: list[int] = []

    def generate(self, prompts: Any, **settings: Any) -> list[Generation]:
        self.batches.append(len(prompts))
        if any("raise" in prompt[0]["content"] for prompt in prompts):
            raise RuntimeError("out of memory")
        return [Generation(prompt[0]["content"].upper(), 1, 1) for prompt in prompts]


def test_local_questions_are_batched_and_their_faults_are_errors() -> None:
    echo = Echo()
    client = Client(LocalBackend("echo", "echo", echo, batch=8), patience=Patience(concurrency=16))

    async def work() -> list[Any]:
        def request(text: str) -> Request:
            return Request(({"role": "user", "content": text},))

        done = await asyncio.gather(*(client.complete(request(f"q{i}")) for i in range(20)))
        errors = await asyncio.gather(client.complete(request("raise")), return_exceptions=True)
        picture = Request(({"role": "user", "content": [{"type": "text", "text": "x"}]},))
        errors += await asyncio.gather(client.complete(picture), return_exceptions=True)
        await client.aclose()
        return [reply.text for reply, _ in done] + errors

    *texts, broken, picture = asyncio.run(work())
    assert texts == [f"Q{i}" for i in range(20)]
    assert max(echo.batches) == 8
    assert len(echo.batches) <= 6
    assert "RuntimeError: out of memory" in str(broken)
    assert "reads text only" in str(picture)


def test_a_local_model_that_is_not_there_yet_says_so() -> None:
    client = Client(LocalBackend("the policy", "p"))
    with pytest.raises(JudgeError, match="the policy is not loaded"):
        asyncio.run(client.complete(Request(())))
