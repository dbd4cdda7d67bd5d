"""Rewards that read text: their values by hand, and that what they pay stands where it was earned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise import Score, Task, Unscored, UserError
from honewise_text_to_sql.domain import text_to_sql
from honewise_text_to_sql.parse import parse
from honewise_text_to_sql.prompts import Form
from honewise_text_to_sql.tasks import make_task
from honewise_text_to_sql.textual import ngram, schema_linking, tag_rewards

Judge = Callable[..., Any]

TABLES = {"customer": ["id", "name", "city"], "orders": ["id", "customer_id", "amount"]}


def task(*sql: str) -> Task:
    made = make_task("0", "What?", list(sql))
    return Task(made.id, made.inputs, {**made.reference, "tables": TABLES}, meta=made.meta)


def linked(gold: str | Task, sql: str, **options: Any) -> Score:
    asked = task(gold) if isinstance(gold, str) else gold
    score = schema_linking.fn(asked, parse(f"<answer>{sql}</answer>", asked), **options)
    assert isinstance(score, Score)
    return score


def paid(sql: str, score: Score) -> list[tuple[str, float]]:
    text = f"<answer>{sql}</answer>"
    return [(text[span.start : span.end], span.value) for span in score.spans]


def test_linking_by_hand() -> None:
    # gold: customer, customer.name, customer.city; prediction: customer, name, and wrongly id
    sql = "SELECT name, id FROM customer"
    score = linked("SELECT name FROM customer WHERE city = 'Oslo'", sql)
    assert score.value == pytest.approx(2 / 4)
    pay = dict(paid(sql, score))
    assert pay["name"] == pay["customer"] == pytest.approx(1 / 3)
    assert pay["id"] == pytest.approx(2 / 4 - 2 / 3)
    assert score.parts == {"right": 2, "wrong": 1, "missing": 1}
    assert "customer.id" in score.feedback
    recall = linked("SELECT name FROM customer WHERE city = 'Oslo'", sql, form="recall")
    assert recall.value == pytest.approx(2 / 3)
    assert all(value > 0 for _, value in paid(sql, recall))


def test_linking_sees_through_aliases_and_case() -> None:
    gold = "SELECT T1.name FROM customer AS T1 JOIN orders AS T2 ON T1.id = T2.customer_id"
    assert linked(gold, "select NAME from Customer c, orders where c.id = customer_id").value == pytest.approx(1)


def test_nothing_right_is_zero_and_never_less() -> None:
    score = linked("SELECT name FROM customer", "SELECT amount FROM orders")
    assert score.value == 0
    assert not score.spans


def test_the_nearest_of_several_accepted_queries_counts() -> None:
    asked = task("SELECT name FROM customer", "SELECT amount FROM orders")
    assert linked(asked, "SELECT amount FROM orders").value == pytest.approx(1)


def test_what_cannot_be_read_links_nothing_but_a_gold_that_cannot_is_unscored() -> None:
    assert linked("SELECT name FROM customer", "SELECT ((").value == 0
    bad = task("SELECT alter FROM customer")
    assert isinstance(schema_linking.fn(bad, parse("<answer>SELECT 1</answer>", bad)), Unscored)
    none = task()
    assert isinstance(schema_linking.fn(none, parse("<answer>SELECT 1</answer>", none)), Unscored)
    assert isinstance(ngram.fn(none, parse("<answer>SELECT 1</answer>", none)), Unscored)


def test_ngram_by_hand() -> None:
    gold = task("SELECT name FROM customer WHERE city = 'Oslo'")
    sql = "SELECT name FROM customer WHERE id = 'Oslo'"
    score = ngram.fn(gold, parse(f"<answer>{sql}</answer>", gold))
    assert isinstance(score, Score)
    # bigrams: 7 each, 5 shared: select name, name from, from customer, customer where | = 'Oslo'
    assert score.value == pytest.approx(5 / 9)
    assert paid(sql, score) == [
        ("SELECT name FROM customer WHERE", pytest.approx(4 / 9)),
        ("= 'Oslo'", pytest.approx(1 / 9)),
    ]


def test_ngram_pays_a_repeated_run_once_and_ignores_case_blanks_and_comments() -> None:
    gold = task("SELECT a FROM t")
    same = ngram.fn(gold, parse("<answer>select  a /* so */ from\nT</answer>", gold))
    assert isinstance(same, Score)
    assert same.value == pytest.approx(1)
    twice = ngram.fn(gold, parse("<answer>SELECT a FROM t UNION SELECT a FROM t</answer>", gold))
    assert isinstance(twice, Score)
    assert twice.value == pytest.approx(3 / 5)  # the union adds "t union" and "union select"


def test_ngram_of_short_queries_and_other_lengths() -> None:
    gold = task("VALUES")
    for n in (1, 2, 5):
        score = ngram.fn(gold, parse("<answer>values</answer>", gold), n=n)
        assert isinstance(score, Score)
        assert score.value == pytest.approx(1)
    with pytest.raises(UserError, match="at least 1"):
        ngram.fn(gold, parse("<answer>values</answer>", gold), n=0)
    with pytest.raises(UserError, match="jaccard, recall"):
        schema_linking.fn(gold, parse("<answer>values</answer>", gold), form="dice")


FULL = "<reasoning>\nr\n</reasoning>\n<answer>\nq\n</answer>"


@pytest.mark.parametrize(
    ("text", "tags", "whole"),
    [
        (FULL, 4, True),
        (FULL + "\n \n", 4, True),
        ("", 0, False),
        ("<reasoning>r</reasoning>", 2, False),
        ("<answer>q</answer>", 2, False),
        ("<reasoning></reasoning><answer></answer>", 2, False),  # nothing inside: the closing tags earn nothing
        (FULL + " and so on", 3, False),
        ("well " + FULL, 4, False),
        (FULL.replace("</reasoning>", "</reasoning> so "), 4, False),
        (FULL + FULL, 0, False),
        ("<answer>q</answer><reasoning>r</reasoning>", 2, False),
        ("<answer>" * 1000, 0, False),
        (FULL.upper(), 0, False),
    ],
)
def test_tags_are_paid_where_they_stand(text: str, tags: int, whole: bool) -> None:
    format, well_formed, signed = (reward.fn for reward in tag_rewards(Form()))
    completion = parse(text, task())
    score = format(completion)
    assert score.value == tags / 4
    assert all(text[span.start : span.end] == span.label for span in score.spans)
    assert well_formed(completion) == float(whole)
    assert signed(completion) == (1.0 if whole else -1.0)


def test_without_reasoning_two_tags_are_the_form() -> None:
    format, well_formed, _ = (reward.fn for reward in tag_rewards(Form("compact", reasoning=False)))
    completion = parse("<answer>q</answer>", task())
    assert format(completion).value == well_formed(completion) == 1


def test_brevity_is_the_share_of_the_query() -> None:
    concise = next(reward for reward in text_to_sql().rewards if reward.name == "concise").fn
    assert concise(parse("<answer>\n```sql\nSELECT 1\n```\n</answer>", task())) == 1
    assert concise(parse("<answer>abcdefg\n```sql\nSELECT 1\n```</answer>", task())) == pytest.approx(0.5)
    assert concise(parse("SELECT 1", task())) == 0
    assert concise(parse("", task())) == 0


TEXTS = st.lists(
    st.sampled_from(
        [
            *[
                "SELECT",
                "select",
                "FROM",
                "WHERE",
                "JOIN",
                "ON",
                "name",
                "city",
                "id",
                "amount",
                "customer",
                "orders",
                "c",
                ".",
                ",",
                "(",
                ")",
                "*",
                "=",
                "'Oslo'",
                ";",
                "é",
                "😀",
            ],
            *FULL.replace("\n", " ").split(),
            "```sql\n",
            "```",
            "\n",
        ]
    ),
    max_size=40,
).map(" ".join)


@settings(deadline=None, max_examples=300)
@given(TEXTS, st.sampled_from(["jaccard", "recall"]), st.integers(1, 4))
def test_values_stay_in_bounds_and_spans_inside_the_text(text: str, form: Any, n: int) -> None:
    asked = task(
        "SELECT name FROM customer WHERE city = 'Oslo'", "SELECT c.name FROM customer c JOIN orders ON c.id = id"
    )
    completion = parse(text, asked)
    format = tag_rewards(Form())[0].fn
    for score in (
        schema_linking.fn(asked, completion, form=form),
        ngram.fn(asked, completion, n=n),
        format(completion),
    ):
        assert isinstance(score, Score)
        assert -1e-12 <= score.value <= 1 + 1e-12
        for span in score.spans:
            assert 0 <= span.start <= span.end <= len(text)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(["name", "city", "customer.id", "amount", "orders.id", "foo"]), min_size=1, max_size=6))
def test_the_spans_of_linking_sum_to_the_jaccard_index(columns: list[str]) -> None:
    """Against sets put together by hand, not by the resolver."""
    owner = {"name": "customer.name", "city": "customer.city", "amount": "orders.amount", "foo": "?.foo"}
    sql = f"SELECT {', '.join(columns)} FROM customer, orders"
    prediction = {"customer", "orders", *(owner.get(column, column) for column in columns)}
    gold = {"customer", "orders", "customer.name", "orders.amount", "orders.id"}
    score = linked("SELECT name, amount, orders.id FROM customer, orders", sql)
    assert sum(span.value for span in score.spans) == pytest.approx(len(prediction & gold) / len(prediction | gold))
