"""What the loss has beside TRL's: the critic's, a KL of the recipe's own, and the token form of GSPO's ratio."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from honewise.algorithms import approximate_kl, importance_ratio, kl_loss, value_clip_fraction, value_loss

if TYPE_CHECKING:
    from .objective import Objective
    from .setup import Setup

__all__ = ["Losses", "loss_mask"]

_TOKENS = ("cispo", "dapo", "vespo")


def loss_mask(inputs: Mapping[str, Any]) -> Tensor:
    """(B, T): the policy's own tokens of rows that count."""
    mask: Tensor = inputs["completion_mask"]
    return mask * inputs["tool_mask"] if "tool_mask" in inputs else mask


class Losses:
    """Mixed into a trainer of TRL, before ``SharedPrompts`` and ``ActorCritic`` in the order of bases."""

    setup: Setup
    objective: Objective
    args: Any
    model: Any
    accelerator: Any
    beta: float
    loss_type: str
    max_completion_length: int
    current_gradient_accumulation_steps: int
    _metrics: Any
    _sums: dict[str, dict[str, Tensor]]
    _loss_inputs: Mapping[str, Any] | None = None
    _logps: Tensor | None = None

    def _compute_loss(self, model: Any, inputs: Any) -> Tensor:
        training = bool(self.model.training)
        asked: Any = self.values_asked() if training else contextlib.nullcontext([])  # type: ignore[attr-defined]
        with self._loss_of(inputs), asked as values:
            loss: Tensor = super()._compute_loss(model, inputs)  # type: ignore[misc]
        logps, mask = self._logps, loss_mask(inputs)
        self._logps = None
        assert logps is not None, "TRL did not compute log-probabilities in its loss"
        old = inputs.get("old_per_token_logps")
        old = logps.detach() if old is None else old
        kl = self.setup.kl
        if kl is not None and kl.where == "loss":
            terms = kl_loss(logps, inputs["ref_per_token_logps"], old, mask, kl.estimator or "k3")
            loss = loss + self.objective.kl_coefficient * self._as_trl(terms, mask, inputs)
            if not self.objective.measures_kl:
                nats = torch.where(mask.bool(), logps.detach() - inputs["ref_per_token_logps"], 0.0).sum()
                self._note_mean("kl/token", nats, mask.sum())
                self._note_mean("kl/sequence", nats, mask.any(-1).sum())
        if "kept_weight" in inputs:
            loss = loss * inputs["kept_weight"]
        self._note_mean("approx_kl", approximate_kl(logps.detach(), old, mask) * mask.sum(), mask.sum())
        return loss + self._value_loss(values[-1], inputs) if values else loss

    @contextlib.contextmanager
    def _loss_of(self, inputs: Mapping[str, Any]) -> Iterator[None]:
        """TRL adds no KL to its loss where the recipe says where the KL is; what it computes is kept."""
        beta, self._loss_inputs = self.beta, inputs
        self.beta = beta if self.setup.kl is None else 0.0
        try:
            yield
        finally:
            self.beta, self._loss_inputs = beta, None

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **keywords: Any) -> Any:
        logps, entropies, aux = super()._get_per_token_logps_and_entropies(  # type: ignore[misc]
            model, *args, **keywords
        )
        if self._loss_inputs is None:
            return logps, entropies, aux
        self._logps = logps
        old = self._loss_inputs.get("old_per_token_logps")
        if self.setup.ratio == "sequence_token" and old is not None:
            # TRL's ratio of a token, exp(x - old), becomes GSPO's: its value is the completion's, its gradient the
            # token's own.
            ratio = importance_ratio(logps, old, loss_mask(self._loss_inputs), "sequence_token")
            logps = old + ratio.log()
        return logps, entropies, aux

    def _as_trl(self, terms: Tensor, mask: Tensor, inputs: Mapping[str, Any]) -> Tensor:
        """(B, T) to one number, as TRL's loss of this type does it."""
        own = torch.where(mask.bool(), terms, 0.0)
        if self.loss_type in _TOKENS:
            return own.sum() / self._share(inputs["num_items_in_batch"])
        steps = self.current_gradient_accumulation_steps if self.model.training else 1.0
        if self.loss_type == "bnpo":
            return own.sum() / mask.sum().clamp(min=1.0) / steps
        if self.loss_type == "dr_grpo":
            return own.sum() / (len(own) * self.max_completion_length) / steps
        if self.loss_type == "luspo":
            return own.sum(-1).mean() / steps
        return (own.sum(-1) / mask.sum(-1).clamp(min=1.0)).mean() / steps

    def _share(self, count: Tensor) -> Tensor:
        """A count over a whole generation, as the share of one process's update: sums over it add up to a mean."""
        part = count.clamp(min=1.0) / self.accelerator.num_processes
        if self.model.training:
            part = part * self.current_gradient_accumulation_steps / self.args.steps_per_generation
        return part

    def _value_loss(self, values: Tensor, inputs: Mapping[str, Any]) -> Tensor:
        spec = self.setup.critic
        assert spec is not None
        old, returns, counted = inputs["old_values"], inputs["returns"], inputs["value_mask"]
        found = value_loss(values, old, returns, counted, clip=spec.clip, count=1.0)
        tokens = counted.any(-1).sum()
        self._note_mean("critic/loss", found.detach(), tokens)
        clipped = value_clip_fraction(values.detach(), old, counted, spec.clip)
        self._note_mean("critic/clip_ratio", clipped * tokens, tokens)
        return spec.coef * found / self._share(inputs["value_items"])

    def _note_mean(self, name: str, total: Tensor, count: Tensor) -> None:
        """A part of a mean over tokens, or rows; the mean is over all parts and processes, once it is logged."""
        part = torch.stack([total.detach().float(), count.detach().float()])
        sums = self._sums["train" if self.model.training else "eval"]
        sums[name] = sums[name] + part if name in sums else part

    def _settle(self, mode: str) -> None:
        """Means of what was noted go to the log."""
        sums, self._sums[mode] = self._sums[mode], {}
        if not sums:
            return
        found = self.accelerator.reduce(torch.stack(list(sums.values())), reduction="sum")
        for name, (total, count) in zip(sums, found.tolist(), strict=True):
            self._metrics[mode][name].append(total / max(count, 1.0))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        self._settle("train" if self.model.training else "eval")
        super().log(logs, start_time)  # type: ignore[misc]
