"""A panel with a vote in a recipe: asked in `rl`, its disagreement told in the manifest and the card."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("trl")

from chat_server import ChatServer, last_text, score_of
from judge_world import answer_in

from honewise.runs import manifest
from honewise.runs.run import Run
from honewise.stages.runner import run_recipe

RECIPE = """
honewise: 1
name: panel
runs_dir: FOLDER/runs
device: cpu
domain: {use: arithmetic, numbers: 2, largest: 9}
data: {train: {limit: 8}, held_out: {limit: 2}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}}
rubric:
  rewards: {clear: {fn: "clear.py:clear", weight: 0.5}}
judge:
  panel:
    strict: {url: "URL", model: strict, cache: false}
    mild: {url: "URL", model: mild, cache: false}
  vote: {rule: veto, threshold: 0.3}
stages:
  rl: {steps: 2, prompts: 2, samples: 4, trainer: {max_completion_length: 16, learning_rate: 1e-3}}
"""
CLEAR = """
from honewise import Completion, Judge, reward
from honewise.judges import Pointwise

CLEAR = Pointwise("clear.md", package=__name__, guard=False)


@reward
async def clear(completion: Completion, judge: Judge) -> float:
    return (await CLEAR(judge, answer=completion.text)).value
"""


def verdicts(text: str) -> dict[str, int]:
    return {"strict": score_of(text) // 2, "mild": score_of(text)}


def test_a_panel_in_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "clear.py").write_text(CLEAR)
    (tmp_path / "clear.md").write_text("Is {{answer}} clear?")
    with ChatServer(lambda body: f"Score: {verdicts(answer_in(last_text(body)))[body['model']]}") as server:
        path = tmp_path / "panel.yaml"
        path.write_text(RECIPE.replace("URL", server.url).replace("FOLDER", str(tmp_path)))
        run_recipe(path).close()
    run = Run.open(tmp_path / "runs" / "panel")
    for row in run.store.rollouts("rl"):
        strict, mild = (value / 10 for value in verdicts(row.scored.completion.text).values())
        expected = min(strict, mild) if min(strict, mild) < 0.3 else (strict + mild) / 2
        assert row.scored.rewards["clear"].value == pytest.approx(expected)
    assert {call.call.model for call in run.store.calls("rl")} == {"strict", "mild"}
    (report,) = manifest.read(run.path)["panel"]
    assert report["questions"] == report["decided"] == 16
    assert report["failed"] == {"strict": 0, "mild": 0}
    assert report["disagreement"] == pytest.approx(report["apart"]["strict"])
    for step, numbers in run.store.metrics("rl").items():
        texts = {row.scored.completion.text for row in run.store.rollouts("rl", step)}
        apart = [abs(one - other) / 10 for one, other in (verdicts(text).values() for text in texts)]
        assert numbers["judge/disagreement"] == pytest.approx(sum(apart) / len(apart))
    assert len({call.call.question for call in run.store.calls()}) * 2 == len({c.call.key for c in run.store.calls()})
    card = (run.path / "card.md").read_text()
    assert "a panel of strict `strict`, mild `mild`, by veto" in card
    assert "panel: 16 of 16 questions decided" in card
    run.close()
