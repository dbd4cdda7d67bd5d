"""PPO in the trainer: values and their gradients, what is stored, clipped, charged and left alone."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from honewise.algorithms import GAE, RLOO, Rollouts, kl_estimate
from honewise.engine.actor_critic import NAME, ActorCriticOutput, hidden
from honewise.engine.overrides import BUFFER_KEYS, CRITIC_KEYS
from honewise.engine.rl import rl_arguments
from honewise.engine.rl_setup import make_setup
from honewise.engine.trainer import CreditTrainer
from honewise.errors import UserError
from honewise.models.critic import FILE
from honewise.models.policy import Policy, quiet
from honewise.recipes.schema import LoraSpec

LORA = LoraSpec(r=4, alpha=8)
ENDS = range(40, 90)
"""Ids that also end a completion, so that an untrained policy's have unequal lengths."""


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


def made(folder: Path, judge: Any, *, of: Policy | None = None, estimator: Any = GAE, **stage: Any) -> CreditTrainer:
    """A trainer as the stage makes it, with completions of unequal lengths."""
    spec = world.rl_stage(**{"algorithm": "ppo" if estimator is GAE else "grpo", **stage})
    ctx, start = world.context(folder), of or world.policy()
    setup = make_setup(ctx, spec, world.tasks(), judge, estimator, 1.0, policy=start)
    args = rl_arguments(ctx, spec)
    if args.beta and not start.adapted:
        from honewise.engine.references import fix_reference

        fix_reference(ctx, start)
    trainer = CreditTrainer(start.model, setup, args, start.tokenizer)
    trainer.eos_token_ids = [*trainer.eos_token_ids, *ENDS]
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return trainer


def gradients(trainer: CreditTrainer, batch: Mapping[str, Any]) -> dict[str, Tensor]:
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, dict(batch)).backward()
    return {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}


def stir(trainer: CreditTrainer) -> None:
    """A head that has learnt something, so that gradients reach what is below it."""
    assert trainer.critic is not None
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in trainer.critic.head.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) / 4)


def close(one: Mapping[str, Tensor], other: Mapping[str, Tensor], share: float = 1e-6) -> None:
    """Equal names, and gradients equal up to a share of the largest."""
    assert set(one) == set(other)
    biggest = max(float(value.abs().max()) for value in other.values())
    assert biggest > 0
    for name, value in one.items():
        assert float((value - other[name]).abs().max()) <= share * biggest, name


CRITICS = [
    pytest.param({"kind": "head"}, None, id="head"),
    pytest.param({"kind": "head", "detach": True}, None, id="detached-head"),
    pytest.param({"kind": "trunk"}, None, id="trunk"),
    pytest.param({"kind": "head"}, LORA, id="head-lora"),
    pytest.param({"kind": "trunk"}, LORA, id="trunk-lora"),
]


@pytest.mark.parametrize(("critic", "lora"), CRITICS)
@pytest.mark.parametrize("shared", [False, True])
def test_the_values_and_their_gradients_are_those_of_a_reference(
    tmp_path: Path, critic: dict[str, Any], lora: LoraSpec | None, shared: bool
) -> None:
    """Against a value loss written out by hand on the library's own hidden states."""
    with world.scorer() as judge:
        trainer = made(tmp_path, judge, of=world.policy(lora=lora), critic={**critic, "coef": 0.7, "clip": 0.05})
        stir(trainer)
        batch = trainer._generate_and_score_completions(inputs())
        stir_old = torch.randn(batch["old_values"].shape, generator=torch.Generator().manual_seed(5)) / 10
        batch |= {"advantages": torch.zeros_like(batch["advantages"]), "old_values": batch["old_values"] + stir_old}
        with trainer.shared_prompts() if shared else contextlib.nullcontext():
            found = gradients(trainer, batch)
        assert trainer._sharing_is_right is (True if shared else None)
    wanted = reference_gradients(trainer, batch, coef=0.7, clip=0.05)
    for name in set(found) - set(wanted):  # TRL's loss touches all of the policy, with advantages of 0
        assert not found[name].any(), name
    close({name: found[name] for name in wanted}, wanted)
    critics = {name for name in wanted if name.startswith(NAME)}
    assert {f"{NAME}.head.weight", f"{NAME}.head.bias"} <= critics
    reaches_policy = critic["kind"] == "head" and not critic.get("detach")
    assert (len(wanted) > len(critics)) == reaches_policy


