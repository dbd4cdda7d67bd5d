"""Each promise of the contract: a domain that breaks it is reported under the right name, and only there."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from honewise import (
    Cell,
    Completion,
    Domain,
    JudgeTemplate,
    Piece,
    Reader,
    Reward,
    Rubric,
    Score,
    Scored,
    Span,
    Task,
    Term,
    Unscored,
    Verdict,
    reward,
)
from honewise.builtin.arithmetic import arithmetic
from honewise.checks import DOMAIN_CHECKS, PRESET_CHECKS, REWARD_CHECKS, Finding, check_domain, check_reward
from honewise.checks.worth import _preset_total
from honewise.errors import JudgeError
from honewise.host import PluginHost
from honewise.rewards import length, tagged
from honewise.testing import FakeJudge

HOST = PluginHost(environ={}, entry_points=[])

WORDS = ["heap", "stack", "queue", "graph", "array", "tuple", "table", "index", "block", "field"]


# A domain that keeps every promise: repeat a word inside <answer></answer>.


@reward
def right(task: Task, completion: Completion) -> bool:
    return completion.answer == task.reference["word"]


@reward
def letters(task: Task, completion: Completion) -> Score:
    piece = completion.pieces.get("answer", Piece(""))
    word = task.reference["word"]
    return Score(
        spans=[
            piece.slice(at, at + 1).pays(1 / max(len(word), len(piece.text)), said)
            for at, (said, wanted) in enumerate(zip(piece.text, word, strict=False))
            if said == wanted
        ]
    )


def parse(text: str, task: Task) -> Completion:
    piece = tagged(text, "answer")
    return Completion(text, piece.text, {"answer": piece}) if piece else Completion(text)


def samples(split: str) -> list[Task]:
    chosen = WORDS[:6] if split == "train" else WORDS[6:]
    return [Task(f"{split}-{i}", {"text": f"<{word}>"}, {"word": word}) for i, word in enumerate(chosen)]


def good() -> Domain:
    return Domain(
        prompt=lambda task: [{"role": "user", "content": f"What stands in the brackets: {task.inputs['text']}?"}],
        parse=parse,
        gold=lambda task: f"<answer>{task.reference['word']}</answer>",
        samples=samples,
        rewards=[right, letters],
        rubrics={"default": Rubric({"right": 2.0, "letters": 1.0}, correct="right")},
        readers={"words": Reader(lambda path: [], lambda path: path.name == "words.txt")},
        metrics={"share": lambda rows: {"right": sum(r.correct is True for r in rows) / len(rows)} if rows else {}},
        difficulty=lambda task: float(len(task.inputs["text"])),
    )


def failing(domain: Domain, **kwargs: Any) -> dict[str, Finding]:
    found = check_domain(domain, name="words", host=HOST, **kwargs)
    return {finding.check: finding for finding in found if not finding.ok}


def with_reward(fn: Callable[..., Any] | Reward, **settings: Any) -> Domain:
    made = fn if isinstance(fn, Reward) else Reward(fn=fn, name="odd", **settings)
    return replace(good(), rewards=[right, letters, made])


# Rewards that break one promise each. They live at the top level, as the promise `sendable` wants.


def misspelt(task: Task, completon: Completion) -> float:
    return 0.0


def gives_two(completion: Completion) -> float:
    return 2.0 if "a" in completion.text else 0.0


def stray(completion: Completion) -> Score:
    return Score(spans=[Span(0, len(completion.text) + 1, 0.0)])


def pays_the_last(completion: Completion) -> Score:
    said = tagged(completion.text, "answer")
    return Score(spans=[said.pays(1.0)] if said and said.text == completion.answer else ())


_coin = itertools.count()


def fickle(completion: Completion) -> float:
    return 0.0 if not completion.text else (next(_coin) % 7) / 14 + (1 if "<answer>" in completion.text else 0) * 0.5


def raising(task: Task, completion: Completion) -> float:
    return float(completion.text.index("answer") and completion.answer == task.reference["word"])


def nothing(completion: Completion) -> float | None:
    return None if "\x00" in completion.text else 0.0


def unscored_text(completion: Completion) -> float | Unscored:
    return Unscored("odd text") if "9999" in completion.text else 0.0


def not_a_number(completion: Completion) -> float:
    return float("nan") if completion.text == "NaN" else 0.0


def likes_length(completion: Completion) -> float:
    return min(len(completion.text) / 10_000, 1.0)


def likes_silence(completion: Completion) -> float:
    return 1.0 if not completion.text or completion.answer in WORDS else 0.5


def leaks_between(completions: list[Completion]) -> list[float]:
    best = max(len(c.text) for c in completions)
    return [0.0 if not c.text else float(c.answer is not None) * len(c.text) / best for c in completions]


def swaps(completions: list[Completion]) -> list[float]:
    return sorted(float(c.answer in WORDS) for c in completions)


def short_batch(completions: list[Completion]) -> list[float]:
    return [0.0] * min(len(completions), 3)


def slow(completion: Completion) -> float:
    if len(completion.text) >= 1000:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
    return 0.0


def meddles(task: Task, completion: Completion) -> float:
    task.inputs.setdefault("seen", True)  # type: ignore[attr-defined]
    return 0.0


def leaves(completion: Completion) -> float:
    if "\x00" in completion.text:
        sys.exit(3)
    return 0.0


def evaluates(completion: Completion) -> float:
    try:
        return float(eval(completion.answer or "0") == 3)
    except Exception:
        return 0.0


def evaluates_when_it_likes(completion: Completion) -> float:
    return float(eval("1") if completion.answer in WORDS else 0)


def looks_around(completion: Completion) -> float:
    return 0.5 * (completion.answer in WORDS) * (os.environ.get("HOME") != "/nonexistent")


def reads_here(completion: Completion) -> float:
    return 0.5 * (completion.answer in WORDS) * Path("here.txt").is_file()


_seen = ["", ""]


def compares_with_the_last(completion: Completion) -> float:
    """Asked twice the same, it gives the same; what it gives depends on what came before."""
    if completion.text != _seen[1]:
        _seen[:] = [_seen[1], completion.text]
    return float(completion.answer in WORDS) * (0.5 if _seen[0] <= completion.text else 0.25)


class Wide:
    """A number of a library of its own."""

    def item(self) -> float:
        return 3.0

    def __float__(self) -> float:
        return 3.0


def wide(completion: Completion) -> Any:
    return Wide() if completion.answer else 0.0


REWARDS: list[tuple[Callable[..., Any], dict[str, Any], str, str]] = [
    (gives_two, {}, "bounds", r"scores 2, outside \[0, 1\]"),
    (stray, {}, "spans", "outside the text"),
    (fickle, {"bounds": (0.0, 2.0), "exempt": {"gold": "luck"}}, "deterministic", "then"),
    (raising, {}, "scored", "ValueError: substring not found"),
    (nothing, {}, "scored", "returned None"),
    (unscored_text, {}, "scored", "odd text"),
    (not_a_number, {}, "bounds", "scores nan"),
    (meddles, {}, "deterministic", "its call changes task"),
    (leaves, {}, "scored", "SystemExit: 3"),
    (wide, {}, "bounds", r"scores 3, outside"),
    (likes_length, {}, "gold", r"the gold completion scores 0\.0"),
    (likes_silence, {}, "empty", "the empty completion scores 1"),
    (leaks_between, {}, "batch", "alone and .* in a batch"),
    (swaps, {}, "batch", "alone and"),
    (short_batch, {}, "batch", "gave 3 results"),
    (slow, {"deadline": 0.01}, "deadline", r"its deadline is 0\.01 s"),
    (evaluates, {}, "eval", r"given .* it evaluates it as Python"),
    (evaluates_when_it_likes, {}, "eval", r"its code calls eval\(\)"),
    (looks_around, {}, "state", r"scores 0\.5, and 0 later and elsewhere"),
]


def test_a_good_domain_keeps_every_promise() -> None:
    assert failing(good()) == {}


@pytest.mark.parametrize(("fn", "settings", "check", "said"), REWARDS, ids=[case[0].__name__ for case in REWARDS])
def test_a_reward_that_breaks_a_promise(
    fn: Callable[..., Any], settings: dict[str, Any], check: str, said: str
) -> None:
    found = failing(with_reward(fn, **settings))
    assert list(found) == [check]
    assert found[check].subject == "reward odd"
    assert re.search(said, found[check].explanation), found[check].explanation
    assert found[check].fix == REWARD_CHECKS[check].fix


def _odd(**changes: Any) -> Callable[[], Domain]:
    return lambda: replace(good(), **changes)


def _with_term(**changes: Any) -> Callable[[], Domain]:
    terms: dict[str, Any] = {"right": 2.0, "letters": 1.0, **changes}
    return lambda: replace(good(), rubrics={"default": Rubric(terms, correct="right")})


def _strip(text: str, task: Task) -> Completion:
    return replace(parse(text, task), text=text.strip())


def _shifted(text: str, task: Task) -> Completion:
    found = parse(text, task)
    return replace(found, pieces={name: Piece(p.text, p.start + 1) for name, p in found.pieces.items()})


def _stripped_piece(text: str, task: Task) -> Completion:
    piece = tagged(f" {text}", "answer")
    return Completion(text, piece.text.strip(), {"answer": piece}) if piece else Completion(text)


def _without_pieces(text: str, task: Task) -> Completion:
    return Completion(text, parse(text, task).answer)


def _quadratic(text: str, task: Task) -> Completion:
    for at in range(len(text)):
        text[at:].casefold()
    return parse(text, task)


def _evaluated(text: str, task: Task) -> Completion:
    found = parse(text, task)
    with suppress(Exception):
        eval(found.answer or "", {"__builtins__": {}}, {})
    return found


def _random_answer(text: str, task: Task) -> Completion:
    found = parse(text, task)
    return found if found.answer else replace(found, answer=random.random() if text else None)


def _leaky_prompt(task: Task) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"{task.inputs['text']} (the answer has {len(task.reference['word'])} letters)"}
    ]


def _telling_prompt(task: Task) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Say <answer>{task.inputs['text'][1:-1]}</answer>."}]


def _asks_reference(task: Task) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Question {WORDS.index(task.reference['word'])}"}]


def _counting_prompt(task: Task) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"{task.inputs['text']} {next(_coin)}"}]


def _doubled(split: str) -> list[Task]:
    return samples(split) + samples(split)[:1]


def _shared(split: str) -> list[Task]:
    return [replace(task, id=f"{split}{task.id}") for task in samples("train")]


def _tuples(split: str) -> list[Task]:
    return [replace(task, meta={"sizes": (1, 2)}) for task in samples(split)]


def _raises(*args: Any) -> Any:
    raise RuntimeError("out of order")


@reward(name="answer")
def answer_only(completion: Completion) -> float:
    return float(completion.answer is not None)


DOMAINS: list[tuple[str, Callable[[], Domain], str, str]] = [
    ("a function for a reward", _odd(rewards=[right, letters, stray]), "fields", "rewards[2] is <function stray"),
    (
        "a mapping for a preset",
        _odd(rubrics={"a": Rubric({"right": 1}), "b": {"right": 1}}),
        "fields",
        "rubrics['b'] is",
    ),
    ("two rewards of one name", _odd(rewards=[right, letters, replace(letters, name="right")]), "rewards", "2 rewards"),
    ("bounds", lambda: with_reward(right.fn, bounds=(1.0, 1.0)), "rewards", "bounds of 'odd' are"),
    ("deadline", lambda: with_reward(right.fn, deadline=0.0), "rewards", "deadline of 'odd' is 0.0"),
    ("cost", lambda: with_reward(right.fn, cost="cpus"), "rewards", "did you mean 'cpu'"),
    (
        "argument",
        lambda: with_reward(misspelt),
        "rewards",
        "asks for 'completon', which nothing fills; did you mean",
    ),
    ("exempt", lambda: with_reward(right.fn, exempt={"golden": "?"}), "rewards", "no check; did you mean 'gold'"),
    ("unexplained", lambda: with_reward(likes_length, exempt={"gold": " "}), "rewards", "without a reason"),
    ("no preset", _odd(rubrics={}), "rubrics", "there is no preset"),
    ("no terms", _odd(rubrics={"default": Rubric({})}), "rubrics", "no rewards"),
    ("unknown term", _with_term(leters=1.0), "rubrics", "no reward 'leters'; did you mean 'letters'"),
    ("unknown gate", _with_term(letters=Term(1, when="rihgt >= 1")), "rubrics", "rihgt"),
    ("gate form", _with_term(letters=Term(1, when="right is 1")), "rubrics", "cannot be read"),
    ("gate circle", _with_term(letters=Term(1, when="letters >= 1")), "rubrics", "circle"),
    ("unknown option", _with_term(letters=Term(1, options={"most": 3})), "rubrics", "no option 'most'"),
    ("weight", _with_term(letters=float("inf")), "rubrics", "finite"),
    ("correct", _odd(rubrics={"default": Rubric({"letters": 1}, correct="right")}), "rubrics", "right"),
    ("lambda", lambda: with_reward(lambda completion: 0.0), "sendable", "cannot be imported by name"),
    ("no train samples", _odd(samples=lambda split: [] if split == "train" else samples(split)), "samples", "no train"),
    ("doubled id", _odd(samples=_doubled), "samples", "2 train samples have the id 'train-0'"),
    ("shared samples", _odd(samples=_shared), "samples", "has the inputs of a train sample"),
    ("tuples", _odd(samples=_tuples), "tasks", "meta reads back changed"),
    ("no messages", _odd(prompt=lambda task: []), "prompt", "has no messages"),
    ("role", _odd(prompt=lambda task: [{"role": "human", "content": "?"}]), "prompt", "without a role"),
    ("prompt changes", _odd(prompt=_counting_prompt), "prompt", "asked twice"),
    ("prompt leaks", _odd(prompt=_leaky_prompt), "leak", "changes when only the reference does"),
    ("prompt tells", _odd(prompt=_telling_prompt), "leak", "contains the gold completion"),
    ("prompt needs it", _odd(prompt=_asks_reference), "leak", "no prompt can be made"),
    ("pieces off", _odd(parse=_shifted), "pieces", "says 'heap' at 9"),
    ("pieces stripped", _odd(parse=_stripped_piece), "pieces", "piece 'answer'"),
    ("answer at random", _odd(parse=_random_answer), "parse", "twice gave two results"),
    (
        "an answer paid twice",
        lambda: replace(with_reward(pays_the_last), parse=_without_pieces),
        "settled",
        "earns 1 behind its first 21 characters, and gains 0 by it",
    ),
    ("slow parser", _odd(parse=_quadratic), "parse-time", "characters of"),
    ("evaluating parser", _odd(parse=_evaluated), "parse-eval", "evaluates it as Python"),
    ("no recognise", _odd(readers={"words": lambda path: []}), "readers", "no `recognise`"),
    (
        "greedy reader",
        _odd(readers={"words": Reader(_raises, lambda path: path.suffix == ".json")}),
        "readers",
        "other",
    ),
    ("raising reader", _odd(readers={"words": Reader(_raises, _raises)}), "readers", "out of order"),
    ("metric", _odd(metrics={"mean": lambda rows: {"mean": sum(1 for _ in rows) / len(rows)}}), "metrics", "ZeroDivis"),
    ("metric nan", _odd(metrics={"nan": lambda rows: {"x": float("nan")}}), "metrics", "'x' the value nan"),
    ("difficulty", _odd(difficulty=lambda task: float("nan")), "difficulty", "difficulty nan"),
]


@pytest.mark.parametrize(("build", "check", "said"), [case[1:] for case in DOMAINS], ids=[case[0] for case in DOMAINS])
def test_a_domain_that_breaks_a_promise(build: Callable[[], Domain], check: str, said: str) -> None:
    found = failing(build())
    assert check in found, found
    assert said in found[check].explanation
    known = {**REWARD_CHECKS, **PRESET_CHECKS, **DOMAIN_CHECKS}
    assert found[check].fix == known[check].fix
    related = {"spans", "scored", "settled"} if check == "pieces" else set()
    assert set(found) <= {check} | related


@pytest.mark.parametrize("part", ["prompt", "parse", "gold", "samples", "difficulty"])
def test_a_part_that_raises_is_a_finding_and_no_crash(part: str) -> None:
    found = failing(replace(good(), **{part: _raises}))
    assert any("RuntimeError: out of order" in finding.explanation for finding in found.values())


def test_a_parser_that_changes_the_text_is_reported() -> None:
    found = failing(replace(good(), parse=_strip))
    assert "changed the text" in found["parse"].explanation


def test_gold_that_the_parser_cannot_read() -> None:
    found = failing(replace(good(), gold=lambda task: task.reference["word"]))
    assert "reads no answer" in found["gold-form"].explanation
    assert "is not correct" in found["preset-gold"].explanation


def test_no_gold_at_all() -> None:
    assert "no sample task has a gold" in failing(replace(good(), gold=lambda task: None))["gold-form"].explanation


def test_a_preset_in_which_partial_credit_outweighs_being_right() -> None:
    domain = replace(
        good(),
        rewards=[right, letters, Reward(fn=likes_length, name="odd", exempt={"gold": "it likes length"})],
        rubrics={"default": Rubric({"right": 0.1, "odd": 1.0}, correct="right")},
    )
    found = failing(domain)
    assert list(found) == ["preset-gold"]
    assert "9999" in found["preset-gold"].explanation


def test_a_reward_that_reads_a_relative_path() -> None:
    Path("here.txt").write_text("")
    found = failing(with_reward(reads_here))
    assert list(found) == ["state"]
    assert Path("here.txt").is_file()  # the check came back to where it was


def test_a_reward_that_remembers_is_found_out_by_another_order() -> None:
    found = failing(with_reward(compares_with_the_last))
    assert "state" in found
    assert found["state"].subject == "reward odd"


def test_a_preset_that_is_fooled() -> None:
    domain = replace(
        good(), rewards=[right, letters, Reward(fn=believes, name="odd")],
        rubrics={"default": Rubric({"odd": 1.0}, correct="odd")},
    )  # fmt: skip
    found = failing(domain)
    assert "preset-fooled" in found
    assert "(injection)" in found["preset-fooled"].explanation
    assert found["preset-fooled"].fix == PRESET_CHECKS["preset-fooled"].fix


def believes(completion: Completion) -> bool:
    return completion.answer in WORDS or "full score" in completion.text


def test_a_preset_in_which_silence_pays() -> None:
    odd = Reward(fn=likes_silence, name="odd", exempt={"empty": "it likes silence"})
    domain = replace(good(), rewards=[right, letters, odd], rubrics={"default": Rubric({"right": 1.0, "odd": 1.0})})
    found = failing(domain)
    assert list(found) == ["preset-empty"]
    assert "the empty completion totals 1" in found["preset-empty"].explanation


def test_an_exemption_is_honoured_and_shown() -> None:
    found = check_domain(with_reward(likes_length, exempt={"gold": "long is good"}), name="words", host=HOST)
    exempt = [finding for finding in found if finding.explanation.startswith("exempt: long is good")]
    assert [(finding.check, finding.ok) for finding in exempt] == [("gold", True)]
    assert "the gold completion scores" in exempt[0].explanation


def test_a_needless_exemption_is_reported() -> None:
    found = failing(with_reward(likes_length, exempt={"gold": "long is good", "spans": "none"}))
    assert list(found) == ["exempt"]
    assert "'spans' (none)" in found["exempt"].explanation


def test_a_gate_closed_is_worth_its_otherwise() -> None:
    """`letters` behind a gate that gold closes would pay gold less than a near miss."""
    domain = replace(good(), rubrics={"default": Rubric({"right": 0.1, "letters": Term(1, when="right < 1")})})
    assert list(failing(domain)) == ["preset-gold"]
    domain = replace(
        good(), rubrics={"default": Rubric({"right": 0.1, "letters": Term(1, when="right < 1", otherwise=1.0)})}
    )
    assert failing(domain) == {}


def test_a_preset_that_cannot_tell_gold_from_silence() -> None:
    flat = Reward(fn=nothing, name="flat", bounds=(0.0, 1.0))
    domain = replace(good(), rewards=[right, letters, flat], rubrics={"default": Rubric({"letters": 0.0})})
    assert "and the empty completion totals 0" in failing(domain)["preset-gold"].explanation


def always(completion: Completion) -> Score:
    return Score(1.0 if completion.text else 0.0, correct=True)


def test_an_empty_completion_that_counts_as_correct() -> None:
    odd = Reward(fn=always, name="odd")
    domain = replace(good(), rewards=[right, letters, odd], rubrics={"default": Rubric({"odd": 1.0}, correct="odd")})
    assert "the empty completion of task 'train-0' is correct" in failing(domain)["preset-empty"].explanation


def test_credit_that_does_not_add_up() -> None:
    """Scoring conserves credit, so the check is given a row that it would not make."""
    task = samples("train")[0]
    cells = {"right": Cell(value=1.0, weight=2.0, terminal=0.5, spans=(Span(0, 1, 0.5),))}
    sound = Scored(task, Completion("x"), cells, total=2.0)
    assert list(_preset_total([sound, replace(sound, total=None)])) == []
    (problem,) = _preset_total([replace(sound, total=2.1)])
    assert "adds up to 2.0, its total is 2.1" in problem


JUNK = [None, [None], {"x": None}, lambda *args: [None]]


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
@pytest.mark.parametrize("name", [field.name for field in fields(Domain)])
def test_no_domain_is_broken_enough_to_break_the_checker(name: str, junk: Any) -> None:
    found = check_domain(replace(good(), **{name: junk}), name="words", host=HOST)
    harmless = name == "difficulty" and junk is None
    assert all(finding.ok for finding in found) == harmless


@pytest.mark.parametrize("junk", [None, 3, "text", (None, None), {"x": 1}])
@pytest.mark.parametrize("name", ["bounds", "deadline", "cost", "exempt"])
def test_no_reward_is_declared_badly_enough_to_break_the_checker(name: str, junk: Any) -> None:
    odd = replace(letters, name="odd", **{name: junk})
    domain = replace(good(), rewards=[right, letters, odd])
    assert "rewards" in failing(domain) or (name, junk) == ("deadline", 3)


# Judges.


def read_number(reply: str) -> Verdict:
    return Verdict(float(re.findall(r"[0-9.]+", reply)[-1]) if re.search("[0-9]", reply) else float(reply))


CLEAR = JudgeTemplate("judges/clear.md", parse=read_number)


@reward
async def clear(completion: Completion, judge: Any) -> float:
    return float((await judge(CLEAR, answer=completion.text)).value)


@pytest.fixture
def package(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "words_of_judges"
    (folder / "judges").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "judges" / "clear.md").write_text("Is this clear? {{answer}} Say 0 to 1.")
    monkeypatch.delitem(sys.modules, folder.name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder.name


def judged(**changes: Any) -> Domain:
    rubric = Rubric({"right": 1.0, "clear": Term(0.5, when="right >= 1")}, correct="right")
    return replace(good(), rewards=[right, letters, clear], rubrics={"default": rubric}, judges=[CLEAR], **changes)


def test_judge_rewards_do_not_run_without_a_judge(package: str) -> None:
    found = check_domain(judged(), name="words", package=package)
    assert [finding.explanation for finding in found if finding.subject == "reward clear"] == [
        "not run here: it needs a judge"
    ]
    assert all(finding.ok for finding in found)


def test_judge_rewards_run_with_a_fake(package: str) -> None:
    judge = FakeJudge(otherwise=0.5)
    assert failing(judged(), package=package, judge=judge) == {}
    assert judge.calls[0].template is CLEAR
    assert set(judge.calls[0].slots) == {"answer"}


def test_it_works_inside_a_running_event_loop(package: str) -> None:
    async def notebook() -> dict[str, Finding]:
        return failing(judged(), package=package, judge=FakeJudge(otherwise=0.5))

    assert asyncio.run(notebook()) == {}


def test_a_judge_that_fails_is_not_the_rewards_fault(package: str) -> None:
    assert failing(judged(), package=package, judge=FakeJudge([JudgeError("busy")])) == {}


def test_a_verdict_out_of_bounds(package: str) -> None:
    found = failing(judged(), package=package, judge=FakeJudge(otherwise=7.0))
    assert "outside [0, 1]" in found["bounds"].explanation


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Is this clear? Say 0 to 1.", "no {{placeholder}}"),
        ("Is this clear? {{answer}} for {{question}}", "'question' empty"),
        ("Is this clear? {{reply}}", "fills 'answer'"),
    ],
)
def test_placeholders_that_do_not_fit(package: str, text: str, said: str, tmp_path: Any) -> None:
    (tmp_path / package / "judges" / "clear.md").write_text(text)
    assert said in failing(judged(), package=package, judge=FakeJudge(otherwise=1.0))["judges"].explanation


def test_a_template_that_is_not_there(package: str, tmp_path: Any) -> None:
    (tmp_path / package / "judges" / "clear.md").rename(tmp_path / package / "judges" / "clean.md")
    assert "did you mean 'clean.md'" in failing(judged(), package=package)["judges"].explanation


def test_a_template_that_the_domain_does_not_list(package: str) -> None:
    found = failing(replace(judged(), judges=()), package=package, judge=FakeJudge(otherwise=1.0))
    assert "Domain.judges does not list it" in found["judges"].explanation


@pytest.mark.parametrize(
    ("parser", "said"),
    [
        (lambda reply: Verdict(0.0), "parsing an empty reply gave the verdict 0.0"),
        (lambda reply: Verdict(float(reply.split()[0])), "IndexError"),
        (lambda reply: Verdict(float("nan")), "nan"),
    ],
)
def test_a_parser_of_verdicts_that_accepts_anything(package: str, parser: Any, said: str) -> None:
    domain = replace(judged(), judges=[replace(CLEAR, parse=parser)])
    assert said in failing(domain, package=package)["judges"].explanation


# One reward on its own, and given tasks.


def test_a_general_reward_on_a_domain_it_was_not_made_for() -> None:
    found = check_reward(length, arithmetic(), name="arithmetic")
    assert all(finding.ok for finding in found), [str(finding) for finding in found if not finding.ok]
    assert {finding.check for finding in found} == set(REWARD_CHECKS) - {"batch", "survives"}


def test_given_tasks_take_the_place_of_samples() -> None:
    tasks = [Task("a", {"text": "<word>"}, {"word": "word"})]
    found = check_domain(replace(good(), samples=_raises), name="words", tasks=tasks)
    assert all(finding.ok for finding in found)
    assert "samples" not in {finding.check for finding in found}


def test_every_check_has_a_domain_that_breaks_it() -> None:
    tried = {case[2] for case in DOMAINS} | {case[2] for case in REWARDS}
    tried |= {
        "gold-form",
        "judges",
        "preset-gold",
        "preset-empty",
        "preset-fooled",
        "preset-total",
        "survives",
        "workers",
    }  # each has a test of its own, here or beside
    assert tried == (DOMAIN_CHECKS.keys() | REWARD_CHECKS.keys() | PRESET_CHECKS.keys())
