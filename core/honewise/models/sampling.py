"""Sampling from a policy: batched, deterministic, and with the prompt computed once for all of its completions.

Every completion draws its own random numbers from (seed, prompt, sample), so what is drawn depends neither on the
batch nor on the process's random state, and leaves that state alone.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from honewise.progress import Progress, Silent

from .policy import Policy, quiet
from .text import decode_text, prompt_ids

__all__ = ["Sample", "derive_seed", "generate", "sample", "stop_ids"]

KEPT = 0.8
"""Ended completions leave the batch once no more than this share of it is going on: moving the caches costs more than
carrying a few along."""

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion."""

    text: str
    """Decoded from ``ids`` without special tokens."""
    ids: tuple[int, ...]
    """Generated tokens, the one that ended it included."""
    truncated: bool
    """Cut at ``max_new_tokens``."""

    @property
    def tokens(self) -> int:
        return len(self.ids)


def sample(
    policy: Policy,
    prompts: Sequence[Messages],
    *,
    samples: int = 1,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_new_tokens: int = 256,
    batch: int = 64,
    seed: int = 0,
    places: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> list[list[Sample]]:
    """``samples`` completions of each prompt, in the order of ``prompts``.

    ``temperature`` 0 is greedy. ``places``: where the prompts stand among more of them, whose completions are drawn
    elsewhere; what is drawn follows from the place. ``batch``: completions generated at once. Prompts of like length
    are batched together.
    ``progress`` is advanced by completions; the caller has started it.
    """
    tokenizer, progress = policy.tokenizer, progress or Silent()
    with quiet():
        encoded = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    places = range(len(prompts)) if places is None else places
    order = sorted(range(len(prompts)), key=lambda i: (-len(encoded[i]), i))
    results: list[list[Sample]] = [[] for _ in prompts]
    stop = stop_ids(policy.model, tokenizer)
    at_once = max(1, batch // (samples if temperature > 0 else 1))
    for start in range(0, len(order), at_once):
        chosen = order[start : start + at_once]
        rows = generate(
            policy.model,
            [encoded[i] for i in chosen],
            samples=samples if temperature > 0 else 1,
            temperature=temperature,
            top_p=top_p,
            max_new_tokens=max_new_tokens,
            stop=stop,
            pad=tokenizer.pad_token_id,
            seeds=[derive_seed(seed, places[i]) for i in chosen],
        )
        for i, group in zip(chosen, rows, strict=True):
            drawn = [Sample(decode_text(tokenizer, ids), tuple(ids), ids[-1] not in stop) for ids in group]
            results[i] = drawn if temperature > 0 else drawn * samples
        progress.advance(len(chosen) * samples)
    return results


def stop_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every id that ends a completion: the tokenizer's and those of the model's generation settings."""
    declared = model.generation_config.eos_token_id
    ids = [declared] if isinstance(declared, int) else list(declared or ())
    return frozenset(i for i in (tokenizer.eos_token_id, *ids) if i is not None)


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from numbers and names: equal on every machine, unrelated for different parts."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    samples: int,
    temperature: float,
    top_p: float,
    max_new_tokens: int,
    stop: frozenset[int],
    pad: int,
    seeds: Sequence[int],
) -> list[list[list[int]]]:
    """Token ids of ``samples`` completions of each prompt; one seed for each prompt. Each ends with a stop id or is
    ``max_new_tokens`` long."""
    if not prompts:
        return []
    chances = [torch.rand(samples, max_new_tokens, dtype=torch.float64, generator=_generator(seed)) for seed in seeds]
    with _evaluating(model), torch.no_grad():
        if _shares_prompts(model):
            rows = _decode(model, prompts, torch.cat(chances), samples, temperature, top_p, stop, pad)
        else:
            rows = _library_generate(model, prompts, samples, temperature, top_p, max_new_tokens, stop, pad, seeds[0])
    return [rows[i * samples : (i + 1) * samples] for i in range(len(prompts))]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """No dropout, no checkpointing; the mode is restored."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _shares_prompts(model: Any) -> bool:
    """Whether the key/value cache of a prompt can be expanded over its completions."""
    if model.config.is_encoder_decoder:
        return False
    return all(
        type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in DynamicCache(config=model.config).layers
    )


def _decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    chances: Tensor,
    samples: int,
    temperature: float,
    top_p: float,
    stop: frozenset[int],
    pad: int,
) -> list[list[int]]:
    """The loop: one pass over the prompts, then token by token over the completions still open."""
    device = model.device
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    cache = _cache(model, room=chances.shape[1])
    keep = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(_bare(model).forward).parameters else {}
    position = (mask.cumsum(-1) - 1).clamp(min=0)
    logits = model(
        input_ids=ids, attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True, **keep
    ).logits[:, -1]
    cache.batch_repeat_interleave(samples)
    logits = logits.repeat_interleave(samples, 0)
    mask = mask.repeat_interleave(samples, 0)
    position = position[:, -1:].repeat_interleave(samples, 0)
    ends = torch.tensor(sorted(stop), device=device)
    rows: list[list[int]] = [[] for _ in range(len(chances))]
    held = torch.arange(len(chances))  # rows still in the batch: those going on, and some that have ended
    going = torch.ones(len(chances), dtype=torch.bool, device=device)
    for step in range(chances.shape[1]):
        token = _choose(logits, chances[held, step].to(device), temperature, top_p)
        for row, value, own in zip(held.tolist(), token.tolist(), going.tolist(), strict=True):
            if own:
                rows[row].append(value)
        going = going & torch.isin(token, ends, invert=True)
        if not going.any() or step + 1 == chances.shape[1]:
            break
        if int(going.sum()) <= KEPT * len(going):
            held, token, mask, position = held[going.cpu()], token[going], mask[going], position[going]
            cache.batch_select_indices(going.nonzero().squeeze(-1))
            going = going[going]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], -1)
        position = position + 1
        logits = model(
            input_ids=token[:, None], attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True
        ).logits[:, -1]
    return rows


