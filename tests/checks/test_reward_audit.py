"""Planted faults are found by name, through the real command; sound domains have none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributions import install
from faulty_plugin import PLANTED, SOURCE

from honewise import Completion, Domain, Reward, Rubric, Task
from honewise.checks import audit_rewards, check_domain, reward_audit
from honewise.checks import bench as benches
from honewise.checks.canary import CANARIES, TOKEN, evaluations, evaluators
from honewise.checks.hostile import KINDS, hostile, in_form
from honewise.errors import UnknownName
from honewise.host import PluginHost


def audit(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "honewise", "audit", "rewards", *arguments]
    environ = os.environ | {"PYTHONPATH": str(path), "HONEWISE_DISABLE_PLUGINS": "text-to-sql"}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=240)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("site")
    install(path, "honewise-faulty", {"faulty": "hw_faulty"}, modules={"hw_faulty": SOURCE})
    return path


@pytest.fixture(scope="module")
def found(site: Path) -> dict[str, Any]:
    done = audit(site, "faulty", "--json")
    assert done.returncode == 1, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def broken(found: dict[str, Any]) -> dict[str, list[str]]:
    checks: dict[str, list[str]] = {}
    for finding in found["findings"]:
        if not finding["ok"]:
            checks.setdefault(finding["subject"], []).append(finding["check"])
    return checks


@pytest.mark.parametrize(("name", "check"), PLANTED.items(), ids=list(PLANTED))
def test_every_planted_fault_is_found_by_name(found: dict[str, Any], name: str, check: str) -> None:
    assert check in broken(found)[f"reward {name}"]


def test_what_is_found_says_where(found: dict[str, Any]) -> None:
    told = {(f["subject"], f["check"]): f["explanation"] for f in found["findings"] if not f["ok"]}
    assert "did not come back within 1.6 s" in told["reward hangs", "survives"]
    assert "zero width" in told["reward hangs", "survives"]
    assert "exit status 7" in told["reward crashes", "survives"]
    assert "'\\x00'" in told["reward crashes", "survives"]
    assert "evaluates it as Python" in told["reward runs", "eval"]
    assert "embedded null byte" in told["reward fails", "scored"]
    assert "outside [0, 1]" in told["reward beyond", "bounds"]
    assert "(refusal)" in told["reward likes_refusals", "gold"]
    assert "later and elsewhere" in told["reward environment", "state"]
    assert "in a batch" in told["reward by_rank", "batch"]


def test_a_verifier_that_is_fooled_is_found_in_its_preset(found: dict[str, Any]) -> None:
    assert "preset-fooled" in broken(found)["preset fooled"]
    told = next(f for f in found["findings"] if f["check"] == "preset-fooled" and f["subject"] == "preset fooled")
    assert "(injection)" in told["explanation"]
    assert "preset sound" not in broken(found)


def test_the_sound_reward_among_them_has_no_finding(found: dict[str, Any]) -> None:
    assert "reward right" not in broken(found)
    own = [f["check"] for f in found["findings"] if f["subject"] == "reward right"]
    assert {"survives", "state", "eval", "gold"} <= set(own)


def test_only_what_was_planted_is_found_in_a_reward(found: dict[str, Any]) -> None:
    """Some faults show in a second way; nothing shows that is not there."""
    also = {
        "coin": {"gold"}, "runs": {"gold"}, "by_rank": {"gold"},
        "remembers": {"deterministic", "gold"}, "gullible": {"gold"},
    }  # fmt: skip
    for subject, checks in broken(found).items():
        name = subject.removeprefix("reward ")
        if subject.startswith("reward "):
            assert set(checks) <= {PLANTED.get(name, "")} | also.get(name, set()), subject


def test_numbers_by_reward(found: dict[str, Any]) -> None:
    rewards = {each["name"]: each for each in found["rewards"]}
    assert rewards["coin"]["unsteady"] > 0
    assert rewards["beyond"]["out_of_range"] > 0
    assert rewards["by_rank"]["by_order"] > 0
    assert rewards["fails"]["unscored"] > 0
    assert rewards["hangs"] == {"name": "hangs", "cost": "cpu", "exempt": {}, "tried": 0, "why": "hangs or crashes"}
    assert "refusal" in rewards["likes_refusals"]["paid_kinds"]
    right = rewards["right"]
    assert (right["unscored"], right["lowest"], right["highest"], right["paid_like_gold"]) == (0, 0.0, 1.0, 0)
    assert right["slowest"] >= right["p50"] >= 0
    assert set(found["kinds"]) == set(KINDS)


def test_one_preset_and_what_people_see(site: Path) -> None:
    sound = audit(site, "faulty", "--rubric", "sound")
    assert sound.returncode == 0, sound.stdout + sound.stderr
    assert "nothing was found" in sound.stdout
    assert "coin" not in sound.stdout
    fooled = audit(site, "faulty", "--rubric", "fooled")
    assert fooled.returncode == 1
    assert "preset-fooled, preset fooled:" in fooled.stdout
    assert "to fix it: see what the deciding reward takes for an answer" in fooled.stdout
    unknown = audit(site, "faulty", "--rubric", "sond")
    assert (unknown.returncode, "did you mean 'sound'" in unknown.stderr) == (2, True)


def test_given_tasks(site: Path, tmp_path: Path) -> None:
    data = tmp_path / "tasks.jsonl"
    rows = [{"id": word, "inputs": {"text": f"[{word}]"}, "reference": {"word": word}} for word in ("heap", "stack")]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = audit(site, "faulty", "--rubric", "sound", "--data", str(data), "--json")
    assert done.returncode == 0, done.stdout
    assert not any(finding["check"] == "samples" for finding in json.loads(done.stdout)["findings"])


def test_a_parser_that_hangs_ends_the_audit_and_is_named(
    site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    short = tmp_path / "sitecustomize.py"
    short.write_text("import honewise.checks.bench as bench\nbench.PARSER_PATIENCE = 0.5\n")
    done = subprocess.run(
        [sys.executable, "-m", "honewise", "audit", "rewards", "faulty/stuck", "--json"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{site}", "HONEWISE_DISABLE_PLUGINS": "text-to-sql"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    (finding,) = [f for f in json.loads(done.stdout)["findings"] if not f["ok"]]
    assert (finding["check"], finding["subject"]) == ("survives", "domain faulty/stuck")
    assert "did not come back within 0.5 s: reading" in finding["explanation"]


# domains that are as they should be


def test_arithmetic_has_no_finding() -> None:
    found = audit_rewards("arithmetic")
    assert [str(finding) for finding in found.findings if not finding.ok] == []
    assert {each["name"] for each in found.rewards} >= {"correct", "digits"}
    assert all(each["tried"] > 300 and not each["unscored"] for each in found.rewards)


def test_arithmetic_through_the_command(tmp_path: Path) -> None:
    done = audit(tmp_path, "arithmetic", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is True
    assert all(finding["ok"] for finding in told["findings"])


def test_an_unknown_domain_or_preset() -> None:
    with pytest.raises(UnknownName):
        audit_rewards("arithmetc")
    with pytest.raises(UnknownName, match="preset of arithmetic"):
        audit_rewards("arithmetic", preset="nothing")


# parts


def _domain(**changes: Any) -> Domain:
    return Domain(
        **{
            "prompt": lambda task: [{"role": "user", "content": "say it"}],
            "parse": lambda text, task: Completion(text, text or None),
            "gold": lambda task: task.reference["word"],
            "samples": lambda split: [Task(f"{split}-{w}", {"w": w}, {"word": w}) for w in ("heap", "stack")],
            "rewards": [],
            "rubrics": {"default": Rubric({})},
            **changes,
        }
    )


def test_every_kind_is_tried_and_texts_are_the_same_every_time() -> None:
    task = Task("1", {}, {"word": "heap"}, prompt=({"role": "user", "content": "What?"},))
    made = list(hostile(_domain(), task, "heap", thorough=True, long=True))
    assert {each.kind for each in made} == set(KINDS)
    assert made == list(hostile(_domain(), task, "heap", thorough=True, long=True))
    assert 1_000_000 <= max(len(each.text) for each in made) < 1_100_000
    few = list(hostile(_domain(), task, None))
    assert max(len(each.text) for each in few) <= 1000


def test_the_form_of_an_answer() -> None:
    task = Task("1", {}, {})

    def read(text: str, task: Task) -> Completion:
        return Completion(text, text.rpartition(": ")[2] or None)

    assert in_form(_domain(parse=read), task, "It is: 42", "\x00") == "It is: \x00"
    assert in_form(_domain(parse=read), task, None, "x") is None
    assert in_form(_domain(parse=lambda text, task: 3), task, "gold", "x") is None

    def fails(text: str, task: Task) -> Completion:
        raise RuntimeError

    assert in_form(_domain(parse=fails), task, "gold", "x") is None


def _evaluates(text: str) -> object:
    return eval(text, {"__builtins__": {}}, {})


def _executes(text: str) -> None:
    exec(compile(text, "<text>", "exec"), {})


def _calls_another(completion: Completion) -> float:
    return float(bool(_evaluates(completion.text)))


def _reads(text: str) -> object:
    import ast

    return ast.literal_eval(text)


@pytest.mark.parametrize("run", [_evaluates, _executes])
def test_running_a_text_is_heard(run: Any) -> None:
    for text in CANARIES:
        with evaluations() as heard, suppress(NameError, SyntaxError):
            run(text)
        if run is _executes or "=" not in text:
            assert heard, text
    with evaluations() as heard:
        run("1 + 1")
    assert heard == []


def test_reading_a_text_is_not_running_it() -> None:
    with evaluations() as heard:
        assert _reads(f"['{TOKEN}']") == [TOKEN]
        compile(f"x = '{TOKEN}'", "<text>", "exec")
        json.loads(f'"{TOKEN}"')
    assert heard == []


def test_a_shell_that_is_handed_a_text_is_heard() -> None:
    with evaluations() as heard:
        subprocess.run(["true", TOKEN], check=True)
    assert heard
    assert "subprocess.Popen" in heard[0]


def test_calls_of_eval_are_read_in_the_source_too() -> None:
    assert evaluators(_calls_another) == ["eval"]
    assert evaluators(_reads) == []
    assert evaluators(len) == []


def test_a_text_that_is_right_is_no_false_positive() -> None:
    """A verifier that takes the gold word anywhere is fooled by nothing that holds it; only by what does not."""

    def word(task: Task, completion: Completion) -> bool:
        return completion.answer == task.reference["word"]

    def anything(task: Task, completion: Completion) -> bool:
        return bool(completion.text.strip())

    host = PluginHost(environ={}, entry_points=[])
    for function, expected in ((word, True), (anything, False)):
        domain = _domain(
            rewards=[Reward(fn=function, name="word")], rubrics={"default": Rubric({"word": 1.0}, correct="word")}
        )
        (finding,) = [f for f in check_domain(domain, name="d", host=host) if f.check == "preset-fooled"]
        assert finding.ok == expected, finding


def test_what_the_model_wrote_is_no_fault_of_the_reward() -> None:
    hung = reward_audit._Ended("reward execution", "task '1'", "did not come back within 3 s", True, blamed=True)
    finding = reward_audit._finding(hung)
    assert (finding.ok, finding.check) == (True, "survives")
    assert "what the model wrote had to be ended" in finding.explanation
    assert not reward_audit._finding(replace(hung, blamed=False)).ok


def test_patience_grows_with_the_batch_and_ends() -> None:
    made = Reward(fn=lambda completion: 0.0, name="x", deadline=2.0)
    assert benches._patience(made, 1) == 7.0
    assert 7.0 < benches._patience(made, 100) <= 60.0
    assert benches._patience(Reward(fn=lambda completion: 0.0, name="x", deadline=100.0), 1000) == 400.0
