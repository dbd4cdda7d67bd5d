"""What the checks of one domain work on: its tasks, the texts to try, and a way to call its rewards."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

from honewise.contracts import Completion, Domain, Judge, JudgeTemplate, Reader, Reward, Rubric, Task, Verdict
from honewise.host import PluginHost
from honewise.scoring.functions import find
from honewise.scoring.outcome import Outcome, checked, failed

from .findings import describe
from .probes import SIZES, texts

__all__ = ["Bench", "Probe", "RecordingJudge", "canonical", "make_bench", "outcome", "waited"]

GOLD_TASKS = 24
"""Sample tasks whose gold completion is scored."""
PROBE_TASKS = 2
"""Sample tasks, of each split, on which all the odd texts are tried."""
MOST_SAMPLES = 20_000


@dataclass(frozen=True, slots=True)
class Probe:
    """A text as a completion of a task, read by the domain's parser."""

    task: Task
    completion: Completion
    gold: bool

    @property
    def text(self) -> str:
        return self.completion.text

    def __str__(self) -> str:
        return f"task {self.task.id!r}, {'the gold completion' if self.gold else f'completion {describe(self.text)}'}"


class RecordingJudge:
    """Passes questions on to a judge and keeps what was asked."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.calls: list[tuple[JudgeTemplate, frozenset[str]]] = []

    async def __call__(self, template: JudgeTemplate, /, *, images: Sequence[str] = (), **slots: str) -> Verdict:
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
    _results: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def golds(self) -> list[Probe]:
        return [probe for probe in self.probes if probe.gold]

    def reward(self, name: str) -> Reward:
        """A rubric's reward: the domain's own, else one registered with the host. Raises ``UnknownName``."""
        return find([name], self.domain, host=self.host)[name].reward

    def can_run(self, reward: Reward) -> bool:
        """Judges cost money and devices may be absent: rewards on them run only where a judge is given."""
        return reward.cost != "device" and ("judge" not in reward.arguments or self.judge is not None)

    def options(self, reward: Reward) -> Mapping[str, Any]:
        """The options a preset gives the reward: the first set that is not empty."""
        rubrics = self.domain.rubrics.values()
        given = next((o for r in rubrics if reward.name in r.terms and (o := r.term(reward.name).options)), {})
        return {name: value for name, value in given.items() if name in reward.options}

    def results(self, reward: Reward, options: Mapping[str, Any]) -> list[Any]:
        """What the function returns, or the exception it raises, for each probe alone; computed once."""
        key = f"{id(reward)} {canonical(options)}"
        if key not in self._results:
            before = [_frozen(probe) for probe in self.probes]
            self._results[key] = [self.result(reward, probe, options) for probe in self.probes]
            pairs = zip(self.probes, before, strict=True)
            self.changed[id(reward)] = [probe for probe, text in pairs if _frozen(probe) != text]
        return self._results[key]

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

    def parsed(self, task: Task, found: Iterable[str], *, gold: bool = False) -> list[Probe]:
        """The texts as completions of ``task``; those that the parser fails on are left out and reported by `parse`."""
        probes = []
        for text in found:
            try:
                completion = self.domain.parse(text, task)
                if isinstance(completion, Completion) and completion.text == text:
                    # Core counts tokens; words come close enough for rewards that look at the length.
                    probes.append(Probe(task, replace(completion, tokens=len(text.split()) + bool(text)), gold))
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
) -> Bench:
    """Read samples, fill in prompts, parse what is to be tried. What the domain raises here shows up in its check."""
    faults = list(_faults(domain))
    bench = Bench(_sound(domain), name, package, host, RecordingJudge(judge) if judge else None, options, tasks)
    bench.faults = faults
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
    for task in bench.tasks:
        if any(task.id == other.id for other in tried if isinstance(other, Task)):
            gold = bench.gold[task.id] or ""
            others = [other for key, other in bench.gold.items() if key != task.id and other is not None][:4]
            bench.probes += bench.parsed(task, [text for text in texts(gold, others, task.id) if text != gold])
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


def _frozen(probe: Probe) -> str:
    return canonical([asdict(probe.task), asdict(probe.completion)])


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
