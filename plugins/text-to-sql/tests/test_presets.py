"""What presets promise: gold is worth most, silence least, and no wrong query more than a right one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise import Completion, Domain, Scored, Task, Term
from honewise.scoring import Row, Scorer
from honewise.scoring.outcome import GATED, Outcome
from honewise.scoring.rubric import bind_rubric, scored
from honewise.testing import FakeJudge
from honewise_text_to_sql.domain import text_to_sql
from honewise_text_to_sql.presets import PRESETS

GOLD = "SELECT name FROM customer WHERE city = 'Oslo'"
RIGHT = [
    GOLD,
    "SELECT name FROM customer WHERE city IN ('Oslo')",
    "SELECT n FROM (SELECT name AS n, city FROM customer) WHERE city LIKE 'oslo'",
    "VALUES ('Ann'), ('Ann')",
]
WRONG = [
    "SELECT name FROM customer WHERE city = 'Rome'",
    "SELECT name FROM customer WHERE city <> 'Oslo'",
    "SELECT DISTINCT name FROM customer WHERE city = 'Oslo'",
    "SELECT name, city FROM customer WHERE city = 'Oslo'",
    "SELECT nme FROM customer WHERE city = 'Oslo'",
    "SELECT",
    "",
]
WRAPS = [
    "<reasoning>\nwhy\n</reasoning>\n<answer>\n```sql\n{}\n```\n</answer>",
    "<answer>{}</answer>",
    "<answer>{}",
    "{}",
    "<answer><answer>\n```sql\n{}",
    "<reasoning>{}</reasoning>",
]


def test_the_presets_are_those_of_the_documentation() -> None:
    assert list(PRESETS) == ["reasoning-sql", "execution-only", "arctic", "sql-r1", "think2sql"]
    assert {rubric.correct for rubric in PRESETS.values()} == {"execution"}
    first = PRESETS["reasoning-sql"]
    assert {name: first.term(name).weight for name in first.terms} == {
        "execution": 3,
        "judge": 2,
        "syntax": 1,
        "schema_linking": 1,
        "ngram": 1,
        "format": 1,
    }
    assert first.cap_wrong


@pytest.fixture(scope="module")
def judges() -> Iterator[Callable[[Domain, str, float | None], Scorer]]:
    """A scorer in this process by preset and the verdict that its judge always gives; None: no judge."""
    made: dict[tuple[str, float | None], Scorer] = {}

    def give(domain: Domain, preset: str, verdict: float | None) -> Scorer:
        if (preset, verdict) not in made:
            judge = None if verdict is None else FakeJudge(otherwise=verdict)
            made[preset, verdict] = Scorer(domain, rubric=preset, judge=judge, workers=0)
        return made[preset, verdict]

    yield give
    for scorer in made.values():
        scorer.close()


def totals(scorer: Scorer, task: Task, texts: list[str]) -> list[Scored]:
    return scorer.score([Row(task, text) for text in texts])


def test_no_wrong_query_outscores_a_right_one(
    ask: Callable[..., Task], domain: Domain, judges: Callable[..., Scorer]
) -> None:
    task = ask(GOLD)
    right = [wrap.format(sql) for sql in RIGHT for wrap in WRAPS[:5]]
    wrong = [wrap.format(sql) for sql in WRONG for wrap in WRAPS] + [
        "",
        "no idea",
        WRAPS[0].format(GOLD + " AND 1 = 0"),
    ]
    for verdict in (None, 0.0, 1.0):
        scorer = judges(domain, "reasoning-sql", verdict)
        good, bad = totals(scorer, task, right), totals(scorer, task, wrong)
        assert all(row.correct is True for row in good)
        assert all(row.correct is False for row in bad)
        most = max(row.total or 0.0 for row in bad)
        assert min(row.total or 0.0 for row in good) > most
        if verdict == 1.0:
            assert any(row.cut < 0 for row in bad)  # without the cap the near copies would have won


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_mix_of_scores_lets_wrong_outscore_right(data: Any) -> None:
    """On the rubric itself, with every reward anywhere in its range: not only what this domain's rewards give."""
    rewards = {reward.name: reward for reward in text_to_sql().rewards}
    rubric = bind_rubric(PRESETS["reasoning-sql"], rewards)
    unit = st.floats(0, 1)

    def row(right: bool) -> Scored:
        outcomes = {name: Outcome(terminal=data.draw(unit)) for name in rubric.terms}
        outcomes["execution"] = Outcome(terminal=float(right), correct=right)
        if right:
            outcomes["judge"] = outcomes["syntax"] = GATED
        return scored(rubric, Task("0", {}), Completion(""), outcomes, 0)

    right, wrong = row(True), row(False)
    assert right.total is not None
    assert wrong.total is not None
    assert right.total > wrong.total


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("verdict", [None, 0.0, 1.0])
def test_gold_is_worth_most_and_silence_least(
    ask: Callable[..., Task], domain: Domain, judges: Callable[..., Scorer], preset: str, verdict: float | None
) -> None:
    task = ask(GOLD)
    scorer = judges(domain, preset, verdict if preset == "reasoning-sql" else None)
    texts = [wrap.format(sql) for sql in RIGHT + WRONG for wrap in WRAPS]
    gold = domain.gold(task)
    assert gold is not None
    rows = totals(scorer, task, [gold, "", *texts])
    every = [row.total for row in rows if row.total is not None]
    assert len(every) == len(rows)
    assert rows[0].total == pytest.approx(max(every))
    assert rows[1].total == pytest.approx(min(every))


@pytest.mark.parametrize(
    ("preset", "text", "total"),
    [
        ("execution-only", "<answer>{}</answer>", 1.0),
        ("arctic", "<answer>{}</answer>", 1.0),
        ("arctic", "<answer>SELECT 1</answer>", 0.1),
        ("arctic", "<answer>SELEC</answer>", 0.0),
        ("sql-r1", WRAPS[0], 1 + 2 + 3 + 1),
        ("sql-r1", WRAPS[0].replace("{}", "SELECT 1"), 1 + 2 - 3),
        ("sql-r1", WRAPS[0].replace("{}", "SELEC"), 1 - 2),
        ("sql-r1", "{}", -1.0),
        ("think2sql", WRAPS[0], 1.0),
        ("think2sql", WRAPS[0].replace("{}", "SELEC"), 0.15),
        ("think2sql", "<answer>{}</answer>", 0.85 + 0.05 / 2),
        ("reasoning-sql", WRAPS[0], 3 + 1 + 1 + 1 + 1),
    ],
)
def test_totals_by_hand(
    ask: Callable[..., Task], domain: Domain, judges: Callable[..., Scorer], preset: str, text: str, total: float
) -> None:
    (row,) = totals(judges(domain, preset, None), ask(GOLD), [text.replace("{}", GOLD)])
    assert row.total == pytest.approx(total)


def test_a_right_query_is_not_asked_about_twice() -> None:
    syntax = PRESETS["reasoning-sql"].terms["syntax"]
    assert isinstance(syntax, Term)
    assert (syntax.when, syntax.otherwise) == ("execution < 1", 1.0)
