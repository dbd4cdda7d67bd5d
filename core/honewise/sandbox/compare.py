"""Do two query results say the same? Pure functions on rows; nothing is run here.

Values are compared as Python and SQLite compare them: 1 equals 1.0 and True, -0.0 equals 0.0, NULL equals NULL, an
integer equals a float only where they are exactly the same number, text never equals a number or a blob ("1" is not
1), text is compared by code points. NaN, which SQLite does not return, equals NaN. There is no tolerance: two sums in
another order of addition may differ in the last bit, as they do for the published metrics.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any

from .tokens import tokens

__all__ = ["Prepared", "execution_match", "is_ordered", "results_match", "soft_f1"]

Row = tuple[Any, ...]
Column = tuple[Any, ...]

_EFFORT = 20_000_000


class Prepared:
    """The rows of a result, of which what a comparison needs is worked out once, however often it is compared.

    The functions here take it in place of rows. Do not change the rows afterwards.
    """

    def __init__(self, rows: Sequence[Sequence[Any]]) -> None:
        self.rows: list[Row] = [tuple(row) for row in rows]
        flat = list(chain.from_iterable(self.rows))
        if any(map(operator.ne, flat, flat)):
            self.rows = [tuple([_NAN if value != value else value for value in row]) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def distinct(self) -> dict[Row, None]:
        """The rows without repetition, in their order."""
        return dict.fromkeys(self.rows)

    @cached_property
    def in_order(self) -> list[Row]:
        """The rows without repetition, by their values, whatever the order of the columns."""
        return sorted(self.distinct, key=_row_key) if len(self.distinct) > 1 else list(self.distinct)

    @cached_property
    def bag(self) -> Counter[Row]:
        """How often each row stands there."""
        return Counter(self.rows)

    @cached_property
    def cells(self) -> Counter[Any]:
        """How often each value stands there."""
        return Counter(chain.from_iterable(self.rows))


Rows = Sequence[Sequence[Any]] | Prepared


def execution_match(gold_rows: Rows, rows: Rows) -> bool:
    """BIRD's execution accuracy: equal as sets of rows. Row order and repetition do not count, column order does."""
    return _prepared(gold_rows).distinct == _prepared(rows).distinct


def results_match(gold_rows: Rows, rows: Rows, *, ordered: bool) -> bool:
    """Test-suite accuracy's idea of equal: the same rows as often, under some order of the columns.

    ``ordered``: rows must also come in the same order (say so where the gold statement has a top-level ORDER BY).
    Two empty results match whatever their columns. Of the permutations of columns only those are tried that can still
    succeed, so equal columns and equal values cost nothing. Where 20 million cells (about two seconds) do not
    settle it, which takes many columns that hold the same values in rows that look alike, the answer is False.
    """
    gold, given = _prepared(gold_rows), _prepared(rows)
    if len(gold) != len(given):
        return False
    if gold.rows == given.rows:
        return True
    if len(gold.rows[0]) != len(given.rows[0]):
        return False
    if not ordered and gold.bag == given.bag:
        return True
    gold_columns, columns = list(zip(*gold.rows, strict=True)), list(zip(*given.rows, strict=True))
    if ordered:
        return Counter(gold_columns) == Counter(columns)
    gold_sums, sums = [sum(map(hash, row)) for row in gold.rows], [sum(map(hash, row)) for row in given.rows]
    return Counter(gold_sums) == Counter(sums) and _permutation_exists(gold_columns, gold_sums, columns, sums)


def soft_f1(gold_rows: Rows, rows: Rows, *, ordered: bool) -> float:
    """Soft-F1 of BIRD's mini-dev, in [0, 1]: partial credit for cells of rows that stand at the same place.

    Rows are de-duplicated. Row i of one is held against row i of the other: the share of gold's columns whose value
    appears anywhere in the row is credit, values on one side only are charged, and so is each row without a partner.

    ``ordered=True`` is the official form, in which a right answer in another row order loses. ``ordered=False``, for
    gold without a top-level ORDER BY, sorts both sides first (NULL, numbers, text, blobs; a row by its values in that
    order, so that the order of columns does not matter either): a deviation from the official number, never below it
    for a right answer.
    """
    prepared, other = _prepared(gold_rows), _prepared(rows)
    if not prepared and not other:
        return 1.0
    gold, given = (list(prepared.distinct), list(other.distinct)) if ordered else (prepared.in_order, other.in_order)
    true = given_only = gold_only = 0.0
    for wanted, got in zip(gold, given, strict=False):
        if wanted == got:
            true += 1
            continue
        width = len(wanted)
        if width == len(got) == 1:
            given_only += 1
            gold_only += 1
            continue
        hits = sum([value in wanted for value in got])
        true += hits / width
        given_only += (len(got) - hits) / width
        gold_only += sum([value not in got for value in wanted]) / width
    gold_only += max(0, len(gold) - len(given))
    given_only += max(0, len(given) - len(gold))
    precision = true / (true + given_only) if true + given_only else 0.0
    recall = true / (true + gold_only) if true + gold_only else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@lru_cache(maxsize=4096)  # asked once per completion of a task
