"""The answer checker: number and unit apart, by hand-worked cases; every kind of answer; the official rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise import Task
from honewise_physics.answers import letters_in, read_interval, read_number, split_answers, truth_in
from honewise_physics.check import check
from honewise_physics.official import jee_marks, power_of_ten, scibench_right, without_power
from honewise_physics.tasks import make_task, part


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("12 N", 12, "N"),
        ("F = 12 N", 12, "N"),
        ("about 12 N upwards", 12, "N"),
        (r"$3.0 \times 10^{8} \mathrm{~m} / \mathrm{s}$", 3e8, "m"),
        ("3 x 10^8 m/s", 3e8, "m/s"),
        ("3·10⁸ m·s⁻¹", 3e8, "m·s"),
        ("-4.5e-3 V", -4.5e-3, "V"),
        ("−4.5 V", -4.5, "V"),
        ("1,234.5 kg", 1234.5, "kg"),
        ("1{,}234 kg", 1234, "kg"),
        (r"\frac{3}{2} m", 1.5, "m"),
        ("3/2 m", 1.5, "m"),
        (r"2\sqrt{3} m", 2 * math.sqrt(3), "m"),
        ("5.0 ± 0.1 m", 5.0, "m"),
        ("2π rad", 2 * math.pi, "rad"),
        ("٣٫٥ m", 3.5, "m"),
        ("４２ J", 42, "J"),
        ("42.", 42, ""),
        ("½ m", 0.5, "m"),
    ],
)
def test_numbers_are_read(text: str, number: float, unit: str) -> None:
    reading = read_number(text)
    assert reading is not None
    assert reading.number == pytest.approx(number)
    assert reading.unit.startswith(unit)
    assert text[slice(*reading.number_at)]


@pytest.mark.parametrize("text", ["", "no idea", "m", "N", "3 m, 4 m", "((", "∞", "1e999", "9" * 5000, "x = y"])
def test_what_is_no_single_number_is_not_read(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("gold", "unit", "said", "number", "right_unit"),
    [
        ("12", "N", "12 N", True, True),
        ("12", "N", "12 kg m/s^2", True, True),
        ("12", "N", "0.012 kN", True, True),
        ("12", "N", "12 J", True, False),
        ("12", "N", "13.2 N", False, True),
        ("12", "N", "120 N", False, True),
        ("12", "N", "12000 N", False, True),
        ("12", "N", "12 kN", False, True),
        ("12", "N", "12", True, False),
        ("12", "N", "13.5 J", False, False),
        ("300", "K", "26.85 °C", True, True),
        ("26.85", "°C", "300 K", True, True),
        ("20", "°C", "20 K", False, True),
        ("20", "°C", "68 °F", True, True),
        ("90", "°", "1.5708 rad", True, True),
        ("90", "°", "90", True, True),
        ("5", "%", "0.05", True, True),
        ("5", "%", "5 %", True, True),
        ("5", "%", "50 %", False, True),
        ("4.8", "$10^6$ m", "4800 km", True, True),
        ("4.8", "$10^6$ m", "4.8e6 m", True, True),
        ("4.8", "$10^6$ m", "4.8 m", False, True),
        ("1.27", "$10^6$ ", "1270000", True, True),
        ("0", "N", "0 N", True, True),
        ("0", "N", "1 N", False, True),
        ("-3", "m/s^2", "3 m/s^2", False, True),
        ("27.98", r"$\mathrm{~J} \mathrm{~mol}^{-1} \mathrm{~K}^{-1}$", "27.98 J/(mol K)", True, True),
        ("27.98", r" $ \mathrm{Jmol}^{-1} \mathrm{~K}^{-1}$", "0.02798 kJ/(mol K)", True, True),
        ("1", "eV", "1.602e-19 J", True, True),
        ("1", "kWh", "3.6 MJ", True, True),
    ],
)
def test_number_and_unit_are_judged_apart(
    ask: Callable[..., Task], gold: str, unit: str, said: str, number: bool, right_unit: bool
) -> None:
    outcome = check(ask(gold, unit, tolerance=0.02), said)
    assert outcome is not None
    assert (outcome.number_ok, outcome.unit_ok) == (number, right_unit)
    assert outcome.correct is (number and right_unit)


def test_a_bare_number_is_taken_to_be_in_the_unit_that_was_asked_for(ask: Callable[..., Task]) -> None:
    asked, silent = ask("12", "N", asked="N"), ask("12", "N")
    assert check(asked, "12").correct  # type: ignore[union-attr]
    assert not check(silent, "12").correct  # type: ignore[union-attr]


def test_rounding_to_the_digits_of_the_answer_is_right(ask: Callable[..., Task]) -> None:
    task = ask("0.33", "m", tolerance=0.001)
    assert check(task, "0.3333 m").correct  # type: ignore[union-attr]
    assert not check(task, "0.338 m").correct  # type: ignore[union-attr]
    assert check(task, "0.33 m").figures_ok  # type: ignore[union-attr]
    assert not check(task, "0.333 m").figures_ok  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "gold", "right", "wrong"),
    [
        ("choice", "B", ["B", "(b)", "B) 5 N", "**B**", "Option B", r"\text{B}"], ["A", "", "AB", "5 N"]),
        ("choice", "AC", ["A, C", "CA", "A and C", "(A), (C)"], ["A", "ABC", "B"]),
        ("boolean", "True", ["true", "Yes.", "TRUE"], ["false", "yes and no", "maybe"]),
        ("interval", "[1, 2)", ["[1, 2)", "[1.0, 2.0)"], ["(1, 2)", "[1, 3)", "1 to 2"]),
        ("expression", "m g h", ["mgh", "h*m*g", r"m \cdot g h", "E = mgh"], ["mgh/2", "m g", "", "import os"]),
        ("expression", r"\frac{v^2}{2g}", ["v^2/(2 g)", "0.5 v**2 / g", r"\frac{1}{2}\frac{v^2}{g}"], ["v^2/2 g"]),
        ("expression", r"\sqrt{2 g h}", ["(2gh)^{1/2}", r"\sqrt{2}\sqrt{gh}"], [r"\sqrt{gh}"]),
        ("expression", r"A e^{-t/\tau}", [r"A \exp(-t/\tau)"], [r"A e^{t/\tau}"]),
        ("expression", r"\sin^2\theta", [r"1-\cos^2\theta", r"(\sin\theta)^2"], [r"\sin\theta^2"]),
        ("equation", "F = m a", ["a = F/m", "m a = F", "F - m a = 0"], ["F = m/a"]),
        ("text", "It stays at rest.", ["it stays at rest"], ["it moves"]),
    ],
)
def test_other_kinds_of_answers(
    ask: Callable[..., Task], kind: str, gold: str, right: list[str], wrong: list[str]
) -> None:
    task = ask(gold, kind=kind)
    assert [check(task, text).correct for text in right] == [True] * len(right)  # type: ignore[union-attr]
    assert [check(task, text).correct for text in wrong] == [False] * len(wrong)  # type: ignore[union-attr]


def test_several_answers_come_in_any_order_and_none_too_many() -> None:
    task = make_task("0", "?", [part("3", unit="m"), part("5", unit="J")])
    for text, share, right in (
        ("3 m, 5 J", 1.0, True),
        ("5 J and 3 m", 1.0, True),
        ("3 m; 6 J", 0.5, False),
        ("3 m", 0.5, False),
        ("3 m, 5 J, 7 N", 2 / 3, False),
        ("", 0.0, False),
    ):
        outcome = check(task, text)
        assert outcome is not None
        assert (outcome.share, outcome.correct) == (pytest.approx(share), right)
    both = make_task("0", "?", [part("2"), part("-2")])
    assert check(both, "±2").correct  # type: ignore[union-attr]


def test_a_list_of_guesses_is_no_answer(ask: Callable[..., Task]) -> None:
    assert not check(ask("3", "m"), "3 m, 4 m, 5 m").correct  # type: ignore[union-attr]


def test_jee_marks() -> None:
    gold = frozenset("ACD")
    assert jee_marks(frozenset("ACD"), gold, several=True) == 1
    assert jee_marks(frozenset("AC"), gold, several=True) == 0.5
    assert jee_marks(frozenset("A"), gold, several=True) == 0.25
    assert jee_marks(frozenset("AB"), gold, several=True) == 0
    assert jee_marks(frozenset(), gold, several=True) == 0
    assert jee_marks(frozenset("A"), frozenset("AB"), several=False) == 0
    number = make_task("0", "?", [part("4.00")], rule="jee")
    assert check(number, "4.01").correct  # type: ignore[union-attr]
    assert not check(number, "4.02").correct  # type: ignore[union-attr]


def test_small_readers() -> None:
    assert letters_in("I choose C") == {"C"}
    assert truth_in("not true, false") is None
    assert split_answers("1,000 m") == [(0, "1,000 m")]
    interval = read_interval("[1 m, 2 m)")
    assert interval is not None
    assert (interval[0], interval[3]) == ("[", ")")
    assert power_of_ten("$10^{-7}$") == -7
    assert without_power("$10^{42}$") == "$10^{42}$"


@settings(deadline=None, max_examples=300)
@given(
    mantissa=st.floats(-999, 999).map(lambda x: float(f"{x:.4g}")),
    off=st.sampled_from([1.0, 1.04, 0.951, 1.06, 0.94, 10.0, 0.001, -1.0]),
    power=st.integers(-12, 12),
    style=st.sampled_from(
        ["{} ", "{}", "x = {}", "{} m", r"{} \times 10^{{{}}}", "{}*10^{}", r"{} \times 10^{{{}}} m", "{}e{}"]
    ),
    unit=st.sampled_from(["m", "", r"$10^{{{}}}$ m", r" $10^{{{}}} \mathrm{{~s}}$", "$10^{{{}}}$"]),
)
def test_scibenchs_rule_agrees_with_a_second_implementation(
    official: Callable[..., bool], mantissa: float, off: float, power: int, style: str, unit: str
) -> None:
    said, told = style.format(mantissa * off, power), unit.format(power)
    assert scibench_right(said, str(mantissa), told) == official(said, str(mantissa), told)


@pytest.mark.parametrize("said", ["", "=", "\\times", "a*b*c", "1_000", "nan", "inf", "1e400 m", "5 " * 1000])
def test_scibenchs_rule_on_odd_texts(official: Callable[..., bool], said: str) -> None:
    for unit in ("m", "$10^{3}$ m"):
        assert scibench_right(said, "5", unit) == official(said, "5", unit) or "_" in said


def conversions() -> dict[str, list[str]]:
    """Units of one dimension each."""
    return {
        "m": ["km", "cm", "mm", "nm", "ft", "inch", "Å"],
        "s": ["ms", "min", "h", "μs", "ns", "day"],
        "N": ["kN", "mN", "dyn", "kg m/s^2", "lbf", "J/m"],
        "J": ["kJ", "eV", "cal", "kWh", "erg", "N m", "W s"],
        "Pa": ["kPa", "bar", "atm", "Torr", "psi", "N/m^2"],
        "m/s": ["km/h", "cm/s", "mph", "ft/s", "km/s"],
        "kg": ["g", "mg", "lb", "u", "tonne"],
        "V": ["mV", "kV", "J/C", "W/A", "μV"],
        "K": ["mK", "kK", "μK", "nK", "MK"],
    }


@pytest.mark.parametrize("unit", conversions())
def test_conversions_are_accepted_and_faults_refused_at_the_right_flag(ask: Callable[..., Any], unit: str) -> None:
    task = ask("3.7", unit, tolerance=0.01)
    one = read_number(f"1 {unit}")
    assert one is not None
    for other in conversions()[unit]:
        scale = read_number(f"1 {other}")
        assert scale is not None
        said = 3.7 * one.quantity.value / scale.quantity.value
        assert check(task, f"{said!r} {other}").correct, other  # type: ignore[union-attr]
        for factor in (1.1, 0.9, 10.0, 0.001):
            wrong = check(task, f"{said * factor!r} {other}")
            assert wrong is not None
            assert (wrong.number_ok, wrong.unit_ok, wrong.correct) == (False, True, False)
        strange = check(task, f"{said!r} {other} mol")
        assert strange is not None
        assert not strange.unit_ok
