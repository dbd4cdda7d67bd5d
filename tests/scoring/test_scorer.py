"""What scoring promises: every row in its place, each thing computed once, and the same result however it is done."""

from __future__ import annotations

import os
import random
import textwrap
import time
import types
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trial_domain import build

from honewise import Completion, Reward, Rubric, Scored, Task, Term, UserError, Verdict, hookimpl, reward
from honewise.errors import JudgeError, UnknownName, UnscoredBudgetExceeded
from honewise.host import PluginHost
from honewise.scoring import Row, Scorer, to_json
from honewise.scoring.surroundings import cores

Make = Callable[..., Scorer]
WORDS = ["a", "right a", "aaaa", "", "é🙂a", "עברית a", "a" * 2000, "right"]


def bare(scored: list[Scored]) -> list[Any]:
    """All of it but the times."""
    return [
        replace(row, rewards={name: replace(cell, seconds=0.0) for name, cell in row.rewards.items()}) for row in scored
    ]


def many(log: Path, tasks: int, samples: int) -> list[Row]:
    rng = random.Random(3)
    made = [Task(str(n), {"word": str(n)}, {"log": str(log)}) for n in range(tasks)]
    return [Row(task, f"{rng.choice(WORDS)} {rng.randrange(4)}", group=n) for n, task in enumerate(made)
            for _ in range(samples)]  # fmt: skip


