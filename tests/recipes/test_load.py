"""Reading recipes: overrides, paths, and every problem at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from honewise.errors import Problem, RecipeError
from honewise.recipes.load import dump_recipe, json_schema, load_recipe, read_recipe
from honewise.recipes.schema import KINDS, EvaluateStage, Recipe, RlStage, Section, SftStage

GOOD = """
honewise: 1
seed: 3
domain: {use: text-to-sql, schema_tokens: 300}
policy: {tiny: {}}
rubric:
  rewards:
    judge: null
    schema_linking: 1.5
    syntax: {weight: {0: 1, 50: 0.5}, when: format >= 1}
stages:
  sft: {steps: 250, trainer: {learning_rate: 1.5e-3, lr_scheduler_type: constant}}
  rl: {trainer: {learning_rate: 1e-4}}
  more-sft: {stage: sft, from: sft, seconds: as rl}
  evaluate: {of: [sft, more-sft, rl], controls: [{of: sft, temperature: 0.3}], differences: [[rl, more-sft]]}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD, "utf-8")
    return path


def problems(path: Path, *overrides: str) -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_a_good_recipe(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file)
    assert recipe.name == "good"
    assert recipe.domain.use == "text-to-sql"
    assert recipe.domain.options == {"schema_tokens": 300}
    assert list(recipe.stages) == ["sft", "rl", "more-sft", "evaluate"]
    sft, rl, more, evaluate = recipe.stages.values()
    assert isinstance(sft, SftStage)
    assert isinstance(rl, RlStage)
    assert isinstance(more, SftStage)
    assert isinstance(evaluate, EvaluateStage)
    assert sft.trainer["learning_rate"] == 1.5e-3
    assert rl.trainer["learning_rate"] == 1e-4
    assert more.from_ == "sft"
    assert more.seconds == "as rl"
    assert recipe.rubric.rewards["judge"] is None
    linking, syntax = recipe.rubric.rewards["schema_linking"], recipe.rubric.rewards["syntax"]
    assert linking is not None
    assert linking.weight == 1.5
    assert syntax is not None
    assert syntax.weight == {0: 1, 50: 0.5}


def test_the_resolved_recipe_is_the_same_recipe(recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file)
    (tmp_path / "resolved.yaml").write_text(dump_recipe(recipe), "utf-8")
    assert read_recipe(tmp_path / "resolved.yaml") == recipe


def test_five_faults_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "five.yaml"
    path.write_text(
        "honewise: 1\nseed: '3'\ndomain: {use: x}\npolicy: {tiny: {layerss: 2}, hub: a/b}\n"
        "stages:\n  sft: {batch: 0, steps: 5}\n  rl: {from: sfft, placement: span-end}\n"
    )
    found = problems(path)
    assert list(found) == [
        "seed", "policy", "policy.tiny.layerss", "stages.sft.batch", "stages.rl.from", "stages.rl.placement",
    ]  # fmt: skip
    assert found["seed"] == "must be a whole number; given: '3' (text); write 3 without quotes or underscores"
    assert found["policy"] == "needs exactly one of tiny, hub, path; given: tiny and hub together"
    assert found["policy.tiny.layerss"] == "unknown key; did you mean 'layers'?"
    assert found["stages.sft.batch"] == "must be greater than 0; given: 0"
    assert found["stages.rl.from"] == "no earlier stage that trains 'sfft'; did you mean 'sft'?"
    assert found["stages.rl.placement"].endswith("'span-end' (text); did you mean 'span_end'?")


def test_problems_of_further_checks_are_told_with_the_others(recipe_file: Path) -> None:
    def check(raw: Any) -> list[Problem]:
        return [Problem("domain.use", f"no domain {raw['domain']['use']!r}")]

    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_file, ["seed=-1"], checks=[check])
    assert [problem.path for problem in caught.value.problems] == ["seed", "domain.use"]


