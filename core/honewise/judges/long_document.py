"""Four sides of an answer from a long document: LongReward (2410.21252), ready to be used as a reward.

The pipeline is the paper's; the prompts, which it has in Chinese with worked examples, are ours.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honewise.contracts import Judge, JudgeTemplate, Verdict
from honewise.errors import JudgeError, UserError, near

from .asking import ask, together
from .context import free_text
from .prompt import Slot
from .protocols.base import JudgeProtocol, needed, polled
from .protocols.pointwise import Pointwise
from .read import choice
from .results import Sheet
from .retrieve import Bm25
from .segment import chunks
from .voting import Vote

__all__ = ["DIMENSIONS", "LongDocument"]

DIMENSIONS = ("helpfulness", "logicality", "faithfulness", "completeness")

_SUPPORT = {"fully supported": 1.0, "partially supported": 0.5, "no support": 0.0}
_NOTHING = "nothing relevant"
_STATEMENTS_FORM = (
    "Write down each statement of fact that the answer makes, as a sentence that can be understood alone: put names for"
    " pronouns, and keep times and places. Leave out greetings, summaries of what was said before, opinions and"
    " conclusions. Reply with nothing but one line of this form for each, in the order of the answer:\n"
    "<statement>...</statement>\n"
    "Where the answer states no fact, reply: no statements"
)
_EXTRACT_FORM = (
    "Reply with what this part says about the question, in its own words where you can, and with nothing else. Where it"
    f" says nothing about it, reply: {_NOTHING}"
)
_SUPPORT_FORM = (
    "Give your reasons in one or two sentences. End with one line of exactly this form:\n"
    "Verdict: <fully supported, partially supported or no support>"
)


@dataclass(frozen=True, slots=True)
class _Statements(Verdict):
    items: tuple[str, ...] = ()


class LongDocument(JudgeProtocol[Sheet]):
    """Helpfulness, logicality, faithfulness and completeness of an answer from a long document, and their mean.

    ``await protocol(judge, question=..., answer=..., document=...)``.

    * helpfulness and logicality see question and answer alone: a score of 0 to 10 each.
    * faithfulness: the answer's statements of fact are written down; for each the ``top`` best passages of the document
      are looked up and it is judged fully (1), partially (.5) or not (0) borne out; the mean.
    * completeness: what bears on the question is extracted from each part of the document; a score of 0 to 10 for how
      much of it the answer has.

    Args:
        dimensions: which of the four; those left out cost nothing.
        top, passage: passages looked up for a statement, and characters of each, about 128 tokens.
        part: characters of a part from which is extracted, about 4096 tokens.
        retriever: ``retriever(statement, passages, top)`` returns the places of the best passages, plain or a
            coroutine; left out, BM25 on words.
        most: statements looked up; of more, those whose hashes are the lowest, which no writer can steer.
        no_statements: the faithfulness of an answer that states no fact.
        kept: documents whose passages and extracts are kept in memory.
        guard: see ``JudgeProtocol``.

    Parts of the result are the dimensions, from 0 to 1. Calls: 2 + 1 + statements + parts + 1; what was extracted for
    a document and question is kept, so that further answers to it cost no ``parts``. Unscored: any dimension without a
    verdict, since a mean over fewer would compare answers by different things.
    """

    def __init__(
        self,
        *,
        dimensions: Sequence[str] = DIMENSIONS,
        top: int = 5,
        passage: int = 512,
        part: int = 16_384,
        retriever: Callable[[str, Sequence[str], int], Any] | None = None,
        most: int = 50,
        no_statements: float = 0.0,
        kept: int = 64,
        guard: bool = True,
    ) -> None:
        for name in dimensions:
            if name not in DIMENSIONS:
                raise UserError(f"no dimension {name!r}{near(name, DIMENSIONS)}")
        self.dimensions, self.top, self.passage, self.part = tuple(dimensions), top, passage, part
        self.no_statements, self.kept, self.guard = no_statements, kept, guard
        self._retriever, self._most = retriever, most
        self._scores = {
            name: Pointwise(f"judges/prompts/{name}.md", package="honewise", guard=False)
            for name in ("helpfulness", "logicality", "completeness")
        }
        self._statements = JudgeTemplate(
            "judges/prompts/statements.md", _read_statements, "honewise", form=_STATEMENTS_FORM
        )
        self._support = JudgeTemplate("judges/prompts/support.md", choice(_SUPPORT), "honewise", form=_SUPPORT_FORM)
        self._extract = JudgeTemplate("judges/prompts/extract.md", free_text, "honewise", form=_EXTRACT_FORM)
        self.template, self.context = self._scores["helpfulness"].template, {}
        self._passages: OrderedDict[str, tuple[list[str], Bm25]] = OrderedDict()
        self._findings: OrderedDict[tuple[str, str, int], list[str]] = OrderedDict()

    @property
    def templates(self) -> tuple[JudgeTemplate, ...]:
        scores = tuple(each.template for each in self._scores.values())
        return (*scores, self._statements, self._support, self._extract)

    @property
    def slots(self) -> tuple[str, ...]:
        return ("question", "answer", "document")

    def least(self, why: str) -> Sheet:
        return Sheet(0.0, f"trivial: {why}", parts=dict.fromkeys(self.dimensions, 0.0))

    def combined(self, results: Mapping[str, Sheet], vote: Vote) -> Sheet:
        """The vote on each dimension, and the mean of these."""
        votes = {
            name: polled({who: Verdict(result.parts[name] or 0.0) for who, result in results.items()}, vote).value
            for name in self.dimensions
        }
        whole = polled(results, vote)
        value = math.fsum(votes.values()) / len(votes)
        return Sheet(value, whole.rationale, votes=whole.votes, spread=whole.spread, parts=votes)

    async def asked(self, judge: Judge, images: Sequence[str], slots: Mapping[str, Slot]) -> Sheet:
        texts = {name: slots.get(name) for name in ("question", "answer", "document")}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise UserError(f"give {name}=, a text")
        question, answer, document = (str(texts[name]) for name in ("question", "answer", "document"))
        if not document.strip():
            raise JudgeError("there is no document to hold the answer against")
        ways = {
            "helpfulness": lambda: self._score("helpfulness", judge, images, question=question, answer=answer),
            "logicality": lambda: self._score("logicality", judge, images, question=question, answer=answer),
            "faithfulness": lambda: self._faithful(judge, question, answer, document),
            "completeness": lambda: self._complete(judge, images, question, answer, document),
        }
        found: list[Verdict] = needed(await together(*(ways[name]() for name in self.dimensions)))
        parts = {name: verdict.value for name, verdict in zip(self.dimensions, found, strict=True)}
        said = "\n\n".join(
            f"{name}: {v.rationale}" for name, v in zip(self.dimensions, found, strict=True) if v.rationale
        )
        return Sheet(math.fsum(parts.values()) / len(parts), said, parts=dict(parts))

    async def _score(self, name: str, judge: Judge, images: Sequence[str], **slots: Slot) -> Verdict:
        return await self._scores[name].asked(judge, images, slots)

    async def _faithful(self, judge: Judge, question: str, answer: str, document: str) -> Verdict:
        found = (await ask(judge, self._statements, {"question": question, "answer": answer})).verdict
        if not isinstance(found, _Statements):
            return found  # a stand-in, whose number is the share that is borne out
        if not found.items:
            return Verdict(self.no_statements, "the answer states no fact")
        items = sorted(dict.fromkeys(found.items), key=_key)[: self._most]

        async def one(statement: str) -> Verdict:
            passages = await self._look_up(statement, document)
            return (await ask(judge, self._support, {"passages": passages, "statement": statement})).verdict

        verdicts: list[Verdict] = needed(await together(*map(one, items)))
        names = {value: name for name, value in _SUPPORT.items()}
        said = [f"- {item}: {names.get(v.value, v.value)}" for item, v in zip(items, verdicts, strict=True)]
        return Verdict(math.fsum(verdict.value for verdict in verdicts) / len(verdicts), "\n".join(said))

    async def _look_up(self, statement: str, document: str) -> list[str]:
        key = _key(document)
        if key not in self._passages:
            passages = [piece.text.strip() for piece in chunks(document, self.passage) if piece.text.strip()]
            _keep(self._passages, key, (passages, Bm25(passages)), self.kept)
        passages, index = self._passages[key]
        if self._retriever is None:
            places: Any = index.top(statement, self.top)
        else:
            places = self._retriever(statement, passages, self.top)
            places = await places if inspect.isawaitable(places) else places
        return [passages[place] for place in sorted(places)[: self.top]]

    async def _complete(
        self, judge: Judge, images: Sequence[str], question: str, answer: str, document: str
    ) -> Verdict:
        findings = await self._findings_of(judge, question, document)
        slots: dict[str, Slot] = {"question": question, "answer": answer, "findings": findings}
        return await self._scores["completeness"].asked(judge, images, slots)

    async def _findings_of(self, judge: Judge, question: str, document: str) -> list[str]:
        """What bears on the question, by part of the document, each with where it stands."""
        key = (_key(document), question, id(getattr(judge, "client", judge)))
        if key in self._findings:
            return self._findings[key]
        pieces = chunks(document, self.part)

        async def one(text: str) -> str:
            return (await ask(judge, self._extract, {"question": question, "part": text})).verdict.rationale

        said: list[str] = needed(await together(*(one(piece.text) for piece in pieces)))
        found = [
            f"[{_percent(piece.start, document)} to {_percent(piece.end, document)} of the document]\n{text}"
            for piece, text in zip(pieces, said, strict=True)
            if text.strip().strip(".").casefold() != _NOTHING
        ]
        _keep(self._findings, key, found, self.kept)
        return found


def _read_statements(reply: str) -> Verdict:
    items = tuple(text for found in re.findall(r"<statement>([^<]*)</statement>", reply) if (text := found.strip()))
    if not items and reply.strip().strip(".").casefold() != "no statements":
        raise ValueError("no <statement>...</statement>, and not 'no statements'")
    return _Statements(float(len(items)), "", items=items)


def _percent(at: int, document: str) -> str:
    return f"{round(100 * at / len(document))}%"


def _keep(store: OrderedDict[Any, Any], key: object, value: object, most: int) -> None:
    store[key] = value
    while len(store) > max(most, 1):
        store.popitem(last=False)


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
