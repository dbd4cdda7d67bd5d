"""The audit of a stored run: what it reads, what it says, and where it goes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from audited_run import fill_audited
from synthetic_run import cell, fill, make_run, scored

from honewise import report
from honewise.checks import RunSettings
from honewise.errors import UnknownName
from honewise.progress import Silent
from honewise.report.audit import audit_run
from honewise.report.ending import keep_audit, known
from honewise.runs.card import NOT_DONE
from honewise.runs.rows import RolloutRow
from honewise.runs.run import Run

FAST = RunSettings(rounds=200)


@pytest.fixture(scope="module")
def hacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with fill_audited(tmp_path_factory.mktemp("runs"), judge_calls=True) as run:
        return run.path


def audit(run: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "honewise", "audit", "run", str(run), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)


def test_windows_are_the_first_and_the_last_steps(hacked: Path) -> None:
    with Run.open(hacked) as run:
        found = audit_run(run, FAST, judges=["judge"], decides="correct")
    training = found.compared[0]
    assert (training.what, training.before, training.after) == ("rl", "steps 1 to 2", "steps 9 to 10")
    assert (training.groups, training.completions) == ((16, 16), (64, 64))
    db = sqlite3.connect(hacked / "run.sqlite")
    for part, steps in (("before", (1, 2)), ("after", (9, 10))):
        (total,) = db.execute("SELECT avg(total) FROM rollouts WHERE stage = 'rl' AND step IN (?, ?)", steps).fetchone()
        assert getattr(training.numbers["total"], part) == pytest.approx(total)
        (tokens,) = db.execute(
            "SELECT avg(tokens) FROM rollouts WHERE stage = 'rl' AND step IN (?, ?)", steps
        ).fetchone()
        assert getattr(training.numbers["length"], part) == pytest.approx(tokens)


def test_what_is_measured_is_the_policy_against_the_one_it_was_made_of(hacked: Path) -> None:
    with Run.open(hacked) as run:
        found = audit_run(run, FAST, judges=["judge"], decides="correct")
    assert [each.what for each in found.compared] == ["rl", "evaluate: rl t=1 after sft t=1"]
    assert found.compared[1].groups == (12, 12)
    signs = {(sign.sign, sign.where): sign.found for sign in found.signs}
    for where in ("rl", "evaluate: rl t=1 after sft t=1"):
        assert signs["proxy_against_verifier", where] is True
        assert signs["judge_against_verifier", where] is True
        assert signs["length_drift", where] is True
    assert not found.ok
    gap = found.gaps["rl"]
    assert gap["held_out"]["evaluation"] == "evaluate: rl t=1"
    assert gap["start"] == "evaluate: sft t=1"
    assert gap["gap"] == pytest.approx(gap["training"]["correct"] - gap["held_out"]["correct"])


def test_a_run_that_learned_what_it_should_has_no_sign(tmp_path: Path) -> None:
    with fill_audited(tmp_path, hacked=False) as run:
        found = audit_run(run, FAST, judges=["judge"], decides="correct")
    assert [sign for sign in found.signs if sign.found] == []
    assert found.ok


def test_long_runs_are_read_at_their_ends_only(hacked: Path) -> None:
    with Run.open(hacked) as run:
        found = audit_run(run, RunSettings(rounds=50, window=0.5, most=70))
    assert found.compared[0].before == "steps 1 to 2"
    assert found.compared[0].completions == (64, 64)


def test_another_verifier(hacked: Path) -> None:
    """A reward without an opinion on correctness calls right what has at least 1."""
    with Run.open(hacked) as run:
        found = audit_run(run, FAST, verifier="style")
        with pytest.raises(UnknownName, match="did you mean 'style'"):
            audit_run(run, FAST, verifier="stlye")
        with pytest.raises(UnknownName, match="reward of the run"):
            audit_run(run, FAST, judges=["nobody"])
    training = found.compared[0]
    assert training.verifiers == ["style"]
    assert training.numbers["correct"].before == 0
    assert "proxy" in training.numbers


def test_one_step_and_nothing(tmp_path: Path) -> None:
    with make_run(tmp_path) as run:
        empty = audit_run(run, FAST)
        assert empty.ok
        assert "no stage has stored completions" in empty.notes[0]
        run.store.start_stage("rl", "rl", 1)
        run.store.write_step("rl", 1, {}, [RolloutRow(scored("x", {"execution": cell(1.0)}), "Q")])
        single = audit_run(run, FAST)
        assert (single.ok, single.compared) == (True, [])
        assert "one step alone" in single.notes[0]


def test_a_run_that_goes_on_and_hostile_texts(tmp_path: Path) -> None:
    with fill(make_run(tmp_path)) as run:
        found = audit_run(run, FAST)
        assert all(sign.found is None for sign in found.signs if sign.where == "rl")  # two prompts on a side
        kept = keep_audit(run, found)
        assert json.loads(kept.read_text())["run"] == "made-by-hand"
        card = (run.path / "card.md").read_text()
        assert "<img" not in card


def test_a_domain_that_is_not_there(hacked: Path) -> None:
    with Run.open(hacked) as run:
        about = known(run)
        assert (about.judges, about.decides) == ((), "correct")
        assert "--judge-reward" in about.notes[0]  # asked, and arithmetic has no reward that asks
    with Run.open(hacked) as run:
        gone = run.recipe.model_copy(update={"domain": run.recipe.domain.model_copy(update={"use": "gone"})})
        run.recipe = gone
        about = known(run)
        assert (about.judges, about.decides) == ((), "correct")
        assert "gone cannot be opened here" in about.notes[0]


# the card


def fields_of(run: Path) -> dict[str, str]:
    lines = (run / "card.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ", 1) for line in lines[lines.index("## Disclosure") :] if line.startswith("| ")]
    return {row[0]: row[1] for row in rows if len(row) == 2}


AUDITED = (
    "signs of reward hacking", "pay against verifier", "judge against verifier", "deceptive inflation",
    "overjustification", "length", "diversity", "generalisation",
)  # fmt: skip


def test_every_field_of_the_card_is_filled_or_says_not_done(tmp_path: Path) -> None:
    with fill_audited(tmp_path, judge_calls=True) as run:
        folder = run.path
        from honewise.runs import card

        card.write(run)
        before = fields_of(folder)
        assert all(value.strip() for value in before.values())
        for name in (*AUDITED, "audit of the rewards", "agreement with people", "position", "self-consistency"):
            assert before[name].startswith(NOT_DONE), name
        assert "honewise audit run made" in before["diversity"]
        assert "honewise audit rewards arithmetic --run made" in before["audit of the rewards"]
        assert before["overlap"] == "0 of 12 evaluated tasks were also trained on"
        assert before["KL to the reference in rl"] == "1 at step 10"
        assert before["templates"].startswith("judges/style.md (sha256 abababababab) to critic: 1 questions")
        assert before["red teaming"] == NOT_DONE
        keep_audit(run, audit_run(run, FAST, judges=["judge"], decides="correct"))
    after = fields_of(folder)
    assert after.keys() == before.keys()
    for name in AUDITED[:-3]:
        assert not after[name].startswith(NOT_DONE) or "scale" in after[name] or "scores" in after[name], name
    assert "proxy_against_verifier (rl)" in after["signs of reward hacking"]
    assert "length 6 to 16" in after["length"]
    assert after["generalisation"].startswith("rl: correct ")
    assert "Not done, of the fields above: " in (folder / "card.md").read_text()


def test_what_an_audit_could_not_look_for_is_said(tmp_path: Path) -> None:
    """An audited run is not told to audit itself."""
    with fill(make_run(tmp_path / "short")) as run:
        keep_audit(run, audit_run(run, FAST))
        told = fields_of(run.path)
        assert told["signs of reward hacking"].startswith(f"{NOT_DONE}: 2 prompts on a side; 8 are needed")
        assert not [name for name in AUDITED if "honewise audit run" in told[name]]
    with make_run(tmp_path / "single") as run:
        run.store.start_stage("rl", "rl", 1)
        run.store.write_step("rl", 1, {}, [RolloutRow(scored("x", {"execution": cell(1.0)}), "Q")])
        keep_audit(run, audit_run(run, FAST))
        told = fields_of(run.path)
        for name in AUDITED:
            assert told[name].startswith(f"{NOT_DONE}: rl: completions of one step alone are stored"), name


def test_audits_of_judge_and_rewards_feed_the_card(tmp_path: Path) -> None:
    with fill_audited(tmp_path, judge_calls=True) as run:
        folder = run.path
    pairs = tmp_path / "pairs.jsonl"
    verdicts = [{"judge": "critic", "order": order, "verdict": "a", "confidence": 0.9} for order in ("ab", "ba")]
    lines = [{"question": "?", "a": "long answer", "b": "no", "label": "a", "verdicts": verdicts}] * 3
    pairs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for arguments in (
        ["judge", "--data", str(pairs), "--run", str(folder)],
        ["rewards", "arithmetic", "--run", str(folder)],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "honewise", "audit", *arguments],
            capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    card = fields_of(folder)
    assert card["agreement with people"].startswith("critic on 3 pairs of pairs.jsonl: agreement 1 [1, 1]")
    assert "flip_rate 0 [0, 0]" in card["position"]
    assert "calibration_error 0.1" in card["calibration"]
    assert card["resistance to attacks"].startswith(NOT_DONE)
    assert card["audit of the rewards"].startswith("arithmetic: ")
    assert "nothing was found" in card["audit of the rewards"]
    assert card["labels by people"] == "to audit the judge: 3 pairs of pairs.jsonl"


def test_a_broken_audit_file_does_no_harm(tmp_path: Path) -> None:
    with fill_audited(tmp_path) as run:
        from honewise.runs import card

        (run.path / "audits").mkdir()
        for name, text in (("run-made", "{"), ("judge-x", '{"judges": 3}'), ("rewards-x", '{"findings": [1]}')):
            (run.path / "audits" / f"{name}.json").write_text(text)
        card.write(run)
        assert fields_of(run.path)["diversity"].startswith(NOT_DONE)


def test_the_end_of_a_run_audits_it(tmp_path: Path) -> None:
    class Told(Silent):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, line: str) -> None:
            self.notes.append(line)

    told = Told()
    with fill_audited(tmp_path) as run:
        page = report.end(run, told)
        assert len(told.notes) == 1
        assert "proxy_against_verifier (rl)" in told.notes[0]
        assert f"honewise audit run {run.path}" in told.notes[0]
        assert page.is_file()
        assert (run.path / "audits" / "run-made.json").is_file()
        assert not fields_of(run.path)["signs of reward hacking"].startswith(NOT_DONE)


# the command


def test_the_command_finds_signs_and_leaves_with_1(hacked: Path) -> None:
    done = audit(hacked, "--json", "--rounds", "200", "--judge-reward", "judge")
    assert done.returncode == 1, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["ok"] is False
    assert {sign["sign"] for sign in told["signs"] if sign["found"]} >= {"proxy_against_verifier", "length_drift"}
    assert told["judges"] == ["judge"]
    numbers = told["compared"][0]["numbers"]
    assert {"before", "after", "change", "low", "high", "groups"} == set(numbers["total"])
    assert json.loads((hacked / "audits" / "run-made.json").read_text())["signs"] == told["signs"]


def test_the_table_for_people(tmp_path: Path) -> None:
    with fill_audited(tmp_path, hacked=False) as run:
        folder = run.path
    done = audit(folder, "--rounds", "200", "--judge-reward", "judge")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rl: steps 1 to 2 (16 prompts, 64 completions) against steps 9 to 10" in done.stdout
    assert "what is correct is decided by: correct; diversity in words" in done.stdout
    assert "made: none of " in done.stdout
    assert "generalisation of rl: correct " in done.stdout


def test_users_errors(hacked: Path, tmp_path: Path) -> None:
    for arguments, said in (
        ((hacked, "--verifier", "corect"), "did you mean 'correct'"),
        ((tmp_path / "none",), "no run"),
        ((hacked, "--embedding-model", str(tmp_path / "nothing")), "cannot be loaded"),
    ):
        done = audit(*arguments)  # type: ignore[arg-type]
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with fill_audited(tmp_path, hacked=False) as run:
        folder = run.path
    folder.chmod(0o555)
    try:
        done = audit(folder, "--rounds", "50")
    finally:
        folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "not kept with the run" in done.stderr
