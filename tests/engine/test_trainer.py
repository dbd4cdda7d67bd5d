"""The trainer against TRL's own: equal where it must be, different where dense credit is the point."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
from datasets import Dataset
from trl import GRPOTrainer

from honewise.algorithms import DENSE_RETURN, GDPO, GRPO, REINFORCE_PP, REMAX, RL_ZVP, Estimator
from honewise.contracts import Completion, Score, Span, Term, Unscored
from honewise.engine import sharing
from honewise.engine.phases import Phases
from honewise.engine.rl import rl_arguments
from honewise.engine.trainer import CreditTrainer
from honewise.errors import UnscoredBudgetExceeded, UserError
from honewise.models import shared_prefix
from honewise.models.policy import quiet


@pytest.fixture(autouse=True)
def _calm() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with quiet():
        yield
    torch.set_num_threads(before)


ENDS = range(40, 90)
"""Ids that also end a completion, so that an untrained policy's have unequal lengths."""


def inputs(prompts: int = 2, samples: int = 4) -> list[dict[str, Any]]:
    chosen = world.tasks()[:prompts]
    return [
        {"prompt": [dict(m) for m in task.prompt], "task": i} for i, task in enumerate(chosen) for _ in range(samples)
    ]


def gradients(trainer: Any, batch: dict[str, Any]) -> torch.Tensor:
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, batch).backward()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


class Stock(GRPOTrainer):
    """TRL's trainer on the completions that ours samples."""

    _samples_itself = CreditTrainer._samples_itself
    _generate_single_turn = CreditTrainer._generate_single_turn
    _sampled = CreditTrainer._sampled
    _seeds = CreditTrainer._seeds
    _generation = CreditTrainer._generation
    _chunks = ()
    _examples = ()
    _wants_greedy = False
    phases = Phases()


def stock(folder: Path, stage: Any, reward: Any, scale: str) -> Stock:
    start = world.policy()
    args = rl_arguments(world.context(folder), stage)
    args.scale_rewards = scale
    rows = [{"prompt": [dict(m) for m in task.prompt], "task": i} for i, task in enumerate(world.tasks())]

    def score(completions: list[Any], **_: Any) -> list[float]:
        return [reward(completion[0]["content"]) for completion in completions]

    with quiet():
        made = Stock(start.model, score, args, Dataset.from_list(rows), processing_class=start.tokenizer)
    made.current_gradient_accumulation_steps = 1
    made.model.train()
    return made


def worth(text: str) -> float:
    return (len(text) * 7919 % 101) / 101


@pytest.mark.parametrize(
    ("estimator", "scale", "shared"),
    [(DENSE_RETURN, "none", False), (DENSE_RETURN, "none", True), (DENSE_RETURN, "group", True),
     (DENSE_RETURN, "batch", False), (GRPO, "none", False), (GRPO, "group", False), (GRPO, "batch", True)],
    ids=lambda value: getattr(value, "name", str(value)),
)  # fmt: skip
def test_a_sparse_reward_gives_stock_advantages_and_gradients(
    tmp_path: Path, estimator: Estimator, scale: str, shared: bool
) -> None:
    stage = world.rl_stage()
    reward = {"r": lambda completion: worth(completion.text)}
    options = {"kappa": "group_mean", "scale": scale}
    with world.scorer(world.domain(reward)) as judge:
        ours = world.trainer(tmp_path / "a", stage, judge, estimator=estimator, options=options)
        theirs = stock(tmp_path / "b", stage, worth, scale)
        for made in (ours, theirs):
            made.eos_token_ids = [*made.eos_token_ids, *ENDS]
        mine, wanted = (made._generate_and_score_completions(inputs()) for made in (ours, theirs))
    assert torch.equal(mine["completion_ids"], wanted["completion_ids"])
    lengths = mine["completion_mask"].sum(-1)
    assert lengths.min() < lengths.max(), "unequal lengths are what this is about"
    assert mine["advantages"].shape == mine["completion_ids"].shape
    spread = wanted["advantages"][:, None] * wanted["completion_mask"]
    biggest = float(spread.abs().max())
    assert biggest > 0
    assert float((mine["advantages"] - spread).abs().max()) <= 1e-6 * biggest
    with ours.shared_prompts() if shared else contextlib.nullcontext():
        one, other = gradients(ours, mine), gradients(theirs, wanted)
    assert ours._sharing_is_right is (True if shared else None)
    assert float(other.abs().max()) > 0
    assert float((one - other).abs().max()) <= 1e-6 * float(other.abs().max())


