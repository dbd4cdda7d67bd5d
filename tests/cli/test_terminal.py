"""Tables, JSON and progress, on a terminal and into a pipe."""

from __future__ import annotations

import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise.cli import terminal
from honewise.cli.terminal import (
    TerminalProgress,
    clean,
    json_line,
    note,
    number,
    print_json,
    print_table,
    results_apart,
    show,
)
from honewise.progress import Progress


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """A stream whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_control_characters_are_made_visible() -> None:
    assert clean("a\x1b[2Jb\x07c\x00\r\n\td\x9be") == "a\\x1b[2Jb\\x07c\\x00\\x0d\n\td\\x9be"
    assert clean("\u202eevil\u2066") == "\ufffdevil\ufffd"
    assert clean("שלום Ünïcode 日本 👩‍🔬") == "שלום Ünïcode 日本 👩‍🔬"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (math.nan, "-"), (0, "0"), (3.0, "3"), (0.123456, "0.123"), (123.456, "123.5"), (1e-7, "1.00e-07")],
)
def test_numbers_as_people_read_them(value: float | None, shown: str) -> None:
    assert number(value) == shown


@given(st.recursive(st.none() | st.floats() | st.text() | st.integers(), lambda inner: st.lists(inner)))
def test_json_lines_are_strict_json_on_one_line(value: object) -> None:
    line = json_line({"value": value})
    assert "\n" not in line
    json.loads(line, parse_constant=pytest.fail)


def test_json_keeps_text_and_drops_what_is_not_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([{"text": "שלום", "nan": math.nan, "inf": [math.inf], 3: (1, 2)}])
    out = capsys.readouterr().out
    assert "שלום" in out
    assert json.loads(out) == [{"text": "שלום", "nan": None, "inf": [None], "3": [1, 2]}]
    assert json.loads(json_line("\ud800 lone")) == "\ud800 lone"


def test_tables_in_a_pipe_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(
        ("name", "why"), [("a", "x" * 300), ("longer", None), ("b", "two\nlines [red]not markup[/red]")], title="T"
    )
    assert capsys.readouterr().out.splitlines() == [
        "T",
        "name    why",
        f"a       {'x' * 300}",
        "longer",
        "b       two lines [red]not markup[/red]",
    ]


def test_tables_on_a_terminal_show_text_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    print_table(("name", "why"), [("a", "[red]x[/red] \x1b[31m")])
    assert "[red]x[/red] \\x1b[31m" in screen.getvalue()


def test_notes_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    note("judge is dropped\x07")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "judge is dropped\\x07\n")


def test_within_a_command_only_results_reach_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        with results_apart():
            print("a plugin says something")
            with results_apart():
                print_json({"result": 1})
            print_table(("a",), [("b",)])
            show("c", end="")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command()
    print("after")
    captured = capsys.readouterr()
    assert captured.out == '{\n  "result": 1\n}\na\nb\ncafter\n'
    assert captured.err == "a plugin says something\n"


def test_progress_in_a_pipe_is_a_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    progress: Progress = TerminalProgress(out)
    progress.start("rl", 10)
    for _ in range(5):
        now[0] += 15.0
        progress.advance(reward=0.25, kl=0.0012345)
    progress.note("2 completions are unscored: timeout")
    progress.done()
    progress.done()
    assert out.getvalue().splitlines() == [
        "rl: 10 to do",
        "rl: 2/10, about 2 min 0 s left  reward 0.250  kl 0.001",
        "rl: 4/10, about 1 min 30 s left  reward 0.250  kl 0.001",
        "2 completions are unscored: timeout",
        "rl: 5/10 in 1 min 15 s  reward 0.250  kl 0.001",
    ]


def test_a_new_step_closes_the_open_one_and_totals_may_be_unknown() -> None:
    out = io.StringIO()
    progress = TerminalProgress(out)
    progress.advance(3)
    progress.start("one")
    progress.advance(3)
    progress.start("two", 0)
    progress.done()
    first, *rest = out.getvalue().splitlines()
    assert first == "one ..."
    assert [line.split(" in ")[0] for line in rest] == ["one: 3", "two: 0 to do", "two: 0/0"]


def test_progress_on_a_terminal_shows_a_bar_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    progress = TerminalProgress(screen)
    progress.start("[bold]sft", 4)
    progress.advance(2, loss=1.5)
    progress.note("[red]a note")
    progress.advance(2)
    progress.done()
    shown = screen.getvalue()
    for text in ("[bold]sft", "4/4", "loss 1.500", "[red]a note"):
        assert text in shown


def test_progress_never_raises() -> None:
    for stream in (Gone(), io.StringIO()):
        progress = TerminalProgress(stream)
        if not isinstance(stream, Gone):
            stream.close()
        progress.start("x", 2)
        progress.advance()
        progress.note("y")
        progress.done()
