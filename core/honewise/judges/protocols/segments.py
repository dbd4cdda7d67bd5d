"""A label for each sentence or clause of an answer, which becomes credit where that sentence stands."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from honewise.contracts import Completion, Judge, JudgeTemplate, Piece, Span, Task, Verdict
from honewise.errors import UserError
from honewise.judges.asking import ask, together
from honewise.judges.context import Provider
from honewise.judges.lists import block
from honewise.judges.prompt import Slot, template_text
from honewise.judges.read import word_reader
from honewise.judges.results import Labelled
from honewise.judges.segment import Segmenter, sentences
from honewise.judges.voting import Vote
from honewise.templates import slots_of

from .base import JudgeProtocol, joined, needed

__all__ = ["SegmentLabels"]

_SLOT = "segments"


@dataclass(frozen=True, slots=True)
class _Labels(Verdict):
    """The labels of one reply, in order."""

    labels: tuple[str, ...] = ()


class SegmentLabels(JudgeProtocol[Labelled]):
    """One kind of label for every segment of an answer.

    ``await protocol(judge, answer=completion_or_piece, question=...)``; the template has a slot ``{{segments}}``, may
    show the whole ``{{answer}}``, and has whatever else is given. Spans keep absolute positions: those of the piece,
    else of the completion's text. Several kinds are several protocols, put together by
    ``score_segments(facts, relevance)``.

    Args:
        file, package, context, guard: see ``JudgeProtocol``.
        values: the labels on offer and what each pays, as ``{"supported": 1, "partly": 0.5, "unsupported": 0}`` or
            ``{"relevant": 0.3, "irrelevant": -0.3}``.
        kind: stands before the label of each span, and names the sum in the log.
        segmenter: ``sentences``, ``clauses``, ``lines`` or any that keeps every character.
        total: ``mean``: each span pays its value / n, so that more segments are not worth more; ``sum``: the value.
        at_once: segments in one call; more take further calls.
        rationale: whether reasons are given first.

    Calls: 1 for each ``at_once`` segments. Unscored: a segment without a label on offer. An answer that is trivial or
    has no segment pays the least value at its end. Papers: Fine-Grained RLHF (2306.01693), FGAIF (2404.05046).
    """

    def __init__(
        self,
        file: str,
        *,
        package: str,
        values: Mapping[str, float],
        kind: str = "",
        segmenter: Segmenter = sentences,
        total: Literal["mean", "sum"] = "mean",
        at_once: int = 50,
        rationale: bool = False,
        heading: str = "Labels",
        context: Mapping[str, Provider] | None = None,
        guard: bool = True,
    ) -> None:
        self.values, self.kind, self.segmenter, self.total = dict(values), kind, segmenter, total
        self.at_once, self.heading, self._word = at_once, heading, word_reader(tuple(values))
        words = " or ".join(values)
        reasons = "Give your reasons first, in a few sentences. End" if rationale else "Reply"
        form = (
            f"Label every numbered segment: {words}. {reasons} with a line '{heading}:' and below it one line for each"
            f" segment, of this form:\n{heading}:\n1: <label>\n2: <label>"
        )
        super().__init__(file, package=package, parse=self.parse, form=form, context=context, guard=guard)

    @property
    def slots(self) -> tuple[str, ...]:
        return ("answer", *(name for name in super().slots if name not in ("answer", _SLOT)))

    async def __call__(  # type: ignore[override]
        self,
        judge: Judge,
        /,
        *,
        answer: Completion | Piece | str,
        task: Task | None = None,
        images: Sequence[str] = (),
        **slots: Slot,
    ) -> Labelled:
        piece = _piece(answer)
        pieces = [part for each in self.segmenter(piece.text) if (part := _trimmed(each, piece.start)).text]
        why = self.trivial(task, slots, piece.text) if self.guard else ""
        if why or not pieces:
            return self.least(why or "empty")
        whole = {"answer": piece.text} if "answer" in slots_of(template_text(self.template)) else {}
        found = await self.put(judge, task, images, {**slots, **whole, _SLOT: [each.text for each in pieces]})
        return self._placed(found, pieces)

    async def asked(self, judge: Judge, images: Sequence[str], slots: Mapping[str, Slot]) -> Labelled:
        texts = list(slots[_SLOT])
        parts = [texts[at : at + self.at_once] for at in range(0, len(texts), self.at_once)]
        found = needed(
            await together(*(ask(judge, self._for(len(part)), {**slots, _SLOT: part}, images=images) for part in parts))
        )
        verdicts: list[Verdict] = [each.verdict for each in found]
        plain = [each.value for each in verdicts if not isinstance(each, _Labels)]
        if plain:  # a stand-in, whose number is the sum
            return Labelled(math.fsum(plain) / len(plain))
        labels = tuple(label for each in verdicts if isinstance(each, _Labels) for label in each.labels)
        return Labelled(0.0, "\n".join(each.rationale for each in verdicts if each.rationale), labels=labels)

    def combined(self, results: Mapping[str, Labelled], vote: Vote) -> Labelled:
        """For each segment the label that most judges gave; of equally frequent ones that of the value ``vote.ties``
        says (``mean``: the lowest)."""
        voted = [result.labels for result in results.values()]
        if not all(voted):
            return next(iter(results.values()))
        chosen: list[str] = []
        for column in zip(*voted, strict=True):
            counts = Counter(column)
            most = [label for label, count in counts.items() if count == max(counts.values())]
            pick = max if vote.ties == "high" else min
            chosen.append(pick(most, key=lambda label: (self.values[label], label)))
        split = math.fsum(len(set(column)) > 1 for column in zip(*voted, strict=True)) / len(chosen)
        worth = {name: math.fsum(map(self.values.__getitem__, each.labels)) for name, each in results.items()}
        shares = {name: self._share(each, len(chosen)) for name, each in worth.items()}
        return Labelled(0.0, joined(results), labels=tuple(chosen), votes=shares, spread=split)

    def least(self, why: str) -> Labelled:
        return Labelled(min(self.values.values()), f"trivial: {why}", kind=self.kind)

    def parse(self, reply: str, count: int = 1) -> Verdict:
        """What a reply about ``count`` segments says."""
        names = [str(number) for number in range(1, count + 1)]
        found, before = block(reply, self.heading, names, self._word)
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"segment {missing[0]} has no label out of {', '.join(self.values)}")
        labels = tuple(found[name] for name in names)
        return _Labels(math.fsum(self.values[label] for label in labels) / count, before, labels=labels)

    def _for(self, count: int) -> JudgeTemplate:
        return replace(self.template, parse=lambda reply: self.parse(reply, count))

    def _share(self, value: float, count: int) -> float:
        return value / count if self.total == "mean" else value

    def _placed(self, found: Labelled, pieces: Sequence[Piece]) -> Labelled:
        """The labels where the segments stand."""
        if not found.labels:
            whole = Span(pieces[0].start, pieces[-1].end, found.value, self.kind)
            return replace(found, spans=(whole,), kind=self.kind)
        spans = tuple(
            piece.pays(self._share(self.values[label], len(pieces)), f"{self.kind}: {label}" if self.kind else label)
            for piece, label in zip(pieces, found.labels, strict=True)
        )
        return replace(found, value=math.fsum(span.value for span in spans), spans=spans, kind=self.kind)


def _piece(answer: Completion | Piece | str) -> Piece:
    if isinstance(answer, Completion):
        return Piece(answer.text)
    if isinstance(answer, str):
        return Piece(answer)
    if not isinstance(answer, Piece):
        raise UserError(f"segments are those of a Completion, a Piece or a text; given: {type(answer).__name__}")
    return answer


def _trimmed(piece: Piece, start: int) -> Piece:
    """Without white space around it, at its place in the whole."""
    text = piece.text.strip()
    return Piece(text, start + piece.start + len(piece.text) - len(piece.text.lstrip()))
