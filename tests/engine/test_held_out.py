"""Ending by held-out tasks: when, with which policy, and without a trace in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch

from honewise.engine.held_out import BEST_FILE, HeldOut, Look
from honewise.errors import UserError
from honewise.models.policy import quiet
from honewise.models.sampling import sample
from honewise.recipes.policy_gradient import StopSpec
from honewise.recipes.schema import LoraSpec


@pytest.fixture(autouse=True)
def _calm() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with quiet():
        yield
    torch.set_num_threads(before)


def learn(folder: Path, values: Sequence[float], *, lora: bool = False, **stage: Any) -> Any:
    """Train with looks that find ``values``; what each look saw, the weights at the end, and the store."""
    policy = world.policy(lora=LoraSpec(r=4, alpha=8) if lora else None)
    seen: dict[int, dict[str, torch.Tensor]] = {}

    def look(step: int) -> Look:
        drawn = sample(policy, [task.prompt for task in world.tasks(2)], samples=2, max_new_tokens=4, seed=step)
        assert len(drawn) == 2
        seen[step] = {name: value for name, value in world.weights(policy.model).items() if ".ref." not in name}
        return Look({"total": values[len(seen) - 1], "correct": 0.5})

    ctx = world.context(folder)
    with world.scorer() as judge:
        trained = world.train_rl(
            ctx, world.rl_stage(**stage), policy, world.tasks(), judge, world.DENSE_RETURN, look=look
        )
    return trained, seen, world.weights(policy.model), ctx.store


@pytest.mark.parametrize("lora", [False, True])
def test_ends_after_patience_and_keeps_the_best(lora: bool, tmp_path: Path) -> None:
    stop = {"every": 1, "patience": 2, "delta": 0.1}
    trained, seen, weights, store = learn(tmp_path, [1.0, 2.0, 2.05, 1.5, 9.0], lora=lora, steps=8, stop=stop)
    assert trained.steps == 4
    assert list(seen) == [1, 2, 3, 4]
    assert all(torch.equal(weights[name], value) for name, value in seen[2].items())
    assert any(not torch.equal(weights[name], value) for name, value in seen[4].items())
    assert [store.metrics("rl")[step]["held_out/total"] for step in range(1, 5)] == [1.0, 2.0, 2.05, 1.5]
    assert not (tmp_path / "rl" / BEST_FILE).exists()


def test_looks_where_they_are_due_and_after_the_last_step(tmp_path: Path) -> None:
    trained, seen, weights, store = learn(tmp_path, [1.0, 2.0, 3.0], steps=5, stop={"every": 2})
    assert trained.steps == 5
    assert list(seen) == [2, 4, 5]
    assert all(torch.equal(weights[name], value) for name, value in seen[5].items())
    assert ["held_out/total" in store.metrics("rl")[step] for step in range(1, 6)] == [False, True, False, True, True]


def test_looks_change_nothing_of_training(tmp_path: Path) -> None:
    with world.scorer() as judge:
        plain = world.policy()
        stage = world.rl_stage(steps=4, trainer={"beta": 0.1})
        world.train_rl(world.context(tmp_path / "plain"), stage, plain, world.tasks(), judge, world.DENSE_RETURN)
    _, seen, weights, _ = learn(
        tmp_path / "looked", [1.0, 2.0, 3.0, 4.0], steps=4, stop={"every": 1}, trainer={"beta": 0.1}
    )
    assert len(seen) == 4
    assert all(torch.equal(weights[name], value) for name, value in world.weights(plain.model).items())


def test_a_resume_knows_earlier_looks(tmp_path: Path) -> None:
    made = HeldOut(StopSpec(by="correct", patience=3), lambda step: Look({}), tmp_path)
    stored = {5: {"loss": 1.0}, 10: {"held_out/correct": 0.5}, 20: {"held_out/correct": 0.7}, 30: {"held_out/total": 9}}
    made.restore({**stored, 40: {"held_out/correct": 0.6}, 50: {"held_out/correct": 0.7}})
    assert made.best == (0.7, 20)
    assert made._seen == 2


@pytest.mark.parametrize("by", ["reward/vowel", "totals"])
def test_what_is_looked_at_must_be_there(by: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"stop.by: no .*did you mean"):
        learn(tmp_path, [], stop={"by": by})