def test_whole_training_with_a_sparse_reward_is_stock(tmp_path: Path) -> None:
    stage = world.rl_stage(steps=3, trainer={"optim": "sgd", "learning_rate": 0.1, "num_iterations": 2})
    reward = {"r": lambda completion: worth(completion.text)}
    with world.scorer(world.domain(reward)) as judge:
        ours = world.trainer(tmp_path / "a", stage, judge, options={"kappa": "group_mean"})
        theirs = stock(tmp_path / "b", stage, worth, "none")
        begin = world.weights(ours.model)
        with ours.shared_prompts():
            ours.train()
        theirs.train()
    assert ours._sharing_is_right
    assert ours.model.config._attn_implementation == "sdpa", "and the model is left as it was"
    final, wanted = world.weights(ours.model), world.weights(theirs.model)
    assert any(not torch.equal(final[name], begin[name]) for name in final)
    for name, value in final.items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=1e-6)


def test_prompts_become_the_ids_that_trl_makes_of_them(tmp_path: Path) -> None:
    first, second, *_ = ([dict(message) for message in task.prompt] for task in world.tasks())
    with world.scorer() as judge:
        trainer = world.trainer(tmp_path, world.rl_stage(), judge)
        for prompts in ([first], [first, first, second, second], [first, first, second, first]):
            assert trainer._tokenize_prompts(prompts) == GRPOTrainer._tokenize_prompts(trainer, prompts)


def dense_batch(folder: Path, ends: range = ENDS, **changes: Any) -> tuple[CreditTrainer, dict[str, Any]]:
    with world.scorer() as judge:
        trainer = world.trainer(folder, world.rl_stage(**changes), judge)
        trainer.eos_token_ids = [*trainer.eos_token_ids, *ends]
        return trainer, trainer._generate_and_score_completions(inputs())


def test_the_order_of_advantages_within_a_completion_matters(tmp_path: Path) -> None:
    trainer, batch = dense_batch(tmp_path)
    advantages, mask = batch["advantages"], batch["completion_mask"].bool()
    assert any(len(set(row[own].tolist())) > 1 for row, own in zip(advantages, mask, strict=True))
    turned = advantages.clone()
    for row, own in zip(turned, mask, strict=True):
        row[own] = row[own].flip(0)
    torch.testing.assert_close(turned.sum(-1), advantages.sum(-1))
    one, other = gradients(trainer, batch), gradients(trainer, {**batch, "advantages": turned})
    assert float((one - other).abs().max()) > 1e-3 * float(one.abs().max())


@pytest.mark.parametrize("loss", ["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"])
def test_every_loss_of_trl_takes_advantages_of_tokens(tmp_path: Path, loss: str) -> None:
    trainer, batch = dense_batch(tmp_path, trainer={"loss_type": loss})
    turned = {**batch, "advantages": batch["advantages"].flip(-1) * batch["completion_mask"]}
    one, other = gradients(trainer, batch), gradients(trainer, turned)
    assert one.isfinite().all()
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("dense", [True, False])
def test_four_equal_completions_of_which_one_lost_a_component(tmp_path: Path, dense: bool) -> None:
    """Values 1 and .5; the second could not be computed for one of the four: nobody learns anything from that."""
    calls = iter(range(1000))

    def first(completion: Completion) -> Score:
        spans = [Span(0, len(completion.text), 1.0)] if dense and completion.text else []
        return Score(1.0 - sum(span.value for span in spans), spans)

    def second(completions: list[Completion]) -> list[Any]:
        return [Unscored("the judge is out") if next(calls) == 2 else 0.5 for _ in completions]

    with world.scorer(world.domain({"first": first, "second": second})) as judge:
        trainer = world.trainer(tmp_path, world.rl_stage(prompts=2), judge)
        same = [[41, 42, 43, trainer._tokenizer.eos_token_id]] * 8
        trainer._generate_single_turn = lambda *a, **k: (same, None)
        real = judge.score
        trainer.setup.scorer.score = lambda rows, step=0: [one for row in rows for one in real([row], step=step)]
        batch = trainer._generate_and_score_completions(inputs())
        rows = trainer.take_rows()
    assert sum(row.scored.rewards["second"].value is None for row in rows) == 1
    assert not batch["advantages"].any()


