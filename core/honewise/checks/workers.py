"""Check that worker processes score as this process does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from honewise.contracts import Rubric, Term
from honewise.progress import Silent
from honewise.scoring import Row, Scorer

from .bench import Bench
from .findings import Finding, describe, run
from .structure import declared

__all__ = ["workers"]

_GOLDS = 3


def workers(bench: Bench) -> Iterator[Finding]:
    """Only for a domain that other processes can build: one of an installed plugin."""
    record = bench.host.records.get(bench.name.split("/", 1)[0])
    if record is not None and record.entry_point is not None and record.usable:
        yield run("workers", f"domain {bench.name}", lambda: _compare(bench))


class _Notes(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def _compare(bench: Bench) -> Iterator[str]:
    chosen = [
        reward for reward in bench.domain.rewards if reward.cost in ("cpu", "process") and not any(declared(reward))
    ]
    if not chosen or not bench.golds:
        return
    rubric = Rubric({reward.name: Term(options=bench.options(reward)) for reward in chosen})
    golds = bench.golds[:_GOLDS]
    rows = [Row(probe.task, text, tokens=len(text.split())) for probe in golds for text in (probe.text, "")]
    notes = _Notes()
    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what cannot be sent comes as a note, too
        for count in (0, 1):
            with Scorer(
                bench.name, bench.options_given, rubric=rubric, workers=count, host=bench.host, progress=notes
            ) as scorer:
                results.append(scorer.score(rows))
    yield from notes.lines
    for here, there in zip(*results, strict=True):
        for name, cell in here.rewards.items():
            other = there.rewards[name]
            if (cell.value, cell.unscored is None) != (other.value, other.unscored is None):
                shown = other.unscored if other.value is None else f"{other.value:g}"
                yield f"{name} scores {describe(here.completion.text)} {cell.value} here, in a worker {shown}"
