"""Who answers about labels: a person with a file, a person at a terminal, a stronger judge, a verifier.

A person sees two answers in an order that follows from the pair's id, and not which of them the label prefers.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import unicodedata
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from honewise.contracts import Judge
from honewise.errors import DataError, JudgeError

from .asking import together
from .prompt import Slot
from .protocols.pairwise import Pairwise
from .relabelling import Comparison
from .results import Preference

__all__ = ["FileAnnotator", "JudgeAnnotator", "TerminalAnnotator", "VerifierAnnotator"]


class FileAnnotator:
    """Writes questions to a file of JSON lines, and reads the answers that somebody has put there.

    Each line has ``id``, ``prompt``, ``answer_1``, ``answer_2`` and ``better``, which is null until it is set to 1 or
    2, or to 0 for no opinion. Call it again once the file is filled in: what is answered is returned, and further
    questions are added. Nothing that stands in the file is changed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    async def __call__(self, items: Sequence[Comparison], /) -> Mapping[str, bool]:
        known = self._read()
        new = [item for item in items if item.id not in known]
        if new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                for item in new:
                    first, second = _shown(item)
                    row = {"id": item.id, "prompt": item.prompt, "answer_1": first, "answer_2": second, "better": None}
                    file.write(json.dumps(row, ensure_ascii=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
        found = {item.id: known.get(item.id) for item in items}
        return {item.id: _stands(item, better) for item in items if (better := found[item.id]) in (1, 2)}

    def _read(self) -> dict[str, int | None]:
        """By id, what is said to be better."""
        if not self.path.exists():
            return {}
        found: dict[str, int | None] = {}
        for number, line in enumerate(self.path.read_text(encoding="utf-8").split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                identity, better = row["id"], row["better"]
                if not isinstance(identity, str):
                    raise TypeError(f"id must be text; given: {identity!r}")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise DataError(f"{self.path}, line {number}: is no question of this file ({error})") from None
            if better not in (None, 0, 1, 2) or isinstance(better, bool):
                raise DataError(f"{self.path}, line {number}: better must be 1, 2, 0 or null; given: {better!r}")
            found[identity] = better
        return found


class TerminalAnnotator:
    """Asks whoever sits at the terminal: 1, 2, s for no opinion, q to stop. Control characters are not shown."""

    def __init__(self, ask: Callable[[str], str] = input, show: Callable[[str], object] = print) -> None:
        self._ask, self._show = ask, show

    async def __call__(self, items: Sequence[Comparison], /) -> Mapping[str, bool]:
        answers: dict[str, bool] = {}
        for number, item in enumerate(items, 1):
            first, second = _shown(item)
            self._show(
                f"\n[{number} of {len(items)}] {_plain(item.prompt)}\n\n(1) {_plain(first)}\n\n(2) {_plain(second)}"
            )
            said = ""
            while said not in ("1", "2", "s", "q"):
                try:
                    said = self._ask("Better: 1, 2, s (no opinion), q (stop)? ").strip().casefold()
                except EOFError:
                    said = "q"
            if said == "q":
                break
            if said != "s":
                answers[item.id] = _stands(item, int(said))
        return answers


class JudgeAnnotator:
    """A stronger judge, asked by a pairwise protocol: an opinion where it prefers one answer.

    ``slots(item)`` gives what the template shows beside ``first`` and ``second``; left out, ``question``, the prompt.
    """

    def __init__(
        self, judge: Judge, protocol: Pairwise, slots: Callable[[Comparison], Mapping[str, Slot]] | None = None
    ) -> None:
        self._judge, self._protocol = judge, protocol
        self._slots = slots or (lambda item: {"question": item.prompt})

    async def __call__(self, items: Sequence[Comparison], /) -> Mapping[str, bool]:
        def ask(item: Comparison) -> Awaitable[Preference]:
            slots: dict[str, Any] = {**self._slots(item), "first": item.chosen, "second": item.rejected}
            return self._protocol(self._judge, **slots)

        found = await together(*map(ask, items))
        return {
            item.id: each.winner == 0
            for item, each in zip(items, found, strict=True)
            if not isinstance(each, JudgeError) and each.winner is not None
        }


class VerifierAnnotator:
    """A verifier that scores an answer, ``verify(item, answer)``, plain or a coroutine: an opinion where the two scores
    differ. None is no score."""

    def __init__(self, verify: Callable[[Comparison, str], Any]) -> None:
        self._verify = verify

    async def __call__(self, items: Sequence[Comparison], /) -> Mapping[str, bool]:
        answers: dict[str, bool] = {}
        for item in items:
            scores = []
            for answer in (item.chosen, item.rejected):
                score = self._verify(item, answer)
                scores.append(await score if inspect.isawaitable(score) else score)
            if None not in scores and scores[0] != scores[1]:
                answers[item.id] = scores[0] > scores[1]
        return answers


def _turned(item: Comparison) -> bool:
    return hashlib.sha256(item.id.encode("utf-8", "surrogatepass")).digest()[0] % 2 == 1


def _shown(item: Comparison) -> tuple[str, str]:
    return (item.rejected, item.chosen) if _turned(item) else (item.chosen, item.rejected)


def _stands(item: Comparison, better: int | None) -> bool:
    """Whether the answer at this place of those shown is the one that the label prefers."""
    return (better == 1) != _turned(item)


def _plain(text: str) -> str:
    """Without what a terminal would take for a command."""
    return "".join(char for char in text if char in "\n\t" or unicodedata.category(char)[0] != "C")
