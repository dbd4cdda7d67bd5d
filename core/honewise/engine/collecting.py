"""Completions of a policy, sampled, scored and stored chunk by chunk, so that a killed run has lost one chunk at most.

A chunk is one step of its stage in the store: its completions with their scores, and their means, in one transaction.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from honewise.clients import judge_numbers
from honewise.contracts import Rubric, Scored, Task
from honewise.errors import BudgetExceeded
from honewise.models.policy import Policy, quiet
from honewise.models.sampling import derive_seed, sample
from honewise.models.text import prompt_ids, prompt_text
from honewise.runs.processes import Place
from honewise.runs.rows import RolloutRow, StoredRollout
from honewise.runs.run import StageContext
from honewise.scoring import Row

from .processes import agree, everyones_calls, gather, share, together, wait
from .setup import Scores

__all__ = ["Draw", "chunks_of", "collect", "fitting", "numbered", "score_chunks", "scored_numbers"]

_SHOWN = ("reward", "unscored", "judge/calls", "judge/cost")


@dataclass(frozen=True, slots=True)
class Draw:
    """How completions are sampled."""

    samples: int
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 256
    at_once: int = 64
    """Completions in a chunk."""
    seed: int = 0


def fitting(ctx: StageContext, policy: Policy, tasks: Sequence[Task], longest: int) -> list[Task]:
    """The tasks whose prompt leaves room for a completion; that others are left out, or have little room, is said."""
    context = policy.context
    if context is None:
        return list(tasks)
    with quiet():
        lengths = [len(prompt_ids(policy.tokenizer, task.prompt)) for task in tasks]
    kept = [task for task, length in zip(tasks, lengths, strict=True) if length < context]
    if len(kept) < len(tasks):
        over = len(tasks) - len(kept)
        ctx.progress.note(
            f"{over} of {len(tasks)} prompts fill the model's context of {context} tokens and are left out"
        )
    tight = sum(length < context < length + longest for length in lengths)
    if tight:
        ctx.progress.note(
            f"{tight} of {len(tasks)} prompts leave less than {longest} tokens of the model's context of {context}"
        )
    return kept


def chunks_of(tasks: int, draw: Draw) -> int:
    """Chunks, and so steps in the store, that so many tasks make."""
    return math.ceil(tasks / _tasks_at_once(draw))


def collect(
    ctx: StageContext,
    policy: Policy,
    tasks: Sequence[Task],
    scorer: Scores,
    draw: Draw,
    *,
    first_step: int = 1,
    weights_at: int = 0,
    max_unscored: float = 1.0,
    stop: Callable[[], bool] = lambda: False,
) -> list[StoredRollout]:
    """Completions of ``tasks``, from the store where they are there already; the caller has started the progress.

    Chunks are the steps ``first_step``, ``first_step`` + 1 ... of the stage. ``weights_at`` is the step that the
    rubric's schedules are asked for. ``stop`` is asked after each chunk; where it says so, ``KeyboardInterrupt`` is
    raised. Raises ``BudgetExceeded`` before a chunk of which too much is unscored is stored, or one for which the judge
    had no budget; what the judge was asked is kept.
    """
    size = _tasks_at_once(draw)

    def make(number: int, part: Sequence[Task]) -> tuple[list[Row], list[str]]:
        mine = range(ctx.place.rank, len(part), ctx.place.count)
        drawn = sample(
            policy,
            [part[i].prompt for i in mine],
            samples=draw.samples,
            temperature=draw.temperature,
            top_p=draw.top_p,
            max_new_tokens=draw.max_new_tokens,
            batch=draw.at_once,
            seed=derive_seed(draw.seed, "chunk", number),
            places=mine,
        )
        rows = [
            Row(part[group], one.text, one.tokens, one.truncated, group)
            for group, group_of in zip(mine, drawn, strict=True)
            for one in group_of
        ]
        return rows, [prompt_text(policy.tokenizer, task.prompt) for task in part]

    parts = [tasks[start : start + size] for start in range(0, len(tasks), size)]
    makers = [lambda number=number, part=part: make(number, part) for number, part in enumerate(parts)]
    return score_chunks(
        ctx, makers, scorer, first_step=first_step, weights_at=weights_at, max_unscored=max_unscored, stop=stop
    )


def score_chunks(
    ctx: StageContext,
    makers: Sequence[Callable[[], tuple[list[Row], list[str]]]],
    scorer: Scores,
    *,
    first_step: int,
    weights_at: int = 0,
    max_unscored: float = 1.0,
    stop: Callable[[], bool] = lambda: False,
) -> list[StoredRollout]:
    """As ``collect``, of rows that ``makers`` make, with the texts of all groups' prompts; asked only for chunks that
    are not stored. Of several processes each makes and scores the rows of its share of groups; all get the whole."""
    there = set(share(ctx.store.steps(ctx.stage)))
    for number, make in enumerate(makers):
        step = first_step + number
        if step in there:
            ctx.progress.advance(len(ctx.store.rollouts(ctx.stage, step)))
            continue
        began = time.perf_counter()
        try:
            rows, prompts = together(make)
            sampled = time.perf_counter()
            mine = together(lambda rows=rows: scorer.score(rows, step=weights_at))  # type: ignore[misc]
        except Exception:
            ctx.store.write_calls(ctx.stage, step, everyones_calls(scorer))  # paid for, whatever came of them
            raise
        except BaseException:
            ctx.store.write_calls(ctx.stage, step, scorer.take_calls())
            raise
        made = sorted(gather(list(zip([row.group or 0 for row in rows], mine, strict=True))), key=lambda one: one[0])
        scored, calls = [one for _, one in made], everyones_calls(scorer)
        try:
            together(lambda scored=scored: scorer.check_budget(scored, max_unscored))  # type: ignore[misc]
        except BudgetExceeded:
            ctx.store.write_calls(ctx.stage, step, calls)
            raise
        numbers = {**scored_numbers(scored, scorer.rubric), **judge_numbers(calls)}
        numbers |= {"seconds/rollouts": sampled - began, "seconds/scoring": time.perf_counter() - sampled}
        counts: dict[int, int] = {}
        stored = []
        for group, one in made:
            counts[group] = counts.get(group, -1) + 1
            stored.append(RolloutRow(one, prompts[group], group, counts[group]))
        ctx.store.write_step(ctx.stage, step, numbers, stored, calls)
        ctx.progress.advance(len(scored), **{name: value for name, value in numbers.items() if _shown(name)})
        if agree(stop()):
            raise KeyboardInterrupt
    wait()  # for the first process to have written
    return [row for number in range(len(makers)) for row in ctx.store.rollouts(ctx.stage, first_step + number)]


def numbered(rows: Sequence[Row], place: Place) -> tuple[list[Row], list[str]]:
    """This process's share of rows of a file, as a chunk: numbered by task, without the text of a prompt, which no
    model has read."""
    numbers: dict[str, int] = {}
    for row in rows:
        numbers.setdefault(row.task.id, len(numbers))
    grouped = [replace(row, group=numbers[row.task.id]) for row in rows]
    return [row for row in grouped if (row.group or 0) % place.count == place.rank], [""] * len(numbers)


def scored_numbers(scored: Sequence[Scored], rubric: Rubric) -> dict[str, float]:
    """Means over completions, under the names that ``rl`` has for them; what nobody scored is left out."""
    count = len(scored)
    numbers = {
        "completions/mean_length": sum(one.completion.tokens for one in scored) / count,
        "completions/clipped_ratio": sum(one.completion.truncated for one in scored) / count,
    }
    if rubric.terms:
        numbers["unscored"] = sum(one.total is None for one in scored) / count
    _mean(numbers, "reward", [one.total for one in scored])
    _mean(numbers, "correct", [None if one.correct is None else float(one.correct) for one in scored])
    for name in rubric.terms:
        values = [one.rewards[name].value for one in scored if name in one.rewards]
        _mean(numbers, f"rewards/{name}/mean", values)
        if any(value is None for value in values):
            numbers[f"unscored/{name}"] = sum(value is None for value in values) / count
    return numbers


def _mean(numbers: dict[str, float], name: str, values: Sequence[float | None]) -> None:
    known = [value for value in values if value is not None]
    if known:
        numbers[name] = math.fsum(known) / len(known)


def _shown(name: str) -> bool:
    return name in _SHOWN or (name.startswith("rewards/") and name.endswith("/mean"))


def _tasks_at_once(draw: Draw) -> int:
    return max(1, draw.at_once // draw.samples)
