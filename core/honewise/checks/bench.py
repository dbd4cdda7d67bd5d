"""What the checks of one domain work on: its tasks, the texts to try, and a way to call its rewards."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from honewise.contracts import Completion, Domain, Judge, JudgeTemplate, Reader, Reward, Rubric, Task, Verdict
from honewise.host import PluginHost
from honewise.scoring.functions import find
from honewise.scoring.outcome import Outcome, checked, failed

from .findings import describe
from .hostile import hostile
from .probes import MEGABYTE, SIZES, texts
from .watch import watched

__all__ = ["Bench", "Probe", "RecordingJudge", "canonical", "make_bench", "outcome", "said", "waited"]

GOLD_TASKS = 24
"""Sample tasks whose gold completion is scored."""
PROBE_TASKS = 2
"""Sample tasks, of each split, on which all the odd texts are tried."""
MOST_SAMPLES = 20_000
PARSER_PATIENCE = 10.0
"""Seconds that reading one text may take before whoever watches ends it."""
_MOST_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Probe:
    """A text as a completion of a task, read by the domain's parser."""

    task: Task
    completion: Completion
    gold: bool
    kind: str = ""
    """Of ``hostile.KINDS``; empty for the gold completion and for texts that are merely odd."""
    name: str = ""
    """Which of its kind, on every task."""

    @property
    def text(self) -> str:
        return self.completion.text

    def __str__(self) -> str:
        if self.gold:
            return f"task {self.task.id!r}, the gold completion"
        kind = f" ({self.kind})" if self.kind else ""
        return f"task {self.task.id!r}, completion{kind} {describe(self.text)}"


@dataclass(slots=True)
class Tally:
    """What was seen of one reward."""

    seconds: list[float] = field(default_factory=list)
    """Of each probe alone, in their order."""
    unsteady: int = 0
    """Probes that scored otherwise when asked again at once."""
    out_of_range: int = 0
    by_order: int = 0
    """Probes that scored otherwise in a batch, in another order, or in other surroundings."""


