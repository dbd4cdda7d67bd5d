"""Comparison of results, against brute force, a second implementation, and numbers worked by hand."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise.sandbox import execution_match, is_ordered, results_match, soft_f1
from honewise.sandbox.tokens import only_statement, tokens

NAN = float("nan")
Row = tuple[Any, ...]

VALUES = st.sampled_from([None, 0, 1, 1.0, True, 2, -0.0, 0.5, "", "a", "1", "é", b"", b"a"])


@st.composite
def tables(draw: st.DrawFn, widths: tuple[int, int] = (1, 4)) -> list[Row]:
    width = draw(st.integers(*widths))
    return draw(st.lists(st.tuples(*[VALUES] * width), max_size=6))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """Two tables that are alike: the second is the first with rows and columns shuffled, and perhaps a cell changed."""
    gold = draw(tables())
    if not gold or draw(st.integers(0, 9)) == 0:
        return gold, draw(tables())
    order = draw(st.permutations(range(len(gold[0]))))
    rows = draw(st.permutations([tuple(row[i] for i in order) for row in gold]))
    if draw(st.booleans()):
        i, j = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, len(order) - 1))
        rows[i] = (*rows[i][:j], draw(VALUES), *rows[i][j + 1 :])
    return gold, rows


def brute_force(gold: list[Row], rows: list[Row], ordered: bool) -> bool:
    if len(gold) != len(rows):
        return False
    if not gold:
        return True
    if len(gold[0]) != len(rows[0]):
        return False
    for order in itertools.permutations(range(len(gold[0]))):
        permuted = [tuple(row[i] for i in order) for row in rows]
        if permuted == gold or (not ordered and Counter(permuted) == Counter(gold)):
            return True
    return False


@settings(max_examples=400, deadline=None)
@given(pairs(), st.booleans())
def test_column_permutation_agrees_with_trying_them_all(pair: tuple[list[Row], list[Row]], ordered: bool) -> None:
    gold, rows = pair
    assert results_match(gold, rows, ordered=ordered) == brute_force(gold, rows, ordered)
    assert results_match(rows, gold, ordered=ordered) == brute_force(gold, rows, ordered)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 5), st.integers(1, 8), st.randoms(use_true_random=False))
def test_columns_of_two_values_are_the_hard_case_and_agree_too(width: int, height: int, rng: random.Random) -> None:
    gold = [tuple(rng.randint(0, 1) for _ in range(width)) for _ in range(height)]
    order = rng.sample(range(width), width)
    rows = rng.sample([tuple(row[i] for i in order) for row in gold], height)
    assert results_match(gold, rows, ordered=False)
    other = [tuple(rng.randint(0, 1) for _ in range(width)) for _ in range(height)]
    assert results_match(gold, other, ordered=False) == brute_force(gold, other, False)


def second_soft_f1(gold: list[Row], rows: list[Row]) -> float:
    """The official definition once more, from the counts of cells and not from sums of shares."""
    gold, rows = list(dict.fromkeys(gold)), list(dict.fromkeys(rows))
    if not gold and not rows:
        return 1.0
    table = []
    for wanted, got in itertools.zip_longest(gold, rows):
        if wanted is None:
            table.append((0.0, 1.0, 0.0))
        elif got is None:
            table.append((0.0, 0.0, 1.0))
        else:
            known = sum(1 for value in got if any(value == other for other in wanted))
            missed = sum(1 for value in wanted if not any(value == other for other in got))
            table.append((known / len(wanted), (len(got) - known) / len(wanted), missed / len(wanted)))
    true, extra, missing = (sum(column) for column in zip(*table, strict=True))
    return 2 * true / (2 * true + extra + missing) if true else 0.0


@settings(max_examples=400, deadline=None)
@given(pairs())
def test_soft_f1_agrees_with_a_second_implementation(pair: tuple[list[Row], list[Row]]) -> None:
    gold, rows = pair
    value = soft_f1(gold, rows, ordered=True)
    assert value == pytest.approx(second_soft_f1(gold, rows), abs=1e-12)
    assert 0.0 <= value <= 1.0
    assert 0.0 <= soft_f1(gold, rows, ordered=False) <= 1.0


@settings(max_examples=200, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_the_sorted_form_does_not_care_for_order(gold: list[Row], rng: random.Random) -> None:
    rows = rng.sample(gold, len(gold))
    assert soft_f1(gold, rows, ordered=False) == pytest.approx(1.0)
    assert soft_f1(gold, gold, ordered=True) == pytest.approx(1.0)
    assert soft_f1(gold, rows, ordered=True) <= 1.0 + 1e-12


def test_soft_f1_by_hand() -> None:
    gold = [(1, "a"), (2, "b")]
    assert soft_f1(gold, [(2, "b"), (1, "a")], ordered=True) == 0.0
    assert soft_f1(gold, [(2, "b"), (1, "a")], ordered=False) == 1.0
    # Row 1: 1 of 2 columns known, 1/2 extra, 1/2 missed; row 2 has no partner: P = .5/1, R = .5/2, F = 1/3.
    assert soft_f1(gold, [(1, "z")], ordered=True) == pytest.approx(1 / 3)
    # One column too many in each row: tp 2, fp 1, fn 0: P = 2/3, R = 1, F = .8.
    assert soft_f1(gold, [(1, "a", 7), (2, "b", 7)], ordered=True) == pytest.approx(0.8)
    assert soft_f1(gold, [("a", 1), ("b", 2)], ordered=True) == 1.0
    assert soft_f1(gold, [(1, "a"), (1, "a"), (2, "b")], ordered=True) == 1.0
    assert soft_f1([], [], ordered=True) == 1.0
    assert soft_f1(gold, [], ordered=True) == soft_f1([], gold, ordered=True) == 0.0
    assert soft_f1([(NAN,)], [(float("nan"),)], ordered=False) == 1.0


@pytest.mark.parametrize(
    ("gold", "rows", "same"),
    [
        ([(1,)], [(1.0,)], True),
        ([(1,)], [(True,)], True),
        ([(0.0,)], [(-0.0,)], True),
        ([(None,)], [(None,)], True),
        ([(None,)], [(0,)], False),
        ([(None,)], [("",)], False),
        ([(1,)], [("1",)], False),
        ([("a",)], [(b"a",)], False),
        ([("a",)], [("A",)], False),
        ([("é",)], [("e\u0301",)], False),
        ([(0.3,)], [(0.1 + 0.2,)], False),
        ([(2**53,)], [(float(2**53),)], True),
        ([(2**53 + 1,)], [(float(2**53),)], False),
        ([(NAN,)], [(float("nan"),)], True),
        ([(float("inf"),)], [(float("inf"),)], True),
        ([(NAN, 1)], [(NAN, 2)], False),
        ([], [], True),
        ([], [(1,)], False),
    ],
)
def test_values_are_equal_as_documented(gold: list[Row], rows: list[Row], same: bool) -> None:
    assert execution_match(gold, rows) == same
    assert results_match(gold, rows, ordered=False) == same
    assert results_match(gold, rows, ordered=True) == same


def test_execution_match_forgets_order_and_repetition_but_not_columns() -> None:
    assert execution_match([(1, 2), (3, 4)], [[3, 4], [1, 2], [1, 2]])
    assert not execution_match([(1, 2)], [(2, 1)])
    assert not execution_match([(1, 2), (3, 4)], [(1, 2)])


def test_results_match_keeps_repetition_and_order_where_asked() -> None:
    assert not results_match([(1,), (1,), (2,)], [(1,), (2,), (2,)], ordered=False)
    assert results_match([(1, "a"), (2, "b")], [["b", 2], ["a", 1]], ordered=False)
    assert not results_match([(1, "a"), (2, "b")], [("b", 2), ("a", 1)], ordered=True)
    assert results_match([(1, "a"), (2, "b")], [("a", 1), ("b", 2)], ordered=True)
    # Each column alone is a permutation of its partner, the rows are not.
    assert not results_match([(1, "a"), (2, "b")], [(1, "b"), (2, "a")], ordered=False)
    # A column twice in one, two different ones in the other.
    assert not results_match([(1, 1), (2, 2)], [(1, 2), (2, 1)], ordered=False)
    assert results_match([], [], ordered=True)


def cells(counted: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    from honewise.sandbox import compare

    real = compare.Counter

    class Counting(real):  # type: ignore[type-arg, misc, valid-type]
        def __init__(self, values: Any = ()) -> None:
            values = values if isinstance(values, dict) else list(values)
            counted.append(len(values))
            super().__init__(values)

    monkeypatch.setattr(compare, "Counter", Counting)


@pytest.mark.parametrize(
    "kind", ["equal values", "one differs", "two values", "not a permutation", "permutations of one"]
)
def test_twenty_columns_cost_no_factorial(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, width, height = random.Random(0), 20, 2000
    columns: list[list[Any]]
    if kind in ("equal values", "one differs"):
        columns = [[7] * height for _ in range(width)]
    elif kind == "permutations of one":
        columns = [rng.sample(range(height), height) for _ in range(width)]
    else:
        columns = [rng.sample([0, 1] * (height // 2), height) for _ in range(width)]
    gold = list(zip(*columns, strict=True))
    rows = rng.sample(list(zip(*rng.sample(columns, width), strict=True)), height)
    if kind == "one differs":
        rows[0] = (*rows[0][:-1], 8)
    if kind == "not a permutation":
        # Two cells of a column trade places, between rows that are otherwise equally long in ones.
        weights = [sum(row) - row[0] for row in rows]
        i, j = next(
            (i, j) for i in range(height) for j in range(i) if rows[i][0] != rows[j][0] and weights[i] == weights[j]
        )
        rows[i], rows[j] = (rows[j][0], *rows[i][1:]), (rows[i][0], *rows[j][1:])
    counted: list[int] = []
    cells(counted, monkeypatch)
    assert results_match(gold, rows, ordered=False) == (kind not in ("one differs", "not a permutation"))
    assert sum(counted) < 150 * height


def test_what_cannot_be_settled_within_the_bound_is_no_match(monkeypatch: pytest.MonkeyPatch) -> None:
    from honewise.sandbox import compare

    rng = random.Random(1)
    columns = [rng.sample([0, 1] * 25, 50) for _ in range(6)]
    gold, rows = list(zip(*columns, strict=True)), list(zip(*reversed(columns), strict=True))
    assert results_match(gold, rows, ordered=False)
    monkeypatch.setattr(compare, "_EFFORT", 10)
    assert not results_match(gold, rows, ordered=False)
    assert results_match(gold, gold[::-1], ordered=False)


@pytest.mark.parametrize(
    ("sql", "ordered"),
    [
        ("SELECT a FROM t ORDER BY a", True),
        ("select a from t order\n--x\n/* y */ by a", True),
        ("SELECT a FROM t UNION SELECT b FROM u ORDER BY 1;", True),
        ("WITH c AS (SELECT 1) SELECT * FROM c ORDER BY 1 LIMIT 3", True),
        ("SELECT (1), f(x) FROM t WHERE a IN (1, 2) ORDER BY 1", True),
        ("; SELECT a FROM t ORDER BY a", True),
        ("SELECT a FROM t", False),
        ("SELECT * FROM (SELECT a FROM t ORDER BY a)", False),
        ("SELECT a FROM t WHERE a = (SELECT b FROM u ORDER BY b LIMIT 1)", False),
        ("WITH c AS (SELECT a FROM t ORDER BY a) SELECT * FROM c", False),
        ("SELECT rank() OVER (PARTITION BY a ORDER BY b) FROM t", False),
        ("SELECT rank() OVER w FROM t WINDOW w AS (ORDER BY b)", False),
        ("SELECT group_concat(a ORDER BY b) FROM t", False),
        ("SELECT 'x ORDER BY y' FROM t", False),
        ("SELECT 'it''s ORDER BY y' FROM t", False),
        ('SELECT a AS "ORDER BY" FROM t', False),
        ('SELECT a "order" FROM t -- ORDER BY a', False),
        ("SELECT a FROM [t ORDER BY a]", False),
        ("SELECT a FROM `t ORDER BY a`", False),
        ("SELECT a FROM t /* ORDER BY a */", False),
        ("SELECT a FROM t; SELECT b FROM u ORDER BY b", False),
        ("SELECT a FROM t /* open ORDER BY a", False),
        ("SELECT order_by, border BY FROM t", False),
        ("", False),
    ],
)
def test_the_order_of_a_statement_is_its_own(sql: str, ordered: bool) -> None:
    assert is_ordered(sql) is ordered


def test_tokens_keep_their_places() -> None:
    sql = "SELECT a.\"b c\", 'it''s', x'00', 1.5e3 -- end\n FROM [t];"
    found = list(tokens(sql))
    assert all(sql[token.start : token.start + len(token.text)] == token.text for token in found)
    assert [(token.kind, token.text) for token in found] == [
        ("word", "SELECT"),
        ("word", "a"),
        ("symbol", "."),
        ("name", '"b c"'),
        ("symbol", ","),
        ("string", "'it''s'"),
        ("symbol", ","),
        ("word", "x"),
        ("string", "'00'"),
        ("symbol", ","),
        ("number", "1.5e3"),
        ("word", "FROM"),
        ("name", "[t]"),
        ("symbol", ";"),
    ]


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("a1'\"`[]-/*\n ;().é🙂\0\ud800"), max_size=40))
def test_any_text_has_tokens_that_cover_it(text: str) -> None:
    end = 0
    for token in tokens(text):
        assert token.text
        assert token.start >= end
        assert text[token.start : token.start + len(token.text)] == token.text
        end = token.start + len(token.text)
    alone = only_statement(text)
    assert alone is None or alone in text
    assert is_ordered(text) is False


@pytest.mark.parametrize("piece", ["'", '"', "`", "[", "/*", "--", "''", "(", "a", "-- \n"])
def test_long_hostile_text_takes_linear_time(piece: str) -> None:
    assert not is_ordered(piece * (300_000 // len(piece)))
