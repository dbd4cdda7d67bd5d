"""Folds for cross-fitting, in which no prompt stands on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from honewise.errors import UserError

__all__ = ["folds"]


def folds(groups: Sequence[str], count: int, *, seed: int = 0) -> list[int]:
    """For each row the fold, 0 to ``count`` - 1, that it is held out in; rows of one group (a prompt) share theirs.

    Which fold a group is in depends on the groups there are and the seed, not on the order of rows; folds differ by at
    most one group. For cross-fitting: a model that judges a pair must not have been trained on its prompt.

    Raises ``UserError`` with fewer groups than folds.

    >>> folds(["a", "a", "b", "c"], 3)
    [1, 1, 2, 0]
    """
    names = sorted(set(groups), key=lambda name: sha256(f"{seed}\0{name}".encode()).digest())
    if count < 2 or len(names) < count:
        raise UserError(f"{count} folds of {len(names)} prompts; there must be 2 folds or more, and a prompt for each")
    where = {name: place % count for place, name in enumerate(names)}
    return [where[name] for name in groups]
