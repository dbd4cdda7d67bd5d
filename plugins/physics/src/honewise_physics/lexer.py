"""From text to tokens: numbers, names and signs, in plain writing, Unicode and LaTeX alike.

Every token knows the characters it was made of, so that credit can lie on them. Nothing is rewritten before it is read,
and the time is linear in the text.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["FUNCTIONS", "MOST_CHARACTERS", "Token", "tokens"]

MOST_CHARACTERS = 4_000
"""Longest text that is read as one expression; more is unreadable."""

Kind = Literal["number", "name", "function", "sign", "other"]

FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
        "exp",
        "ln",
        "log",
        "lg",
        "sqrt",
        "cbrt",
        "abs",
        "asin",
        "acos",
        "atan",
    ]
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str
    """A name or function as it is compared; a sign in its plain form (``* / ^ + - = ~ ( ) { } , ; | pm frac``)."""
    start: int
    end: int
    value: float = 0.0
    """Of a number."""
    error: float = 0.0
    """Half a unit of a number's last digit; 0 for an integer, which is taken to be exact."""
    digits: int = 0
    """Significant digits of a number."""
    upright: bool = False
    """A name in ``\\mathrm`` or ``\\text``: a unit or a word rather than a product of letters."""


_NUMBER = re.compile(r"(?:[0-9]{1,3}(?:(?:,|\{,\})[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+")
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]{1,4})(?![0-9A-Za-z])")
_COMMAND = re.compile(r"\\(?:[A-Za-z]+|.)", re.DOTALL)
_WORD = re.compile(
    r"(?:(?![xXeE][0-9])[^\W\d_]+(?:[0-9]{1,2}(?![0-9.]))?|[^\W\d_]+)(?:_(?:\{[^{}]{0,40}\}|[^\W_]+))?'*"
)

_SIGNS = {
    **dict.fromkeys("*×·⋅∙∗•", "*"),
    **dict.fromkeys("-−–‐‑—", "-"),
    **dict.fromkeys("/÷⁄∕", "/"),
    **dict.fromkeys("≈≃≅∼", "~"),
    **{sign: sign for sign in "+^=(){}[],;|<>:!"},
    "±": "pm",
    "√": "sqrt",
    "≤": "<",
    "≥": ">",
}
_COMMANDS = {
    **dict.fromkeys(("times", "cdot", "ast", "bullet"), "*"),
    **dict.fromkeys(("approx", "simeq", "sim", "cong", "doteq"), "~"),
    **dict.fromkeys(("frac", "dfrac", "tfrac", "cfrac"), "frac"),
    **dict.fromkeys(("leq", "le", "lt"), "<"),
    **dict.fromkeys(("geq", "ge", "gt"), ">"),
    **dict.fromkeys(("lvert", "rvert", "vert", "mid"), "|"),
    **dict.fromkeys(("lbrace", "{"), "("),
    **dict.fromkeys(("rbrace", "}"), ")"),
    **dict.fromkeys(("Rightarrow", "implies", "to", "rightarrow", "therefore", "\\"), ";"),
    "div": "/",
    "pm": "pm",
    "equiv": "=",
}
_BLANK = frozenset(
    [
        "left",
        "right",
        "big",
        "Big",
        "bigg",
        "Bigg",
        "displaystyle",
        "textstyle",
        "limits",
        "quad",
        "qquad",
        "hspace",
        ",",
        ";",
        ":",
        "!",
        ">",
        "rm",
        "it",
        "bf",
        "hfill",
        "nolimits",
    ]
) | {" "}
_UPRIGHT = frozenset(
    [
        "mathrm",
        "text",
        "textrm",
        "mathit",
        "textit",
        "mathsf",
        "mathbf",
        "textbf",
        "rm",
        "operatorname",
        "mathop",
        "mbox",
        "unit",
    ]
)
_DROPPED = frozenset(["hat", "vec", "overline", "bar", "boldsymbol", "overrightarrow", "widehat"])
_GREEK = {
    "mu": "μ", "Omega": "Ω", "omega": "ω", "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "Delta": "Δ",
    "epsilon": "ε", "varepsilon": "ε", "theta": "θ", "vartheta": "θ", "lambda": "λ", "Lambda": "Λ", "rho": "ρ",
    "sigma": "σ", "Sigma": "Σ", "tau": "τ", "phi": "φ", "varphi": "φ", "Phi": "Φ", "psi": "ψ", "Psi": "Ψ", "chi": "χ",
    "eta": "η", "kappa": "κ", "nu": "ν", "xi": "ξ", "zeta": "ζ", "hbar": "ħ", "ell": "ℓ", "Gamma": "Γ", "Theta": "Θ",
}  # fmt: skip
_NAMES = {"pi": "π", "circ": "°", "degree": "°", "AA": "Å", "angstrom": "Å", "infty": "∞", "%": "%", **_GREEK}
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
_FRACTIONS = {"½": 0.5, "¼": 0.25, "¾": 0.75, "⅓": 1 / 3, "⅔": 2 / 3, "⅛": 0.125}
_SAME = str.maketrans({"µ": "μ", "Ω": "Ω", "Å": "Å", "ϕ": "φ", "ϵ": "ε", "ϑ": "θ", "٫": ".", "٬": ","})


