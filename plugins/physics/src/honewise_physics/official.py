"""The rules by which SciBench and JEEBench themselves call an answer right; our own reading of them.

SciBench (arXiv 2307.10635): a power of ten in the unit is moved into the number; numbers are compared to 5 %; units are
not looked at. JEEBench (arXiv 2305.15074): options as sets, a quarter of a mark for each where only right ones of
several are named; numbers to 0.01.
"""

from __future__ import annotations

import math
import re

__all__ = ["jee_marks", "power_of_ten", "scibench_right", "without_power"]

_POWER = re.compile(r"\$? *10\^\{? *(-?[0-9]{1,4}) *\}? *\$?")
_BARE_POWER = re.compile(r"10\^\{? *(-?[0-9]{1,4}) *\}?")


def power_of_ten(unit: str) -> int | None:
    """The exponent of the power of ten in a unit as SciBench writes it; None where there is none.

    >>> power_of_ten(r" $10^{-10} \\mathrm{~N}$"), power_of_ten("m")
    (-10, None)
    """
    found = _POWER.search(unit)
    return int(found[1]) if found else None


def without_power(unit: str) -> str:
    """The unit after its last power of ten, as SciBench tells it to the model; unchanged where it has none."""
    rest = _POWER.sub("\0", unit).rpartition("\0")[2]
    return rest if power_of_ten(unit) is not None and rest.strip(" $\r\n") else unit


def scibench_right(answer: str, gold: str, unit: str) -> bool:
    """SciBench's rule on the inside of a box: what stands after the last ``=``, commas left out.

    Where the unit carries a power of ten, and another text is left of it, the gold number is multiplied by it and an
    answer ``a \\times 10^{b}`` (or with ``*``) is worked out; elsewhere such an answer counts by its first word alone.

    >>> scibench_right("1.24e-7", "1.2", "$10^{-7}$ m"), scibench_right("1.2 m/s", "1.2", "m/s")
    (True, True)
    """
    said = answer.rpartition("=")[2].lstrip(" ") if "=" in answer else answer
    wanted = _number(gold.strip())
    if without_power(unit) != unit:
        power = power_of_ten(unit)
        wanted = None if wanted is None or power is None else _scaled(wanted, power)
        said = _worked_out(said)
    if wanted is None:
        return False
    said = said.replace(",", "")
    words = said.split()
    tries = [said.strip(), *words[:1]]
    return any(number is not None and math.isclose(number, wanted, rel_tol=0.05) for number in map(_number, tries))


def _worked_out(said: str) -> str:
    for sign in ("\\times", "*"):
        if sign in said:
            halves = said.split(sign)
            power = _BARE_POWER.search(halves[1]) if len(halves) == 2 else None
            mantissa = _number(halves[0].strip())
            scaled = _scaled(mantissa, int(power[1])) if mantissa is not None and power is not None else None
            return said if scaled is None else repr(scaled)
    return said


def _scaled(number: float, power: int) -> float | None:
    try:
        return number * 10.0**power
    except OverflowError:
        return None


def _number(text: str) -> float | None:
    if len(text) > 400 or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def jee_marks(said: frozenset[str], gold: frozenset[str], *, several: bool) -> float:
    """JEE's marks for chosen options, as a share of full marks.

    >>> jee_marks(frozenset("A"), frozenset("AC"), several=True)
    0.25
    >>> jee_marks(frozenset("AB"), frozenset("AC"), several=True)
    0.0
    """
    if said == gold:
        return 1.0
    return 0.25 * len(said) if several and said < gold else 0.0
