"""What honewise relies on in TRL: signatures, the order of calls, the buffer and how it is cut."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
from trl import DPOTrainer, GRPOTrainer, RewardTrainer, SFTTrainer
from trl.trainer.utils import RepeatSampler

from honewise.engine.dpo import PreferenceTrainer
from honewise.engine.overrides import (
    ADVANTAGES,
    BUFFER_KEYS,
    DPO_OVERRIDES,
    DPO_RELIED_ON,
    OVERRIDES,
    RELIED_ON,
    REWARD_OVERRIDES,
    REWARD_RELIED_ON,
    ROUNDS_OVERRIDES,
)
from honewise.engine.reward_trainer import RewardModelTrainer
from honewise.engine.rounds import RoundsTrainer
from honewise.engine.sft import DemonstrationTrainer
from honewise.engine.trainer import CreditTrainer, EpochSampler
from honewise.models.policy import quiet


def plain_signature(function: Callable[..., Any]) -> str:
    """Names and defaults, without annotations."""
    signature = inspect.signature(inspect.unwrap(function))
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


TRAINERS: list[tuple[type[Any], Any, Any]] = [
    (GRPOTrainer, OVERRIDES, RELIED_ON),
    (DPOTrainer, {**DPO_OVERRIDES, **ROUNDS_OVERRIDES}, DPO_RELIED_ON),
    (RewardTrainer, REWARD_OVERRIDES, REWARD_RELIED_ON),
]


@pytest.mark.parametrize(
    ("trainer", "name", "signature"),
    [(each, name, found[0]) for each, overrides, _ in TRAINERS for name, found in sorted(overrides.items())],
)
def test_signatures_of_what_is_overridden(trainer: type[Any], name: str, signature: str) -> None:
    found = plain_signature(getattr(trainer, name))
    assert found == signature, f"{trainer.__name__}.{name}, which we override, has changed"


@pytest.mark.parametrize(
    ("trainer", "name", "signature"),
    [(each, name, found) for each, _, relied_on in TRAINERS for name, found in sorted(relied_on.items())],
)
def test_signatures_of_what_is_called(trainer: type[Any], name: str, signature: str) -> None:
    found = plain_signature(getattr(trainer, name))
    assert found == signature, f"{trainer.__name__}.{name}, which we rely on, has changed"


def test_the_list_is_complete() -> None:
    """Every member of TRL or transformers that our trainers replace stands in the list."""
    families: list[tuple[type[Any], type[Any], Any, bool]] = [
        (CreditTrainer, GRPOTrainer, OVERRIDES, True),
        (DemonstrationTrainer, SFTTrainer, OVERRIDES, False),
        (PreferenceTrainer, DPOTrainer, DPO_OVERRIDES, True),
        (RoundsTrainer, DPOTrainer, {**DPO_OVERRIDES, **ROUNDS_OVERRIDES}, True),
        (RewardModelTrainer, RewardTrainer, REWARD_OVERRIDES, True),
    ]
    for ours, theirs, listed, all_of_them in families:
        bases = [base for base in ours.__mro__ if base.__module__.startswith("honewise.")]
        own = {name for base in bases for name in vars(base) if not name.startswith("__")}
        replaced = {name for name in own if inspect.isfunction(getattr(theirs, name, None))}
        assert not replaced - set(listed), f"{ours.__name__} overrides {sorted(replaced - set(listed))}, unlisted"
        unused = set(listed) - own
        assert not (all_of_them and unused), f"{ours.__name__} overrides no {sorted(unused)}, as listed"


def test_what_dpo_sees_and_logs_is_what_trl_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls of the model in TRL's loss, the policy's with a gradient and the reference's without; their
    log-probabilities are 0 outside completions, and the means of rewards that TRL logs are made of their sums."""
    from preference_world import pairs, preference_trainer

    from honewise.recipes.schema import LoraSpec

    for name, lora in (("full", None), ("lora", LoraSpec(r=4, alpha=8))):
        trainer, batch = preference_trainer(tmp_path / name, pairs(), lora=lora)
        for extra in ("target", "margin", "weight"):
            assert batch.pop(extra).shape == (8,)
        with trainer._recorded(None) as seen:
            loss = DPOTrainer._compute_loss(trainer, trainer.model, batch, False)
        assert len(seen) == 2
        assert seen[0].requires_grad
        assert not seen[1].requires_grad
        policy, reference = (each.sum(1).chunk(2) for each in seen)
        gap = (policy[0] - reference[0]) - (policy[1] - reference[1])
        assert gap.abs().max() > 1e-3, "the policy has moved"
        assert torch.allclose(loss, -torch.nn.functional.logsigmoid(0.1 * gap).mean())
        outside = batch["completion_mask"][:, 1:] == 0
        assert (seen[0][outside] == 0).all()
        logged = {key: values[-1] for key, values in trainer._metrics["train"].items()}
        assert logged["rewards/margins"] == pytest.approx(0.1 * gap.mean().item(), abs=1e-6)
        assert logged["logps/chosen"] == pytest.approx(policy[0].mean().item(), rel=1e-5)


