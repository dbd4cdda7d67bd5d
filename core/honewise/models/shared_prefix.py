"""The completions of one prompt share its computation: the prompt is computed once for all of them.

One row holds ``[prompt without its last token][last prompt token, completion 1][last prompt token, completion 2] ...``.
All projections see that row; attention does the prompt once, causally, and then every segment against
``[prompt; itself]``. The last prompt token is repeated because it predicts each completion's first token.

The attention is registered under a name of its own and acts as the library's SDPA wherever no layout comes with the
call, so a model that has been switched to it behaves as before in everything else, in the backward pass of gradient
checkpointing as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

__all__ = ["Layout", "can_share", "lay_out", "share", "shared_outputs", "sharing"]

ATTENTION = "honewise_shared_prefix"


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows of a batch with equal prompts, put together: N rows of G segments of S = C + 1 tokens after p = P - 1."""

    input_ids: Tensor
    """(N, p + G S)"""
    position_ids: Tensor
    """(N, p + G S); each segment goes on from the prompt."""
    labels: Tensor
    """(N, G S); what each token of the segments is to predict, -100 where nothing."""
    prefix: int
    """p"""
    prefix_mask: Tensor | None
    """(N, 1, p, p), bool: which prompt token sees which; None where no prompt is padded: all that stand before."""
    segment_mask: Tensor
    """(N G, 1, S, p + S), bool: what each token of a segment sees of the prompt and of its own."""
    segments: int
    """G"""
    order: Tensor
    """(B,): the row of the batch that each segment is."""

    def spread(self, values: Tensor) -> Tensor:
        """Values of the segments' tokens (N, G S, ...) back to the batch: (B, C, ...)."""
        rows = values.reshape(len(self.order), -1, *values.shape[2:])[:, :-1]
        back = torch.empty_like(self.order)
        back[self.order] = torch.arange(len(back), device=back.device)
        return rows[back]


def lay_out(input_ids: Tensor, attention_mask: Tensor, completion: int, *, worth: float = 1.2) -> Layout | None:
    """The layout of a batch (B, P + C) of left-padded prompts and right-padded completions; ``completion`` is C.

    None where prompts do not repeat evenly, or where it would save less than a factor of ``worth`` in tokens.
    """
    prompts, mask = input_ids[:, :-completion], attention_mask[:, :-completion]
    rows, width = prompts.shape
    if width < 2 or rows < 2:
        return None
    _, which, counts = torch.unique(torch.cat([prompts, mask], 1), dim=0, return_inverse=True, return_counts=True)
    segments = int(counts.min())
    if segments < 2 or (counts % segments).any():
        return None
    tokens = rows // segments * (width - 1 + segments * (completion + 1))
    if rows * (width + completion) < worth * tokens:
        return None
    order = torch.argsort(which, stable=True)
    return _arrange(input_ids[order], attention_mask[order], completion, segments, order)


def _arrange(ids: Tensor, mask: Tensor, completion: int, segments: int, order: Tensor) -> Layout:
    """Rows in groups of ``segments`` equal prompts, as one ``Layout``."""
    rows, width = ids.shape
    prompt, groups, size = width - completion, rows // segments, completion + 1
    own_ids, own_mask = ids[:, prompt - 1 :], mask[:, prompt - 1 :].bool()
    own_mask = torch.cat([torch.ones_like(own_mask[:, :1]), own_mask[:, 1:]], 1)
    labels = ids[:, prompt:].masked_fill(~own_mask[:, 1:], -100)
    labels = torch.cat([labels, torch.full_like(labels[:, :1], -100)], 1)
    first = mask[::segments, :prompt]
    position = (first.cumsum(1) - 1).clamp(min=0)
    steps = torch.arange(size, device=ids.device)
    own_position = (position[:, -1:, None] + steps).expand(groups, segments, size).reshape(groups, -1)
    seen = first[:, :-1].bool()
    tokens = prompt - 1
    return Layout(
        input_ids=torch.cat([ids[::segments, :tokens], own_ids.reshape(groups, -1)], 1),
        position_ids=torch.cat([position[:, :-1], own_position], 1),
        labels=labels.reshape(groups, -1),
        prefix=tokens,
        prefix_mask=None if bool(seen.all()) else _causal(seen)[:, None],
        segment_mask=torch.cat(
            [seen.repeat_interleave(segments, 0)[:, None, :].expand(rows, size, tokens), _causal(own_mask)], 2
        )[:, None],
        segments=segments,
        order=order,
    )


