"""The sample problems: mechanics, electricity and heat, of our own making."""

from __future__ import annotations

from .problems import Given, Problem, Step

__all__ = ["SCHOOL", "SIMPLE"]

_ONES = tuple(range(2, 8))
_MASS = Given("kg", _ONES, 0.5, 90, {"g": 1e-3})
_SPEED = Given("m/s", _ONES, 1, 40, {"km/h": 1 / 3.6})
_TIME = Given("s", _ONES, 1, 60, {"min": 60.0})
_LENGTH = Given("m", _ONES, 0.5, 90, {"cm": 0.01, "km": 1000.0})
_FORCE = Given("N", _ONES, 2, 400, {"kN": 1000.0})
_CURRENT = Given("A", _ONES, 0.1, 12, {"mA": 1e-3})
_RESISTANCE = Given("Ω", _ONES, 1, 400, {"kΩ": 1000.0})
_VOLTAGE = Given("V", _ONES, 1, 240, {"mV": 1e-3})
_POWER = Given("W", _ONES, 5, 900, {"kW": 1000.0})

SIMPLE: tuple[Problem, ...] = (
    Problem(
        "distance",
        "mechanics",
        {"v": _SPEED, "t": _TIME},
        (
            ("A cart", "A train", "A bird", "A boat", "A runner"),
            (" moves at {v} for {t}.", " keeps a speed of {v} for {t}.", " needs {t} at {v} for a trip."),
            (" Find the distance.", " How far does it get?", " What way does it cover?"),
        ),
        (Step("d", "m", "{v} * {t}"),),
    ),
    Problem(
        "force",
        "mechanics",
        {"m": _MASS, "a": Given("m/s^2", _ONES, 0.2, 12)},
        (
            ("A box", "A sledge", "A crate", "A toy", "A cart"),
            (
                " of {m} is sped up at {a}.",
                " with a mass of {m} has an acceleration of {a}.",
                " gains {a}; its mass is {m}.",
            ),
            (" Find the force.", " What force acts?", " How hard is it pushed?"),
        ),
        (Step("F", "N", "{m} * {a}"),),
    ),
    Problem(
        "momentum",
        "mechanics",
        {"m": _MASS, "v": _SPEED},
        (
            ("A ball", "A stone", "A puck", "A cart", "A sledge"),
            (" of {m} moves at {v}.", " with a mass of {m} has a speed of {v}.", " flies at {v}; its mass is {m}."),
            (" Find the momentum.", " What is its momentum?", " How large is its momentum?"),
        ),
        (Step("p", "kg m/s", "{m} * {v}"),),
    ),
    Problem(
        "voltage",
        "electricity",
        {"I": _CURRENT, "R": _RESISTANCE},
        (
            ("A lamp", "A wire", "A heater", "A coil", "A bulb"),
            (
                " of {R} carries {I}.",
                " with a resistance of {R} has a current of {I}.",
                " lets {I} through; it has {R}.",
            ),
            (" Find the voltage.", " What voltage is on it?", " How many volts are on it?"),
        ),
        (Step("U", "V", "{I} * {R}"),),
    ),
    Problem(
        "charge",
        "electricity",
        {"I": _CURRENT, "t": _TIME},
        (
            ("A wire", "A cell", "A motor", "A cable", "A fuse"),
            (" carries {I} for {t}.", " has a current of {I} for {t}.", " is on for {t} at {I}."),
            (" Find the charge.", " What charge flows?", " How much charge goes through?"),
        ),
        (Step("Q", "C", "{I} * {t}"),),
    ),
    Problem(
        "force in two steps",
        "mechanics",
        {"m": _MASS, "u": _SPEED, "v": Given("m/s", tuple(range(4, 26)), 10, 60), "t": _TIME},
        (
            ("A cart", "A sledge", "A boat", "A car", "A train"),
            (
                " of {m} goes from {u} to {v} in {t}.",
                " with a mass of {m} gets from {u} to {v} in {t}.",
                " needs {t} from {u} to {v}; its mass is {m}.",
            ),
            (" Find the force.", " What force acts?", " How hard is it pushed?"),
        ),
        (Step("a", "m/s^2", "({v} - {u}) / {t}"), Step("F", "N", "{m} * {a}")),
    ),
    Problem(
        "power in two steps",
        "mechanics",
        {"F": _FORCE, "d": _LENGTH, "t": _TIME},
        (
            ("A horse", "A motor", "A winch", "A man", "A crane"),
            (
                " pulls with {F} over {d} in {t}.",
                " needs a force of {F} for {d} and takes {t}.",
                " takes {t} for {d} with {F}.",
            ),
            (" Find the power.", " What power is that?", " How many watts is that?"),
        ),
        (Step("W", "J", "{F} * {d}"), Step("P", "W", "{W} / {t}")),
    ),
    Problem(
        "series in two steps",
        "electricity",
        {"R1": _RESISTANCE, "R2": _RESISTANCE, "I": _CURRENT},
        (
            ("Two lamps", "Two wires", "Two coils", "Two heaters", "Two bulbs"),
            (
                " of {R1} and {R2} in a row carry {I}.",
                " with {R1} and {R2} have one current of {I}.",
                " let {I} through, one after the other; they have {R1} and {R2}.",
            ),
            (" Find the voltage.", " What voltage is on both?", " How many volts are on both?"),
        ),
        (Step("R", "Ω", "{R1} + {R2}"), Step("U", "V", "{I} * {R}")),
    ),
)