def reference_gradients(
    trainer: CreditTrainer, batch: Mapping[str, Any], *, coef: float, clip: float
) -> dict[str, Tensor]:
    model, critic = trainer.model, trainer.critic
    assert critic is not None
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    attention = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    if critic.trunk is not None:
        states = critic.trunk(input_ids=ids, attention_mask=attention).last_hidden_state
    else:
        states = model(input_ids=ids, attention_mask=attention, output_hidden_states=True).hidden_states[-1]
    states = states.detach() if critic.detach else states
    width = batch["completion_ids"].shape[1]
    values = F.linear(states, critic.head.weight, critic.head.bias) * critic.head.scale + critic.head.shift
    values = values[:, -width - 1 : -1, 0]
    old, returns, mask = (batch[name][..., 0] for name in ("old_values", "returns", "value_mask"))
    limited = old + (values - old).clamp(-clip, clip)
    assert ((values - old).abs() > clip)[mask].any(), "the clip is at work"
    errors = torch.maximum((values - returns) ** 2, (limited - returns) ** 2)
    loss = coef * 0.5 * errors[mask].sum() / mask.sum()
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True)
    return {name: value for (name, _), value in zip(named, found, strict=True) if value is not None and value.any()}


def test_on_the_first_minibatch_the_gradient_is_that_of_reinforce(tmp_path: Path) -> None:
    """Ratio 1, nothing clipped, no KL to the policy that sampled; and with whitened advantages a policy loss of 0."""
    with world.scorer() as judge:
        trainer = made(tmp_path, judge, critic={"detach": True}, minibatches=2,
                       estimator_options={"whitened": "batch"}, trainer={"loss_type": "dapo"})  # fmt: skip
        batch = trainer._generate_and_score_completions(inputs())
    assert "old_per_token_logps" in batch, "two updates a batch"
    mask = batch["completion_mask"].bool()
    assert float(batch["advantages"][mask].mean()) == pytest.approx(0, abs=1e-6)
    assert float(batch["advantages"][mask].std(unbiased=False)) == pytest.approx(1, abs=1e-5)
    trainer.args.steps_per_generation = 1  # all of the batch as one
    found = {name: value for name, value in gradients(trainer, batch).items() if not name.startswith(NAME)}
    trainer._settle("train")
    numbers = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    assert numbers["approx_kl"] == pytest.approx(0, abs=1e-7)
    assert numbers["clip_ratio/region_mean"] == 0
    assert numbers["critic/clip_ratio"] == 0
    trainer.model.zero_grad()
    logps, _, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model, torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
        torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1), mask.shape[1],
    )  # fmt: skip
    (-(logps * batch["advantages"])[mask].sum() / mask.sum()).backward()
    close(found, {n: p.grad for n, p in trainer.model.named_parameters() if p.grad is not None})


def test_buffer_keys_and_what_they_hold(tmp_path: Path) -> None:
    with world.scorer() as judge:
        trainer = made(tmp_path, judge, minibatches=2, trainer={"num_iterations": 2})
        stir(trainer)
        batch = trainer._generate_and_score_completions(inputs())
    assert batch.keys() >= BUFFER_KEYS | CRITIC_KEYS | {"old_per_token_logps"}
    mask = batch["completion_mask"].bool()
    assert batch["value_items"] == mask.sum() == batch["value_mask"].sum()
    assert not batch["old_values"][~mask].any()
    assert not batch["returns"][~mask].any()
    torch.testing.assert_close(batch["returns"][..., 0], batch["advantages"] + batch["old_values"][..., 0])
    with torch.no_grad(), trainer.values_asked() as values:
        trainer._get_per_token_logps_and_entropies(
            trainer.model, torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1), mask.shape[1],
        )  # fmt: skip
    torch.testing.assert_close(values[0], batch["old_values"])


