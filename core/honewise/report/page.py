"""Puts a report together: everything read from the store, into one page that asks for nothing outside itself."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honewise.errors import MissingExtra
from honewise.recipes.schema import Recipe
from honewise.runs import manifest
from honewise.runs.preferences import held_out, pair_counts
from honewise.runs.rows import StoredRollout
from honewise.runs.run import Run
from honewise.runs.summary import domains

from .curves import HEIGHT, WIDTH, Series, chart, stage_series
from .numbers import Measurement, headlines, latencies, measurements, unscored_reasons
from .rollouts import browser_data, chosen, embed

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["ROLLOUTS", "render", "write"]

ROLLOUTS = 10_000
"""Completions that a page holds; of a longer run, whole groups evenly spread over it."""


def write(run: Run, path: str | Path | None = None, *, rollouts: int = ROLLOUTS) -> Path:
    """Write ``report.html`` into the run's folder, or to ``path``, whole or not at all; returns where it is.

    Works on a run that is still going on. ``rollouts`` 0 puts every completion in. Raises ``MissingExtra`` without
    jinja2.
    """
    target = Path(path) if path is not None else run.path / "report.html"
    manifest.write_whole(target, render(run, rollouts=rollouts))
    return target


def render(run: Run, *, rollouts: int = ROLLOUTS) -> str:
    """The page as text."""
    every = run.store.rollouts()
    shown = chosen(every, rollouts)
    evaluations = {evaluation.id: evaluation for evaluation in run.store.evaluations()}

    def where(row: StoredRollout) -> str:
        found = evaluations.get(row.evaluation) if row.evaluation is not None else None
        return f"{row.stage}: {found.name}" if found is not None else row.stage

    places: dict[str, list[StoredRollout]] = {}
    measured: dict[int, list[StoredRollout]] = {}
    for row in every:
        places.setdefault(where(row), []).append(row)
        if row.evaluation is not None:
            measured.setdefault(row.evaluation, []).append(row)
    style, script = _part("style.css"), _part("script.js")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            name=run.name,
            state=run.store.fact("state") or "running",
            recipe=run.recipe,
            recipe_text=(run.path / "recipe.yaml").read_text("utf-8"),
            policy=_policy(run.recipe),
            facts=manifest.read(run.path),
            stages=run.store.stages(),
            evaluations=_evaluations(run, measured),
            curves=_curves(run, every),
            pairs=pair_counts(run.store),
            judged=held_out(run.store),
            reasons=unscored_reasons(places),
            latencies=latencies(every),
            total=len(every),
            shown=len(shown),
            data=embed(browser_data(shown, where)),
            style=style,
            script=script,
            policy_hashes=(_hash(style), _hash(script)),
            width=WIDTH,
            height=HEIGHT,
        )
    )


def _evaluations(run: Run, measured: Mapping[int, Sequence[StoredRollout]]) -> list[dict[str, Any]]:
    made = []
    for state in run.store.stages():
        if state.kind != "evaluate" or not run.store.evaluations(state.stage):
            continue
        rows = measurements(run.store, state.stage, measured)
        names = dict.fromkeys(name for row in rows for name in row.evaluation.metrics)
        made.append(
            {
                "stage": state.stage,
                "headlines": headlines(run.store, state.stage),
                "rows": rows,
                "rewards": [name for name in names if name.startswith("reward/")],
                "metrics": [name for name in names if name.startswith("metric/")],
                "domains": domains(run.store, state.stage),
                "comparisons": run.store.comparisons(state.stage),
                "plot": _plot(rows),
            }
        )
    return made


def _plot(rows: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Where each measurement stands between 0 and 100."""
    return [
        {
            "row": row,
            "at": round(100 * row.correct, 2),
            "low": round(100 * (row.low if row.low is not None else row.correct), 2),
            "high": round(100 * (row.high if row.high is not None else row.correct), 2),
        }
        for row in rows
        if row.correct is not None
    ]


def _curves(run: Run, rollouts: Sequence[StoredRollout]) -> list[dict[str, Any]]:
    made = []
    for state in run.store.stages():
        own = [row for row in rollouts if row.stage == state.stage and row.step is not None]
        series = stage_series(run.store, state.stage, own)
        if series:
            drawn: list[tuple[Series, Any]] = [(each, chart(each)) for each in series]
            made.append(
                {
                    "state": state,
                    "open": [pair for pair in drawn if not pair[0].folded],
                    "folded": [pair for pair in drawn if pair[0].folded],
                }
            )
    return made


def _policy(recipe: Recipe) -> str:
    spec = recipe.policy
    if spec.tiny is not None:
        text = f"tiny model ({spec.tiny.layers} layers of width {spec.tiny.width})"
    else:
        text = str(spec.hub or spec.path)
    return text + (f" with LoRA of rank {spec.lora.r}" if spec.lora else "")


def _environment() -> Environment:
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ModuleNotFoundError as error:
        raise MissingExtra("a report", "honewise[train]") from error
    made = Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(number=_number, percent=_percent, points=_points, duration=_duration, bare=_bare)
    return made


def _part(name: str) -> str:
    return resources.files(__package__).joinpath("parts", name).read_text("utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if value == 0:
        text = "0"
    elif size < 1e-3 or size >= 1e5:
        text = f"{size:.2e}"
    else:
        text = f"{size:.3f}" if size < 100 else f"{size:.0f}"
    return f"−{text}" if value < 0 else text


def _percent(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min {seconds % 60:.0f} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _bare(name: str) -> str:
    """A metric's name without its kind."""
    return name.partition("/")[2] or name
