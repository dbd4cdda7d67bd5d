"""Readers of replies that give several verdicts at once: a block of lines below a heading, or a ranking in one line.

Only the last block counts, and in it only lines that name something on the list: what a reply quotes before is no
verdict, whatever it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from .read import MARKS, last_line

__all__ = ["block", "ranking"]

T = TypeVar("T")

_BULLETS = MARKS + "-•–."


def block(reply: str, heading: str, names: Sequence[str], read: Callable[[str], T]) -> tuple[dict[str, T], str]:
    """What the lines ``NAME: ...`` below the last line ``HEADING:`` say, by name, and all that stands before.

    The block ends with the first line that is no such line. Of two lines with one name the last counts. Lines that
    ``read`` refuses, and names that nobody asked for, are left out. A reply that consists of such lines alone needs no
    heading. Raises ``ValueError`` where there is no heading, or nothing readable below it.

    >>> block("I see 1: 9\\nScores:\\n1: 3\\n2: 4", "Scores", ["1", "2"], int)
    ({'1': 3, '2': 4}, 'I see 1: 9')
    """
    lines = reply.splitlines()
    menu = {name.casefold(): name for name in names}
    start = next((at for at in range(len(lines) - 1, -1, -1) if _bare(lines[at]) == heading.casefold()), None)
    if start is None:
        whole = [line for line in lines if line.strip()]
        if not whole or not all(_named(line, menu) for line in whole):
            raise ValueError(f"no line is '{heading}:'")
        start = -1
    found: dict[str, T] = {}
    for line in lines[start + 1 :]:
        if not line.strip():
            continue
        named = _named(line, menu)
        if named is None:
            break
        name, said = named
        try:
            found[name] = read(said)
        except ValueError:
            found.pop(name, None)  # what was said last cannot be read
    if not found:
        raise ValueError(f"no line below '{heading}:' says {names[0]}: ... and so on, as it was asked for")
    return found, "\n".join(lines[: max(start, 0)]).strip()


def ranking(reply: str, label: str, count: int) -> tuple[list[float], str]:
    """The ranks of the things 1 to ``count`` on the last line ``LABEL: 2 > 1 = 3``, and all that stands before.

    Equal ones share the mean of their ranks. Raises ``ValueError`` unless each number stands there once.

    >>> ranking("Ranking: 2 > 1 = 3", "Ranking", 3)[0]
    [2.5, 1.0, 2.5]
    """
    said, before = last_line(reply, label)
    tiers = [[part.strip(_BULLETS + "<") for part in tier.split("=")] for tier in said.rstrip(".").split(">")]
    named = [part for tier in tiers for part in tier]
    if sorted(named) != sorted(str(number) for number in range(1, count + 1)):
        raise ValueError(f"'{said[:60]}' does not name each number from 1 to {count} once, with > or = between")
    ranks = [0.0] * count
    at = 0
    for tier in tiers:
        for part in tier:
            ranks[int(part) - 1] = at + (len(tier) + 1) / 2
        at += len(tier)
    return ranks, before


def _named(line: str, menu: Mapping[str, str]) -> tuple[str, str] | None:
    """The name that a line gives a verdict to, and the verdict."""
    head, colon, tail = line.partition(":")
    name = head.strip(_BULLETS).casefold()
    if not colon:
        return None
    if name not in menu:
        # "Answer 3: 7" and "#3: 7" mean 3, where the things are numbered.
        number = re.fullmatch(r"(?:[^\W\d_]+\s+)?#?(\d+)", name)
        name = number[1] if number else name
    if name not in menu:
        return None
    return menu[name], tail.strip(MARKS)


def _bare(line: str) -> str:
    """A heading without its marks; nothing where the line is none."""
    text = line.strip(_BULLETS + " ")
    return text[:-1].strip(MARKS).casefold() if text.endswith(":") else ""
