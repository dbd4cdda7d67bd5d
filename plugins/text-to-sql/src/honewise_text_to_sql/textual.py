"""Rewards that read the text of a reply and run nothing: schema linking, n-grams, tags, brevity.

All of them pay characters: their value is the sum of spans that stand on the text which earned it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal

from honewise import Completion, Piece, Reward, Score, Span, Task, Unscored, UserError, reward

from .linking import Item, Names, Place, freeze, schema_items
from .prompts import Form
from .sqltext import MAX_CHARACTERS, Word, words

__all__ = ["concise", "ngram", "schema_linking", "tag_rewards"]

_FORMS = ("jaccard", "recall")
_TOLD_APART = 16
"""Tags of one text whose credit is told apart."""
_REST = re.compile(r"\S")


@reward(cost="process")
def schema_linking(
    task: Task, completion: Completion, *, form: Literal["jaccard", "recall"] = "jaccard"
) -> Score | Unscored:
    """How well the tables and columns used agree with those of the gold query (the best of several), in [0, 1].

    With P and G the items of the prediction and the gold, ``recall`` is |P ∩ G| / |G| and ``jaccard`` is
    |P ∩ G| / |P ∪ G|. Each right item is paid 1 / |G| where it first stands. Under ``jaccard`` each wrong one of the
    w = |P - G| is charged |P ∩ G| / (|G| (|G| + w)) where it first stands: its equal share of what they
    together take from the recall, so that the sum is the Jaccard index exactly and never below 0.
    """
    if form not in _FORMS:
        raise UserError(f"schema_linking: form is {form!r}; allowed are {', '.join(_FORMS)}")
    if completion.answer is None:
        return Score(feedback="no query could be read from the reply")
    names = freeze(task.reference.get("tables") or {})
    golds = _gold_items(task, names)
    if isinstance(golds, Unscored):
        return golds
    used = schema_items(completion.answer, names)
    if not used:
        return Score(feedback="the query cannot be parsed" if used is None else "the query uses no table")
    gold = max(golds, key=lambda items: _agreement(used, items, form))
    return _linked(used, gold, completion.pieces.get("sql"), form)


def _gold_items(task: Task, names: Names) -> list[frozenset[Item]] | Unscored:
    accepted = task.reference.get("sql") or []
    if not accepted:
        return Unscored("the data has no gold query for this task")
    read = [frozenset(items) for items in (schema_items(sql, names) for sql in accepted) if items]
    return read or Unscored("the gold query cannot be parsed, or uses no table")


def _agreement(used: Mapping[Item, Place], gold: frozenset[Item], form: str) -> float:
    right = len(gold & used.keys())
    return right / (len(gold) if form == "recall" else len(gold | used.keys()))


def _linked(used: Mapping[Item, Place], gold: frozenset[Item], sql: Piece | None, form: str) -> Score:
    right = [item for item in used if item in gold]
    wrong = [item for item in used if item not in gold]
    size = len(gold)
    value = _agreement(used, gold, form)
    parts = {"right": float(len(right)), "wrong": float(len(wrong)), "missing": float(size - len(right))}
    feedback = f"not in the gold query: {', '.join(map(_named, wrong[:5]))}" if wrong else ""
    if sql is None:
        return Score(value, parts=parts, feedback=feedback)
    spans = [_span(sql, used[item], 1 / size, _named(item)) for item in right]
    if form == "jaccard" and right:
        charge = len(right) / (size * (size + len(wrong)))
        spans += [_span(sql, used[item], -charge, _named(item)) for item in wrong]
    return Score(spans=spans, parts=parts, feedback=feedback)


def _span(sql: Piece, place: Place, value: float, label: str) -> Span:
    return sql.slice(place.start, place.end).pays(value, label)


def _named(item: Item) -> str:
    return f"{item.table}.{item.column}" if item.column else item.table


@reward
def ngram(task: Task, completion: Completion, *, n: int = 2) -> Score | Unscored:
    """Jaccard index of the sets of word n-grams of the query and the gold query (the best of several), in [0, 1].

    Each run of matched n-grams is paid where it first stands: its number of new ones over the size of the union.
    Queries shorter than ``n`` words are one n-gram. A query over 20,000 characters earns nothing.
    """
    if n < 1:
        raise UserError(f"ngram: n is {n}; it must be at least 1")
    if completion.answer is None:
        return Score(feedback="no query could be read from the reply")
    accepted = task.reference.get("sql") or []
    if not accepted:
        return Unscored("the data has no gold query for this task")
    if len(completion.answer) > MAX_CHARACTERS:
        return Score(feedback=f"the query is longer than {MAX_CHARACTERS} characters")
    said = words(completion.answer)
    given = _grams(said, n)
    mine = frozenset(given)
    gold = max(
        (_gold_grams(sql, n) for sql in accepted), key=lambda grams: len(grams & mine) / max(1, len(grams | mine))
    )
    union = max(1, len(gold | mine))
    runs = _matched_runs(said, given, gold, n)
    sql = completion.pieces.get("sql")
    if sql is None:
        return Score(sum(count for _, _, count in runs) / union)
    return Score(spans=[sql.slice(start, end).pays(count / union, "n-grams") for start, end, count in runs])


@lru_cache(maxsize=4096)
def _gold_grams(sql: str, n: int) -> frozenset[tuple[str, ...]]:
    return frozenset(_grams(words(sql), n))


def _grams(said: Sequence[Word], n: int) -> list[tuple[str, ...]]:
    texts = [word.text for word in said]
    if not texts:
        return []
    return [tuple(texts[at : at + n]) for at in range(max(1, len(texts) - n + 1))]


def _matched_runs(
    said: Sequence[Word], given: Sequence[tuple[str, ...]], gold: frozenset[tuple[str, ...]], n: int
) -> list[tuple[int, int, int]]:
    """``(start, end, number of new n-grams)`` of each run of neighbouring n-grams that the gold has."""
    runs: list[tuple[int, int, int]] = []
    seen: set[tuple[str, ...]] = set()
    previous = -2
    for at, gram in enumerate(given):
        if gram not in gold or gram in seen:
            continue
        seen.add(gram)
        end = said[min(at + n, len(said)) - 1].end
        if at == previous + 1:
            start, _, count = runs.pop()
            runs.append((start, end, count + 1))
        else:
            runs.append((said[at].start, end, 1))
        previous = at
    return runs


@reward
def concise(completion: Completion) -> float:
    """The share of the answer that is the query, its code fence apart, in [0, 1]."""
    if completion.answer is None:
        return 0.0
    answer = completion.pieces.get("answer")
    if answer is None:
        return 0.0
    said = answer.text.replace("```sqlite", "").replace("```sql", "").replace("```", "")
    return min(1.0, len("".join(completion.answer.split())) / max(1, len("".join(said.split()))))


class TagRewards:
    """``format`` pays tags where they stand; ``well_formed`` and ``signed_format`` want the whole form or nothing."""

    def __init__(self, form: Form) -> None:
        self._tags = form.tags
        self._any_tag = re.compile("|".join(map(re.escape, form.tags)))

    def format(self, completion: Completion) -> Score:
        """An equal share of 1 for every tag asked for that occurs once and in its place.

        A closing tag counts where something stands between it and its opening tag, and ``</answer>`` where nothing
        but blanks follows. Each tag, and what follows the last one, is paid what it adds to the text before it, and
        charged what it takes away.
        """
        text, spans, before = completion.text, list[Span](), 0
        parts = [Piece(match[0], match.start()) for match in self._any_tag.finditer(text)][:_TOLD_APART]
        rest = _REST.search(text, parts[-1].end if parts else 0)
        if rest is not None:
            parts.append(Piece(rest[0], rest.start()))
        for part in parts:
            paid = len(_paid_tags(text if rest and part is parts[-1] else text[: part.end], self._tags))
            if paid != before:
                spans.append(part.pays((paid - before) / len(self._tags), part.text))
            before = paid
        return Score(spans=spans)

    def well_formed(self, completion: Completion) -> float:
        """1 where the reply has exactly the form asked for, nothing before, between or after it; else 0."""
        return float(_whole(completion.text, self._tags))

    def signed_format(self, completion: Completion) -> float:
        """``well_formed`` as +1 or -1."""
        return 1.0 if _whole(completion.text, self._tags) else -1.0


def tag_rewards(form: Form) -> list[Reward]:
    """The rewards of ``TagRewards`` for one form of reply."""
    rewards = TagRewards(form)
    return [
        Reward(fn=rewards.format, name="format"),
        Reward(fn=rewards.well_formed, name="well_formed"),
        Reward(fn=rewards.signed_format, name="signed_format", bounds=(-1.0, 1.0)),
    ]


def _paid_tags(text: str, tags: Sequence[str]) -> list[Piece]:
    paid: list[Piece] = []
    opened = -1
    for tag in tags:
        if text.count(tag) != 1:
            opened = -1
            continue
        piece = Piece(tag, text.index(tag))
        if paid and piece.start < paid[-1].end:
            opened = -1
            continue
        if tag.startswith("</"):
            if opened < 0 or not text[opened : piece.start].strip():
                continue
            if tag == tags[-1] and text[piece.end :].strip():
                continue
        else:
            opened = piece.end
        paid.append(piece)
    return paid


def _whole(text: str, tags: Sequence[str]) -> bool:
    paid = _paid_tags(text, tags)
    if len(paid) != len(tags):
        return False
    edges = [0, *(tag.end for tag in paid[1::2])]
    return all(not text[edge : tag.start].strip() for edge, tag in zip(edges, paid[::2], strict=False))
