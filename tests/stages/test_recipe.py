"""Recipes against the plugins and trainers at hand: every fault at once, packaged recipes, the same bytes twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from honewise.errors import RecipeError
from honewise.host import get_host
from honewise.stages.recipe import packaged_recipes, read

ROOT = Path(__file__).parents[2]

GOOD = """
honewise: 1
domain: {use: arithmetic, numbers: 2, largest: 9}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300}}
stages:
  sft: {steps: 2, demonstrations: 4, batch: 2}
  rl: {steps: 2, prompts: 2, samples: 2, trainer: {max_completion_length: 8}}
  evaluate: {samples: 2}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "sums.yaml"
    path.write_text(GOOD)
    return path


def problems(source: Path | str, *overrides: str) -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        read(source, overrides)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_a_good_recipe_is_read(recipe_file: Path) -> None:
    assert read(recipe_file).name == "sums"


def test_faults_of_shape_names_and_arguments_are_told_at_once(tmp_path: Path) -> None:
    pytest.importorskip("trl")
    path = tmp_path / "faulty.yaml"
    path.write_text(
        "honewise: 1\n"
        "plugins: [honewise-nowhere>=1]\n"
        "domain: {use: arithmetic, numbrs: 2}\n"
        "policy: {tiny: {layerss: 2}}\n"
        "rubric: {preset: partiel, rewards: {digit: 2}}\n"
        "stages:\n"
        "  sft: {steps: 5, trainer: {learning_rat: 1e-3, save_steps: 3}}\n"
        "  rl: {estimator: dense-retrun, trainer: {learning_rate: fast}}\n"
    )
    found = problems(path)
    assert list(found) == [
        "plugins.0",
        "domain.numbrs",
        "policy.tiny.layerss",
        "rubric.preset",
        "rubric.rewards.digit",
        "stages.sft.trainer.learning_rat",
        "stages.sft.trainer.save_steps",
        "stages.rl.estimator",
        "stages.rl.trainer.learning_rate",
    ]
    assert "not installed" in found["plugins.0"]
    assert "did you mean 'numbers'?" in found["domain.numbrs"]
    assert "did you mean 'partial'?" in found["rubric.preset"]
    assert "did you mean 'digits'?" in found["rubric.rewards.digit"]
    assert "did you mean 'learning_rate'?" in found["stages.sft.trainer.learning_rat"]
    assert "did you mean 'dense-return'?" in found["stages.rl.estimator"]
    assert "'fast'" in found["stages.rl.trainer.learning_rate"]


@pytest.mark.parametrize(
    ("override", "path", "said"),
    [
        ("domain.use=arithmetik", "domain.use", "did you mean 'arithmetic'?"),
        ("domain.numbers=two", "domain.numbers", "'two'"),
        ("domain.numbers=99", "domain", "must lie between"),
        ("data.train={path: sums.yaml, format: summs}", "data.train.format", "did you mean 'sums'?"),
        ("rubric.correct=digitz", "rubric.correct", "did you mean 'digits'?"),
        ("rubric.rewards={digits: {when: 'form > '}}", "rubric.rewards.digits.when", "form > "),
        ("rubric.rewards={digits: {when: 'form >= 1'}, form: null}", "rubric.rewards.digits.when", "form"),
        ("rubric.rewards={digits: {when: 'form >= 1'}, form: {when: 'digits >= 1'}}", "rubric", "circle"),
        ("rubric.rewards={correct: null}", "rubric", "correct"),
        ("rubric.rewards={digits: {options: {base: 2}}}", "rubric.rewards.digits.options.base", "base"),
        ("rubric.rewards={length: {weight: 0.1, options: {lo: 2}}}", "rubric.rewards.length.options.lo", "'lo'"),
        ("rubric.rewards={digits: {fn: 'sums.yaml:f'}}", "rubric.rewards.digits.fn", "the domain's own reward"),
        ("rubric.rewards={mine: {fn: 'sums.yaml'}}", "rubric.rewards.mine.fn", "file.py:function"),
        ("stages.rl.estimator_options={kapa: loo}", "stages.rl.estimator_options", "did you mean 'kappa'?"),
        ("stages.rl.estimator=x/y", "stages.rl.estimator", "'x/y'"),
    ],
)
def test_one_fault_with_its_place(recipe_file: Path, override: str, path: str, said: str) -> None:
    found = problems(recipe_file, override)
    assert list(found) == [path]
    assert said in found[path]


def test_a_reward_of_the_users_own_file(recipe_file: Path) -> None:
    (recipe_file.parent / "mine.py").write_text("def short(completion): return len(completion.text) < 40\n")
    read(recipe_file, ["rubric.rewards={short: {fn: 'mine.py:short', weight: 0.1}}"])
    found = problems(recipe_file, "rubric.rewards={short: {fn: 'mine.py:shrt', weight: 0.1}}")
    assert "did you mean 'short'?" in found["rubric.rewards.short.fn"]


def test_every_reward_that_is_wrong_is_told(recipe_file: Path) -> None:
    (recipe_file.parent / "mine.py").write_text(
        "def opt(completion, *, limit: int = 200): return 1.0\ndef wrongarg(task, completon): return 1.0\n"
    )
    found = problems(
        recipe_file,
        "rubric.rewards={opt: {fn: 'mine.py:opt', options: {limt: 3, limit: long}}, wrongarg: {fn: 'mine.py:wrongarg'},"
        " gone: {fn: 'mine.py:gon'}, digits: {when: 'nosuch > 1'}, form: {clip: [2, 1]}, diggits: 1}",
    )
    at = "rubric.rewards."
    assert sorted(found) == [at + "diggits", at + "digits.when", at + "form", at + "gone.fn",
                             at + "opt.options.limit", at + "opt.options.limt", at + "wrongarg.fn"]  # fmt: skip
    assert "'long': Input should be a valid integer" in found[at + "opt.options.limit"]
    assert "did you mean 'limit'?" in found[at + "opt.options.limt"]
    assert "asks for 'completon', which nothing fills; did you mean 'completion'?" in found[at + "wrongarg.fn"]


def test_packaged_recipes_are_found_by_name() -> None:
    assert read("arithmetic/quickstart").domain.use == "arithmetic"
    assert read("arithmetic/quickstart", ["name=other"]).name == "other"
    assert "did you mean 'quickstart'?" in problems("arithmetic/quickstrt")[""]
    assert "did you mean 'arithmetic'?" in problems("arithmetics/quickstart")[""]
    assert "no such file" in problems("nowhere/at/all.yaml")[""]


def test_every_packaged_recipe_loads_and_is_an_example_byte_for_byte() -> None:
    host = get_host()
    host.load_all()
    seen = set()
    for domain in host.domains:
        if "/" in domain or host.records[domain].distribution == "":
            continue
        for name, text in packaged_recipes(domain).items():
            example = ROOT / "examples" / domain / f"{name}.yaml"
            assert example.read_text("utf-8") == text, f"{example} differs from the recipe in the package"
            assert text.startswith("# "), f"{domain}/{name} opens without saying what it is for"
            assert domain in {work.use.split("/")[0] for work in read(f"{domain}/{name}").works.values()}
            seen.add(example)
    scale = (ROOT / "examples/scale").glob("*.yaml")  # for a launcher, and parts of recipes
    assert seen == set((ROOT / "examples").glob("*/*.yaml")) - set(scale)
