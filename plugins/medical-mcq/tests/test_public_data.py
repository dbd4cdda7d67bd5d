"""The readers on slices of the published data sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from honewise.data.formats import recognise
from honewise.testing import data_slice
from honewise_medical_mcq.readers import Settings, all_readers
from honewise_medical_mcq.tasks import gold_label

READERS = all_readers(Settings())
SLICES = {
    "medmcqa": ("medmcqa", 200),
    "medqa_us_4opt": ("medqa", 150),
    "pubmedqa": ("pubmedqa", 100),
    "mmlu_med_en": ("mmlu", 225),
    "mmlu_med_ar": ("mmlu", 160),
}


@pytest.mark.parametrize("name", SLICES)
def test_every_row_becomes_a_task_with_its_answer(name: str) -> None:
    path = data_slice(f"medical_mcq/{name}")
    form, most = SLICES[name]
    assert recognise(path, READERS) == form
    tasks = list(READERS[form].read(path))
    assert 0 < len(tasks) <= most
    assert all(gold_label(task) for task in tasks)
    assert len({task.id for task in tasks}) == len(tasks)
    expected = "ar" if name == "mmlu_med_ar" else "en"
    assert sum(task.inputs["language"] == expected for task in tasks) / len(tasks) > 0.97


def test_medmcqas_numbers_agree_with_what_explanations_say() -> None:
    """Explanations often begin with "Ans-a": a check on where the numbers begin that the reader cannot see."""
    path = data_slice("medical_mcq/medmcqa") / "dev.json"
    tasks = {task.id: task for task in READERS["medmcqa"].read(path)}
    said = agreed = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        explanation = (row["exp"] or "").lower().replace(" ", "").replace("(", "")
        for opening in ("ans-", "ans.", "ansis", "answeris", "ans:"):
            if explanation.startswith(opening) and explanation[len(opening) : len(opening) + 1] in "abcd":
                letter = explanation[len(opening)]
                if not explanation[len(opening) + 1 : len(opening) + 2].isalpha():
                    said += 1
                    agreed += gold_label(tasks[row["id"]]) == letter.upper()
    assert said >= 5
    assert agreed / said > 0.9


def test_the_languages_of_mmlu_stand_row_beside_row() -> None:
    english, arabic = (data_slice(f"medical_mcq/mmlu_med_{code}") for code in ("en", "ar"))
    compared = 0
    for path in sorted(Path(arabic).glob("*.csv")):
        ours = list(READERS["mmlu"].read(path))
        theirs = list(READERS["mmlu"].read(Path(english) / path.name))
        for one, other in zip(ours, theirs, strict=False):
            compared += gold_label(one) == gold_label(other)
    assert compared > 100
