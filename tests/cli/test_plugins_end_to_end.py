"""Faulty plugins, installed as pip would, seen through the real command: each is reported and the rest works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from distributions import GOOD, install

COMMAND = Path(sys.executable).with_name("honewise")
OWN = ("honewise-code-api", "honewise-medical-mcq", "honewise-physics", "honewise-text-to-sql")


LOUD = """
from honewise import Completion, Domain, Rubric, Task, hookimpl, reward

SAY

@reward
def said(task, completion):
    SAY
    return completion.text == task.reference["word"]

def prompt(task):
    SAY
    return [{"role": "user", "content": "Say " + task.inputs["word"]}]

def parse(text, task):
    SAY
    return Completion(text, text or None)

def gold(task):
    SAY
    return task.reference["word"]

def samples(split):
    SAY
    return [Task(str(n), {"word": w}, {"word": w}) for n, w in enumerate(["heap", "stack"])]

def share(rows):
    SAY
    return {"share": sum(bool(row.correct) for row in rows) / max(len(rows), 1)}

def build() -> Domain:
    SAY
    return Domain(
        prompt=prompt, parse=parse, gold=gold, samples=samples, rewards=[said], metrics={"share": share},
        rubrics={"default": Rubric({"said": 1.0}, correct="said")},
    )

@hookimpl
def register_domains(register):
    SAY
    register("NAME", build)
"""
"""A plugin that prints in whatever of it is called."""


def run(path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [str(COMMAND)] if COMMAND.exists() else [sys.executable, "-m", "honewise"]
    return subprocess.run(
        [*command, *arguments],
        env=os.environ | {"PYTHONPATH": str(path)} | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good plugin among six faulty ones."""
    path = tmp_path_factory.mktemp("site")
    hook = "from honewise import hookimpl\n@hookimpl\ndef "

    def put(name: str, source: str, distribution: str = "", requires: tuple[str, ...] = ()) -> None:
        module = "hw_" + (distribution or name).replace("-", "_")
        install(path, distribution or f"honewise-{name}", {name: module}, requires=requires, modules={module: source})

    put("words", GOOD.replace("NAME", "words"), requires=("honewise>=0.1,<0.2",))
    put("unimportable", "print('on standard output')\nimport package_that_nobody_has")
    put("typo", hook + "register_domians(register): pass")
    put("thief", hook + "register_domains(register): register('words', dict)")
    put("words", GOOD.replace("NAME", "words"), distribution="another-words")
    put("arithmetic", GOOD.replace("NAME", "arithmetic"), distribution="another-arithmetic")
    put("newer", "raise RuntimeError('was imported')", requires=("honewise>=0.9",))
    return path


def test_plugins_reports_each_and_lists_the_rest(site: Path) -> None:
    listed = run(site, "plugins", "--json")
    assert listed.returncode == 0, listed.stderr
    records = json.loads(listed.stdout)
    assert isinstance(records, list)
    by_distribution = {record["distribution"]: record for record in records}
    states = {name: record["state"] for name, record in by_distribution.items() if name not in OWN}
    assert states == {
        "honewise": "loaded",
        "honewise-words": "loaded",
        "honewise-unimportable": "broken",
        "honewise-typo": "broken",
        "honewise-thief": "broken",
        "another-words": "broken",
        "another-arithmetic": "broken",
        "honewise-newer": "incompatible",
    }
    reasons = {name: record["reason"] for name, record in by_distribution.items()}
    assert reasons["honewise-unimportable"] == "ModuleNotFoundError: No module named 'package_that_nobody_has'"
    assert "unknown hook 'register_domians'; did you mean 'register_domains'?" in reasons["honewise-typo"]
    assert "plugin thief (honewise-thief 1.0) registers domain 'words'" in reasons["honewise-thief"]
    for owner in ("another-words 1.0", "honewise-words 1.0"):
        assert owner in reasons["another-words"]
    for owner in ("another-arithmetic 1.0", "honewise 0.1.0"):
        assert owner in reasons["another-arithmetic"]
    assert reasons["honewise-newer"] == "needs honewise>=0.9, this is 0.1.0"


def test_plugins_shows_people_the_same(site: Path) -> None:
    shown = run(site, "plugins")
    assert shown.returncode == 0
    assert "newer: incompatible: needs honewise>=0.9, this is 0.1.0" in shown.stdout
    assert "unimportable: broken: ModuleNotFoundError" in shown.stdout
    assert "Traceback" not in shown.stdout + shown.stderr


def test_metadata_alone_imports_nothing(site: Path) -> None:
    records = json.loads(run(site, "plugins", "--json", "--no-load").stdout)
    states = {record["distribution"]: record["state"] for record in records}
    assert states["honewise-unimportable"] == states["honewise-words"] == "found"
    assert states["honewise-newer"] == "incompatible"


def test_the_rest_works(site: Path) -> None:
    domains = run(site, "domains", "--json")
    assert {"words", "arithmetic"} <= {row["name"] for row in json.loads(domains.stdout)}
    assert "left out: typo is broken" in domains.stderr
    rewards = json.loads(run(site, "rewards", "--domain", "words", "--json").stdout)
    assert [(row["name"], row["presets"]) for row in rewards] == [("said", {"default": 1.0})]


