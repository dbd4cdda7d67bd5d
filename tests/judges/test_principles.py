"""Constitutions: their files, what is drawn from them, critique and revision, and what is filtered."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_talk import run, scripted, shown

from honewise.errors import JudgeError, RecipeError, UserError
from honewise.judges import (
    Constitution,
    Panel,
    Principle,
    Revision,
    align,
    cut_repetition,
    leaks,
    load_constitution,
    revisions,
    targets,
)

FILE = """
name: plain
principles:
  - id: calm
    critique: Say where it plays down a danger.
    revision: Name every danger.
    prefer: Choose the one that names dangers.
    against: Choose the one that plays them down.
    weight: 3
    domain: medicine
    locale: en
  - id: short
    prefer: Choose the shorter one.
  - {id: kind, critique: Say where it is rude., revision: Be kind., locale: ar}
"""


def test_a_file_of_principles(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    found = load_constitution(path)
    assert [each.id for each in found.principles] == ["calm", "short", "kind"]
    assert (found.name, found.get("calm").weight, found.get("short").weight) == ("plain", 3.0, 1.0)
    (tmp_path / "mine.json").write_text(json.dumps([{"id": "short", "prefer": "Choose the shorter one."}]))
    other = load_constitution(tmp_path / "mine.json")
    assert (other.name, other.principles) == ("mine", (found.get("short"),))
    assert found.hash != other.hash
    assert found.hash == load_constitution(path).hash
    with pytest.raises(UserError, match=r"no principle 'calmn'.*'calm'"):
        found.get("calmn")


def test_all_faults_of_a_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("""
title: x
principles:
  - {id: a, critique: C}
  - {id: a, prefer: 3, weight: 0}
  - {prefer: P, wieght: 2}
  - 7
  - {id: b}
  - {id: c, against: N}
