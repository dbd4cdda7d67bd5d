"""How near the client comes to an ideal one on an endpoint where three replies in ten go wrong, and what a call costs
on this side. Prints; the ratio is held to 1.5."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from chat_server import ChatServer, hostile
from judge_world import SCORE, judge_at, scored

from honewise.contracts import Verdict
from honewise.judges import TemplateJudge

pytestmark = pytest.mark.bench

COUNT, CONCURRENCY = 1000, 16


async def judge_all(judge: TemplateJudge, count: int) -> tuple[int, float]:
    began = time.monotonic()
    asked = (judge(SCORE, question="Which?", answer=f"answer {number}") for number in range(count))
    found = await asyncio.gather(*asked, return_exceptions=True)
    seconds = time.monotonic() - began
    await judge.aclose()
    return sum(isinstance(each, Verdict) for each in found), seconds


@pytest.mark.parametrize("service", [0.1, 0.3])
def test_against_the_ideal(service: float, tmp_path: Path) -> None:
    """The ideal does nothing but wait for the endpoint: service times of all attempts, over the calls at a time."""
    with (
        ChatServer(scored, hostile(0.3), service=service, slow=30.0) as server,
        judge_at(
            server.url, tmp_path, timeout=3 * service, deadline=120.0, backoff=service / 4, concurrency=CONCURRENCY
        ) as judge,
    ):
        verdicts, seconds = asyncio.run(judge_all(judge, COUNT))
        attempts = len(server.calls)
        ideal = sum(min(call.seconds, 3 * service) for call in server.calls) / CONCURRENCY
    found = f"{verdicts} of {COUNT} judged, {attempts} attempts, {seconds:.1f} s, ideal {ideal:.1f} s"
    print(f"\nservice {service} s: {found}, ratio {seconds / ideal:.2f}")
    assert verdicts == COUNT
    assert seconds < 1.5 * ideal


def test_what_a_call_costs_here(tmp_path: Path) -> None:
    with ChatServer(scored) as server, judge_at(server.url, tmp_path) as judge:
        for what in ("asked", "cached"):
            _, seconds = asyncio.run(judge_all(judge, COUNT))
            print(f"\n{what}: {1e3 * seconds / COUNT:.2f} ms a question, both sides of the connection in one process")
