"""A small Llama-type model and its tokenizer, built from nothing but a domain's own texts.

Tiny models prove the machinery on a laptop and serve the tests; they are not results.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from honewise.errors import UserError
from honewise.recipes.schema import TinySpec

__all__ = ["CHAT_TEMPLATE", "build", "build_model", "build_tokenizer"]

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant")

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|' + message['role'] + '|>' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}
{%- else -%}
{{- message['content'] + '<|end|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""
"""Role mark, content, end mark; what the assistant says is marked as generated, for losses on it alone."""


def build(spec: TinySpec, texts: Iterable[str], *, seed: int) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Model and tokenizer of ``spec``; equal arguments give equal weights on one machine.

    ``texts``: prompts and gold completions of the domain; the tokenizer learns its merges from them.
    """
    tokenizer = build_tokenizer(texts, vocabulary=spec.vocabulary, context=spec.context)
    return build_model(spec, tokenizer, seed=seed), tokenizer


def build_tokenizer(texts: Iterable[str], *, vocabulary: int, context: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE of at most ``vocabulary`` tokens: any text round-trips, each digit is a token of its own."""
    special = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=special[2:],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=context,
    )


def build_model(spec: TinySpec, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> LlamaForCausalLM:
    """A Llama with tied embeddings and freshly drawn float32 weights; the global random state is left alone."""
    kv_heads = spec.kv_heads or spec.heads
    if spec.width % (2 * spec.heads):
        raise UserError(f"policy.tiny: width {spec.width} is no multiple of twice heads ({spec.heads})")
    if spec.heads % kv_heads:
        raise UserError(f"policy.tiny: heads {spec.heads} is no multiple of kv_heads {kv_heads}")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=spec.width,
        intermediate_size=-(-spec.width * 8 // 3 // 16) * 16,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=spec.context,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model
