"""Sampling: what the distribution says, whatever the batch, and the same each time."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_world as world
import torch
from transformers import GemmaConfig, GPT2Config, MistralConfig, Qwen2Config

from honewise.models import sampling
from honewise.models.policy import Policy
from honewise.models.sampling import derive_seed, generate, sample, stop_ids
from honewise.models.text import decode_text, prompt_ids

POLICY = world.policy()
PROMPTS = [task.prompt for task in world.tasks()]
IDS = [prompt_ids(POLICY.tokenizer, prompt) for prompt in PROMPTS]
STOP = stop_ids(POLICY.model, POLICY.tokenizer)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(policy: Policy = POLICY, prompts: list[list[int]] = IDS, **changes: Any) -> list[list[list[int]]]:
    settings: dict[str, Any] = {"samples": 3, "temperature": 1.0, "top_p": 1.0, "max_new_tokens": 10, "stop": STOP,
                                "pad": policy.tokenizer.pad_token_id, "seeds": list(range(len(prompts)))}  # fmt: skip
    return generate(policy.model, prompts, **{**settings, **changes})


def test_greedy_is_that_of_the_library() -> None:
    """Ragged prompts, one by one through transformers, against our batch."""
    ours = drawn(temperature=0.0, samples=1)
    for ids, (found,) in zip(IDS, ours, strict=True):
        whole = POLICY.model.generate(torch.tensor([ids]), max_new_tokens=10, do_sample=False)
        assert found == sampling._until(whole[0, len(ids) :].tolist(), STOP)


def test_greedy_runs_past_the_first_room_of_the_cache() -> None:
    ours = drawn(prompts=IDS[:2], temperature=0.0, samples=1, max_new_tokens=90, stop=frozenset())
    for ids, (found,) in zip(IDS, ours, strict=False):
        whole = POLICY.model.generate(torch.tensor([ids]), max_new_tokens=90, do_sample=False, eos_token_id=None)
        assert found == whole[0, len(ids) :].tolist()


def test_what_is_drawn_does_not_depend_on_the_batch() -> None:
    whole = sample(POLICY, PROMPTS, samples=4, max_new_tokens=8, seed=5)
    assert sample(POLICY, PROMPTS, samples=4, max_new_tokens=8, seed=5, batch=4) == whole
    assert sample(POLICY, PROMPTS, samples=4, max_new_tokens=8, seed=5, batch=1) == whole
    assert sample(POLICY, PROMPTS, samples=4, max_new_tokens=8, seed=6) != whole
    assert [one.text for one in whole[0]] != [one.text for one in whole[1]]
    fewer = sample(POLICY, PROMPTS[:3], samples=4, max_new_tokens=8, seed=5)
    assert fewer == whole[:3]


def test_completions_that_end_early_leave_the_others_as_they_are() -> None:
    """Rows leave the batch once in a while; each goes on with its own prompt and its own random numbers."""
    stop = STOP | set(range(40, 140))
    whole = drawn(stop=stop, samples=8, max_new_tokens=16)
    lengths = [len(row) for group in whole for row in group]
    assert min(lengths) == 1
    assert max(lengths) > 4
    for seed, (ids, group) in enumerate(zip(IDS, whole, strict=True)):
        assert drawn(prompts=[ids], seeds=[seed], stop=stop, samples=8, max_new_tokens=16) == [group]


def test_the_random_state_is_left_alone_and_not_looked_at() -> None:
    before = torch.random.get_rng_state()
    first = drawn()
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(99)
    assert drawn() == first


def test_training_mode_is_restored() -> None:
    POLICY.model.train()
    drawn()
    assert POLICY.model.training
    POLICY.model.eval()
    drawn()
    assert not POLICY.model.training


def test_frequencies_are_the_probabilities() -> None:
    """The first token of 4,000 completions against the model's own distribution, and its nucleus."""
    logits = POLICY.model(torch.tensor([IDS[0]])).logits[0, -1].detach()
    for temperature, top_p in ((1.0, 1.0), (0.3, 1.0), (0.5, 0.6)):
        wanted = torch.softmax(logits.double() / temperature, -1)
        ranked, index = wanted.sort(descending=True)
        kept = index[(ranked.cumsum(0) - ranked) < top_p]
        nucleus = torch.zeros_like(wanted)
        nucleus[kept] = wanted[kept] / wanted[kept].sum()
        rows = drawn(prompts=IDS[:1], samples=4000, max_new_tokens=1, temperature=temperature, top_p=top_p)[0]
        found = torch.bincount(torch.tensor([row[0] for row in rows]), minlength=len(wanted)) / 4000
        assert not found[nucleus == 0].any()
        assert float((found - nucleus).abs().sum()) < 4 * float((nucleus * (1 - nucleus) / 4000).sqrt().sum())


