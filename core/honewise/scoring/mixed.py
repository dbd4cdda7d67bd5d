"""Several domains side by side. What belongs to one of them is called after it: the domain ``sums`` of a run has tasks
``sums/ID``, rewards ``sums/NAME`` and metrics ``sums/NAME``. The domains themselves never see these names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from honewise.clients.ledger import CallRecord
from honewise.contracts import Completion, Domain, Message, Metric, Reward, Rubric, Scored, Task
from honewise.errors import UserError

from .jobs import Row
from .rubric import BoundRubric
from .scorer import Scorer
from .stats import RewardStats

__all__ = [
    "AnyScorer",
    "MixedDomain",
    "MixedRubric",
    "MixedScorer",
    "domain_of",
    "interleaved",
    "joined_task",
    "mix_domains",
    "own_task",
    "rubrics_of",
]

_AT_ONCE = 16
"""Calls of ``submit`` that are worked on at a time."""

T = TypeVar("T")


def domain_of(task: Task) -> str:
    """The name that a task's domain has in a run of several."""
    return task.id.partition("/")[0]


def joined_task(name: str, task: Task) -> Task:
    """A domain's task as one of the run."""
    return replace(task, id=f"{name}/{task.id}")


def own_task(task: Task) -> Task:
    """A task of the run as its domain made it."""
    return replace(task, id=task.id.partition("/")[2])


def interleaved(parts: Iterable[Sequence[T]]) -> list[T]:
    """All items, those of each part in their order and evenly spread: any beginning holds the parts in about the
    proportion of the whole."""
    kept = list(parts)
    places = [((i + 0.5) / len(part), number, i) for number, part in enumerate(kept) for i in range(len(part))]
    return [kept[number][i] for _, number, i in sorted(places)]


@dataclass(frozen=True, slots=True)
class MixedDomain(Domain):
    """Several domains as one, for tasks of the run. It has no presets: each domain has its own rubric."""

    parts: Mapping[str, Domain] = field(default_factory=dict)


def mix_domains(parts: Mapping[str, Domain]) -> MixedDomain:
    """The domains as one, by their names in the run."""

    def of(task: Task) -> Domain:
        return parts[domain_of(task)]

    def prompt(task: Task) -> Sequence[Message]:
        return of(task).prompt(own_task(task))

    def parse(text: str, task: Task) -> Completion:
        return of(task).parse(text, own_task(task))

    def gold(task: Task) -> str | None:
        return of(task).gold(own_task(task))

    def samples(split: str) -> Iterator[Task]:
        yield from interleaved(
            [[joined_task(name, task) for task in domain.samples(split)] for name, domain in parts.items()]
        )

    return MixedDomain(
        prompt=prompt,
        parse=parse,
        gold=gold,
        samples=samples,
        rewards=[_named(name, each) for name, domain in parts.items() for each in domain.rewards],
        rubrics={},
        judges=list(dict.fromkeys(judge for domain in parts.values() for judge in domain.judges)),
        metrics={
            f"{name}/{metric}": _of_one(name, metric, fn)
            for name, domain in parts.items()
            for metric, fn in domain.metrics.items()
        },
        parts=dict(parts),
    )


def _named(domain: str, reward: Reward) -> Reward:
    return replace(reward, name=f"{domain}/{reward.name}")


def _of_one(domain: str, name: str, metric: Metric) -> Metric:
    """A domain's metric over the run's rows: those of the domain alone, as it knows them."""

    def measured(rows: Sequence[Scored]) -> Mapping[str, float]:
        own = [_own(row) for row in rows if domain_of(row.task) == domain]
        found = metric(own) if own else {}
        return {f"{domain}/{name}" if key == name else key: value for key, value in found.items()}

    return measured


def _own(scored: Scored) -> Scored:
    cells = {name.partition("/")[2]: cell for name, cell in scored.rewards.items()}
    return replace(scored, task=own_task(scored.task), rewards=cells)


@dataclass(frozen=True, slots=True)
class MixedRubric(BoundRubric):
    """The rubrics of several domains. The terms are those of all; which of them a completion has, and what decides
    whether it is correct, says its domain's own."""

    parts: Mapping[str, BoundRubric] = field(default_factory=dict)
    """Domain to its rubric, whose names begin with the domain's."""

    def of(self, task: Task) -> BoundRubric:
        """The rubric of a task's domain."""
        return self.parts[domain_of(task)]


def rubrics_of(rubric: Rubric) -> Mapping[str, Rubric]:
    """Domain to rubric; the name of an only one is empty."""
    return rubric.parts if isinstance(rubric, MixedRubric) else {"": rubric}