class _RoomyLayer(DynamicLayer):
    """Keys and values with room to grow: a token is written in place, where the library copies all that came before."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        keys, values = self._buffers(start, end, key_states, value_states)
        keys[..., start:end, :] = key_states
        values[..., start:end, :] = value_states
        self.keys, self.values = keys[..., :end, :], values[..., :end, :]
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        if self.is_initialized:
            rows = torch.arange(len(self.keys), device=self.keys.device)
            self.batch_select_indices(rows.repeat_interleave(repeats))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Straight into new buffers, with their room."""
        if not self.is_initialized:
            return
        length = self.get_seq_length()
        keys, values = self.buffers = self._new(self.keys, self.values, len(indices), length)
        keys[..., :length, :] = self.keys[indices]
        values[..., :length, :] = self.values[indices]
        self.keys, self.values = keys[..., :length, :], values[..., :length, :]

    def _buffers(self, start: int, end: int, key_states: Tensor, value_states: Tensor) -> tuple[Tensor, Tensor]:
        """Those in use, or new ones where there are none or their room is spent."""
        if self.buffers is None or end > self.buffers[0].shape[-2]:
            new = self._new(key_states, value_states, len(key_states), end)
            if start:
                new[0][..., :start, :] = self.keys
                new[1][..., :start, :] = self.values
            self.buffers = new
        return self.buffers

    def _new(self, keys: Tensor, values: Tensor, rows: int, length: int) -> tuple[Tensor, Tensor]:
        room = length + min(self.room, max(32, length // 4))
        return (
            keys.new_empty((rows, keys.shape[1], room, keys.shape[-1])),
            values.new_empty((rows, values.shape[1], room, values.shape[-1])),
        )


def _cache(model: Any, room: int) -> DynamicCache:
    cache = DynamicCache(config=model.config)
    cache.layers = [_RoomyLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _bare(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _choose(logits: Tensor, chance: Tensor, temperature: float, top_p: float) -> Tensor:
    """(B,) tokens: the likeliest at temperature 0, else by inverting the cumulative distribution at ``chance``."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.float() / temperature, -1)
    if top_p < 1:
        ranked, index = probabilities.sort(-1, descending=True)
        ranked = torch.where(ranked.cumsum(-1) - ranked < top_p, ranked, 0.0)
        probabilities = torch.zeros_like(probabilities).scatter(-1, index, ranked)
    cumulative = probabilities.double().cumsum(-1)
    target = chance[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)


def _library_generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    samples: int,
    temperature: float,
    top_p: float,
    max_new_tokens: int,
    stop: frozenset[int],
    pad: int,
    seed: int,
) -> list[list[int]]:
    """Transformers' own loop, for models whose state is more than keys and values; the random state is restored."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    drawing = {"temperature": temperature, "top_p": top_p, "top_k": 0} if temperature > 0 else {}
    settings = GenerationConfig(
        do_sample=temperature > 0,
        num_return_sequences=samples,
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted(stop),
        pad_token_id=pad,
        **drawing,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        found = model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
    start = 0 if model.config.is_encoder_decoder else width
    return [_until(row[start:].tolist(), stop) for row in found]


def _until(ids: list[int], stop: frozenset[int]) -> list[int]:
    for i, value in enumerate(ids):
        if value in stop:
            return ids[: i + 1]
    return ids
