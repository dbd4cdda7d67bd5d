"""The numbers of a report, worked out by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import HOSTILE, cell, fill, make_run, scored

from honewise.report.curves import HEIGHT, WIDTH, Series, chart, stage_series
from honewise.report.numbers import headlines, latencies, measurements, unscored_reasons
from honewise.runs.rows import RolloutRow, StoredRollout
from honewise.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fill(make_run(tmp_path_factory.mktemp("runs")))


def training(run: Run) -> list[StoredRollout]:
    return [row for row in run.store.rollouts() if row.step is not None]


def test_points_are_means_over_what_was_scored(run: Run) -> None:
    series = {one.name: dict(one.points) for one in stage_series(run.store, "rl", training(run))}
    # Step 1: totals 0.25, 4, 0 and none; executions 0, 1, 0 and none; linking 0.25, 1, 0 (gated) and 0.5.
    assert series["total"] == {1: pytest.approx(4.25 / 3), 2: pytest.approx((3 + 3.5 + 4 + 4.5) / 4)}
    assert series["accuracy"] == {1: 0.5, 2: 1.0}
    assert series["execution"] == {1: pytest.approx(1 / 3), 2: 1.0}
    assert series["linking"] == {1: pytest.approx(1.75 / 4), 2: 0.75}
    assert series["tokens"] == {1: 15 / 4, 2: 5.0}
    assert series["unscored"] == {1: 0.25, 2: 0.0}
    assert series["kl"] == {1: 0.0, 2: 0.25}


def test_a_stage_without_completions_has_its_trainers_numbers(run: Run) -> None:
    assert [(one.name, one.points) for one in stage_series(run.store, "sft", [])] == [
        ("loss", ((1, 4.0), (2, 2.0))),
        ("grad_norm", ((1, 1.0), (2, 1.0))),
    ]


def test_what_was_never_a_number_is_not_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.store.start_stage("rl", "rl", 0)
    for step in (1, 2, 3):
        nothing = RolloutRow(scored("x", {"judge": cell(None, unscored="no verdict")}))
        run.store.write_step("rl", step, {"kl": float("nan"), "loss": 1.0}, [nothing])
    assert [one.name for one in stage_series(run.store, "rl", training(run))] == ["tokens", "unscored", "loss"]


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.floats(-1e12, 1e12, allow_nan=False)),
        min_size=2,
        max_size=40,
        unique_by=lambda point: point[0],
    )
)
def test_every_point_is_inside_the_picture(points: list[tuple[int, float]]) -> None:
    drawn = chart(Series("x", tuple(sorted(points))))
    for path in (drawn.raw, drawn.smooth):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+(?:e-?\d+)?", path)]
        assert all(0 <= x <= WIDTH for x in numbers[::2])
        assert all(0 <= y <= HEIGHT for y in numbers[1::2])
    assert [point[2] for point in json.loads(drawn.points)] == sorted(step for step, _ in points)
    assert 2 <= len(drawn.grid) <= 6


def test_the_scale_is_round_and_holds_the_values() -> None:
    drawn = chart(Series("x", ((1, 0.12), (2, 0.87))))
    assert [label for _, label in drawn.grid] == ["0", "0.25", "0.5", "0.75", "1"]
    flat = chart(Series("x", ((1, 0.0), (2, 0.0))))
    assert (flat.grid[0][1], flat.grid[-1][1]) == ("0", "1")
    below = chart(Series("x", ((1, -2.0), (2, -2.0))))
    assert below.grid[0][1].startswith("-2")


def test_intervals_hold_the_mean_and_shrink_to_it(run: Run) -> None:
    by_evaluation: dict[int, list[StoredRollout]] = {}
    for row in run.store.rollouts(stage="evaluate"):
        assert row.evaluation is not None
        by_evaluation.setdefault(row.evaluation, []).append(row)
    before, after = measurements(run.store, "evaluate", by_evaluation)
    assert (before.correct, after.correct) == (0.25, 0.75)
    # Four tasks of which one is right: the share in a draw of four is 0 with probability .32, and 1 with .004.
    assert (before.low, before.high) == (0.0, 0.75)
    assert (after.low, after.high) == (0.25, 1.0)
    (empty, _) = measurements(run.store, "evaluate", {})
    assert (empty.low, empty.high) == (None, None)


def test_the_headline_is_before_and_after(run: Run) -> None:
    (line,) = headlines(run.store, "evaluate")
    assert (line.how, line.before.of, line.after.of, line.comparison.difference) == ("greedy", "sft", "rl", 0.5)


def test_reasons_are_counted_where_they_happened(run: Run) -> None:
    (found,) = unscored_reasons({"rl": training(run)})
    assert (found.where, found.reward, found.count, found.of) == ("rl", "execution", 1, 8)
    assert found.reason == f"timeout {HOSTILE}"


def test_rare_reasons_are_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.store.start_stage("rl", "rl", 0)
    reasons = ["often"] * 5 + [f"task {n} failed" for n in range(20)]
    rows = [
        RolloutRow(scored("x", {"judge": cell(None, unscored=reason)}), group=n) for n, reason in enumerate(reasons)
    ]
    run.store.write_step("rl", 1, {}, rows)
    found = unscored_reasons({"rl": training(run)})
    assert (found[0].reason, found[0].count) == ("often", 5)
    assert (found[-1].reason, found[-1].count) == ("other reasons", 9)
    assert sum(reason.count for reason in found) == 25


def test_latencies_by_hand(run: Run) -> None:
    execution, linking = latencies(training(run))
    # execution: .002, .004 and 5 s in step 1 (one took no time), four of .002 in step 2.
    assert (execution.reward, execution.calls, execution.unscored, execution.gated) == ("execution", 7, 1, 0)
    assert (execution.p50, execution.p95, execution.slowest) == (0.002, 5.0, 5.0)
    assert execution.total == pytest.approx(5.014)
    assert execution.mean == pytest.approx(5.014 / 7)
    assert (linking.calls, linking.gated, linking.p50) == (7, 1, 0.001)
    assert latencies([]) == []
