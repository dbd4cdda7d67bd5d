"""Curricula and mixtures: which tasks a step meets."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise.contracts import Task
from honewise.engine.order import Drawing, EpochSampler
from honewise.engine.rl_setup import make_setup
from honewise.errors import UserError


def test_easy_tasks_come_first_and_all_of_them_later() -> None:
    hard = [5.0, 1.0, 4.0, 2.0, 3.0, 0.0, 7.0, 6.0]
    drawing = Drawing(hard, start=0.25, until=6)
    met = [set(drawing.draw(step, 2, 8, seed=3)) for step in range(60)]
    assert met[0] == {5, 1}, "the two easiest of eight"
    for step in range(6):
        allowed = sorted(range(8), key=hard.__getitem__)[: -(-(2 * 6 + 6 * step) // 6)]
        assert met[step] <= set(allowed), step
    assert set().union(*met[6:]) == set(range(8))


def test_kinds_are_drawn_in_proportion() -> None:
    """Twelve tasks of one kind and four of another, drawn one at a time: 1 : 3 by kind, whatever their numbers."""
    weights = [1 / 12] * 12 + [3 / 4] * 4
    drawn = Counter(Drawing(weights=weights).draw(step, 1, 16, seed=0)[0] >= 12 for step in range(4000))
    assert drawn[True] / 4000 == pytest.approx(0.75, abs=0.03)


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 30),
    data=st.data(),
    start=st.floats(0.01, 1.0),
    until=st.integers(0, 20),
    step=st.integers(0, 40),
)
def test_no_task_twice_in_a_step(count: int, data: Any, start: float, until: int, step: int) -> None:
    number = data.draw(st.integers(1, count))
    hard = data.draw(st.lists(st.floats(-5, 5), min_size=count, max_size=count))
    weights = data.draw(st.lists(st.floats(0.01, 100), min_size=count, max_size=count))
    drawing = Drawing(hard, start, until, weights)
    found = drawing.draw(step, number, count, seed=1)
    assert len(set(found)) == number
    assert set(found) <= set(range(count))
    assert found == drawing.draw(step, number, count, seed=1)


def test_the_sampler_goes_on_where_an_epoch_ends() -> None:
    def epoch(number: int) -> list[int]:
        sampler = EpochSampler(list(range(5)), mini_repeat_count=2, batch_size=2, repeat_count=3, seed=4)
        sampler.drawing = Drawing([0.0] * 5, start=0.5, until=3)
        sampler.set_epoch(number)
        found = list(sampler)
        assert len(found) == len(sampler) == 2 * 2 * 2 * 3
        return found

    met = epoch(0) + epoch(1)
    for step in range(4):
        part = met[step * 12 : (step + 1) * 12]
        assert part == part[:4] * 3
        assert part[0] == part[1] != part[2] == part[3]
        assert part[:4:2] == Drawing([0.0] * 5, 0.5, 3).draw(step, 2, 5, 4)


def graded() -> list[Task]:
    """Eight tasks, hard in the order of their numbers."""
    return [
        Task(task.id, {**task.inputs, "hard": int(task.id)}, meta={"kind": "even" if int(task.id) % 2 == 0 else "odd"},
             prompt=task.prompt)
        for task in world.tasks()
    ]  # fmt: skip


def test_training_meets_easy_tasks_first(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    ctx = world.context(tmp_path)
    stage = world.rl_stage(steps=6, prompts=2, order={"easy_first": "hard", "start": 0.25, "until": 4})
    with world.scorer() as judge:
        world.train_rl(ctx, stage, world.policy(), graded(), judge, world.DENSE_RETURN)
    met = [{int(row.scored.task.id) for row in ctx.store.rollouts("rl", step)} for step in range(1, 7)]
    assert met[0] == {0, 1}
    assert all(max(each) < size for each, size in zip(met, (2, 4, 5, 7, 8, 8), strict=True))
    assert all(len(each) == 2 for each in met)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({}, "name a column"),
        ({"easy_first": "hrad"}, r"no task has 'hrad'.*did you mean 'hard'"),
        ({"easy_first": "kind"}, r"no number; list its words"),
        ({"easy_first": "kind", "ranks": ["odd"]}, "'even' of 'kind' is not among them"),
        ({"kind": "kind"}, "say one for 'even'"),
        ({"kind": "kind", "weights": {"even": 1, "odd": 2, "prime": 1}}, "no task has 'kind' 'prime'"),
    ],
)
def test_what_is_refused(order: dict[str, Any], said: str, tmp_path: Path) -> None:
    with world.scorer() as judge, pytest.raises(UserError, match=said):
        make_setup(world.context(tmp_path), world.rl_stage(order=order), graded(), judge, world.DENSE_RETURN, 1.0)


def test_half_of_the_stage_is_counted_in_batches(tmp_path: Path) -> None:
    stage = world.rl_stage(steps=40, minibatches=2, order={"easy_first": "kind", "ranks": ["odd", "even"]},
                           trainer={"num_iterations": 2})  # fmt: skip
    with world.scorer() as judge:
        setup = make_setup(world.context(tmp_path), stage, graded(), judge, world.DENSE_RETURN, 1.0)
    assert setup.drawing is not None
    assert (setup.drawing.until, setup.drawing.hardness) == (5, [1.0, 0.0] * 4)
