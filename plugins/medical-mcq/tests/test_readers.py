"""Readers on rows made by hand: every layout, from where options are counted, and what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from honewise import Task, UserError
from honewise.data.formats import recognise
from honewise.errors import DataError
from honewise_medical_mcq.readers import Settings, all_readers
from honewise_medical_mcq.tasks import gold_label, shuffled

READERS = all_readers(Settings())


def mcq(cop: Any, **more: Any) -> dict[str, Any]:
    return {"question": "Which?", "opa": "w", "opb": "x", "opc": "y", "opd": "z", "cop": cop, **more}


def lines(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def sheet(path: Path, *tables: Sequence[Sequence[Any]]) -> Path:
    book = Workbook()
    book.remove(book.active)
    for table in tables:
        made = book.create_sheet()
        for row in table:
            made.append(list(row))
    book.save(path)
    return path


def table(path: Path, rows: Sequence[Sequence[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as text:
        csv.writer(text).writerows(rows)
    return path


def read(path: Path, settings: Settings | None = None) -> list[Task]:
    readers = READERS if settings is None else all_readers(settings)
    return list(readers[recognise(path, readers)].read(path))  # type: ignore[union-attr]


def golds(tasks: Sequence[Task]) -> list[str | None]:
    return [gold_label(task) for task in tasks]


@pytest.mark.parametrize(
    ("numbers", "labels"),
    [
        ([0, 3, 1], ["A", "D", "B"]),
        ([4, 1, 2], ["D", "A", "B"]),
        ([-1, -1], [None, None]),
        ([2, -1, 1], ["C", None, "B"]),
        ([None, 4], [None, "D"]),
        (["4", "1"], ["D", "A"]),
        ([3.0, 0.0], ["D", "A"]),
    ],
)
def test_medmcqa_counts_from_0_or_1(tmp_path: Path, numbers: list[Any], labels: list[str | None]) -> None:
    path = lines(tmp_path / "dev.json", [mcq(number) for number in numbers])
    assert recognise(path, READERS) == "medmcqa"
    assert golds(read(path)) == labels
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert golds(list(READERS["medmcqa"].rows(rows))) == labels  # type: ignore


def test_medmcqa_asks_where_the_numbers_do_not_tell(tmp_path: Path) -> None:
    path = lines(tmp_path / "dev.json", [mcq(1), mcq(2), mcq(3)])
    with pytest.raises(DataError, match=r"only 1, 2, 3, .* counts_from to 0 or 1"):
        read(path)
    assert golds(read(path, Settings(0))) == ["B", "C", "D"]
    assert golds(read(path, Settings(1))) == ["A", "B", "C"]
    with pytest.raises(DataError, match="0 and 4"):
        read(lines(tmp_path / "bad.json", [mcq(0), mcq(4)]))
    with pytest.raises(UserError, match="counts_from is 2"):
        Settings(2)


def test_medmcqa_keeps_what_is_worth_reporting_by(tmp_path: Path) -> None:
    row = mcq(0, id="q-7", exp="Because.", subject_name="Anatomy", topic_name=None, choice_type="multi")
    (task,) = read(lines(tmp_path / "x.jsonl", [row]))
    assert task.id == "q-7"
    assert task.inputs["options"] == ["w", "x", "y", "z"]
    assert task.reference == {"answer": 0, "explanation": "Because."}
    assert task.meta == {"subject": "Anatomy", "topic": "", "choice_type": "multi"}
    assert "Because" not in json.dumps(task.inputs)


def test_one_id_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="already that of"):
        read(lines(tmp_path / "x.jsonl", [mcq(0, id="1"), mcq(0, id="1")]))


def test_medqa_in_both_layouts(tmp_path: Path) -> None:
    options = {"B": "x", "A": "w", "C": "y", "D": "z", "E": "v"}
    own = {"question": "Which?", "answer": "y", "options": options, "meta_info": "step1", "answer_idx": "C"}
    (task,) = read(lines(tmp_path / "US_qbank.jsonl", [own]))
    assert (gold_label(task), task.inputs["options"], task.meta["subject"]) == ("C", ["w", "x", "y", "z", "v"], "step1")
    (without,) = read(lines(tmp_path / "a.jsonl", [{**own, "answer_idx": ""}]))
    assert gold_label(without) == "C"
    hub = {"id": "train-0", "sent1": "Which?", "sent2": "", "ending0": "w", "ending1": "x", "ending2": "y", "label": 1}
    hub_path = lines(tmp_path / "hub.json", [hub, {**hub, "id": "train-1", "label": 2}])
    assert recognise(hub_path, READERS) == "medqa"
    assert [(t.id, gold_label(t)) for t in read(hub_path)] == [("train-0", "B"), ("train-1", "C")]
    with pytest.raises(DataError, match="letters from A"):
        read(lines(tmp_path / "b.jsonl", [{**own, "options": {"A": "w", "C": "y"}}]))


def test_pubmedqa_by_pmid_and_from_the_hub(tmp_path: Path) -> None:
    entry = {"QUESTION": "Does it?", "CONTEXTS": ["We looked.", "It did."], "LABELS": ["AIM", "RESULTS"]}
    entries = {"11": {**entry, "final_decision": "maybe", "LONG_ANSWER": "Perhaps."}, "12": {**entry, "YEAR": 2001}}
    (tmp_path / "ori_pqal.json").write_text(json.dumps(entries))
    (tmp_path / "test_ground_truth.json").write_text(json.dumps({"11": "maybe"}))
    first, second = read(tmp_path)
    assert (first.id, gold_label(first), gold_label(second)) == ("11", "maybe", None)
    assert first.inputs["labels"] == ["yes", "no", "maybe"]
    assert first.inputs["context"] == "AIM: We looked.\nRESULTS: It did."
    assert (first.meta["split"], second.meta["split"]) == ("test", "train")
    assert first.reference["explanation"] == "Perhaps."
    hub = {"pubid": 11, "question": "Does it?", "context": {"contexts": ["It did."], "labels": ["RESULTS"]}}
    (task,) = READERS["pubmedqa"].rows([{**hub, "final_decision": "no", "long_answer": "No."}])  # type: ignore
    assert (task.id, gold_label(task), task.inputs["context"]) == ("11", "no", "RESULTS: It did.")
    with pytest.raises(DataError, match="allowed are yes, no, maybe"):
        list(READERS["pubmedqa"].rows([{**hub, "final_decision": "yeah"}]))  # type: ignore


def test_mmlu_without_a_header(tmp_path: Path) -> None:
    rows = [['What, "exactly"?\nSecond line', "w", "x", "y", "z", "D"], ["چه؟", "یک", "دو", "سه", "چهار", "A"]]
    tasks = read(table(tmp_path / "college_medicine_test.csv", rows))
    assert golds(tasks) == ["D", "A"]
    assert [task.id for task in tasks] == ["0", "1"]
    assert {task.meta["subject"] for task in tasks} == {"college_medicine"}
    assert tasks[0].inputs["question"].endswith("Second line")
    assert [task.inputs["language"] for task in tasks] == ["en", "fa"]
    with pytest.raises(DataError, match="last cell is 'E'"):
        read(table(tmp_path / "bad.csv", [*rows, ["What?", "w", "x", "y", "z", "E"]]))
    with pytest.raises(DataError, match="5 cells where the first row has 6"):
        read(table(tmp_path / "short.csv", [*rows, ["What?", "w", "x", "y", "B"]]))


@pytest.mark.parametrize(
    ("header", "answers", "labels"),
    [
        (["question", "A", "B", "C", "D", "answer"], ["B", "D"], ["B", "D"]),
        (["question", "choice0", "choice1", "choice2", "choice3", "answer"], [0, 3], ["A", "D"]),
        (["question", "choice0", "choice1", "choice2", "choice3", "answer"], [1, 2], ["B", "C"]),
        (["Question", "Choice 1", "Choice 2", "Choice 3", "Choice 4", "Answer"], [4, 1], ["D", "A"]),
        (["answer", "question", "A", "B", "C", "D"], ["C", "A"], ["C", "A"]),
    ],
)
def test_mmlu_with_a_header(tmp_path: Path, header: list[str], answers: list[Any], labels: list[str]) -> None:
    rows = []
    for answer in answers:
        cells = {"question": "What?", "answer": answer}
        texts = iter("wxyz")
        rows.append([cells.get(name.lower()) or (0 if name.lower() == "answer" else next(texts)) for name in header])
    path = table(tmp_path / "physiology_dev.csv", [header, *rows])
    assert recognise(path, READERS) == "mmlu"
    tasks = read(path)
    assert golds(tasks) == labels
    assert tasks[0].meta["subject"] == "physiology"


def test_mmlu_reads_a_folder_of_subjects_and_the_hubs_rows(tmp_path: Path) -> None:
    for name in ("b_test.csv", "a_test.csv"):
        table(tmp_path / name, [["What?", "w", "x", "y", "z", "A"]] * 2)
    tasks = read(tmp_path)
    assert [(task.id, task.meta["subject"]) for task in tasks] == [("0", "a"), ("1", "a"), ("2", "b"), ("3", "b")]
    (task,) = READERS["mmlu"].rows([{"question": "Q?", "subject": "virology", "choices": ["w", "x"], "answer": 1}])  # type: ignore
    assert (gold_label(task), task.meta["subject"]) == ("B", "virology")


FA = ["question", "option1", "option2", "option3", "option4", "answer", "Source"]
KOPP = ["Question", "Option1", "Option2", "Option3", "Option4", "Correct answer", "Topic", "Source"]
GAOKERENA = ["id", "Question", "Option1", "Option2", "Option3", "Option4", "Expression", "Correct_answer"]


def test_the_persian_spreadsheets(tmp_path: Path) -> None:
    rows = [["کدام؟", "یک", "دو", 3, "چهار", 4, "mmlu"], [None] * 7, ["کدام است؟", "یک", "دو", "سه", "چهار", 1, "mmlu"]]
    path = sheet(tmp_path / "mmlu-anatomy_fa.xlsx", [FA, *rows])
    assert recognise(path, READERS) == "gaokerena"
    tasks = read(path)
    assert golds(tasks) == ["D", "A"]
    assert tasks[0].inputs["options"][2] == "3"
    assert (tasks[0].inputs["language"], tasks[0].meta["subject"]) == ("fa", "mmlu-anatomy")
    kopp = [["کدام؟", "یک", "دو", "سه", "چهار", answer, "فیزیولوژی", "آزمون"] for answer in (4, 2)]
    (first, _) = read(sheet(tmp_path / "kopp.xlsx", [KOPP, kopp[0]], [KOPP, kopp[1]]))
    assert (gold_label(first), first.meta["subject"], first.meta["source"]) == ("D", "فیزیولوژی", "آزمون")
    source = [["id-1", "کدام؟", "یک", "دو", "سه", "چهار", "چون", 0], ["id-2", "کدام؟", "یک", "دو", "سه", "چهار", "", 3]]
    first, second = read(sheet(tmp_path / "qa1.xlsx", [GAOKERENA, *source]))
    assert (first.id, golds([first, second]), first.reference["explanation"]) == ("id-1", ["A", "D"], "چون")
    with pytest.raises(DataError, match="counts_from"):
        read(sheet(tmp_path / "few.xlsx", [KOPP, ["کدام؟", "یک", "دو", "سه", "چهار", 2, "", ""]]))
    assert [task.id for task in read(table(tmp_path / "kopp.csv", [KOPP, *kopp]))] == ["0", "1"]


def test_gaokerenas_pairs_hold_questions_too(tmp_path: Path) -> None:
    header = ["id", "prompt", "correct_choice", "prefered_answer", "rejected_answer"]
    prompt = "کدام درست است؟\n[A] : یک\n[B] : دو\n[C] : سه\n[D] : چهار"
    rows = [["7", prompt, "[B]", "...", "..."], ["8", prompt, "د", "...", "..."]]
    first, second = read(sheet(tmp_path / "pairs.xlsx", [header, *rows]))
    assert (first.id, first.inputs["question"], first.inputs["options"][3]) == ("7", "کدام درست است؟", "چهار")
    assert golds([first, second]) == ["B", "D"]
    with pytest.raises(DataError, match=r"no options '\[A\] : text'"):
        read(sheet(tmp_path / "bad.xlsx", [header, ["7", "کدام؟", "A", "", ""]]))


def test_a_broken_workbook_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(DataError, match="not a readable Excel workbook"):
        list(READERS["gaokerena"].read(path))


def test_own_rows(tmp_path: Path) -> None:
    rows = [
        {"question": "Q?", "options": ["w", "x"], "answer": 1},
        {"question": "Q?", "options": {"1": "w", "2": "x"}, "answer": "2", "subject": "s", "context": "c"},
        {"id": "n", "question": "Q?", "options": ["w", "x", "y"], "answer": "y", "explanation": "e", "language": "fr"},
        {"question": "Q?", "options": ["w", "x"]},
    ]
    tasks = read(lines(tmp_path / "x.jsonl", rows))
    assert golds(tasks) == ["B", "2", "C", None]
    assert [task.id for task in tasks] == ["0", "1", "n", "3"]
    assert (tasks[1].inputs["context"], tasks[2].inputs["language"]) == ("c", "fr")
    whole = {"id": "t", "inputs": {"question": "Q?", "options": ["w", "x"], "labels": ["A", "B"]}}
    assert read(lines(tmp_path / "core.jsonl", [whole]))[0].id == "t"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "Q?", "options": ["w", "x"], "answr": 1}, "did you mean|unknown key 'answr'"),
        ({"question": "Q?", "options": "w, x"}, "list of texts"),
        ({"question": "Q?", "options": ["w"]}, "1 options; a question has 2 to 10"),
        ({"question": "Q?", "options": ["w", ""]}, "option B is empty"),
        ({"question": "Q?", "options": ["w", "x"], "answer": 2}, "number 2 from 0"),
        ({"question": "Q?", "options": ["w", "x"], "answer": "v"}, "a label"),
        ({"question": "", "options": ["w", "x"]}, "'question' is empty"),
        ({"question": "Q?", "options": {"a": "w", "A": "x"}}, "no two of them alike"),
    ],
)
def test_own_rows_that_are_refused(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    path = lines(tmp_path / "x.jsonl", [row])
    with pytest.raises(DataError, match=said):
        list(READERS["jsonl"].read(path))


def test_options_are_shuffled_by_seed_and_id_alone(tmp_path: Path) -> None:
    tasks = read(lines(tmp_path / "x.jsonl", [{"question": "Q?", "options": list("wxyz"), "answer": 2}] * 30))
    once, again, other = ([shuffled(task, seed) for task in tasks] for seed in (1, 1, 2))
    assert once == again
    assert once != other
    assert all(task.inputs["options"][task.reference["answer"]] == "y" for task in [*once, *other])
    assert len({gold_label(task) for task in once}) == 4
    assert all(sorted(task.inputs["options"]) == list("wxyz") for task in once)
    assert [task.inputs["options"][at] for task in tasks[:1] for at in once[0].meta["order"]] == once[0].inputs[
        "options"
    ]
    assert shuffled(tasks[0], None) is tasks[0]


def test_nothing_foreign_is_recognised(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", [{"db_id": "x", "question": "q", "query": "SELECT 1"}])
    table(tmp_path / "b.csv", [["question", "query"], ["q", "SELECT 1"]])
    (tmp_path / "c.xlsx").write_bytes(b"no")
    (tmp_path / "d.json").write_text("[[[[")
    for path in (*tmp_path.iterdir(), tmp_path):
        assert not [name for name, reader in READERS.items() if reader.recognise and reader.recognise(path)]
