"""The other forms of policy gradient in the trainer: greedy baselines, GSPO's ratio, costs, orders of training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
from torch import Tensor
from transformers import LlamaForSequenceClassification

from honewise.algorithms import DENSE_RETURN, GAE, GRPO, REMAX, RLOO, Estimator, policy_loss
from honewise.contracts import Completion, Unscored
from honewise.engine import trainer as trainer_module
from honewise.engine.order import cut, unit_of
from honewise.engine.rl import rl_arguments
from honewise.engine.rl_setup import make_setup
from honewise.engine.trainer import CreditTrainer
from honewise.errors import UserError
from honewise.models.critic import make_critic
from honewise.models.policy import quiet
from honewise.recipes.policy_gradient import CriticSpec
from honewise.recipes.schema import LoraSpec

ENDS = range(40, 90)


@pytest.fixture(autouse=True)
def _calm() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with quiet():
        yield
    torch.set_num_threads(before)


def inputs(prompts: int = 2, samples: int = 4) -> list[dict[str, Any]]:
    chosen = world.tasks()[:prompts]
    return [
        {"prompt": [dict(m) for m in task.prompt], "task": i} for i, task in enumerate(chosen) for _ in range(samples)
    ]


def made(folder: Path, judge: Any, estimator: Estimator, **stage: Any) -> CreditTrainer:
    spec, ctx, start = world.rl_stage(**stage), world.context(folder), world.policy()
    setup = make_setup(ctx, spec, world.tasks(), judge, estimator, 1.0, policy=start)
    trainer = CreditTrainer(start.model, setup, rl_arguments(ctx, spec), start.tokenizer)
    trainer.eos_token_ids = [*trainer.eos_token_ids, *ENDS]
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return trainer


def gradient(trainer: CreditTrainer, batch: Mapping[str, Any]) -> Tensor:
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, dict(batch)).backward()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


# remax


def worth(text: str) -> float:
    return (len(text) * 7919 % 101) / 101


def test_remax_compares_with_the_greedy_completion(tmp_path: Path) -> None:
    with world.scorer(world.domain({"r": lambda completion: worth(completion.text)})) as judge:
        trainer = made(tmp_path, judge, REMAX)
        batch = trainer._generate_and_score_completions(inputs())
        rows = trainer.take_rows()
    assert Counter(row.group for row in rows) == {0: 5, 1: 5}
    greedy = {row.group: row for row in rows if row.sample == 4}
    sampled = [row for row in rows if row.sample < 4]
    prompts = [ids[own.bool()].tolist() for ids, own in zip(batch["prompt_ids"], batch["prompt_mask"], strict=True)]
    for group, row in greedy.items():
        assert row.advantage is None
        wanted = _likeliest(trainer, prompts[4 * group])
        assert row.scored.completion.text == trainer._tokenizer.decode(wanted, skip_special_tokens=True)
    mask = batch["completion_mask"].bool()
    for i, row in enumerate(sampled):
        theirs = greedy[row.group].scored.total
        assert row.scored.total is not None
        assert theirs is not None
        assert batch["advantages"][i, mask[i]].tolist() == pytest.approx(
            [row.scored.total - theirs] * int(mask[i].sum()), abs=1e-6
        )
    assert len(batch["completion_ids"]) == 8, "the greedy ones are not trained on"


def _likeliest(trainer: CreditTrainer, prompt: list[int]) -> list[int]:
    ids: list[int] = []
    while len(ids) < trainer.max_completion_length and (not ids or ids[-1] not in trainer.eos_token_ids):
        with torch.no_grad():
            ids.append(int(trainer.model(input_ids=torch.tensor([prompt + ids])).logits[0, -1].argmax()))
    return ids


def test_remax_where_the_greedy_completion_could_not_be_scored(tmp_path: Path) -> None:
    """Such prompts teach nothing, and it counts as unscored."""
    calls = Counter[str]()

    def flaky(completions: list[Completion], tasks: list[Any]) -> list[Any]:
        calls.update(task.id for task in tasks)
        return [
            Unscored("gone") if task.id == "1" and calls["1"] and i == len(tasks) - 1 else worth(each.text)
            for i, (each, task) in enumerate(zip(completions, tasks, strict=True))
        ]

    budgets: list[int] = []
    with world.scorer(world.domain({"r": flaky})) as judge:
        trainer = made(tmp_path, judge, REMAX)
        real = judge.check_budget

        def watch(scored: Any, limit: float) -> None:
            budgets.append(sum(one.total is None for one in scored))
            real(scored, limit)

        judge.check_budget = watch  # type: ignore[method-assign]
        batch = trainer._generate_and_score_completions(inputs())
    assert budgets == [1]
    assert batch["advantages"][:4].any()
    assert not batch["advantages"][4:].any()


def test_an_evaluation_samples_nothing_greedily(tmp_path: Path) -> None:
    with world.scorer() as judge:
        trainer = made(tmp_path, judge, REMAX)
        trainer.model.eval()
        trainer._greedy = lambda prompts: pytest.fail("sampled")  # type: ignore[method-assign]
        assert not trainer._generate_and_score_completions(inputs())["advantages"].any()


# GSPO


@pytest.mark.parametrize("loss", ["grpo", "dr_grpo", "dapo"])
@pytest.mark.parametrize("level", ["token", "sequence_token"])
def test_gspo_token_keeps_dense_credit(tmp_path: Path, loss: str, level: str) -> None:
    """Value and gradient are those of ``policy_loss`` with that ratio, off policy."""
    ranges = {"epsilon": 0.002, "epsilon_high": 0.003}
    with world.scorer() as judge:
        trainer = made(tmp_path, judge, DENSE_RETURN, minibatches=2,
                       trainer={"importance_sampling_level": level, "loss_type": loss, **ranges})  # fmt: skip
        batch = trainer._generate_and_score_completions(inputs())
    trainer.args.steps_per_generation = 1  # all of it as one update
    with torch.no_grad():
        trainer.model.model.norm.weight.mul_(1.02)
    found = gradient(trainer, batch)
    mask, ids = batch["completion_mask"], torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    trainer.model.zero_grad()
    logps, _, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model, ids, torch.cat([batch["prompt_mask"], mask], 1), mask.shape[1]
    )
    wanted = policy_loss(
        logps, batch["old_per_token_logps"], batch["advantages"], mask.bool(), low=0.002, high=0.003, level=level,
        aggregation={"grpo": "seq-mean", "dr_grpo": "constant", "dapo": "token-mean"}[loss], length=12,  # type: ignore[arg-type]
    )  # fmt: skip
    assert 0 < float(wanted.numbers["clip_ratio/low"] + wanted.numbers["clip_ratio/high"]) < 1
    wanted.loss.backward()
    other = torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])
    assert float((found - other).abs().max()) <= 1e-6 * float(other.abs().max())


def test_gspo_by_its_name(tmp_path: Path) -> None:
    spec = world.rl_stage(algorithm="gspo")
    assert spec.estimator == "dense-return"
    ctx = world.context(tmp_path)
    args = rl_arguments(ctx, spec)
    assert (args.loss_type, args.epsilon, args.epsilon_high) == ("grpo", 3e-4, 4e-4)
    assert args.importance_sampling_level == "token", "TRL's part of it"
    with world.scorer() as judge:
        assert make_setup(ctx, spec, world.tasks(), judge, DENSE_RETURN, 1.0).ratio == "sequence_token"
    own = world.rl_stage(algorithm="gspo", trainer={"epsilon": 0.1, "loss_type": "dapo"})
    args = rl_arguments(ctx, own)
    assert (args.loss_type, args.epsilon, args.epsilon_high) == ("dapo", 0.1, 4e-4), "what the stage says stands"
    world.train(ctx, world.rl_stage(algorithm="gspo", minibatches=2, steps=2))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"importance_sampling_level": "sequence_token", "loss_type": "cispo"}, "'sequence_token' goes with ppo, grpo"),
        ({"importance_sampling_level": "sequence", "loss_type": "dapo"}, "or placement: terminal"),
        ({"loss_type": "luspo"}, "needs the ratio of a sequence"),
        ({"importance_sampling_level": "sequence", "loss_type": "vespo"}, "takes no notice of 'sequence'"),
    ],
)
def test_ratios_and_losses_that_do_not_go_together(tmp_path: Path, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        world.train(world.context(tmp_path), world.rl_stage(trainer=arguments))


def test_a_ratio_of_sequences_with_one_advantage_each(tmp_path: Path) -> None:
    stage = world.rl_stage(steps=1, trainer={"importance_sampling_level": "sequence", "loss_type": "grpo"})
    world.train(world.context(tmp_path), stage, estimator=GRPO)


# costs through the stage


def test_constraints_through_the_trainer(tmp_path: Path) -> None:
    """The cost is no part of the reward; its multiplier rises while it is above the threshold, and is in the log."""
    domain = world.domain(terms={"vowels": 1.0, "brief": 0.0}, correct="vowels")
    ctx = world.context(tmp_path)
    constraints = {"brief": {"threshold": -1.0, "lambda_lr": 0.1, "window": 8}}
    world.train(ctx, world.rl_stage(steps=3, constraints=constraints), estimator=RLOO, domain=domain)
    numbers = ctx.store.metrics("rl")
    expected = 1.0
    for step in (1, 2, 3):
        rows = ctx.store.rollouts("rl", step)
        costs = [row.scored.rewards["brief"].value for row in rows]
        assert numbers[step]["cost/brief"] == pytest.approx(sum(costs) / 8)
        assert numbers[step]["reward"] == pytest.approx(numbers[step]["rewards/vowels/mean"], abs=1e-6)
        assert numbers[step]["lambda/brief"] == pytest.approx(expected)
        expected *= 2.718281828459045 ** (0.1 * expected * (sum(costs) / 8 + 1.0))


def test_ppo_with_a_constraint_has_two_values(tmp_path: Path) -> None:
    domain = world.domain(terms={"vowels": 1.0, "brief": 0.0}, correct="vowels")
    ctx = world.context(tmp_path)
    stage = world.rl_stage(steps=2, algorithm="ppo", constraints={"brief": {}}, kl={"coef": 0.1})
    world.train(ctx, stage, estimator=GAE, domain=domain)
    assert {"critic/value", "critic/brief/value", "lambda/brief", "kl/coef"} <= set(ctx.store.metrics("rl")[2])


def test_groups_of_tasks_through_the_trainer(tmp_path: Path) -> None:
    ctx = world.context(tmp_path)
    stage = world.rl_stage(steps=1, prompts=8, samples=2, invariance={"column": "word", "coef": 0.5})
    world.train(ctx, stage)
    found = {name for name in ctx.store.metrics("rl")[1] if name.startswith("invariance/")}
    assert found == {f"invariance/{word}" for word in world.WORDS}


def test_shaping_through_the_trainer(tmp_path: Path) -> None:
    """Completions that never ended are charged; what is stored does not know of it."""
    with world.scorer(world.domain({"r": lambda completion: 1.0})) as judge:
        trainer = made(tmp_path, judge, RLOO, shaping={"missing_end": 0.5})
        batch = trainer._generate_and_score_completions(inputs())
        rows = trainer.take_rows()
    cut_off = torch.tensor([row.scored.completion.truncated for row in rows])
    assert cut_off.any()
    assert not cut_off.all()
    paid = torch.where(cut_off, -0.5, 0.0).view(2, 4)
    wanted = (paid - (paid.sum(-1, keepdim=True) - paid) / 3).flatten()
    assert batch["advantages"][:, 0].tolist() == pytest.approx(wanted.tolist(), abs=1e-6)
    assert all(row.scored.total == 1.0 for row in rows)


# the order of training


@pytest.mark.parametrize(("parts", "unit"), [(1, 4), (2, 4), (4, 2), (8, 1)])
def test_completions_of_a_prompt_stay_together(parts: int, unit: int) -> None:
    """As far as the size of a part allows."""
    batch = {"completion_ids": torch.arange(8).unsqueeze(1), "group": torch.arange(8) // 4, "count": torch.tensor(8)}
    assert unit_of(8, parts, 4) == unit
    orders = set()
    for seed in range(20):
        found = cut(batch, parts, 4, seed)
        ids = torch.cat([part["completion_ids"] for part in found]).flatten().tolist()
        orders.add(tuple(ids))
        assert sorted(ids) == list(range(8))
        assert all(int(part["count"]) == 8 for part in found)
        for start in range(0, 8, unit):
            assert ids[start : start + unit] == list(range(ids[start], ids[start] + unit))
            assert ids[start] % unit == 0
        assert [part["group"].tolist() for part in found] == [
            [i // 4 for i in ids[j : j + 8 // parts]] for j in range(0, 8, 8 // parts)
        ]
    assert len(orders) > 1
    assert torch.equal(cut(batch, parts, 4, 3)[0]["completion_ids"], cut(batch, parts, 4, 3)[0]["completion_ids"])


@pytest.mark.parametrize("size", [4, 2])
def test_micro_batches_share_prompts(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a prompt's completions do not fit into one; that is said, once."""
    said, layouts = [], []
    real = trainer_module.SharedPrompts._is_right

    def watch(self: Any, model: Any, layout: Any, *rest: Any) -> bool:
        layouts.append(layout.segments)
        return real(self, model, layout, *rest)

    monkeypatch.setattr(trainer_module.SharedPrompts, "_is_right", watch)
    with world.scorer() as judge:
        trainer = made(tmp_path, judge, GAE, algorithm="ppo",
                       trainer={"per_device_train_batch_size": size, "max_completion_length": 4})  # fmt: skip
        trainer.say = said.append  # type: ignore[method-assign]
        trainer.current_gradient_accumulation_steps = 8 // size
        with trainer.shared_prompts():
            for _ in range(8 // size):
                trainer._compute_loss(trainer.model, trainer._prepare_inputs(inputs())).backward()
                trainer._step += 1
    assert trainer._sharing_is_right
    assert set(layouts) == {size}
    assert len(layouts) == 2 * 8 // size, "when values are computed, and when they are trained"
    assert len(said) == (1 if size < 4 else 0)
    assert all("prompts are shared by 2 of their 4 completions" in line for line in said)


# critics that begin with a reward model


@pytest.mark.parametrize("lora", [None, LoraSpec(r=4, alpha=8)], ids=["full", "lora"])
def test_a_trunk_begins_with_a_reward_model(tmp_path: Path, lora: LoraSpec | None) -> None:
    start = world.policy(lora=lora)
    bare = start.model.get_base_model() if lora else start.model
    config = type(bare.config)(**{**bare.config.to_dict(), "num_labels": 1})
    torch.manual_seed(7)
    reward_model = LlamaForSequenceClassification(config).eval()
    reward_model.save_pretrained(tmp_path / "rm")
    start.tokenizer.save_pretrained(tmp_path / "rm")
    critic = make_critic(start, CriticSpec(kind="trunk", init="rm"), 2, start=tmp_path / "rm")
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        values = critic(torch.empty(0), {"input_ids": ids})
        wanted = reward_model.score(reward_model.model(input_ids=ids).last_hidden_state)
    torch.testing.assert_close(values[..., :1], wanted)
    assert not values[..., 1].any(), "a cost's value begins at 0"
    ctx = world.context(tmp_path)
    stage = world.rl_stage(steps=1, algorithm="ppo", critic={"kind": "trunk", "init": str(tmp_path / "rm")})
    world.train(ctx, stage, start, estimator=GAE, critic_start=tmp_path / "rm")
    assert ctx.store.metrics("rl")[1]["critic/value"] != 0


def test_what_is_no_reward_model_of_this_policy(tmp_path: Path) -> None:
    start = world.policy()
    spec = CriticSpec(kind="trunk", init="rm")
    (tmp_path / "rm").mkdir()
    with pytest.raises(UserError, match="cannot be loaded as a reward model"):
        make_critic(start, spec, 1, start=tmp_path / "rm")
    other = world.policy()
    other.tokenizer.add_tokens(["<|new|>"])
    config = type(start.model.config)(**{**start.model.config.to_dict(), "num_labels": 1})
    LlamaForSequenceClassification(config).save_pretrained(tmp_path / "other")
    other.tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="reads other tokens than the policy writes"):
        make_critic(start, spec, 1, start=tmp_path / "other")
