"""Several judges as one: each is asked, and a declared rule makes one verdict of theirs."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from honewise.clients import CallRecord, Spent
from honewise.contracts import Judge, JudgeTemplate, Verdict
from honewise.errors import JudgeError, UserError, near

from .asking import together
from .judge import TemplateJudge
from .prompt import Slot
from .results import Polled, Standing
from .voting import Vote, disagreement

__all__ = ["Panel", "PanelReport"]

R = TypeVar("R", bound=Verdict)


@dataclass(frozen=True, slots=True)
class PanelReport:
    """How the members of a panel got on with one another."""

    questions: int
    """Put to the panel."""
    decided: int
    """Of these, with enough answers for a verdict."""
    failed: Mapping[str, int]
    """By member: questions without an answer."""
    means: Mapping[str, float]
    """By member: the mean of its verdicts."""
    apart: Mapping[str, float]
    """By member: the mean distance of its verdicts from the mean of the others'."""
    disagreement: float
    """The mean distance between the verdicts of two members."""
    cycles: int
    """Comparisons of several answers in which majorities ran in a circle."""


@dataclass(slots=True)
class _Record:
    questions: int = 0
    decided: int = 0
    cycles: int = 0
    distances: list[float] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)
    sums: dict[str, tuple[int, float, float]] = field(default_factory=dict)
    """By member: verdicts, their sum, the sum of their distances from the mean of the others'."""


class Panel:
    """A ``Judge`` of several members.

    Args:
        members: judges by name.
        vote: how they decide; see ``Vote``.

    A plain question (``await panel(template, ...)``) is voted on as a number; protocols ask each member by itself and
    combine their results, by ``poll``. Members are all asked at once. Fewer answers than ``vote.quorum``: no verdict.
    """

    keeps_deadlines = True

    def __init__(self, members: Mapping[str, TemplateJudge], vote: Vote | None = None) -> None:
        self.members, self.vote = dict(members), vote or Vote()
        if len(self.members) < 2:
            raise UserError("a panel has at least two judges")
        for name in (*self.vote.weights, *self.vote.ranges):
            if name not in self.members:
                raise UserError(f"the vote names {name!r}, who is not on the panel{near(name, self.members)}")
        self._record = _Record(failed=dict.fromkeys(self.members, 0))
        self._lock = threading.Lock()

    async def __call__(self, template: JudgeTemplate, /, *, images: Sequence[str] = (), **slots: Slot) -> Polled:
        async def one(member: Judge) -> Verdict:
            return await member(template, images=images, **slots)

        from .protocols.base import polled

        return polled(await self.poll(one), self.vote)

    async def poll(self, question: Callable[[Judge], Awaitable[R]]) -> dict[str, R]:
        """Each member's result of ``question(member)``; those that have none are left out.

        Raises ``JudgeError`` where they are fewer than the quorum, and what a member raises beside ``JudgeError``.
        """
        found = await together(*(question(member) for member in self.members.values()))
        answers = {
            name: each for name, each in zip(self.members, found, strict=True) if not isinstance(each, JudgeError)
        }
        failures = [f"{name}: {each}" for name, each in zip(self.members, found, strict=True) if name not in answers]
        quorum = len(self.members) if self.vote.quorum is None else self.vote.quorum
        self._note(answers, decided=len(answers) >= quorum)
        if len(answers) < quorum:
            said = f"{len(answers)} of {len(self.members)} judges gave a verdict, {quorum} are needed"
            raise JudgeError(f"{said} ({'; '.join(failures)})")
        return answers

    def report(self) -> PanelReport:
        """Since the panel was made."""
        with self._lock:
            record = self._record
            return PanelReport(
                record.questions,
                record.decided,
                dict(record.failed),
                {name: total / count for name, (count, total, _) in record.sums.items()},
                {name: apart / count for name, (count, _, apart) in record.sums.items()},
                math.fsum(record.distances) / len(record.distances) if record.distances else 0.0,
                record.cycles,
            )

    @property
    def concurrency(self) -> int:
        """Most questions of one member at a time."""
        return max(member.concurrency for member in self.members.values())

    def take_calls(self) -> list[CallRecord]:
        """The records of all members' ledgers since the last time."""
        return [record for member in self.members.values() for record in member.take_calls()]

    def charge(self, spent: Spent) -> None:
        """Count against the budget, which all share, what was spent before."""
        next(iter(self.members.values())).charge(spent)

    async def aclose(self) -> None:
        """Let go of what belongs to the running event loop."""
        for member in self.members.values():
            await member.aclose()

    def close(self) -> None:
        """Close the caches. The panel cannot be asked after that."""
        for member in self.members.values():
            member.close()

    def __enter__(self) -> Panel:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _note(self, answers: Mapping[str, Verdict], *, decided: bool) -> None:
        values = {name: each.value for name, each in answers.items()}
        compared = {
            name: [score for score in each.scores if score is not None]
            for name, each in answers.items()
            if isinstance(each, Standing) and None not in each.scores
        }
        circle = bool(disagreement(compared).cycle) if len(compared) > 1 else False
        with self._lock:
            record = self._record
            record.questions += 1
            record.decided += decided
            record.cycles += circle
            record.distances += [abs(one - other) for one, other in itertools.combinations(values.values(), 2)]
            for name in self.members:
                if name not in values:
                    record.failed[name] += 1
                    continue
                others = [value for other, value in values.items() if other != name] or [values[name]]
                count, total, apart = record.sums.get(name, (0, 0.0, 0.0))
                away = abs(values[name] - math.fsum(others) / len(others))
                record.sums[name] = (count + 1, total + values[name], apart + away)
