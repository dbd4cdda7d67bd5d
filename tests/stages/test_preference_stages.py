"""Stages that make and use preferences, on the toy domain: what they keep, what they say, what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic_run import RECIPE, fill, make_run

pytest.importorskip("trl")

from honewise.errors import RecipeError, UserError
from honewise.progress import Silent
from honewise.runs import manifest
from honewise.runs.run import Run
from honewise.scoring.pairs import Pair, prompt_key
from honewise.scoring.preferences import read_pairs
from honewise.stages.compare import compare
from honewise.stages.recipe import read
from honewise.stages.runner import resolve, run_recipe

HEAD = """
honewise: 1
name: likes
device: cpu
domain: {use: arithmetic, numbers: 2, largest: 9}
data: {train: {limit: 40}, held_out: {limit: 5}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}}
"""
WHOLE = (
    HEAD
    + """
rubric: {rewards: {variety: {fn: "mine.py:variety"}, helpful: {model: taste, weight: 0.5}}}
stages:
  sft: {steps: 6, demonstrations: 20, batch: 8, trainer: {learning_rate: 5e-3}}
  pairs:
    samples: 4
    max_new_tokens: 12
    sampled_at_once: 64
    rule: all
    per_task: 2
    sources: {own: {policy: sft}, given: {file: given.jsonl}}
    weights: {human: 3.0}
  taste:
    stage: reward-model
    steps: 4
    batch: 4
    folds: 2
    segments: {by: tokens}
    trainer: {learning_rate: 1e-3}
  best: {stage: sft, from: sft, on: best, of: sft, n: 3, steps: 2, batch: 8}
  critic: {stage: sft, from: sft, on: answers, of: answers.jsonl, steps: 2, batch: 8}
  dpo: {from: sft, pairs: pairs, epochs: 1, batch: 8, target: bt_margin, gamma: 2.0, trainer: {learning_rate: 1e-3}}
  online:
    stage: dpo
    from: sft
    rounds: {count: 2, prompts: 6, samples: 4, max_new_tokens: 12, by: helpful}
    steps: 2
    batch: 4
    trainer: {learning_rate: 1e-3}
  later: {stage: pairs, sources: {rounds: {stage: online}, again: {stage: pairs}}}
  evaluate:
    of: [sft, best, critic, dpo, online]
    samples: 2
    max_new_tokens: 12
    controls:
      - {of: sft, temperature: 1.0, best_of: 4}
      - {of: sft, temperature: 1.0, best_of: 4, by: helpful}
