"""The domain in both styles, and ways to score the text of a reply."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from honewise import Completion, Domain, Score, Task, Unscored
from honewise_physics.answers import Reading, read_number
from honewise_physics.domain import physics
from honewise_physics.tasks import make_task, part


@pytest.fixture(scope="session")
def domain() -> Domain:
    return physics()


@pytest.fixture
def ask() -> Callable[..., Task]:
    """A task with one number for an answer."""

    def make(text: str, unit: str = "", kind: Any = "number", asked: str = "", **fields: Any) -> Task:
        return make_task("0", "What?", [part(text, kind, unit)], unit=asked, **fields)

    return make


@pytest.fixture
def judge_text(domain: Domain) -> Callable[..., Any]:
    """Score the whole text of a reply by one reward, called as it is."""
    rewards = {reward.name: reward for reward in domain.rewards}

    def call(name: str, task: Task, text: str, **options: Any) -> Score | Unscored:
        wanted = rewards[name]
        given: dict[str, Task | Completion] = {"task": task, "completion": domain.parse(text, task)}
        result = wanted.fn(**{key: value for key, value in given.items() if key in wanted.arguments}, **options)
        return result if isinstance(result, Score | Unscored) else Score(float(result))

    return call


# A second implementation of SciBench's rule, from its description ---------------------------------------------------


def _official(box: str, answer: str, unit: str) -> bool:
    """Numbers within 5 %; a power of ten goes from the unit to the number, and ``a \\times 10^b`` is worked out."""
    if "=" in box:
        box = box.split("=")[-1].strip(" ") if box.split("=")[-1].strip(" ") else ""
    power = re.search(r"10\^\{?\s*(-?\d+)\s*\}?", unit)
    tail = re.split(r"[$]?\ *10\^[{]?\ *-?[0-9]+\ *[}]?\ *[$]?", unit)[-1] if power else unit
    scaled = bool(power) and bool(tail.strip(" $\r\n")) and tail != unit
    try:
        target = float(answer) * (10.0 ** int(power[1]) if scaled and power else 1.0)
    except ValueError:
        return False
    if scaled:
        for times in ("\\times", "*"):
            if times in box:
                pieces = box.split(times)
                mantissa, tens = (
                    pieces[0],
                    re.search(r"10\^\{? *(-?\d{1,4}) *\}?", pieces[1]) if len(pieces) == 2 else None,
                )
                try:
                    if tens:
                        box = str(float(mantissa) * 10.0 ** float(tens[1]))
                except (ValueError, OverflowError):
                    pass
                break
    box = box.replace(",", "")
    for candidate in [box, *(box.split()[:1])]:
        try:
            if math.isclose(float(candidate), target, rel_tol=0.05):
                return True
        except ValueError:
            continue
    return False


_UNITS = (
    "m km cm mm μm nm ft Å mi|s ms min h day μs yr|N kN mN dyn lbf J/m kg*m/s^2|J kJ MJ eV cal kWh erg N*m|"
    "Pa kPa bar atm Torr psi N/m^2|m/s km/h cm/s mph ft/s km/s|kg g mg lb u μg|K mK kK μK nK MK|C mC μC nC pC e A*s|"
    "L mL m^3 cm^3 dm^3 mm^3|kg/m^3 g/cm^3 g/L kg/L mg/mL lb/ft^3|m/s^2 cm/s^2 km/s^2 ft/s^2 N/kg mm/s^2|"
    "N/C kN/C V/m mV/m kV/m V/cm|J/K kJ/K mJ/K cal/K eV/K erg/K|J/mol kJ/mol MJ/mol cal/mol eV/mol mJ/mol|"
    "J/(mol*K) kJ/(mol*K) cal/(mol*K) mJ/(mol*K) erg/(mol*K) MJ/(mol*K)|m^2 cm^2 mm^2 km^2 nm^2 ft^2|"
    "m^2/s cm^2/s mm^2/s km^2/s m^2/min cm^2/ms|1/s Hz kHz MHz mHz 1/min 1/h|W kW mW MW J/s hp|V mV kV MV μV J/C|"
    "rad/s^2 rev/s^2 deg/s^2 mrad/s^2 rad/min^2 rad/ms^2|rad/s rev/s deg/s rad/min rad/ms mrad/s rpm"
)


def _partners(reading: Reading) -> list[tuple[str, float]]:
    """Units of the dimension of a reading, with its value in each."""
    found = []
    if not any(reading.quantity.dimension):
        return []
    for unit in dict.fromkeys(_UNITS.replace("|", " ").split()):
        one = read_number(f"1 {unit}")
        if one is not None and one.quantity.dimension == reading.quantity.dimension:
            found.append((unit, reading.absolute.value / one.quantity.value))
    return found


@pytest.fixture(scope="session")
def official() -> Callable[[str, str, str], bool]:
    """SciBench's rule, implemented a second time."""
    return _official


@pytest.fixture(scope="session")
def partners() -> Callable[[Reading], list[tuple[str, float]]]:
    """Units of the dimension of a reading, with its value in each."""
    return _partners
