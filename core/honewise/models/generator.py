"""A model of this process as judges see it: conversations in, texts out, with log-probabilities where asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from honewise.contracts import Generation, Message, TokenChoice
from honewise.errors import UserError
from honewise.recipes.judging import LocalSpec
from honewise.recipes.schema import PolicySpec

from .policy import Policy, load_policy, quiet
from .sampling import generate, stop_ids
from .text import decode_text, prompt_ids

__all__ = ["ModelGenerator", "load_generator"]


class ModelGenerator:
    """Implements ``honewise.Generator``.

    Args:
        policy: the model and its tokenizer.
        adapter_off: the weights under the adapter answer. That switches state of the whole module, so it must not be
            used while the policy trains or samples: ``Scorer.score`` returns only once every answer is there.
        batch: most conversations in one pass.

    What is drawn follows from the seeds alone; no random state of the process is moved, and training mode is restored.
    Raises ``UserError`` where there is no adapter to switch off.
    """

    def __init__(self, policy: Policy, *, adapter_off: bool = False, batch: int = 16) -> None:
        if adapter_off and not policy.adapted:
            raise UserError("judge.policy: this policy has no adapter that could be switched off; set policy.lora")
        self.policy, self.batch = policy, batch
        self._adapter_off = adapter_off

    def generate(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        temperature: float,
        max_tokens: int,
        top_p: float = 1.0,
        seeds: Sequence[int] = (),
        top_logprobs: int | None = None,
    ) -> list[Generation]:
        tokenizer, model = self.policy.tokenizer, self.policy.model
        stop = stop_ids(model, tokenizer)
        with quiet():
            encoded = [prompt_ids(tokenizer, prompt) for prompt in prompts]
        drawn = list(seeds) or [0] * len(prompts)
        done: list[Generation | None] = [None] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda i: (-len(encoded[i]), i))
        with self._still():
            for start in range(0, len(order), self.batch):
                chosen = order[start : start + self.batch]
                rows = generate(
                    model, [encoded[i] for i in chosen], samples=1, temperature=temperature, top_p=top_p,
                    max_new_tokens=max_tokens, stop=stop, pad=_pad(tokenizer), seeds=[drawn[i] for i in chosen],
                )  # fmt: skip
                for i, (ids,) in zip(chosen, rows, strict=True):
                    choices = () if top_logprobs is None else self._choices(encoded[i], ids, top_logprobs)
                    cut = not ids or ids[-1] not in stop
                    done[i] = Generation(decode_text(tokenizer, ids), len(encoded[i]), len(ids), cut, choices)
        return [each for each in done if each is not None]

    def _choices(self, prompt: Sequence[int], ids: Sequence[int], top: int) -> tuple[TokenChoice, ...]:
        """Log-probabilities of generated tokens in float32, at temperature 1, by one pass over prompt and reply."""
        with torch.no_grad():
            whole = torch.tensor([[*prompt, *ids]], device=self.policy.model.device)
            logits: Tensor = self.policy.model(input_ids=whole).logits[0, len(prompt) - 1 : -1]
            logps = torch.log_softmax(logits.float(), -1)
        chosen = logps[torch.arange(len(ids)), torch.tensor(ids)].tolist()
        likeliest = logps.topk(min(top, logps.shape[-1]), -1) if top else None
        told: list[TokenChoice] = []
        for at, (token, logprob) in enumerate(zip(ids, chosen, strict=True)):
            pairs: tuple[tuple[str, float], ...] = ()
            if likeliest is not None:
                values, tokens = likeliest.values[at].tolist(), likeliest.indices[at].tolist()
                pairs = tuple((self._spell(t), value) for t, value in zip(tokens, values, strict=True))
            told.append(TokenChoice(self._spell(token), logprob, pairs))
        return tuple(told)

    def _spell(self, token: int) -> str:
        """One token as text, special ones included."""
        return str(self.policy.tokenizer.decode([token], skip_special_tokens=False))

    @contextlib.contextmanager
    def _still(self) -> Iterator[None]:
        """The adapter off where that is wanted, evaluation mode, and random states as they were."""
        model = self.policy.model
        training = model.training
        devices = [model.device] if model.device.type == "cuda" else []
        off = model.disable_adapter() if self._adapter_off else contextlib.nullcontext()
        with torch.random.fork_rng(devices=devices), off:
            model.eval()
            try:
                yield
            finally:
                model.train(training)


def load_generator(spec: LocalSpec, *, seed: int = 0) -> ModelGenerator:
    """The model that a recipe names under ``judge.local``, on its device. Raises ``UserError``."""
    policy = PolicySpec(hub=spec.hub, path=spec.path, revision=spec.revision, dtype=spec.dtype)
    return ModelGenerator(load_policy(policy, device=spec.device, seed=seed), batch=spec.batch)


def _pad(tokenizer: Any) -> int:
    return int(tokenizer.pad_token_id)
