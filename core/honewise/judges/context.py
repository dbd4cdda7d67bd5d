"""What a judge sees and the policy does not: gold answers, captions, retrieved passages, the results of running code.

A provider is a function that takes by name any of ``task``, ``judge``, ``images`` and the protocol's slots, plain or a
coroutine, and returns a text, a list of texts, or ``Unscored`` with the reason why there is none.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from honewise.contracts import Judge, JudgeTemplate, Task, Unscored, Verdict
from honewise.errors import BudgetExceeded, JudgeError, UserError, near

from .asking import ask, single
from .prompt import Slot
from .retrieve import Bm25, chunks

__all__ = [
    "Provider",
    "Retrieved",
    "SelfReference",
    "call_by_name",
    "free_text",
    "from_inputs",
    "from_reference",
    "gather",
]

Provider = Callable[..., Any]


async def gather(
    context: Mapping[str, Provider],
    slots: Mapping[str, Slot],
    *,
    task: Task | None,
    judge: Judge,
    images: Sequence[str] = (),
) -> dict[str, Slot]:
    """The slots that the providers fill, one after the other; each sees those before it.

    Raises ``JudgeError`` where one has nothing, with its reason, and ``UserError`` where it asks for what is not there.
    """
    found: dict[str, Slot] = {}
    for name, provider in context.items():
        values = {"task": task, "judge": judge, "images": images, **slots, **found}
        try:
            value = await call_by_name(provider, values, f"context {name!r}")
        except (UserError, BudgetExceeded):
            raise
        except Exception as error:
            raise JudgeError(f"context {name!r} is missing: {_why(error)}") from error
        if isinstance(value, Unscored) or value is None:
            reason = value.reason if isinstance(value, Unscored) else "there is none"
            raise JudgeError(f"context {name!r} is missing: {reason}")
        if not isinstance(value, str) and not (
            isinstance(value, Sequence) and all(isinstance(each, str) for each in value)
        ):
            raise JudgeError(f"context {name!r} is missing: its provider gave {type(value).__name__}, not text")
        found[name] = value
    return found


async def call_by_name(function: Callable[..., Any], values: Mapping[str, Any], what: str) -> Any:
    """Call with those of ``values`` that the function names, or with all where it takes any; await what it returns.

    Raises ``UserError`` where it asks for one that is not there.
    """
    parameters = inspect.signature(function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        given = dict(values)
    else:
        given = {name: values[name] for name in parameters if name in values}
    for name, parameter in parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and parameter.default is parameter.empty and name not in values:
            raise UserError(f"{what} asks for {name!r}, which is not there{near(name, values)}")
    result = function(**given)
    return await result if inspect.isawaitable(result) else result


def from_reference(key: str) -> Provider:
    """Provides ``task.reference[key]``, a text or a list of texts."""

    def provide(task: Task | None) -> Any:
        return _of(task, "reference", key)

    return provide


def from_inputs(key: str) -> Provider:
    """Provides ``task.inputs[key]``, a text or a list of texts."""

    def provide(task: Task | None) -> Any:
        return _of(task, "inputs", key)

    return provide


@dataclass(frozen=True, slots=True)
class SelfReference:
    """Provides the judge's own answer, written before it sees another (Self-Reference feedback, 2406.11190).

    One call for a question; the cache knows it the next time. ``names`` are the slots that the template takes.
    """

    template: JudgeTemplate

    @classmethod
    def by(cls, file: str, *, package: str, form: str = "Answer it as well as you can.") -> SelfReference:
        """From a template that shows the question."""
        return cls(JudgeTemplate(file, free_text, package, form=form))

    async def __call__(self, judge: Judge, **others: Any) -> str:
        from honewise import templates

        one = single(judge, "a reference of the judge's own")
        wanted = templates.slots_of(templates.load(templates.home_of(self.template), self.template.file))
        slots = {name: value for name, value in others.items() if name in wanted}
        return (await ask(one, self.template, slots, images=others.get("images", ()))).verdict.rationale


class Retrieved:
    """Provides the passages of a document that fit a query best, in their order.

    Args:
        document: the slot, or the key of ``task.inputs`` or ``task.reference``, that holds the document.
        query: the slot that is looked for.
        top: most passages.
        size: characters of a passage, about; they end with sentences.
        retriever: ``retriever(query, passages, top)`` returns the places of the best, plain or a coroutine; left out,
            BM25 on words.
    """

    def __init__(
        self,
        document: str = "document",
        *,
        query: str = "question",
        top: int = 5,
        size: int = 512,
        retriever: Callable[[str, Sequence[str], int], Any] | None = None,
    ) -> None:
        self.document, self.query, self.top, self.size = document, query, top, size
        self.retriever = retriever or best_passages

    async def __call__(self, task: Task | None, **slots: Any) -> list[str] | Unscored:
        text = slots.get(self.document)
        for where in ("inputs", "reference"):
            text = getattr(task, where, {}).get(self.document) if text is None else text
        if not isinstance(text, str):
            return Unscored(f"there is no document {self.document!r} to look in")
        query = slots.get(self.query)
        if not isinstance(query, str):
            raise UserError(f"there is no slot {self.query!r} to look for{near(self.query, slots)}")
        passages = [piece.text.strip() for piece in chunks(text, self.size)]
        places = self.retriever(query, passages, self.top)
        found = await places if inspect.isawaitable(places) else places
        return [passages[place] for place in sorted(found)]


def best_passages(query: str, passages: Sequence[str], top: int) -> list[int]:
    """The places of the passages that fit best by BM25."""
    return Bm25(passages).top(query, top)


def free_text(reply: str) -> Verdict:
    """Reads any reply that says something; the text is the ``rationale``."""
    text = reply.strip()
    if not text:
        raise ValueError("the reply is empty")
    return Verdict(1.0, text)


def _of(task: Task | None, where: str, key: str) -> Any:
    if task is None:
        return Unscored(f"no task was given, of whose {where} it would be {key!r}")
    value = getattr(task, where).get(key)
    if value is None:
        return Unscored(f"the task has no {where} {key!r}")
    return value if isinstance(value, list | tuple) else str(value)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, JudgeError) else f"its provider raised {type(error).__name__}: {error}"
