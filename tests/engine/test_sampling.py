"""Sampling in chunks that are scored meanwhile, and dynamic sampling."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
from torch import Tensor

from honewise.contracts import Completion, Scored, Task
from honewise.engine.order import Drawing, TaskQueue
from honewise.engine.sampling import Sampling
from honewise.engine.trainer import CreditTrainer
from honewise.errors import UserError
from honewise.models.policy import quiet
from honewise.scoring import Scorer

HELD: Mapping[str, Any] = {"seen": threading.Event()}


@pytest.fixture(autouse=True)
def _calm() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with quiet():
        yield
    torch.set_num_threads(before)


class Beside(Scorer):
    """Scores beside its caller, as with a pool, in a domain that no pool could rebuild."""

    overlaps = True  # type: ignore[assignment]


async def unhurried(completion: Completion) -> float:
    """Not there before the event loop has turned a few times."""
    for _ in range(3):
        await asyncio.sleep(0)
    HELD["seen"].set()
    return len(completion.text) / 50


def learn(folder: Path, judge: Scorer, **stage: Any) -> tuple[dict[str, Tensor], Any]:
    ctx = world.context(folder)
    policy = world.policy()
    world.train_rl(ctx, world.rl_stage(**stage), policy, world.tasks(), judge, world.DENSE_RETURN)
    return world.weights(policy.model), ctx.store


def test_chunks_change_nothing_but_the_time(tmp_path: Path) -> None:
    settings = {"prompts": 4, "steps": 3, "trainer": {"beta": 0.04, "optim": "sgd"}}
    domain = world.domain({"vowels": world.vowels, "unhurried": unhurried}, correct="vowels")
    with Scorer(domain, workers=0) as judge:
        plain, store = learn(tmp_path / "plain", judge, **settings)
    with Beside(domain, workers=0) as judge:
        chunked, other = learn(tmp_path / "chunked", judge, chunks=3, **settings)
    assert all(torch.allclose(plain[name], chunked[name], atol=1e-6) for name in plain)
    for step in (1, 2, 3):
        rows = [list(each.rollouts("rl", step)) for each in (store, other)]
        assert [row.scored.completion.text for row in rows[0]] == [row.scored.completion.text for row in rows[1]]
        assert [row.scored.total for row in rows[0]] == [row.scored.total for row in rows[1]]


def test_a_chunk_is_scored_while_the_next_is_sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second chunk is not sampled before a reward of the first has been computed."""
    HELD["seen"].clear()
    real, calls = Sampling._sampled, [0]

    def sampled(self: Any, *args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            assert HELD["seen"].wait(60), "nobody scores while sampling goes on"
        return real(self, *args)

    monkeypatch.setattr(Sampling, "_sampled", sampled)
    with Beside(world.domain({"unhurried": unhurried}), workers=0) as judge:
        learn(tmp_path, judge, prompts=4, steps=1, chunks=2)
    assert calls[0] == 2


def test_a_scorer_that_works_here_is_not_asked_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sampling, "_sent", lambda *_: pytest.fail("sent to be scored"))
    with world.scorer() as judge:
        learn(tmp_path, judge, steps=1, chunks=2)


# dynamic sampling


def by_word(solved: set[str], failed: set[str]) -> Any:
    """Correct by the task's word; of other tasks, where a text has an even number of characters."""

    def reward(task: Task, completion: Completion) -> bool:
        word = task.inputs["word"]
        return word in solved or (word not in failed and len(completion.text) % 2 == 0)

    return reward


def watched(monkeypatch: pytest.MonkeyPatch) -> list[list[Scored]]:
    """Each batch of which the trainer learns."""
    batches: list[list[Scored]] = []
    real = CreditTrainer._reward_table

    def table(self: Any, scored: Any) -> Tensor:
        batches.append(list(scored))
        return real(self, scored)

    monkeypatch.setattr(CreditTrainer, "_reward_table", table)
    return batches


def mixed(batch: list[Scored], samples: int) -> list[bool]:
    groups = [batch[i : i + samples] for i in range(0, len(batch), samples)]
    return [len({one.correct for one in group}) == 2 for group in groups]