"""
)


VARIETY = "rubric: {rewards: {variety: {fn: 'mine.py:variety'}}}\n"


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def own_reward(folder: Path) -> None:
    """A reward that tells what an untrained policy writes apart."""
    (folder / "mine.py").write_text("def variety(completion): return min(1.0, len(set(completion.text)) / 32)\n")


def files(folder: Path) -> None:
    """Preferences and completions for the first training tasks."""
    own_reward(folder)
    tasks = resolve_tasks(folder)
    given = [
        {"task_id": task.id, "chosen": "<answer>1</answer>", "rejected": "<answer>2</answer>", "source": "human",
         "scores": [1.0, 0.0], "votes": [3, 1]}
        for task in tasks[:4]
    ]  # fmt: skip
    (folder / "given.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    answers = [{"task_id": task.id, "completion": f"<answer>{i}</answer>"} for i, task in enumerate(tasks[:9])]
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))


def resolve_tasks(folder: Path) -> Sequence[Any]:
    plain = folder / "plain.yaml"
    plain.write_text(HEAD + "stages: {sft: {steps: 1}}\n")
    return resolve(plain).train.tasks


@pytest.fixture(scope="module")
def told() -> Told:
    return Told()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, told: Told) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("likes")
    torch.set_num_threads(1)  # many small steps: threads would wait for each other
    files(folder)
    path = folder / "likes.yaml"
    path.write_text(WHOLE + f"runs_dir: {folder / 'runs'}\n")
    with run_recipe(path, progress=told) as run:
        yield run


def pairs(run: Run, stage: str) -> list[Pair]:
    return read_pairs(run.stage_folder(stage) / "pairs.jsonl")


def test_every_stage_is_done(finished: Run) -> None:
    assert [(state.stage, state.kind, state.state) for state in finished.store.stages()] == [
        ("sft", "sft", "done"), ("pairs", "pairs", "done"), ("taste", "reward-model", "done"), ("best", "sft", "done"),
        ("critic", "sft", "done"), ("dpo", "dpo", "done"), ("online", "dpo", "done"), ("later", "pairs", "done"),
        ("evaluate", "evaluate", "done"),
    ]  # fmt: skip
    assert set(finished.policy_of) == {"sft", "best", "critic", "dpo", "online"}
    assert (finished.path / "stages/taste/model/model.safetensors").is_file()


def test_pairs_hold_what_they_were_made_of(finished: Run) -> None:
    made = pairs(finished, "pairs")
    own = [pair for pair in made if pair.source == "own"]
    human = [pair for pair in made if pair.source == "human"]
    assert len(human) == 4
    assert own
    assert len(own) + len(human) == len(made)
    assert {pair.weight for pair in human} == {3.0}
    assert {pair.weight for pair in own} == {1.0}
    assert human[0].provenance == {"votes": [3, 1]}
    stored = {row.scored.completion.text: row.scored for row in finished.store.rollouts("pairs")}
    for pair in own:
        assert pair.scores == (stored[pair.chosen].total, stored[pair.rejected].total)
        assert pair.margin == pytest.approx(pair.scores[0] - pair.scores[1])
        assert pair.margin > 0
        assert pair.provenance["policy"] == "sft"
        assert pair.provenance["rule"] == "all"
        assert set(pair.provenance["rewards"]) == {"correct", "digits", "steps", "form", "variety"}
    counts: dict[str, int] = {}
    for pair in own:
        counts[pair.task_id] = counts.get(pair.task_id, 0) + 1
    assert max(counts.values()) <= 2
    numbers = list(finished.store.metrics("pairs").values())[-1]
    assert numbers["pairs"] == len(made)
    assert numbers["pairs/own"] == len(own)
    assert numbers["pairs/human"] == 4
    assert numbers["tasks"] == 40
    assert numbers["completions"] == 160
    reasons = [value for name, value in numbers.items() if name.startswith("tasks/")]
    assert sum(reasons) == 40
    assert manifest.read(finished.path)["stages"]["pairs"]["pairs"] == len(made)


def test_an_earlier_stage_is_a_source_with_the_scores_that_it_stored(finished: Run) -> None:
    made = pairs(finished, "later")
    assert {pair.source for pair in made} <= {"rounds", "again"}
    from_rounds = [pair for pair in made if pair.source == "rounds"]
    assert from_rounds
    assert all("helpful" in pair.provenance["rewards"] for pair in from_rounds)


def test_rounds_are_stored_as_chunks_and_steps(finished: Run) -> None:
    numbers = finished.store.metrics("online")
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6]
    assert [step for step in numbers if "pairs" in numbers[step]] == [1, 4]
    assert numbers[2]["rewards/margins"] == 0.0
    assert len(finished.store.rollouts("online", 1)) == 24
    for number in (1, 2):
        made = read_pairs(finished.stage_folder("online") / f"round-{number}" / "pairs.jsonl")
        assert len(made) == numbers[1 if number == 1 else 4]["pairs"]
        assert all(pair.provenance["round"] == number for pair in made)
        assert all(pair.provenance["by"] == "helpful" for pair in made)
    first, second = ({row.task_id for row in finished.store.rollouts("online", step)} for step in (1, 4))
    assert not first & second, "others in each round until all were sampled"


def test_the_reward_model_is_judged_and_used(finished: Run, told: Told) -> None:
    last = list(finished.store.metrics("taste").values())[-1]
    made = pairs(finished, "pairs")
    assert last["held_out/pairs"] == len(made), "with folds every pair is held out once"
    assert 0 <= last["held_out/accuracy"] <= 1
    folds = json.loads((finished.path / "stages/taste/model/honewise_folds.json").read_text())
    assert len(folds) == len({prompt_key(pair.prompt) for pair in made})
    assert manifest.read(finished.path)["stages"]["taste"]["held_out"]["accuracy"] == last["held_out/accuracy"]
    assert any("held-out pairs as they are" in line for line in told.lines)
    row = finished.store.rollouts("online", 1)[0]
    cell = row.scored.rewards["helpful"]
    assert cell.value == pytest.approx(cell.terminal + sum(span.value for span in cell.spans))
    assert len(cell.spans) == row.scored.completion.tokens or row.scored.completion.truncated
    assert "helpful" not in finished.store.rollouts("pairs", 1)[0].scored.rewards


def test_what_a_model_wrote_is_shown(finished: Run) -> None:
    """The best of each task by the total, and the critic's answers as they are."""
    rows = finished.store.rollouts("best")
    assert len(rows) == 40 * 3
    assert manifest.read(finished.path)["stages"]["best"]["on"] == "best"
    assert manifest.read(finished.path)["stages"]["critic"]["demonstrations"] == 9
    whole = {row.task_id for row in rows if not row.scored.completion.truncated}
    assert manifest.read(finished.path)["stages"]["best"]["demonstrations"] == len(whole)
    chunks = [step for step, numbers in finished.store.metrics("best").items() if "loss" not in numbers]
    assert finished.store.steps("best") == [*chunks, chunks[-1] + 1, chunks[-1] + 2]
    assert all(row.scored.rewards == {} for row in finished.store.rollouts("critic")), "nobody was asked about them"


