"""Metrics by hand."""

from __future__ import annotations

import pytest

from honewise import Cell, Completion, Scored, Task
from honewise_text_to_sql.metrics import METRICS, execution_accuracy, soft_f1, syntax_rate


def row(value: float | None, difficulty: str, *, f1: float = 0.0, ran: float = 1.0, **more: float) -> Scored:
    parts = {"ran": ran, "set": more.get("in_set", value or 0.0), "bag": value or 0.0, "soft_f1": f1}
    cell = Cell(value, unscored="gone" if value is None else None, parts=parts if value is not None else {})
    return Scored(Task("0", {}, meta={"difficulty": difficulty}), Completion(""), {"execution": cell})


ROWS = [
    row(0.0, "hard", ran=0.0),
    row(1.0, "easy", f1=1.0),
    row(0.0, "easy", f1=0.5, in_set=1.0),
    row(None, "hard"),
    row(1.0, "", f1=1.0),
]


def test_means_over_all_and_by_difficulty() -> None:
    numbers = execution_accuracy(ROWS)
    assert numbers["ex"] == pytest.approx(2 / 4)
    assert numbers["ex/easy"] == 0.5
    assert numbers["ex/hard"] == 0.0
    assert numbers["ex_set"] == pytest.approx(3 / 4)
    assert numbers["ex_bag"] == pytest.approx(2 / 4)
    assert (numbers["ex_scored"], numbers["ex_of"]) == (4, 5)
    assert "ex/" not in numbers
    assert "ex_set/easy" not in numbers
    assert [name for name in numbers if name.startswith("ex/")] == ["ex/easy", "ex/hard"]
    assert soft_f1(ROWS) == {"soft_f1": 2.5 / 4, "soft_f1/easy": 0.75, "soft_f1/hard": 0.0}
    assert syntax_rate(ROWS) == {"syntax_rate": 3 / 4, "syntax_rate/easy": 1.0, "syntax_rate/hard": 0.0}


def test_nothing_to_count_is_no_number() -> None:
    for metric in METRICS.values():
        for rows in ([], [row(None, "easy")], [Scored(Task("0", {}), Completion(""), {})]):
            assert not {"ex", "soft_f1", "syntax_rate"} & metric(rows).keys()


def test_a_gated_execution_is_not_counted() -> None:
    gated = Scored(Task("0", {}), Completion(""), {"execution": Cell(0.0, gated=True)})
    assert "ex" not in execution_accuracy([gated])
