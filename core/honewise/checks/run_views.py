"""What a judge believes of completions against what a verifier knows: inflation and overjustification."""

from __future__ import annotations

from collections.abc import Sequence

from honewise.metrics import fit_scale, views

from .run_sides import Change, Found, Group, RunSettings, Sides, change_of

__all__ = ["put_views"]

Seen = tuple[float, float]
"""What the judge gave, and what the verifier says."""


def put_views(sides: Sides, judge: str, settings: RunSettings, found: Found) -> None:
    """Add what ``judge`` believes too much and too little, on the verifier's scale, before and after.

    The scale is the straight line that fits the verifier's values best on the side before. Both sides must answer the
    same tasks; only completions that both judge and verifier have seen count.
    """
    names = [f"judge/{judge}/{part}" for part in ("over", "under", "observed", "true")]
    scale, why = None, "measured on evaluations only, where both policies answer the same tasks"
    if sides.paired:
        seen = [pair for group in sides.before for pair in _seen(group, judge)]
        scale = fit_scale([one for one, _ in seen], [other for _, other in seen])
        why = "the judge and the verifier have not both seen completions with different scores, before"
        if scale is not None and scale.slope <= 0:
            scale, why = None, "the judge's scores did not rise with the verifier's before: they have no common scale"
    if scale is None:
        found.missing.update(dict.fromkeys(names, why))
        return
    line = scale

    def part(name: str) -> Change | None:
        def item(group: Group) -> list[Seen] | None:
            return [(line(one), other) for one, other in _seen(group, judge)] or None

        def statistic(items: Sequence[Sequence[Seen]]) -> float | None:
            flat = [pair for each in items for pair in each]
            both = views([one for one, _ in flat], [other for _, other in flat])
            return None if both is None else float(getattr(both, name))

        return change_of(sides, item, statistic, settings)

    for name in names:
        change = part(name.rpartition("/")[2])
        if change is None:
            found.missing[name] = "no task has completions that both judge and verifier have seen, before and after"
        else:
            found.numbers[name] = change


def _seen(group: Group, judge: str) -> list[Seen]:
    found = []
    for row in group:
        cell = row.scored.rewards.get(judge)
        if cell is not None and cell.value is not None and not cell.gated and row.scored.correct is not None:
            found.append((cell.value, float(row.scored.correct)))
    return found
