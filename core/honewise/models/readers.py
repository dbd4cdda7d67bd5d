"""Models that read texts for audits: a policy's tokenizer, sentence embeddings, natural language inference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from honewise.errors import MissingExtra, UserError, first_sentence

if TYPE_CHECKING:
    from honewise.metrics import Entailment

__all__ = ["load_embedder", "load_inference", "policy_tokens"]

_BATCH = 32
_WORDS = ("entailment", "neutral", "contradiction")


def policy_tokens(folder: Path) -> tuple[Callable[[str], Sequence[int]], int] | None:
    """What splits a text as the policy saved in ``folder`` does, and the size of its vocabulary; None where the policy
    has no fast tokenizer, or the library is not installed. Needs no torch."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return None
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception:  # the library raises Exception itself on a file that it cannot read
        return None

    def split(text: str) -> Sequence[int]:
        return cast(Sequence[int], tokenizer.encode(text, add_special_tokens=False).ids)

    return split, int(tokenizer.get_vocab_size())


def load_embedder(name: str, *, device: str = "auto") -> Callable[[Sequence[str]], list[list[float]]]:
    """Mean of the last hidden states over a text's tokens, as Sentence-BERT pools (Reimers and Gurevych 2019).

    ``name`` is a hub id or a folder. A text is cut at the model's context. Raises ``UserError`` where the model cannot
    be had, and ``MissingExtra`` without transformers.
    """
    model, tokenizer, where = _load(name, "AutoModel", device)
    import torch

    def embed(texts: Sequence[str]) -> list[list[float]]:
        found: list[list[float]] = []
        for start in range(0, len(texts), _BATCH):
            part = [text or " " for text in texts[start : start + _BATCH]]
            given = tokenizer(part, padding=True, truncation=True, max_length=_context(model), return_tensors="pt")
            given = {key: value.to(where) for key, value in given.items() if key != "token_type_ids"}
            with torch.inference_mode():
                hidden = model(**given).last_hidden_state.float()
            mask = given["attention_mask"].unsqueeze(-1).float()
            pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            found += cast(list[list[float]], pooled.cpu().tolist())
        return found

    return embed


def load_inference(name: str, *, device: str = "auto") -> Callable[[str, str], Entailment]:
    """A classifier of natural language inference: premise and hypothesis to what follows.

    ``name`` is a hub id or a folder. Raises ``UserError`` where the model cannot be had, or where its labels are not
    entailment, neutral and contradiction; ``MissingExtra`` without transformers.
    """
    model, tokenizer, where = _load(name, "AutoModelForSequenceClassification", device)
    import torch

    labels = {index: str(label).casefold() for index, label in model.config.id2label.items()}
    if sorted(labels.values()) != sorted(_WORDS):
        raise UserError(
            f"{name}: its labels are {', '.join(labels.values())}; {', '.join(_WORDS)} are needed, as in models that "
            "were trained on MNLI"
        )

    def infer(premise: str, hypothesis: str) -> Entailment:
        given = tokenizer(premise, hypothesis, truncation=True, max_length=_context(model), return_tensors="pt")
        with torch.inference_mode():
            logits = model(**{key: value.to(where) for key, value in given.items()}).logits[0]
        return cast("Entailment", labels[int(logits.argmax())])

    return infer


def _load(name: str, kind: str, device: str) -> tuple[Any, Any, str]:
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("reading texts with a model", "honewise[train]") from error
    from .policy import quiet, resolve_device

    where = resolve_device(device)
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(name)
            model = getattr(transformers, kind).from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{name}: cannot be loaded: {first_sentence(error)}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(where).eval(), tokenizer, where


def _context(model: Any) -> int:
    return int(getattr(model.config, "max_position_embeddings", 0) or 512)
