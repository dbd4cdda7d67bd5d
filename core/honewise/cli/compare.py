"""``honewise compare``: what training gained over what could be had without it, and one run over another."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from .report import find_run
from .terminal import note, number, print_json, print_table, show

if TYPE_CHECKING:
    from honewise.stages.compare import Gain, Measurement

__all__ = ["attach"]


def attach(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    runs: Annotated[list[str], typer.Argument(help="Runs, by name below runs/ or by folder; one or more.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Compare runs on the held-out tasks that they share.

    Says what reinforcement learning (rl, dpo) gained over sft, over sft on the critic's own answers and on the best of
    n completions, and over sampling n completions and keeping the best; then each run over those before it. Intervals
    are paired by task, 95 %. What was not measured is said.

    Example: honewise compare sql-quickstart sql-quickstart-2
    """
    from honewise.runs.run import Run
    from honewise.stages.compare import compare as compared

    with ExitStack() as stack:
        opened = [stack.enter_context(Run.open(find_run(name))) for name in runs]
        found = compared(opened)
    if as_json:
        print_json(found.to_json())
        return
    _measured(found.measurements)
    _differences("gain of training over", found.gains)
    _differences("one run over another", found.between)
    for line in found.notes:
        note(line)


def _measured(measurements: Sequence[Measurement]) -> None:
    rows = [
        (each.name, each.role, _percent(each.numbers.get("correct")), number(each.numbers.get("total")))
        for each in measurements
    ]
    print_table(("measured", "what", "accuracy", "total"), rows)


def _differences(title: str, gains: Sequence[Gain]) -> None:
    if not gains:
        return
    show()
    rows = []
    for gain in gains:
        points = gain.metric == "correct"
        scale, form = (100.0, "{:+.1f}") if points else (1.0, "{:+.3f}")
        low, high = form.format(scale * gain.low), form.format(scale * gain.high)
        unit = "points of accuracy" if points else gain.metric
        difference = form.format(scale * gain.difference)
        rows.append((f"{gain.one} - {gain.other}", gain.role, unit, difference, f"[{low}, {high}]", str(gain.tasks)))
    print_table((title, "which is", "in", "difference", "95 %", "tasks"), rows)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"
