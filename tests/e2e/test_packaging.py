"""What a user gets from the wheels, outside the repository, with and without the training packages."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import environments
import pytest

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Name of each project to its (sdist, wheel)."""
    made = {}
    for project in [ROOT, *PLUGINS]:
        name = "core" if project == ROOT else project.name
        made[name] = environments.build(project, tmp_path_factory.mktemp(name))
    return made


@pytest.fixture(scope="module")
def wheels(built: dict[str, tuple[Path, Path]]) -> list[Path]:
    return [wheel for _, wheel in built.values()]


def _light(*plugins: Path) -> list[str]:
    """The requirements of core and plugins, all of them or these, without honewise itself and without any extra."""
    import tomllib

    wanted: list[str] = []
    for project in [ROOT, *(plugins or PLUGINS)]:
        dependencies = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
        wanted += [text for text in dependencies if not text.startswith("honewise")]
    return wanted


def _train() -> list[str]:
    import tomllib

    return list(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["train"])


def test_artefacts_hold_what_they_must(built: dict[str, tuple[Path, Path]]) -> None:
    for name, (sdist, wheel) in built.items():
        in_wheel = zipfile.ZipFile(wheel).namelist()
        with tarfile.open(sdist) as archive:
            in_sdist = archive.getnames()
        assert any(entry.endswith("LICENSE") for entry in in_wheel), name
        assert any(entry.endswith("py.typed") for entry in in_wheel), name
        assert not any(entry.startswith("tests/") for entry in in_wheel), name
        tops = {entry.split("/")[0] for entry in in_wheel if ".dist-info" not in entry}
        assert len(tops) == 1, f"{name} ships more than its own package: {tops}"
        if name == "core":
            assert tops == {"honewise"}
            assert not any("/plugins/" in entry for entry in in_sdist)
        else:
            assert any("/recipes/" in entry and entry.endswith(".yaml") for entry in in_wheel), name


def test_light_environment(tmp_path: Path, wheels: list[Path]) -> None:
    python = environments.make(tmp_path / "env", _light(), wheels=wheels)
    home = tmp_path / "elsewhere"
    home.mkdir()
    records = json.loads(environments.run(python, "plugins", "--load", "--json", cwd=home).stdout)
    assert {record["state"] for record in records} == {"loaded"}
    environments.run(python, "doctor", cwd=home)
    for domain in ("arithmetic", "code-api", "medical-mcq", "physics", "text-to-sql"):
        lines = environments.run(python, "tasks", domain, "--json", cwd=home).stdout.splitlines()
        rows = [json.loads(line) for line in lines[:20]]
        completions = home / f"{domain}.jsonl"
        completions.write_text(
            "".join(json.dumps({"task_id": row["task_id"], "completion": row["gold"]}) + "\n" for row in rows)
        )
        out = home / f"{domain}-scores.jsonl"
        environments.run(python, "score", domain, "--completions", str(completions), "--out", str(out), cwd=home)
        scores = [json.loads(line) for line in out.read_text().splitlines()]
        assert [score["correct"] for score in scores] == [True] * len(rows)
    refused = environments.run(python, "run", "text-to-sql/quickstart", cwd=home, check=False)
    assert refused.returncode == 2
    assert "honewise[train]" in refused.stderr + refused.stdout
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_works_alone(plugin: Path, tmp_path: Path, built: dict[str, tuple[Path, Path]]) -> None:
    wheels = [built[name][1] for name in ("core", plugin.name)]
    python = environments.make(tmp_path / "env", _light(plugin), wheels=wheels)
    records = json.loads(environments.run(python, "plugins", "--load", "--json", cwd=tmp_path).stdout)
    own = next(record for record in records if record["name"] == plugin.name)
    assert own["state"] == "loaded"
    for number, domain in enumerate(own["domains"]):
        environments.run(python, "doctor", domain, cwd=tmp_path)
        lines = environments.run(python, "tasks", domain, "--json", cwd=tmp_path).stdout.splitlines()[:3]
        golds = [(row["task_id"], row["gold"]) for row in map(json.loads, lines)]
        given, out = tmp_path / f"{number}.jsonl", tmp_path / f"{number}-scores.jsonl"
        given.write_text("".join(json.dumps({"task_id": name, "completion": gold}) + "\n" for name, gold in golds))
        environments.run(python, "score", domain, "--completions", str(given), "--out", str(out), cwd=tmp_path)
        scores = [json.loads(line) for line in out.read_text().splitlines()]
        assert len(scores) == len(golds)
        assert all(score["total"] is not None and score["correct"] in (True, None) for score in scores), domain


def test_quickstart_plans_from_the_wheels(tmp_path: Path, wheels: list[Path]) -> None:
    python = environments.make(tmp_path / "env", [*_light(), *_train()], wheels=wheels)
    home = tmp_path / "elsewhere"
    home.mkdir()
    environments.run(python, "doctor", cwd=home)
    planned = environments.run(python, "run", "text-to-sql/quickstart", "--dry-run", cwd=home)
    assert "rl" in planned.stdout
    assert not (home / "runs").exists()
