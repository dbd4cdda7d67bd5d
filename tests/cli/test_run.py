"""``run``, ``recipe`` and ``eval`` as a person types them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from honewise import cli
from honewise.cli.run import RewardTable
from honewise.recipes.load import dump_recipe, json_schema
from honewise.stages.recipe import packaged_recipes, read

Command = Callable[..., tuple[int, str, str]]

FAULTY = """
honewise: 1
domain: {use: arithmetik}
policy: {tiny: {layerss: 2}}
stages: {rl: {stepss: 5}, evaluate: {of: [lr]}, sft: {batch: 2}}
"""


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run the command line in this process, in a folder of its own: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(list(arguments))
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return call


def saved_policy(folder: Path, *, context: int) -> str:
    """A tiny policy that has learned nothing, in ``folder``."""
    from honewise.models.policy import load_policy, save_policy
    from honewise.recipes.schema import PolicySpec, TinySpec

    tiny = TinySpec(layers=1, width=32, heads=2, vocabulary=300, context=context)
    return str(save_policy(load_policy(PolicySpec(tiny=tiny), texts=["Work out 1 + 1"], device="cpu"), folder))


def test_recipe_lists_prints_and_can_be_edited(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("recipe", "arithmetic")
    assert code == 0
    assert "arithmetic/quickstart" in out
    code, out, _ = command("recipe", "arithmetic", "quickstart")
    assert out == packaged_recipes("arithmetic")["quickstart"]
    (tmp_path / "mine.yaml").write_text(out)
    code, out, _ = command("run", "mine.yaml", "name=mine", "stages.rl.steps=7", "--dry-run")
    assert code == 0
    assert "mine: a run in runs/" in out
    assert "7 steps of 16 prompts x 8" in out
    assert not (tmp_path / "runs").exists()


def test_recipe_names_what_is_missing(command: Command) -> None:
    assert command("recipe", "arithmetic", "quickstrat")[::2] == (
        2, "error: no recipe of domain 'arithmetic' 'quickstrat'; did you mean 'quickstart'?\n",
    )  # fmt: skip
    code, _, err = command("recipe", "arithmetik")
    assert code == 2
    assert "did you mean 'arithmetic'?" in err
    code, _, err = command("recipe")
    assert code == 2
    assert "honewise recipe DOMAIN" in err


def test_the_schema_is_json(command: Command) -> None:
    code, out, _ = command("recipe", "--schema")
    assert code == 0
    assert json.loads(out) == json_schema()


def test_a_plan_says_what_would_be_done(command: Command) -> None:
    code, out, _ = command("run", "arithmetic/quickstart", "--dry-run", "rubric.rewards.form={when: digits > 0}")
    assert code == 0
    for part in ("272 tasks from samples: train", "28 tasks", "tiny: 2 layers", "digits > 0", "dense-return"):
        assert part in out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("stages.rl.dynamic={low: 0.9, high: 0.1}", "stages.rl.dynamic.low: must be less than high (0.1); given: 0.9"),
        ("stages.rl.order={easy_first: nosuch}", "stages.rl: order.easy_first: no task has 'nosuch'"),
        ("stages.rl={steps: 2, algorithm: ppo, estimator: grpo}", "stages.rl: estimator: 'grpo' does not look at the"),
        ("stages.sft.trainer={per_device_train_batch_size: 7}", "stages.sft: per_device_train_batch_size: 7 does not"),
    ],
)
def test_a_plan_is_refused_where_the_run_would_be(command: Command, tmp_path: Path, change: str, said: str) -> None:
    pytest.importorskip("trl")
    for more in (["--dry-run"], []):
        code, out, err = command("run", "arithmetic/quickstart", change, *more)
        assert (code, out) == (2, "")
        assert said in err
    assert not [path for path in tmp_path.glob("runs/*") if path.name == "quickstart"]


def test_all_faults_are_shown_without_a_traceback(command: Command, tmp_path: Path) -> None:
    (tmp_path / "faulty.yaml").write_text(FAULTY)
    code, out, err = command("run", "faulty.yaml")
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    assert err.splitlines() == [
        "error: faulty.yaml: 5 problems",
        "  domain.use: no domain 'arithmetik'; did you mean 'arithmetic'?",
        "  policy.tiny.layerss: unknown key; did you mean 'layers'?",
        "  stages.rl.stepss: unknown key; did you mean 'steps'?",
        "  stages.evaluate.of.0: no earlier stage that trains 'lr'; there are: base, rl",
        "  stages.sft: needs steps or seconds",
    ]
    assert not (tmp_path / "runs").exists()


def test_eval_measures_a_saved_policy(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    saved_policy(tmp_path / "model", context=128)
    asked = ("eval", "arithmetic", "--model", "model", "--limit", "5", "--max-new-tokens", "8", "--device", "cpu")
    code, out, _ = command(*asked, "--samples", "2", "--json", "--out", "scored.jsonl")
    assert code == 0
    found = json.loads(out)
    assert (found["tasks"], found["completions"], found["scored"], found["temperature"]) == (5, 10, 10, 1.0)
    assert found["numbers"]["correct"] == 0
    lines = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert len(lines) == 10
    assert sum(line["total"] for line in lines) / 10 == pytest.approx(found["numbers"]["total"])
    code, out, _ = command(*asked)
    assert code == 0
    assert "greedy" in out
    assert "5 of 5 completions of 5 tasks scored" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "./nowhere"], "no such folder"),
        (["--model", "m", "--temperature", "0", "--samples", "3"], "is greedy"),
    ],
)
def test_eval_refuses_what_makes_no_sense(command: Command, arguments: list[str], said: str) -> None:
    code, _, err = command("eval", "arithmetic", *arguments)
    assert code == 2
    assert said in err


def test_the_example_of_eval_asks_as_the_quickstart_trained(command: Command) -> None:
    pytest.importorskip("honewise_text_to_sql")
    recipe = read("text-to-sql/quickstart")
    _, out, _ = command("eval", "--help")
    example = " ".join(out.partition("Example:")[2].partition("Arguments")[0].split())
    given = dict(option.split("=") for option in re.findall(r"-o (\S+)", example))
    assert given == {name: str(value).lower() for name, value in recipe.domain.options.items()}
    assert f"runs/{recipe.name}/stages/rl/policy" in example


def test_eval_says_with_which_options_a_policy_was_trained(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    policy = saved_policy(tmp_path / "runs" / "mine" / "stages" / "sft" / "policy", context=128)
    recipe = read("arithmetic/quickstart", ["domain.numbers=4", "domain.reasoning=false"])
    (tmp_path / "runs" / "mine" / "recipe.yaml").write_text(dump_recipe(recipe))
    asked = ("eval", "arithmetic", "--model", policy, "--limit", "1", "--max-new-tokens", "2", "--device", "cpu")
    code, _, err = command(*asked)
    assert code == 0
    options = [part for name, value in recipe.domain.options.items() for part in ("-o", f"{name}={json.dumps(value)}")]
    assert f"{policy} was trained with other options of arithmetic: {' '.join(options)}\n" in err
    code, _, err = command(*asked, *options)
    assert code == 0
    assert "was trained with" not in err


def test_eval_says_what_does_not_fit_into_the_context(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    asked = ("eval", "arithmetic", "--limit", "3", "--device", "cpu")
    wide = saved_policy(tmp_path / "wide", context=128)
    code, _, err = command(*asked, "--model", wide, "--max-new-tokens", "4")
    assert code == 0
    assert "was made for" not in err
    code, _, err = command(*asked, "--model", wide, "--max-new-tokens", "127")
    assert code == 0
    assert "the model was made for 128 tokens; 3 of 3 prompts" in err
    code, out, err = command(*asked, "--model", saved_policy(tmp_path / "narrow", context=4), "--max-new-tokens", "2")
    assert (code, out) == (2, "")
    assert "the model was made for 4 tokens, and the shortest prompt has" in err


def test_eval_of_a_model_that_cannot_be_had_says_so_at_once(command: Command) -> None:
    pytest.importorskip("torch")
    code, out, err = command("eval", "arithmetic", "--model", "nope/nope")
    assert (code, out) == (2, "")
    assert "error: --model nope/nope: no such folder here, and Hugging Face cannot be asked" in err
    assert "retry" not in err.lower()
    code, _, err = command("eval", "arithmetic", "--model", "no pe")
    assert code == 2
    assert "nor can a model of Hugging Face be called so" in err


def test_a_domain_in_the_place_of_a_recipe_and_names_that_are_near(command: Command, tmp_path: Path) -> None:
    assert command("run", "arithmetic")[::2] == (
        2,
        "error: arithmetic: 1 problem\n"
        "  is a domain, and a recipe is needed; the domain has these: arithmetic/personas, arithmetic/quickstart,"
        " arithmetic/rest\n",
    )
    (tmp_path / "five.yaml").touch()
    (tmp_path / "quickstart.yaml").touch()
    assert command("run", "nope.yaml")[2] == "error: nope.yaml: 1 problem\n  no such file\n"
    assert command("run", "quickstrat.yaml")[2].endswith("  no such file; did you mean quickstart.yaml?\n")
    (tmp_path / "arithmetic").write_text("honewise: 1\n")
    assert "is a domain" not in command("run", "arithmetic")[2]


def test_a_plan_needs_no_torch_where_there_is_none() -> None:
    """As in an environment without the extra `train`."""
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'trl', 'transformers', 'datasets', 'accelerate', 'peft'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name in ('torch', 'trl') else find(name, *more)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from honewise.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    plan = [sys.executable, "-c", code, "run", "arithmetic/quickstart"]
    found = subprocess.run([*plan, "--dry-run"], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert "not checked, because TRL is not installed" in found.stderr
    found = subprocess.run(plan, capture_output=True, text=True, timeout=120)
    assert found.returncode == 2
    assert "pip install 'honewise[train]'" in found.stderr


class Said:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.numbers: list[dict[str, float]] = []

    def start(self, what: str, total: int | None = None) -> None:
        pass

    def advance(self, count: int = 1, **numbers: float) -> None:
        self.numbers.append(numbers)

    def note(self, line: str) -> None:
        self.lines.append(line)

    def done(self) -> None:
        pass


def test_rewards_are_told_ten_times_a_stage() -> None:
    said = Said()
    table = RewardTable(said)
    table.start("rl", 100)
    for step in range(100):
        table.advance(1, reward=step / 100, loss=0.5, **{"rewards/execution/mean": 0.25, "rewards/form/mean": 1.0})
    assert said.lines[0].split() == ["step", "total", "execution", "form"]
    assert 10 <= len(said.lines) <= 12
    assert said.lines[-1].split() == ["100", "0.990", "0.250", "1"]
    assert said.numbers[0] == {"reward": 0.0, "loss": 0.5}
