"""The pair stages, driven by a local endpoint that plays student and teacher. Published bugs are regression tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from honewise import Task, UserError, load_domain, load_judge
from honewise.scoring.preferences import read_pairs
from honewise.testing import FakeEndpoint, FakeJudge
from honewise_medical_mcq.pairing import (
    build_pairs,
    consistent_pairs,
    gaokerena_pairs,
    leaked,
    resolve,
    reveals,
    writer_of,
)
from honewise_medical_mcq.pairing.__main__ import main
from honewise_medical_mcq.pairing.build import Built
from honewise_medical_mcq.parse import parse
from honewise_medical_mcq.tasks import label_text

Messages = Sequence[Mapping[str, Any]]


@pytest.fixture(scope="module")
def questions() -> list[Task]:
    return list(load_domain("medical-mcq").tasks(split="train", limit=3))


def letters(task: Task) -> tuple[str, list[str]]:
    right = "ABCD"[task.reference["answer"]]
    return right, [letter for letter in "ABCD" if letter != right]


def reply(letter: str, thought: str = "It follows from the Ending.") -> str:
    return f"<reasoning>\n{thought}\n</reasoning>\n<answer>\n{letter}\n</answer>"


class Play:
    """Student and teacher at one endpoint, told apart by what they are asked."""

    def __init__(self, task: Task, answers: Sequence[str], teacher: Sequence[str]) -> None:
        self.answers, self.teacher = list(answers), list(teacher)
        self.seen: list[Messages] = []
        self.taught: list[str] = []

    def __call__(self, messages: Messages) -> str:
        text = str(messages[-1]["content"])
        if "You teach reasoning" in text:
            self.taught.append(text)
            return self.teacher.pop(0) if self.teacher else "nothing more"
        self.seen.append(messages)
        return self.answers.pop(0) if self.answers else "I do not know."


@pytest.fixture
def played() -> Callable[..., tuple[Built, Play]]:
    def build(task: Task, answers: Sequence[str], teacher: Sequence[str], **options: Any) -> tuple[Built, Play]:
        play = Play(task, answers, teacher)
        with FakeEndpoint(play) as endpoint:
            settings = {"url": endpoint.url, "model": "any", "cache": False}

            async def go() -> Built:
                with load_judge(settings) as student, load_judge(settings) as tutor:
                    try:
                        return await build_pairs(
                            [task], writer_of(student), tutor, student_name="s", teacher_name="t", **options
                        )
                    finally:
                        await student.aclose()
                        await tutor.aclose()

            return asyncio.run(go()), play

    return build


def test_a_teacher_corrects_and_case_is_kept(questions: list[Task], played: Any, tmp_path: Path) -> None:
    task = questions[0]
    right, wrong = letters(task)
    better = reply(right, "The Ending names the family, as in ORN.")
    out = tmp_path / "pairs.jsonl"
    built, play = played(task, [reply(wrong[0])], [better], out=out)
    assert built.counts == {"paired": 1}
    (pair,) = read_pairs(out)
    assert (pair.chosen, pair.rejected) == (better, reply(wrong[0]))
    assert pair.prompt == tuple(dict(message) for message in task.prompt)
    assert pair.task_id == task.id
    told = dict(pair.provenance)
    assert (told["method"], told["student"], told["teacher"], told["attempt"]) == ("teacher", "s", "t", 0)
    assert len(told["template"]) == 64
    assert play.seen == [[dict(message) for message in task.prompt]]
    assert label_text(task, right) in play.taught[0]


@pytest.mark.parametrize(
    ("first", "why"), [("right", "right"), ("I cannot decide between A and B.", "unreadable"), ("   ", "unreadable")]
)
def test_what_is_no_wrong_answer_makes_no_pair(questions: list[Task], played: Any, first: str, why: str) -> None:
    right, _ = letters(questions[0])
    built, play = played(questions[0], [reply(right) if first == "right" else first], [])
    if first.strip():
        assert built.counts == {why: 1}
    assert not built.pairs
    assert not play.taught


def test_an_unreadable_answer_can_be_taken_as_wrong_if_asked_for(questions: list[Task], played: Any) -> None:
    right, _ = letters(questions[0])
    built, _ = played(questions[0], ["A or B"], [reply(right)], unreadable="rejected")
    assert [pair.rejected for pair in built.pairs] == ["A or B"]


@pytest.mark.parametrize(
    ("thought", "why"),
    [
        ("The student overlooked the ending.", "teacher tells"),
        ("Your answer was wrong: the ending says so.", "teacher tells"),
        ("По окончанию видно семейство болезни.", "script"),
    ],
)
def test_a_text_that_would_teach_something_else(questions: list[Task], played: Any, thought: str, why: str) -> None:
    right, wrong = letters(questions[0])
    built, _ = played(questions[0], [reply(wrong[0])], [reply(right, thought)] * 2)
    assert built.counts == {why: 1}
    built, _ = played(questions[0], [reply(wrong[0])], [reply(right, thought), reply(right)])
    assert built.counts == {"paired": 1}
    assert built.pairs[0].provenance["attempt"] == 1
    built, _ = played(questions[0], [reply(wrong[0])], [reply(wrong[1])] * 2)
    assert built.counts == {"teacher wrong": 1}


def test_the_loop_stops_at_the_first_right_retry(questions: list[Task], played: Any) -> None:
    task = questions[0]
    right, wrong = letters(task)
    answers = [reply(wrong[0], "one"), reply(wrong[1], "two"), reply(right, "Three"), reply(right, "four")]
    built, play = played(task, answers, ["1. Look at the ending.", "1. Look again."], method="retry")
    (pair,) = built.pairs
    assert (pair.chosen, pair.rejected) == (reply(right, "Three"), reply(wrong[0], "one"))
    assert (pair.provenance["round"], len(pair.provenance["hints"])) == (2, 2)
    assert len(play.seen) == 3, "the student was asked on after it was right"
    assert play.answers == [reply(right, "four")]
    assert [message["role"] for message in play.seen[1]] == ["user", "assistant", "user"]
    assert play.seen[2][1]["content"] == reply(wrong[1], "two")
    assert "1. Look again." in play.seen[2][-1]["content"]


def test_a_hint_that_gives_the_answer_away_never_reaches_the_student(questions: list[Task], played: Any) -> None:
    task = questions[0]
    right, wrong = letters(task)
    leaks = [f"1. It should be {right}.", f"1. Think of {label_text(task, right).upper()}."]
    built, play = played(task, [reply(wrong[0]), reply(right)], leaks, method="retry")
    assert built.counts == {"leaked": 1}
    assert len(play.seen) == 1
    built, play = played(task, [reply(wrong[0]), reply(right)], [leaks[0], "1. Look at the ending."], method="retry")
    assert built.counts == {"paired": 1}
    shown = json.dumps([message["content"] for message in play.seen[1][1:]])
    assert leaks[0] not in shown
    assert "Look at the ending" in shown


def test_nothing_solved_in_the_rounds_given(questions: list[Task], played: Any) -> None:
    _, wrong = letters(questions[0])
    built, play = played(questions[0], [reply(wrong[0])] * 9, ["1. No."] * 9, method="retry", rounds=3)
    assert built.counts == {"unsolved": 1}
    assert len(play.seen) == 4


def test_what_leaks(questions: list[Task]) -> None:
    task = questions[0]
    right, wrong = letters(task)
    text = label_text(task, right)
    others = f"{wrong[0]}, {wrong[1]} and {wrong[2]} are wrong."
    for hint in (f"Option {right} fits.", f"Consider ({right}).", f"What about {text}?", others):
        assert leaked(hint, task), hint
    for hint in ("Look at the ending.", f"{wrong[0]} does not fit the ending.", "A creature has a crest and a gill."):
        assert leaked(hint, task) in ("", "gill") or text in hint
    assert reveals("As the critique says, it is B.") == "critique"
    assert not reveals("The ending names the family.")


def test_nothing_is_written_without_pairs(questions: list[Task], played: Any, tmp_path: Path) -> None:
    right, _ = letters(questions[0])
    with pytest.raises(UserError, match="1 right"):
        played(questions[0], [reply(right)], [], out=tmp_path / "p.jsonl")
    assert not (tmp_path / "p.jsonl").exists()
    with pytest.raises(UserError, match="allowed are teacher, retry"):
        played(questions[0], [], [], method="guess")


def test_pairs_that_a_judge_prefers_in_both_orders_are_kept(questions: list[Task], played: Any) -> None:
    right, wrong = letters(questions[0])
    better = reply(right, "The ending names the family.")
    built, _ = played(questions[0], [reply(wrong[0])], [better])

    def kept(answer: Callable[[Messages], str]) -> tuple[int, Mapping[str, int]]:
        with FakeEndpoint(answer) as endpoint:

            async def go() -> tuple[list[Any], Mapping[str, int]]:
                with load_judge({"url": endpoint.url, "model": "any", "cache": False}) as judge:
                    try:
                        return await consistent_pairs(built.pairs, questions, judge, locale="fa")
                    finally:
                        await judge.aclose()

            pairs, dropped = asyncio.run(go())
            assert all("Persian" in str(request["messages"]) for request in endpoint.requests)
            assert len(endpoint.requests) >= 2
        return len(pairs), dropped

    def honest(messages: Messages) -> str:
        text = str(messages[-1]["content"])
        return f"Better: {1 if text.index('names the family') < text.index('It follows') else 2}"

    def turned(messages: Messages) -> str:
        return "Better: 2" if honest(messages).endswith("1") else "Better: 1"

    assert kept(honest)[0] == 1
    assert kept(lambda _: "Better: 1") == (0, {"inconsistent": 1, "reversed": 0, "unjudged": 0})
    assert kept(turned)[1]["reversed"] == 1
    assert kept(lambda _: "no idea")[1]["unjudged"] == 1


def test_a_verifier_resolves_what_has_no_majority(questions: list[Task]) -> None:
    task = questions[0]

    def asked(texts: str, judge: FakeJudge) -> tuple[str | None, bool]:
        return asyncio.run(resolve(task, [parse(text, task) for text in texts], judge))

    assert asked("AAABB", FakeJudge()) == ("A", False)
    judge = FakeJudge(["They differ.\nChoice: 2"])
    assert asked("AABBC", judge) == ("B", True)
    assert "1. Option A" in judge.calls[0].slots["candidates"]
    assert asked("AABBC", FakeJudge(["Choice: 9"])) == (None, True)
    assert asked("AABBC", FakeJudge(["A, surely"])) == (None, True)
    assert asked("?????", FakeJudge()) == (None, False)


def test_the_command_line(questions: list[Task], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def both(messages: Messages) -> str:
        text = str(messages[-1]["content"])
        task = next(task for task in questions if task.inputs["question"] in text)
        right, wrong = letters(task)
        return reply(right, "Good.") if "You teach reasoning" in text else reply(wrong[0], "Bad.")

    with FakeEndpoint(both) as endpoint:
        settings = tmp_path / "judge.yaml"
        settings.write_text(f"judge: {{url: '{endpoint.url}', model: any, cache: false}}\n")
        out = tmp_path / "pairs.jsonl"
        code = main(["--student", str(settings), "--teacher", str(settings), "--limit", "3", "--out", str(out)])
        assert code == 0, capsys.readouterr()
        assert main(["--student", str(tmp_path / "no.yaml"), "--teacher", str(settings), "--out", str(out)]) == 2
        assert main(["--student", str(settings), "--teacher", str(settings), "--out", str(settings)]) == 2
    said = capsys.readouterr()
    assert "is the file that --student reads, which would be lost" in said.err
    assert "3 pairs" in said.out
    assert [pair.task_id for pair in read_pairs(out)] == [task.id for task in questions]


def test_published_pairs_become_pairs(tmp_path: Path) -> None:
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["id", "prompt", "correct_choice", "prefered_answer", "rejected_answer"])
    book.active.append(["7", "کدام؟\n[A] : یک", "A", "because cox", "Because COX"])
    book.active.append(["8", "کدام؟", "A", "", "x"])
    book.save(tmp_path / "pairs.xlsx")
    (pair,) = gaokerena_pairs(tmp_path / "pairs.xlsx")
    assert (pair.task_id, pair.source, pair.provenance["lower_case"]) == ("7", "gaokerena", True)