class Judge:
    """Answers by the length of the text, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, template: Any, /, **slots: str) -> Verdict:
        self.asked.append(slots["text"])
        if "silent" in slots["text"]:
            raise JudgeError("no usable verdict in 3 tries")
        return Verdict(len(slots["text"]) / 100)


def test_the_number_of_workers_and_the_order_do_not_matter(scorer: Make, log: Path) -> None:
    rows = many(log, tasks=20, samples=6)
    terms = {"right": 2, "letters": 1, "pieces": 0.5, "batch": 1, "chance": 1, "slow": 1}
    reference = scorer(terms, workers=0).score(rows)
    expected = bare(reference)
    assert [row.completion.text for row in reference] == [row.text for row in rows]
    for workers in (1, 3):
        assert bare(scorer(terms, workers=workers).score(rows)) == expected
    mixed = list(range(len(rows)))
    random.Random(1).shuffle(mixed)
    shuffled = bare(scorer(terms, workers=2).score([rows[index] for index in mixed]))
    assert shuffled == [expected[index] for index in mixed]


def test_chance_follows_the_seed_the_task_and_the_text(scorer: Make, task: Task) -> None:
    rows = [Row(task, "a"), Row(task, "b"), Row(replace(task, id="other"), "a")]
    state = random.getstate()
    first = [row.total for row in scorer({"chance": 1}, workers=0).score(rows)]
    assert random.getstate() == state, "scoring here leaves the caller's random alone"
    assert len(set(first)) == 3
    assert first == [row.total for row in scorer({"chance": 1}).score(rows)]
    assert first != [row.total for row in scorer({"chance": 1}, seed=1).score(rows)]


def test_identical_completions_of_one_task_are_computed_once(scorer: Make, task: Task, log: Path) -> None:
    twin = replace(task, inputs={"word": "another"})
    rows = [Row(task, "right")] * 5 + [Row(replace(task), "right"), Row(task, "b"), Row(twin, "right")]
    each = scorer({"right": 1}, workers=2)
    scored = each.score(rows)
    assert Counter(log.read_text().split()) == {"right": 3}, "an equal task is the same, an unequal of that id is not"
    assert [row.total for row in scored] == [1, 1, 1, 1, 1, 1, 0, 1]
    assert scored[-1].task is twin
    assert scored[5].task is rows[5].task
    stats = each.stats()["right"]
    assert (stats.completions, stats.calls) == (8, 3)


def test_equal_texts_of_different_length_in_tokens_are_two(scorer: Make, task: Task) -> None:
    scored = scorer({"letters": 1}).score([Row(task, "a", tokens=1), Row(task, "a", tokens=2, truncated=True)])
    assert [(row.completion.tokens, row.completion.truncated) for row in scored] == [(1, False), (2, True)]


def test_the_completions_of_a_task_go_to_one_worker(scorer: Make, log: Path) -> None:
    tasks = [Task(str(n), {}, {"log": f"{log}-{n}"}) for n in range(12)]
    rows = [Row(task, "x" * n) for task in tasks for n in range(8)]
    random.Random(0).shuffle(rows)
    scored = scorer({"against_gold": 1}, workers=3).score(rows)
    assert sum(row.total or 0 for row in scored) == 12
    assert [Path(task.reference["log"]).read_text() for task in tasks] == ["gold\n"] * 12


def test_rows_none_one_and_many(scorer: Make, task: Task, log: Path) -> None:
    each = scorer({"right": 1, "letters": 1}, workers=2)
    assert each.score([]) == []
    assert len(each.score([Row(task, "right")])) == 1
    rows = [Row(Task(str(n), {}, {}), f"right {n} aaa") for n in range(10_000)]
    began = time.monotonic()
    scored = each.score(rows)
    assert [row.task.id for row in scored] == [str(n) for n in range(10_000)]
    assert {round(row.total or 0, 9) for row in scored} == {1.3}
    print(f"10,000 rows in {time.monotonic() - began:.1f} s")


@pytest.mark.parametrize(
    "text",
    ["\x00", "\ud800", "a\u0301" * 5, "🙂" * 5, "\u202eabc", "a" * 3_000_000, "line\r\n\u2028next"],
    ids=["nul", "surrogate", "combining", "emoji", "override", "huge", "breaks"],
)
def test_any_text_comes_back_as_it_was(scorer: Make, task: Task, text: str) -> None:
    (row,) = scorer({"letters": 1, "pieces": 1}).score([Row(task, text)])
    assert row.completion.text == text
    assert row.total is not None
    word = text.partition(" ")[0]
    assert row.completion.pieces["word"].text == word
    assert row.completion.answer == [word, 1]
    assert row.completion.segments == ((0, len(text), "assistant"),)


def test_gates_are_decided_in_the_worker_and_a_closed_one_calls_nothing(scorer: Make, task: Task, log: Path) -> None:
    rubric = Rubric({"theirs": Term(1, when="right >= 1", otherwise=-0.5), "right": 0})
    scored = scorer(rubric).score([Row(task, "right"), Row(task, "wrong")])
    assert [row.total for row in scored] == [1, -0.5]
    assert [row.rewards["theirs"].gated for row in scored] == [False, True]
    assert Counter(log.read_text().splitlines()) == {"right": 2, "theirs right": 1}


def test_a_gate_on_an_unscored_reward_cannot_be_decided(scorer: Make, task: Task) -> None:
    (row,) = scorer({"odd": 1, "letters": Term(1, when="odd >= 0")}).score([Row(task, "none")])
    assert "its gate odd >= 0 cannot be decided" in str(row.rewards["letters"].unscored)


def test_a_chain_through_judges_and_processes(scorer: Make, task: Task, log: Path) -> None:
    """right (process) -> judged (loop) -> theirs (process) -> slow (loop)"""
    judge = Judge()
    rubric = Rubric(
        {
            "slow": Term(1, when="theirs >= 1"),
            "theirs": Term(1, when="judged >= 0.1"),
            "judged": Term(1, when="right >= 1"),
            "right": 0,
        }
    )
    each = scorer(rubric, judge=judge)
    scored = each.score([Row(task, "wrong"), Row(task, "right"), Row(task, "right and long")])
    assert [phase.kind for phase in each._phases] == ["pool", "loop", "pool", "loop"]
    assert sorted(judge.asked) == ["right", "right and long"]
    assert [[name for name, cell in row.rewards.items() if cell.gated] for row in scored] == [
        ["slow", "theirs", "judged"],
        ["slow", "theirs"],
        [],
    ]
    assert "theirs right and long" in log.read_text()
    assert "theirs right\n" not in log.read_text()


def test_a_judge_without_a_verdict_is_unscored(scorer: Make, task: Task) -> None:
    scored = scorer({"judged": 1}, judge=Judge()).score([Row(task, "silent"), Row(task, "talks")])
    assert scored[0].rewards["judged"].unscored == "judged: no verdict: no usable verdict in 3 tries"
    assert scored[1].total == 0.05


class Notes:
    """Keeps what progress was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.total, self.count = 0, 0

    def start(self, what: str, total: int | None = None) -> None:
        self.total, self.count = total or 0, 0

    def advance(self, count: int = 1, **numbers: float) -> None:
        self.count += count

    def note(self, line: str) -> None:
        self.notes.append(line)

    def done(self) -> None:
        pass


def test_without_a_judge_its_rewards_are_left_out_and_that_is_said_once(scorer: Make, task: Task) -> None:
    notes = Notes()
    each = scorer({"right": 1, "judged": 5}, progress=notes)
    assert list(each.rubric.terms) == ["right"]
    assert [row.total for row in each.score([Row(task, "right")])] == [1]
    assert notes.notes == ["no judge is configured: judged left out of the rubric"]


