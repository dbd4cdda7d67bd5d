"""Critics: what predicts, at each token, how much the rest of a completion will still earn.

A critic is a head on the policy's own last hidden states, or has a trunk of its own. It gives one value for each
stream of rewards that is kept apart: the reward, and every cost with a threshold.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from honewise.errors import UserError, first_sentence
from honewise.recipes.policy_gradient import CriticSpec

from .policy import BASE_FOLDER, Policy, quiet

__all__ = ["FILE", "Critic", "load_critic", "make_critic", "save_critic"]

FILE = "critic.safetensors"
ADAPTER = "critic"
"""Name of the adapters on a critic's trunk; the policy's have others, and switching those leaves these alone."""


class ValueHead(nn.Linear):
    """Linear, and then to the scale of returns, once that is known: shift + scale (w h + b)."""

    shift: Tensor
    scale: Tensor
    known: Tensor

    def __init__(self, width: int, streams: int) -> None:
        super().__init__(width, streams, dtype=torch.float32)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        self.register_buffer("shift", torch.zeros(streams))
        self.register_buffer("scale", torch.ones(streams))
        self.register_buffer("known", torch.zeros((), dtype=torch.uint8))

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden) * self.scale + self.shift

    @torch.no_grad()
    def take_scale(self, mean: Tensor, deviation: Tensor) -> None:
        """(S,) each; for good. What it says of anything is now ``mean + deviation`` times what it said before."""
        self.shift.copy_(mean)
        self.scale.copy_(deviation)
        self.known.fill_(1)


class Critic(nn.Module):
    """Values (..., S) of hidden states, or of tokens where there is a trunk."""

    def __init__(self, width: int, streams: int, trunk: Any = None, *, detach: bool = False) -> None:
        super().__init__()
        self.trunk = trunk
        self.detach = detach
        self.head = ValueHead(width, streams)

    @property
    def streams(self) -> int:
        return self.head.out_features

    def forward(self, hidden: Tensor, tokens: Mapping[str, Any]) -> Tensor:
        """``hidden``: the policy's last states; ``tokens``: what its trunk was called with."""
        if self.trunk is not None:
            hidden = self.trunk(**{**tokens, "use_cache": False}).last_hidden_state
        elif self.detach:
            hidden = hidden.detach()
        with torch.autocast(hidden.device.type, enabled=False):
            values: Tensor = self.head(hidden.to(self.head.weight))
        return values


def make_critic(policy: Policy, spec: CriticSpec, streams: int, *, start: Path | None = None, seed: int = 0) -> Critic:
    """The critic of a policy as the policy is now, on its device.

    Heads begin at 0, so that a critic which has learnt nothing says 0. ``start`` is the folder of a reward model that
    a trunk begins with; its own head then gives the first stream's value. Where the policy trains adapters alone, so
    does the critic's trunk, on weights of its own. Raises ``UserError`` where the reward model cannot be read or does
    not fit the policy's tokenizer.
    """
    width = policy.model.config.get_text_config().hidden_size
    if spec.kind == "head":
        critic = Critic(width, streams, detach=spec.detach)
    elif start is None:
        critic = Critic(width, streams, _copied_trunk(policy))
    else:
        critic = _from_reward_model(policy, start, streams)
    if critic.trunk is not None:
        critic.trunk.config.use_cache = False
        if policy.adapted:
            _adapt(critic, policy, seed)
    return critic.to(policy.model.device)


def _copied_trunk(policy: Policy) -> Any:
    """The policy's trunk, adapters merged, as a model of its own."""
    whole = copy.deepcopy(policy.model)
    if policy.adapted:
        whole = whole.merge_and_unload()
    return whole.base_model


def _from_reward_model(policy: Policy, folder: Path, streams: int) -> Critic:
    model = _reward_model(folder, policy)
    trunk = model.base_model
    heads = [child for child in model.children() if isinstance(child, nn.Linear)]
    if len(heads) != 1 or heads[0].out_features != 1:
        raise UserError(f"critic.init: {folder} holds no reward model: one linear head with one output is needed")
    critic = Critic(heads[0].in_features, streams, trunk)
    with torch.no_grad():
        critic.head.weight[0] = heads[0].weight[0].float()
        if heads[0].bias is not None:
            critic.head.bias[0] = heads[0].bias[0].float()
        critic.head.known.fill_(1)
    return critic


def _reward_model(folder: Path, policy: Policy) -> Any:
    """A sequence classifier with one output, adapters merged."""
    from peft import PeftConfig, PeftModel

    adapted, kept = (folder / "adapter_config.json").is_file(), folder / BASE_FOLDER
    try:
        with quiet():
            named = PeftConfig.from_pretrained(folder).base_model_name_or_path if adapted else folder
            base = kept if adapted and kept.is_dir() else named
            tokenizer = AutoTokenizer.from_pretrained(folder)
            config = AutoConfig.from_pretrained(base, num_labels=1)
            model = AutoModelForSequenceClassification.from_pretrained(base, config=config, dtype=policy.model.dtype)
            if adapted:
                model = PeftModel.from_pretrained(model, folder).merge_and_unload()
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"critic.init: {folder} cannot be loaded as a reward model: {first_sentence(error)}") from error
    if tokenizer.get_vocab() != policy.tokenizer.get_vocab():
        raise UserError(f"critic.init: {folder} reads other tokens than the policy writes, so it cannot be its critic")
    return model


def _adapt(critic: Critic, policy: Policy, seed: int) -> None:
    """Adapters on the trunk, of the policy's kind and in the places of the policy's; all else of it is frozen."""
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import BaseTunerLayer

    theirs = policy.model.peft_config["default"]
    linear = [name for name, module in critic.trunk.named_modules() if isinstance(module, nn.Linear)]
    adapted = {n.rpartition(".")[2] for n, m in policy.model.named_modules() if isinstance(m, BaseTunerLayer)}
    places = [name for name in linear if name.rpartition(".")[2] in adapted] or linear
    config = LoraConfig(
        r=theirs.r, lora_alpha=theirs.lora_alpha, lora_dropout=theirs.lora_dropout, target_modules=places
    )
    critic.trunk.requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        critic.trunk = inject_adapter_in_model(config, critic.trunk, adapter_name=ADAPTER)


def _trained(critic: Critic) -> dict[str, Tensor]:
    """What training changes: all of it, or the adapters and the head; and the head's scale."""
    found = {name: value for name, value in critic.named_parameters() if value.requires_grad}
    found |= {f"head.{name}": value for name, value in critic.head.named_buffers()}
    return {name: value.detach().contiguous() for name, value in found.items()}


def save_critic(critic: Critic, folder: str | Path) -> None:
    """The trained weights, as ``critic.safetensors`` in ``folder``."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file({name: value.cpu() for name, value in _trained(critic).items()}, Path(folder) / FILE)


def load_critic(critic: Critic, folder: str | Path) -> None:
    """Take back what ``save_critic`` wrote, into a critic that was made alike."""
    saved = load_file(Path(folder) / FILE)
    own = _trained(critic)
    if set(saved) != set(own):
        raise ValueError(f"{folder}: this critic is of another kind than the one saved there")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(saved[name])
