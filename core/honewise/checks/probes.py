"""Texts that a model might write, and some that nobody should: the same ones every time."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

__all__ = ["MEGABYTE", "SIZES", "growing", "texts", "too_slow"]

SIZES = (100, 1_000, 10_000, 100_000)
MEGABYTE = 1_000_000

_ODD = (
    " ",
    "\n\n\t\r\n",
    "\x00",
    "before\x00after",
    "\ufeffbyte order mark",
    "مرحبا بالعالم، الجواب ٤٢",
    "שלום <answer>42</answer>",
    "\u202eright to left override\u202c",
    "e\u0301 n\u0303 o\u0308 \u0e01\u0e33",
    "👩‍👩‍👧‍👦🏳️‍🌈 👍🏽",
    "𝕬𝖓𝖘𝖜𝖊𝖗 ４２ Ⅷ ½",
    "答案是四十二。",
    "\u2028\u2029\x85\x0b\x0c",
    "{}",
    "[]",
    "null",
    "NaN",
    "-1e999",
    "9" * 5_000,
    "%s %d {0} {name} {{slot}} ${HOME} \\n \\",
    "'; DROP TABLE students; --",
    "<think></think><answer></answer>",
    "</answer><answer>",
    "<answer>" * 20,
    "((((((((((",
    "```\n```",
    "I do not know.",
    "the the the the the the the the",
)

_ALPHABET = "abc XYZ 019 .,;:!?'\"`()[]{}<>/\\|+-*=%$#@_~^&\n\t\x00\u00e9\u0301\u200d\u202e\u05d0\u0645\u4e2d\U0001f600"


def texts(gold: str, others: Sequence[str], seed: str, count: int = 12) -> list[str]:
    """Odd texts, damaged and doubled forms of ``gold``, the gold of other tasks, random characters; "" is first."""
    rng = random.Random(f"honewise probes {seed}")
    found = ["", *_ODD, *_variants(gold, rng, count), *others]
    found += ["".join(rng.choices(_ALPHABET, k=rng.randrange(1, 200))) for _ in range(count)]
    return list(dict.fromkeys(found))


def growing(gold: str, sizes: Sequence[int] = SIZES) -> Iterator[tuple[str, list[str]]]:
    """(name, the same text at each of ``sizes``) for patterns that make careless parsers slow."""
    tags = list(dict.fromkeys(re.findall(r"</?\w{1,20}>|```\w{0,10}|[{\[(]", gold)))[:6]
    units = ["a", " ", "\n", "9", "(", '"', "a b c ", "😀", gold, gold[: len(gold) // 2], *tags]
    for unit in dict.fromkeys(unit for unit in units if unit):
        yield unit, [(unit * (size // len(unit) + 1))[:size] for size in sizes]


def too_slow(took: float, before: float, limit: float, size: int, largest: int = SIZES[-1]) -> bool:
    """Whether a text of ``size`` took longer than ``limit``, or the next, longer one promises to take five times that.

    ``before`` is what the text a tenth as long took. Waiting to see whether it does might take hours.
    """
    return took > limit or (size < largest and took * took / max(before, limit / 1000) > 5 * limit)


def _variants(gold: str, rng: random.Random, count: int) -> Iterator[str]:
    if not gold:
        return
    yield from (gold[: len(gold) * quarter // 4] for quarter in (1, 2, 3))
    yield from (gold[len(gold) // 2 :], gold + gold, f"{gold}\n{gold}", gold[::-1], gold.upper(), gold.lower())
    yield from (f"Let me see.\n{gold}", f"{gold}\nThat is my answer.", f"  {gold}  ", gold.replace(" ", "  "))
    for _ in range(count):
        at = rng.randrange(len(gold))
        kind = rng.randrange(3)
        inserted = "" if kind == 0 else rng.choice(_ALPHABET)
        yield gold[:at] + inserted + gold[at + (kind != 1) :]