_GRAVITY = {"g": "9.81 m/s^2"}

SCHOOL: tuple[Problem, ...] = (
    Problem(
        "kinetic energy",
        "mechanics",
        {"m": _MASS, "v": _SPEED},
        (
            ("A cyclist", "A ball", "A falcon", "A parcel"),
            (
                " of mass {m} moves at {v}.",
                " with a mass of {m} has a speed of {v}.",
                " travels at {v}; its mass is {m}.",
            ),
            (" What is the kinetic energy?", " How much kinetic energy is that?", " Find its energy of motion."),
        ),
        (Step("E", "J", "1/2 * {m} * {v}^2"),),
    ),
    Problem(
        "speed of a fall",
        "mechanics",
        {"h": Given("m", _ONES, 0.5, 80, {"cm": 0.01})},
        (
            ("A stone", "A nut", "A drop", "A key"),
            (" falls from rest through {h}.", " is let go {h} above the ground.", " drops freely by {h}."),
            (
                " How fast is it then, without air (g = 9.81 m/s^2)?",
                " With which speed does it arrive (g = 9.81 m/s^2)?",
                " Find its final speed, with g = 9.81 m/s^2 and no drag.",
            ),
        ),
        (Step("v", "m/s", "sqrt(2 * {g} * {h})"),),
        _GRAVITY,
    ),
    Problem(
        "braking force",
        "mechanics",
        {
            "m": Given("kg", _ONES, 600, 2400),
            "u": Given("m/s", _ONES, 8, 45, {"km/h": 1 / 3.6}),
            "t": Given("s", _ONES, 2, 20),
        },
        (
            ("A car", "A van", "A tram", "A lorry"),
            (
                " of mass {m} slows evenly from {u} to rest in {t}.",
                " with a mass of {m} comes to a stop from {u} within {t}.",
                " takes {t} to stop from {u}; its mass is {m}.",
            ),
            (
                " Which force acts along its motion?",
                " Find the force, with its sign.",
                " What is the force on it, with its sign?",
            ),
        ),
        (Step("a", "m/s^2", "(0 m/s - {u}) / {t}"), Step("F", "N", "{m} * {a}")),
    ),
    Problem(
        "lifting",
        "mechanics",
        {
            "m": Given("kg", _ONES, 5, 900),
            "h": Given("m", _ONES, 1, 60, {"cm": 0.01}),
            "t": Given("s", _ONES, 2, 90, {"min": 60.0}),
        },
        (
            ("A crane", "A lift", "A winch", "A pulley"),
            (
                " raises {m} by {h} in {t}.",
                " takes {t} to lift a load of {m} through {h}.",
                " hoists a mass of {m} over {h} within {t}.",
            ),
            (
                " What is its mean power (g = 9.81 m/s^2)?",
                " Which power does that take on average (g = 9.81 m/s^2)?",
                " Find the mean power, with g = 9.81 m/s^2.",
            ),
        ),
        (Step("G", "N", "{m} * {g}"), Step("W", "J", "{G} * {h}"), Step("P", "W", "{W} / {t}")),
        _GRAVITY,
    ),
    Problem(
        "heater",
        "electricity",
        {"U": _VOLTAGE, "R": _RESISTANCE, "t": Given("s", _ONES, 20, 900, {"min": 60.0, "h": 3600.0})},
        (
            ("A heater", "A kettle", "A toaster", "A lamp"),
            (
                " of {R} is put on {U} for {t}.",
                " with a resistance of {R} runs at {U} for {t}.",
                " stays on for {t} at {U}; it has {R}.",
            ),
            (" How much heat does it give?", " What energy does it turn into heat?", " Find the heat."),
        ),
        (Step("I", "A", "{U} / {R}"), Step("P", "W", "{U} * {I}"), Step("Q", "J", "{P} * {t}")),
    ),
    Problem(
        "warming water",
        "heat",
        {
            "m": Given("kg", _ONES, 0.2, 8, {"g": 1e-3}),
            "D": Given("K", _ONES, 5, 75),
            "P": Given("W", _ONES, 300, 2500, {"kW": 1000.0}),
        },
        (
            ("A kettle", "A boiler", "A stove", "A heater"),
            (
                " of {P} warms {m} of water by {D}.",
                " gives {P} to {m} of water until it is {D} warmer.",
                " has to make {m} of water {D} warmer with {P}.",
            ),
            (
                " How long does it take (c = 4190 J/(kg K))?",
                " Find the time, with c = 4190 J/(kg K).",
                " Which time is needed (c = 4190 J/(kg K))?",
            ),
        ),
        (Step("Q", "J", "{m} * {c} * {D}"), Step("t", "s", "{Q} / {P}")),
        {"c": "4190 J/(kg K)"},
    ),
    Problem(
        "gas",
        "heat",
        {
            "n": Given("mol", _ONES, 0.2, 9),
            "T": Given("K", _ONES, 230, 420),
            "V": Given("m^3", _ONES, 0.005, 0.4, {"L": 1e-3}),
        },
        (
            ("A bottle", "A tank", "A cylinder", "A flask"),
            (
                " of {V} holds {n} of an ideal gas at {T}.",
                " with a volume of {V} has {n} of an ideal gas at {T} in it.",
                " is filled with {n} of an ideal gas at {T}; it has {V}.",
            ),
            (
                " What is the pressure (R = 8.314 J/(mol K))?",
                " Find the pressure, with R = 8.314 J/(mol K).",
                " Which pressure is in it (R = 8.314 J/(mol K))?",
            ),
        ),
        (Step("p", "Pa", "{n} * {R} * {T} / {V}"),),
        {"R": "8.314 J/(mol K)"},
    ),
    Problem(
        "wave",
        "waves",
        {
            "f": Given("Hz", _ONES, 20, 900, {"kHz": 1000.0}),
            "L": Given("m", _ONES, 0.02, 6, {"cm": 0.01}),
            "t": Given("s", _ONES, 1, 40),
        },
        (
            ("A wave", "A tone", "A ripple", "A signal"),
            (
                " of {f} has a wavelength of {L}.",
                " swings at {f} and is {L} long.",
                " with a wavelength of {L} swings at {f}.",
            ),
            (" How far does it get in {t}?", " What way does it go in {t}?", " Find its way in {t}."),
        ),
        (Step("w", "m/s", "{f} * {L}"), Step("d", "m", "{w} * {t}")),
    ),
)
