"""The section ``judge:`` of a recipe, and in a file of its own: every fault at once, and never a key in a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from honewise.errors import RecipeError
from honewise.recipes.judge_file import load_judge_spec
from honewise.recipes.judging import JudgeSpec
from honewise.recipes.load import dump_recipe, load_recipe, read_recipe

URL = "http://127.0.0.1:8000/v1"


def problems(source: Any) -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        load_judge_spec(source)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_a_mapping_or_a_file_or_a_recipe(tmp_path: Path) -> None:
    expected = JudgeSpec(url=URL, model="m")
    assert load_judge_spec({"url": URL, "model": "m"}) == expected
    assert load_judge_spec({"judge": {"url": URL, "model": "m"}}) == expected
    (tmp_path / "judge.yaml").write_text(f"url: {URL}\nmodel: m\n")
    (tmp_path / "recipe.yaml").write_text(f"honewise: 1\nstages: {{}}\njudge: {{url: '{URL}', model: m}}\n")
    assert load_judge_spec(tmp_path / "judge.yaml") == load_judge_spec(tmp_path / "recipe.yaml") == expected


def test_a_local_folder_is_looked_up_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there" / "model").mkdir(parents=True)
    (tmp_path / "there" / "judge.yaml").write_text("local: {path: model}\n")
    spec = load_judge_spec(tmp_path / "there" / "judge.yaml")
    assert spec.local is not None
    assert spec.local.path == str(tmp_path / "there" / "model")
    (tmp_path / "judge.yaml").write_text("local: {path: model}\n")
    assert "no such file or folder: 'model'" in problems(tmp_path / "judge.yaml")["judge.local.path"]


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ({}, "judge", "needs exactly one of url, local, policy, panel; given: none of them"),
        ({"url": URL, "model": "m", "local": {"hub": "a/b"}}, "judge", "given: url and local together"),
        ({"url": URL}, "judge.model", "is missing: an endpoint is asked for a model by name"),
        ({"local": {}}, "judge.local", "needs exactly one of hub, path"),
        ({"local": {"hub": "a/b"}, "model": "m"}, "judge.model", "is for an endpoint, and no url is given"),
        ({"policy": "adapter-off"}, "judge.policy", "there is no policy here that could judge"),
        ({"url": URL, "model": "m", "modle": 1}, "judge.modle", "unknown key; did you mean 'model'?"),
        ({"url": URL, "model": "m", "api_key": "sk-1"}, "judge.api_key", "unknown key; did you mean 'api_key_env'?"),
        ({"url": "ftp://x", "model": "m"}, "judge.url", "must be an address such as http://127.0.0.1:8000/v1"),
        ({"url": URL, "model": "m", "structured": "yes"}, "judge.structured", "not one of the allowed words"),
        ({"url": URL, "model": "m", "temperature": -1}, "judge.temperature", "must be greater than or equal to 0"),
        ({"url": URL, "model": "m", "budget": {"calls": 0}}, "judge.budget.calls", "must be greater than 0"),
        ({"url": URL, "model": "m", "budget": {"cost": 1.0}}, "judge.budget.cost", "nothing costs anything without"),
        ({"url": URL, "model": "m", "cache": True}, "judge.cache", "given: true"),
    ],
)
def test_faults(given: dict[str, Any], path: str, message: str) -> None:
    assert message in problems(given)[path]


def test_all_faults_at_once() -> None:
    assert set(problems({"url": URL, "timeout": 0, "budget": {"cals": 1}})) == {
        "judge.model",
        "judge.timeout",
        "judge.budget.cals",
    }


@pytest.mark.parametrize("secret", ["sk-live-0123456789abcdef", "x" * 200])
def test_a_key_in_the_wrong_place_is_not_repeated(secret: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_judge_spec({"url": URL, "model": "m", "api_key_env": secret})
    assert "must be the name of an environment variable" in str(caught.value)
    assert secret not in str(caught.value)
    with pytest.raises(RecipeError) as caught:
        load_judge_spec({"url": f"http://me:{secret}@127.0.0.1/v1", "model": "m"})
    assert "must hold neither a name and password nor a query" in str(caught.value)
    assert secret not in str(caught.value)


RECIPE = """
honewise: 1
domain: {use: arithmetic}
policy: {tiny: {}}
stages: {sft: {steps: 1}}
judge: {url: "http://127.0.0.1:8000/v1", model: m, extra: {api_key: sk-hidden, top_k: 5}}
"""


def test_in_a_recipe_it_is_overridden_dumped_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    recipe = load_recipe(path, ["judge.budget.calls=5", "judge.temperature=0.5"])
    assert recipe.judge is not None
    assert (recipe.judge.budget.calls, recipe.judge.temperature) == (5, 0.5)
    text = dump_recipe(recipe)
    assert "sk-hidden" not in text
    (tmp_path / "resolved.yaml").write_text(text)
    back = read_recipe(tmp_path / "resolved.yaml").judge
    assert back is not None
    assert back.extra == {"api_key": "(hidden)", "top_k": 5}
    local = load_recipe(path, ["judge.local={hub: a/b}", "judge.model=null", "judge.extra={}"]).judge
    assert local is not None
    assert (local.url, local.model) == (None, None), "an override takes the place of the other choices"
    assert load_recipe(path, ["judge=null"]).judge is None
    assert load_recipe(path, ["judge.cache=false"]).judge.cache is False  # type: ignore[union-attr]


def test_the_policy_needs_an_adapter(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    own = ["judge={policy: adapter-off}"]
    with pytest.raises(RecipeError, match="needs an adapter that can be switched off"):
        load_recipe(path, own)
    assert load_recipe(path, [*own, "policy.lora={}"]).judge == JudgeSpec(policy="adapter-off")
