"""The quickstart, and dpo on a teacher's pairs, from the command line to the report, at a fraction of their size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from honewise import load_domain

pytest.importorskip("trl")

SMALL = "policy={tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 768}}"


def run(folder: Path, recipe: str, *overrides: str) -> str:
    command = [sys.executable, "-m", "honewise", "run", recipe, *overrides]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ}, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_quickstart_ends_with_numbers_and_a_report(tmp_path: Path) -> None:
    told = run(
        tmp_path,
        "medical-mcq/quickstart",
        SMALL,
        "data.held_out.limit=6",
        "stages.sft.steps=3",
        "stages.rl.steps=2",
        "stages.rl.prompts=2",
        "stages.rl.samples=4",
        "stages.rl.trainer={max_completion_length: 16}",
        "stages.evaluate.samples=2",
    )
    page = (tmp_path / "runs" / "medical-quickstart" / "report.html").read_text(encoding="utf-8")
    assert "more-sft" in page
    assert "quality" in told, "that the judge was left out must be said"


def test_dpo_trains_on_a_teachers_pairs(tmp_path: Path) -> None:
    tasks = load_domain("medical-mcq", world="wide").tasks(split="train", limit=4)
    with (tmp_path / "pairs.jsonl").open("w", encoding="utf-8") as out:
        for task in tasks:
            right = "ABCDE"[task.reference["answer"]]
            wrong = "B" if right == "A" else "A"
            texts = [f"<reasoning>\nIt follows.\n</reasoning>\n<answer>\n{each}\n</answer>" for each in (right, wrong)]
            line = {"task_id": task.id, "chosen": texts[0], "rejected": texts[1], "prompt": list(task.prompt)}
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    (tmp_path / "mine.yaml").write_text(
        "honewise: 1\nname: medical-dpo\ndevice: cpu\ndomain: {use: medical-mcq, style: full, world: wide}\n"
        "data: {held_out: {samples: held-out, limit: 2}}\n"
        "policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 1024}}\n"
        "rubric: {preset: reasoning}\n"
        "stages:\n  dpo: {from: base, pairs: pairs.jsonl, steps: 2, batch: 2}\n"
        "  evaluate: {of: [base, dpo], samples: 0, max_new_tokens: 8}\n"
    )
    run(tmp_path, "mine.yaml")
    assert (tmp_path / "runs" / "medical-dpo" / "report.html").exists()
