"""``honewise score``: what completions are worth, reward by reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from honewise.contracts import Domain, Scored
from honewise.errors import UserError
from honewise.metrics import metric_numbers, summary
from honewise.scoring import RewardStats, Scorer, read_completions, reasons, to_json, write_lines

from .data_options import (
    DataPath,
    DomainName,
    Format,
    JudgeFile,
    Options,
    Split,
    can_be_written,
    judging,
    note_judge,
    open_domain,
    open_tasks,
)
from .terminal import TerminalProgress, json_line, note, number, print_json, print_table, show

__all__ = ["attach"]

_REASONS = 10


def attach(app: typer.Typer) -> None:
    app.command()(score)


def score(
    domain: DomainName,
    completions: Annotated[
        str,
        typer.Option("--completions", help='A file of lines {"task_id": ..., "completion": ...}.', show_default=False),
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", help="The file to write, a line per completion; - is standard output.", show_default=False
        ),
    ],
    data: DataPath = None,
    format: Format = None,
    rubric: Annotated[
        str | None, typer.Option("--rubric", help="A preset of the domain. Left out: its first.", show_default=False)
    ] = None,
    split: Split = "held-out",
    option: Options = None,
    judge: JudgeFile = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes. Left out: one per core.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> None:
    """Score completions with a domain's rewards; no model and no torch are needed.

    Each line of the output holds task_id, completion, total, correct and rewards: for each its value, weight, spans
    (start, end, value, label), parts and feedback, or in unscored the reason why there is no value.

    Example: honewise score text-to-sql --data spider --completions mine.jsonl --out scored.jsonl
    """
    if out == "-" and as_json:
        raise UserError("--json writes the summary to standard output; give --out a file")
    if out != "-":
        can_be_written(out, completions=completions, data=data, judge=judge)
    opened = open_domain(domain, option)
    found = open_tasks(opened, data, format, split)
    read = read_completions(completions, found.tasks)
    for line in read.notes:
        note(line)
    progress = TerminalProgress()
    with (
        judging(judge) as asked,
        Scorer(opened.name, opened.options, rubric=rubric, judge=asked, workers=workers, progress=progress) as scorer,
    ):
        scored = scorer.score(read.rows)
        stats, calls = scorer.stats(), scorer.take_calls()
    lines = [json_line(to_json(row)) for row in scored]
    if out == "-":
        for line in lines:
            show(line)
    else:
        write_lines(out, lines)
    for reason, count in reasons(scored)[:_REASONS]:
        note(f"unscored: {count} x {reason}")
    numbers, asked_numbers = _numbers(opened.domain, scored), note_judge(calls)
    if as_json:
        told = {"metrics": numbers, **({"judge": asked_numbers} if asked_numbers else {})}
        print_json({**_report(scored, stats), **told, "source": found.source, "format": found.format, "out": out})
    elif out != "-":
        _show(scored, stats, numbers)
        note(f"{len(scored)} completions scored: {out}")


def _numbers(domain: Domain, scored: Sequence[Scored]) -> dict[str, float]:
    """The domain's own metrics; one that cannot be computed is said and left out."""
    numbers: dict[str, float] = {}
    for name, metric in domain.metrics.items():
        try:
            numbers.update(metric_numbers(name, metric, scored))
        except Exception as error:
            note(f"metric {name}: cannot be computed ({type(error).__name__}: {error})")
    return numbers


def _show(scored: Sequence[Scored], stats: Mapping[str, RewardStats], numbers: Mapping[str, float]) -> None:
    rows = []
    for name, mean in summary(scored).items():
        reward = stats.get(name.removeprefix("reward ")) if name.startswith("reward ") else None
        rows.append(
            (
                name,
                number(mean.value),
                f"{mean.scored} of {mean.of}",
                "" if reward is None or not reward.gated else reward.gated,
                "" if reward is None or not reward.calls else f"{reward.p50 * 1e3:.1f} / {reward.p95 * 1e3:.1f}",
            )
        )
    print_table(("", "mean", "scored", "gated", "ms p50 / p95"), rows)
    if numbers:
        show()
        print_table(("metric", "value"), [(name, number(value)) for name, value in numbers.items()])


def _report(scored: Sequence[Scored], stats: Mapping[str, RewardStats]) -> dict[str, Any]:
    means = {name: {"mean": mean.value, "scored": mean.scored, "of": mean.of} for name, mean in summary(scored).items()}
    return {
        "completions": len(scored),
        "tasks": len({row.task.id for row in scored}),
        "correct": means["correct"],
        "total": means["total"],
        "rewards": {
            name: {
                **means[f"reward {name}"],
                "calls": each.calls,
                "gated": each.gated,
                "unscored": dict(each.unscored),
                "seconds": each.seconds,
            }
            for name, each in stats.items()
            if f"reward {name}" in means
        },
    }