def tokens(text: str) -> list[Token] | None:
    """The tokens of ``text``; None where it is longer than ``MOST_CHARACTERS``.

    A mantissa and its power of ten are one number: ``1.5 \\times 10^{3}``, ``1.5e3`` and ``1.5 x 10^3`` alike.

    >>> [token.text for token in tokens(r"\\frac{1}{2} m v^2") or []]
    ['frac', '{', '1', '}', '{', '2', '}', 'm', 'v', '^', '2']
    """
    if len(text) > MOST_CHARACTERS:
        return None
    plain = text.translate(_SAME)
    if not plain.isascii():
        plain = "".join(_digit(character) for character in plain)
    return _with_powers(_degrees(list(_scan(plain))))


def _digit(character: str) -> str:
    if character.isascii() or not character.isdecimal():
        return character
    return str(unicodedata.decimal(character))


def _scan(text: str) -> Iterator[Token]:
    at, size = 0, len(text)
    closing: list[bool] = []
    """For each open brace, whether it is only the frame of an upright text and says nothing."""
    upright = 0
    while at < size:
        character = text[at]
        if character.isspace() or character in "~$&":
            at += 1
        elif "0" <= character <= "9" or (character == "." and text[at + 1 : at + 2].isdecimal()):
            token = _number(text, at)
            yield token
            at = token.end
        elif character == "\\":
            match = _COMMAND.match(text, at)
            end = match.end() if match else at + 1
            name = text[at + 1 : end]
            if name in _UPRIGHT or name in _DROPPED:
                brace = _skip_blanks(text, end)
                if text[brace : brace + 1] == "{":
                    closing.append(True)
                    upright += 1
                    end = brace + 1
            elif name in ("left", "right") and text[end : end + 1] == ".":
                end += 1
            elif name not in _BLANK:
                yield _command(name, at, end)
            at = end
        elif character in _RAISED:
            end = at
            while end < size and text[end] in _RAISED:
                end += 1
            yield from _raised("".join(_RAISED[each] for each in text[at:end]), at, end)
            at = end
        elif character in "{}":
            if character == "{":
                closing.append(False)
            framed = character == "}" and bool(closing) and closing.pop()
            upright -= framed
            if not framed:
                yield Token("sign", character, at, at + 1)
            at += 1
        elif character == "*" and text[at + 1 : at + 2] == "*":
            yield Token("sign", "^", at, at + 2)
            at += 2
        elif character not in _FRACTIONS and character not in _SIGNS and (match := _WORD.match(text, at)):
            yield _word(match[0], at, match.end(), upright > 0)
            at = match.end()
        else:
            yield _single(character, at)
            at += 1


def _raised(raised: str, start: int, end: int) -> Iterator[Token]:
    """Characters that stand above the line: a power, with its sign."""
    yield Token("sign", "^", start, start)
    if raised[0] in "+-":
        yield Token("sign", raised[0], start, start)
        raised = raised[1:]
    if raised[:1].isdigit():
        yield replace(_number(raised + " ", 0), start=start, end=end)
    else:
        yield Token("other", raised, start, end)


def _single(character: str, at: int) -> Token:
    """A token of one character that begins nothing longer."""
    if character in _FRACTIONS:
        return Token("number", character, at, at + 1, _FRACTIONS[character], 0.0, 3)
    if character in _SIGNS:
        sign = _SIGNS[character]
        return Token("function" if sign == "sqrt" else "sign", sign, at, at + 1)
    if character in "°%∞℃":
        return Token("name", "°C" if character == "℃" else character, at, at + 1, upright=True)
    return Token("other", character, at, at + 1)


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\n":
        at += 1
    return at


