"""Log-probabilities, and a critic's values, in which the completions of one prompt share its computation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from honewise.models.critic import Critic
from honewise.models.shared_prefix import Layout, can_share, lay_out, share, shared_outputs, sharing

__all__ = ["SharedPrompts"]

Computed = tuple[Tensor, Tensor | None, Tensor | None]
"""Log-probabilities, entropies and the load-balancing loss, as TRL wants them."""


class SharedPrompts:
    """Mixed into a trainer of TRL that has a fused head, before it in the order of bases.

    Sharing is used for whole batches in which prompts repeat evenly, between ``shared_prompts`` and its end, and once
    it has given the plain path's numbers on the first such batch.
    """

    model: Any
    ref_model: Any
    accelerator: Any
    critic: Critic | None = None
    _sharing_is_right: bool | None = None
    _values_asked = False
    _token_values: Tensor | None = None

    def say(self, line: str) -> None:
        """One line worth a person's attention."""

    @contextlib.contextmanager
    def shared_prompts(self) -> Iterator[None]:
        """Within, log-probabilities of the policy and its reference share prompts, where the models allow it."""
        trunk = None if self.critic is None else self.critic.trunk
        with contextlib.ExitStack() as stack:
            if trunk is not None and can_share(self.model) and not can_share(trunk):
                self.say("prompts are not shared in training: the critic's trunk has another kind of attention")
            else:
                for model in (self.model, self.ref_model, trunk):
                    if model is not None and can_share(model):
                        stack.enter_context(share(model))
            yield

    @contextlib.contextmanager
    def values_asked(self) -> Iterator[list[Tensor]]:
        """Within, the policy's passes compute the critic's values, too: (B, T, S), the last ones in the list."""
        found: list[Tensor] = []
        self._values_asked = self.critic is not None
        try:
            yield found
        finally:
            self._values_asked = False
            if self._token_values is not None:
                found.append(self._token_values)
            self._token_values = None

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **others: Any,
    ) -> Computed:
        whole = batch_size is None or batch_size >= len(input_ids)
        plain = compute_aux_loss or any(value is not None for value in others.values())
        tried = self._sharing_is_right is not False
        if not plain and tried and sharing(self.accelerator.unwrap_model(model)):
            if not whole:
                return self._by_parts(model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy)
            layout = lay_out(input_ids, attention_mask, logits_to_keep)
            if layout is not None and self._is_right(model, layout, input_ids, attention_mask, logits_to_keep):
                with self.accelerator.autocast():
                    outputs = shared_outputs(model, layout, fused_lm_head=True, **self._asked())
                entropies = layout.spread(outputs.entropy) if compute_entropy else None
                if self._values_asked:
                    self._token_values = layout.spread(outputs.token_values)
                return layout.spread(outputs.log_probs), entropies, None
        if self._values_asked:
            return self._with_values(
                model, input_ids, attention_mask, logits_to_keep, batch_size or len(input_ids), compute_aux_loss
            )
        plainly: Any = super()._get_per_token_logps_and_entropies  # type: ignore[misc]
        found: Computed = plainly(
            model,
            input_ids,
            attention_mask,
            logits_to_keep,
            batch_size=batch_size,
            compute_entropy=compute_entropy,
            compute_aux_loss=compute_aux_loss,
            **others,
        )
        return found

    def _by_parts(
        self, model: Any, ids: Tensor, attention: Tensor, keep: int, batch_size: Any, entropy: bool
    ) -> Computed:
        """``batch_size`` rows at a time, each part with the prompts that it shares."""
        parts, values = [], []
        for start in range(0, len(ids), batch_size):
            rows = slice(start, start + batch_size)
            parts.append(
                self._get_per_token_logps_and_entropies(
                    model, ids[rows], attention[rows], keep, compute_entropy=entropy
                )
            )
            values.append(self._token_values)
        if self._values_asked:
            self._token_values = torch.cat([part for part in values if part is not None])
        entropies = torch.cat([part[1] for part in parts if part[1] is not None]) if entropy else None
        return torch.cat([part[0] for part in parts]), entropies, None

    def _asked(self) -> dict[str, bool]:
        return {"token_values": True} if self._values_asked else {}

    def _with_values(
        self, model: Any, ids: Tensor, attention: Tensor, keep: int, batch_size: int, aux_loss: bool
    ) -> Computed:
        """TRL's plain path for text, whose one forward gives values as well."""
        parts: list[tuple[Tensor, ...]] = []
        losses = []
        more = {"output_router_logits": True} if aux_loss else {}
        for start in range(0, len(ids), batch_size):
            some, mask = ids[start : start + batch_size], attention[start : start + batch_size]
            labels = some.masked_fill(mask == 0, -100)
            labels[:, :-keep] = -100
            with self.accelerator.autocast():
                outputs = model(
                    input_ids=some, attention_mask=mask, labels=labels, fused_lm_head=True, **self._asked(), **more
                )
            parts.append((outputs.log_probs, outputs.entropy, outputs.token_values))
            losses.append(outputs.aux_loss)
        logps, entropies, values = (torch.cat([part[i][:, -keep:] for part in parts]) for i in range(3))
        self._token_values = values
        return logps, entropies, torch.stack(losses).mean() if aux_loss else None

    def _is_right(
        self, model: Any, layout: Layout, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int
    ) -> bool:
        """Whether shared prompts give the plain path's numbers, tried on the first batch that allows it."""
        if self._sharing_is_right is None:
            with torch.no_grad(), self.accelerator.autocast():
                outputs = shared_outputs(model, layout, fused_lm_head=True, **self._asked())
                shared = layout.spread(outputs.log_probs)
                if self._values_asked:
                    wanted, _, _ = self._with_values(
                        model, input_ids, attention_mask, logits_to_keep, len(input_ids), False
                    )
                    assert self._token_values is not None
                    off = float((layout.spread(outputs.token_values) - self._token_values).abs().max())
                else:
                    wanted, _, _ = super()._get_per_token_logps_and_entropies(  # type: ignore[misc]
                        model, input_ids, attention_mask, logits_to_keep
                    )
                    off = 0.0
            exact = shared.dtype == torch.float32 and self.accelerator.mixed_precision == "no"
            off = max(off, float((shared - wanted).abs().max()))
            self._sharing_is_right = off < (1e-4 if exact else 0.2)
            if not self._sharing_is_right:
                self.say(f"prompts are not shared in training: log-probabilities would be off by {off:.1e}")
        return self._sharing_is_right
