"""Filters of texts that a model wrote by principles, before it is trained on them (SELF-ALIGN, 2305.03047).

All of them are pure. Order: cut where a foreign turn begins, keep what follows the internal thoughts, cut at the first
repetition, drop what is too short.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .segment import clauses, sentences

__all__ = ["Aligned", "align", "cut_repetition", "leaks"]

TURNS = ("\nUser:", "\nHuman:", "\nQuestion:", "\n### User", "\n### Human", "\n<|user|>", "\n<|im_start|>user")
"""How a further turn of a user begins in usual layouts."""


@dataclass(frozen=True, slots=True)
class Aligned:
    """What is left of a text."""

    text: str
    dropped: str = ""
    """Why the whole text is not used; empty where it is."""
    cut: tuple[str, ...] = ()
    """What was cut off: ``turn``, ``thoughts``, ``repetition``."""


def align(
    text: str,
    *,
    begins: str = "",
    answer_after: str = "",
    turns: Sequence[str] = TURNS,
    least: int = 160,
    unit: str = "sentence",
) -> Aligned:
    """Filter one text.

    Args:
        begins: what it must begin with, such as the words in which the model names itself.
        answer_after: a mark that must stand in it; what comes before the last one is internal thought and is cut.
        turns: where one of these begins, the text ends.
        least: characters that must be left.
        unit: what counts as a repetition: a whole ``sentence`` or a ``clause``.
    """
    kept, cut = text.strip(), []
    if begins and not kept.startswith(begins):
        return Aligned("", f"does not begin with {begins!r}")
    ends = [at for turn in turns if (at := f"\n{kept}".find(turn)) >= 0]
    if ends:
        kept = kept[: max(min(ends) - 1, 0)].rstrip()
        cut.append("turn")
    if answer_after:
        _, mark, after = kept.rpartition(answer_after)
        if not mark:
            return Aligned("", f"has no {answer_after!r}", tuple(cut))
        kept = after.strip()
        cut.append("thoughts")
    shorter = cut_repetition(kept, unit=unit)
    if shorter != kept:
        kept = shorter
        cut.append("repetition")
    if len(kept) < least:
        return Aligned("", f"{len(kept)} characters are left, fewer than {least}", tuple(cut))
    return Aligned(kept, "", tuple(cut))


def cut_repetition(text: str, *, unit: str = "sentence") -> str:
    """The text up to the first sentence, or clause, that stood in it before.

    >>> cut_repetition("a. a. b")
    'a.'
    """
    seen: set[str] = set()
    for piece in (clauses if unit == "clause" else sentences)(text):
        words = " ".join(_words(piece.text))
        if words in seen:
            return text[: piece.start].rstrip()
        if words:
            seen.add(words)
    return text


def leaks(text: str, hidden: Sequence[str], *, words: int = 6) -> list[str]:
    """What of ``hidden`` (rules, internal thoughts) stands in a text word for word, ``words`` of them or more in a row,
    or all of a shorter one. A row to train on, without the principles in its prompt, must have none.

    >>> leaks("As rule 3 says, never name a person who is not public.", ["never name a person who is not public"])
    ['never name a person who is not public']
    """
    said = f" {' '.join(_words(text))} "
    found = []
    for each in hidden:
        tokens = _words(each)
        runs = [tokens[at : at + words] for at in range(max(1, len(tokens) - words + 1))] if tokens else []
        if any(f" {' '.join(run)} " in said for run in runs):
            found.append(each)
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())