def _command(name: str, start: int, end: int) -> Token:
    if name in FUNCTIONS:
        return Token("function", name, start, end)
    if name in _COMMANDS:
        return Token("sign", _COMMANDS[name], start, end)
    if name in _NAMES:
        return Token("name", _NAMES[name], start, end)
    return Token("other", name, start, end)


def _word(word: str, start: int, end: int, upright: bool) -> Token:
    if word in FUNCTIONS:
        return Token("function", word, start, end)
    base, mark, index = word.partition("_")
    index = index.strip("{}")
    name = {"pi": "π"}.get(base, base)
    return Token("name", f"{name}_{index}" if mark else name, start, end, upright=upright)


def _number(text: str, start: int) -> Token:
    match = _NUMBER.match(text, start)
    assert match is not None
    end = match.end()
    written = match[0].replace("{,}", "").replace(",", "")
    power = 0
    exponent = _EXPONENT.match(text, end)
    if exponent:
        power, end = int(exponent[1]), exponent.end()
    return _made(written, power, bool(exponent), start, end)


def _made(written: str, power: int, scientific: bool, start: int, end: int) -> Token:
    whole, point, decimals = written.partition(".")
    significant = len((whole + decimals).lstrip("0")) or 1
    value = _float(f"{written}e{power}")
    error = 0.0 if not point and not scientific else _float(f"5e{power - len(decimals) - 1}")
    return Token("number", written, start, end, value, error, significant)


def _float(text: str) -> float:
    try:
        return float(text)
    except (ValueError, OverflowError):
        return math.inf


def _degrees(found: list[Token]) -> list[Token]:
    """``^\\circ`` and ``^{\\circ}`` are the degree sign; ``° C`` is one unit."""
    result: list[Token] = []
    at = 0
    while at < len(found):
        token = found[at]
        if token.text == "^" and token.kind == "sign":
            if _is(found, at + 1, "°"):
                at += 1
                continue
            if _is(found, at + 1, "{") and _is(found, at + 2, "°") and _is(found, at + 3, "}"):
                result.append(replace(found[at + 2], start=token.start, end=found[at + 3].end))
                at += 4
                continue
        if token.kind == "name" and token.text in ("C", "F", "K") and result and result[-1].text == "°":
            degree = result.pop()
            token = replace(token, text=f"°{token.text}" if token.text != "K" else "K", start=degree.start)
        result.append(token)
        at += 1
    return result


def _is(found: list[Token], at: int, text: str) -> bool:
    return 0 <= at < len(found) and found[at].text == text


def _with_powers(found: list[Token]) -> list[Token]:
    result: list[Token] = []
    at = 0
    while at < len(found):
        token = found[at]
        read = _power_of_ten(found, at + 2) if token.kind == "number" and _times(found, at + 1) else None
        if read is not None and not _is(result, len(result) - 1, "^"):
            power, after = read
            result.append(_made(token.text, power, True, token.start, found[after - 1].end))
            at = after
            continue
        result.append(token)
        at += 1
    return result


def _times(found: list[Token], at: int) -> bool:
    return at < len(found) and (
        (found[at].kind == "sign" and found[at].text == "*") or (found[at].kind == "name" and found[at].text in "xX")
    )


def _power_of_ten(found: list[Token], at: int) -> tuple[int, int] | None:
    """The integer ``k`` of ``10^k`` or ``10^{k}`` at ``at``, and where the next token stands."""
    if not (_is(found, at, "10") and found[at].kind == "number" and _is(found, at + 1, "^")):
        return None
    at += 2
    framed = _is(found, at, "{") or _is(found, at, "(")
    at += framed
    sign = 1
    if _is(found, at, "-") or _is(found, at, "+"):
        sign = -1 if found[at].text == "-" else 1
        at += 1
    if at >= len(found) or found[at].kind != "number" or not found[at].text.isdigit() or len(found[at].text) > 3:
        return None
    power = sign * int(found[at].text)
    at += 1
    if framed:
        if not (_is(found, at, "}") or _is(found, at, ")")):
            return None
        at += 1
    return power, at
