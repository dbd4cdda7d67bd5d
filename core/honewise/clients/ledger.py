"""Every question that was put to a judge: what it cost, how long it took, and where its answer came from."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

from honewise.contracts import Generation

__all__ = ["CallRecord", "Ledger", "Prices", "judge_numbers"]

Source = Literal["endpoint", "cache", "shared", "failed", "refused"]


@dataclass(frozen=True, slots=True)
class Prices:
    """Of a million tokens, in any one currency."""

    input: float = 0.0
    output: float = 0.0

    def cost(self, reply: Generation) -> float:
        return (reply.prompt_tokens * self.input + reply.tokens * self.output) / 1e6


@dataclass(slots=True)
class CallRecord:
    """One question. What is not known stays 0, empty or None."""

    template: str
    template_hash: str
    model: str
    key: str
    """Of the request: equal questions have equal keys."""
    source: Source = "failed"
    """``endpoint``: it was asked (a local model, too); ``cache``; ``shared``: an equal question was under way;
    ``failed``: given up; ``refused``: the budget was used up."""
    reason: str = ""
    """Why there is no answer."""
    attempts: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    cost: float = 0.0
    """Of this question: 0 where it was not asked again."""
    seconds: float = 0.0
    """From the moment it was let out to its answer, failed attempts and waits between them included."""
    waited: float = 0.0
    """Seconds before it was let out."""
    reply: str = ""
    verdict: float | None = None
    """What the template's parser made of the reply; None where it found no verdict."""
    at: float = field(default_factory=time.time)
    """Unix time of the question."""
    question: str = ""
    """Of the request, whoever is asked: equal for all judges of a panel that are asked the same."""


class Ledger:
    """Collects records until somebody takes them. May be used from several threads."""

    def __init__(self) -> None:
        self._records: list[CallRecord] = []
        self._lock = threading.Lock()

    def add(self, record: CallRecord) -> None:
        with self._lock:
            self._records.append(record)

    def take(self) -> list[CallRecord]:
        """All records since the last time, in the order of their answers."""
        with self._lock:
            taken, self._records = self._records, []
        return taken


def judge_numbers(records: Sequence[CallRecord]) -> dict[str, float]:
    """The numbers of a step or an evaluation for the log; empty where no judge was asked.

    ``judge/asked`` questions, ``judge/calls`` of them answered by the model, ``judge/cached`` the share answered from
    the cache or together with an equal one, ``judge/failed`` the share without an answer, ``judge/unread`` the share of
    answers without a verdict, ``judge/retries`` attempts beyond the first, ``judge/tokens`` and ``judge/cost`` sums,
    ``judge/seconds`` the mean over calls. Where several judges were asked the same, ``judge/disagreement``: how far
    the verdicts of two of them lie apart, mean over pairs of judges and questions.
    """
    if not records:
        return {}
    calls = [each for each in records if each.source == "endpoint"]
    answered = [each for each in records if each.source not in ("failed", "refused")]
    asked = len(records)
    numbers = {
        "judge/asked": float(asked),
        "judge/calls": float(len(calls)),
        "judge/cached": sum(each.source in ("cache", "shared") for each in records) / asked,
        "judge/failed": 1.0 - len(answered) / asked,
        "judge/retries": float(sum(max(0, each.attempts - 1) for each in records)),
        "judge/tokens": float(sum(each.prompt_tokens + each.tokens for each in calls)),
        "judge/cost": math.fsum(each.cost for each in records),
    }
    if answered:
        numbers["judge/unread"] = sum(each.verdict is None for each in answered) / len(answered)
    apart = _apart(records)
    if apart:
        numbers["judge/disagreement"] = math.fsum(apart) / len(apart)
    if calls:
        numbers["judge/seconds"] = math.fsum(each.seconds for each in calls) / len(calls)
    return numbers


def _apart(records: Sequence[CallRecord]) -> list[float]:
    """Between the verdicts of every two judges on each question; one that was asked several times counts once."""
    said: dict[str, dict[str, float]] = {}
    for each in records:
        if each.question and each.verdict is not None:
            said.setdefault(each.question, {}).setdefault(each.key, each.verdict)
    return [abs(one - other) for verdicts in said.values() for one, other in combinations(verdicts.values(), 2)]
