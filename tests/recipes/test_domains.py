"""Recipes with several domains: where data and rubrics stand, what is refused, and that they come back as written."""

from __future__ import annotations

from pathlib import Path

import pytest

from honewise.errors import RecipeError
from honewise.recipes.load import dump_recipe, load_recipe, read_recipe
from honewise.stages.recipe import read

MIXED = """
honewise: 1
domains:
  two:
    {use: arithmetic, numbers: 2, weight: 2, data: {train: {limit: 9}}, rubric: {preset: partial, rewards: {form: 1}}}
  three: {use: arithmetic, reasoning: false}
policy: {tiny: {layers: 1, width: 32, heads: 2}}
rubric: {max_unscored: 0.1}
stages:
  rl: {steps: 2, prompts: 2, samples: 2, scale: domain}
  evaluate: {samples: 2, controls: [{of: rl, temperature: 1, best_of: 2, by: two/form}]}
"""


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED)
    return path


def problems(source: Path, *overrides: str) -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        read(source, overrides)
    found: dict[str, str] = {}
    for problem in caught.value.problems:
        found[problem.path] = f"{found.get(problem.path, '')} {problem.message}"
    return found


def test_each_domain_has_its_own(mixed: Path) -> None:
    recipe = read(mixed)
    works = recipe.works
    assert list(works) == ["two", "three"]
    assert works["two"].options == {"numbers": 2}
    assert works["three"].options == {"reasoning": False}
    assert (works["two"].data.train.limit, works["three"].data.train.samples) == (9, "train")
    assert works["two"].rubric.preset == "partial"
    assert recipe.mixture == {"two": 2.0, "three": 1.0}
    assert recipe.uses == "two (arithmetic), three (arithmetic)"


def test_one_domain_is_as_it_was(mixed: Path) -> None:
    mixed.write_text(MIXED[: MIXED.index("domains:")] + "domain: {use: arithmetic, numbers: 2}\n"
                     + MIXED[MIXED.index("policy:") :].replace(", by: two/form", ""))  # fmt: skip
    recipe = read(mixed)
    assert (list(recipe.works), recipe.mixture, recipe.uses) == ([""], None, "arithmetic")
    assert recipe.works[""].rubric is recipe.rubric


def test_what_a_run_keeps_is_read_again(mixed: Path, tmp_path: Path) -> None:
    recipe = read(mixed)
    kept = tmp_path / "recipe.yaml"
    kept.write_text(dump_recipe(recipe))
    assert read_recipe(kept) == recipe
    assert read(kept) == recipe, "as a recipe of a person's own, too"


def test_overrides(mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "sums.jsonl").write_text("{}")
    changed = load_recipe(mixed, ["domains.two.weight=0.5", "domains.three.data.train={samples: train}",
                                  "domains.three.data.train.path=sums.jsonl",
                                  "domains.four={use: arithmetic, numbers: 4}"])  # fmt: skip
    assert changed.mixture == {"two": 0.5, "three": 1.0, "four": 1.0}
    assert changed.works["three"].data.train.path == str(tmp_path / "sums.jsonl")
    assert changed.works["three"].data.train.samples is None


@pytest.mark.parametrize(
    ("override", "path", "said"),
    [
        ("domain={use: arithmetic}", "domains", "keep one of them"),
        ("data.train.limit=3", "data", "domains.NAME.data"),
        ("rubric.preset=partial", "rubric.preset", "domains.NAME.rubric.preset"),
        ("domains.two.rubric.max_unscored=0.1", "domains.two.rubric.max_unscored", "unknown key"),
        ("domains.too.weight=1", "domains.too.weight", "no domain 'too'; did you mean 'two'?"),
        ("domains.two.weight=0", "domains.two.weight", "greater than 0"),
        ("domains.two.use=arithmetik", "domains.two.use", "did you mean 'arithmetic'?"),
        ("domains.two.numbrs=3", "domains.two.numbrs", "did you mean 'numbers'?"),
        ("domains.two.rubric.preset=partiel", "domains.two.rubric.preset", "did you mean 'partial'?"),
        ("domains.three.rubric.rewards.digit=1", "domains.three.rubric.rewards.digit", "did you mean 'digits'?"),
        ("domains.three.rubric.correct=form", "domains.three.rubric.correct", "no reward 'form' in the rubric"),
        ("domains.two.data.held_out={path: nowhere.jsonl}", "domains.two.data.held_out.path", "no such file"),
        ("domains.two.data.train.format=sum", "domains.two.data.train.format", "did you mean 'sums'?"),
        ("domains={}", "domains", "at least 1"),
        ("domains={'a/b': {use: arithmetic}}", "domains.a/b", "letters, digits"),
        ("stages.evaluate.controls.0.by=form", "stages.evaluate.controls.0.by", "did you mean 'two/form'"),
        ("stages.revise={constitution: mixed.yaml}", "stages.revise", "principles of one domain"),
        ("domains=null", "domain", "is missing; a recipe has one domain, or several in domains"),
    ],
)
def test_what_is_refused(override: str, path: str, said: str, mixed: Path) -> None:
    found = problems(mixed, override)
    assert said in found[path], found
