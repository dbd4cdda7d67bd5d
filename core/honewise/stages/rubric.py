"""From a recipe's ``domain:`` and ``rubric:`` to the scorer of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from honewise.contracts import Domain, Judge, Reward, Scored
from honewise.errors import UserError
from honewise.host import PluginHost
from honewise.progress import Progress, Silent
from honewise.recipes.schema import RubricSpec
from honewise.scoring import Row, Scorer, apply_rubric_spec, reasons, reward_files
from honewise.scoring.scorer import chosen

__all__ = ["MOST_REASONS", "make_scorer"]

MOST_REASONS = 20
"""Lines said about what is unscored, in one run."""


def make_scorer(
    use: str | Domain,
    options: Mapping[str, Any],
    spec: RubricSpec,
    *,
    host: PluginHost,
    judge: Judge | None = None,
    progress: Progress | None = None,
    seed: int = 0,
    models: Mapping[str, Reward] | None = None,
    without: Collection[str] = (),
) -> Scorer:
    """A scorer by the recipe's rubric, its workers not yet started. ``models`` are the rubric's rewards that are
    models; ``without`` leaves some rewards out. Raises ``UserError`` on what does not fit."""
    domain = host.domain(use, **options) if isinstance(use, str) else use
    changes: dict[str, Any] = {name: change for name, change in spec.rewards.items() if name not in without}
    changes |= dict.fromkeys(each for each in without if each in chosen(domain, spec.preset).terms)
    given = {name: model for name, model in (models or {}).items() if name not in without}
    if spec.correct in given:
        raise UserError(f"correct: {spec.correct!r} is a reward model, which gives a number and no verdict")
    rubric = apply_rubric_spec(
        domain, spec.preset, changes, correct=spec.correct, cap_wrong=spec.cap_wrong, host=host, others=given
    )
    files = reward_files(changes)
    notes = _Notes(progress or Silent())
    return _TellingScorer(
        use,
        options,
        rubric=rubric,
        rewards=given,
        reward_files=files,
        judge=judge,
        host=host,
        progress=notes,
        seed=seed,
    )


class _Notes(Silent):
    """Passes notes on and keeps quiet about the rest: the stage that asks for scores has a bar of its own."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def note(self, line: str) -> None:
        self._progress.note(line)


class _TellingScorer(Scorer):
    """Says why something is unscored, each reason once."""

    _told: frozenset[str] = frozenset()

    def score(self, rows: Sequence[Row], *, step: int = 0) -> list[Scored]:
        scored = super().score(rows, step=step)
        for reason, count in reasons(scored):
            if reason not in self._told and len(self._told) < MOST_REASONS:
                self._told |= {reason}
                last = "; further reasons are in the report" if len(self._told) == MOST_REASONS else ""
                self._progress.note(f"unscored: {count} of {len(rows)} completions: {reason}{last}")
        return scored