def test_groups_that_teach_nothing_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = watched(monkeypatch)
    right = by_word({"heap"}, {"tree"})
    domain = world.domain({"right": right}, correct="right")
    with world.scorer(domain) as judge:
        _, store = learn(tmp_path, judge, prompts=3, samples=8, steps=4, dynamic={"rounds": 8})
    assert len(batches) == 4
    for step, batch in enumerate(batches, 1):
        assert mixed(batch, 8) == [True] * 3
        assert len({one.task.id for one in batch}) == 3, "a task was taken twice"
        numbers = store.metrics("rl")[step]
        tried = 3 / (1 - numbers["dynamic/wasted"])
        assert tried == pytest.approx(round(tried))
        assert (numbers["dynamic/rounds"] > 0) == (round(tried) > 3)
        assert numbers["dynamic/uninformative"] == 0
        assert 0 < numbers["dynamic/correct"] < 1
        assert len(list(store.rollouts("rl", step))) == 24
    assert max(store.metrics("rl")[step]["dynamic/rounds"] for step in range(1, 5)) > 0


def test_after_the_last_round_what_is_missing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = watched(monkeypatch)
    domain = world.domain({"right": by_word(set(world.WORDS), set())}, correct="right")
    with world.scorer(domain) as judge:
        _, store = learn(tmp_path, judge, prompts=2, steps=2, dynamic={"rounds": 2, "most": 1})
    assert [mixed(batch, 4) for batch in batches] == [[False, False]] * 2
    numbers = store.metrics("rl")[2]
    assert (numbers["dynamic/rounds"], numbers["dynamic/wasted"]) == (2, 0.5)
    assert (numbers["dynamic/uninformative"], numbers["dynamic/correct"]) == (1, 1)


def test_what_is_sampled_ahead_is_what_trl_asks_for(tmp_path: Path) -> None:
    """With nothing to replace, dynamic sampling is plain training."""
    domain = world.domain({"right": by_word(set(), set())}, correct="right")
    with world.scorer(domain) as judge:
        plain, _ = learn(tmp_path / "plain", judge, prompts=3, samples=8)
        dynamic, store = learn(tmp_path / "dynamic", judge, prompts=3, samples=8, dynamic={})
    assert all(numbers["dynamic/rounds"] == 0 for numbers in store.metrics("rl").values()), "choose another reward"
    assert all(torch.equal(plain[name], dynamic[name]) for name in plain)


@pytest.mark.parametrize(
    ("settings", "rubric", "said"),
    [
        ({"dynamic": {}}, {}, "does not say what is correct"),
        ({"dynamic": {"low": 0.5, "high": 0.5}}, {"correct": "brief"}, "low must be less than high"),
        ({"dynamic": {}, "trainer": {"generation_kwargs": {"top_k": 3}}}, {"correct": "brief"}, "our own sampling"),
    ],
)
def test_what_is_refused(tmp_path: Path, settings: Any, rubric: Any, said: str) -> None:
    with world.scorer(world.domain({"brief": world.brief}, **rubric)) as judge, pytest.raises(UserError, match=said):
        learn(tmp_path, judge, **settings)


def test_the_queue_goes_round_in_epochs() -> None:
    queue = TaskQueue(5, "seed")
    first = queue.draw(5, set())
    second = queue.draw(5, set())
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4]
    assert first != second
    again = TaskQueue(5, "seed")
    again.drawn = 5
    assert again.draw(5, set()) == second
    assert sorted(queue.draw(9, {0, 1})) == [2, 3, 4]
    assert queue.draw(1, set(range(5))) == []
    assert queue.draw(0, set()) == []


def test_a_queue_draws_what_the_step_may_meet() -> None:
    """The curriculum holds for what takes a group's place, too."""
    drawing = Drawing([float(i) for i in range(8)], start=0.25, until=6)
    queue = TaskQueue(8, "seed", drawing=drawing)
    assert sorted(queue.draw(2, {}, step=0)) == [0, 1]
    assert sorted(queue.draw(6, {}, step=0)) == [0, 1], "however many are wanted"
    assert sorted(queue.draw(6, {}, step=0, least=3)) == [0, 1, 2], "but as many as the step has"
    assert queue.draw(2, {0}, step=0) == [1]
    assert queue.draw(1, {0, 1}, step=0) == []
    later = queue.draw(3, {0}, step=6)
    again = TaskQueue(8, "seed", drawing=drawing)
    again.drawn = queue.drawn - 3
    assert again.draw(3, {0}, step=6) == later
    assert queue.draw(3, {0}, step=6) != later
