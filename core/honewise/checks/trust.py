"""Checks against being fooled: by hostile completions, by state that is not the completion's, by text that is run."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from honewise.contracts import Reward, Scored

from .bench import Bench, Probe, outcome, said
from .canary import CANARIES, evaluations, evaluators
from .findings import describe
from .hostile import in_form

__all__ = ["evaluates", "fooled", "state"]

_OTHER_ENVIRONMENT = {
    "HOME": "/nonexistent", "USER": "nobody", "LANG": "C", "LC_ALL": "C", "TZ": "Pacific/Kiritimati",
    "HONEWISE_CHECK": "other surroundings",
}  # fmt: skip
_GONE = ("DEBUG", "ENV", "SEED", "PWD", "OLDPWD", "LOGNAME", "HOSTNAME")


@contextmanager
def _elsewhere() -> Iterator[None]:
    """Another working folder, another environment, another state of ``random``."""
    kept, here, chance = dict(os.environ), os.getcwd(), random.getstate()
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.chdir(folder)
            os.environ.update(_OTHER_ENVIRONMENT)
            for name in _GONE:
                os.environ.pop(name, None)
            random.seed("elsewhere")
            yield
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(kept)
            random.setstate(chance)


def state(bench: Bench, reward: Reward) -> Iterator[str]:
    """Probes once more, the last one first, in other surroundings; a third of them unless the bench is thorough. What
    differs when asked at once is reported by `deterministic`."""
    options = bench.options(reward)
    before = bench.outcomes(reward, options)
    found: dict[int, str] = {}
    with _elsewhere():
        for index in reversed(range(0, len(bench.probes), 1 if bench.thorough else 3)):
            probe = bench.probes[index]
            there = outcome(reward, probe, bench.result(reward, probe, options))
            again = there if there == before[index] else outcome(reward, probe, bench.result(reward, probe, options))
            if there != before[index] and there == again:
                found[index] = f"{probe} scores {said(before[index])}, and {said(there)} later and elsewhere"
    tally = bench.tally(reward)
    tally.by_order = max(tally.by_order, len(found))
    yield from (found[index] for index in sorted(found))


def evaluates(bench: Bench, reward: Reward) -> Iterator[str]:
    """Completions that are code with a name of ours in it: by themselves, and where the answer stands."""
    options = bench.options(reward)
    caught: dict[str, str] = {}
    for task in bench.tasks[:2]:
        for canary in CANARIES:
            for text in (canary, in_form(bench.domain, task, bench.gold[task.id], canary)):
                for probe in bench.parsed(task, [text] if text is not None else []):
                    with evaluations() as heard:
                        bench.result(reward, probe, options)
                    for how in heard:
                        caught.setdefault(how, f"given {describe(probe.text)} it {how}")
    yield from caught.values()
    if not caught:
        yield from (f"its code calls {name}()" for name in evaluators(reward.fn))


def fooled(bench: Bench, rows: Sequence[Scored]) -> Iterator[str]:
    """Attacks that are correct for two tasks with different answers, where the tasks tried have any: one text cannot
    be right for both. What the parser reads as the gold answer is the answer, whatever stands around it."""
    golds = {probe.task.id: probe.completion.answer for probe in bench.golds}
    tried = {probe.task.id for probe in bench.probes if probe.kind}
    needed = min(2, len({describe(golds.get(task)) for task in tried}))
    correct: dict[str, list[Probe]] = {}
    for probe, row in zip(bench.probes, rows, strict=True):
        own = probe.task.id in golds and probe.completion.answer == golds[probe.task.id]
        right_by_chance = own and probe.completion.answer is not None
        if probe.kind not in ("", "gold echo") and row.correct and not right_by_chance:
            correct.setdefault(probe.name, []).append(probe)
    for probes in correct.values():
        answers = {describe(golds.get(probe.task.id)) for probe in probes}
        often = len(probes) * 2 >= len(tried) or probes[0].kind != "prompt echo"
        if len(answers) >= needed and often:
            yield f"{probes[0]} is correct" + (f", and so for {len(probes) - 1} more tasks" if len(probes) > 1 else "")
