"""The recipes of code-api for real models, with a tiny one in its place, from the first stage to the last."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
pytest.importorskip("honewise_code_api")

from chat_server import ChatServer, last_text, score_of

from honewise.runs.run import Run
from honewise.stages.runner import run_recipe

SMALL = ("device=cpu", "data.held_out.limit=2", "stages.evaluate.samples=1")
VARIETY = "def variety(completion): return min(1.0, len(set(completion.text)) / 32)\n"
"""What tells the texts of a hardly trained model apart."""
WARM = """
honewise: 1
name: warm
device: cpu
domain: {use: code-api, style: compact}
data: {held_out: {limit: 2}}
policy: {tiny: {layers: 2, width: 64, heads: 2, vocabulary: 300, context: 512}}
stages: {sft: {demonstrations: 8, steps: 100, batch: 4, trainer: {learning_rate: 5.0e-3}}}
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The override that takes a tiny policy which has seen enough to write calls and to end."""
    folder = tmp_path_factory.mktemp("warm")
    (folder / "warm.yaml").write_text(WARM)
    with run_recipe(folder / "warm.yaml", [f"runs_dir={folder / 'runs'}"]) as run:
        return f"policy={{path: {run.stage_folder('sft') / 'policy'}, lora: {{r: 4}}}}"


def done(name: str, folder: Path, *overrides: str) -> Run:
    run = run_recipe(f"code-api/{name}", [*SMALL, f"runs_dir={folder / 'runs'}", *overrides])
    run.close()
    found = Run.open(run.path)
    assert all(stage.state == "done" for stage in found.store.stages())
    return found


RL = ("stages.rl.steps=2", "stages.rl.prompts=2", "stages.rl.samples=4", "stages.rl.trainer.max_completion_length=12",
      "stages.rl.trainer.per_device_train_batch_size=4")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "grpo-multi-gpu"])
def test_recipes_of_rl_take_two_steps(name: str, policy: str, tmp_path: Path) -> None:
    with done(name, tmp_path, policy, "domain.style=compact", *RL) as run:
        assert len(run.store.steps("rl")) == 2
        assert all(row.scored.total is not None for row in run.store.rollouts("rl"))
        assert {"base greedy", "rl greedy"} <= {each.name for each in run.store.evaluations()}


@pytest.mark.slow
def test_pairs_by_rewards_are_learnt_from(policy: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(VARIETY)
    small = (policy, "domain.style=compact", f"rubric.rewards.variety={{fn: '{tmp_path / 'mine.py'}:variety'}}",
             "stages.pairs.samples=4", "stages.pairs.limit=4", "stages.pairs.max_new_tokens=40",
             "stages.pairs.margin=0.0", "stages.best.steps=2", "stages.best.batch=4", "stages.dpo.batch=4",
             "stages.evaluate.max_new_tokens=12",
             "stages.evaluate.controls=[{of: base, temperature: 1.0, best_of: 2}]")  # fmt: skip
    with done("dpo", tmp_path, *small) as run:
        assert (run.stage_folder("pairs") / "pairs.jsonl").read_text().count("\n") <= 4
        assert run.store.steps("dpo")
        assert {"base greedy", "best greedy", "dpo greedy"} <= {each.name for each in run.store.evaluations()}


def shown(body: Any, slot: str) -> str:
    found = re.search(rf"(?s)<{slot}-([0-9a-f]+)>(.*?)</{slot}-\1>", last_text(body))
    assert found, f"the judge does not see the {slot}"
    return found[2]


def rating(body: Any) -> str:
    return f"It could be better.\nScore: {1 + score_of(shown(body, 'reply')) % 5}"


def answers(body: Any) -> str:
    asked = re.findall(r"(?m)^- (\w+): ", last_text(body))
    assert len(asked) == 8
    code = shown(body, "answer")
    return "Answers:\n" + "\n".join(f"{name}: {'yes' if score_of(name + code) % 2 else 'no'}" for name in asked)


def judged(server: ChatServer, folder: Path) -> tuple[str, ...]:
    return (f"judge.url={server.url}", "judge.model=tiny", f"judge.cache={folder / 'judge.sqlite'}")


@pytest.mark.slow
def test_ratings_become_pairs_and_are_learnt_from(policy: str, tmp_path: Path) -> None:
    small = (policy, "stages.pairs.limit=4", "stages.pairs.max_new_tokens=40", "stages.sft.steps=2",
             "stages.sft.batch=4",
             "stages.dpo.batch=4", "stages.evaluate.max_new_tokens=12")  # fmt: skip
    with ChatServer(rating) as server:
        run = done("preferences-dpo", tmp_path, *judged(server, tmp_path), *small)
    with run:
        pairs = [json.loads(line) for line in (run.stage_folder("pairs") / "pairs.jsonl").read_text().splitlines()]
        for pair in pairs:
            worth = [(score_of(pair[side]) % 5) / 4 for side in ("chosen", "rejected")]
            assert pair["scores"] == pytest.approx(worth)
            assert pair["scores"][0] - pair["scores"][1] >= 0.25
            assert pair["provenance"]["rule"] == "max-min"
        assert run.store.steps("sft")
        assert run.store.steps("dpo")


@pytest.mark.slow
def test_ratings_of_the_data_set_serve_without_a_judge(policy: str, tmp_path: Path) -> None:
    from honewise_code_api.ratings import main

    rows = [
        {"instruction": f"Sort {number} things.", "preference": "style",
         "responses": [{"model": name, "response": f"```python\n{name} = {number}\n```"} for name in "abcd"],
         "annotations": [{"model": name, "rating": 1 + at} for at, name in enumerate("abcd")]}
        for number in range(8)
    ]  # fmt: skip
    data, ratings = tmp_path / "data.jsonl", tmp_path / "ratings.jsonl"
    data.write_text("\n".join(json.dumps(row) for row in rows))
    assert main([str(data), "--out", str(ratings)]) == 0
    small = (policy, f"data.train.path={data}", "judge=null", f"stages.sft.of={ratings}", "stages.pairs.by=total",
             f"stages.pairs.sources={{ratings: {{file: {ratings}}}}}", "stages.pairs.margin=1", "stages.sft.steps=2",
             "stages.sft.batch=4", "stages.dpo.batch=4", "stages.evaluate.max_new_tokens=12")  # fmt: skip
    with done("preferences-dpo", tmp_path, *small) as run:
        pairs = [json.loads(line) for line in (run.stage_folder("pairs") / "pairs.jsonl").read_text().splitlines()]
        assert [(pair["scores"], pair["chosen"][10], pair["rejected"][10]) for pair in pairs] == [
            ([4, 1], "d", "a")
        ] * 8
        assert run.store.steps("dpo")


@pytest.mark.slow
def test_a_checklist_becomes_a_reward_model_that_pays_alone(policy: str, tmp_path: Path) -> None:
    small = (policy, "domain.style=compact", "stages.sft.demonstrations=8", "stages.sft.steps=2",
             "stages.sft.batch=4", "stages.pairs.limit=6",
             "stages.pairs.max_new_tokens=40", "stages.pairs.margin=0.0", "stages.api-judge.batch=4")  # fmt: skip
    with ChatServer(answers) as server:
        run = done("reward-model", tmp_path, *judged(server, tmp_path), *small, *RL)
    with run:
        assert server.calls, "nothing that was written could be read as code"
        assert set(run.store.rollouts("pairs")[0].scored.rewards) == {"checklist", "format", "match"}
        rows = run.store.rollouts("rl")
        assert {name for row in rows for name in row.scored.rewards} == {"learned", "match"}
        assert all(row.scored.rewards["learned"].value is not None for row in rows)
        assert {call.stage for call in run.store.calls()} <= {"pairs", "evaluate"}
        assert "held_out/accuracy" in {name for numbers in run.store.metrics("api-judge").values() for name in numbers}