def test_calls_buffer_and_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two micro-batches a generation, each trained on twice: one generation for four micro-steps."""
    calls: list[str] = []
    watched = ["_prepare_inputs", "_generate_and_score_completions", "_generate", "_generate_single_turn",
               "_calculate_rewards", "_compute_loss"]  # fmt: skip
    for name in watched:
        real = getattr(CreditTrainer, name)

        def watch(self: Any, *args: Any, _real: Any = real, _name: str = name, **kwargs: Any) -> Any:
            calls.append(_name)
            found = _real(self, *args, **kwargs)
            if _name == "_generate_and_score_completions":
                assert found.keys() >= BUFFER_KEYS
                rows, width = found["completion_ids"].shape
                assert found[ADVANTAGES].shape == (rows, width)
                assert found["num_items_in_batch"].dim() == 0
                whole.update(found)
            return found

        monkeypatch.setattr(CreditTrainer, name, watch)
    whole: dict[str, torch.Tensor] = {}
    stage = world.rl_stage(steps=2, trainer={"per_device_train_batch_size": 4, "num_iterations": 2})
    with world.scorer() as judge:
        trainer = world.trainer(tmp_path, stage, judge)
        with quiet():
            trainer.train()
    once = watched[:5]
    assert calls == [*once, "_compute_loss", *["_prepare_inputs", "_compute_loss"] * 3]
    assert trainer._step == 4
    assert trainer._buffered_inputs is not None
    assert len(trainer._buffered_inputs) == 2
    rows = torch.cat([part["completion_ids"] for part in trainer._buffered_inputs])
    order = [int((whole["completion_ids"] == row).all(-1).nonzero()[0]) for row in rows]
    assert sorted(order) == list(range(8)), "shuffled, cut in equal parts, nothing lost"
    advantages = torch.cat([part[ADVANTAGES] for part in trainer._buffered_inputs])
    assert torch.equal(advantages, whole[ADVANTAGES][order])


def test_the_first_epoch_is_in_the_order_of_trl() -> None:
    ours = EpochSampler(list(range(10)), mini_repeat_count=2, batch_size=3, repeat_count=2, seed=5)
    theirs = RepeatSampler(list(range(10)), mini_repeat_count=2, batch_size=3, repeat_count=2, seed=5)
    assert list(ours) == list(theirs)
    assert list(ours) == list(ours), "an epoch is the same however often it is read"
    ours.set_epoch(1)
    second = list(ours)
    assert second == list(ours)
    assert second != list(theirs)
    fresh = EpochSampler(list(range(10)), mini_repeat_count=2, batch_size=3, repeat_count=2, seed=5)
    fresh.set_epoch(1)
    assert list(fresh) == second, "and does not depend on what came before"


def test_a_kept_reference_is_where_kl_is_zero(tmp_path: Path) -> None:
    """Of a tiny model, of an adapter that was trained before, and with the adapter saved and opened again."""
    from honewise.models.policy import open_policy, save_policy
    from honewise.recipes.schema import LoraSpec

    stage = world.rl_stage(steps=2, trainer={"beta": 0.1, "learning_rate": 1e-2})
    for name, lora in (("full", None), ("lora", LoraSpec(r=4, alpha=8))):
        ctx = world.context(tmp_path / name)
        trained, policy = world.train(ctx, stage, world.policy(lora=lora))
        numbers = ctx.store.metrics("rl")
        assert numbers[1]["kl"] == 0.0
        assert numbers[2]["kl"] > 0.0
        assert trained.reference is not None
        again = open_policy(save_policy(policy, tmp_path / name / "policy"), device="cpu")
        ctx = world.context(tmp_path / name, "again")
        trained, _ = world.train(ctx, stage, again)
        assert ctx.store.metrics("again")[1]["kl"] == 0.0, "the reference is where this stage began"
        assert trained.reference == str(tmp_path / name / "policy")