def test_advantages_are_those_of_gae_with_the_rewards_where_they_were_earned(tmp_path: Path) -> None:
    with world.scorer() as judge:
        trainer = made(tmp_path, judge, estimator_options={"lam": 0.9, "gamma": 0.8})
        stir(trainer)
        batch = trainer._generate_and_score_completions(inputs())
        rows = trainer.take_rows()
    mask = batch["completion_mask"].bool()
    for i, row in enumerate(rows):
        length = int(mask[i].sum())
        rewards, values = torch.zeros(length), batch["old_values"][i, :length, 0]
        for (*_, value), place in zip(row.credit, _places(trainer, batch, i, row.credit), strict=True):
            rewards[place] += value
        advantage, wanted = 0.0, []
        for t in reversed(range(length)):
            following = values[t + 1] if t + 1 < length else 0.0
            advantage = float(rewards[t] + 0.8 * following - values[t]) + 0.8 * 0.9 * advantage
            wanted.insert(0, advantage)
        assert batch["advantages"][i, :length].tolist() == pytest.approx(wanted, abs=1e-6)


def _places(trainer: CreditTrainer, batch: Mapping[str, Any], row: int, credit: Any) -> list[int]:
    """Which token earned each piece of credit, by the characters that it wrote."""
    from honewise.engine.credit import decode

    ids = batch["completion_ids"][row][batch["completion_mask"][row].bool()].tolist()
    spans = list(decode(trainer._tokenizer, ids).spans)
    places, start = [], 0
    for first, last, _ in credit:
        start = spans.index((first, last), start)
        places.append(start)
        start += 1
    return places


def test_text_of_a_tool_is_no_step_of_the_critics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tokens in the middle of every completion are a tool's: the value that follows is that of the next own one."""
    with world.scorer(world.domain({"r": lambda completion: len(completion.text) / 10})) as judge:
        trainer = made(tmp_path, judge, estimator_options={"lam": 0.5})
        stir(trainer)
        real = trainer._generate

        def with_tool(prompts: Any) -> Any:
            found = list(real(prompts))
            found[2] = [[0 if 1 <= i <= 2 and len(ids) > 4 else 1 for i in range(len(ids))] for ids in found[1]]
            return tuple(found)

        monkeypatch.setattr(trainer, "_generate", with_tool)
        batch = trainer._generate_and_score_completions(inputs())
        rows = trainer.take_rows()
    own = (batch["completion_mask"] * batch["tool_mask"]).bool()
    assert (own.sum(-1) < batch["completion_mask"].sum(-1)).any()
    assert not batch["advantages"][~own].any()
    assert not batch["value_mask"][..., 0][~own].any()
    assert batch["value_items"] == own.sum()
    for i, row in enumerate(rows):
        values, advantage, wanted = batch["old_values"][i, own[i], 0], 0.0, []
        for t in reversed(range(len(values))):
            last = t + 1 == len(values)
            following = 0.0 if last else float(values[t + 1])
            assert row.scored.total is not None
            advantage = (row.scored.total if last else 0.0) + following - float(values[t]) + 0.5 * advantage
            wanted.insert(0, advantage)
        assert batch["advantages"][i, own[i]].tolist() == pytest.approx(wanted, abs=1e-5)