class RecordingJudge:
    """Passes questions on to a judge and keeps what was asked."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.calls: list[tuple[JudgeTemplate, frozenset[str]]] = []

    async def __call__(
        self, template: JudgeTemplate, /, *, images: Sequence[str] = (), **slots: str | Sequence[str]
    ) -> Verdict:
        self.calls.append((template, frozenset(slots)))
        # A judge of a plugin's own tests may know nothing of pictures, and need not where there are none.
        return await (self._judge(template, images=images, **slots) if images else self._judge(template, **slots))


@dataclass
class Bench:
    """One domain under test."""

    domain: Domain
    name: str
    package: str | None
    host: PluginHost
    judge: RecordingJudge | None
    options_given: Mapping[str, Any] = field(default_factory=dict)
    """The options that the domain was built with."""
    given: Sequence[Task] | None = None
    samples: dict[str, list[Task]] = field(default_factory=dict)
    """By split, as the domain gives them."""
    tasks: list[Task] = field(default_factory=list)
    """The tasks to try gold completions on, prompts filled in where the domain can."""
    probes: list[Probe] = field(default_factory=list)
    gold: dict[str, str | None] = field(default_factory=dict)
    """By task id; None where there is none, or it is no text."""
    longest: int = SIZES[-1]
    """Characters up to which the parser was found to be quick."""
    faults: list[str] = field(default_factory=list)
    """Fields of the domain of a wrong type; they are empty in ``domain``."""
    changed: dict[int, list[Probe]] = field(default_factory=dict)
    """By ``id`` of a reward: probes that its call changed."""
    thorough: bool = False
    """Long texts are tried too, and everything on every task."""
    skipped: Collection[str] = ()
    """Rewards that cannot be called: they hang, or end the process."""
    tallies: dict[int, Tally] = field(default_factory=dict)
    """By ``id`` of a reward."""
    _results: dict[str, list[Any]] = field(default_factory=dict)
    _frozen: list[str] = field(default_factory=list)
    """Each probe as text, as the last reward left it."""

    @property
    def golds(self) -> list[Probe]:
        return [probe for probe in self.probes if probe.gold]

    def reward(self, name: str) -> Reward:
        """A rubric's reward: the domain's own, else one registered with the host. Raises ``UnknownName``."""
        return find([name], self.domain, host=self.host)[name].reward

    def can_run(self, reward: Reward) -> bool:
        """Judges cost money and devices may be absent: rewards on them run only where a judge is given."""
        usable = reward.cost != "device" and ("judge" not in reward.arguments or self.judge is not None)
        return usable and reward.name not in self.skipped

    def tally(self, reward: Reward) -> Tally:
        return self.tallies.setdefault(id(reward), Tally())

    @property
    def sizes(self) -> tuple[int, ...]:
        """Characters of the growing texts."""
        return (*SIZES, MEGABYTE) if self.thorough else SIZES

    def options(self, reward: Reward) -> Mapping[str, Any]:
        """The options a preset gives the reward: the first set that is not empty."""
        rubrics = self.domain.rubrics.values()
        given = next((o for r in rubrics if reward.name in r.terms and (o := r.term(reward.name).options)), {})
        return {name: value for name, value in given.items() if name in reward.options}

    def results(self, reward: Reward, options: Mapping[str, Any]) -> list[Any]:
        """What the function returns, or the exception it raises, for each probe alone; computed once."""
        key = f"{id(reward)} {canonical(options)}"
        if key not in self._results:
            before = self._frozen or [_frozen(probe) for probe in self.probes]
            self._results[key] = self._in_turn(reward, options)
            self._frozen = [_frozen(probe) for probe in self.probes]
            pairs = zip(self.probes, before, self._frozen, strict=True)
            self.changed[id(reward)] = [probe for probe, one, other in pairs if one != other]
        return self._results[key]

    def _in_turn(self, reward: Reward, options: Mapping[str, Any]) -> list[Any]:
        results, seconds = [], self.tally(reward).seconds
        seconds.clear()
        for probe in self.probes:
            began = time.perf_counter()
            results.append(self.result(reward, probe, options))
            seconds.append(time.perf_counter() - began)
        return results

    def result(self, reward: Reward, probe: Probe, options: Mapping[str, Any]) -> Any:
        """What the function returns for one probe, or the exception it raises."""
        try:
            results = self.raw(reward, [probe], options)
            return results[0] if len(results) == 1 else ValueError(f"{len(results)} results for a batch of one")
        except (Exception, SystemExit) as error:
            return error

    def outcomes(self, reward: Reward, options: Mapping[str, Any]) -> list[Outcome]:
        """The results of all probes as scoring takes them."""
        pairs = zip(self.probes, self.results(reward, options), strict=True)
        return [outcome(reward, probe, result) for probe, result in pairs]

    def parsed(
        self, task: Task, found: Iterable[str], *, gold: bool = False, kind: str = "", name: str = ""
    ) -> list[Probe]:
        """The texts as completions of ``task``; those that the parser fails on are left out and reported by `parse`."""
        probes = []
        for text in found:
            try:
                with watched(f"domain {self.name}", f"reading {describe(text)}", PARSER_PATIENCE):
                    completion = self.domain.parse(text, task)
                if isinstance(completion, Completion) and completion.text == text:
                    # Core counts tokens; words come close enough for rewards that look at the length.
                    read = replace(completion, tokens=len(text.split()) + bool(text))
                    probes.append(Probe(task, read, gold, kind, name))
            except (Exception, SystemExit):
                continue
        return probes

    def raw(self, reward: Reward, probes: Sequence[Probe], options: Mapping[str, Any]) -> list[Any]:
        """What the function returns, for one probe or, where it takes a batch, for several."""
        values = {
            "task": probes[0].task,
            "completion": probes[0].completion,
            "tasks": [probe.task for probe in probes],
            "completions": [probe.completion for probe in probes],
            "judge": self.judge,
        }
        arguments = {name: values[name] for name in reward.arguments}
        what = str(probes[0]) if len(probes) == 1 else f"a batch of {len(probes)}"
        with watched(f"reward {reward.name}", what, _patience(reward, len(probes))):
            result = reward.fn(**arguments, **options)
            if inspect.isawaitable(result):
                result = waited(result)
            return list(result) if reward.batch else [result]


def make_bench(
    domain: Domain,
    name: str,
    *,
    package: str | None,
    host: PluginHost,
    judge: Judge | None,
    options: Mapping[str, Any],
    tasks: Sequence[Task] | None,
    thorough: bool = False,
    skip: Collection[str] = (),
) -> Bench:
    """Read samples, fill in prompts, parse what is to be tried. What the domain raises here shows up in its check."""
    faults = list(_faults(domain))
    bench = Bench(_sound(domain), name, package, host, RecordingJudge(judge) if judge else None, options, tasks)
    bench.faults, bench.thorough, bench.skipped = faults, thorough, skip
    bench.longest = bench.sizes[-1]
    if tasks is None:
        bench.samples = {split: _take(domain, split) for split in ("train", "held-out")}
        chosen = [task for found in bench.samples.values() for task in found[: GOLD_TASKS // 2]]
        tried = [task for found in bench.samples.values() for task in found[:PROBE_TASKS]]
    else:
        chosen, tried = list(tasks), list(tasks[: 2 * PROBE_TASKS])
    bench.tasks = [_prompted(domain, task) for task in chosen if isinstance(task, Task) and isinstance(task.id, str)]
    bench.gold = {task.id: _gold(domain, task) for task in bench.tasks}
    for task in bench.tasks:
        gold = bench.gold[task.id]
        bench.probes += bench.parsed(task, [] if gold is None else [gold], gold=True)
    wanted = {task.id for task in tried if isinstance(task, Task)}
    chosen = [task for task in bench.tasks if task.id in wanted]
    for task in chosen:
        gold = bench.gold[task.id] or ""
        others = [other for key, other in bench.gold.items() if key != task.id and other is not None][:4]
        bench.probes += bench.parsed(task, [text for text in texts(gold, others, task.id) if text != gold])
    every = 1 if thorough else max(len(chosen) // 2, 1)  # else one of each split
    for task in chosen[::every]:
        known = {probe.text for probe in bench.probes if probe.task is task and (probe.gold or not probe.text)}
        long = thorough and task is chosen[0]
        for each in hostile(domain, task, bench.gold[task.id], thorough=thorough, long=long):
            if each.text not in known:
                bench.probes += bench.parsed(task, [each.text], kind=each.kind, name=each.name)
    return bench


_TYPES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("prompt", "parse", "gold", "samples"), (callable, "a function")),
    "difficulty": (lambda value: value is None or callable(value), "a function or None"),
}
_ITEMS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "rewards": (lambda value: isinstance(value, Reward), "a Reward"),
    "judges": (lambda value: isinstance(value, JudgeTemplate), "a JudgeTemplate"),
    "rubrics": (lambda value: isinstance(value, Rubric) and isinstance(value.terms, Mapping), "a Rubric"),
    "readers": (lambda value: isinstance(value, Reader) or callable(value), "a Reader"),
    "metrics": (callable, "a function"),
}

_LISTS = ("rewards", "judges")


def _faults(domain: Domain) -> Iterator[str]:
    for name, (right, what) in _TYPES.items():
        if not right(getattr(domain, name)):
            yield f"{name} is {describe(getattr(domain, name))}, not {what}"
    for name, (right, what) in _ITEMS.items():
        value = getattr(domain, name)
        kind = Sequence if name in _LISTS else Mapping
        if not isinstance(value, kind) or isinstance(value, str):
            yield f"{name} is {describe(value)}, not a {kind.__name__.lower()}"
            continue
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        yield from (f"{name}[{key!r}] is {describe(item)}, not {what}" for key, item in items if not right(item))


def _sound(domain: Domain) -> Domain:
    """The domain without what is of a wrong type, so that the rest can be checked."""
    changes: dict[str, Any] = {} if _TYPES["difficulty"][0](domain.difficulty) else {"difficulty": None}
    for name, (right, _) in _ITEMS.items():
        value = getattr(domain, name)
        if name in _LISTS:
            listed = isinstance(value, Sequence) and not isinstance(value, str)
            changes[name] = [item for item in value if right(item)] if listed else []
        else:
            named = value.items() if isinstance(value, Mapping) else ()
            changes[name] = {str(key): item for key, item in named if right(item)}
    return replace(domain, **changes)


def _patience(reward: Reward, count: int) -> float:
    """Seconds after which whoever watches may end a call: well beyond the deadline, since machines are busy."""
    seconds = reward.deadline if isinstance(reward.deadline, int | float) and reward.deadline > 0 else 1.0
    return min(1.0 + 3 * seconds * (1 + (count - 1) / 20), max(_MOST_PATIENCE, 4 * seconds))


def waited(result: Awaitable[Any]) -> Any:
    """The value of an awaitable, also where this thread runs an event loop already, as notebooks do."""

    async def wait() -> Any:
        return await result

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, wait()).result()


def outcome(reward: Reward, probe: Probe, result: Any) -> Outcome:
    """A result as scoring takes it; an exception is unscored."""
    if isinstance(result, Exception | SystemExit):
        return failed(reward.name, f"raised {describe(result)}")
    return checked(reward.name, reward, result, probe.text)


def said(found: Outcome) -> str:
    """An outcome, short."""
    return "unscored" if found.unscored is not None else f"{found.value:g}"


def _frozen(probe: Probe) -> str:
    task, read = probe.task, probe.completion
    parts = (task.id, task.inputs, task.reference, task.images, task.meta, task.prompt)
    return canonical([*parts, read.text, read.answer, read.pieces, read.tokens, read.truncated, read.segments])


def canonical(value: Any) -> str:
    """JSON text that is the same for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _take(domain: Domain, split: str) -> list[Task]:
    try:
        return list(islice(domain.samples(split), MOST_SAMPLES))
    except (Exception, SystemExit):
        return []


def _prompted(domain: Domain, task: Task) -> Task:
    try:
        return replace(task, prompt=tuple(domain.prompt(task)))
    except (Exception, SystemExit):
        return task


def _gold(domain: Domain, task: Task) -> str | None:
    try:
        gold = domain.gold(task)
    except (Exception, SystemExit):
        return None
    return gold if isinstance(gold, str) else None
