"""What plugin authors get: assertions that explain, a fake judge, sample rows, public data, harmless fixtures."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import honewise.testing as testing
from honewise import Completion, JudgeTemplate, Verdict, reward
from honewise.builtin.arithmetic import arithmetic
from honewise.errors import JudgeError
from honewise.host import PluginHost
from honewise.testing import FakeJudge, check_domain, check_reward, data_slice, sample_rows


def read_number(reply: str) -> Verdict:
    return Verdict(float(reply))


CLEAR = JudgeTemplate("judges/clear.md", parse=read_number)


def ask(judge: FakeJudge, **slots: str) -> Verdict:
    return asyncio.run(judge(CLEAR, **slots))


# FakeJudge.


def test_replies_come_in_order_and_calls_are_kept() -> None:
    judge = FakeJudge([0.25, Verdict(1.0, "yes"), "0.75"])
    judge.enqueue(2)
    answers = [ask(judge, answer=str(number)) for number in range(4)]
    assert [answer.value for answer in answers] == [0.25, 1.0, 0.75, 2.0]
    assert answers[1].rationale == "yes"
    assert [call.slots["answer"] for call in judge.calls] == ["0", "1", "2", "3"]
    assert all(call.template is CLEAR for call in judge.calls)


def test_an_empty_queue_fails_as_a_judge_does() -> None:
    judge = FakeJudge()
    with pytest.raises(JudgeError, match=r"no reply left for judges/clear\.md \(call 1\)"):
        ask(judge)
    assert ask(FakeJudge(otherwise=0.5)).value == 0.5


def test_text_goes_through_the_templates_parser() -> None:
    with pytest.raises(JudgeError, match="no verdict in 'rather good'"):
        ask(FakeJudge(["rather good"]))


def test_an_exception_in_the_queue_is_raised() -> None:
    with pytest.raises(TimeoutError, match="slow"):
        ask(FakeJudge([TimeoutError("slow")]))


# The assertions.


def test_check_domain_explains_what_is_broken_and_how_to_fix_it() -> None:
    broken = replace(arithmetic(), gold=lambda task: "<answer>0</answer>" if task.id else None)
    with pytest.raises(AssertionError) as caught:
        check_domain(broken)
    said = str(caught.value)
    assert said.startswith("domain given breaks ")
    assert "preset-gold, preset partial: task 'train-1', the gold completion is not correct" in said
    assert "fix: look at the parts of the two totals" in said


def test_check_domain_returns_the_findings() -> None:
    findings = check_domain("arithmetic", options={"numbers": 2})
    assert all(finding.ok for finding in findings)
    assert {"workers", "gold", "preset-empty"} <= {finding.check for finding in findings}


@reward
def wants_letters(completion: Completion) -> bool:
    return any(character.isalpha() for character in completion.text)


@reward
def wants_silence(completion: Completion) -> float:
    return 1 / (1 + len(completion.text))


def test_check_reward_takes_a_function_and_explains() -> None:
    check_reward(wants_letters.fn, domain="arithmetic", options={"reasoning": False})
    with pytest.raises(AssertionError, match=r"reward wants_silence breaks 2 of (.|\n)*the empty completion scores 1"):
        check_reward(wants_silence)


# Sample rows.


def test_sample_rows_have_prompts_and_four_kinds() -> None:
    rows = sample_rows("arithmetic", limit=2, options={"reasoning": False})
    assert [row.kind for row in rows] == ["gold", "empty", "cut", "other"] * 2
    assert all(row.task.prompt for row in rows)
    gold, empty, cut, other = rows[:4]
    assert gold.completion.answer == str(gold.task.reference["answer"])
    assert empty.completion.text == ""
    assert (cut.completion.truncated, cut.completion.answer) == (True, None)
    assert other.completion.text == rows[4].completion.text


# Public data.


def test_data_come_from_the_folder_that_the_variable_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text_to_sql" / "spider").mkdir(parents=True)
    monkeypatch.setenv("HONEWISE_TEST_DATA", str(tmp_path))
    assert data_slice("text_to_sql/spider") == tmp_path / "text_to_sql" / "spider"
    with pytest.raises(pytest.skip.Exception, match="text_to_sql/bird is not among the public test data"):
        data_slice("text_to_sql/bird")


def test_a_variable_that_names_no_folder_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEWISE_TEST_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(pytest.fail.Exception, match="which is no folder"):
        data_slice("text_to_sql/spider")


def test_without_data_a_test_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HONEWISE_TEST_DATA", raising=False)
    monkeypatch.setattr("honewise.testing.public_data.__file__", str(tmp_path / "a" / "b" / "c" / "d.py"))
    with pytest.raises(pytest.skip.Exception, match="set HONEWISE_TEST_DATA"):
        data_slice("text_to_sql/spider")


# The pytest plugin.


def test_fixtures_are_of_their_own(honewise_host: PluginHost, honewise_judge: FakeJudge) -> None:
    assert isinstance(honewise_host, PluginHost)
    assert (list(honewise_judge.queue), honewise_judge.calls) == ([], [])


def python(*arguments: str, cwd: Path) -> str:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_pytest_plugin_imports_next_to_nothing(tmp_path: Path) -> None:
    code = "import sys, honewise.testing.pytest_plugin; print(*sorted(m for m in sys.modules if 'honewise' in m))"
    loaded = python("-c", code, cwd=tmp_path).split()
    light = {"honewise", "honewise.contracts", "honewise.errors", "honewise.hookspecs", "honewise.testing"}
    assert set(loaded) <= light | {"honewise.testing.pytest_plugin"}


def test_a_run_that_does_not_use_it_does_not_notice_it(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text("def test_other():\n    assert 1 + 1 == 2\n")
    said = python("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", cwd=tmp_path)
    assert "1 passed" in said


def test_every_public_name_is_there() -> None:
    assert sorted(testing.__all__) == testing.__all__
    for name in testing.__all__:
        assert getattr(testing, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'check_domains'"):
        testing.check_domains  # noqa: B018
