"""Likeness of meaning by embeddings, for explanations; after SecRepair's semantic reward. The model is a choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

from honewise import Completion, Score, Task, Unscored, UserError, reward
from honewise.errors import MissingExtra

__all__ = ["comment_similarity", "cosine"]

Embedder = Callable[[Sequence[str]], list[list[float]]]


@reward(cost="device", deadline=60.0)
def comment_similarity(
    tasks: Sequence[Task],
    completions: Sequence[Completion],
    *,
    model: str = "sentence-transformers/all-MiniLM-L6-v2",
) -> list[Score | Unscored]:
    """Likeness of the explanation's meaning to the reference's: cosine of their embeddings, 0 where it is negative.

    Embeddings are means over a text's tokens, as Sentence-BERT pools them. Needs ``honewise-code-api[embedding]`` and
    the model; without them it is unscored and says what to install. By words alone: ``comment_overlap``.

    Options:
        model: a name of the Hugging Face hub, or a folder.
    """
    wanted = [str(task.reference.get("comment") or "").strip() for task in tasks]
    said = [piece.text.strip() if (piece := each.pieces.get("explanation")) else "" for each in completions]
    found: list[Score | Unscored] = [
        Score(float(one == other)) if one else Unscored("the task has no reference explanation")
        for one, other in zip(wanted, said, strict=True)
    ]
    open_ = [at for at, one in enumerate(wanted) if one and said[at] and said[at] != one]
    if not open_:
        return found
    try:
        vectors = _embedder(model)([text for at in open_ for text in (wanted[at], said[at])])
    except MissingExtra:
        missing = MissingExtra("comment_similarity", "honewise-code-api[embedding]")
        return [each if at not in open_ else Unscored(str(missing)) for at, each in enumerate(found)]
    except UserError as error:
        return [each if at not in open_ else Unscored(f"comment_similarity: {error}") for at, each in enumerate(found)]
    for place, at in enumerate(open_):
        found[at] = Score(max(0.0, cosine(vectors[2 * place], vectors[2 * place + 1])))
    return found


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """In [-1, 1]; 0 where a vector has no length.

    >>> cosine([3.0, 4.0], [4.0, 3.0])
    0.96
    """
    length = math.hypot(*one) * math.hypot(*other)
    return min(1.0, max(-1.0, math.fsum(a * b for a, b in zip(one, other, strict=True)) / length)) if length else 0.0


@lru_cache(maxsize=1)
def _embedder(model: str) -> Embedder:
    from honewise.models.readers import load_embedder

    return load_embedder(model)
