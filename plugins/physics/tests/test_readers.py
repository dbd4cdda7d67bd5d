"""Every reader on hand-made rows of its published layout; what is wrong is told with its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honewise import Domain, Score, Task
from honewise.data import load_tasks
from honewise.errors import DataError
from honewise.scoring import Row, Scorer
from honewise_physics.domain import physics
from honewise_physics.readers import all_readers


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Any], Path]:
    def put(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return put


def load(path: Path, domain: Domain | None = None, **given: Any) -> list[Task]:
    return list(load_tasks(domain or physics(), path=path, **given).tasks)


def gold_is_right(tasks: list[Task], domain: Domain | None = None) -> list[bool | None]:
    domain = domain or physics()
    with Scorer(domain, rubric="answer-only", workers=0) as scorer:
        return [row.correct for row in scorer.score([Row(task, domain.gold(task) or "") for task in tasks])]


SCIBENCH = {
    "problem_text": "How far is it to the star?",
    "answer_latex": " 4.2",
    "answer_number": "4.2",
    "unit": r" $10^{16} \mathrm{~m}$",
    "source": "fund",
    "problemid": " 1.07",
    "comment": " ",
}


def test_scibench(write: Callable[..., Path]) -> None:
    path = write("fund.json", [SCIBENCH, {**SCIBENCH, "unit": "", "solution": "It is 4.2."}])
    first, second = load(path)
    assert first.id == "1.07-0"
    assert "mathrm{~m}" in first.inputs["unit"]
    assert "10^" not in first.inputs["unit"]
    assert first.reference["rule"] == "scibench"
    assert second.reference["solution"] == "It is 4.2."
    assert gold_is_right([first, second]) == [True, True]
    domain = physics()
    with Scorer(domain, rubric="answer-only", workers=0) as scorer:
        said = [
            r"\boxed{4.2 \times 10^{16} m}",
            r"\boxed{4.44 ly}",
            r"\boxed{4.2e16}",
            r"\boxed{4.2 m}",
            r"\boxed{5e16 m}",
        ]
        rows = scorer.score([Row(first, text) for text in said])
    assert [row.correct for row in rows] == [True, True, True, False, False]


def test_a_folder_of_books_keeps_ids_apart(write: Callable[..., Path]) -> None:
    write("books/fund.json", [SCIBENCH])
    path = write("books/thermo.json", [SCIBENCH]).parent
    assert [task.id for task in load(path)] == ["fund-1.07-0", "thermo-1.07-0"]


def test_jeebench(write: Callable[..., Path]) -> None:
    rows = [
        {
            "description": "JEE Adv 2020 Paper 1",
            "index": 1,
            "subject": "phy",
            "type": "MCQ",
            "question": "Which?",
            "gold": "B",
        },
        {
            "description": "x",
            "index": 2,
            "subject": "phy",
            "type": "MCQ(multiple)",
            "question": "Which?",
            "gold": "ACD",
        },
        {"description": "x", "index": 3, "subject": "phy", "type": "Integer", "question": "How many?", "gold": "4"},
        {"description": "x", "index": 4, "subject": "phy", "type": "Numeric", "question": "How much?", "gold": "2.30"},
        {"description": "x", "index": 5, "subject": "chem", "type": "Numeric", "question": "How much?", "gold": "1"},
    ]
    tasks = load(write("dataset.json", rows))
    assert [task.id for task in tasks] == ["JEE Adv 2020 Paper 1-1", "x-2", "x-3", "x-4"]
    assert [task.inputs["several"] for task in tasks] == [False, True, False, False]
    assert gold_is_right(tasks) == [True] * 4
    marks = {reward.name: reward for reward in physics().rewards}["marks"]
    for text, worth in (("AC", 0.5), ("A", 0.25), ("AB", 0), ("A, C, D", 1)):
        score = marks.fn(task=tasks[1], completion=physics().parse(f"<answer>{text}</answer>", tasks[1]))
        assert isinstance(score, Score)
        assert score.value == worth


def test_ugphysics(write: Callable[..., Path]) -> None:
    base = {"domain": "Mechanics", "subject": "Mechanics", "topic": "t", "solution": "s", "unit": "", "level": "x"}
    kinds = [
        ("EX", r"$\frac{m v^2}{2}$", False, ""),
        ("NV", "3.0", False, "m/s"),
        ("EQ", "$F = m a$", False, ""),
        ("TF", "True", False, ""),
        ("MC", "A, C", False, ""),
        ("INT", "[1, 2)", False, ""),
        ("NV, NV", r"\boxed{3}, \boxed{5}", True, "m, s"),
        ("NV", "3, 5", True, "m"),
    ]
    rows = [
        {
            **base,
            "index": n,
            "problem": "p",
            "answer_type": kind,
            "answers": answer,
            "is_multiple_answer": many,
            "unit": unit,
            "language": "EN",
        }
        for n, (kind, answer, many, unit) in enumerate(kinds)
    ]
    rows.append({**rows[0], "index": 99, "language": "ZH", "problem": "多远？"})
    path = write("en.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    tasks = load(path)
    assert len(tasks) == 9
    assert gold_is_right(tasks) == [True] * 9
    assert [each["unit"] for each in tasks[6].reference["answers"]] == ["m", "s"]
    assert [each["unit"] for each in tasks[7].reference["answers"]] == ["m", "m"]
    assert len(load(path, physics(language="zh"))) == 1


def test_physreason(write: Callable[..., Path]) -> None:
    problem = {
        "question_structure": {
            "context": "A cart rolls.",
            "sub_question_1": "How fast?",
            "sub_question_2": "How heavy?",
        },
        "answer": [r"$3 \mathrm{~m}/\mathrm{s}$", "m = 2 kg"],
        "explanation_steps": {
            "sub_question_1": {"step_1": "v = 6 m / 2 s = 3 m/s"},
            "sub_question_2": {"step_1": "It is."},
        },
        "difficulty": "easy",
        "image_captions": "A cart on a plane.",
    }
    path = write("set/cal_1/problem.json", problem).parents[1]
    one, two = load(path)
    assert (one.id, two.id) == ("cal_1-1", "cal_1-2")
    assert "How fast?" in two.inputs["question"]
    assert one.inputs["question"].startswith("A cart rolls.\nA cart on a plane.")
    assert one.reference["solution"] == "v = 6 m / 2 s = 3 m/s"
    assert gold_is_right([one, two]) == [True, True]


@pytest.mark.parametrize(
    "text",
    [
        '"Which, then?",a,b,c,d,B\nWhat?,1,2,3,4,D\n',
        'question,choice0,choice1,choice2,choice3,answer\n"Which, then?",a,b,c,d,1\nWhat?,1,2,3,4,3\n',
    ],
    ids=["letters", "header"],
)
def test_mmlu_in_both_forms(write: Callable[..., Path], text: str) -> None:
    tasks = load(write("college_physics_test.csv", text))
    assert [task.inputs["question"] for task in tasks] == ["Which, then?", "What?"]
    assert [task.reference["answers"][0]["text"] for task in tasks] == ["B", "D"]
    assert tasks[0].meta["subject"] == "college_physics"
    assert gold_is_right(tasks) == [True, True]
    assert "B. b" in physics().prompt(tasks[0])[0]["content"]


def test_mmlu_rows() -> None:
    rows = all_readers()["mmlu"].rows
    assert rows is not None
    (task,) = rows([{"question": "q", "choices": ["a", "b", "c", "d"], "answer": 2, "subject": "astronomy"}])
    assert task.reference["answers"][0]["text"] == "C"


def test_question_and_answer_rows(write: Callable[..., Path]) -> None:
    rows = [
        {"question": "How fast is it?", "answer": "3 m/s", "solution": "v = 6 m / 2 s = 3 m/s", "topic": "motion"},
        {"question": "Why does it fall?", "answer": "Because of gravity, which pulls it."},
        {"question": "What is the energy?", "answer": "$m g h$"},
    ]
    tasks = load(write("phyqa.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert [task.reference["answers"][0]["kind"] for task in tasks] == ["number", "text", "expression"]
    assert gold_is_right(tasks) == [True, True, True]


def test_own_rows(write: Callable[..., Path]) -> None:
    rows = [
        {
            "id": "7",
            "question": "F?",
            "answers": [{"text": "12", "unit": "N"}],
            "solution": "F = 3 kg * 4 m/s^2 = 12 N",
        },
        {"question": "Which?", "answers": [{"text": "B", "kind": "choice"}], "choices": ["1", "2"]},
        {"question": "Both?", "answers": ["2", -2], "rule": "units", "tolerance": 0.01, "symbols": {"x": "m"}},
    ]
    path = write("mine.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    tasks = load(path)
    assert [task.id for task in tasks] == ["7", "1", "2"]
    assert gold_is_right(tasks) == [True] * 3
    again = write(
        "core.jsonl",
        "".join(json.dumps({"id": t.id, "inputs": t.inputs, "reference": t.reference}) + "\n" for t in tasks),
    )
    assert [task.reference for task in load(again)] == [task.reference for task in tasks]


@pytest.mark.parametrize(
    ("name", "format", "content", "said"),
    [
        ("a.json", "scibench", [{**SCIBENCH, "answer_number": ""}], "answer_number"),
        ("a.json", "scibench", [{**SCIBENCH, "problem_text": None}], "problem_text"),
        ("a.json", "jeebench", [{"subject": "phy", "type": "Essay", "question": "q", "gold": "B"}], "Essay"),
        ("a.json", "jeebench", [{"subject": "phy", "type": "MCQ", "question": "q", "gold": "E"}], "A to D"),
        ("a.json", "ugphysics", [{"problem": "p", "answers": "3", "answer_type": "ZZ"}], "ZZ"),
        ("problem.json", "physreason", {"question_structure": {"sub_question_1": "q"}, "answer": []}, "0 answers"),
        ("college_physics_test.csv", "mmlu", "q,a,b,c,d,E\n", "letter from A to D"),
        ("college_physics_test.csv", "mmlu", "q,a,b,c\n", "4 cells"),
        ("a.jsonl", "phyqa", '{"question": "q"}\n', "'answer' is missing"),
        ("a.jsonl", "jsonl", '{"question": "q", "answers": ["1"], "rule": "magic"}\n', "magic"),
        ("a.jsonl", "jsonl", '{"question": "q", "answers": ["1"], "quest": 1}\n', "unknown key 'quest'"),
        ("a.jsonl", "jsonl", '{"question": "q", "answers": [{"kind": "number"}]}\n', "an answer is"),
        ("a.jsonl", "jsonl", '{"question": "q", "answers": ["1"], "tolerance": 2}\n', "tolerance"),
    ],
)
def test_what_is_wrong_is_told(write: Callable[..., Path], name: str, format: str, content: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        load(write(name, content), format=format)
    assert name in str(caught.value)


def test_two_rows_of_one_id_are_refused(write: Callable[..., Path]) -> None:
    row = '{"id": "7", "question": "q", "answers": ["1"]}\n'
    with pytest.raises(DataError, match="already"):
        load(write("a.jsonl", row + row))
