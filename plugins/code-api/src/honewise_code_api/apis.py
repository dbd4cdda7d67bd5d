"""API calls against a table of the APIs that there are, after the AST evaluation of Gorilla, strictly.

A call is *in the table* where an entry has its name and each text among the entry's arguments is among the call's,
under the same keyword or by position. The official script compares by substring, and where no name matches falls back
to the last sub-tree; here that is a hallucination. ``correct`` is the official functional accuracy: an entry of the
gold's domain. Arguments beyond those that name the model are neither paid nor charged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from honewise.data.files import read_jsonl

from .calls import Argument, Call, calls_within, repaired

__all__ = ["Api", "Looked", "look_up", "read_table", "the_call"]

_ALIASES = {"tensorflow_hub.": "hub.", "tfhub.": "hub.", "transformers.": "", "sentence_transformers.": ""}


@dataclass(frozen=True, slots=True)
class Api:
    """One entry of a table."""

    call: Call
    domain: str
    texts: tuple[Argument, ...]
    """The arguments that say which model it is: those that are text."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a call is: ``wrong`` is an API of another domain, ``hallucinated`` one that is not in the table."""

    kind: Literal["correct", "wrong", "hallucinated"]
    name_known: bool
    """Whether any entry has its name."""
    paid: tuple[Argument, ...] = ()
    """The arguments by which it is in the table."""


def read_table(path: str) -> tuple[Api, ...]:
    """Entries of a table, or of a file of rows that carry their ``api_data``; what is no call is left out."""
    stamp = Path(path).stat()
    return _read(path, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=16)
def _read(path: str, _modified: int, _size: int) -> tuple[Api, ...]:
    found: dict[str, Api] = {}
    for _, row in read_jsonl(path):
        data = row.get("api_data", row)
        if isinstance(data, dict) and isinstance(data.get("api_call"), str):
            call = the_call(data["api_call"])
            if call is not None:
                key = json.dumps([data["api_call"], str(data.get("domain"))])
                found[key] = Api(call, str(data.get("domain")), _texts(call))
    return tuple(found.values())


def the_call(text: str) -> Call | None:
    """The outermost call of a table's text."""
    calls = calls_within(repaired(text.strip()))
    return calls[0] if calls else None


def look_up(call: Call, table: Sequence[Api], domain: str) -> Looked:
    """What ``call`` is, where the gold answer is of ``domain``."""
    named = [api for api in table if _name(api.call.name) == _name(call.name)]
    hits = [(api, paid) for api in named if (paid := _matched(api, call)) is not None]
    if not hits:
        return Looked("hallucinated", bool(named))
    most = max(len(paid) for _, paid in hits)
    best = [(api, paid) for api, paid in hits if len(paid) == most]
    right = next((paid for api, paid in best if api.domain == domain), None)
    return Looked("correct", True, right) if right is not None else Looked("wrong", True, best[0][1])


def _matched(api: Api, call: Call) -> tuple[Argument, ...] | None:
    """The arguments of ``call`` that are those of the entry; None where one is missing."""
    left, found = list(_texts(call)), list[Argument]()
    for wanted in api.texts:
        same = (each for each in left if each.value == wanted.value and _names_agree(each, wanted))
        hit = next(same, None)
        if hit is None:
            return None
        left.remove(hit)
        found.append(hit)
    return tuple(found)


def _names_agree(one: Argument, other: Argument) -> bool:
    return not one.name or not other.name or one.name == other.name


def _texts(call: Call) -> tuple[Argument, ...]:
    return tuple(each for each in call.arguments if isinstance(each.value, str))


def _name(name: str) -> str:
    for long, short in _ALIASES.items():
        if name.startswith(long):
            return short + name.removeprefix(long)
    return name
