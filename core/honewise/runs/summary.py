"""The tables that end a run, from the store alone."""

from __future__ import annotations

from dataclasses import dataclass

from .store import Store

__all__ = ["Table", "comparisons", "domains", "is_of_domain", "results"]

_COLUMNS = {"correct": "accuracy", "any_correct": "any correct"}


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of text."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def results(store: Store, stage: str) -> Table:
    """One row for each policy and way of sampling: what share is correct, the total, each reward."""
    found = store.evaluations(stage)
    rewards = list(dict.fromkeys(name for each in found for name in each.metrics if name.startswith("reward/")))
    wanted = [name for name in ("correct", "any_correct", "total", *rewards) if any(name in e.metrics for e in found)]
    columns = ("held-out", *(_COLUMNS.get(name, name.removeprefix("reward/")) for name in wanted), "scored")
    rows = []
    for each in found:
        values = [_number(name, each.metrics.get(name)) for name in wanted]
        if each.settings.get("samples") == 1 and "any_correct" in wanted:
            values[wanted.index("any_correct")] = ""
        name = f"{each.name} (control)" if each.settings.get("control") else each.name
        rows.append((name, *values, f"{each.settings.get('scored')}/{each.settings.get('completions')}"))
    return Table(columns, rows)


def domains(store: Store, stage: str) -> Table:
    """One row for each policy, way of sampling and domain; none where there is but one domain."""
    found = store.evaluations(stage)
    keys = [name.removeprefix("domain/").split("/") for each in found for name in each.metrics if is_of_domain(name)]
    wanted = [key for key in ("correct", "any_correct", "total", "tokens") if any(key == each for _, each in keys)]
    rows = []
    for each in found:
        for domain in dict.fromkeys(domain for domain, _ in keys):
            numbers = {key: each.metrics.get(f"domain/{domain}/{key}") for key in wanted}
            if each.settings.get("samples") == 1:
                numbers["any_correct"] = None
            rows.append((each.name, domain, *(_number(key, numbers[key]) for key in wanted)))
    return Table(("held-out", "domain", *(_COLUMNS.get(key, key) for key in wanted)), rows)


def is_of_domain(metric: str) -> bool:
    """Whether a number is that of one of several domains: ``domain/NAME/...``."""
    return metric.startswith("domain/") and metric.count("/") == 2


def comparisons(store: Store, stage: str) -> Table:
    """Differences in what share is correct, in points, with their 95 % intervals; of several domains, those of each,
    too."""
    rows: list[tuple[str, ...]] = [
        (
            f"{pair.one} - {pair.other}" + (f", {pair.metric.split('/')[1]}" if is_of_domain(pair.metric) else ""),
            f"{_points(pair.difference)} [{_points(pair.low)}, {_points(pair.high)}]",
        )
        for pair in store.comparisons(stage)
        if pair.metric == "correct" or (is_of_domain(pair.metric) and pair.metric.endswith("/correct"))
    ]
    return Table(("difference", "points of accuracy [95 %]"), rows)


def _number(name: str, value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.1%}" if name in ("correct", "any_correct") else f"{value:.3f}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"
