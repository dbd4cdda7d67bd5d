"""Drafts of questions: a query as data, and its wording as slots of alternatives.

A wording is one choice from each slot. A choice whose indices add up to 2 modulo 3 is kept for held-out tasks, any
other for training, so that the two share words but no phrasing. Demonstrations are as if one person had written them:
they keep to the first two alternatives of each slot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .tables import Cell, Column, Dice, Table, literal

__all__ = ["Condition", "Draft", "Select", "Slot", "Split", "condition", "filled", "worded"]

_HELD_OUT_REST = 2
_MODULUS = 3
_SHOWN = 2

Split = Literal["demonstrations", "train", "held-out"]


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in a wording: its key names the kind of the alternatives, for the name of the phrasing."""

    key: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    sql: str
    words: Slot


@dataclass(frozen=True, slots=True)
class Select:
    """A query as data, so that wrong neighbours of it can be made without parsing."""

    what: str
    table: str
    joins: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    glue: Literal["AND", "OR"] = "AND"
    group: str = ""
    having: str = ""
    order: str = ""
    limit: int = 0
    other: str = ""
    """Another thing to select, which would be wrong."""

    def sql(self) -> str:
        parts = [f"SELECT {self.what} FROM {self.table}", *(f"JOIN {join}" for join in self.joins)]
        if self.where:
            parts.append("WHERE " + f" {self.glue} ".join(self.where))
        for word, text in (("GROUP BY", self.group), ("HAVING", self.having), ("ORDER BY", self.order)):
            if text:
                parts.append(f"{word} {text}")
        if self.limit:
            parts.append(f"LIMIT {self.limit}")
        return " ".join(parts)

    def wrong(self) -> Iterator[str]:
        """What a careless reader would write: conditions left out, another column, aggregate, order or number."""
        if self.where:
            yield replace(self, where=()).sql()
        if len(self.where) > 1:
            for at in range(len(self.where)):
                yield replace(self, where=self.where[:at] + self.where[at + 1 :]).sql()
            yield replace(self, glue="OR" if self.glue == "AND" else "AND").sql()
        if self.having:
            yield replace(self, having="").sql()
        if self.other:
            yield replace(self, what=self.other).sql()
        if self.limit:
            yield replace(self, limit=self.limit + 1).sql()
            yield replace(self, order="").sql()
            turned = self.order.removesuffix(" DESC") if self.order.endswith(" DESC") else f"{self.order} DESC"
            yield replace(self, order=turned).sql()
        for right, others in _AGGREGATES.items():
            if self.what.startswith(right) or f", {right}" in self.what:
                for other in others:
                    yield replace(self, what=self.what.replace(right, other, 1)).sql()


_AGGREGATES = {
    "AVG(": ("MAX(", "SUM(", "MIN("),
    "SUM(": ("AVG(", "MAX("),
    "MAX(": ("MIN(", "AVG("),
    "MIN(": ("MAX(", "AVG("),
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A query and the slots of its wording; the first slot's choices hold ``{1}``, ``{2}`` ... for the others."""

    template: str
    difficulty: Literal["easy", "medium", "hard"]
    select: Select
    slots: tuple[Slot, ...]


def filled(texts: tuple[str, ...], **words: str) -> tuple[str, ...]:
    """Each text with ``{name}`` replaced by the word of that name; other braces stay."""
    for name, word in words.items():
        texts = tuple(text.replace(f"{{{name}}}", word) for text in texts)
    return texts


def worded(draft: Draft, split: Split, dice: Dice) -> tuple[str, str]:
    """A wording that the split may use: the name of its phrasing, and the question."""
    most = _SHOWN if split == "demonstrations" else None
    while True:
        choice = [dice.below(len(slot.choices[:most])) for slot in draft.slots]
        if (sum(choice) % _MODULUS == _HELD_OUT_REST) == (split == "held-out"):
            break
    texts = [slot.choices[index] for slot, index in zip(draft.slots, choice, strict=True)]
    question = texts[0]
    for at, text in enumerate(texts[1:], start=1):
        question = question.replace(f"{{{at}}}", text)
    name = "+".join(f"{slot.key}{index}" for slot, index in zip(draft.slots, choice, strict=True))
    return f"{draft.template}:{name}", question


_WORDS: dict[str, tuple[str, ...]] = {
    "=": ("with {c} {v}", "whose {c} is {v}", "where the {c} is {v}", "that have {c} {v}"),
    "!=": ("with {c} not {v}", "whose {c} is not {v}", "where the {c} is not {v}", "that have {c} other than {v}"),
    ">": ("with {c} above {v}", "whose {c} is over {v}", "where the {c} is above {v}", "that have {c} over {v}"),
    "<": ("with {c} below {v}", "whose {c} is under {v}", "where the {c} is below {v}", "that have {c} under {v}"),
    "after": (
        "with {c} after {v}",
        "whose {c} is after {v}",
        "where the {c} is later than {v}",
        "that have {c} past {v}",
    ),
    "before": (
        "with {c} before {v}",
        "whose {c} is before {v}",
        "where the {c} is earlier than {v}",
        "that have {c} earlier than {v}",
    ),
    "null": ("with no {c}", "without a {c}", "whose {c} is missing", "where the {c} is unknown"),
    "known": ("with a known {c}", "that have a {c}", "whose {c} is not missing", "where the {c} is known"),
    "starts": (
        "with {c} starting with {v}",
        "whose {c} starts with {v}",
        "where the {c} begins with {v}",
        "that have a {c} beginning with {v}",
    ),
    "between": (
        "with {c} between {v}",
        "whose {c} is from {v}",
        "where the {c} lies between {v}",
        "that have a {c} from {v}",
    ),
}


def condition(kind: str, table: Table, column: Column, values: Sequence[Cell] = (), *, owner: str = "") -> Condition:
    """A condition on one column. ``kind`` is a key of ``_WORDS``; ``owner`` names the table where the query joins.

    ``between`` takes two values, ``null`` and ``known`` none, the others one.
    """
    name = f"{table.name}.{column.name}" if owner else column.name
    said = f"{owner} {column.name}" if owner else column.name
    shown = " and ".join(f"'{value}'" if column.kind in ("category", "name") else str(value) for value in values)
    match kind:
        case "null" | "known":
            sql = f"{name} IS {'NOT ' if kind == 'known' else ''}NULL"
        case "starts":
            sql = f"{name} LIKE {literal(f'{values[0]}%')}"
        case "between":
            sql = f"{name} BETWEEN {literal(values[0])} AND {literal(values[1])}"
        case _:
            sign = {"after": ">", "before": "<"}.get(kind, kind)
            sql = f"{name} {sign} {literal(values[0])}"
    words = tuple(text.replace("{c}", said).replace("{v}", shown) for text in _WORDS[kind])
    return Condition(sql, Slot(kind, words))
