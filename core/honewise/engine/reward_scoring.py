"""Reward models as they are used: loaded, batched, normalised, and paid where segments end.

A reward model is a sequence classifier of transformers with one output and, beside its weights, ``SETTINGS``: the mean
and standard deviation of its scores on the pairs that it was trained on, and where it scores. Without that file it is
somebody else's, and its scores are taken as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from honewise.algorithms import at_segment_ends
from honewise.contracts import Completion, Message, Score, Span, Task, Unscored
from honewise.errors import UserError, first_sentence
from honewise.models.policy import Policy, load_policy, open_policy, quiet, resolve_device
from honewise.models.text import encode
from honewise.recipes.preference import SegmentSpec
from honewise.recipes.schema import PolicySpec
from honewise.scoring.pairs import prompt_key

from .credit import decode
from .segments import entropies_of, token_ends

__all__ = [
    "FOLDS",
    "SETTINGS",
    "RewardModel",
    "RewardSettings",
    "aggregate_ends",
    "fold_key",
    "load_reward_model",
    "recorded_values",
    "save_settings",
]

SETTINGS = "honewise_reward.json"
FOLDS = "honewise_folds.json"
FORMAT = 1

_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class RewardSettings:
    """What stands beside a reward model's weights."""

    loss: str = "bradley-terry"
    mean: float = 0.0
    """Of its scores on the pairs it was trained on; 0 for a cost, whose 0 means something."""
    std: float = 1.0
    segments: SegmentSpec | None = None
    policy: str | None = None
    """For segments by entropy: whose entropy."""


