"""From a source to tasks: recognition, checks, prompts, limits, Hugging Face ids."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from honewise import Completion, Domain, Reader, Task
from honewise.data import TaskSet, load_tasks, read_jsonl
from honewise.errors import DataError, MissingExtra, UnknownName, UserError


def make(**readers: Reader) -> Domain:
    return Domain(
        prompt=lambda task: [{"role": "user", "content": f"Say {task.inputs['word']}"}],
        parse=lambda text, task: Completion(text),
        gold=lambda task: None,
        samples=lambda split: [Task(f"{split}-{n}", {"word": str(n)}) for n in range(3)],
        rewards=[],
        rubrics={},
        readers=readers,
    )


def words(path: Path) -> Iterable[Task]:
    for line, row in read_jsonl(path):
        yield Task(str(row.get("id", line)), {"word": row["word"]})


WORDS = Reader(words, recognise=lambda path: path.is_file() and '"word"' in path.read_text())


def test_samples_serve_where_there_is_no_path() -> None:
    found = load_tasks(make())
    assert (found.format, found.source, len(found)) == ("samples", "samples: held-out", 3)
    assert found.tasks[0].prompt == ({"role": "user", "content": "Say 0"},)
    assert [task.id for task in load_tasks(make(), split="train", limit=2)] == ["train-0", "train-1"]


def test_a_format_is_recognised_or_named(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text('{"word": "a"}\n{"word": "b"}\n')
    domain = make(words=WORDS, other=Reader(words, recognise=lambda path: False))
    assert load_tasks(domain, path=file).format == "words"
    assert load_tasks(domain, path=str(file), format="other").format == "other"
    assert isinstance(load_tasks(domain, path=file, limit=1), TaskSet)
    with pytest.raises(UnknownName, match="no format 'wordz'; did you mean 'words'"):
        load_tasks(domain, path=file, format="wordz")


def test_a_bare_function_reads_when_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"word": "a"}')
    domain = replace(make(), readers={"words": words})
    assert len(load_tasks(domain, path=tmp_path / "x", format="words")) == 1


def test_what_is_not_recognised_is_described(tmp_path: Path) -> None:
    def rude(path: Path) -> bool:
        raise RuntimeError("foreign content")

    (tmp_path / "x").write_text('[{"b": 1, "a": 2}]')
    (tmp_path / "y").write_text("")
    (tmp_path / "z").write_text("hello")
    (tmp_path / "folder").mkdir()
    domain = make(words=WORDS, rude=Reader(words, recognise=rude))
    for name, what in [
        ("x", "its first object has the keys a, b"),
        ("y", "the file is empty"),
        ("z", "holds no JSON object"),
        ("folder", "the folder is empty"),
        ("", "the folder holds folder/, x, y, z"),
    ]:
        with pytest.raises(DataError, match=what) as error:
            load_tasks(domain, path=tmp_path / name)
        assert "not recognised as any of jsonl, rude, words" in str(error.value)
    (tmp_path / "x").write_text('{"word": "a"}')
    with pytest.raises(DataError, match=r"several formats \(again, words\)"):
        load_tasks(make(words=WORDS, again=WORDS), path=tmp_path / "x")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('[{"b": 1},\n {"b": 2', r"dev\.json:2: not JSON \(.* at column 9\)"),
        ('{"b": 1', r"dev\.json:1: not JSON"),
        ('{"b": 1\n{"b": 2}\n', r"dev\.json:1: not JSON \(.* at column 8\)"),
        ('{"b": [\n{"b": 2}\n', r"dev\.json:2: not JSON \(.* at column 9\)"),
        ("[", r"dev\.json:1: not JSON"),
        (b'[{"b": "\xff"}]', r"dev\.json: not UTF-8 text"),
    ],
)
def test_broken_json_is_said_where_nothing_knows_it(tmp_path: Path, content: str | bytes, fault: str) -> None:
    """Named directly or in its folder, beside files that are whole."""
    (tmp_path / "a.json").write_text('[{"other": 1}]\n')
    (tmp_path / "dev.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    for path in (tmp_path, tmp_path / "dev.json"):
        with pytest.raises(DataError, match=fault):
            load_tasks(make(words=WORDS), path=path)


def test_cores_own_lines_are_read_by_every_domain(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    rows: list[dict[str, Any]] = [
        {"id": 7, "inputs": {"word": "a"}, "reference": {"r": [1, None]}, "meta": {"m": "é"}, "images": ["x.png"]},
        {"inputs": {"word": "b"}},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    found = load_tasks(make(), path=file)
    assert found.format == "jsonl"
    assert replace(found.tasks[0], prompt=()) == Task("7", {"word": "a"}, {"r": [1, None]}, ("x.png",), {"m": "é"})
    assert found.tasks[1].id == "1"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"inputs": {}, "input": 1}, "x:1: unknown key 'input'"),
        ({"reference": {}}, "x:1: 'inputs' is missing"),
        ({"inputs": []}, "'inputs' must be an object, this is list"),
        ({"inputs": [1]}, "x:1: 'inputs' must be an object, this is list"),
        ({"inputs": {"word": "a"}, "images": "x.png"}, "x:1: 'images' must be a list"),
        ({"inputs": {"nothing": 1}}, r"row 0 \(task '0'\): no prompt can be made \(KeyError: 'word'\)"),
    ],
)
def test_a_faulty_line_of_cores_own_is_told(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    (tmp_path / "x").write_text(json.dumps(row))
    with pytest.raises(DataError, match=message):
        load_tasks(make(), path=tmp_path / "x", format="jsonl")


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "no tasks in it"),
        (
            [Task("a", {"word": 1}), Task("b", {"word": 1}), Task("a", {"word": 1})],
            "rows 0 and 2 have one task id, 'a'",
        ),
        ([Task("a", {"word": object()})], r"row 0 \(task 'a'\) holds a value that is not JSON"),
        (
            [Task("a", {"word": 1}), Task("b", {"word": float("nan")})],
            r"row 1 \(task 'b'\) holds a value that is not JSON",
        ),
        ([Task("a", {"word": b"x"})], "is not JSON"),
        ([{"word": 1}], "row 0: the reader gave dict, not a Task"),
    ],
)
def test_a_reader_is_not_believed(tmp_path: Path, tasks: list[Any], message: str) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(DataError, match=message):
        load_tasks(make(all=Reader(lambda path: tasks)), path=tmp_path / "x", format="all")


def test_a_plain_error_of_a_reader_says_which_row(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"word": "a"}\n{"no": "b"}\n')
    with pytest.raises(DataError, match=r"row 1: cannot be read .missing key 'word'"):
        load_tasks(make(words=WORDS), path=tmp_path / "x", format="words")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"limit": 0}, "limit must be at least 1"),
        ({"split": "test"}, "'train' or 'held-out'"),
        ({"format": "jsonl"}, "needs a path"),
        ({"path": "no/such/file/here.json"}, "no such file or folder"),
        ({"path": "nowhere.json"}, "nowhere.json: no such file or folder$"),
    ],
)
def test_arguments_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_tasks(make(), **settings)


class Hub:
    """Stands in for the ``datasets`` library: keeps what was asked for and serves rows."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, []  # type: ignore[var-annotated]

    def load_dataset(self, name: str, config: str | None, split: str | None) -> Any:
        self.asked.append((name, config, split))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub([{"word": "a"}, {"word": "b"}])
    module = types.ModuleType("datasets")
    module.load_dataset = made.load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return made


