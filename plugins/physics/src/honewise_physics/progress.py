"""Progress towards the expression that is wanted, paid where it is made."""

from __future__ import annotations

from collections.abc import Sequence

from honewise import Completion, Piece, Score, Span, Task, reward

from .equations import chains
from .grammar import Node, read
from .lexer import Token, tokens
from .quantity import evaluate
from .steps import strays
from .symbolic import expanded, progress_of, read_symbolic

__all__ = ["symbolic"]

_MOST_SIDES = 60


@reward(cost="process", deadline=5.0)
def symbolic(task: Task, completion: Completion) -> Score:
    """How near the best expression written comes to the one wanted: 1 where they are equivalent, else below.

    Every side of an equation that brings the solution nearer is paid what it adds, where it stands, and so is the final
    answer. A symbol that the solution has defined before, ``a = F / m``, stands for its definition. Where the data
    wants
    no expression, nothing can be earned.
    """
    gold = read_symbolic(wanted(task))
    if gold is None:
        return Score()
    reasoning = completion.pieces.get("reasoning", Piece(""))
    best, tried = 0.0, 0
    spans: list[Span] = []
    definitions: dict[str, Node] = {}
    for chain in chains(reasoning.text, reasoning.start):
        first: Node | None = None
        for side in chain.sides:
            text = completion.text[side.start : side.end]
            said = read_symbolic(text) if tried < _MOST_SIDES and not _numeric(side.tokens) else None
            if said is None:
                continue
            tried += 1
            node = expanded(said[-1], definitions)
            if first is None and node.kind != "name":
                first = node
            found = progress_of(gold, (node,))
            if found > best:
                spans.append(Span(side.start, side.end, found - best, "progress"))
                best = found
        name = chain.sides[0].tokens
        if first is not None and len(name) == 1 and name[0].kind == "name" and len(definitions) < _MOST_SIDES:
            definitions[name[0].text] = first
    answer = completion.pieces.get("answer")
    said = read_symbolic(answer.text) if answer and not _numeric(tokens(answer.text) or ()) else None
    if answer is not None and said is not None:
        found = progress_of(gold, said)
        if found > best:
            spans.append(answer.pays(found - best, "progress"))
    return Score(spans=spans)


def _numeric(found: Sequence[Token]) -> bool:
    """Whether it is a number with units rather than symbols, or nothing."""
    node = read(found) if found else None
    return not found or (node is not None and not strays(node) and evaluate(node) is not None)


def wanted(task: Task) -> str:
    """The expression that a task wants: that of its answer, else the formula given with it; empty where there is
    none.
    """
    for answer in task.reference.get("answers") or ():
        if answer.get("kind") in ("expression", "equation"):
            text = str(answer.get("text") or "")
            return text if read_symbolic(text) is not None else ""
    return str(task.reference.get("formula") or "")
