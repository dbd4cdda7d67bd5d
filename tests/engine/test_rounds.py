"""Rounds of preference optimisation: pairs of the policy as it is, tasks in turn, an end where nothing is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
from preference_world import rounds

from honewise.contracts import Completion, Domain
from honewise.engine.rounds import train_rounds
from honewise.errors import UserError
from honewise.models.sampling import derive_seed, sample
from honewise.progress import Silent
from honewise.scoring.preferences import read_pairs

ROUNDS = {"count": 3, "prompts": 3, "samples": 4, "sampled_at_once": 8}


def run(folder: Path, of: Domain | None = None, **changes: Any) -> tuple[Any, Any, list[str]]:
    notes: list[str] = []

    class Notes(Silent):
        def note(self, line: str) -> None:
            notes.append(line)

    ctx, policy = world.context(folder, "dpo", progress=Notes()), world.policy()
    torch.set_num_threads(1)
    with world.scorer(of) as judge:
        made = rounds(ctx, judge, rounds=ROUNDS, trainer={"learning_rate": 1e-2}, **changes)
        trained = train_rounds(made, policy)
    return ctx, trained, notes


def test_pairs_are_of_the_policy_as_it_is_now(tmp_path: Path) -> None:
    """The first round's completions are those that the untrained policy writes with the round's seed."""
    ctx, trained, _ = run(tmp_path)
    assert trained.steps == 6
    tasks = {task.id: task for task in world.tasks()}
    stored = [ctx.store.rollouts("dpo", step) for step in (1, 2)]
    order = list(dict.fromkeys(row.task_id for rows in stored for row in rows))
    draw = derive_seed(ctx.seed, "round", 0)
    first = sample(
        world.policy(), [tasks[i].prompt for i in order[:2]], samples=4, max_new_tokens=12, batch=8,
        seed=derive_seed(draw, "chunk", 0),
    )  # fmt: skip
    assert [row.scored.completion.text for row in stored[0]] == [one.text for group in first for one in group]
    later = [row.scored.completion.text for row in ctx.store.rollouts("dpo", 5)]
    assert not set(later) & {row.scored.completion.text for row in stored[0]}


def test_every_task_once_before_any_again(tmp_path: Path) -> None:
    with world.scorer() as judge:
        made = rounds(world.context(tmp_path, "dpo"), judge, rounds={**ROUNDS, "count": 9})
        sequence = [task.id for number in range(8) for task in made.tasks_of(number)]
        assert len(sequence) == 24
        for epoch in range(3):
            assert sorted(sequence[8 * epoch : 8 * epoch + 8]) == sorted(task.id for task in world.tasks())
        assert sequence[:8] != sequence[8:16]
        assert [made.stored_step(step) for step in (1, 2, 3, 4, 5)] == [3, 4, 7, 8, 11]
        assert [made.kept_after(step) for step in (0, 1, 2, 3, 4)] == [2, 3, 6, 7, 10]


class Fading:
    """A reward that tells completions apart for so many calls."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def domain(self) -> Domain:
        def fading(completion: Completion) -> float:
            self.calls -= 1
            return len(set(completion.text)) / 32 if self.calls >= 0 else 0.5

        return world.domain({"fading": fading}, {"fading": 1.0})


def test_it_ends_where_a_later_round_makes_no_pair(tmp_path: Path) -> None:
    ctx, trained, notes = run(tmp_path, Fading(12).domain())
    assert trained.steps == 2
    assert "loss" in trained.metrics
    assert notes == [
        "dpo: no pair came out of round 2: 3 of 3 tasks: all their completions score the same; training ends here"
    ]
    assert (ctx.folder / "checkpoint-2").is_dir()
    assert len(read_pairs(ctx.folder / "round-1" / "pairs.jsonl")) == ctx.store.metrics("dpo")[2]["pairs"]


def test_a_first_round_without_a_pair_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pair came out of round 1: 3 of 3 tasks: all their completions"):
        run(tmp_path, Fading(0).domain())