def by_rows(rows: Iterable[Mapping[str, Any]]) -> Iterable[Task]:
    return [Task(str(n), {"word": row["word"]}) for n, row in enumerate(rows)]


HUB = Reader(words, rows=by_rows)


def test_a_hugging_face_id_is_loaded_by_its_rows(hub: Hub) -> None:
    domain = make(words=HUB, files=WORDS)
    assert [task.inputs["word"] for task in load_tasks(domain, path="org/name:validation")] == ["a", "b"]
    assert load_tasks(domain, path="org/name", format="words").format == "words"
    load_tasks(domain, path="org/name/config:train[:10%]")
    assert hub.asked == [
        ("org/name", None, "validation"),
        ("org/name", None, None),
        ("org/name", "config", "train[:10%]"),
    ]


def test_splits_are_chosen_by_name(hub: Hub) -> None:
    hub.answer = {"only": [{"word": "a"}]}
    assert len(load_tasks(make(words=HUB), path="org/name")) == 1
    hub.answer = {"train": [], "test": []}
    with pytest.raises(DataError, match="has the splits test, train; say which, as org/name:test"):
        load_tasks(make(words=HUB), path="org/name")


def test_a_mistyped_path_is_told_as_such_too(hub: Hub) -> None:
    hub.answer = ConnectionError("no route")
    with pytest.raises(DataError, match=r"data/spidr: no such file or folder here.*ConnectionError: no route"):
        load_tasks(make(words=HUB), path="data/spidr")
    with pytest.raises(DataError, match=r"'files' cannot read a Hugging Face data set .formats that can: jsonl, words"):
        load_tasks(make(words=HUB, files=WORDS), path="org/name", format="files")
    with pytest.raises(DataError, match=r"name its format with --format .one of also, jsonl, words"):
        load_tasks(make(words=HUB, also=HUB), path="org/name")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install 'honewise\[train\]'"):
        load_tasks(make(words=HUB), path="org/name")


def test_the_library_itself_offline_says_what_is_wrong() -> None:
    pytest.importorskip("datasets")
    with pytest.raises(UserError, match="no such file or folder here"):
        load_tasks(make(words=HUB), path="nobody/at-all")


def test_readers_registered_outside_the_domain_serve(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"word": "a"}')
    found = load_tasks(make(), path=tmp_path / "x", extra_formats={"other/words": WORDS})
    assert found.format == "other/words"