def test_padding_changes_nothing(tmp_path: Path) -> None:
    with world.scorer() as judge:
        trainer = made(tmp_path, judge, critic={"kind": "trunk"})
        stir(trainer)
        batch = trainer._generate_and_score_completions(inputs())
    wider = {}
    for name, value in batch.items():
        if torch.is_tensor(value) and value.dim() >= 2 and not name.startswith("prompt"):
            filler = torch.full((len(value), 5, *value.shape[2:]), 9, dtype=value.dtype)
            wider[name] = torch.cat([value, filler * (0 if "mask" in name else 1)], 1)
        else:
            wider[name] = value
    left = torch.full((8, 3), trainer._tokenizer.pad_token_id)
    wider["prompt_ids"] = torch.cat([left, batch["prompt_ids"]], 1)
    wider["prompt_mask"] = torch.cat([torch.zeros_like(left), batch["prompt_mask"]], 1)
    close(gradients(trainer, wider), gradients(trainer, batch), share=2e-6)


def test_whitening_is_over_the_batch_and_not_over_its_parts(tmp_path: Path) -> None:
    found = []
    for name, size in (("whole", 8), ("parts", 2)):
        with world.scorer() as judge:
            trainer = made(tmp_path / name, judge, estimator_options={"whitened": "batch"},
                           trainer={"per_device_train_batch_size": size})  # fmt: skip
            parts = trainer._prepare_inputs(inputs()) and trainer._buffered_inputs
            assert parts is not None
            found.append([part["advantages"][part["completion_mask"].bool()] for part in parts])
    whole, parts = found
    torch.testing.assert_close(torch.cat(parts).sort().values, torch.cat(whole).sort().values, rtol=0, atol=1e-6)
    assert float(torch.cat(parts).mean()) == pytest.approx(0, abs=1e-6)
    assert max(abs(float(part.mean())) for part in parts) > 0.01


def test_epochs_and_minibatches(tmp_path: Path) -> None:
    """Two minibatches, gone through twice: four updates for each of the two batches that are sampled."""
    ctx = world.context(tmp_path)
    stage = world.rl_stage(algorithm="ppo", steps=8, minibatches=2, trainer={"num_iterations": 2})
    world.train(ctx, stage, estimator=GAE)
    numbers = ctx.store.metrics("rl")
    sampled = [step for step, each in numbers.items() if "reward" in each]
    assert sampled == [1, 5]
    assert [len(ctx.store.rollouts("rl", step)) for step in numbers] == [8, 0, 0, 0, 8, 0, 0, 0]
    assert numbers[1]["approx_kl"] == pytest.approx(0, abs=1e-7)
    assert all(numbers[step]["approx_kl"] > 0 for step in (2, 3, 4, 6, 7, 8)), "off policy from the second update on"
    assert all("critic/loss" in each and "critic/grad_norm" in each for each in numbers.values())


def test_policy_and_critic_have_rates_and_clips_of_their_own(tmp_path: Path) -> None:
    with world.scorer() as judge:
        critic = {"kind": "trunk", "learning_rate": 0.5, "max_grad_norm": 1e-3}
        trainer = made(tmp_path, judge, critic=critic, trainer={"learning_rate": 0.25, "weight_decay": 0.1})
        stir(trainer)
        optimizer = trainer.create_optimizer()
        own = {id(p) for p in trainer._critic_parameters()}
        rates = {(group["lr"], group["weight_decay"]): group["params"] for group in optimizer.param_groups}
        assert set(rates) == {(0.25, 0.1), (0.25, 0.0), (0.5, 0.1), (0.5, 0.0)}
        for (rate, _), params in rates.items():
            assert params
            assert {id(p) in own for p in params} == {rate == 0.5}
        counted = sum(len(group["params"]) for group in optimizer.param_groups)
        assert counted == len(list(trainer.model.parameters()))
        batch = trainer._generate_and_score_completions(inputs())
        before = gradients(trainer, batch)
        trainer.args.max_grad_norm = 1e9
        norm = trainer._clip_grad_norm(trainer.model)
    after = {name: p.grad for name, p in trainer.model.named_parameters()}
    policy = [name for name in before if not name.startswith(NAME)]
    assert all(torch.equal(before[name], after[name]) for name in policy)
    assert float(norm) == pytest.approx(float(torch.stack([before[name].norm() for name in policy]).norm()))
    critics = [after[name] for name in before if name.startswith(NAME)]
    assert float(torch.stack([value.norm() for value in critics]).norm()) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("scaled", [True, False])
