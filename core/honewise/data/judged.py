"""Pairs of answers that people, or judges, have compared: what audits of judges read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from honewise.errors import DataError, UnknownName

from .files import read_jsonl

__all__ = [
    "ORDERS",
    "JudgedPair",
    "Order",
    "PairReader",
    "PairSet",
    "StoredVerdict",
    "load_pairs",
    "pair_line",
    "placed",
]

Order = Literal["ab", "ba", "both"]
ORDERS: Sequence[Order] = ("ab", "ba", "both")
"""Which answer the judge was shown first; ``both``: it was asked in both orders, and one verdict was made of that."""

WORDS = {"a": 1, "b": -1, "tie": 0}
"""How a line of ours says which answer is better."""


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """What a judge once said of a pair."""

    judge: str
    order: Order
    choice: int | None
    """1: ``a`` is better, whatever the order; -1: ``b``; 0: a tie; None: no verdict could be read."""
    confidence: float | None = None
    """How sure it was of its choice, 0 to 1."""
    sample: int = 0


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """Two answers to one question."""

    id: str
    question: str
    a: str
    b: str
    label: int | None = None
    """What people say, as in ``StoredVerdict.choice``; None: nobody said, or people did not agree on anything."""
    votes: tuple[int, ...] = ()
    """Of single annotators, where they are known."""
    subset: str = ""
    """Part of the data set."""
    verdicts: tuple[StoredVerdict, ...] = ()


@dataclass(frozen=True, slots=True)
class PairReader:
    """How one published layout becomes pairs."""

    read: Callable[[Path], Iterable[JudgedPair]]
    recognise: Callable[[Path], bool]
    """True where a file or folder is of this layout; never raises."""


@dataclass(frozen=True, slots=True)
class PairSet:
    """Pairs in the order of their source."""

    pairs: tuple[JudgedPair, ...]
    format: str
    source: str

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def judges(self) -> list[str]:
        """Whose verdicts stand in the data."""
        return list(dict.fromkeys(verdict.judge for pair in self.pairs for verdict in pair.verdicts))


def load_pairs(path: str | Path, *, format: str | None = None, limit: int | None = None) -> PairSet:
    """Read compared pairs from a file, or from the folder that holds a data set in its published layout.

    Args:
        path: the file or folder.
        format: ``llmbar``, ``pandalm``, ``mt-bench``, ``hh-rlhf`` or ``jsonl``. None: recognised from the content.
        limit: at most this many pairs, from the start.

    Raises ``DataError`` where there is nothing to read, naming file and row; ``UnknownName`` for another format.
    """
    from .judged_formats import READERS

    place = Path(path).expanduser()
    if not place.exists():
        raise DataError(f"{path}: no such file or folder")
    if format is not None and format not in READERS:
        raise UnknownName("format of pairs", format, READERS)
    name = format or _recognise(place, READERS)
    try:
        pairs = tuple(READERS[name].read(place))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        what = f"missing key {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: cannot be read as {name} ({what})") from error
    if not pairs:
        raise DataError(f"{path}: no pairs in it (read as {name})")
    return PairSet(pairs[:limit], name, str(path))


def _recognise(path: Path, readers: Mapping[str, PairReader]) -> str:
    found = [name for name, reader in readers.items() if reader.recognise(path)]
    if len(found) == 1:
        return found[0]
    what = (
        f"looks like several formats ({', '.join(found)})"
        if found
        else f"not recognised as any of {', '.join(readers)}"
    )
    raise DataError(f"{path}: {what}; name the format with --format")


def placed(pair: JudgedPair) -> JudgedPair:
    """The pair with ``a`` and ``b`` in an order that follows from their texts alone.

    Data of chosen and rejected answers have the chosen one always in the same place, where a judge that prefers a
    place would look like one that is always right.
    """
    told = json.dumps(sorted([pair.a, pair.b])).encode()
    if (pair.a > pair.b) == bool(hashlib.sha256(told).digest()[0] & 1):
        return pair
    turned: dict[str, Order] = {"ab": "ba", "ba": "ab", "both": "both"}
    return replace(
        pair,
        a=pair.b,
        b=pair.a,
        label=None if pair.label is None else -pair.label,
        votes=tuple(-vote for vote in pair.votes),
        verdicts=tuple(
            replace(each, order=turned[each.order], choice=None if each.choice is None else -each.choice)
            for each in pair.verdicts
        ),
    )


def pair_line(pair: JudgedPair) -> dict[str, Any]:
    """A pair as a line of a ``jsonl`` file of pairs says it."""
    word = {choice: word for word, choice in WORDS.items()}
    return {
        "id": pair.id,
        "question": pair.question,
        "a": pair.a,
        "b": pair.b,
        "label": None if pair.label is None else word[pair.label],
        "votes": [word[vote] for vote in pair.votes],
        "subset": pair.subset,
        "verdicts": [
            {
                "judge": each.judge,
                "order": each.order,
                "verdict": None if each.choice is None else word[each.choice],
                "confidence": each.confidence,
                "sample": each.sample,
            }
            for each in pair.verdicts
        ],
    }


def lines_of(path: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Each object of a file of JSON lines, with where it stands."""
    for line, entry in read_jsonl(path):
        yield f"{path}:{line}", entry