def _drop_second_group(completions: list[Completion], tasks: list[Any]) -> list[Any]:
    return [Unscored("lost") if task.id == "1" else worth(c.text) for task, c in zip(tasks, completions, strict=True)]


@pytest.mark.parametrize("loss", ["grpo", "dr_grpo", "dapo", "bnpo", "sapo", "luspo"])
def test_rows_without_a_score_leave_the_denominators(tmp_path: Path, loss: str) -> None:
    """The gradient of a batch whose second group was lost is that of the first group alone."""
    stage = world.rl_stage(trainer={"loss_type": loss})
    with world.scorer(world.domain({"r": _drop_second_group})) as judge:
        trainer = world.trainer(tmp_path, stage, judge)
        batch = trainer._generate_and_score_completions(inputs())
    assert not batch["completion_mask"][4:].any()
    assert not batch["advantages"][4:].any()
    assert batch["completion_mask"][:4].any()
    alone = {name: value[:4] if value.dim() else value for name, value in batch.items() if name != "kept_weight"}
    one, other = gradients(trainer, batch), gradients(trainer, alone)
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6 * float(other.abs().max()))


def test_a_whole_batch_without_a_score_changes_nothing(tmp_path: Path) -> None:
    stage = world.rl_stage(steps=1)
    begin = world.policy()
    before = world.weights(begin.model)
    lost = world.domain({"r": world.always_unscored})
    world.train(world.context(tmp_path), stage, begin, domain=lost, max_unscored=1.0)
    for name, value in world.weights(begin.model).items():
        assert torch.equal(value, before[name])


def test_one_completion_in_evaluation_has_advantage_zero(tmp_path: Path) -> None:
    with world.scorer() as judge:
        trainer = world.trainer(tmp_path, world.rl_stage(), judge)
        trainer.num_generations_eval = 1
        trainer.model.eval()
        batch = trainer._generate_and_score_completions(inputs(2, 1))
        assert torch.equal(batch["advantages"], torch.zeros_like(batch["advantages"]))
        assert trainer.take_rows() == [], "evaluation writes no training rows"


def test_logs_hold_the_advantages_that_are_used(tmp_path: Path) -> None:
    trainer, batch = dense_batch(tmp_path)
    lengths = batch["completion_mask"].sum(-1)
    wanted = (batch["advantages"].sum(-1) / lengths).tolist()
    assert list(trainer._logs["advantages"]) == pytest.approx(wanted, abs=1e-6)
    rows = trainer.take_rows()
    assert [row.advantage for row in rows] == pytest.approx(wanted, abs=1e-6)
    assert [(row.group, row.sample) for row in rows] == [(g, s) for g in range(2) for s in range(4)]
    for row in rows:
        assert sum(value for *_, value in row.credit) == pytest.approx(row.scored.total)
        assert row.prompt.startswith("<|user|>Say")