@pytest.mark.parametrize(
    ("override", "path", "said"),
    [
        ("stages.rl.stepss=3", "stages.rl.stepss", "did you mean 'steps'?"),
        ("stages.r1.steps=3", "stages.r1.steps", "no stage 'r1'"),
        ("stage.rl.steps=3", "stage.rl.steps", "did you mean 'stages'?"),
        ("seeed=3", "seeed", "did you mean 'seed'?"),
        ("seed", "", "'seed' is not an override"),
        ("=3", "", "is not an override"),
        ("stages..rl=3", "", "is not an override"),
        ("seed=1_000", "seed", "write 1000 without quotes or underscores"),
        ("seed=[", "seed", "is not a YAML value"),
        ("seed.x=1", "seed.x", "seed is 3, not a mapping"),
        ("stages.evaluate.of.7=rl", "stages.evaluate.of.7", "no place in a list of 3"),
        ("stages.rl.stage=reinforce", "stages.rl", "no such kind of stage"),
        ("stages.extra={steps: 3}", "stages.extra", "needs a key stage"),
        ("stages.base={stage: sft, steps: 3}", "stages.base", "give the stage another name"),
        ("stages.sft.steps=null", "stages.sft", "needs steps or seconds"),
        ("stages.more-sft.seconds=as evaluate", "stages.more-sft.seconds", "no earlier stage 'evaluate'"),
        ("stages.more-sft.seconds=soon", "stages.more-sft.seconds", "must be a number of seconds"),
        ("stages.evaluate.of=[rl, more-sft, rl]", "stages.evaluate.of.2", "stands here twice"),
        ("stages.evaluate.controls=[{of: slf, temperature: 1}]", "stages.evaluate.controls.0.of", "'slf'"),
        ("stages.evaluate.differences=[[rl, rl]]", "stages.evaluate.differences.0", "with itself"),
        ("honewise=2", "honewise", "this version reads: honewise: 1"),
        ("policy.tiny.width=100", "policy.tiny.width", "multiple of twice the heads (12)"),
        ("policy.tiny.kv_heads=4", "policy.tiny.kv_heads", "must divide heads"),
        ("policy={}", "policy", "given: none of them"),
        ("data.train={samples: train, path: good.yaml}", "data.train", "samples and path together"),
        ("data.train={path: ./none.json}", "data.train.path", "no such file or folder"),
        ("rubric.rewards.mine={fn: 'none.py:f'}", "rubric.rewards.mine.fn", "no such file or folder: 'none.py'"),
        ("rubric.rewards.syntax.weight=heavy", "rubric.rewards.syntax.weight", "must be a number or a mapping"),
        (
            "rubric.rewards.syntax.weight={0: 1, 100: x}",
            "rubric.rewards.syntax.weight.100",
            "must be a number; given: 'x'",
        ),
        (
            "rubric.rewards.syntax.weight={late: 1}",
            "rubric.rewards.syntax.weight.late",
            "its key must be a whole number",
        ),
        (
            "rubric.rewards.syntax=lots",
            "rubric.rewards.syntax",
            "must be a number, its weight, null, which drops it, or a",
        ),
        ("stages={}", "stages", "is empty, and needs at least 1; there are: dpo, "),
        ("domain=sums", "domain", "must be a mapping; given: 'sums' (text); write {use: sums}"),
        ("rubric=full", "rubric", "must be a mapping; given: 'full' (text); write {preset: full}"),
        ("rubric.rewards.syntax.clip=[1]", "rubric.rewards.syntax.clip", "at least 2 items"),
        ("rubric.max_unscored=1.5", "rubric.max_unscored", "less than or equal to 1"),
        ("name=a/b", "name", "must be letters, digits, '-' and '_'"),
        ("name=..", "name", "must be letters"),
        ("device=gpu", "device", "not one of the allowed words"),
    ],
)
def test_one_fault_is_told_once_and_where_it_stands(recipe_file: Path, override: str, path: str, said: str) -> None:
    found = problems(recipe_file, override)
    assert list(found) == [path]
    assert said in found[path]


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("stages.rl.steps=200", ("stages", "rl", "steps", 200)),
        ("stages.rl.temperature=1", ("stages", "rl", "temperature", 1.0)),
        ("policy.tiny.layers=2", ("policy", "tiny", "layers", 2)),
        ("data.train.limit=5", ("data", "train", "limit", 5)),
        ("name=other", ("name", "other")),
        ("rubric.preset=off", ("rubric", "preset", "off")),
    ],
)
def test_overrides(recipe_file: Path, override: str, value: tuple[Any, ...]) -> None:
    node: Any = load_recipe(recipe_file, [override] + ["data.train.samples=train"] * ("data" in override))
    for part in value[:-1]:
        node = node[part] if isinstance(node, dict) else getattr(node, part)
    assert node == value[-1]