def test_the_best_of_n_is_one_of_n(finished: Run) -> None:
    names = {each.name: each for each in finished.store.evaluations("evaluate")}
    by_total, by_model = names["sft t=1 best of 4"], names["sft t=1 best of 4 by helpful"]
    for each in (by_total, by_model):
        assert each.settings["best_of"] == 4
        assert each.settings["samples"] == 1
        assert len(finished.store.rollouts(evaluation=each.id)) == 5
    assert by_model.metrics["reward/helpful"] >= by_total.metrics["reward/helpful"]
    assert by_total.metrics["total"] >= by_model.metrics["total"]
    pairs_of_names = {(pair.one, pair.other) for pair in finished.store.comparisons()}
    assert ("dpo t=1", "sft t=1 best of 4") in pairs_of_names


def test_runs_are_compared_with_their_baselines(finished: Run) -> None:
    found = compare([finished])
    roles = {each.name.partition(": ")[2]: each.role for each in found.measurements}
    assert roles["sft t=1"] == "sft"
    assert roles["best greedy"] == "sft on best of n"
    assert roles["critic t=1"] == "sft on answers"
    assert roles["online t=1"] == roles["dpo greedy"] == "trained"
    assert roles["sft t=1 best of 4 by helpful"] == "best of n"
    gains = {(each.one, each.other, each.metric): each for each in found.gains}
    names = {each.name: each for each in finished.store.evaluations("evaluate")}
    gain = gains["likes: dpo t=1", "likes: critic t=1", "total"]
    expected = names["dpo t=1"].metrics["total"] - names["critic t=1"].metrics["total"]
    assert gain.difference == pytest.approx(expected)
    assert gain.low <= gain.difference <= gain.high
    assert (gain.role, gain.tasks) == ("sft on answers", 5)
    assert ("likes: dpo greedy", "likes: critic t=1", "total") not in gains, "like is compared with like"
    assert ("likes: dpo t=1", "likes: sft t=1 best of 4", "total") in gains
    assert not any("not measured" in note for note in found.notes)
    stored = {(c.one, c.other): c for c in finished.store.comparisons() if c.metric == "total"}
    same = stored["dpo t=1", "sft t=1"]
    ours = gains["likes: dpo t=1", "likes: sft t=1", "total"]
    assert (ours.difference, ours.tasks) == (pytest.approx(same.difference), same.tasks)