def test_doctor_reports_each_and_checks_the_rest(site: Path) -> None:
    only = {"HONEWISE_DISABLE_PLUGINS": "code-api,medical-mcq,physics,text-to-sql"}
    shown = run(site, "doctor", **only)
    assert shown.returncode == 1
    for line in (
        "unimportable: broken: ModuleNotFoundError: No module named 'package_that_nobody_has'",
        "import package_that_nobody_has",
        "unknown hook 'register_domians'; did you mean 'register_domains'?",
        "thief: broken: plugin thief (honewise-thief 1.0) registers domain 'words'",
        "newer: incompatible: needs honewise>=0.9, this is 0.1.0",
        "something is not fit to be used",
    ):
        assert line in shown.stdout
    found = json.loads(run(site, "doctor", "--json", **only).stdout)
    assert found["healthy"] is False
    assert {"words", "arithmetic"} <= set(found["domains"])
    assert all(finding["ok"] for finding in found["domains"]["arithmetic"]["findings"])
    assert "Traceback" in next(r for r in found["plugins"] if r["name"] == "unimportable")["traceback"]


def test_doctor_says_what_keeps_model_written_python_in(site: Path) -> None:
    found = json.loads(run(site, "doctor", "arithmetic", "--json").stdout)["python_sandbox"]
    assert {each["name"] for each in found["protections"] if each["needed"]} == {"landlock", "seccomp"}
    assert all(each["in_force"] or each["reason"] for each in found["protections"])
    assert "model-written Python" in run(site, "doctor", "arithmetic").stdout
    strict = json.loads(run(site, "doctor", "arithmetic", "--json", HONEWISE_SANDBOX="strict").stdout)["python_sandbox"]
    assert strict["ok"] == all(each["in_force"] for each in strict["protections"] if each["needed"])


def test_doctor_of_one_domain(site: Path) -> None:
    assert run(site, "doctor", "arithmetic", HONEWISE_DISABLE_PLUGINS="another-arithmetic").returncode == 0
    typo = run(site, "doctor", "typo")
    assert typo.returncode == 1
    assert "typo: broken:" in typo.stdout
    assert "words" not in typo.stdout
    blocked = run(site, "doctor", "typo", HONEWISE_DISABLE_PLUGINS="typo")
    assert (blocked.returncode, "typo: blocked: named in HONEWISE_DISABLE_PLUGINS" in blocked.stdout) == (1, True)
    unknown = run(site, "doctor", "tpyo")
    assert unknown.returncode == 2
    assert unknown.stderr == "error: no domain 'tpyo'; did you mean 'typo'?\n"


def test_switches_reach_the_command(site: Path) -> None:
    records = json.loads(run(site, "plugins", "--json", HONEWISE_PLUGINS="words,absent").stdout)
    states = {(record["name"], record["distribution"]): record["state"] for record in records}
    assert states["words", "honewise-words"] == "loaded"
    assert states["typo", "honewise-typo"] == "blocked"
    assert states["absent", ""] == "broken"
    strict = run(site, "rewards", "--domain", "typo", HONEWISE_STRICT_PLUGINS="1")
    assert strict.returncode == 2
    assert "Traceback" not in strict.stderr
    listed = run(site, "plugins", "--json", HONEWISE_STRICT_PLUGINS="1")
    assert (listed.returncode, len(json.loads(listed.stdout)) > 6) == (1, True)
    refused = run(site, "domains", HONEWISE_STRICT_PLUGINS="1")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "plugin newer (honewise-newer 1.0): incompatible" in refused.stderr
    traced = run(site, "rewards", "--domain", "words", HONEWISE_TRACE_PLUGINS="1")
    assert "honewise plugins: words: register_domains" in traced.stderr


def test_a_broken_domain_is_an_error_message_not_a_traceback(site: Path) -> None:
    asked = run(site, "rewards", "--domain", "unimportable")
    assert asked.returncode == 2
    assert "\nerror: domain 'unimportable' comes from plugin unimportable (honewise-unimportable 1.0): " in asked.stderr
    assert "Traceback" not in asked.stderr


def test_a_plugin_that_prints_wherever_it_can_leaves_standard_output_to_results(tmp_path: Path) -> None:
    source = LOUD.replace("NAME", "loud").replace("SAY", "print('on standard output')")
    install(tmp_path, "honewise-loud", {"loud": "hw_loud"}, modules={"hw_loud": source})
    (tmp_path / "c.jsonl").write_text('{"task_id": "0", "completion": "heap"}\n')
    score = ("score", "loud", "--completions", str(tmp_path / "c.jsonl"), "--workers", "1")
    only = {"HONEWISE_PLUGINS": "loud"}
    for arguments in (
        ("domains", "--json"),
        ("rewards", "--json"),
        ("doctor", "loud", "--json"),
        (*score, "--out", str(tmp_path / "o.jsonl"), "--json"),
    ):
        done = run(tmp_path, *arguments, **only)
        assert json.loads(done.stdout), done.stderr
        assert "on standard output" in done.stderr, arguments
    for lines in (("tasks", "loud", "--json"), (*score, "--out", "-")):
        done = run(tmp_path, *lines, **only)
        assert json.loads(done.stdout.splitlines()[0])["task_id"] == "0"
        assert "on standard output" in done.stderr, lines
    for table in (("domains",), ("rewards", "--domain", "loud"), ("tasks", "loud"), ("new", "--help")):
        assert "on standard output" not in run(tmp_path, *table, **only).stdout
    assert "new domain" in run(tmp_path, "new", "domain", "--help", **only).stdout