def test_an_override_takes_the_place_of_its_rivals(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file, ["policy.hub=org/model", "data={train: {samples: train}}", "data.train.path=a/b"])
    assert recipe.policy.hub == "org/model"
    assert recipe.policy.tiny is None
    assert recipe.data.train.path == "a/b"
    assert recipe.data.train.samples is None


def test_overrides_reach_lists_and_schedules(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file, ["rubric.rewards.syntax.weight.50=0.25", "stages.evaluate.of.0=base"])
    syntax, evaluate = recipe.rubric.rewards["syntax"], recipe.stages["evaluate"]
    assert syntax is not None
    assert syntax.weight == {0: 1, 50: 0.25}
    assert isinstance(evaluate, EvaluateStage)
    assert evaluate.of == ["base", "more-sft", "rl"]


def test_paths_are_looked_up_beside_the_recipe_and_then_here(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "mine.jsonl").touch()
    (tmp_path / "beside.jsonl").touch()
    (here / "beside.jsonl").touch()
    (tmp_path / "my rewards.py").touch()
    monkeypatch.chdir(here)
    recipe = load_recipe(
        recipe_file,
        [
            "data.train={path: beside.jsonl}",
            "data.held_out={path: mine.jsonl}",
            "rubric.rewards.mine={fn: 'my rewards.py:f', weight: 0.1}",
        ],
    )
    mine = recipe.rubric.rewards["mine"]
    assert mine is not None
    assert recipe.data.train.path == str(tmp_path / "beside.jsonl")
    assert recipe.data.held_out.path == str(here / "mine.jsonl")
    assert mine.fn == f"{tmp_path / 'my rewards.py'}:f"


def test_a_data_set_of_the_hub_is_left_alone(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file, ["data.train={path: 'org/data:train', format: spider}"])
    assert recipe.data.train.path == "org/data:train"


def test_secrets_do_not_reach_the_resolved_recipe(recipe_file: Path) -> None:
    trainer = "{learning_rate: 1e-3, hub_token: hf_abc, my_api_key: sk-1, eos_token: '<end>'}"
    text = dump_recipe(load_recipe(recipe_file, [f"stages.sft.trainer={trainer}"]))
    assert "hf_abc" not in text
    assert "sk-1" not in text
    assert "<end>" in text


@pytest.mark.parametrize("text", ["", "- a", "3", "text"])
def test_a_recipe_is_a_mapping(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    assert "a recipe is a mapping" in problems(path)[""]


def test_files_that_cannot_be_read(tmp_path: Path, recipe_file: Path) -> None:
    assert "did you mean" in problems(tmp_path / "goood.yaml")[""]
    assert "is a folder" in problems(tmp_path)[""]
    (tmp_path / "latin.yaml").write_bytes("näme: 1".encode("latin-1"))
    assert "not UTF-8" in problems(tmp_path / "latin.yaml")[""]


def _sections(model: type[Section]) -> set[type[Section]]:
    below = [_sections(child) for child in model.__subclasses__()]
    return {model}.union(*below)


def test_every_key_is_documented() -> None:
    sections = _sections(Section)
    assert {Recipe, *KINDS.values()} <= sections
    for model in sections:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_json_schema_knows_a_stage_by_its_name() -> None:
    schema = json_schema()
    assert schema["required"] == ["honewise", "policy", "stages"]
    assert schema["oneOf"] == [{"required": ["domain"]}, {"required": ["domains"]}]
    stages = schema["properties"]["stages"]
    assert set(stages["properties"]) == set(KINDS)
    assert stages["additionalProperties"]["oneOf"][0]["allOf"][1]["required"] == ["stage"]
    assert schema["$defs"]["RlStage"]["properties"]["from"]["description"]
