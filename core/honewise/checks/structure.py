"""Checks of what a domain declares: rewards, rubrics, samples, readers."""

from __future__ import annotations

import functools
import gzip
import importlib.util
import inspect
import json
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from honewise.contracts import Reader, Reward, Rubric, Task
from honewise.errors import UserError, near
from honewise.scoring.functions import bind, unfilled
from honewise.scoring.rubric import bind_rubric

from .bench import Bench, canonical
from .findings import REWARD_CHECKS, Finding, describe, run

__all__ = ["declared", "rubric_problems", "structure"]

_COSTS = ("cpu", "process", "judge", "device")
_SPLITS = ("train", "held-out")


def structure(bench: Bench) -> Iterator[Finding]:
    """Everything that can be seen without scoring a completion."""
    domain, whole = bench.domain, f"domain {bench.name}"
    yield run("fields", whole, lambda: iter(bench.faults))
    yield run("rewards", whole, lambda: _rewards(bench))
    yield run("rubrics", whole, lambda: _rubrics(bench))
    yield run("sendable", whole, lambda: _sendable(domain.rewards))
    if bench.given is None:
        yield run("samples", whole, lambda: _samples(bench))
    yield run("tasks", whole, lambda: _json(bench.tasks))
    for name, reader in domain.readers.items():
        yield run("readers", f"reader {name}", functools.partial(_reader, reader))
    if domain.difficulty is not None:
        yield run("difficulty", whole, lambda: _difficulty(bench))


def _rewards(bench: Bench) -> Iterator[str]:
    for name, count in Counter(reward.name for reward in bench.domain.rewards).items():
        if count > 1:
            yield f"{count} rewards are called {name!r}"
    for reward in bench.domain.rewards:
        yield from declared(reward)


def declared(reward: Reward) -> Iterator[str]:
    """What is wrong with a reward before it is ever called."""
    try:
        yield from _declared(reward)
    except Exception as error:
        yield f"the declaration of {reward.name!r} cannot be read: {describe(error)}"


def _declared(reward: Reward) -> Iterator[str]:
    low, high = reward.bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        yield f"the bounds of {reward.name!r} are ({low}, {high})"
    if not (math.isfinite(reward.deadline) and reward.deadline > 0):
        yield f"the deadline of {reward.name!r} is {reward.deadline} seconds"
    if reward.cost not in _COSTS:
        yield f"the cost of {reward.name!r} is {reward.cost!r}{near(str(reward.cost), _COSTS)}"
    if ("judge" in reward.arguments) != (reward.cost == "judge"):
        asks = "asks for" if "judge" in reward.arguments else "does not ask for"
        yield f"{reward.name!r} {asks} a judge and its cost is {reward.cost!r}"
    astray = list(unfilled(reward.name, reward))
    yield from astray
    if not astray and not reward.arguments - {"judge"}:
        yield f"the function of {reward.name!r} takes none of task, completion, tasks, completions by name"
    for check, reason in reward.exempt.items():
        if check not in REWARD_CHECKS:
            yield f"{reward.name!r} is exempt from {check!r}, which is no check{near(check, REWARD_CHECKS)}"
        if not str(reason).strip():
            yield f"{reward.name!r} is exempt from {check!r} without a reason"


def _rubrics(bench: Bench) -> Iterator[str]:
    if not bench.domain.rubrics:
        yield "there is no preset: Domain.rubrics is empty"
    for preset, rubric in bench.domain.rubrics.items():
        for problem in rubric_problems(bench, rubric):
            yield f"preset {preset!r}: {problem}"


def rubric_problems(bench: Bench, rubric: Rubric) -> Iterator[str]:
    """What is wrong with a preset before anything is scored."""
    try:
        yield from _rubric(bench, rubric)
    except Exception as error:
        yield f"it cannot be read: {describe(error)}"


def _rubric(bench: Bench, rubric: Rubric) -> Iterator[str]:
    found: dict[str, Reward] = {}
    for name in rubric.terms:
        try:
            found[name] = bench.reward(name)
            bind(name, found[name], rubric.term(name).options)
        except UserError as error:
            yield str(error)
    if len(found) == len(rubric.terms):
        try:
            bind_rubric(rubric, found)
        except UserError as error:
            yield str(error)


def _sendable(rewards: Any) -> Iterator[str]:
    for reward in rewards:
        function = inspect.unwrap(reward.fn.func if isinstance(reward.fn, functools.partial) else reward.fn)
        module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
        if module in (None, "__main__") or not _importable(str(module)):
            yield f"the function of {reward.name!r} lives in {module}, which no other process can import"
        elif "<lambda>" in name or "<locals>" in name:
            yield f"the function of {reward.name!r} is {module}.{name}, which cannot be imported by name"


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return getattr(sys.modules.get(module), "__file__", None) is not None


def _samples(bench: Bench) -> Iterator[str]:
    seen: dict[str, str] = {}
    for split in _SPLITS:
        tasks = list(bench.samples[split]) or list(bench.domain.samples(split))
        if not tasks:
            yield f"there are no {split} samples"
        for identifier, count in Counter(getattr(task, "id", None) for task in tasks).items():
            if count > 1:
                yield f"{count} {split} samples have the id {identifier!r}"
        for task in tasks:
            if not isinstance(task, Task):
                yield f"a {split} sample is {describe(task)}, not a Task"
                continue
            key = canonical([task.inputs, task.images])
            if seen.setdefault(key, split) != split:
                yield f"sample {task.id!r} has the inputs of a train sample"


def _json(tasks: list[Task]) -> Iterator[str]:
    for task in tasks:
        if not isinstance(task.id, str) or not task.id:
            yield f"a task has the id {task.id!r}; ids are text"
        for part in ("inputs", "reference", "meta"):
            value = getattr(task, part)
            try:
                same = json.loads(json.dumps(dict(value), allow_nan=False)) == dict(value)
            except (TypeError, ValueError) as error:
                yield f"task {task.id!r}: {part} is not JSON ({error})"
                continue
            if not same:
                yield f"task {task.id!r}: {part} reads back changed, as tuples and keys that are not text do"


def _reader(reader: Reader | Callable[..., Any]) -> Iterator[str]:
    if not isinstance(reader, Reader) or reader.recognise is None:
        yield "it has no `recognise`, so a data set is never taken for this format unless --format says so"
        return
    foreign = {
        "empty.jsonl": b"",
        "notes.txt": "no data here, only مرحبا\n".encode(),
        "binary.bin": bytes(range(256)) * 8,
        "other.json": b'[{"unrelated": [1, {"deep": null}]}, 3, "text"]',
        "other.jsonl": b'{"unrelated": 1}\n[1, 2]\nnot json\n',
        "other.csv": b'a,b\n1,"two\nlines"\n3\n',
        "other.jsonl.gz": gzip.compress(b'{"unrelated": 1}\n'),
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, content in foreign.items():
            (folder / name).write_bytes(content)
        (folder / "nothing").mkdir()
        for path in [*sorted(folder.iterdir()), folder, folder / "missing.json"]:
            try:
                if reader.recognise(path):
                    yield f"it takes {path.name if path != folder else 'a folder of foreign files'} for its own"
            except Exception as error:
                yield f"recognising {path.name if path != folder else 'a folder'} raised {describe(error)}"


def _difficulty(bench: Bench) -> Iterator[str]:
    assert bench.domain.difficulty is not None
    for task in bench.tasks:
        value = bench.domain.difficulty(task)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            yield f"task {task.id!r} has the difficulty {value!r}"
