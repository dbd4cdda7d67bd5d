"""CodeUltraFeedback's ratings as completions with totals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from honewise_code_api.ratings import main


def row(**ratings: Any) -> dict[str, Any]:
    return {
        "instruction": f"Sort {len(ratings)}.",
        "preference": "style",
        "responses": [{"model": name, "response": f"{name} sorts.\u2028é"} for name in ratings],
        "annotations": [{"model": name, "rating": rating} for name, rating in ratings.items()],
    }


def test_each_rated_response_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "data.jsonl", tmp_path / "ratings.jsonl"
    data.write_text("\n".join(json.dumps(each) for each in (row(a="1", b="N/A", c=5), row(a="3"))))
    assert main([str(data), "--out", str(out)]) == 0
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(each["task_id"], each["completion"][0], each["total"]) for each in found] == [
        ("0", "a", 1.0), ("0", "c", 5.0), ("1", "a", 3.0),
    ]  # fmt: skip
    assert found[0]["completion"] == "a sorts.\u2028é"
    assert capsys.readouterr().out == f"{out}: 3 rated responses to 2 requests\n"
    assert main([str(data), "--out", str(out), "--limit", "1"]) == 0
    assert len(out.read_text().splitlines()) == 2
    assert [each.name for each in tmp_path.iterdir() if each.suffix != ".jsonl"] == []


def test_faults_are_told_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = tmp_path / "data.jsonl", tmp_path / "ratings.jsonl"
    data.write_text(json.dumps({"instruction": "Sort.", "preference": "style", "chosen": "a", "rejected": "b"}))
    assert main([str(data), "--out", str(out)]) == 2
    assert "no response in it has a rating" in capsys.readouterr().err
    assert main([str(tmp_path / "none.jsonl"), "--out", str(out)]) == 2
    assert "no such file" in capsys.readouterr().err
    data.write_text(json.dumps(row(a="1")))
    assert main([str(data), "--out", str(tmp_path / "no" / "where")]) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert not out.exists()
    out.symlink_to(data)
    before = data.read_bytes()
    assert main([str(data), "--out", str(out)]) == 2
    assert capsys.readouterr().err == (
        f"error: --out {out}: is the data itself, which would be lost; give another name\n"
    )
    assert data.read_bytes() == before