def _mix_rubrics(rubrics: Mapping[str, BoundRubric]) -> MixedRubric:
    parts = {name: _prefixed(name, rubric) for name, rubric in rubrics.items()}
    return MixedRubric(
        terms={name: term for part in parts.values() for name, term in part.terms.items()},
        cap_wrong=any(part.cap_wrong for part in parts.values()),
        bounds={name: each for part in parts.values() for name, each in part.bounds.items()},
        gates={name: gate for part in parts.values() for name, gate in part.gates.items()},
        parts=parts,
    )


def _prefixed(domain: str, rubric: BoundRubric) -> BoundRubric:
    def full(name: str) -> str:
        return f"{domain}/{name}"

    gates = {full(name): replace(gate, other=full(gate.other)) for name, gate in rubric.gates.items()}
    terms = {full(name): rubric.term(name) for name in rubric.terms}
    return BoundRubric(
        terms={name: replace(term, when=str(gates[name]) if name in gates else None) for name, term in terms.items()},
        correct=None if rubric.correct is None else full(rubric.correct),
        cap_wrong=rubric.cap_wrong,
        bounds={full(name): each for name, each in rubric.bounds.items()},
        gates=gates,
    )


class MixedScorer:
    """Scores completions of several domains, each by its own scorer; it is used as a ``Scorer`` is.

    The scorers share a judge, and the loop on which it is asked.
    """

    def __init__(self, scorers: Mapping[str, Scorer]) -> None:
        self.scorers = dict(scorers)
        self.domain = mix_domains({name: scorer.domain for name, scorer in scorers.items()})
        self.rubric = _mix_rubrics({name: scorer.rubric for name, scorer in scorers.items()})
        self._first = next(iter(self.scorers.values()))
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> MixedScorer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the workers of every domain, if that has not been done."""
        for scorer in self.scorers.values():
            scorer.start()

    def close(self) -> None:
        """End them."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        for scorer in self.scorers.values():
            scorer.close()

    def score(self, rows: Sequence[Row], *, step: int = 0) -> list[Scored]:
        """Score rows, in their order; those of different domains at the same time, where they overlap."""
        places: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(domain_of(row.task), []).append(place)
        sent = [(name, own, self._sent(name, [rows[i] for i in own], step)) for name, own in places.items()]
        found: dict[int, Scored] = {}
        for name, own, scored in sent:
            found |= {i: _joined(name, rows[i].task, one) for i, one in zip(own, scored.result(), strict=True)}
        return [found[i] for i in range(len(rows))]

    def _sent(self, name: str, rows: Sequence[Row], step: int) -> Future[list[Scored]]:
        if name not in self.scorers:
            raise UserError(f"task {rows[0].task.id!r} is of no domain of this run: {', '.join(self.scorers)}")
        own: dict[int, Task] = {}
        for row in rows:  # completions of one task keep one task between them
            if id(row.task) not in own:
                own[id(row.task)] = own_task(row.task)
        return self.scorers[name].submit([replace(row, task=own[id(row.task)]) for row in rows], step=step)

    @property
    def overlaps(self) -> bool:
        """Whether ``submit`` works beside the caller, in every domain."""
        return all(scorer.overlaps for scorer in self.scorers.values())

    def submit(self, rows: Sequence[Row], *, step: int = 0) -> Future[list[Scored]]:
        """``score`` beside the caller, where it ``overlaps``."""
        if not self.overlaps:
            done: Future[list[Scored]] = Future()
            done.set_result(self.score(rows, step=step))
            return done
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="honewise-mixed-scoring")
        return self._threads.submit(self.score, rows, step=step)

    def stats(self) -> Mapping[str, RewardStats]:
        """By reward, since this scorer was made."""
        return {f"{name}/{reward}": each for name, s in self.scorers.items() for reward, each in s.stats().items()}

    def check_budget(self, scored: Sequence[Scored], max_unscored: float) -> None:
        """As a ``Scorer``'s, over all domains together."""
        self._first.check_budget(scored, max_unscored)

    def take_calls(self) -> list[CallRecord]:
        """What the judge was asked since the last time, whichever domain asked."""
        return self._first.take_calls()

    def charge(self, calls: Sequence[CallRecord]) -> None:
        """Count against the judge's budget what was asked in another process."""
        self._first.charge(calls)


def _joined(name: str, task: Task, scored: Scored) -> Scored:
    cells = {f"{name}/{reward}": cell for reward, cell in scored.rewards.items()}
    return replace(scored, task=task, rewards=cells)


AnyScorer = Scorer | MixedScorer