def save_settings(folder: Path, settings: RewardSettings) -> None:
    """Write ``SETTINGS`` into a model's folder."""
    values = {"format": FORMAT, **asdict(settings)}
    values["segments"] = None if settings.segments is None else settings.segments.model_dump()
    (folder / SETTINGS).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def fold_key(prompt: Sequence[Message]) -> str:
    """What ``FOLDS`` knows a prompt by."""
    return hashlib.sha256(prompt_key(prompt).encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def recorded_values(model: Any) -> Iterator[list[Tensor]]:
    """The value of every token, (B, T), each time that the model is called within."""
    seen: list[Tensor] = []
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    hook = base.score.register_forward_hook(lambda _module, _args, output: seen.append(output.squeeze(-1)))
    try:
        yield seen
    finally:
        hook.remove()


def aggregate_ends(values: Tensor, ends: Tensor, how: str) -> Tensor:
    """(B,): the mean or sum of values (B, T) at ``ends`` (B, T, bool)."""
    found, there = at_segment_ends(values, ends)
    total = found.sum(-1)
    return total if how == "sum" else total / there.sum(-1).clamp(min=1)


@dataclass(slots=True)
class RewardModel:
    """A reward model and its folds, on their device."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    settings: RewardSettings
    folds: dict[str, int]
    """Prompt, by ``fold_key``, to the fold that it is held out in."""
    by_fold: dict[int, Any]
    reference: Policy | None = None
    """For segments by entropy."""

    def score(
        self, tasks: Sequence[Task], completions: Sequence[Completion], *, dense: bool, cross_fit: bool = False
    ) -> list[Score | Unscored]:
        """Normalised scores; ``dense``: as spans of the segments, with the same sum. ``cross_fit``: each prompt by the
        model that was trained without it, where there is one. What is longer than the model can read is unscored."""
        found: list[Score | Unscored] = [Unscored("")] * len(tasks)
        groups: dict[int, list[int]] = {}
        for place, task in enumerate(tasks):
            fold = self.folds.get(fold_key(task.prompt), -1) if cross_fit else -1
            groups.setdefault(fold, []).append(place)
        for fold, places in groups.items():
            model, settings = self.by_fold[fold] if fold >= 0 else (self.model, self.settings)
            made = self._score(model, settings, [tasks[i] for i in places], [completions[i] for i in places], dense)
            for place, one in zip(places, made, strict=True):
                found[place] = one
        return found

    def _score(
        self,
        model: Any,
        settings: RewardSettings,
        tasks: Sequence[Task],
        completions: Sequence[Completion],
        dense: bool,
    ) -> list[Score | Unscored]:
        with quiet():
            encoded = [
                encode(self.tokenizer, task.prompt, one.text, ended=not one.truncated)
                for task, one in zip(tasks, completions, strict=True)
            ]
        limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        fits = [i for i, (prompt, said) in enumerate(encoded) if limit is None or len(prompt) + len(said) <= limit]
        entropies = self._entropies([encoded[i] for i in fits])
        ends = [
            token_ends(self.tokenizer, encoded[i][1], settings.segments, own)
            for i, own in zip(fits, entropies, strict=True)
        ]
        values = _values(model, [encoded[i] for i in fits], ends, self.tokenizer.pad_token_id)
        found: list[Score | Unscored] = [Unscored(f"longer than the reward model's {limit} tokens")] * len(tasks)
        for i, places, own in zip(fits, ends, values, strict=True):
            found[i] = self._made(settings, completions[i].text, encoded[i][1], places, own, dense)
        return found

    def _entropies(self, encoded: Sequence[tuple[list[int], list[int]]]) -> Sequence[list[float] | None]:
        if self.reference is None:
            return [None] * len(encoded)
        return entropies_of(self.reference, [prompt for prompt, _ in encoded], [said for _, said in encoded])

    def _made(
        self,
        settings: RewardSettings,
        text: str,
        ids: Sequence[int],
        ends: Sequence[int],
        values: Sequence[float],
        dense: bool,
    ) -> Score:
        mean = settings.segments is None or settings.segments.aggregate == "mean"
        raw = sum(values) / (len(values) if mean else 1)
        total = (raw - settings.mean) / settings.std
        spans = _spans(self.tokenizer, ids, text, ends) if dense and settings.segments is not None else None
        if spans is None:
            return Score(terminal=total, parts={"raw": raw})
        share = len(values) if mean else 1
        shift = settings.mean if mean else 0.0
        paid = [
            Span(start, end, (value - shift) / (settings.std * share))
            for (start, end), value in zip(spans, values, strict=True)
        ]
        return Score(terminal=0.0 if mean else -settings.mean / settings.std, spans=paid, parts={"raw": raw})


def load_reward_model(place: str, *, device: str = "auto", folds: bool = False) -> RewardModel:
    """The reward model in a folder, or a hub id; with ``folds``, those of its cross-fitting, too.

    Raises ``UserError`` where it cannot be had, is no sequence classifier with one output, or has no folds.
    """
    device = resolve_device(device)
    model, tokenizer = _open(place, device)
    settings = _settings(Path(place))
    reference = None
    if settings.policy is not None and settings.segments is not None and settings.segments.by == "entropy":
        known = Path(settings.policy).is_dir()
        reference = (
            open_policy(settings.policy, device=device)
            if known
            else load_policy(PolicySpec(hub=settings.policy), device=device)
        )
    known_folds: dict[str, int] = {}
    by_fold: dict[int, Any] = {}
    if folds:
        file = Path(place) / FOLDS
        if not file.is_file():
            raise UserError(
                f"{place}: was trained without folds, so no prompt can be scored by a model that never saw it"
            )
        known_folds = json.loads(file.read_text("utf-8"))
        for number in sorted(set(known_folds.values())):
            folder = Path(place) / f"fold-{number + 1}"
            by_fold[number] = (_open(str(folder), device)[0], _settings(folder))
    return RewardModel(model, tokenizer, settings, known_folds, by_fold, reference)


def _open(place: str, device: str) -> tuple[Any, PreTrainedTokenizerBase]:
    dtype: Any = torch.float32 if device == "cpu" else "auto"
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(place)
            model, info = AutoModelForSequenceClassification.from_pretrained(
                place, dtype=dtype, output_loading_info=True
            )
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"reward model: {place} cannot be loaded: {first_sentence(error)}") from error
    missing = [name for name in info["missing_keys"] if name.startswith("score")]
    if missing or model.config.num_labels != 1 or not hasattr(model, "score"):
        raise UserError(f"reward model: {place} is no sequence classifier with one output")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return model.to(device).eval(), tokenizer


def _settings(folder: Path) -> RewardSettings:
    file = folder / SETTINGS
    if not file.is_file():
        return RewardSettings()
    values = json.loads(file.read_text("utf-8"))
    if values.pop("format", None) != FORMAT:
        raise UserError(f"{file}: another format than {FORMAT}, which this version reads")
    segments = values.pop("segments")
    return RewardSettings(**values, segments=None if segments is None else SegmentSpec(**segments))


@torch.no_grad()
def _values(
    model: Any, encoded: Sequence[tuple[list[int], list[int]]], ends: Sequence[Sequence[int]], pad: int
) -> list[list[float]]:
    """For each completion, the values at its ends; those of like length are computed together."""
    found: list[list[float]] = [[] for _ in encoded]
    order = sorted(range(len(encoded)), key=lambda i: -sum(map(len, encoded[i])))
    for start in range(0, len(order), _AT_ONCE):
        chosen = order[start : start + _AT_ONCE]
        rows = [[*encoded[i][0], *encoded[i][1]] for i in chosen]
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=model.device)
        with recorded_values(model) as seen:
            model(input_ids=ids, attention_mask=mask, use_cache=False)
        for i, values in zip(chosen, seen[0].float().tolist(), strict=True):
            found[i] = [values[len(encoded[i][0]) + end] for end in ends[i]]
    return found


def _spans(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], text: str, ends: Sequence[int]
) -> list[tuple[int, int]] | None:
    """The characters of each segment; None where the tokens' text does not stand in ``text``."""
    read = decode(tokenizer, ids)
    offset = text.find(read.text)
    if offset < 0 or not text:
        return None
    stops = [offset + read.spans[end][1] for end in ends[:-1]] + [len(text)]
    starts = [0, *stops[:-1]]
    return [(start, max(start, stop)) for start, stop in zip(starts, stops, strict=True)]
