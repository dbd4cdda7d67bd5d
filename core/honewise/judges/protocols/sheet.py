"""Many small verdicts about one answer: a checklist of yes and no, a rubric of several criteria."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from honewise.contracts import Judge, JudgeTemplate, Verdict
from honewise.errors import JudgeError, UserError
from honewise.judges.asking import ask, together
from honewise.judges.context import Provider
from honewise.judges.lists import block
from honewise.judges.prompt import Slot
from honewise.judges.read import MARKS, last_line, number_reader, word_reader
from honewise.judges.results import Sheet
from honewise.judges.voting import Vote

from .base import JudgeProtocol, needed, polled

__all__ = ["Checklist", "Criteria", "Criterion", "Question"]

_NOT_APPLICABLE = ("n/a", "na", "not applicable")
_REASONS = "Give your reasons first, in a few sentences. "


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a checklist."""

    text: str
    weight: float = 1.0
    good: Literal["yes", "no"] = "yes"
    """The answer that speaks for what is judged."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion of a rubric."""

    text: str
    weight: float = 1.0
    low: float = 1
    high: float = 5
    levels: Mapping[int, str] = field(default_factory=dict)
    """What the grades are called."""


class _Sheet(JudgeProtocol[Sheet]):
    """Several verdicts about one answer, in one call or one call for each."""

    items: Mapping[str, Question] | Mapping[str, Criterion]
    heading: str
    each: bool
    low: float

    def least(self, why: str) -> Sheet:
        return Sheet(self.low, f"trivial: {why}")

    def combined(self, results: Mapping[str, Sheet], vote: Vote) -> Sheet:
        """The vote on the totals; parts are the means of the judges that found them to apply."""
        whole = polled(results, vote)
        found: dict[str, float | None] = {}
        for name in dict.fromkeys(name for result in results.values() for name in result.parts):
            said = [part for result in results.values() if (part := result.parts.get(name)) is not None]
            found[name] = math.fsum(said) / len(said) if said else None
        return Sheet(
            whole.value, whole.rationale, whole.confidence, votes=whole.votes, spread=whole.spread, parts=found
        )

    @property
    def templates(self) -> tuple[JudgeTemplate, ...]:
        return tuple(self._single(name) for name in self.items) if self.each else (self.template,)

    async def asked(self, judge: Judge, images: Sequence[str], slots: Mapping[str, Slot]) -> Sheet:
        if not self.each:
            verdict = (await ask(judge, self.template, slots, images=images)).verdict
            return verdict if isinstance(verdict, Sheet) else Sheet(verdict.value, verdict.rationale)
        asked = (ask(judge, self._single(name), slots, images=images) for name in self.items)
        said = [answer.verdict for answer in needed(await together(*asked))]
        parts = {
            name: None if isinstance(verdict, _NotApplicable) else verdict.value
            for name, verdict in zip(self.items, said, strict=True)
        }
        reasons = (f"{name}: {v.rationale}" for name, v in zip(self.items, said, strict=True) if v.rationale)
        try:
            return self.sheet(parts, "\n".join(reasons))
        except ValueError as error:
            raise JudgeError(f"{self.template.file}: {error}") from None

    def read_all(self, reply: str) -> Sheet:
        """The reply to all questions at once."""
        parts, before = block(reply, self.heading, tuple(self.items), str)
        missing = [name for name in self.items if name not in parts]
        if missing:
            raise ValueError(f"no line says '{missing[0]}: ...'")
        return self.sheet({name: self.part(name, parts[name]) for name in self.items}, before)

    def part(self, name: str, said: str) -> float | None:
        """One verdict as a number; None where it does not apply."""
        return None if said.strip(MARKS + ".!").casefold() in _NOT_APPLICABLE else self.number(name, said)

    @abstractmethod
    def number(self, name: str, said: str) -> float: ...

    @abstractmethod
    def total(self, parts: Mapping[str, float]) -> float: ...

    @abstractmethod
    def single_form(self, name: str) -> str: ...

    def sheet(self, parts: Mapping[str, float | None], before: str) -> Sheet:
        there = {name: part for name, part in parts.items() if part is not None}
        if not there:
            raise ValueError("nothing on the list applies")
        return Sheet(self.total(there), before, parts=parts)

    def _single(self, name: str) -> JudgeTemplate:
        def read(reply: str) -> Verdict:
            said, before = last_line(reply, "Verdict")
            part = self.part(name, said)
            return _NotApplicable(0.0, before) if part is None else Verdict(part, before)

        return replace(self.template, parse=read, form=self.single_form(name))


class _NotApplicable(Verdict):
    """The question does not apply."""


