"""Targeted relabelling: which labels are looked at, by whom, and what comes of it."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise.errors import DataError, UserError
from honewise.judges import Comparison, FileAnnotator, TerminalAnnotator, VerifierAnnotator, relabel, select

ERRORS = ((0.5, 0.0), (0.7, 0.03), (0.8, 0.17), (0.9, 0.45), (0.95, 0.68), (1.0, 0.91))
"""Up to which share of the pairs, highest margins first, how many labels are wrong: methods.md 2.7."""


def world(seed: int, count: int = 2000) -> tuple[list[float], list[bool]]:
    """Margins, and whether each label is right."""
    draw = random.Random(seed)
    deltas = sorted((draw.gauss(1.2, 1.2) for _ in range(count)), reverse=True)
    right = [draw.random() >= next(error for share, error in ERRORS if at / count < share) for at in range(count)]
    return deltas, right


def test_low_margins_are_worth_more_than_chance() -> None:
    """Asking about 7 %: at random accuracy rises from .852 to .863, by lowest margins to .913."""
    before, chance, lowest = [], [], []
    for seed in range(10):
        deltas, right = world(seed)
        budget = round(0.07 * len(deltas))
        asked = select(deltas, budget=0.07, flip=False).ask
        at_random = random.Random(seed).sample(range(len(deltas)), budget)
        before.append(statistics.fmean(right))
        chance.append(statistics.fmean([ok or place in set(at_random) for place, ok in enumerate(right)]))
        lowest.append(statistics.fmean([ok or place in set(asked) for place, ok in enumerate(right)]))
    assert statistics.fmean(before) == pytest.approx(0.852, abs=0.01)
    assert statistics.fmean(chance) == pytest.approx(0.863, abs=0.01)
    assert statistics.fmean(lowest) == pytest.approx(0.913, abs=0.01)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=60), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_each_pair_is_in_one_of_the_four(deltas: list[float], budget: float, backoff: float, flip: bool) -> None:
    found = select(deltas, budget=budget, backoff=backoff, flip=flip)
    every = sorted([*found.keep, *found.ask, *found.flip, *found.rest])
    assert every == list(range(len(deltas)))
    assert len(found.ask) <= budget * len(deltas) + 1e-6
    assert [deltas[p] for p in found.ask] == sorted(deltas[p] for p in found.ask)
    assert all(deltas[place] < -found.elbow for place in found.flip)
    assert flip or not found.flip


def test_the_bends_of_a_curve() -> None:
    # A steep head to 1, a flat middle, a steep tail from .9 on.
    deltas = [5.0, 3.0, *(1 - n / 1000 for n in range(96)), -3.0, -5.0]
    found = select(deltas, budget=0.02)
    assert found.elbow == pytest.approx(1.0, abs=0.06)
    assert found.knee == pytest.approx(0.9, abs=0.06)
    assert found.flip == (98, 99)
    assert set(found.ask) <= {97, 96, 95}
    with pytest.raises(UserError, match="three or more margins"):
        select([1.0, float("nan"), 2.0])


ITEMS = [Comparison(f"p{n}", f"question {n}", f"right {n}", f"wrong {n}") for n in range(12)]
DELTAS = [5.0, 3.0, 1.0, 1.0, 0.99, 0.98, 0.97, 0.96, 0.5, 0.1, -0.4, -6.0]


def test_a_round_says_what_became_of_each_label() -> None:
    async def knows(items: Sequence[Comparison], /) -> Mapping[str, bool]:
        return {item.id: False for item in items if item.id != "p11"}

    found = asyncio.run(relabel(ITEMS, DELTAS, knows, budget=0.25))
    by = {label.id: (label.stands, label.source) for label in found.labels}
    assert by == {**{f"p{n}": (True, "ai") for n in range(10)}, "p10": (False, "annotator"), "p11": (False, "flip")}
    assert [label.id for label in found.labels] == [item.id for item in ITEMS]
    did = {row["id"]: (row["did"], row["why"]) for row in found.log}
    assert did["p10"] == ("turned round", "the annotator said so")
    assert did["p11"] == ("turned round", "its margin is below -1, the negative of the elbow's")
    asked = asyncio.run(relabel(ITEMS, DELTAS, knows, budget=0.25, flip=False))
    assert {label.id for label in asked.labels} == {f"p{n}" for n in range(11)}
    assert {row["id"]: row["why"] for row in asked.log}["p11"] == "the annotator said nothing"


def annotate(annotator: Any, items: Sequence[Comparison] = ITEMS) -> Mapping[str, bool]:
    return asyncio.run(annotator(items))


def test_a_person_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "later" / "questions.jsonl"
    annotator = FileAnnotator(path)
    assert annotate(annotator) == {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["id"] for row in rows] == [item.id for item in ITEMS]
    assert all(set(row) == {"id", "prompt", "answer_1", "answer_2", "better"} and row["better"] is None for row in rows)
    assert {row["answer_1"].split()[0] for row in rows} == {"right", "wrong"}, "the order gives nothing away"
    for number, row in enumerate(rows):
        right = 1 if row["answer_1"].startswith("right") else 2
        row["better"] = [right, 3 - right, 0, None][number % 4]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    before = path.read_text()
    assert annotate(annotator) == {f"p{n}": n % 4 == 0 for n in range(12) if n % 4 < 2}
    assert path.read_text() == before, "nothing that stands there is changed"
    annotate(annotator, [*ITEMS, Comparison("new", "ünï \u202e", "a\nb", "\ud800")])
    assert path.read_text().startswith(before)
    assert json.loads(path.read_text().splitlines()[-1])["id"] == "new"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nothing", "is no question"),
        ("[1]", "is no question"),
        ('{"id": "a"}', "is no question"),
        ('{"id": "a", "better": 3}', "better must be 1, 2, 0 or null; given: 3"),
        ('{"id": "a", "better": true}', "better must be"),
        ('{"id": ["a"], "better": 1}', "is no question"),
    ],
)
def test_a_file_that_was_spoilt_is_told_with_its_line(tmp_path: Path, line: str, why: str) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(DataError, match=rf"questions\.jsonl, line 2: {why}"):
        annotate(FileAnnotator(path))


def test_a_person_at_a_terminal() -> None:
    shown: list[str] = []
    said = iter(["what?", "1", " S ", "2", "q"])
    item = Comparison("esc", "clear \x1b[2J me\u202e", "a\ttab", "b\nline")
    found = annotate(TerminalAnnotator(lambda prompt: next(said), shown.append), [item, *ITEMS[:4]])
    assert len(found) == 2
    assert set(found) == {"esc", "p1"}
    assert len(shown) == 4
    assert "\x1b" not in shown[0]
    assert "\u202e" not in shown[0]
    assert "a\ttab" in shown[0]
    assert shown[0].startswith("\n[1 of 5] clear [2J me")
    first = "right" if "(1) right" in shown[2] else "wrong"
    assert found["p1"] == (first == "wrong"), "2 was said"

    def closed(prompt: str) -> str:
        raise EOFError

    assert annotate(TerminalAnnotator(closed, shown.append)) == {}


def test_the_same_person_sees_a_pair_the_same_way_every_time() -> None:
    seen: list[list[str]] = []
    for _ in range(2):
        shown: list[str] = []
        annotate(TerminalAnnotator(lambda prompt: "s", shown.append))
        seen.append(shown)
    assert seen[0] == seen[1]
    assert len({"(1) right" in text for text in seen[0]}) == 2


def test_a_verifier_answers_where_it_can() -> None:
    async def verify(item: Comparison, answer: str) -> float | None:
        return None if item.id == "p1" else float(answer.startswith("right") or item.id == "p2")

    assert annotate(VerifierAnnotator(verify), ITEMS[:4]) == {"p0": True, "p3": True}
    assert annotate(VerifierAnnotator(lambda item, answer: len(answer)), [Comparison("a", "q", "no", "yes")]) == {
        "a": False
    }
