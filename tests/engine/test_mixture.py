"""Runs of several domains: what a step draws, whose credit and spread each completion has, what is told of each."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise.algorithms import GAE, GRPO, Rollouts, complete
from honewise.contracts import Completion, Task
from honewise.engine.order import Drawing
from honewise.engine.rl_setup import make_setup
from honewise.errors import UserError
from honewise.scoring import MixedScorer, domain_of
from honewise.scoring.mixed import joined_task

MIXTURE = {"large": 1.0, "small": 3.0}


def short(completion: Completion) -> float:
    return -1e-3 * len(completion.text)


def scorer() -> MixedScorer:
    """Rewards of a different size, and one domain in which nothing decides what is correct."""
    return MixedScorer({"large": world.scorer(world.domain()), "small": world.scorer(world.domain({"short": short}))})


def tasks(count: int = 8) -> list[Task]:
    """As many of each; those of ``large`` say how hard they are."""
    large = [joined_task("large", Task(task.id, {**task.inputs, "hard": i}, prompt=task.prompt))
             for i, task in enumerate(world.tasks(count))]  # fmt: skip
    return [*large, *(joined_task("small", task) for task in world.tasks(count))]


@settings(max_examples=100, deadline=None)
@given(
    data=st.data(),
    counts=st.lists(st.integers(6, 9), min_size=1, max_size=4),
    number=st.integers(1, 6),
    step=st.integers(0, 9),
)
def test_every_part_has_its_share_of_every_step(data: Any, counts: list[int], number: int, step: int) -> None:
    weights = data.draw(st.lists(st.floats(0.01, 5), min_size=len(counts), max_size=len(counts)))
    shares = [weight / sum(weights) for weight in weights]
    parts = [part for part, count in enumerate(counts) for _ in range(count)]
    drawing = Drawing(list(range(len(parts))), start=0.2, until=5, parts=parts, shares=shares)
    found = drawing.draw(step, number, len(parts), seed=data.draw(st.integers(0, 99)))
    assert len(set(found)) == number
    held = Counter(parts[task] for task in found)
    for part, (share, most) in enumerate(zip(shares, drawing.most(number), strict=True)):
        assert abs(held[part] - number * share) < 1
        assert held[part] <= most
        if step == 0:
            size = max(held[part], -(-2 * counts[part] // 10))
            assert all(task - parts.index(part) < size for task in found if parts[task] == part), "the easiest of each"


def test_shares_hold_on_average() -> None:
    """A tenth of two tasks: one of them in every fifth step."""
    drawing = Drawing(parts=[0] * 5 + [1] * 5, shares=[0.9, 0.1])
    rare = [sum(task >= 5 for task in drawing.draw(step, 2, 10, seed=0)) for step in range(2000)]
    assert set(rare) == {0, 1}
    assert sum(rare) / 2000 == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("stage", "mixture", "said"),
    [
        ({"prompts": 12}, MIXTURE, r"domains.small.weight: up to 9 of the 12 prompts .* has 8 training tasks"),
        ({"order": {"easy_first": "hrad"}}, MIXTURE, "order.easy_first: no task has 'hrad'; did you mean 'hard'"),
        (
            {"order": {"easy_first": "nosuch"}},
            MIXTURE,
            "order.easy_first: no task has 'nosuch'; there are: domain, hard, ",
        ),
        ({"order": {"kind": "nosuch"}}, MIXTURE, "order.kind: no task has 'nosuch'; there are: domain, hard, "),
        ({"dynamic": {}}, MIXTURE, "dynamic: the rubric of 'small' does not .* name a reward in domains.small.rubric"),
        ({"stop": {"by": "domain/small/totl"}}, MIXTURE, "did you mean 'domain/small/total'"),
        ({"stop": {"by": "domain/small/correct"}}, MIXTURE, "no 'domain/small/correct'"),
        ({"constraints": {"large/brief": {}}}, MIXTURE, "give the reward weight 0"),
        ({"constraints": {"brief": {}}}, MIXTURE, "no reward 'brief' in the rubric"),
        ({"invariance": {"column": "domian", "coef": 1.0}}, MIXTURE, "no task has 'domian'; did you mean 'domain'"),
        ({"invariance": {"column": "domain", "coef": 1.0}}, None, "no task has 'domain'; there are: hard, "),
    ],
)
def test_what_is_refused(stage: dict[str, Any], mixture: Any, said: str, tmp_path: Path) -> None:
    with scorer() as judge, pytest.raises(UserError, match=said):
        make_setup(
            world.context(tmp_path), world.rl_stage(**stage), tasks(), judge, world.DENSE_RETURN, 1.0, mixture=mixture
        )


def test_a_batch_estimator_that_cannot_scale_says_what_does(tmp_path: Path) -> None:
    stage = world.rl_stage(algorithm="ppo", scale="domain")
    with scorer() as judge, pytest.raises(UserError, match=r"estimator_options: \{whitened: domain\}"):
        make_setup(world.context(tmp_path), stage, tasks(), judge, GAE, 1.0, mixture=MIXTURE)


def test_domains_are_groups_and_orders_are_their_own(tmp_path: Path) -> None:
    stage = world.rl_stage(invariance={"column": "domain", "coef": 0.1}, order={"easy_first": "hard", "until": 4})
    with scorer() as judge:
        setup = make_setup(world.context(tmp_path), stage, tasks(), judge, world.DENSE_RETURN, 1.0, mixture=MIXTURE)
    assert setup.invariance is not None
    assert setup.invariance.groups == ("large",) * 8 + ("small",) * 8
    assert setup.drawing is not None
    assert setup.drawing.hardness == [*map(float, range(8)), *[0.0] * 8], "small says nothing: all alike"
    assert (setup.drawing.parts, setup.drawing.shares) == ([0] * 8 + [1] * 8, [0.25, 0.75])


def test_kinds_are_weighed_within_their_domain(tmp_path: Path) -> None:
    mixed = [joined_task(name, Task(str(i), {}, meta={"kind": kind}, prompt=({"role": "user", "content": "x"},)))
             for name, kinds in (("large", "aab"), ("small", "bbb")) for i, kind in enumerate(kinds)]  # fmt: skip
    stage = world.rl_stage(order={"kind": "kind", "weights": {"a": 1, "b": 3}})
    with scorer() as judge:
        setup = make_setup(world.context(tmp_path), stage, mixed, judge, world.DENSE_RETURN, 1.0, mixture=MIXTURE)
    assert setup.drawing is not None
    assert setup.drawing.weights == [0.5, 0.5, 3.0, 1.0, 1.0, 1.0]


def test_a_row_lacks_no_component_of_another_domain() -> None:
    scored = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]], dtype=torch.bool)
    rewards, mask = torch.zeros(3, 4, 1), torch.ones(4, 1, dtype=torch.bool)
    rollouts = Rollouts(rewards, scored, mask, torch.arange(4), domain=torch.tensor([0, 0, 1, 1]))
    assert complete(rollouts).tolist() == [True, False, True, False]
    assert complete(Rollouts(rewards, scored, mask, torch.arange(4))).tolist() == [False] * 4


def test_each_completion_has_the_credit_and_the_spread_of_its_domain(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    ctx = world.context(tmp_path)
    stage = world.rl_stage(steps=3, prompts=4, scale="domain", estimator="grpo", estimator_options={"kappa": "loo"})
    with scorer() as judge:
        world.train_rl(ctx, stage, world.policy(), tasks(), judge, GRPO, mixture=MIXTURE)
    for step in range(1, 4):
        rows = ctx.store.rollouts("rl", step)
        names = [domain_of(row.scored.task) for row in rows]
        assert Counter(names) == {"large": 4, "small": 12}, "one task in four"
        numbers = ctx.store.metrics("rl")[step]
        assert (numbers["domain/large/share"], numbers["domain/small/share"]) == (0.25, 0.75)
        for name in MIXTURE:
            own = [row for row in rows if domain_of(row.scored.task) == name]
            totals = torch.tensor([row.scored.total for row in own], dtype=torch.float64)
            assert numbers[f"domain/{name}/total"] == pytest.approx(float(totals.mean()))
            lengths = [row.scored.completion.tokens for row in own]
            assert numbers[f"domain/{name}/tokens"] == pytest.approx(sum(lengths) / len(own))
            groups = totals.view(-1, 4)
            centred = (groups - groups.mean(1, keepdim=True)) * 4 / 3
            wanted = (centred / (totals.std() + 1e-4)).flatten().tolist()
            assert [row.advantage for row in own] == pytest.approx(wanted, abs=1e-6)
        assert "domain/small/correct" not in numbers
        judged = [row.scored.correct for row in rows if domain_of(row.scored.task) == "large"]
        assert numbers["domain/large/correct"] == sum(map(bool, judged)) / len(judged)
        assert {n for n in numbers if n.endswith("/mean") and n.startswith("rewards/")} == {
            "rewards/large/vowels/mean", "rewards/large/brief/mean", "rewards/small/short/mean",
        }  # fmt: skip


@pytest.mark.parametrize("algorithm", ["ppo", "remax", "reinforce++"])
def test_algorithms_without_groups_learn_from_every_domain(algorithm: str, tmp_path: Path) -> None:
    """A critic and a batch baseline leave out rows that lack a component, of which no domain has all."""
    from honewise.host import get_host

    torch.set_num_threads(1)
    ctx, estimator = world.context(tmp_path), {"ppo": "gae"}.get(algorithm, algorithm)
    with scorer() as judge:
        world.train_rl(ctx, world.rl_stage(algorithm=algorithm, steps=1, prompts=4), world.policy(), tasks(), judge,
                       get_host().estimator(estimator), mixture=MIXTURE)  # fmt: skip
    moved = {domain_of(row.scored.task) for row in ctx.store.rollouts("rl", 1) if row.advantage}
    assert moved == set(MIXTURE)


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=3).filter(sum),
    number=st.integers(0, 7),
    step=st.integers(0, 9),
    data=st.data(),
)
def test_further_tasks_are_of_the_part_and_of_the_step(counts: list[int], number: int, step: int, data: Any) -> None:
    parts = [part for part, count in enumerate(counts) for _ in range(count)]
    part, but = data.draw(st.integers(0, len(counts) - 1)), data.draw(st.sets(st.sampled_from(range(len(parts)))))
    drawing = Drawing(list(range(len(parts))), start=0.2, until=5, parts=parts, shares=[1 / len(counts)] * len(counts))
    least = data.draw(st.integers(0, 3))
    found = drawing.more(part, step, number, least, len(parts), but, seed=3)
    own = [task for task, each in enumerate(parts) if each == part]
    size = min(len(own), max(least, math.ceil((0.2 + 0.8 * min(step, 5) / 5) * len(own) - 1e-9)))
    allowed = set(own[:size]) - but
    assert set(found) <= allowed, "the easiest of the part, but those that were tried"
    assert len(found) == len(set(found)) == min(number, len(allowed))


def test_groups_that_teach_nothing_are_replaced_within_their_domain(tmp_path: Path) -> None:
    """Half of the words are always right, so that groups of them are replaced, in both domains."""

    def right(task: Task, completion: Completion) -> bool:
        return task.inputs["word"] in world.WORDS[::2] or len(completion.text) % 2 == 0

    judge = MixedScorer({name: world.scorer(world.domain({"right": right}, correct="right")) for name in MIXTURE})
    torch.set_num_threads(1)
    ctx = world.context(tmp_path)
    stage = world.rl_stage(steps=4, prompts=4, samples=8, dynamic={"rounds": 8})
    with judge:
        world.train_rl(ctx, stage, world.policy(), tasks(), judge, world.DENSE_RETURN, mixture=MIXTURE)
    numbers = ctx.store.metrics("rl")
    for step in range(1, 5):
        rows = ctx.store.rollouts("rl", step)
        assert Counter(domain_of(row.scored.task) for row in rows) == {"large": 8, "small": 24}, "as without it"
        assert all(0 < sum(row.scored.correct for row in rows[i : i + 8]) < 8 for i in range(0, 32, 8))
        assert len({row.scored.task.id for row in rows}) == 4
        assert numbers[step]["dynamic/uninformative"] == 0
    assert sum(numbers[step]["dynamic/rounds"] for step in range(1, 5)) >= 2


def test_no_domain_starves_another_of_replacements(tmp_path: Path) -> None:
    """One domain never teaches; with two tries in a round, the other is still replaced."""

    def never(completion: Completion) -> bool:
        return False

    def right(task: Task, completion: Completion) -> bool:
        return task.inputs["word"] in world.WORDS[::2] or len(completion.text) % 2 == 0

    each = {"large": never, "small": right}
    judge = MixedScorer({name: world.scorer(world.domain({"r": fn}, correct="r")) for name, fn in each.items()})
    torch.set_num_threads(1)
    ctx = world.context(tmp_path)
    stage = world.rl_stage(steps=3, prompts=4, samples=8, dynamic={"rounds": 8, "most": 2})
    with judge:
        mixture = {"large": 1.0, "small": 1.0}
        world.train_rl(ctx, stage, world.policy(), tasks(), judge, world.DENSE_RETURN, mixture=mixture)
    for step in range(1, 4):
        rows = [row for row in ctx.store.rollouts("rl", step) if domain_of(row.scored.task) == "small"]
        assert all(0 < sum(bool(row.scored.correct) for row in rows[i : i + 8]) < 8 for i in (0, 8)), step
