"""A critic within the policy's model: one module, one forward, one optimizer, and apart wherever weights leave.

The model's forward gives values where it is asked for them (``token_values=True``), in an output that declares them, so
that wrappers for several processes see every parameter that took part. The critic is a module of the outermost model,
beside a policy's adapters and not among them: switching adapters, merging them and saving them pass it by.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback
from trl.trainer.utils import FusedCausalLMOutput

from honewise.errors import UserError
from honewise.models.critic import Critic, load_critic, save_critic
from honewise.recipes.policy_gradient import CriticSpec

from .objective import Batch, Objective

__all__ = ["NAME", "ActorCritic", "ActorCriticOutput", "attach", "detach", "hidden"]

NAME = "critic"
"""The critic's name among the modules of the outermost model."""

_LOSS_ONLY = ("labels", "shift_labels", "fused_lm_head", "num_items_in_batch", "output_router_logits")
"""Arguments that a head takes and a trunk does not."""


@dataclass
class ActorCriticOutput(FusedCausalLMOutput):
    """TRL's output, and the critic's values (B, T, S) of the text before each label; 0 where the label is -100."""

    token_values: Tensor | None = None


def attach(model: Any, critic: Critic) -> None:
    """Make ``critic`` a part of ``model``, which TRL has given its fused head."""
    if hasattr(model, NAME):
        raise ValueError(f"the model has a module {NAME!r} already")
    bare = _bare(model)
    without = bare.forward

    @functools.wraps(type(bare).forward)  # ``generate`` looks at the signature
    def forward(self: Any, *args: Any, token_values: bool = False, **keywords: Any) -> Any:
        if not token_values:
            return without(*args, **keywords)
        caught: list[Tensor] = []
        catch = self.base_model.register_forward_hook(lambda _m, _i, found: caught.append(found.last_hidden_state))
        try:
            found = without(*args, **keywords)
        finally:
            catch.remove()
        tokens = {name: value for name, value in keywords.items() if name not in _LOSS_ONLY}
        values = critic(caught[0], tokens)
        if keywords.get("shift_labels") is None:
            values = values[:, :-1]
        return ActorCriticOutput(**found, token_values=values.masked_fill(~found.label_mask.unsqueeze(-1), 0.0))

    model.add_module(NAME, critic)
    bare.forward = MethodType(forward, bare)
    bare._honewise_without_critic = without


def detach(model: Any) -> None:
    """The model as it was before ``attach``."""
    bare = _bare(model)
    bare.forward = bare.__dict__.pop("_honewise_without_critic")
    del model._modules[NAME]


@contextlib.contextmanager
def hidden(model: Any) -> Iterator[None]:
    """Within, the model has no critic for whoever lists or saves its weights."""
    critic = model._modules.pop(NAME, None)
    try:
        yield
    finally:
        if critic is not None:
            model._modules[NAME] = critic


def _bare(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


class _CriticFirst(TrainerCallback):
    """In the first ``warmup`` updates the optimizer sees no gradient of the policy, and leaves out what has none."""

    def __init__(self, policy: Callable[[], list[Any]], warmup: int) -> None:
        self.policy, self.warmup = policy, warmup

    def on_pre_optimizer_step(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        if state.global_step < self.warmup:
            for value in self.policy():
                value.grad = None


class ActorCritic:
    """Mixed into a trainer of TRL, before it in the order of bases; without a critic it changes nothing."""

    args: Any
    model: Any
    accelerator: Any
    optimizer: Any
    _metrics: Any
    objective: Objective
    critic: Critic | None = None
    critic_spec: CriticSpec = CriticSpec()

    def take_critic(self, critic: Critic, spec: CriticSpec) -> None:
        """Train ``critic`` along with the policy, from now on."""
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:  # type: ignore[attr-defined]
            raise UserError("algorithm: ppo does not train its critic under DeepSpeed or FSDP; use plain processes")
        attach(self.model, critic)
        self.critic, self.critic_spec = critic, spec
        if spec.warmup:
            self.add_callback(_CriticFirst(self._policy_parameters, spec.warmup))  # type: ignore[attr-defined]
        if critic.trunk is not None and self.args.gradient_checkpointing:
            critic.trunk.gradient_checkpointing_enable(self.args.gradient_checkpointing_kwargs)
        generation = getattr(self, "vllm_generation", None)
        if generation is not None:
            generation.sync_weights = self._hiding(generation.sync_weights)

    def scaled_values(self, batch: Batch) -> Tensor:
        """The batch's values; in the first batch the critic is told the scale of returns, and they move to it."""
        assert self.critic is not None
        assert batch.values is not None
        if not self.critic_spec.scaled or self.critic.head.known:
            return batch.values
        mean, deviation = self.objective.return_scale(batch)
        self.critic.head.take_scale(mean, deviation)
        return torch.where(batch.rollouts.mask.bool().unsqueeze(-1), mean + deviation * batch.values, batch.values)

    def _hiding(self, function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **keywords: Any) -> Any:
            with hidden(self.model):
                return function(*args, **keywords)

        return call

    def _critic_parameters(self) -> list[Any]:
        return [] if self.critic is None else [value for value in self.critic.parameters() if value.requires_grad]

    def _policy_parameters(self) -> list[Any]:
        own = set(map(id, self._critic_parameters()))
        return [value for value in self.model.parameters() if id(value) not in own]

    def create_optimizer(self, model: Any = None) -> Any:
        """TRL's, with the critic's weights in groups of their own."""
        fresh = self.optimizer is None
        optimizer = super().create_optimizer(model)  # type: ignore[misc]
        if not fresh or self.critic is None:
            return optimizer
        own = set(map(id, self._critic_parameters()))
        rate = self.critic_spec.learning_rate or self.args.learning_rate
        for group in list(optimizer.param_groups):
            critics = [value for value in group["params"] if id(value) in own]
            if critics:
                group["params"] = [value for value in group["params"] if id(value) not in own]
                shared = {name: value for name, value in group.items() if name != "params"}
                optimizer.add_param_group({**shared, "params": critics, "lr": rate})
        return optimizer

    def _clip_grad_norm(self, model: Any) -> Any:
        """Policy and critic each by themselves; returns the policy's norm."""
        critics = self._critic_parameters()
        if not critics:
            return super()._clip_grad_norm(model)  # type: ignore[misc]
        norm = self.accelerator.clip_grad_norm_(self._policy_parameters(), self.args.max_grad_norm)
        critic_norm = torch.nn.utils.clip_grad_norm_(critics, self.critic_spec.max_grad_norm)
        self._metrics["train"]["critic/grad_norm"].append(float(critic_norm))
        return norm

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """The policy's weights under their own names, and the critic's beside them."""
        with hidden(self.model):
            super()._save(output_dir, state_dict)  # type: ignore[misc]
        if self.critic is not None and self.args.should_save:
            save_critic(self.critic, output_dir or self.args.output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with hidden(self.model):
            super()._load_from_checkpoint(resume_from_checkpoint, model)  # type: ignore[misc]
        if self.critic is not None:
            load_critic(self.critic, resume_from_checkpoint)
