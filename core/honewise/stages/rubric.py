"""From a recipe's ``domain:`` and ``rubric:`` to the scorer of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from honewise.contracts import Domain, Judge, Reward, Scored
from honewise.errors import UserError
from honewise.host import PluginHost
from honewise.progress import Progress, Silent
from honewise.recipes.domains import PartRubricSpec
from honewise.recipes.schema import Recipe
from honewise.scoring import AnyScorer, MixedScorer, Row, Scorer, apply_rubric_spec, reasons, reward_files
from honewise.scoring.loop import Loop
from honewise.scoring.scorer import chosen
from honewise.scoring.surroundings import cores

__all__ = ["MOST_REASONS", "make_scorer", "recipe_scorer"]

MOST_REASONS = 20
"""Lines said about what is unscored, in one run."""


def make_scorer(
    use: str | Domain,
    options: Mapping[str, Any],
    spec: PartRubricSpec,
    *,
    host: PluginHost,
    judge: Judge | None = None,
    progress: Progress | None = None,
    seed: int = 0,
    models: Mapping[str, Reward] | None = None,
    without: Collection[str] = (),
    loop: Loop | None = None,
    workers: int | None = None,
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
        loop=loop,
        workers=workers,
    )


def recipe_scorer(
    recipe: Recipe,
    *,
    host: PluginHost,
    judge: Judge | None = None,
    progress: Progress | None = None,
    models: Mapping[str, Reward] | None = None,
    without: Collection[str] = (),
) -> AnyScorer:
    """The scorer of a run. Where it has several domains, ``models`` and ``without`` say ``DOMAIN/NAME``; cores are
    shared out to their workers. Raises ``UserError`` on what does not fit."""
    works = recipe.works
    if recipe.domains is None:
        work = works[""]
        return make_scorer(
            work.use, work.options, work.rubric, host=host, judge=judge, progress=progress, seed=recipe.seed,
            models=models, without=without,
        )  # fmt: skip
    loop, workers = Loop(judge), max(1, -(-cores() // len(works)))
    made: dict[str, Scorer] = {}
    for name, work in works.items():
        try:
            made[name] = make_scorer(
                work.use, work.options, work.rubric, host=host, judge=judge, progress=progress, seed=recipe.seed,
                models=_of(name, models or {}), without=list(_of(name, dict.fromkeys(without))), loop=loop,
                workers=workers,
            )  # fmt: skip
        except UserError as error:
            raise UserError(f"domains.{name}: {error}") from error
    return MixedScorer(made)


def _of(domain: str, named: Mapping[str, Any]) -> dict[str, Any]:
    """What is of one domain, by its own names."""
    parts = {name.partition("/")[::2]: value for name, value in named.items()}
    return {own: value for (owner, own), value in parts.items() if owner == domain}


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