def test_a_critic_begins_at_the_mean_of_the_first_batchs_returns(tmp_path: Path, scaled: bool) -> None:
    with world.scorer() as judge:
        trainer = made(tmp_path, judge, critic={"scaled": scaled}, estimator_options={"lam": 1.0})
        first = trainer._generate_and_score_completions(inputs())
        trainer._step += trainer.args.steps_per_generation
        second = trainer._generate_and_score_completions(inputs())
    assert trainer.critic is not None
    own = first["value_mask"]
    returns = first["returns"][own].double()
    head = trainer.critic.head
    if scaled:
        assert float(head.shift) == pytest.approx(float(returns.mean()), abs=1e-6)
        assert float(head.scale) == pytest.approx(float(returns.std(correction=0)), abs=1e-6)
        for batch in (first, second):
            kept = batch["old_values"][batch["value_mask"]]
            torch.testing.assert_close(kept, head.shift.expand_as(kept))
        assert not torch.equal(first["returns"], second["returns"]), "the scale is that of the first batch for good"
    else:
        assert (float(head.shift), float(head.scale), float(head.known)) == (0, 1, 0)
        assert not first["old_values"].any()


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("kind", ["head", "trunk"])
@pytest.mark.parametrize(("steps", "moved"), [(2, False), (3, True)])
def test_in_its_warmup_the_critic_learns_alone(
    tmp_path: Path, kind: str, lora: LoraSpec | None, steps: int, moved: bool
) -> None:
    ctx, start = world.context(tmp_path), world.policy(lora=lora)
    before = {name: value.clone() for name, value in start.model.state_dict().items()}
    trainer = {"weight_decay": 0.1, "lr_scheduler_type": "constant"}
    stage = world.rl_stage(algorithm="ppo", steps=steps, critic={"kind": kind, "warmup": 2}, trainer=trainer)
    world.train(ctx, stage, start, estimator=GAE)
    after = start.model.state_dict()
    assert any(not torch.equal(after[name], value) for name, value in before.items()) == moved
    assert load_file(ctx.folder / "critic" / FILE)["head.weight"].any()


