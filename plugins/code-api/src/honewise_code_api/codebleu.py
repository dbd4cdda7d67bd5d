"""CodeBLEU for Python (Ren et al., 2020), by Python's own syntax tree.

A weighted mean of four parts, each in [0, 1], a quarter each unless said otherwise:

- ``ngram``: BLEU with n-grams of up to four tokens. An order without a match counts as a tenth of one, as in NLTK's
  first way of smoothing.
- ``weighted``: BLEU over single tokens, in which a keyword weighs five times as much as another token.
- ``ast``: of the reference's sub-trees, how many the candidate has, each as often as it stands there. Names and values
  are left out; a node without children is no sub-tree.
- ``dataflow``: of the reference's data flows, how many the candidate has, with variables renamed in the order in which
  they first stand.

Where a reference has nothing of a kind (no sub-tree, because it is no Python; no variable), that part does not apply,
and the others are weighed alone; the published script gives 0. It also lets one sub-tree of the candidate match any
number of the reference's, and its weighted part divides by the reference's n-grams, up to four tokens long: a recall.
Both are the paper's formulas here. Trees and flows are those of Python's ``ast``, so numbers are not the script's.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .calls import parsed

__all__ = ["PARTS", "CodeBleu", "code_bleu", "data_flows", "subtrees", "tokens"]

PARTS = ("ngram", "weighted", "ast", "dataflow")
_ORDERS = 4
_SMOOTHED = 0.1
_KEYWORD = 5.0
_TOKEN = re.compile(r"\w+|[^\w\s]")
_MOST_TOKENS = 5000
_KEYWORDS = frozenset([*keyword.kwlist, *keyword.softkwlist]) - {"_"}

T = TypeVar("T")
Flow = tuple[str, int, tuple[int, ...]]
"""Relation, the variable whose value it is, and the variables that it comes from."""


@dataclass(frozen=True, slots=True)
class CodeBleu:
    """A part is None where the reference has nothing of its kind."""

    ngram: float
    weighted: float
    ast: float | None
    dataflow: float | None

    @property
    def parts(self) -> dict[str, float]:
        """Those that apply, by name."""
        values = {name: getattr(self, name) for name in PARTS}
        return {name: value for name, value in values.items() if value is not None}

    def value(self, weights: Sequence[float] = (0.25, 0.25, 0.25, 0.25)) -> float:
        """The weighted mean of the parts that apply, in [0, 1]; 0 where none of them weighs anything."""
        given: Mapping[str, float] = dict(zip(PARTS, weights, strict=True))
        parts = self.parts
        whole = math.fsum(given[name] for name in parts)
        return math.fsum(given[name] * part for name, part in parts.items()) / whole if whole else 0.0


def code_bleu(reference: str, candidate: str) -> CodeBleu:
    """The four parts of a candidate against one reference. Nothing is run.

    >>> code_bleu("x = f(y)", "x = f(y)").value()
    1.0
    >>> code_bleu("x = f(y)", "").value()
    0.0
    """
    wanted, made = tokens(reference), tokens(candidate)
    tree, other = parsed(reference), parsed(candidate)
    return CodeBleu(
        _bleu(wanted, made),
        _keyword_bleu(wanted, made),
        _share(*subtrees(tree, other)),
        _share(data_flows(tree), data_flows(other)),
    )


def tokens(code: str) -> list[str]:
    """Words and single signs, the first five thousand. Needs no valid Python."""
    found = _TOKEN.finditer(code)
    return [match[0] for match, _ in zip(found, range(_MOST_TOKENS), strict=False)]


def _bleu(wanted: Sequence[str], made: Sequence[str]) -> float:
    """Orders that the reference has no n-gram of are left out."""
    logs = []
    for order in range(1, min(_ORDERS, len(wanted)) + 1):
        there, said = _ngrams(wanted, order), _ngrams(made, order)
        hits = (there & said).total()
        if not hits and order == 1:
            return 0.0
        logs.append(math.log((hits or _SMOOTHED) / max(said.total(), 1)))
    return _brevity(wanted, made) * math.exp(math.fsum(logs) / len(logs)) if logs else float(not made)


def _keyword_bleu(wanted: Sequence[str], made: Sequence[str]) -> float:
    if not wanted:
        return float(not made)
    there, said = Counter(wanted), Counter(made)
    whole = _weight(said)
    return _brevity(wanted, made) * _weight(there & said) / whole if whole else 0.0


def _weight(counts: Counter[str]) -> float:
    return math.fsum(count * (_KEYWORD if token in _KEYWORDS else 1.0) for token, count in counts.items())


def _brevity(wanted: Sequence[str], made: Sequence[str]) -> float:
    if len(made) >= len(wanted):
        return 1.0
    return math.exp(1 - len(wanted) / len(made)) if made else 0.0


def _ngrams(given: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(given[at : at + order]) for at in range(len(given) - order + 1))


def _share(wanted: Counter[T], made: Counter[T]) -> float | None:
    return (wanted & made).total() / wanted.total() if wanted else None


def subtrees(*trees: ast.AST | None) -> list[Counter[int]]:
    """Of each tree: every node that has children, with all below it, as the number of its shape.

    A shape has the kinds of nodes and constants, and no names and values; equal shapes have one number in all trees.
    """
    numbers: dict[tuple[str, tuple[tuple[str, int], ...]], int] = {}
    found = []
    for tree in trees:
        count: Counter[int] = Counter()
        shapes: dict[ast.AST, int] = {}
        for node in reversed(list(ast.walk(tree)) if tree is not None else []):
            if node in shapes:  # operators are one object wherever they stand
                continue
            below = tuple((field, shapes[child]) for field, child in _children(node))
            shapes[node] = numbers.setdefault((_kind(node), below), len(numbers))
            count.update([shapes[node]] if below else [])
        found.append(count)
    return found


def _kind(node: ast.AST) -> str:
    kind = type(node).__name__
    return f"{kind} {type(node.value).__name__}" if isinstance(node, ast.Constant) else kind


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    for field, value in ast.iter_fields(node):
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, ast.AST) and not isinstance(each, ast.expr_context):
                yield field, each


def data_flows(tree: ast.AST | None) -> Counter[Flow]:
    """Where the values of variables come from, whatever the variables are called.

    A variable is a name that the code itself gives a value to: by assignment, as a parameter, in a loop, comprehension,
    ``with``, ``except``, ``import`` or pattern. Its value is ``computed`` from all variables in the expression that it
    is given, once for each time; and each use of it ``comes`` from it. Scopes are not told apart.
    """
    if tree is None:
        return Counter()
    nodes = list(ast.walk(tree))
    given = [flow for node in nodes for flow in _given(node)]
    variables = {name for name, _, _ in given}
    used = [node for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    places = [(place, name) for name, place, _ in given]
    places += [((node.lineno, node.col_offset), node.id) for node in used if node.id in variables]
    number = {name: at for at, name in enumerate(dict.fromkeys(name for _, name in sorted(places)))}
    flows: Counter[Flow] = Counter()
    sources: dict[tuple[int, ...], tuple[int, ...]] = {}  # one value may be given to thousands of names
    for name, _, value in given:
        if value is not None:
            key = tuple(map(id, value))
            if key not in sources:
                read = {node.id for each in value for node in ast.walk(each) if isinstance(node, ast.Name)}
                sources[key] = tuple(sorted(number[each] for each in read & variables))
            flows["computed", number[name], sources[key]] += 1
    flows.update(("comes", number[node.id], (number[node.id],)) for node in used if node.id in variables)
    return flows


_Given = tuple[str, tuple[int, int], list[ast.expr] | None]
"""A variable, where it stands, and the expressions of its value; None where nothing is known of it."""


def _given(node: ast.AST) -> Iterator[_Given]:
    match node:
        case ast.Assign():
            for target in node.targets:
                yield from _target(target, node.value)
        case ast.AnnAssign(value=ast.expr() as value) | ast.NamedExpr(value=value):
            yield from _target(node.target, value)
        case ast.AugAssign():
            yield from _target(node.target, node.value, node.target)
        case ast.For() | ast.AsyncFor() | ast.comprehension():
            yield from _target(node.target, node.iter)
        case ast.withitem(optional_vars=ast.expr() as target):
            yield from _target(target, node.context_expr)
        case ast.arg():
            yield node.arg, (node.lineno, node.col_offset), None
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name, (node.lineno, node.col_offset), None
        case ast.MatchMapping(rest=str(name)):
            yield name, (node.lineno, node.col_offset), None
        case ast.alias():
            yield (node.asname or node.name).partition(".")[0], (node.lineno, node.col_offset), None


def _target(target: ast.expr, *values: ast.expr) -> Iterator[_Given]:
    """The names that a target gives a value to; side by side where both sides are as long and nothing is starred."""
    match target:
        case ast.Name():
            yield target.id, (target.lineno, target.col_offset), list(values)
        case ast.Starred():
            yield from _target(target.value, *values)
        case ast.Attribute() | ast.Subscript():
            inside = [*values, target.slice] if isinstance(target, ast.Subscript) else [*values]
            yield from _target(target.value, *inside)
        case ast.Tuple() | ast.List():
            sides = [value.elts for value in values if isinstance(value, ast.Tuple | ast.List)]
            starred = any(isinstance(each, ast.Starred) for side in [target.elts, *sides] for each in side)
            apart = len(sides) == len(values) == 1 and len(sides[0]) == len(target.elts) and not starred
            for at, each in enumerate(target.elts):
                yield from _target(each, *([sides[0][at]] if apart else values))
