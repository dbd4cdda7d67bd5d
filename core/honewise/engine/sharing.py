"""Log-probabilities in which the completions of one prompt share its computation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from honewise.models.shared_prefix import Layout, can_share, lay_out, share, shared_outputs, sharing

__all__ = ["SharedPrompts"]


class SharedPrompts:
    """Mixed into a trainer of TRL that has a fused head, before it in the order of bases.

    Sharing is used for whole batches in which prompts repeat evenly, between ``shared_prompts`` and its end, and once
    it has given the plain path's numbers on the first such batch.
    """

    model: Any
    ref_model: Any
    accelerator: Any
    _sharing_is_right: bool | None = None

    def say(self, line: str) -> None:
        """One line worth a person's attention."""

    @contextlib.contextmanager
    def shared_prompts(self) -> Iterator[None]:
        """Within, log-probabilities of the policy and its reference share prompts, where the models allow it."""
        with contextlib.ExitStack() as stack:
            for model in (self.model, self.ref_model):
                if model is not None and can_share(model):
                    stack.enter_context(share(model))
            yield

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
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        whole = batch_size is None or batch_size >= len(input_ids)
        plain = compute_aux_loss or any(value is not None for value in others.values())
        tried = self._sharing_is_right is not False
        if whole and not plain and tried and sharing(self.accelerator.unwrap_model(model)):
            layout = lay_out(input_ids, attention_mask, logits_to_keep)
            if layout is not None and self._is_right(model, layout, input_ids, attention_mask, logits_to_keep):
                with self.accelerator.autocast():
                    outputs = shared_outputs(model, layout, fused_lm_head=True)
                entropies = layout.spread(outputs.entropy) if compute_entropy else None
                return layout.spread(outputs.log_probs), entropies, None
        plainly: Any = super()._get_per_token_logps_and_entropies  # type: ignore[misc]
        found: tuple[Tensor, Tensor | None, Tensor | None] = plainly(
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

    def _is_right(
        self, model: Any, layout: Layout, input_ids: Tensor, attention_mask: Tensor, logits_to_keep: int
    ) -> bool:
        """Whether shared prompts give the plain path's log-probabilities, tried on the first batch that allows it."""
        if self._sharing_is_right is None:
            with torch.no_grad(), self.accelerator.autocast():
                shared = layout.spread(shared_outputs(model, layout, fused_lm_head=True).log_probs)
                wanted, _, _ = super()._get_per_token_logps_and_entropies(  # type: ignore[misc]
                    model, input_ids, attention_mask, logits_to_keep
                )
            exact = shared.dtype == torch.float32 and self.accelerator.mixed_precision == "no"
            off = float((shared - wanted).abs().max())
            self._sharing_is_right = off < (1e-4 if exact else 0.2)
            if not self._sharing_is_right:
                self.say(f"prompts are not shared in training: log-probabilities would be off by {off:.1e}")
        return self._sharing_is_right
