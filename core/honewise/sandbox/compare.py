"""Do two query results say the same? Pure functions on rows; nothing is run here.

Values are compared as Python and SQLite compare them: 1 equals 1.0 and True, -0.0 equals 0.0, NULL equals NULL, an
integer equals a float only where they are exactly the same number, text never equals a number or a blob ("1" is not
1), text is compared by code points. NaN, which SQLite does not return, equals NaN. There is no tolerance: two sums in
another order of addition may differ in the last bit, as they do for the published metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from .tokens import tokens

__all__ = ["execution_match", "is_ordered", "results_match", "soft_f1"]

Rows = Sequence[Sequence[Any]]
Row = tuple[Any, ...]
Column = tuple[Any, ...]

_EFFORT = 20_000_000


def execution_match(gold_rows: Rows, rows: Rows) -> bool:
    """BIRD's execution accuracy: equal as sets of rows. Row order and repetition do not count, column order does."""
    gold, given = set(map(tuple, gold_rows)), set(map(tuple, rows))
    return gold == given or set(_canonical(gold)) == set(_canonical(given))


def results_match(gold_rows: Rows, rows: Rows, *, ordered: bool) -> bool:
    """Test-suite accuracy's idea of equal: the same rows as often, under some order of the columns.

    ``ordered``: rows must also come in the same order (say so where the gold statement has a top-level ORDER BY).
    Two empty results match whatever their columns. Of the permutations of columns only those are tried that can still
    succeed, so equal columns and equal values cost nothing. Where 20 million cells (about two seconds) do not
    settle it, which takes many columns that hold the same values in rows that look alike, the answer is False.
    """
    if len(gold_rows) != len(rows):
        return False
    if not gold_rows:
        return True
    if len(gold_rows[0]) != len(rows[0]):
        return False
    gold, given = [tuple(row) for row in gold_rows], [tuple(row) for row in rows]
    if gold == given:
        return True
    gold, given = _canonical(gold), _canonical(given)
    gold_columns, columns = list(zip(*gold, strict=True)), list(zip(*given, strict=True))
    if ordered:
        return Counter(gold_columns) == Counter(columns)
    if Counter(gold) == Counter(given):
        return True
    gold_sums, sums = [sum(map(hash, row)) for row in gold], [sum(map(hash, row)) for row in given]
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
    gold, given = list(dict.fromkeys(_canonical(gold_rows))), list(dict.fromkeys(_canonical(rows)))
    if not gold and not given:
        return 1.0
    if not ordered:
        gold.sort(key=_row_key)
        given.sort(key=_row_key)
    true = given_only = gold_only = 0.0
    for wanted, got in zip(gold, given, strict=False):
        width = len(wanted)
        hits = sum(value in wanted for value in got)
        true += hits / width
        given_only += (len(got) - hits) / width
        gold_only += sum(value not in got for value in wanted) / width
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


def _canonical(rows: Iterable[Sequence[Any]]) -> list[Row]:
    plain = [tuple(row) for row in rows]
    if any(value != value for row in plain for value in row):
        return [tuple(_NAN if value != value else value for value in row) for row in plain]
    return plain


def _row_key(row: Row) -> list[tuple[int, Any]]:
    return sorted([(_RANKS[type(value)], value) for value in row])


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
