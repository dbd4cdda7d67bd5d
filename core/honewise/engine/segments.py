"""Where a reward model scores within a completion: ends of lines, sentences or tokens, or where a policy was unsure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from honewise.algorithms import segment_ends
from honewise.models.policy import Policy
from honewise.recipes.preference import SegmentSpec

from .credit import decode

__all__ = ["char_ends", "entropies_of", "token_ends"]

_ENDS = {"lines": re.compile(r"\n+"), "sentences": re.compile(r"[.!?…。！？]+[\"')\]»”’]*(?=\s|$)\s*|\n+\s*")}
"""What ends a segment; it belongs to the segment that it ends."""

_AT_ONCE = 8


def char_ends(text: str, by: str) -> list[int]:
    """Where segments end, in characters; the last is the end of the text.

    >>> char_ends("One. Two! And", "sentences")
    [5, 10, 13]
    """
    ends = [match.end() for match in _ENDS[by].finditer(text)]
    return ends if ends and ends[-1] == len(text) else [*ends, len(text)]


def token_ends(
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[int],
    spec: SegmentSpec | None,
    entropies: Sequence[float] | None = None,
) -> list[int]:
    """The tokens of a completion at which it is scored, ascending; the last token is always one.

    Without a ``spec`` it is the only one. ``entropies`` are those of the distributions that the tokens were drawn from,
    for ``by: entropy``.
    """
    last = len(ids) - 1
    if spec is None:
        return [last]
    if spec.by == "tokens":
        return list(range(len(ids)))
    if spec.by == "entropy":
        assert entropies is not None
        found = segment_ends(torch.tensor([list(entropies)]), torch.ones(1, len(ids)), float(spec.threshold or 0.0))
        return found[0].nonzero().flatten().tolist()
    text = decode(tokenizer, ids)
    ends = set()
    for end in char_ends(text.text, spec.by)[:-1]:
        writing = [place for place, (first, stop) in enumerate(text.spans) if first < end and stop > first]
        ends.update(writing[-1:])
    return sorted({*ends, last})


@torch.no_grad()
def entropies_of(policy: Policy, prompts: Sequence[Sequence[int]], said: Sequence[Sequence[int]]) -> list[list[float]]:
    """For each token of each completion, the entropy in nats of the distribution that it was drawn from."""
    found: list[list[float]] = []
    pad, device = policy.tokenizer.pad_token_id, policy.model.device
    for start in range(0, len(said), _AT_ONCE):
        rows = [
            [*prompt, *ids]
            for prompt, ids in zip(prompts[start : start + _AT_ONCE], said[start : start + _AT_ONCE], strict=True)
        ]
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        logps = torch.log_softmax(policy.model(input_ids=ids, attention_mask=mask).logits.float(), -1)
        entropy: Tensor = -(logps.exp() * logps).sum(-1)
        for row, own, values in zip(rows, said[start : start + _AT_ONCE], entropy.tolist(), strict=True):
            first = len(row) - len(own)
            found.append(values[first - 1 : len(row) - 1])
    return found
