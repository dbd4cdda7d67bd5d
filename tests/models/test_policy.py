"""Loading, adapting, saving and opening again: always the same policy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny_world as world
import torch

from honewise.errors import UserError
from honewise.models.policy import Policy, load_policy, open_policy, resolve_device, save_policy
from honewise.models.sampling import sample
from honewise.recipes.schema import LoraSpec, PolicySpec

IDS = torch.tensor([[5, 40, 60, 61, 70, 1, 7]])


def logits(policy: Policy) -> torch.Tensor:
    with torch.no_grad():
        return policy.model(IDS).logits


def stirred(policy: Policy) -> Policy:
    """As if it had been trained: every weight that may learn is moved."""
    generator = torch.Generator().manual_seed(1)
    for parameter in policy.model.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn(parameter.shape, generator=generator) * 0.05
    return policy


def test_saved_and_opened(tmp_path: Path) -> None:
    policy = stirred(world.policy())
    again = open_policy(save_policy(policy, tmp_path / "p"), device="cpu")
    assert torch.equal(logits(again), logits(policy))
    assert again.path == str(tmp_path / "p")
    assert policy.path is None
    assert again.tokenizer.chat_template == policy.tokenizer.chat_template
    assert not again.model.training
    prompts = [task.prompt for task in world.tasks(2)]
    assert sample(again, prompts, max_new_tokens=5) == sample(policy, prompts, max_new_tokens=5)


def test_an_adapter_on_a_tiny_policy_carries_its_base(tmp_path: Path) -> None:
    policy = world.policy(lora=LoraSpec(r=4, alpha=8))
    assert torch.equal(logits(policy), logits(world.policy())), "fresh adapters change nothing"
    assert policy.adapted
    stirred(policy)
    folder = save_policy(policy, tmp_path / "p")
    moved = shutil.move(folder, tmp_path / "elsewhere")
    again = open_policy(moved, device="cpu")
    assert torch.equal(logits(again), logits(policy))
    assert again.adapted
    trainable = [name for name, p in again.model.named_parameters() if p.requires_grad]
    assert trainable
    assert all("lora_" in name for name in trainable), "and is trained further as an adapter"
    stirred(again)
    third = open_policy(save_policy(again, tmp_path / "third"), device="cpu")
    assert torch.equal(logits(third), logits(again))


def test_an_adapter_on_a_saved_model_names_its_base(tmp_path: Path) -> None:
    base = save_policy(stirred(world.policy()), tmp_path / "base-model")
    spec = PolicySpec(path=str(base), lora=LoraSpec(r=2, alpha=2, targets=["q_proj"]))
    policy = stirred(load_policy(spec, device="cpu", seed=3))
    folder = save_policy(policy, tmp_path / "adapter")
    assert not (folder / "base").exists()
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    assert torch.equal(logits(open_policy(folder, device="cpu")), logits(policy))


def test_adapters_are_drawn_from_the_seed_and_leave_the_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    one, two = (stirred(world.policy(lora=LoraSpec(r=4), seed=1)) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(logits(one), logits(two))


def test_a_path_continues_its_adapter(tmp_path: Path) -> None:
    """A recipe with ``lora`` on the folder of an adapter trains that one on, and stacks no second."""
    folder = save_policy(stirred(world.policy(lora=LoraSpec(r=4))), tmp_path / "p")
    policy = load_policy(PolicySpec(path=str(folder), lora=LoraSpec(r=16)), device="cpu")
    assert policy.model.peft_config["default"].r == 4
    assert torch.equal(logits(policy), logits(open_policy(folder, device="cpu")))


def test_what_cannot_be_loaded_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        load_policy(PolicySpec(path=str(tmp_path / "none")), device="cpu")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty cannot be loaded: .*[^: ]$") as caught:
        load_policy(PolicySpec(path=str(tmp_path / "empty")), device="cpu")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="exactly one of tiny, hub and path, not none"):
        load_policy(PolicySpec(), device="cpu")
    with pytest.raises(UserError, match=r"policy\.lora: .*no_such_proj"):
        load_policy(PolicySpec(tiny=world.SPEC, lora=LoraSpec(targets=["no_such_proj"])), texts=["a"], device="cpu")


def test_the_folder_around_a_policy_is_not_it(tmp_path: Path) -> None:
    """As a run's ``stages/NAME`` is; a model that has a folder of that name inside is still a model."""
    folder = save_policy(world.policy(), tmp_path / "rl" / "policy")
    with pytest.raises(UserError) as caught:
        open_policy(folder.parent, device="cpu")
    assert str(caught.value) == (
        f"policy: {folder.parent} holds no model, but the folder policy inside does; give {folder}"
    )
    (folder / "policy").mkdir()
    open_policy(folder, device="cpu")


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(UserError, match="no cuda here"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == "cuda"


def test_a_cpu_means_float32(tmp_path: Path) -> None:
    policy = world.policy()
    policy.model.to(torch.bfloat16)
    folder = save_policy(policy, tmp_path / "p")
    assert open_policy(folder, device="cpu").model.dtype == torch.float32
    spec = PolicySpec(path=str(folder), dtype="bfloat16")
    assert load_policy(spec, device="cpu").model.dtype == torch.float32
