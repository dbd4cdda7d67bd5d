"""The one way in which honewise turns messages into prompt ids and generated ids into text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from honewise.errors import UserError

__all__ = ["decode_text", "encode", "prompt_ids", "prompt_text"]


def decode_text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """The text of generated ids: special tokens left out, nothing cleaned up, broken UTF-8 as U+FFFD."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def encode(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Any]], text: str, *, ended: bool = True
) -> tuple[list[int], list[int]]:
    """Ids of a prompt, as it is when sampling, and of a completion through the chat template, up to the token that ends
    it. ``ended`` is False for one that was cut off: it has no end to be learnt."""
    prompt = prompt_ids(tokenizer, messages)
    conversation = [*(dict(message) for message in messages), {"role": "assistant", "content": text}]
    whole = list(tokenizer.apply_chat_template(conversation, return_dict=True)["input_ids"])
    end = tokenizer.eos_token_id
    if whole[: len(prompt)] == prompt:
        said = whole[len(prompt) :]
    else:
        said = list(tokenizer(text, add_special_tokens=False)["input_ids"])
    said = said[: said.index(end) + 1] if end in said else [*said, end]
    return prompt, said[:-1] if len(said) > 1 and not ended else said


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """Token ids of a conversation through the chat template, up to where the assistant begins to speak."""
    _require_template(tokenizer)
    conversation = [dict(message) for message in messages]
    return list(tokenizer.apply_chat_template(conversation, add_generation_prompt=True, return_dict=True)["input_ids"])


def prompt_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Any]]) -> str:
    """The conversation as the model reads it, special tokens shown."""
    _require_template(tokenizer)
    conversation = [dict(message) for message in messages]
    return str(tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False))


def _require_template(tokenizer: PreTrainedTokenizerBase) -> None:
    if not tokenizer.chat_template:
        raise UserError(
            "the policy's tokenizer has no chat template, so prompts cannot be written in its format; choose an "
            "instruction-tuned model, or save a tokenizer with a chat template beside the weights and use `path`"
        )
