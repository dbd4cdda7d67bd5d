"""Reading files: every kind of broken one is told with its place."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honewise.data import first_object, read_json, read_jsonl, read_table
from honewise.errors import DataError


def test_json_lines_are_split_at_line_breaks_only(tmp_path: Path) -> None:
    """U+2028, U+0085 and form feeds are characters of a text, not ends of a line."""
    text = "a\u2028b\u0085c\u000cd"
    file = tmp_path / "x.jsonl"
    file.write_bytes((json.dumps({"t": text}, ensure_ascii=False) + "\r\n\n" + '{"t": 2}').encode())
    assert list(read_jsonl(file)) == [(1, {"t": text}), (3, {"t": 2})]


def test_compression_is_known_by_content_not_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(gzip.compress(b'{"a": [1]}'))
    (tmp_path / "y.json.gz").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "x.json") == {"a": [1]}
    assert read_json(tmp_path / "y.json.gz") == [1]


@pytest.mark.parametrize(
    ("content", "read", "message"),
    [
        (b"{\n\n]", read_json, r"x:3: not JSON"),
        (b"[1, 2\n", read_json, r"x:1: not JSON \(.* at column 6\)"),
        (b'{"a": 1\n', read_jsonl, r"x:1: not JSON \(.* at column 8\)"),
        (b'{}\r\n{"a": 1 \r\n', read_jsonl, r"x:2: not JSON \(.* at column 8\)"),
        (b'{}\n{"a" 1}\n', read_jsonl, r"x:2: not JSON \(.* at column 6\)"),
        (b"[NaN]", read_json, "NaN is no JSON number"),
        (b"[" * 100_000, read_json, "not JSON"),
        (b"\xff\xfe", read_json, "not UTF-8"),
        (b"{}\n[]", read_jsonl, "x:2: a JSON object is needed"),
        (b"{}\n{} {}", read_jsonl, "x:2: not JSON"),
        (b"", read_table, "empty; a header line"),
        (b"a,b\n1,2\n1\n", read_table, "x:3: 1 cells where the header has 2"),
        (b"a,b\n1,2,3\n", read_table, "x:2: 3 cells where the header has 2"),
    ],
)
def test_errors_name_the_place(tmp_path: Path, content: bytes, read: Callable[[Path], Any], message: str) -> None:
    file = tmp_path / "x"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read(file))


def test_tables_keep_quoted_breaks_and_know_tabs(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b'a,b\r\n"1\n2","say ""x"""\r\n\r\n3,\r\n')
    assert list(read_table(tmp_path / "x.csv")) == [(3, {"a": "1\n2", "b": 'say "x"'}), (5, {"a": "3", "b": ""})]
    (tmp_path / "x.tsv").write_bytes(b"a\tb\n1,5\t2\n")
    assert list(read_table(tmp_path / "x.tsv")) == [(2, {"a": "1,5", "b": "2"})]
    (tmp_path / "x.txt").write_bytes(b"a;b\n1;2\n")
    assert list(read_table(tmp_path / "x.txt", delimiter=";")) == [(2, {"a": "1", "b": "2"})]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b' [ {"a": 1}, oops', {"a": 1}),
        (b'{"a": 1}\n{"b": 2}', {"a": 1}),
        (b"[]", None),
        (b"[1]", None),
        (b"", None),
        (b"\x00\xff", None),
        (b"[" * 5000, None),
        (b"SQLite format 3\0", None),
    ],
)
def test_the_first_object_of_anything(tmp_path: Path, content: bytes, found: Any) -> None:
    (tmp_path / "x").write_bytes(content)
    assert first_object(tmp_path / "x") == found
    assert first_object(tmp_path) is None
    assert first_object(tmp_path / "none") is None