def _causal(present: Tensor) -> Tensor:
    """(N, L, L): each token sees itself, and what is present before it."""
    length = present.shape[1]
    lower = torch.ones(length, length, dtype=torch.bool, device=present.device).tril()
    return (lower & present[:, None, :]) | torch.eye(length, dtype=torch.bool, device=present.device)


def can_share(model: Any) -> bool:
    """Whether the model is one of text alone with full causal attention through SDPA and without dropout."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    config = bare.config
    if config.is_encoder_decoder or config.get_text_config() is not config or config._attn_implementation != "sdpa":
        return False
    if getattr(config, "output_router_logits", None) or getattr(config, "attn_logit_softcapping", None):
        return False
    if any(type(layer) is not DynamicLayer for layer in DynamicCache(config=config).layers):
        return False
    return not any(module.p for module in model.modules() if isinstance(module, torch.nn.Dropout))


@contextlib.contextmanager
def share(model: Any) -> Iterator[None]:
    """The model takes layouts within; for calls without one nothing changes.

    Of a layout, only what stands in the segments reaches the head: a prompt's tokens predict nothing that is asked for.
    """
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    AttentionInterface.register(ATTENTION, _attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    before = bare.config._attn_implementation
    bare.config._attn_implementation = ATTENTION
    hook = bare.base_model.register_forward_hook(_segments_alone, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
        bare.config._attn_implementation = before


def _segments_alone(_module: Any, _args: Any, keywords: dict[str, Any], outputs: Any) -> Any:
    layout = keywords.get("shared_prefix")
    if layout is not None:
        outputs.last_hidden_state = outputs.last_hidden_state[:, layout.prefix :]
    return outputs


def sharing(model: Any) -> bool:
    """Whether the model takes layouts now."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    return bool(bare.config._attn_implementation == ATTENTION)


def shared_outputs(model: Any, layout: Layout, **keywords: Any) -> Any:
    """The model's outputs (TRL's fused head: ``log_probs``, ``entropy``) for a layout."""
    everything = torch.ones(len(layout.input_ids), 1, 1, 1, dtype=torch.bool, device=layout.input_ids.device)
    return model(
        input_ids=layout.input_ids,
        attention_mask=everything,  # four dimensions are taken as they are; the layout's masks count
        position_ids=layout.position_ids,
        shift_labels=layout.labels,
        shared_prefix=layout,
        **keywords,
    )


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    shared_prefix: Layout | None = None,
    **keywords: Any,
) -> tuple[Tensor, None]:
    """SDPA; with a layout, the prompt once and then each segment against the prompt and itself."""
    if shared_prefix is None:
        output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **keywords)
        return output, None
    p, segments = shared_prefix.prefix, shared_prefix.segments
    rows, heads, _, width = query.shape
    options = {"scale": keywords.get("scaling"), "enable_gqa": key.shape[1] != heads}
    mask = shared_prefix.prefix_mask
    first = F.scaled_dot_product_attention(
        query[:, :, :p], key[:, :, :p], value[:, :, :p], attn_mask=mask, is_causal=mask is None, **options
    )

    def own(states: Tensor) -> Tensor:
        """(N, H, p + G S, D) to the segments alone: (N G, H, S, D)."""
        parts = states[:, :, p:].unflatten(2, (segments, -1))
        return parts.transpose(1, 2).flatten(0, 1)

    def with_prompt(states: Tensor) -> Tensor:
        """Each segment after its prompt: (N G, H, p + S, D)."""
        prompt = states[:, None, :, :p].expand(-1, segments, -1, -1, -1).flatten(0, 1)
        return torch.cat([prompt, own(states)], 2)

    second = F.scaled_dot_product_attention(
        own(query), with_prompt(key), with_prompt(value), attn_mask=shared_prefix.segment_mask, **options
    )
    second = second.unflatten(0, (rows, segments)).transpose(1, 2).reshape(rows, heads, -1, width)
    return torch.cat([first, second], 2).transpose(1, 2).contiguous(), None