def test_runs_are_compared_with_each_other(finished: Run, tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    small = "stages: {sft: {steps: 2, demonstrations: 8}, evaluate: {samples: 2, max_new_tokens: 12}}\n"
    path.write_text(HEAD.replace("likes", "other") + small + f"runs_dir: {tmp_path / 'runs'}\n")
    with run_recipe(path, ["data.held_out.limit=3"]) as other:
        found = compare([finished, other])
        assert {(each.one, each.other) for each in found.between} == {
            ("other: sft greedy", "likes: sft greedy"), ("other: sft t=1", "likes: sft t=1"),
        }  # fmt: skip
        assert {each.metric for each in found.between} == {"correct"}, "totals of other rubrics are other totals"
        assert {each.tasks for each in found.between} == {3}
        assert "the rubrics differ, so totals are compared within a run only" in found.notes
        assert "likes: 3 of its 5 held-out tasks are shared" in found.notes
        across = [each for each in found.gains if each.other.startswith("other")]
        assert across
        assert all(each.metric == "correct" for each in across)
        alone = compare([other])
        assert "not measured in any of these runs: sft on the critic's own answers" in alone.notes
        assert alone.gains == []


def test_a_run_that_is_not_evaluated_takes_no_part(tmp_path: Path) -> None:
    """One that was interrupted early, even with rewards of its own, hides nothing of the others."""
    one, early, two = (
        make_run(tmp_path, recipe=RECIPE.replace("made-by-hand", name).replace("preset: partial", rubric))
        for name, rubric in (("one", "preset: partial"), ("early", "preset: exact"), ("two", "preset: partial"))
    )
    with fill(one), early, fill(two):
        found = compare([one, early, two])
    assert [note for note in found.notes if "held-out tasks" in note] == []
    assert (
        next(note for note in found.notes if note.startswith("early")) == "early: is not evaluated, so it is left out"
    )
    assert {each.tasks for each in found.between} == {4}
    assert {each.metric for each in found.between} == {"correct", "total"}


def recipe_at(folder: Path, stages: str, head: str = HEAD) -> Path:
    path = folder / "likes.yaml"
    path.write_text(head + f"runs_dir: {folder / 'runs'}\n" + stages)
    return path


def test_no_pair_at_all_is_an_error_with_the_reasons_counted(tmp_path: Path) -> None:
    stages = "stages: {pairs: {samples: 2, max_new_tokens: 4, margin: 50, limit: 6}}\n"
    with pytest.raises(UserError) as caught:
        run_recipe(recipe_at(tmp_path, stages))
    assert "no pair came out. " in str(caught.value)
    assert "of 6 tasks: " in str(caught.value)


def test_unscored_completions_never_take_part(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def letters(completion):\n"
        "    return None if len(completion.text) % 2 else len(completion.text) / 100\n"
    )  # fmt: skip
    head = HEAD + "rubric: {max_unscored: 1.0, rewards: {letters: {fn: 'mine.py:letters'}}}\n"
    stages = "stages: {pairs: {samples: 6, max_new_tokens: 12, limit: 8, rule: all}}\n"
    told = Told()
    with run_recipe(recipe_at(tmp_path, stages, head), progress=told) as run:
        made = pairs(run, "pairs")
        assert made
        assert all(len(text) % 2 == 0 for pair in made for text in (pair.chosen, pair.rejected))
        numbers = list(run.store.metrics("pairs").values())[-1]
        assert numbers["completions/unscored"] > 0
    assert any("completions: unscored" in line for line in told.lines)


def test_held_out_prompts_as_pairs_are_said(tmp_path: Path) -> None:
    stages = (
        "stages:\n  sft: {steps: 2, demonstrations: 20}\n  evaluate: {samples: 4, max_new_tokens: 12}\n"
        "  pairs: {sources: {seen: {stage: evaluate}}}\n"
    )
    told = Told()
    own_reward(tmp_path)
    with run_recipe(recipe_at(tmp_path, stages, HEAD + VARIETY), progress=told) as run:
        made = pairs(run, "pairs")
    assert (
        f"pairs: {len(made)} of {len(made)} pairs are of held-out prompts; what learns from them cannot be measured"
        in "\n".join(told.lines)
    )


def test_prompts_that_fill_the_context_are_left_out_and_said(tmp_path: Path) -> None:
    """Sums of up to twenty numbers, of which some prompts leave no room in 64 tokens."""
    data = tmp_path / "sums.jsonl"
    data.write_text("".join(json.dumps({"expression": " + ".join(["1"] * n)}) + "\n" for n in (2, 3, 20)))
    head = HEAD.replace("context: 128", "context: 64").replace("train: {limit: 40}", f"train: {{path: {data}}}")
    told = Told()
    own_reward(tmp_path)
    stages = "stages: {pairs: {samples: 6, max_new_tokens: 8, by: variety}}\n"
    with run_recipe(recipe_at(tmp_path, stages, head + VARIETY), progress=told) as run:
        assert {row.task_id for row in run.store.rollouts("pairs")} == {"0", "1"}
    assert "1 of 3 prompts fill the model's context of 64 tokens and are left out" in told.lines


FAULTY: list[tuple[str, dict[str, str]]] = [
    ("pairs: {sources: {a: {policy: stf}, b: {stage: sft, file: given.jsonl}, c: {file: nowhere.jsonl}}}", {
        "stages.pairs.sources.a.policy": "did you mean 'sft'?",
        "stages.pairs.sources.b": "exactly one of policy, stage, file; given: stage and file",
        "stages.pairs.sources.b.stage": "stores completions",
        "stages.pairs.sources.c.file": "no such file or folder: 'nowhere.jsonl'",
    }),
    ("pairs: {rule: bestworst, by: corect, safe: 'form >> 1', per_task: 2, margin: -1}", {
        "stages.pairs.rule": "did you mean 'best-worst'?",
        "stages.pairs.by": "did you mean 'correct'?",
        "stages.pairs.safe": "cannot be read",
        "stages.pairs.per_task": "is for rule: all",
        "stages.pairs.margin": "greater than or equal to 0",
    }),
    ("dpo: {losses: [sigmiod], target: bt_margin, steps: 2, epochs: 1}", {
        "stages.dpo.pairs": "no `pairs` stage before it",
        "stages.dpo.losses": "did you mean 'sigmoid'?",
        "stages.dpo.target": "needs one of the losses sigmoid, sigmoid_norm",
        "stages.dpo.gamma": "is missing",
        "stages.dpo.epochs": "needs one of steps and epochs",
    }),
    ("dpo: {pairs: given.jsonl, losses: nca_pair, divergence: js, clamp: 5, trainer: {beta: 1, learning_rat: 2}}", {
        "stages.dpo.divergence": "has reverse_kl only",
        "stages.dpo.clamp": "alone; given: nca_pair",
        "stages.dpo.trainer.beta": "set the stage's `beta`",
        "stages.dpo.trainer.learning_rat": "did you mean 'learning_rate'?",
    }),
    ("dpo: {pairs: given.jsonl, rounds: 3, alpha: 0.5, losses: exo_pair}", {
        "stages.dpo.pairs": "needs one of pairs and rounds",
        "stages.dpo.steps": "so many steps follow each round",
        "stages.dpo.alpha": "is for divergence: alpha",
        "stages.dpo.label_smoothing": "'exo_pair' needs one above 0",
    }),
    ("taste: {stage: reward-model, pairs: given.jsonl, loss: cost, margin: 1, trunk: {hub: a/b, path: given.jsonl}}", {
        "stages.taste.trunk": "exactly one of hub, path",
        "stages.taste.margin": "is not for loss: cost",
    }),
    ("taste: {stage: reward-model, pairs: given.jsonl, folds: 2, held_out: 0.1, segments: {by: entropy}}", {
        "stages.taste.held_out": "needs one of folds and held_out",
        "stages.taste.segments.threshold": "is missing",
    }),
    ("more: {stage: sft, of: base, n: 3, steps: 1}", {
        "stages.more.of": "set on: answers, best or above",
        "stages.more.n": "set on: answers, best or above",
    }),
    ("more: {stage: sft, on: best, of: stf, n: 1, steps: 1}", {
        "stages.more.of": "did you mean 'sft'?",
        "stages.more.n": "the best of 1 is no choice",
    }),
    ("evaluate: {controls: [{of: sft, temperature: 0, best_of: 4, samples: 2, by: digitz}]}", {
        "stages.evaluate.controls.0.temperature": "0 is greedy",
        "stages.evaluate.controls.0.samples": "best_of says how many",
        "stages.evaluate.controls.0.by": "did you mean 'digits'?",
    }),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stage", "said"), FAULTY, ids=lambda value: value.split(":")[0] if isinstance(value, str) else ""
)
def test_every_fault_of_a_recipe_at_once(stage: str, said: dict[str, str], tmp_path: Path) -> None:
    files(tmp_path)
    path = recipe_at(tmp_path, f"stages:\n  sft: {{steps: 2, demonstrations: 4}}\n  {stage}\n")
    with pytest.raises(RecipeError) as caught:
        read(path)
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert set(found) == set(said)
    for where, words in said.items():
        assert words in found[where], where


@pytest.mark.parametrize(
    ("rewards", "said"),
    [
        ("{helpful: {model: tste}}", {"rubric.rewards.helpful.model": "did you mean 'taste'?"}),
        ("{helpful: {model: taste, fn: 'a.py:f'}}", {"rubric.rewards.helpful": "one of fn and model",
                                                     "rubric.rewards.helpful.fn": "no such file"}),
        ("{digits: {model: taste}}", {"rubric.rewards.digits.model": "the domain's own reward"}),
        ("{digits: {cross_fit: true}}", {"rubric.rewards.digits.cross_fit": "is for a reward model"}),
        ("{helpful: {model: taste, cross_fit: true, segments: true}}", {
            "rubric.rewards.helpful.cross_fit": "needs folds in stages.taste",
            "rubric.rewards.helpful.segments": "needs segments in stages.taste",
        }),
        ("{helpful: {model: taste}}, correct: helpful", {"rubric": "which gives a number and no verdict"}),
        ("{digits: {stages: [taste, sfft]}}", {"rubric.rewards.digits.stages": "no stage 'sfft'; did you mean 'sft'?"}),
    ],
)  # fmt: skip
def test_faults_of_reward_models_in_the_rubric(rewards: str, said: dict[str, str], tmp_path: Path) -> None:
    files(tmp_path)
    stages = "stages:\n  sft: {steps: 2, demonstrations: 4}\n  taste: {stage: reward-model, pairs: given.jsonl}\n"
    with pytest.raises(RecipeError) as caught:
        read(recipe_at(tmp_path, stages, HEAD + f"rubric: {{rewards: {rewards}}}\n"))
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert set(found) == set(said)
    for where, words in said.items():
        assert words in found[where], where


def test_a_reward_may_be_for_some_stages_alone(tmp_path: Path) -> None:
    files(tmp_path)
    head = HEAD + "rubric: {rewards: {variety: {fn: 'mine.py:variety', stages: [pairs]}, digits: {stages: [again]}}}\n"
    stages = (
        "stages:\n  sft: {steps: 2, demonstrations: 20, batch: 8}\n"
        "  pairs: {samples: 4, max_new_tokens: 12, limit: 4, by: variety}\n"
        "  again: {stage: pairs, samples: 4, max_new_tokens: 12, limit: 4, ties: keep}\n"
    )
    path = recipe_at(tmp_path, stages, head)
    with run_recipe(path, [f"runs_dir={tmp_path / 'runs'}"]) as run:
        named = {name: set(run.store.rollouts(name)[0].scored.rewards) for name in ("pairs", "again")}
        assert "variety" in named["pairs"]
        assert named["again"] == named["pairs"] - {"variety"} | {"digits"}
    with pytest.raises(RecipeError) as caught:
        read(path, ["stages.again.by=variety"])
    (problem,) = caught.value.problems
    assert problem.path == "stages.again.by"
    assert problem.message == "'variety' is for other stages (its stages in rubric.rewards)"


def test_a_stage_that_would_have_no_rubric_yet_is_told_before_anything_runs(tmp_path: Path) -> None:
    files(tmp_path)
    head = HEAD + (
        "rubric: {preset: answer-only, rewards: {correct: {when: 'helpful >= 0'}, helpful: {model: taste}}}\n"
    )
    stages = "stages:\n  pairs: {samples: 2}\n  taste: {stage: reward-model}\n  evaluate: {of: [base]}\n"
    with pytest.raises(RecipeError) as caught:
        resolve(recipe_at(tmp_path, stages, head))
    (problem,) = caught.value.problems
    assert problem.path == "stages.pairs"
    assert "scored without helpful, which is trained later" in problem.message
    stages = stages.replace("pairs: {samples: 2}", "pairs: {samples: 2, by: helpful}")
    with pytest.raises(RecipeError) as caught:
        read(recipe_at(tmp_path, stages, HEAD + "rubric: {rewards: {helpful: {model: taste}}}\n"))
    assert [str(problem) for problem in caught.value.problems] == [
        "stages.pairs.by: the model of 'helpful' is trained later"
    ]


def test_a_reward_model_by_its_folder(finished: Run, tmp_path: Path) -> None:
    place = finished.path / "stages/taste/model"
    head = HEAD + f"rubric: {{rewards: {{helpful: {{model: {place}, segments: false, cross_fit: true}}}}}}\n"
    with run_recipe(recipe_at(tmp_path, "stages: {evaluate: {of: [base], samples: 0}}\n", head)) as run:
        rows = [row.scored for row in run.store.rollouts()]
    assert all(row.rewards["helpful"].value is not None for row in rows)
    assert all(row.rewards["helpful"].spans == () for row in rows)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be loaded"):
        run_recipe(
            recipe_at(tmp_path, "stages: {evaluate: {of: [base], samples: 0}}\n",
                      HEAD + "rubric: {rewards: {helpful: {model: empty}}}\n"),
            ["name=empty"],
        )  # fmt: skip