def test_completions_end_at_a_stop_or_at_the_limit() -> None:
    stop = STOP | set(range(40, 120))
    ended = 0
    for row in (row for group in drawn(stop=stop, samples=8) for row in group):
        assert 1 <= len(row) <= 10
        assert not any(token in stop for token in row[:-1])
        assert row[-1] in stop or len(row) == 10
        ended += row[-1] in stop
    assert ended > 20


def test_a_sample_says_whether_it_was_cut() -> None:
    for group in sample(POLICY, PROMPTS, samples=2, max_new_tokens=6):
        for one in group:
            assert one.truncated == (one.ids[-1] not in STOP)
            assert one.tokens == len(one.ids)
            assert one.text == decode_text(POLICY.tokenizer, one.ids)
    greedy = sample(POLICY, PROMPTS[:2], samples=3, temperature=0, max_new_tokens=6)
    assert all(len(group) == 3 and len(set(group)) == 1 for group in greedy)


def test_nothing_to_do() -> None:
    assert sample(POLICY, [], samples=2) == []
    assert drawn(prompts=[], seeds=[]) == []


def other(config: Any) -> Policy:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return Policy(AutoModelForCausalLM.from_config(config).eval(), POLICY.tokenizer)


SIZES = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 1, "eos_token_id": 1, "pad_token_id": 0}  # fmt: skip


@pytest.mark.parametrize(
    "config",
    [
        Qwen2Config(**SIZES),
        MistralConfig(**SIZES, sliding_window=8),
        GemmaConfig(**SIZES, head_dim=16),
        GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=2, eos_token_id=1, pad_token_id=0, bos_token_id=1),
    ],
    ids=lambda config: config.model_type,
)
def test_other_architectures(config: Any) -> None:
    policy = other(config)
    assert sampling._shares_prompts(policy.model)
    ours = drawn(policy, temperature=0.0, samples=1, stop=frozenset({1}), max_new_tokens=12)
    for ids, (found,) in zip(IDS, ours, strict=True):
        whole = policy.model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)
        assert found == sampling._until(whole[0, len(ids) :].tolist(), frozenset({1}))


def test_models_with_another_kind_of_state_use_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_shares_prompts", lambda model: False)
    before = torch.random.get_rng_state()
    ours = drawn(samples=2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert drawn(samples=2) == ours
    assert [len(group) for group in ours] == [2] * len(IDS)
    assert all(row[-1] in STOP or len(row) == 10 for group in ours for row in group)
    assert drawn(samples=1, temperature=0.0) == [
        [sampling._until(g[0], STOP)] for g in drawn(samples=1, temperature=0.0)
    ]


def test_seeds_are_the_same_everywhere() -> None:
    assert derive_seed(1, "train", 2) == derive_seed(1, "train", 2) == 3273768033216683414
    assert derive_seed(1, "train", 2) != derive_seed(1, "train", 3)
    assert derive_seed(12, 3) != derive_seed(1, 23)
    assert 0 <= derive_seed("x") < 2**63
