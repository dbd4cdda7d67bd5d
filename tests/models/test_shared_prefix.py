"""A prompt computed once for all of its completions gives the log-probabilities and gradients of the plain path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)
from trl.trainer.utils import add_fused_lm_head

from honewise.models.shared_prefix import can_share, lay_out, share, shared_outputs

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaConfig(**SIZES, tie_word_embeddings=True),
    "qwen2": lambda: Qwen2Config(**SIZES),
    "qwen3": lambda: Qwen3Config(**SIZES, head_dim=8),
    "gemma": lambda: GemmaConfig(**SIZES, head_dim=8),
    "mistral": lambda: MistralConfig(**SIZES, sliding_window=None),
}


def made(kind: str, *, lora: bool = False, checkpointing: bool = False) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(MODELS[kind](), attn_implementation="sdpa")
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    if lora:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
    if checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        if lora:
            model.enable_input_require_grads()
    return model.train()


def batch(
    prompts: int = 3, samples: int = 4, width: int = 14, completion: int = 6, *, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Ragged prompts and completions, rows in any order, one completion wholly masked."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 97, (prompts * samples, width + completion), generator=generator)
    ids[:, :width] = ids[::samples, :width].repeat_interleave(samples, 0)
    mask = torch.ones_like(ids)
    for i in range(prompts):
        mask[
            i * samples : (i + 1) * samples, : int(torch.randint(0, width - 2, (1,), generator=generator)) if i else 0
        ] = 0
    for i in range(len(ids)):
        mask[i, width + int(torch.randint(1, completion + 1, (1,), generator=generator)) :] = 0
    mask[5, width:] = 0
    order = torch.randperm(len(ids), generator=generator)
    return (ids * mask)[order], mask[order]


def plain(model: Any, ids: Tensor, mask: Tensor, completion: int) -> tuple[Tensor, Tensor]:
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :-completion] = -100
    out = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
    return out.log_probs[:, -completion:], out.entropy[:, -completion:]


def shared(model: Any, ids: Tensor, mask: Tensor, completion: int) -> tuple[Tensor, Tensor]:
    layout = lay_out(ids, mask, completion)
    assert layout is not None
    out = shared_outputs(model, layout, fused_lm_head=True)
    return layout.spread(out.log_probs), layout.spread(out.entropy)


def gradients(model: Any, path: Callable[..., tuple[Tensor, Tensor]], ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    model.zero_grad()
    weights = torch.randn(len(ids), 6, generator=torch.Generator().manual_seed(4))
    with share(model):
        logps, entropies = path(model, ids, mask, 6)
        (logps * weights * mask[:, -6:]).sum().backward()
    grads = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return logps.detach(), entropies.detach(), grads.clone()


@pytest.mark.parametrize(
    ("kind", "lora", "checkpointing"),
    [("llama", False, False), ("llama", True, False), ("llama", False, True), *((kind, True, True) for kind in MODELS)],
)
def test_equal_to_the_plain_path(kind: str, lora: bool, checkpointing: bool) -> None:
    model = made(kind, lora=lora, checkpointing=checkpointing)
    assert can_share(model)
    ids, mask = batch()
    wanted, found = gradients(model, plain, ids, mask), gradients(model, shared, ids, mask)
    own = mask[:, -6:].bool()
    for one, other in zip(wanted[:2], found[:2], strict=True):
        assert float((one - other)[own].abs().max()) < 2e-6
    assert float((wanted[2] - found[2]).abs().max()) <= 1e-6 * float(wanted[2].abs().max())
    assert not found[0][~own].any()


def test_without_a_layout_nothing_changes() -> None:
    model = made("llama")
    ids, mask = batch()
    with torch.no_grad():
        before = plain(model, ids, mask, 6)
        with share(model):
            within = plain(model, ids, mask, 6)
        after = model.config._attn_implementation
    assert after == "sdpa"
    assert all(torch.equal(one, other) for one, other in zip(before, within, strict=True))


def test_two_groups_with_one_prompt_and_groups_of_their_own() -> None:
    ids, mask = batch(4, 3)
    ids, mask = torch.cat([ids, ids.roll(1, 0)]), torch.cat([mask, mask.roll(1, 0)])
    layout = lay_out(ids, mask, 6)
    assert layout is not None
    assert layout.segments == 6
    model = made("qwen2")
    with share(model), torch.no_grad():
        own = mask[:, -6:].bool()
        assert float((plain(model, ids, mask, 6)[0] - shared(model, ids, mask, 6)[0])[own].abs().max()) < 2e-6


def test_where_sharing_is_not_worth_it_or_not_possible() -> None:
    ids, mask = batch(3, 4)
    assert lay_out(ids, mask, 6) is not None
    assert lay_out(ids, mask, 6, worth=10) is None
    assert lay_out(ids[:1], mask[:1], 6) is None
    different = torch.randint(2, 97, (6, 20), generator=torch.Generator().manual_seed(1))
    assert lay_out(different, torch.ones_like(different), 6) is None
    keep = torch.arange(12) != 3
    assert lay_out(ids[keep], mask[keep], 6) is None, "one group has lost a row"
    assert lay_out(ids[:, 13:], mask[:, 13:], 6) is None, "a prompt of one token is its own last token"


def test_models_that_cannot() -> None:
    assert not can_share(AutoModelForCausalLM.from_config(GPT2Config(vocab_size=97, n_embd=32, n_layer=1, n_head=2)))
    sliding = MistralConfig(**SIZES, sliding_window=4)
    assert not can_share(AutoModelForCausalLM.from_config(sliding, attn_implementation="sdpa"))
    assert not can_share(AutoModelForCausalLM.from_config(MODELS["llama"](), attn_implementation="eager"))
