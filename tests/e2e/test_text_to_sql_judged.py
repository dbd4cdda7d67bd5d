"""The two text-to-SQL recipes with a judge, from an endpoint on this machine to their numbers, at a fraction of their
size."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
pytest.importorskip("honewise_text_to_sql")

from chat_server import ChatServer, last_text, score_of

from honewise.runs.run import Run
from honewise.stages.runner import run_recipe

TINY = "policy.tiny={layers: 2, width: 64, heads: 2, vocabulary: 300, context: 512}"
SMALL = (
    "device=cpu", TINY, "data.held_out.limit=2", "stages.evaluate.samples=1",
    # Enough to write something between the tags, and far too little to be right.
    "stages.sft={demonstrations: 8, steps: 80, batch: 4, trainer: {learning_rate: 5e-3}}",
)  # fmt: skip


def predicted(text: str) -> str:
    found = re.search(r"(?s)<predicted-([0-9a-f]+)>(.*?)</predicted-\1>", text)
    assert found, "the judge does not see the query"
    return found[2]


def near(body: Any) -> str:
    return f"One condition is wrong.\nScore: {score_of(predicted(last_text(body))) / 5:g}"


def done(name: str, server: ChatServer, folder: Path, *overrides: str) -> Run:
    where = (f"judge.url={server.url}", "judge.model=tiny", f"judge.cache={folder / 'judge.sqlite'}")
    run = run_recipe(f"text-to-sql/{name}", [*where, *SMALL, f"runs_dir={folder / 'runs'}", *overrides])
    run.close()
    return Run.open(run.path)


def test_the_judge_stands_behind_the_execution_gate(tmp_path: Path) -> None:
    small = ("stages.rl.steps=2", "stages.rl.prompts=2", "stages.rl.samples=4",
             "stages.rl.trainer={max_completion_length: 40}")  # fmt: skip
    with ChatServer(near) as server:
        run = done("judge-gate", server, tmp_path, *small)
    rows = run.store.rollouts("rl")
    assert len(rows) == 16
    for row in rows:
        cell = row.scored.rewards["judge"]
        assert cell.gated == (row.scored.rewards["execution"].value == 1)
        if not cell.gated and row.scored.completion.answer is not None:
            assert cell.value == pytest.approx(score_of(row.scored.completion.answer) / 10)
    asked = [predicted(last_text(call.body)) for call in server.calls]
    assert asked, "no query was wrong enough to be asked about"
    assert run.store.judge_spent().calls == len(server.calls)
    assert all("judge/calls" in numbers for numbers in run.store.metrics("rl").values())
    run.close()


@pytest.mark.slow
def test_judge_pairs_are_made_and_learnt_from(tmp_path: Path) -> None:
    small = ("stages.pairs.limit=4", "stages.pairs.samples=4", "stages.pairs.margin=0.0",
             "stages.pairs.max_new_tokens=40", "stages.evaluate.max_new_tokens=40",
             "stages.dpo.batch=2")  # fmt: skip
    with ChatServer(near) as server:
        run = done("judge-dpo", server, tmp_path, *small)
    pairs = [json.loads(line) for line in (run.stage_folder("pairs") / "pairs.jsonl").read_text().splitlines()]
    assert pairs
    for pair in pairs:
        assert pair["scores"][0] > pair["scores"][1]
        assert pair["provenance"]["rule"] == "best-worst"
        assert set(pair["provenance"]["rewards"]) >= {"execution", "judge", "syntax"}
        assert "judges/near_match.md" in json.dumps(pair["provenance"])
    assert run.store.steps("dpo")
    assert {evaluation.name for evaluation in run.store.evaluations()} >= {"sft greedy", "dpo greedy", "dpo t=1"}
    assert server.calls
    run.close()