@pytest.mark.parametrize(
    "rubric",
    [
        Rubric({"judged": 1}),
        Rubric({"judged": 1, "right": 1}, correct="judged"),
        Rubric({"judged": 1, "right": Term(1, when="judged > 0")}),
    ],
)
def test_a_rubric_that_stands_on_an_absent_judge_is_refused(scorer: Make, rubric: Rubric) -> None:
    with pytest.raises(UserError, match="judge"):
        scorer(rubric)


def test_progress_counts_to_its_total(scorer: Make, log: Path) -> None:
    for workers in (0, 2):
        notes = Notes()
        scorer({"right": 1, "slow": 1}, workers=workers, progress=notes).score(many(log, 5, 4))
        assert notes.total == notes.count > 0


def test_device_rewards_run_here_in_one_batch(
    scorer: Make, task: Task, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setenv("TRIAL_PID", str(os.getpid()))
    scored = scorer({"device": 1, "letters": 1}).score([Row(task, "a"), Row(task, "b")])
    assert [row.rewards["device"].value for row in scored] == [1, 1]
    assert not recwarn.list


def test_what_cannot_be_sent_is_scored_here_with_one_warning(scorer: Make, task: Task) -> None:
    seen: list[str] = []

    def mine(completion: Completion) -> float:
        seen.append(completion.text)
        return 0.5

    notes = Notes()
    each = scorer(
        {"mine": 1, "also": 1, "right": 1},
        rewards={"mine": reward(mine), "also": Reward(fn=lambda completion: 0.25, name="also")},
        progress=notes,
    )
    with pytest.warns(UserWarning, match="also, mine") as caught:
        totals = [each.score([Row(task, "right")])[0].total for _ in range(2)]
    assert totals == [1.75, 1.75]
    assert len(caught) == len(notes.notes) == 1
    assert caught[0].filename == __file__
    assert seen == ["right", "right"]


def test_a_domain_of_this_process_is_scored_here(host: PluginHost, task: Task) -> None:
    module = types.ModuleType("in_process")
    module.register_domains = hookimpl(lambda register: register("here", build))  # type: ignore[attr-defined]
    module.register_domains.__name__ = "register_domains"
    host.register(module, "here")
    for domain in ("here", build()):
        with pytest.warns(UserWarning, match="right"), Scorer(domain, host=host, workers=1) as each:
            assert each.score([Row(task, "right")])[0].correct is True


def test_a_domain_that_workers_cannot_build_is_scored_here(
    host: PluginHost, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()
    made = Scorer("trial", host=host, workers=1, progress=notes)
    made._options = {"broken": True}  # as if only workers lacked something
    with pytest.warns(UserWarning, match="in this process"), made:
        assert made.score([Row(task, "right")])[0].correct is True
    assert "not today" in notes.notes[0]


def test_importable_functions_are_sent(scorer: Make, task: Task) -> None:
    import trial_domain

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        each = scorer({"again": 1}, rewards={"again": trial_domain.letters})
        assert each.score([Row(task, "aa")])[0].total == pytest.approx(0.2)
    assert each._phases[0].kind == "pool"


def test_rewards_from_files_run_in_workers(scorer: Make, task: Task, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        textwrap.dedent(
            """
            import os
            from honewise import reward

            def plain(completion):
                return "a" in completion.text

            @reward(bounds=(0, 1e9))
            def where(completion):
                return float(os.getpid())
            """
        )
    )
    files = {"mine": f"{file}:plain", "where": f"{file}:where"}
    (row,) = scorer({"mine": 1, "where": 1}, reward_files=files).score([Row(task, "a")])
    assert row.rewards["mine"].correct is True
    assert row.rewards["where"].value != os.getpid()


@pytest.mark.parametrize(
    ("source", "place", "message"),
    [
        ("def other(): pass", ":mine", "has no function 'mine'"),
        ("def mime(completion): pass", ":mine", "did you mean 'mime'"),
        ("1 +", ":mine", "does not load"),
        ("import nothing_like_it", ":mine", "nothing_like_it"),
        ("def mine(): return 1", ":mine", "asks for none of task, completion"),
        (
            "def mine(task, completon): return 1",
            ":mine",
            "asks for 'completon', which nothing fills; did you mean",
        ),
        ("def mine(text): return 1", ":mine", "asks for 'text', which nothing fills .* options stand after a "),
        ("def mine(completion, /): return 1", ":mine", "takes 'completion' by place and not by name"),
        ("", "", "must be written as file.py:function"),
        (None, ":mine", "no such file"),
    ],
)
def test_a_faulty_reward_file_is_explained(
    scorer: Make, tmp_path: Path, source: str | None, place: str, message: str
) -> None:
    file = tmp_path / "mine.py"
    if source is not None:
        file.write_text(source)
    with pytest.raises(UserError, match=message):
        scorer({"mine": 1}, reward_files={"mine": f"{file}{place}"})


def test_an_edited_reward_file_is_loaded_again(scorer: Make, task: Task, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    for number, stamp in ((0.25, 1), (0.5, 2)):
        file.write_text(f"def mine(completion): return {number}")
        os.utime(file, (stamp, stamp))
        each = scorer({"mine": 1}, reward_files={"mine": f"{file}:mine"})
        assert each.score([Row(task, "a")])[0].total == number


def test_options_whose_types_cannot_be_read_are_left_alone(scorer: Make, task: Task, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from __future__ import annotations\n"
        "from collections.abc import Iterable\n"
        "def lost(completion, *, limit: Nowhere = 1): return limit == 'long'\n"
        "def many(completion, *, words: Iterable[str] = ()): return set(words) == {'a'}\n"
        "def bare(completion, limit=3): return limit == 3\n"
    )
    terms = {"lost": Term(options={"limit": "long"}), "many": Term(options={"words": ["a"]}), "bare": 1}
    made = scorer(terms, reward_files={name: f"{file}:{name}" for name in terms})
    assert [row.total for row in made.score([Row(task, "a"), Row(task, "b")])] == [3, 3]


def test_options_of_a_reward_reach_it_and_are_checked(scorer: Make, task: Task) -> None:
    term = Term(1, options={"wanted": "b", "bonus": 0.0})
    assert [r.total for r in scorer({"with_option": term}).score([Row(task, "b"), Row(task, "a")])] == [1, 0]
    for options, message in [
        ({}, "needs the option 'wanted'"),
        ({"want": "b"}, "did you mean 'wanted'"),
        ({"wanted": object()}, "plain data"),
        ({"wanted": 3}, "option 'wanted' of reward 'with_option' is 3: Input should be a valid string"),
        (
            {"wanted": "b", "bonus": "much"},
            "option 'bonus' of reward 'with_option' is 'much': Input should be",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            scorer({"with_option": Term(1, options=options)})


def test_unknown_names_are_told_with_the_nearest(host: PluginHost) -> None:
    with pytest.raises(UnknownName, match="did you mean 'letters'"):
        Scorer("trial", rubric=Rubric({"leters": 1}), host=host)
    with pytest.raises(UnknownName, match="did you mean 'default'"):
        Scorer("trial", rubric="defaul", host=host)


def test_the_step_chooses_the_weight(scorer: Make, task: Task) -> None:
    each = scorer({"right": Term({0: 1.0, 10: 3.0, 5: 2.0}), "letters": Term({4: 7.0})})
    totals = [each.score([Row(task, "right")], step=step)[0].rewards["right"].weight for step in (0, 4, 5, 9, 10, 99)]
    assert totals == [1, 1, 2, 2, 3, 3]
    assert each.score([Row(task, "x")], step=0)[0].rewards["letters"].weight == 7, "before the first, the first"


def test_statistics_and_the_budget(scorer: Make, task: Task) -> None:
    each = scorer({"odd": 1, "right": 1, "letters": Term(1, when="right >= 1")})
    scored = each.score([Row(task, text) for text in ("none", "nan", "fine", "right", "fine")])
    stats = each.stats()
    assert (stats["odd"].completions, stats["odd"].calls, sum(stats["odd"].unscored.values())) == (5, 4, 2)
    assert (stats["letters"].gated, stats["letters"].calls) == (4, 1)
    assert 0 < stats["right"].p50 <= stats["right"].p95 <= stats["right"].seconds
    each.check_budget(scored, 0.4)
    with pytest.raises(UnscoredBudgetExceeded, match=r"2 of 5 completions \(40.0%\)") as over:
        each.check_budget(scored, 0.39)
    assert "1  odd: its value is nan" in str(over.value)
    each.check_budget([], 0.0)


def test_unscored_without_weight_costs_no_total(scorer: Make, task: Task) -> None:
    (row,) = scorer({"odd": 0, "right": 1}).score([Row(task, "none right")])
    assert row.total == 1
    (row,) = scorer({"odd": 0, "right": 1}).score([Row(task, "none")])
    assert (row.total, row.rewards["odd"].value) == (0, None)
    assert to_json(row)["rewards"]["odd"]["unscored"].startswith("odd: ")


def test_rows_of_read_only_tasks_travel(scorer: Make) -> None:
    task = Task(
        "t", types.MappingProxyType({"word": ("a", "b")}), types.MappingProxyType({}), prompt=({"role": "user"},)
    )
    assert scorer({"right": 1}).score([Row(task, "right")])[0].task is task


def test_training_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = cores()
    assert alone >= 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(2 * alone))
    assert cores() == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "many")
    assert cores() == alone