def is_ordered(sql: str) -> bool:
    """True where the first statement of ``sql`` has an ORDER BY of its own: not in a string, a quoted name, a
    comment, a subquery, a common table expression, a window or an aggregate.

    >>> is_ordered("SELECT a FROM t ORDER BY a"), is_ordered("SELECT * FROM (SELECT a FROM t ORDER BY a)")
    (True, False)
    """
    depth, before = 0, ""
    for kind, text, _ in tokens(sql):
        if kind == "symbol":
            depth += (text == "(") - (text == ")")
            if text == ";" and before:
                return False
        word = text.upper() if kind == "word" and depth == 0 else "."
        if before == "ORDER" and word == "BY":
            return True
        before = word
    return False


class _NotANumber:
    """Stands for every NaN, because none of them equals itself."""


_NAN = _NotANumber()
_RANKS = {type(None): 0, bool: 1, int: 1, float: 1, str: 2, bytes: 3, _NotANumber: 4}


def _prepared(rows: Rows) -> Prepared:
    return rows if isinstance(rows, Prepared) else Prepared(rows)


def _row_key(row: Row) -> list[tuple[int, Any]]:
    ranked = [(_RANKS[type(value)], value) for value in row]
    return sorted(ranked) if len(ranked) > 1 else ranked


def _permutation_exists(gold: list[Column], gold_sums: list[int], given: list[Column], sums: list[int]) -> bool:
    """Is there an order of ``given``'s columns in which its bag of rows is gold's?

    ``sums`` tell rows apart in a way that no order of columns changes. Equal columns are one, with a multiplicity that
    its image must have too; a column can only stand for one that has the same values in rows of the same sums as
    often. What is left is searched column by column: the prefixes of rows must be equal as bags.
    """
    gold_counts, given_counts = Counter(gold), Counter(given)
    classes: dict[Any, list[Column]] = {}
    for column, count in given_counts.items():
        classes.setdefault((count, _bag(column, sums)), []).append(column)
    wanted = [(column, (count, _bag(column, gold_sums))) for column, count in gold_counts.items()]
    if Counter(key for _, key in wanted) != Counter({key: len(columns) for key, columns in classes.items()}):
        return False
    wanted.sort(key=lambda item: (len(classes[item[1]]), -len(item[1][1])))
    steps = list(_steps([column for column, _ in wanted]))
    effort = _EFFORT

    def search(depth: int, prefixes: Sequence[int], used: frozenset[int]) -> bool:
        nonlocal effort
        if depth == len(steps):
            return True
        ids, counts = steps[depth]
        for column in classes[wanted[depth][1]]:
            if id(column) in used or effort < 0:
                continue
            effort -= len(column)
            longer = [ids.get(pair, -1) for pair in zip(prefixes, column, strict=True)]
            if Counter(longer) == counts and search(depth + 1, longer, used | {id(column)}):
                return True
        return False

    return search(0, [0] * len(gold[0]), frozenset())


def _bag(column: Column, sums: list[int]) -> frozenset[tuple[Any, int]]:
    return frozenset(Counter(zip(column, sums, strict=True)).items())


def _steps(columns: list[Column]) -> Iterator[tuple[dict[tuple[int, Any], int], Counter[int]]]:
    """For each column: a number for each prefix of a row that ends in it, and how often each occurs."""
    prefixes = [0] * len(columns[0])
    for column in columns:
        ids: dict[tuple[int, Any], int] = {}
        prefixes = [ids.setdefault(pair, len(ids)) for pair in zip(prefixes, column, strict=True)]
        yield ids, Counter(prefixes)
