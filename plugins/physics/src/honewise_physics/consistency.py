"""Dimensions of equations: whether both sides, and all terms that are added, have the same."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from honewise import Completion, Piece, Score, Span, Task, reward

from .equations import Chain, Side, chains
from .grammar import read
from .steps import dimension_of, strays
from .units import Dimension

__all__ = ["consistent", "dimensions_of"]

_MOST = 100


def dimensions_of(symbols: Mapping[str, str]) -> dict[str, Dimension]:
    """``{"F": "N", "μ": ""}`` as dimensions; a symbol whose unit cannot be read is left out."""
    found = {}
    for name, unit in symbols.items():
        node = read(f"1 {unit}")
        dimension = dimension_of(node, {}) if node is not None else None
        if dimension is not None:
            found[name] = dimension
    return found


@reward
def consistent(task: Task, completion: Completion) -> Score:
    """The share of equations whose sides have the same dimensions; each is paid where it stands.

    Symbols have the dimensions that the data gives them, or those of the value that the solution gave them before. An
    equation of which a side has no dimension known counts for nothing, a sum of unlike terms for wrong. With c
    consistent of e equations and g in the worked solution, the value is c / max(e, g, 1).
    """
    known = dimensions_of(task.reference.get("symbols") or {})
    reasoning = completion.pieces.get("reasoning", Piece(""))
    good, every = _equations(reasoning.text, reasoning.start, known)
    wanted = _wanted(str(task.reference.get("solution") or ""), tuple(sorted(known.items())))
    count = max(every, wanted, 1)
    return Score(
        spans=[Span(start, end, 1 / count, "dimensions") for start, end in good],
        parts={"consistent": float(len(good)), "equations": float(every)},
        feedback=f"{every - len(good)} equations have sides of different dimensions" if every > len(good) else "",
    )


@lru_cache(maxsize=4096)
def _wanted(solution: str, known: tuple[tuple[str, Dimension], ...]) -> int:
    return len(_equations(solution, 0, dict(known))[0])


def _equations(text: str, start: int, known: Mapping[str, Dimension]) -> tuple[list[tuple[int, int]], int]:
    """Where consistent equations stand, and how many there are whose dimensions are known."""
    names = dict(known)
    good: list[tuple[int, int]] = []
    every = 0
    seen: set[tuple[str, ...]] = set()
    for chain in chains(text, start):
        key = tuple(token.text for side in chain.sides for token in side.tokens)
        sides = [_dimensions(side, names) for side in chain.sides]
        told = [side for side in sides if side]
        if len(told) >= 2 and key not in seen and every < _MOST:
            seen.add(key)
            every += 1
            if set.intersection(*map(set, told)):
                good.append((chain.sides[0].start, max(side.end for side in chain.sides)))
        _learn(chain, sides, names)
    return good, every


def _dimensions(side: Side, names: Mapping[str, Dimension]) -> list[Dimension]:
    """The dimensions that a side may have: ``m`` is a mass, where there is one, or a metre.

    The reading as units comes first. Bare numbers tell none.
    """
    found: list[Dimension] = []
    for symbols in (frozenset[str](), frozenset(names)):
        node = read(side.tokens, symbols=symbols) if side.tokens else None
        if node is None or strays(node):
            continue
        told = any(token.kind == "name" and token.text != "π" for token in side.tokens)
        dimension = dimension_of(node, {name: names[name] for name in symbols}) if told else None
        if dimension is not None:
            found.append(dimension)
    return found


def _learn(chain: Chain, sides: list[list[Dimension]], names: dict[str, Dimension]) -> None:
    first = chain.sides[0].tokens
    if len(first) == 1 and first[0].kind == "name" and first[0].text not in names and len(names) < _MOST:
        told = [side for side in sides[1:] if side]
        if told:
            names[first[0].text] = told[-1][0]
