"""What a model wrote, to be learnt from: answers as they come, or those of several that the rubric's total favours."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from honewise.clients import CallRecord
from honewise.contracts import Completion, Rubric, Scored, Task
from honewise.errors import UserError
from honewise.recipes.schema import BASE, PairsStage, PersonasStage, PolicySpec, ReviseStage, SftStage
from honewise.runs.run import StageContext
from honewise.scoring import Row
from honewise.scoring.pairs import Candidate, PairRule, candidate
from honewise.scoring.preferences import read_preferences

from .judging import lent
from .revise import revised
from .workbench import Workbench, rl_tasks

if TYPE_CHECKING:
    from honewise.engine.trainer import Scores
    from honewise.models.policy import Policy

__all__ = ["SAMPLES", "Shown", "Unjudged", "written"]

SAMPLES = 8
"""Completions of each task, of which the best is shown."""

_AT_ONCE = 64


class Unjudged:
    """Takes the place of a scorer where completions are shown as they come, and nobody is asked."""

    rubric = Rubric({})

    def score(self, rows: Sequence[Row], *, step: int = 0) -> list[Scored]:  # noqa: ARG002
        return [Scored(row.task, Completion(row.text, None, {}, row.tokens, row.truncated), {}) for row in rows]

    def take_calls(self) -> list[CallRecord]:
        return []

    def charge(self, calls: Sequence[CallRecord]) -> None:
        pass

    def check_budget(self, scored: Sequence[Scored], max_unscored: float) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Shown:
    """What an ``sft`` stage shows, and how it came by it."""

    pairs: list[tuple[Task, str]]
    after: int = 0
    """Steps of the store that its making took."""
    levels: tuple[int, ...] = ()
    """For each pair, how many of the rising thresholds it reaches; empty where there are none."""

    @property
    def phases(self) -> int:
        """Thresholds that something reaches; without thresholds one."""
        return max(self.levels, default=1)


def written(bench: Workbench, stage: SftStage, ctx: StageContext) -> Shown:
    """What an ``sft`` stage shows that does not show gold.

    What was sampled before is not sampled again. Completions that were cut off have no end to be learnt, and are left
    out. Raises ``UserError`` where nothing is left.
    """
    tasks = rl_tasks(bench.materials)[: stage.demonstrations]
    scorer: Scores = bench.scorer if stage.on != "answers" else Unjudged()
    of = stage.of or bench.source_of(ctx.stage)
    if isinstance(bench.recipe.stages.get(of), PersonasStage):  # tasks of its own
        found, steps = [candidate(row.scored, PairRule()) for row in ctx.store.rollouts(of)], 0
        tasks = list({each.task.id: each.task for each in found}.values())[: stage.demonstrations]
        found = [each for each in found if each.task.id in {task.id for task in tasks}]
    elif isinstance(bench.recipe.stages.get(of), PairsStage):
        wanted = {task.id for task in tasks}
        stored = [row for row in ctx.store.rollouts(of) if row.task_id in wanted]
        found, steps = [candidate(row.scored, PairRule()) for row in stored], 0
    elif isinstance(bench.recipe.stages.get(of), ReviseStage):
        known = {task.id: task for task in tasks}
        made = [(known[task_id], text) for task_id, text in revised(bench, of) if task_id in known]
        found, steps = [Candidate(task, text, None) for task, text in made], 0
    elif Path(of).is_file():
        found, steps = _from_file(bench, ctx, of, tasks, scorer)
    else:
        found, steps = _sampled(bench, stage, ctx, of, tasks, scorer)
    shown, levels = _above(found, stage) if stage.on == "above" else (_chosen(found, stage), ())
    if not shown:
        cut = sum(each.truncated for each in found)
        raise UserError(f"nothing to show: of {len(found)} completions {cut} were cut off, and no other is good enough")
    tasks_shown = len({id(task) for task, _ in shown})
    ctx.progress.note(f"{ctx.stage}: {len(shown)} completions of {tasks_shown} of {len(tasks)} tasks are shown")
    _say_levels(ctx, stage, levels)
    return Shown(shown, steps, levels)


def _say_levels(ctx: StageContext, stage: SftStage, levels: Sequence[int]) -> None:
    """How many completions reach each of several thresholds; those that none reaches have no steps."""
    if not isinstance(stage.least, list):
        return
    counts = [sum(level > place for level in levels) for place in range(len(stage.least))]
    told = ", ".join(f"{count} from {least:g} on" for count, least in zip(counts, stage.least, strict=True))
    idle = counts.count(0)
    rest = f"; nothing is left for {idle} of {len(counts)} thresholds, which have no steps" if idle else ""
    ctx.progress.note(f"{ctx.stage}: {told}{rest}")


def _sampled(
    bench: Workbench, stage: SftStage, ctx: StageContext, of: str, tasks: Sequence[Task], scorer: Scores
) -> tuple[list[Candidate], int]:
    from honewise.engine.collecting import Draw, chunks_of, collect, fitting

    best = stage.on != "answers"
    temperature = stage.temperature if stage.temperature is not None else 1.0 if best else 0.0
    samples = stage.n or (SAMPLES if best else 1)
    draw = Draw(
        samples if temperature > 0 else 1,
        temperature,
        max_new_tokens=stage.max_new_tokens or bench.completion_length(ctx.stage),
        at_once=_AT_ONCE,
        seed=ctx.seed,
    )
    author = _author(bench, of)
    kept = fitting(ctx, author, tasks, draw.max_new_tokens)
    ctx.progress.start(f"{ctx.stage}: completions of {of}", len(kept) * draw.samples)
    with lent(bench.judge, author):
        rows = collect(ctx, author, kept, scorer, draw, max_unscored=bench.recipe.rubric.max_unscored if best else 1.0)
    ctx.progress.done()
    return [candidate(row.scored, PairRule()) for row in rows], chunks_of(len(kept), draw)


def _author(bench: Workbench, of: str) -> Policy:
    """The policy of a stage, or any other model."""
    if of == BASE or of in bench.recipe.stages:
        return bench.policy(of)
    from honewise.models.policy import load_policy

    spec = PolicySpec(path=of) if Path(of).is_dir() else PolicySpec(hub=of)
    return load_policy(spec, device=bench.device)


def _from_file(
    bench: Workbench, ctx: StageContext, of: str, tasks: Sequence[Task], scorer: Scores
) -> tuple[list[Candidate], int]:
    from honewise.engine.collecting import numbered, score_chunks

    read = read_preferences(of, bench.materials.train, source=Path(of).stem)
    if read.pairs:
        raise UserError(f"of: {of} holds pairs; a file of completions is needed")
    wanted = {task.id for task in tasks}
    found = [made for made, _, _ in read.scored if made.task.id in wanted]
    rows = [row for row, _, _ in read.open if row.task.id in wanted]
    parts = [rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)]
    makers = [lambda part=part: numbered(part, ctx.place) for part in parts]
    if parts:
        ctx.progress.start(f"{ctx.stage}: completions of {of}", len(rows))
        with lent(bench.judge, lambda: bench.policy(bench.source_of(ctx.stage))):
            stored = score_chunks(ctx, makers, scorer, first_step=1, max_unscored=bench.recipe.rubric.max_unscored)
        ctx.progress.done()
        found += [candidate(row.scored, PairRule()) for row in stored]
    return found, len(parts)


def _chosen(found: Sequence[Candidate], stage: SftStage) -> list[tuple[Task, str]]:
    """The best of each task, the first of equal ones; or all different answers, in their order."""
    groups: dict[str, list[Candidate]] = {}
    for each in found:
        if not each.truncated:
            groups.setdefault(each.task.id, []).append(each)
    shown: list[tuple[Task, str]] = []
    for group in groups.values():
        if stage.on == "answers":
            shown += [(group[0].task, text) for text in dict.fromkeys(each.text for each in group)]
            continue
        scored = [each for each in group if each.score is not None]
        best = max(scored, key=_score, default=None)
        if best is not None and (not isinstance(stage.least, float | int) or _score(best) >= stage.least):
            shown.append((best.task, best.text))
    return shown


def _above(found: Sequence[Candidate], stage: SftStage) -> tuple[list[tuple[Task, str]], tuple[int, ...]]:
    """Every different completion from the lowest threshold on, the best of each task first, in the order of tasks; and
    how many thresholds each reaches."""
    least = stage.least if isinstance(stage.least, list) else [stage.least or 0.0]
    groups: dict[str, dict[str, Candidate]] = {}
    for each in found:
        if not each.truncated and _score(each) >= least[0]:
            groups.setdefault(each.task.id, {}).setdefault(each.text, each)
    kept = [
        each for group in groups.values() for each in sorted(group.values(), key=_score, reverse=True)[: stage.per_task]
    ]
    return [(each.task, each.text) for each in kept], tuple(bisect_right(least, _score(each)) for each in kept)


def _score(each: Candidate) -> float:
    return -math.inf if each.score is None else each.score
