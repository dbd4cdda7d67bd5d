"""Tiny policies: their tokenizer, template and weights."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise.errors import UserError
from honewise.models.text import decode_text, prompt_ids, prompt_text
from honewise.models.tiny import build, build_tokenizer
from honewise.recipes.schema import TinySpec

TEXTS = [f"SELECT name, price FROM orders WHERE id = {n} -- café, שלום" for n in range(40)]
SPEC = TinySpec(layers=2, width=64, heads=4, kv_heads=2, vocabulary=320, context=64)
TOKENIZER = build_tokenizer(TEXTS, vocabulary=320, context=64)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_any_text_round_trips(text: str) -> None:
    assert decode_text(TOKENIZER, TOKENIZER(text)["input_ids"]) == text


def test_every_digit_is_a_token_of_its_own() -> None:
    for token in TOKENIZER.get_vocab():
        assert sum(char.isdigit() for char in token) <= 1
    assert len(TOKENIZER("20261123")["input_ids"]) == 8


def test_vocabulary_has_the_size_that_was_asked_for() -> None:
    assert len(build_tokenizer(TEXTS, vocabulary=290, context=64)) == 290
    assert len(build_tokenizer(["ab"], vocabulary=320, context=64)) < 320, "nothing more to learn"
    model, tokenizer = build(SPEC, TEXTS, seed=0)
    assert model.config.vocab_size == len(tokenizer)


def test_the_template() -> None:
    talk = [{"role": "system", "content": "S"}, {"role": "user", "content": "2+2?"}]
    assert prompt_text(TOKENIZER, talk) == "<|system|>S<|end|><|user|>2+2?<|end|><|assistant|>"
    whole = TOKENIZER.apply_chat_template([*talk, {"role": "assistant", "content": "4"}], return_dict=True,
                                          return_assistant_tokens_mask=True)  # fmt: skip
    prompt = prompt_ids(TOKENIZER, talk)
    assert whole["input_ids"][: len(prompt)] == prompt
    said = [i for i, own in zip(whole["input_ids"], whole["assistant_masks"], strict=True) if own]
    assert said == whole["input_ids"][len(prompt) :]
    assert TOKENIZER.convert_ids_to_tokens(said) == ["4", "<|end|>"]


def test_a_tokenizer_without_a_template_is_refused() -> None:
    bare = build_tokenizer(TEXTS, vocabulary=300, context=64)
    bare.chat_template = None
    with pytest.raises(UserError, match="no chat template"):
        prompt_ids(bare, [{"role": "user", "content": "?"}])


def digest(seed: int) -> str:
    model, tokenizer = build(SPEC, TEXTS, seed=seed)
    whole = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode())
    for name, value in sorted(model.state_dict().items()):
        whole.update(name.encode() + value.numpy().tobytes())
    return whole.hexdigest()


def test_equal_seeds_give_equal_policies() -> None:
    before = torch.random.get_rng_state()
    first = digest(3)
    assert torch.equal(before, torch.random.get_rng_state()), "the global random state is left alone"
    assert digest(3) == first
    assert digest(4) != first


def test_equal_seeds_give_equal_policies_in_another_process() -> None:
    root = os.path.dirname(__file__)
    code = f"import sys; sys.path.insert(0, {root!r}); import test_tiny; print(test_tiny.digest(3))"
    environment = {**os.environ, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "1"}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert found.stdout.split()[-1] == digest(3)


def test_the_size_of_the_default() -> None:
    model, _ = build(TinySpec(), TEXTS, seed=0)
    assert sum(p.numel() for p in model.parameters()) < 2_000_000
    assert model.dtype == torch.float32
    assert model.generation_config.eos_token_id is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"width": 100}, "no multiple of twice heads"), ({"kv_heads": 3}, "no multiple of kv_heads 3")],
)
def test_shapes_that_do_not_fit(changes: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(SPEC.model_copy(update=changes), TEXTS, seed=0)