# the KL


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("estimator", [GAE, RLOO], ids=["ppo", "rloo"])
def test_a_kl_in_the_reward_counts_once(tmp_path: Path, estimator: Any, lora: LoraSpec | None) -> None:
    """The reference is there, TRL's term in the loss is not."""
    with world.scorer() as judge:
        trainer = made(tmp_path, judge, of=world.policy(lora=lora), estimator=estimator, kl={"coef": 0.3})
        assert trainer.beta == 0.3
        with torch.no_grad():
            for value in trainer.model.parameters():
                if value.requires_grad:
                    value.add_(0.02 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
        batch = trainer._generate_and_score_completions(inputs())
    numbers = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    assert abs(numbers["kl/token"]) > 1e-6
    assert numbers["kl/sequence"] / numbers["kl/token"] == pytest.approx(numbers["completions/mean_length"])
    assert numbers["kl/coef"] == 0.3
    found = gradients(trainer, batch)
    assert "kl" not in trainer._metrics["train"]
    trainer.beta = 0.0
    trainer.setup = copy.copy(trainer.setup)
    object.__setattr__(trainer.setup, "kl", None)
    without = gradients(trainer, {name: value for name, value in batch.items() if name != "ref_per_token_logps"})
    assert all(torch.equal(found[name], without[name]) for name in found)


def test_the_charge_is_that_of_k1_on_each_token(tmp_path: Path) -> None:
    seen: list[Rollouts] = []

    def watch(rollouts: Rollouts) -> Tensor:
        seen.append(rollouts)
        return torch.zeros_like(rollouts.rewards[0])

    from honewise.algorithms import Estimator

    with world.scorer() as judge:
        trainer = made(tmp_path, judge, estimator=Estimator("watch", watch), kl={"coef": 0.5})
        with torch.no_grad():
            trainer.model.model.norm.weight.mul_(1.1)
        trainer._generate_and_score_completions(inputs())
    (rollouts,) = seen
    assert rollouts.kl == 2
    assert rollouts.old_logps is not None
    assert rollouts.ref_logps is not None
    wanted = -0.5 * kl_estimate(rollouts.old_logps, rollouts.ref_logps, "k1") * rollouts.mask
    assert wanted.any()
    torch.testing.assert_close(rollouts.rewards[2], wanted)


@pytest.mark.parametrize("loss", ["grpo", "dr_grpo", "dapo", "bnpo", "luspo", "sapo", "cispo", "vespo"])
def test_k3_in_the_loss_is_trls_beta(tmp_path: Path, loss: str) -> None:
    """Whatever the loss averages over: the same gradient, off policy and with a row that was dropped."""
    found = []
    for name, ours in (("ours", {"kl": {"coef": 0.4, "where": "loss"}}), ("trl", {})):
        more = {} if ours else {"beta": 0.4}
        with world.scorer(world.domain({"r": _lost_once})) as judge:
            trainer = made(tmp_path / name, judge, estimator=RLOO, minibatches=2, **ours,
                           trainer={"loss_type": loss, **more})  # fmt: skip
            batch = trainer._generate_and_score_completions(inputs())
            trainer.args.steps_per_generation = 1  # all of it as one update
            assert not batch["completion_mask"][2].any()
            assert "old_per_token_logps" in batch
            with torch.no_grad():
                trainer.model.model.norm.weight.mul_(1.05)
            found.append(gradients(trainer, batch))
    close(found[0], found[1])


def _lost_once(completions: list[Any], tasks: list[Any]) -> list[Any]:
    return [world.always_unscored(c) if i == 2 else 0.1 * i for i, c in enumerate(completions)]


def test_an_adaptive_kl_moves_by_what_was_measured(tmp_path: Path) -> None:
    ctx = world.context(tmp_path)
    kl = {"coef": 0.2, "controller": "adaptive", "target": 0.01, "unit": "token", "horizon": 40}
    world.train(ctx, world.rl_stage(algorithm="ppo", steps=4, kl=kl, trainer={"learning_rate": 0.02}), estimator=GAE)
    numbers = ctx.store.metrics("rl")
    assert numbers[1]["kl/token"] == pytest.approx(0, abs=1e-6), "at the first step the policy is the reference"
    coefficient = 0.2
    for step in range(1, 5):
        assert numbers[step]["kl/coef"] == pytest.approx(coefficient)
        error = min(max(numbers[step]["kl/token"] / 0.01 - 1, -0.2), 0.2)
        coefficient *= 1 + error * 8 / 40
    assert len({numbers[step]["kl/coef"] for step in numbers}) == 4


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ({"kl": {"coef": 0.1, "estimator": "k3"}}, "'k3' as a reward does not have the gradient of the KL"),
        ({"trainer": {"mask_truncated_completions": True}}, "what is masked has neither values nor a KL"),
        ({"kl": {"coef": 0.1}, "trainer": {"sync_ref_model": True}}, "a reference that moves"),
        ({"minibatches": 3}, "minibatches: 3 minibatches do not divide the 8 completions"),
        ({"constraints": {"brief": {}}}, "give the reward weight 0 in the rubric"),
        ({"constraints": {"brif": {}}}, "no reward 'brif' in the rubric; did you mean 'brief'"),
        ({"invariance": {"column": "colour", "coef": 1.0}}, "no task has 'colour'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_does_not_go_together(tmp_path: Path, stage: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        world.train(world.context(tmp_path), world.rl_stage(algorithm="ppo", **stage), estimator=GAE)


def test_estimator_and_algorithm_must_fit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'rloo' does not look at the critic"):
        world.train(world.context(tmp_path), world.rl_stage(algorithm="ppo"), estimator=RLOO)
    with pytest.raises(UserError, match="needs a critic; use algorithm: ppo"):
        world.train(world.context(tmp_path), world.rl_stage(), estimator=GAE)


# where the critic is and is not


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("kind", ["head", "trunk"])
def test_the_critic_stays_out_of_the_policy(tmp_path: Path, kind: str, lora: LoraSpec | None) -> None:
    """Out of checkpoints' policy, out of the policy that is kept, and out of the model afterwards."""
    from honewise.models.policy import open_policy, save_policy

    ctx, start = world.context(tmp_path), world.policy(lora=lora)
    names = set(start.model.state_dict())
    stage = world.rl_stage(algorithm="ppo", steps=2, critic={"kind": kind}, kl={"coef": 0.1})
    world.train(ctx, stage, start, estimator=GAE)
    kept = {name for name in start.model.state_dict() if ".ref." not in name}
    assert kept == names
    checkpoint = ctx.folder / "checkpoint-2"
    weights = "adapter_model.safetensors" if lora else "model.safetensors"
    assert not [name for name in load_file(checkpoint / weights) if NAME in name]
    critic = load_file(checkpoint / FILE)
    assert {"head.weight", "head.bias"} <= set(critic)
    assert critic["head.weight"].any()
    assert (len(critic) > 5) == (kind == "trunk")
    assert all("lora_" in name or name.startswith("head") for name in critic) or lora is None
    final = load_file(ctx.folder / "critic" / FILE)
    assert all(torch.equal(final[name], critic[name]) for name in critic)
    saved = save_policy(start, tmp_path / "policy")
    assert not [name for name in load_file(saved / weights) if NAME in name]
    assert set(open_policy(saved, device="cpu").model.state_dict()) == names


def test_vllm_never_sees_the_critic(tmp_path: Path) -> None:
    """Through TRL's own walk over what it sends."""
    from trl.generation.vllm_generation import VLLMGeneration

    for lora in (None, LORA):
        with world.scorer() as judge:
            trainer = made(tmp_path / str(lora is None), judge, of=world.policy(lora=lora), critic={"kind": "trunk"})
            sent: list[str] = []
            generation = VLLMGeneration.__new__(VLLMGeneration)
            generation.model, generation._dist = trainer.model, trainer._dist
            generation._fix_param_name_to_vllm = lambda name, extra_prefixes=None: name  # type: ignore[method-assign]
            trainer._hiding(lambda g=generation, s=sent: s.extend(name for name, _ in g._iter_named_params()))()
            assert sent
            assert not [name for name in sent if NAME in name or "lora" in name]
            assert [name for name, _ in generation._iter_named_params() if NAME in name], "it would, otherwise"


def test_the_reference_of_an_adapter_is_not_the_critics_business(tmp_path: Path) -> None:
    """Switching adapters on and off leaves the critic's own adapters trained and at work."""
    with world.scorer() as judge:
        start = world.policy(lora=LORA)
        trainer = made(tmp_path, judge, of=start, critic={"kind": "trunk"}, kl={"coef": 0.1})
        stir(trainer)
        first = trainer._generate_and_score_completions(inputs())
        again = gradients(trainer, first)
    adapters = [name for name in again if name.startswith(f"{NAME}.trunk") and "lora_B" in name]
    assert adapters
    assert all(again[name].any() for name in adapters)
    assert all("lora_" in name for name in again if name.startswith(f"{NAME}.trunk"))
    assert trainer.model.active_adapter == "default"


def test_the_forward_is_as_before_where_nobody_asks_for_values(tmp_path: Path) -> None:
    with world.scorer() as judge:
        trainer = made(tmp_path, judge)
        ids = torch.arange(10, 20)[None]
        plain = trainer.model(input_ids=ids)
        assert plain.logits.shape[:2] == (1, 10)
        fused = trainer.model(input_ids=ids, labels=ids, fused_lm_head=True)
        assert not isinstance(fused, ActorCriticOutput)
        both = trainer.model(input_ids=ids, labels=ids, fused_lm_head=True, token_values=True)
        assert isinstance(both, ActorCriticOutput)
        assert both.token_values is not None
        assert both.token_values.shape == (1, 9, 1)
        assert torch.equal(both.log_probs, fused.log_probs)
        with hidden(trainer.model):
            assert not [name for name, _ in trainer.model.named_parameters() if NAME in name]
        assert [name for name, _ in trainer.model.named_parameters() if NAME in name]


def test_evaluation_moves_nothing_and_asks_no_critic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = world.domain(terms={"vowels": 1.0, "brief": 0.0}, correct="vowels")
    kl = {"coef": 0.2, "controller": "adaptive", "target": 0.01, "unit": "token", "horizon": 10}
    with world.scorer(costs) as judge:
        trainer = made(tmp_path, judge, kl=kl, constraints={"brief": {"threshold": 0.01}})
        before = trainer.objective.state()
        trainer.model.eval()
        monkeypatch.setattr(type(trainer.critic), "forward", lambda *_: pytest.fail("the critic was asked"))
        batch = trainer._generate_and_score_completions(inputs())
        loss = trainer._compute_loss(trainer.model, batch)
    assert loss.isfinite()
    assert trainer.objective.state() == before
    assert not batch["advantages"].any()
    assert not CRITIC_KEYS & batch.keys()
    assert trainer.take_rows() == []


@pytest.mark.parametrize("estimator", [GAE, RLOO], ids=["ppo", "rloo"])
def test_training_goes_on_as_if_nothing_had_been_evaluated(
    tmp_path: Path, estimator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every update a batch is sampled, scored and its loss computed in evaluation mode: the training ends with
    the same weights, numbers and completions, bit for bit."""
    kl = {"coef": 0.2, "controller": "adaptive", "target": 0.01, "unit": "token", "horizon": 10}
    stage = {"kl": kl, "constraints": {"brief": {"threshold": 0.01}}, "minibatches": 2, "steps": 4}
    spec = world.rl_stage(algorithm="ppo" if estimator is GAE else "rloo", **stage, trainer={"num_iterations": 2})
    step, evaluated = CreditTrainer.training_step, [0]

    def with_evaluation(self: Any, model: Any, batch: Any, *rest: Any, **more: Any) -> Any:
        loss = step(self, model, batch, *rest, **more)
        self.model.eval()
        with torch.no_grad():
            self._compute_loss(self.model, self._prepare_inputs(inputs()))
        self._settle("eval")
        self.model.train()
        evaluated[0] += 1
        return loss

    ends = []
    for name in ("plain", "evaluated"):
        if name == "evaluated":
            monkeypatch.setattr(CreditTrainer, "training_step", with_evaluation)
        ctx = world.context(tmp_path / name)
        domain = world.domain(terms={"vowels": 1.0, "brief": 0.0})
        _, policy = world.train(ctx, spec, world.policy(), estimator=estimator, domain=domain)
        numbers = {
            step: {key: value for key, value in each.items() if "seconds" not in key and "time" not in key}
            for step, each in ctx.store.metrics("rl").items()
        }
        texts = [row.scored.completion.text for row in ctx.store.rollouts("rl")]
        ends.append((world.weights(policy.model), numbers, texts))
    assert evaluated == [4]
    (plain, numbers, texts), (other, their_numbers, their_texts) = ends
    assert texts == their_texts
    assert numbers == their_numbers
    assert all(torch.equal(plain[name], other[name]) for name in plain)
