"""What honewise relies on in TRL: signatures, the order of calls, the buffer and how it is cut."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
from trl import GRPOTrainer, SFTTrainer
from trl.trainer.utils import RepeatSampler

from honewise.engine.overrides import ADVANTAGES, BUFFER_KEYS, OVERRIDES, RELIED_ON
from honewise.engine.sft import DemonstrationTrainer
from honewise.engine.trainer import CreditTrainer, EpochSampler
from honewise.models.policy import quiet


def plain_signature(function: Callable[..., Any]) -> str:
    """Names and defaults, without annotations."""
    signature = inspect.signature(inspect.unwrap(function))
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("name", sorted(OVERRIDES))
def test_signatures_of_what_is_overridden(name: str) -> None:
    assert plain_signature(getattr(GRPOTrainer, name)) == OVERRIDES[name][0]


@pytest.mark.parametrize("name", sorted(RELIED_ON))
def test_signatures_of_what_is_called(name: str) -> None:
    assert plain_signature(getattr(GRPOTrainer, name)) == RELIED_ON[name]


def test_the_list_is_complete() -> None:
    """Every member of TRL or transformers that our trainers replace stands in the list."""
    for ours, theirs in ((CreditTrainer, GRPOTrainer), (DemonstrationTrainer, SFTTrainer)):
        bases = [base for base in ours.__mro__ if base.__module__.startswith("honewise.")]
        own = {name for base in bases for name in vars(base)}
        replaced = {
            name for name in own if not name.startswith("__") and inspect.isfunction(getattr(theirs, name, None))
        }
        assert replaced <= set(OVERRIDES)
    bases = [base for base in CreditTrainer.__mro__ if base.__module__.startswith("honewise.")]
    assert all(any(name in vars(one) for one in bases) for name in OVERRIDES)


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
