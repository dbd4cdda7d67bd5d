"""From characters to the tokens that were generated. A text is never tokenised again.

``decode`` says which characters each generated token helped to write; ``Placer`` puts a completion's credit on them.
"""

from __future__ import annotations

import itertools
import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

from honewise.models.text import decode_text

__all__ = ["Decoded", "Placed", "Placement", "Placer", "decode"]

Placement = Literal["span_end", "spread", "terminal"]
TokenSpan = tuple[int, int]

_BYTE_OF = {char: byte for byte, char in bytes_to_unicode().items()}


@dataclass(frozen=True, slots=True)
class Decoded:
    """Generated ids as text."""

    text: str
    spans: tuple[TokenSpan, ...]
    """For each id, the characters ``[start, end)`` of ``text`` that it helped to write. Special tokens have zero
    width; tokens that share one character's bytes all overlap it."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One completion's credit on its tokens."""

    rewards: list[float]
    """One for each token; their sum is the credit's."""
    moved: int
    """Spans that overlap no token of the policy's and went to the end of the completion."""


def decode(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> Decoded:
    """The text of generated ids and the characters of each.

    Tokenizers whose tokens are bytes or pieces of text (byte-level BPE, SentencePiece with or without byte fallback,
    whole words, word pieces) are read from their own table; any other is asked to decode every prefix. Either way the
    text is the tokenizer's.
    """
    text = decode_text(tokenizer, ids)
    table = _table(tokenizer)
    spans = table.spans(ids, text) if table is not None else None
    return Decoded(text, tuple(_by_prefixes(tokenizer, ids, text) if spans is None else spans))


class Placer:
    """Puts credit in characters onto the tokens of one completion; nothing is lost and nothing is added.

    ``tokens``: ``Decoded.spans``. ``policy_wrote``: one flag for each token, False for text that a tool put in; credit
    that falls there moves to the policy's last token before it. ``placement``: ``span_end`` puts a span's value on its
    last token, ``spread`` shares it evenly among its tokens, ``terminal`` puts everything at the end.
    """

    def __init__(self, tokens: Sequence[TokenSpan], policy_wrote: Sequence[bool], placement: Placement) -> None:
        self._tokens, self._placement = tokens, placement
        self._last_before = _last_policy_token(policy_wrote)
        self._end = self._last_before[-1] if self._last_before else -1
        self._overlaps: _Overlaps | None = None

    def place(self, spans: Sequence[tuple[int, int, float]], terminal: float) -> Placed:
        """``spans``: ``(start, end, value)`` in characters; one that overlaps no token goes to the end and is counted.
        ``terminal``: credit of the whole completion, which goes to the last token that the policy wrote."""
        rewards = [0.0] * len(self._tokens)
        if self._end < 0:
            return Placed(rewards, len(spans))
        moved = 0
        rewards[self._end] += terminal
        for start, stop, value in spans:
            if self._placement == "terminal":
                rewards[self._end] += value
                continue
            targets = self._targets(start, stop)
            if not targets:
                moved += 1
                targets = [self._end]
            for target in targets:
                rewards[target] += value / len(targets)
        return Placed(rewards, moved)

    def _targets(self, start: int, stop: int) -> list[int]:
        if self._overlaps is None:
            self._overlaps = _Overlaps(self._tokens)
        wrote = self._overlaps.find(start, stop)
        chosen = wrote if self._placement == "spread" else wrote[-1:]
        return [self._last_before[i] for i in chosen if self._last_before[i] >= 0]


class _Overlaps:
    """Which tokens overlap a stretch of characters. Tokens follow one another, so that two searches do; where they do
    not, every one is looked at."""

    def __init__(self, tokens: Sequence[TokenSpan]) -> None:
        self._tokens = tokens
        self._starts, self._ends = [first for first, _ in tokens], [last for _, last in tokens]
        self._sorted = all(a <= b for each in (self._starts, self._ends) for a, b in itertools.pairwise(each))

    def find(self, start: int, stop: int) -> list[int]:
        low, high = 0, len(self._tokens)
        if self._sorted:
            low, high = bisect_right(self._ends, start), bisect_left(self._starts, stop)
        return [i for i, (first, last) in enumerate(self._tokens[low:high], low) if max(first, start) < min(last, stop)]


def _last_policy_token(policy_wrote: Sequence[bool]) -> list[int]:
    """For each place, the last token at or before it that the policy wrote; -1 where there is none."""
    last, found = -1, []
    for i, own in enumerate(policy_wrote):
        last = i if own else last
        found.append(last)
    return found


@dataclass(frozen=True, slots=True)
class _Table:
    """What each id writes, as bytes; whether broken bytes are replaced one by one; how a leading space is treated."""

    pieces: dict[int, bytes]
    """Special tokens write nothing."""
    special: frozenset[int]
    single_bytes: frozenset[int]
    """Ids of byte-fallback tokens; empty for byte-level tokenizers."""

    def spans(self, ids: Sequence[int], text: str) -> list[TokenSpan] | None:
        """None where the table does not give exactly ``text``."""
        parts = [self.pieces[i] for i in ids if i in self.pieces]
        if len(parts) < len(ids):
            return None
        if text.isascii() and text.encode() == b"".join(parts):
            return list(itertools.pairwise(itertools.accumulate(map(len, parts), initial=0)))
        chars, owner = self._characters(ids, parts)
        drop = 0
        if chars != text:
            drop = len(chars) - len(text)
            if drop <= 0 or chars[drop:] != text or chars[:drop].strip(" "):
                return None
        spans, at = [], 0
        for part in parts:
            first = owner[at]
            end = owner[at + len(part) - 1] + 1 if part else first
            spans.append((max(first - drop, 0), max(end - drop, 0)))
            at += len(part)
        return spans

    def _characters(self, ids: Sequence[int], parts: Sequence[bytes]) -> tuple[str, list[int]]:
        """The text, and for each byte the index of its character; one entry more for the end."""
        if not self.single_bytes:
            return _lossy(b"".join(parts))
        text, owner, run = "", [], b""
        for i, part in zip([*ids, -1], [*parts, b""], strict=True):
            if i in self.single_bytes:
                run += part
                continue
            if i in self.special:
                continue
            for chunk, whole in ((run, False), (part, True)):
                if not chunk:
                    continue
                piece, places = _strict_or_single(chunk) if not whole else _lossy(chunk)
                owner += [len(text) + place for place in places[:-1]]
                text += piece
            run = b""
        return text, [*owner, len(text)]


@dataclass(frozen=True, slots=True)
class _Words:
    """Tokens that are words, put together with spaces between them, or word pieces, which go on after their mark."""

    words: dict[int, str]
    special: frozenset[int]
    mark: str | None = None
    """Begins a word piece that goes on, such as ``##``."""

    def spans(self, ids: Sequence[int], text: str) -> list[TokenSpan] | None:
        """None where the table does not give exactly ``text``."""
        if any(i not in self.words for i in ids):
            return None
        pieces, spans, at, begun = [], [], 0, False
        for i in ids:
            piece = ""
            if i not in self.special:
                piece = self._written(self.words[i]) if begun else self.words[i]
                begun = True
            pieces.append(piece)
            spans.append((at, at + len(piece)))
            at += len(piece)
        return spans if "".join(pieces) == text else None

    def _written(self, word: str) -> str:
        goes_on = self.mark is not None and word.startswith(self.mark)
        return word[len(self.mark or "") :] if goes_on else f" {word}"


def _lossy(data: bytes) -> tuple[str, list[int]]:
    """UTF-8 with U+FFFD for each broken part, as decoders of byte-level tokenizers do, and each byte's character."""
    if data.isascii():
        return data.decode("ascii"), list(range(len(data) + 1))
    text, owner, at = "", [], 0
    while at < len(data):
        broken = b""
        try:
            sound = data[at:].decode("utf-8")
        except UnicodeDecodeError as error:
            sound, broken = data[at : at + error.start].decode("utf-8"), data[at + error.start : at + error.end]
        for char in sound:
            owner += [len(text)] * len(char.encode("utf-8"))
            text += char
        if broken:
            owner += [len(text)] * len(broken)
            text += "\ufffd"
        at = len(owner)
    return text, [*owner, len(text)]


def _strict_or_single(data: bytes) -> tuple[str, list[int]]:
    """A run of byte-fallback tokens: its text, or one U+FFFD for each byte where it is not UTF-8 as a whole."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "\ufffd" * len(data), list(range(len(data) + 1))
    return _lossy(data)


_TABLES: WeakKeyDictionary[Any, tuple[int, _Table | _Words | None]] = WeakKeyDictionary()


def _table(tokenizer: PreTrainedTokenizerBase) -> _Table | _Words | None:
    """What each id of the tokenizer writes; None where its decoder is of another kind."""
    size = len(tokenizer)
    known = _TABLES.get(tokenizer)
    if known is None or known[0] != size:
        known = (size, _build_table(tokenizer))
        _TABLES[tokenizer] = known
    return known[1]


def _build_table(tokenizer: PreTrainedTokenizerBase) -> _Table | _Words | None:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    decoder = json.loads(backend.to_str()).get("decoder") or {}
    kinds = [part["type"] for part in decoder.get("decoders", [decoder]) if part.get("type")]
    special = frozenset(i for i, token in tokenizer.added_tokens_decoder.items() if token.special)
    vocabulary = {i: token for token, i in tokenizer.get_vocab().items()}
    silent = dict.fromkeys(special, b"")
    if kinds == ["ByteLevel"]:
        return _Table({i: _byte_level(token) for i, token in vocabulary.items()} | silent, special, frozenset())
    if kinds and set(kinds) <= {"Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"}:
        fallback = "ByteFallback" in kinds
        singles = {i: int(t[3:5], 16) for i, t in vocabulary.items() if fallback and _is_byte_token(t)}
        pieces = {i: token.replace("\u2581", " ").encode("utf-8", "replace") for i, token in vocabulary.items()}
        pieces |= {i: bytes([byte]) for i, byte in singles.items()}
        return _Table(pieces | silent, special, frozenset(singles))
    if special.issuperset(tokenizer.all_special_ids):
        if not decoder:
            return _Words(vocabulary, special)
        if kinds == ["WordPiece"] and not decoder.get("cleanup", True):
            return _Words(vocabulary, special, decoder["prefix"])
    return None


def _byte_level(token: str) -> bytes:
    """GPT-2's printable stand-ins back to bytes; a token with any other character is text as it stands."""
    if all(char in _BYTE_OF for char in token):
        return bytes(_BYTE_OF[char] for char in token)
    return token.encode("utf-8")


def _is_byte_token(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">") and _is_hex(token[3:5])


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)


def _by_prefixes(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], text: str) -> list[TokenSpan]:
    """Spans from how far the decoded prefixes agree with the whole; the last resort, quadratic in the length."""
    spans: list[TokenSpan] = []
    special, done = set(tokenizer.all_special_ids), 0
    for count, token in enumerate(ids, 1):
        if token in special:
            spans.append((done, done))
            continue
        prefix = decode_text(tokenizer, ids[:count])
        agreed = _common_prefix(prefix, text, done)
        begun = agreed + 1 if len(prefix) > agreed and agreed < len(text) else agreed
        spans.append((done, begun))
        done = agreed
    return spans


def _common_prefix(one: str, other: str, start: int) -> int:
    """Length of the common prefix; never less than ``start``."""
    shortest, at = min(len(one), len(other)), start
    while at < shortest and one[at] == other[at]:
        at += 1
    return at