def test_prompts_are_not_shared_where_that_gives_other_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an architecture would whose positions or masks work otherwise."""
    real = shared_prefix.lay_out

    def wrong(*args: Any, **kwargs: Any) -> Any:
        layout = real(*args, **kwargs)
        return layout and dataclasses.replace(layout, position_ids=torch.zeros_like(layout.position_ids))

    trainer, batch = dense_batch(tmp_path)
    plain = gradients(trainer, batch)
    monkeypatch.setattr(sharing, "lay_out", wrong)
    said: list[str] = []
    monkeypatch.setattr(trainer, "say", said.append)
    with trainer.shared_prompts():
        assert torch.equal(gradients(trainer, batch), plain)
        assert torch.equal(gradients(trainer, batch), plain)
    assert len(said) == 1
    assert said[0].startswith("prompts are not shared in training: log-probabilities would be off by")


def test_truncated_completions_keep_their_vote(tmp_path: Path) -> None:
    """``mask_truncated_completions`` takes them out of the loss, not out of the baseline."""
    plain, batch = dense_batch(tmp_path / "a", range(40, 60))
    _, other = dense_batch(tmp_path / "b", range(40, 60), trainer={"mask_truncated_completions": True})
    ends = [*plain.eos_token_ids, plain._tokenizer.pad_token_id]
    cut = torch.tensor([row[-1] not in ends for row in _rows(batch)])
    assert cut.any()
    assert not cut.all()
    assert torch.equal(other["completion_mask"].any(-1), ~cut)
    assert torch.equal(batch["advantages"], other["advantages"])


def _rows(batch: dict[str, Any]) -> list[list[int]]:
    return [
        ids[own].tolist() for ids, own in zip(batch["completion_ids"], batch["completion_mask"].bool(), strict=True)
    ]


def test_estimators_get_exactly_what_they_need(tmp_path: Path) -> None:
    seen: list[Any] = []

    def curious(rollouts: Any) -> torch.Tensor:
        seen.append(rollouts)
        return torch.zeros_like(rollouts.rewards[0])

    estimator = Estimator("curious", curious, needs=frozenset({"old_logps", "entropies"}))
    with world.scorer() as judge:
        trainer = world.trainer(tmp_path, world.rl_stage(), judge, estimator=estimator)
        trainer._generate_and_score_completions(inputs())
    assert seen[0].old_logps.shape == seen[0].mask.shape
    assert (seen[0].entropies[seen[0].mask] > 0).all()
    assert seen[0].ref_logps is None
    assert seen[0].values is None
    assert seen[0].correct is None
    assert seen[0].weights is None


def test_estimators_get_what_the_scores_hold(tmp_path: Path) -> None:
    seen: list[Any] = []

    def curious(rollouts: Any) -> torch.Tensor:
        seen.append(rollouts)
        return torch.zeros_like(rollouts.rewards[0])

    estimator = Estimator("curious", curious, needs=frozenset({"correct", "weights"}))
    with world.scorer(world.domain(terms={"vowels": 3.0, "brief": 0.5}, correct="vowels")) as judge:
        trainer = world.trainer(tmp_path, world.rl_stage(), judge, estimator=estimator)
        trainer._generate_and_score_completions(inputs())
        rows = trainer.take_rows()
    assert seen[0].weights.tolist() == [3.0, 0.5]
    assert seen[0].correct.tolist() == [int(row.scored.correct) for row in rows]
    assert seen[0].entropies is None


@pytest.mark.parametrize("estimator", [RL_ZVP, GDPO, REINFORCE_PP], ids=lambda estimator: estimator.name)
def test_other_estimators_train(tmp_path: Path, estimator: Estimator) -> None:
    ctx = world.context(tmp_path)
    world.train(ctx, world.rl_stage(steps=1), estimator=estimator)
    assert ctx.store.metrics("rl")[1]["advantages/mean_size"] > 0


def test_a_schedule_of_weights_reaches_the_log(tmp_path: Path) -> None:
    scheduled = world.domain(terms={"vowels": Term({0: 1.0, 2: 3.0}), "brief": 1.0})
    ctx = world.context(tmp_path)
    world.train(ctx, world.rl_stage(steps=2), domain=scheduled)
    for step, weight in ((1, 1.0), (2, 3.0)):
        numbers = ctx.store.metrics("rl")[step]
        wanted = weight * numbers["rewards/vowels/mean"] + numbers["rewards/brief/mean"]
        assert numbers["reward"] == pytest.approx(wanted, abs=1e-6)


def test_training_lifts_the_reward_and_stores_every_step(tmp_path: Path) -> None:
    ctx = world.context(tmp_path)
    stage = world.rl_stage(steps=12, prompts=4, samples=8, trainer={"learning_rate": 5e-3})
    trained, _ = world.train(ctx, stage)
    numbers = ctx.store.metrics("rl")
    assert trained.steps == 12
    assert sorted(numbers) == list(range(1, 13))
    first, last = (sum(numbers[s]["rewards/vowels/mean"] for s in steps) / 3 for steps in ((1, 2, 3), (10, 11, 12)))
    assert last > first + 0.01
    rollouts = ctx.store.rollouts("rl", 12)
    assert len(list(rollouts)) == 32
    seconds = {name: value for name, value in numbers[12].items() if name.startswith("seconds/")}
    parts = ("generate", "score", "credit", "update", "other")
    assert {f"seconds/{part}" for part in parts} == set(seconds) - {"seconds/step"}
    assert all(value > 0 for value in seconds.values())
    assert sum(seconds.values()) == pytest.approx(2 * seconds["seconds/step"])
    assert {"loss", "grad_norm", "entropy", "unscored", "correct"} <= set(numbers[12])


def test_accumulation_is_only_a_matter_of_memory(tmp_path: Path) -> None:
    whole, at_once = world.train(world.context(tmp_path / "a"), world.rl_stage(trainer={"optim": "sgd"}))
    stage = world.rl_stage(trainer={"optim": "sgd", "per_device_train_batch_size": 2})
    pieces, in_four = world.train(world.context(tmp_path / "b"), stage)
    assert whole.steps == pieces.steps
    for name, value in world.weights(at_once.model).items():
        torch.testing.assert_close(value, world.weights(in_four.model)[name], rtol=0, atol=1e-6)


def test_too_many_unscored_stop_the_run_with_a_checkpoint(tmp_path: Path) -> None:
    calls = iter(range(1000))

    def judged(completions: list[Completion]) -> list[Any]:
        return [Unscored("no reply") if next(calls) >= 12 else 0.5 for _ in completions]

    ctx = world.context(tmp_path)
    with pytest.raises(UnscoredBudgetExceeded, match="no reply"):
        world.train(ctx, world.rl_stage(), domain=world.domain({"judged": judged}), max_unscored=0.3)
    assert (ctx.folder / "checkpoint-1").is_dir()
    assert sorted(ctx.store.metrics("rl")) == [1]


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    ctx = world.context(tmp_path)
    with pytest.raises(UserError, match=r"importance_sampling_level: 'sequence'.*placement: terminal"):
        world.train(ctx, world.rl_stage(trainer={"importance_sampling_level": "sequence"}))
    with pytest.raises(UserError, match="has no option 'gamma'"):
        world.train(ctx, world.rl_stage(estimator_options={"gamma": 1}))
    with pytest.raises(UserError, match="prompts: 9 tasks a step, but there are only 8"):
        world.train(ctx, world.rl_stage(prompts=9))
    with pytest.raises(UserError, match="3 does not divide the 8 completions"):
        world.train(ctx, world.rl_stage(trainer={"per_device_train_batch_size": 3}))
    critic = Estimator("gae", copy.copy(DENSE_RETURN.fn), needs=frozenset({"values"}))
    with pytest.raises(UserError, match="needs a critic"):
        world.train(ctx, world.rl_stage(), estimator=critic)
    with pytest.raises(UserError, match="'remax' samples greedily beside"):
        world.train(ctx, world.rl_stage(trainer={"generation_kwargs": {"num_beams": 2}}), estimator=REMAX)
    anchored = Estimator("anchored", copy.copy(DENSE_RETURN.fn), needs=frozenset({"ref_logps"}))
    with pytest.raises(UserError, match="needs a reference policy; say how near to it in `kl`"):
        world.train(ctx, world.rl_stage(), estimator=anchored)
    plain = Estimator("plain", lambda rollouts: rollouts.rewards[0])
    with pytest.raises(UserError, match="cannot scale"):
        world.train(ctx, world.rl_stage(scale="group"), estimator=plain)


def test_sequence_ratios_are_allowed_where_credit_is_of_the_sequence(tmp_path: Path) -> None:
    stage = world.rl_stage(steps=1, placement="terminal", trainer={"importance_sampling_level": "sequence"})
    world.train(world.context(tmp_path), stage)
