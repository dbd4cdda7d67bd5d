"""Placeholders are filled in one pass, and every fault is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise.errors import UserError
from honewise.templates import load, render, slots_of


def test_slots_are_found_and_other_braces_are_text() -> None:
    text = 'Q: {{question}} {{ answer }} {{question}} {"a": {{"b": 1}}} {single} {{}} {{two words}} {{9}}'
    assert slots_of(text) == {"question", "answer"}
    assert render(text, {"question": "q", "answer": "a"}) == (
        'Q: q a q {"a": {{"b": 1}}} {single} {{}} {{two words}} {{9}}'
    )


def test_values_are_never_scanned_again() -> None:
    hostile = "{{secret}} {{answer}} \\1 \\g<0> {0} %s $name"
    assert render("{{answer}}|{{secret}}", {"answer": hostile, "secret": "s"}) == hostile + "|s"


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,6}", fullmatch=True), st.text(), min_size=1))
def test_every_value_stands_unchanged(slots: dict[str, str]) -> None:
    template = "\x00".join("{{" + name + "}}" for name in slots)
    assert render(template, slots) == "\x00".join(slots.values())


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(UserError) as caught:
        render("{{question}} {{style}}", {"qestion": "x", "style": 3})  # type: ignore[dict-item]
    assert str(caught.value) == (
        "template: placeholder 'question' has no value; did you mean 'qestion'?; "
        "value 'qestion' has no placeholder; did you mean 'question'?; "
        "value 'style' is of type int; give text"
    )
    assert render("nothing to fill", {}) == "nothing to fill"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    judges = tmp_path / "hw_templates_here" / "judges"
    judges.mkdir(parents=True)
    (judges.parent / "__init__.py").write_text("")
    (judges / "polite.md").write_bytes("\ufeffIst das höflich? {{answer}} שלום\n".encode())
    (judges / "latin.md").write_bytes("höflich".encode("latin-1"))
    (tmp_path / "secret.md").write_text("outside")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "hw_templates_here"


def test_load_reads_utf8_from_a_package(package: str) -> None:
    assert load(package, "judges/polite.md") == "Ist das höflich? {{answer}} שלום\n"


@pytest.mark.parametrize("file", ["../secret.md", "judges/../../secret.md", "/etc/passwd", ""])
def test_load_does_not_leave_the_package(package: str, file: str) -> None:
    with pytest.raises(UserError, match="give a path inside the package"):
        load(package, file)


def test_load_says_what_is_there(package: str) -> None:
    with pytest.raises(UserError, match=r"has no template 'judges/polit.md'; did you mean 'polite.md'"):
        load(package, "judges/polit.md")
    with pytest.raises(UserError, match=r"has no template 'other/x.md'; there are none"):
        load(package, "other/x.md")
    with pytest.raises(UserError, match="is not UTF-8"):
        load(package, "judges/latin.md")
    with pytest.raises(UserError, match="'hw_no_such_package' is not a package"):
        load("hw_no_such_package", "x.md")