class Checklist(_Sheet):
    """Questions that are answered by yes or no, weighted.

    Args:
        file, package, context, guard: see ``JudgeProtocol``.
        questions: id to a ``Question``, or to its text.
        total: ``balance``: (n+ - n-) / (n+ + n-), from -1 to 1; ``share``: n+ / (n+ + n-), from 0 to 1. n+ and n- are
            the weights of questions with the good and the other answer; what does not apply counts in neither.
        each: a call for each question, so that no answer colours another.
        rationale: whether reasons are given first.

    Calls: 1, or one for each question. Unscored: a question without an answer, or none that applies. Parts: 1 for the
    good answer, 0 for the other. Papers: RLAIF for API code (2406.20060), FaithScore-like sheets; the forms are ours.
    """

    def __init__(
        self,
        file: str,
        *,
        package: str,
        questions: Mapping[str, Question | str],
        total: Literal["balance", "share"] = "share",
        each: bool = False,
        rationale: bool = False,
        context: Mapping[str, Provider] | None = None,
        guard: bool = True,
    ) -> None:
        self.items = {name: q if isinstance(q, Question) else Question(q) for name, q in _checked(questions).items()}
        self.heading, self.each, self.rationale, self._total = "Answers", each, rationale, total
        self.low = -1.0 if total == "balance" else 0.0
        self._word = word_reader(("yes", "no"))
        listed = "\n".join(f"- {name}: {question.text}" for name, question in self.items.items())
        form = (
            "Answer each of these questions about the material with yes, no or n/a (where it does not apply):\n"
            f"{listed}\n"
            f"{_last(self.heading, self.items, '<yes, no or n/a>', rationale)}"
        )
        super().__init__(file, package=package, parse=self.read_all, form=form, context=context, guard=guard)

    def number(self, name: str, said: str) -> float:
        question = self.items[name]
        assert isinstance(question, Question)
        return float(self._word(said) == question.good)

    def total(self, parts: Mapping[str, float]) -> float:
        weights = {name: self.items[name].weight for name in parts}
        share = math.fsum(weights[name] * part for name, part in parts.items()) / math.fsum(weights.values())
        return 2 * share - 1 if self._total == "balance" else share

    def single_form(self, name: str) -> str:
        question = f"Answer this question about the material: {self.items[name].text}\n"
        return question + _verdict("yes, no or n/a, where it does not apply", self.rationale)


class Criteria(_Sheet):
    """Grades by several criteria, weighted.

    Args:
        file, package, context, guard: see ``JudgeProtocol``.
        criteria: id to a ``Criterion``, or to its text (1 to 5, weight 1).
        each: a call for each criterion, so that no grade colours another.
        rationale: whether reasons are given first.

    Calls: 1, or one for each criterion. Value: the weighted mean of (grade - low) / (high - low), which are the parts,
    over criteria that apply. Unscored: a criterion without a grade on its scale, or none that applies.
    """

    def __init__(
        self,
        file: str,
        *,
        package: str,
        criteria: Mapping[str, Criterion | str],
        each: bool = False,
        rationale: bool = True,
        context: Mapping[str, Provider] | None = None,
        guard: bool = True,
    ) -> None:
        self.items = {name: c if isinstance(c, Criterion) else Criterion(c) for name, c in _checked(criteria).items()}
        self.heading, self.each, self.rationale, self.low = "Grades", each, rationale, 0.0
        self._readers = {name: number_reader(c.low, c.high) for name, c in self.items.items()}
        listed = "\n".join(f"- {name} ({_scale(c)}): {c.text}" for name, c in self.items.items())
        form = (
            f"Grade the material by each of these criteria, or say n/a where one does not apply:\n{listed}\n"
            f"{_last(self.heading, self.items, '<number>', rationale)}"
        )
        super().__init__(file, package=package, parse=self.read_all, form=form, context=context, guard=guard)

    def number(self, name: str, said: str) -> float:
        criterion = self.items[name]
        assert isinstance(criterion, Criterion)
        return (self._readers[name](said) - criterion.low) / (criterion.high - criterion.low)

    def total(self, parts: Mapping[str, float]) -> float:
        weights = {name: self.items[name].weight for name in parts}
        return math.fsum(weights[name] * part for name, part in parts.items()) / math.fsum(weights.values())

    def single_form(self, name: str) -> str:
        criterion = self.items[name]
        assert isinstance(criterion, Criterion)
        ask_for = f"Grade the material by one criterion alone, {name} ({_scale(criterion)}): {criterion.text}\n"
        return ask_for + _verdict("a number, or n/a where it does not apply", self.rationale)


def _checked(items: Mapping[str, Question | Criterion | str]) -> Mapping[str, Any]:
    if not items:
        raise UserError("a sheet needs at least one question")
    for name, item in items.items():
        if ":" in name or "\n" in name or not name.strip():
            raise UserError(f"{name!r} cannot begin a line NAME: verdict; use a short name without a colon")
        weight = 1.0 if isinstance(item, str) else item.weight
        if not weight > 0:
            raise UserError(f"{name}: a weight is more than 0; turn a question round with good='no'")
    return items


def _scale(criterion: Criterion) -> str:
    names = ", ".join(f"{grade} {name}" for grade, name in sorted(criterion.levels.items()))
    return f"{criterion.low:g} to {criterion.high:g}{f': {names}' if names else ''}"


def _last(heading: str, items: Mapping[str, object], what: str, rationale: bool) -> str:
    reasons = _REASONS if rationale else ""
    shown = "\n".join(f"{name}: {what}" for name in items)
    return f"{reasons}End with exactly these lines:\n{heading}:\n{shown}"


def _verdict(what: str, rationale: bool) -> str:
    if rationale:
        return f"{_REASONS}End with one line of exactly this form:\nVerdict: <{what}>"
    return f"Reply with {what}, and nothing else."
