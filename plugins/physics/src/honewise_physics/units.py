"""Units: which names there are, what they are worth in SI, and unit expressions such as ``kg m^2 / s^2``.

The facts come from pint, one plain name at a time out of the tables below; no text is ever given to pint's own parser,
which would work out what stands in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

__all__ = ["DIMENSIONS", "NONE", "Dimension", "Unit", "show_dimension", "unit_named"]

Dimension = tuple[Fraction, ...]
"""Exponents of length, mass, time, current, temperature, amount, luminous intensity."""

DIMENSIONS = ("[length]", "[mass]", "[time]", "[current]", "[temperature]", "[substance]", "[luminosity]")
_SYMBOLS = ("m", "kg", "s", "A", "K", "mol", "cd")
NONE: Dimension = (Fraction(0),) * 7


@dataclass(frozen=True, slots=True)
class Unit:
    """One named unit. ``value`` of it is ``value * factor + offset`` in SI."""

    factor: float
    dimension: Dimension
    offset: float = 0.0


_PREFIXES = {
    "Y": "yotta", "Z": "zetta", "E": "exa", "P": "peta", "T": "tera", "G": "giga", "M": "mega", "k": "kilo",
    "h": "hecto", "da": "deca", "d": "deci", "c": "centi", "m": "milli", "μ": "micro", "u": "micro", "n": "nano",
    "p": "pico", "f": "femto", "a": "atto", "z": "zepto", "y": "yocto",
}  # fmt: skip

_PREFIXED = {
    "m": "meter", "g": "gram", "s": "second", "A": "ampere", "K": "kelvin", "mol": "mole", "cd": "candela",
    "N": "newton", "J": "joule", "W": "watt", "Pa": "pascal", "Hz": "hertz", "C": "coulomb", "V": "volt",
    "F": "farad", "Ω": "ohm", "ohm": "ohm", "S": "siemens", "T": "tesla", "Wb": "weber", "H": "henry",
    "eV": "electron_volt", "L": "liter", "l": "liter", "ℓ": "liter", "bar": "bar", "cal": "calorie", "lm": "lumen",
    "lx": "lux", "Bq": "becquerel", "Gy": "gray", "Sv": "sievert", "pc": "parsec", "rad": "radian", "Wh": "watt_hour",
    "sr": "steradian", "Da": "dalton", "yr": "year", "Torr": "torr", "VA": "volt_ampere", "Ci": "curie", "dyn": "dyne",
}  # fmt: skip

_PLAIN = {
    "min": "minute", "h": "hour", "hr": "hour", "hrs": "hour", "sec": "second", "d": "day", "a": "year", "°": "degree",
    "deg": "degree", "atm": "standard_atmosphere", "mmHg": "millimeter_Hg", "torr": "torr", "Å": "angstrom",
    "AU": "astronomical_unit", "au": "astronomical_unit", "ly": "light_year", "lb": "pound", "lbs": "pound",
    "lbf": "force_pound", "ft": "foot", "in": "inch", "mi": "mile", "yd": "yard", "mph": "mile_per_hour",
    "kph": "kilometer_per_hour", "e": "elementary_charge", "u": "unified_atomic_mass_unit",
    "amu": "unified_atomic_mass_unit", "Btu": "british_thermal_unit", "BTU": "british_thermal_unit",
    "hp": "horsepower", "psi": "pound_force_per_square_inch", "rpm": "revolutions_per_minute", "rev": "revolution",
    "cc": "cubic_centimeter", "gal": "gallon", "ha": "hectare", "oz": "ounce", "erg": "erg", "kn": "knot",
    "Gs": "gauss", "kgf": "kilogram_force", "t": "metric_ton",
}  # fmt: skip

_WORDS = {
    **{
        word: word
        for word in [
            "meter",
            "gram",
            "second",
            "ampere",
            "kelvin",
            "mole",
            "candela",
            "newton",
            "joule",
            "watt",
            "pascal",
            "hertz",
            "coulomb",
            "volt",
            "farad",
            "ohm",
            "siemens",
            "tesla",
            "weber",
            "henry",
            "liter",
            "bar",
            "calorie",
            "lumen",
            "lux",
            "becquerel",
            "gray",
            "sievert",
            "parsec",
            "radian",
            "dalton",
            "steradian",
        ]
    },
    "metre": "meter",
    "litre": "liter",
    "electronvolt": "electron_volt",
    "amp": "ampere",
}
_MORE_WORDS = {
    **{
        word: word
        for word in [
            "minute",
            "hour",
            "day",
            "week",
            "month",
            "year",
            "degree",
            "atmosphere",
            "angstrom",
            "inch",
            "foot",
            "yard",
            "mile",
            "pound",
            "ounce",
            "gallon",
            "revolution",
            "gauss",
            "dyne",
            "erg",
            "tonne",
            "turn",
            "torr",
            "gramme",
            "horsepower",
        ]
    },
    "feet": "foot",
    "atmosphere": "standard_atmosphere",
    "tonne": "metric_ton",
    "gramme": "gram",
    "micron": "micrometer",
    "celsius": "degree_Celsius",
    "lightyear": "light_year",
    "percent": "percent",
}

_OFFSET = {"°C": "degree_Celsius", "degC": "degree_Celsius", "celsius": "degree_Celsius", "°F": "degree_Fahrenheit",
           "degF": "degree_Fahrenheit"}  # fmt: skip
_RATIOS = {"%": 0.01, "percent": 0.01, "‰": 0.001, "ppm": 1e-6, "ppb": 1e-9}


@lru_cache(maxsize=4096)
def unit_named(name: str) -> Unit | None:
    """The unit behind a symbol or an English word, with its prefix; None where there is none.

    >>> unit = unit_named("km")
    >>> unit.factor, unit.offset
    (1000.0, 0.0)
    >>> unit_named("furry") is None
    True
    """
    if len(name) > 24:
        return None
    if name in _RATIOS:
        return Unit(_RATIOS[name], NONE)
    if name in _OFFSET:
        return _from_pint(_OFFSET[name])
    if name in _PLAIN:
        return _from_pint(_PLAIN[name])
    if name in _PREFIXED:
        return _from_pint(_PREFIXED[name])
    for length in (1, 2):
        prefix, symbol = name[:length], name[length:]
        if prefix in _PREFIXES and symbol in _PREFIXED:
            return _from_pint(_PREFIXES[prefix] + _PREFIXED[symbol])
    return _worded(name.lower())


def _worded(word: str) -> Unit | None:
    for form in (word, word.removesuffix("s"), word.removesuffix("es")):
        if form in _MORE_WORDS:
            return unit_named("%") if form == "percent" else _from_pint(_MORE_WORDS[form])
        if form in _WORDS:
            return _from_pint(_WORDS[form])
        for prefix in _PREFIXES.values():
            if form.startswith(prefix) and form[len(prefix) :] in _WORDS:
                return _from_pint(prefix + _WORDS[form[len(prefix) :]])
    return None


@cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry(cache_folder=None)


@cache
def _from_pint(name: str) -> Unit:
    registry = _registry()
    zero = registry.Quantity(0.0, name).to_base_units().magnitude
    base = registry.Quantity(1.0, name).to_base_units()
    found = dict(base.dimensionality)
    dimension = tuple(Fraction(found.get(key, 0)).limit_denominator(12) for key in DIMENSIONS)
    return Unit(float(base.magnitude - zero), dimension, float(zero))


def show_dimension(dimension: Dimension) -> str:
    """A dimension in SI units, for messages: ``kg m s^-2``; ``1`` where there is none."""
    parts = [
        symbol if power == 1 else f"{symbol}^{power}"
        for symbol, power in zip(_SYMBOLS, dimension, strict=True)
        if power
    ]
    return " ".join(parts) or "1"