""")
    with pytest.raises(RecipeError) as raised:
        load_constitution(path)
    told = str(raised.value)
    for words in ("title: unknown key", "principles.0.revision: is missing", "'a' is the id of principle 0 already",
                  "principles.1.prefer: must be text", "principles.1.weight: must be a number above 0",
                  "principles.2.id: is missing", "principles.2.wieght: unknown key", "'weight'",
                  "principles.3: must be a mapping", "principles.4: says nothing",
                  "principles.5.prefer: is missing"):  # fmt: skip
        assert words in told, words
    for text in ("principles: []", "principles: none", "[1, 2", "name: 3\nprinciples: [{id: a, prefer: P}]"):
        path.write_text(text)
        with pytest.raises(RecipeError):
            load_constitution(path)


def test_which_principles_fit() -> None:
    whole = Constitution(
        (Principle("any", prefer="P"), Principle("d", prefer="P", domain="sql"),
         Principle("en", prefer="P", locale="en"), Principle("eg", critique="C", revision="R", locale="ar-EG"))
    )  # fmt: skip
    ids = lambda found: [each.id for each in found.principles]  # noqa: E731
    assert ids(whole.fitting(domain="sql")) == ["any", "d", "en", "eg"]
    assert ids(whole.fitting(domain="other", locale="en-GB")) == ["any", "en"]
    assert ids(whole.fitting(locale="ar")) == ["any", "d"]
    assert ids(whole.fitting(locale="ar_eg")) == ["any", "d", "eg"]
    assert ids(whole.fitting(use="critique")) == ["eg"]
    with pytest.raises(UserError, match="no principle with words for 'critique' for domain 'x' and locale 'en'"):
        whole.fitting(use="critique", domain="x", locale="en")


def test_draws_follow_from_seed_and_key_and_go_by_weight() -> None:
    three = [
        Principle("a", prefer="P", weight=1),
        Principle("b", prefer="P", weight=2),
        Principle("c", prefer="P", weight=5),
    ]
    whole, turned = Constitution(tuple(three)), Constitution(tuple(reversed(three)))
    counts: Counter[str] = Counter()
    for number in range(4000):
        (first,) = whole.draw(1, seed=0, key=str(number))
        assert turned.draw(1, seed=0, key=str(number)) == (first,)
        counts[first.id] += 1
    assert counts["a"] / 4000 == pytest.approx(1 / 8, abs=0.02)
    assert counts["c"] / 4000 == pytest.approx(5 / 8, abs=0.03)
    assert len({each.id for each in whole.draw(3, seed=1, key="x")}) == 3
    assert len(whole.draw(9, seed=1, key="x", distinct=False)) == 9
    assert whole.draw(1, seed=1, key="x") == whole.draw(1, seed=1, key="x")


CONSTITUTION = load_constitution(
    [{"id": f"p{n}", "critique": f"Find fault {n}.", "revision": f"Repair fault {n}."} for n in range(4)]
)


async def rows(judge: Any, **settings: Any) -> list[Revision]:
    return [row async for row in revisions(judge, CONSTITUTION, "Why?", "Because.", **settings)]


def model(prompt: str) -> str:
    """Critiques and revises; repeats the tags, as models do."""
    said = shown(prompt)
    if "critique" in said:
        (code,) = set(re.findall(r"<answer-([0-9a-f]{10})>", prompt))
        return f"<answer-{code}>{said['answer']} And more.</answer-{code}>"
    return f"It lacks something: {len(said['answer'])}"


def test_rounds_of_critique_and_revision() -> None:
    judge = scripted(model)
    found = run(rows(judge, rounds=3, seed=5, first="me"))
    assert [row.round for row in found] == [0, 1, 2]
    assert found[0].before == found[2].answer == "Because."
    assert found[0].revision == found[1].before == "Because. And more."
    assert found[2].revision == "Because. And more. And more. And more."
    assert found[1].critique == "It lacks something: 18"
    prompts = [request.messages[0]["content"] for request in judge.client.backend.requests]
    for row in found:
        number = row.principle[1:]
        assert f"Find fault {number}." in prompts[2 * row.round]
        assert f"Repair fault {number}." in prompts[2 * row.round + 1]
    assert found[0].provenance["constitution"] == CONSTITUTION.hash
    assert found[0].provenance["model"] == "scripted"
    assert (found[0].provenance["seed"], found[0].provenance["first"]) == ("5", "me")
    again = run(rows(scripted(model), rounds=3, seed=5, first="me"))
    assert [row.to_json() for row in again] == [row.to_json() for row in found]
    others = {tuple(row.principle for row in run(rows(scripted(model), rounds=3, seed=seed))) for seed in range(8)}
    assert len(others) > 1


def test_what_is_trained_on() -> None:
    found = run(rows(scripted(model), rounds=3))
    every = targets(found)
    assert every == [("Why?", row.revision) for row in found]
    assert targets(found, "last") == [("Why?", found[-1].revision)]


def test_a_failure_leaves_the_rounds_before_it() -> None:
    seen: list[Revision] = []

    async def some(judge: Any) -> None:
        async for row in revisions(judge, CONSTITUTION, "Why?", "Because.", rounds=4):
            seen.append(row)  # noqa: PERF401 - what is there before it fails counts

    calls = iter([model, model, model, lambda prompt: ""])
    with pytest.raises(JudgeError):
        run(some(scripted(lambda prompt: next(calls, lambda p: "")(prompt))))
    assert len(seen) == 1
    panel = Panel({"a": scripted(model), "b": scripted(model)})
    with pytest.raises(UserError, match="needs one judge"):
        run(some(panel))


HIDDEN = ["never name a person who is not public", "Internal thoughts: short"]


@pytest.mark.parametrize(
    ("text", "settings", "kept", "cut"),
    [
        ("I am Watson. It is four.\nUser: and five?", {}, "I am Watson. It is four.", ("turn",)),
        ("thinking a lot\n\nWatson: Four.", {"answer_after": "\n\nWatson:"}, "Four.", ("thoughts",)),
        ("One. Two. One. Three.", {}, "One. Two.", ("repetition",)),
        ("a, b, a, c", {"unit": "clause"}, "a, b,", ("repetition",)),
    ],
)
def test_texts_are_cut(text: str, settings: dict[str, Any], kept: str, cut: tuple[str, ...]) -> None:
    found = align(text, least=1, **settings)
    assert (found.text, found.dropped, found.cut) == (kept, "", cut)


@pytest.mark.parametrize(
    ("text", "settings", "why"),
    [
        ("Hello", {"begins": "I am Watson"}, "does not begin with 'I am Watson'"),
        ("Hello", {"answer_after": "Watson:"}, "has no 'Watson:'"),
        ("Hello", {}, "5 characters are left, fewer than 160"),
        ("\nUser: x", {"least": 1}, "0 characters are left"),
    ],
)
def test_texts_are_dropped(text: str, settings: dict[str, Any], why: str) -> None:
    found = align(text, **settings)
    assert found.text == ""
    assert why in found.dropped


def test_the_unit_of_repetition_and_leaks() -> None:
    assert cut_repetition("a. a. b") == "a."
    assert cut_repetition("no repetition here. None.") == "no repetition here. None."
    assert leaks("As rule 3 says, Never name a person, who is not public!", HIDDEN) == HIDDEN[:1]
    assert leaks("internal thoughts: short", HIDDEN) == HIDDEN[1:]
    assert leaks("A person is public.", HIDDEN) == []


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="ab. ,\n", max_size=40), st.sampled_from(["sentence", "clause"]))
def test_cutting_twice_cuts_no_more(text: str, unit: str) -> None:
    once = cut_repetition(text, unit=unit)
    assert text.startswith(once)
    assert cut_repetition(once, unit=unit) == once
