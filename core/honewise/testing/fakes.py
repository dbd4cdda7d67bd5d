"""Stand-ins for what costs money or a device."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from honewise.contracts import JudgeTemplate, Verdict
from honewise.errors import JudgeError

__all__ = ["FakeJudge", "JudgeCall"]

Reply = str | float | Verdict | Exception


@dataclass(frozen=True, slots=True)
class JudgeCall:
    """One question a judge was asked."""

    template: JudgeTemplate
    slots: Mapping[str, str | Sequence[str]]
    images: tuple[str, ...] = ()


class FakeJudge:
    """A judge that answers from a queue and records what it was asked.

    A reply is a number or a ``Verdict`` (the verdict itself), a text (what the model would have written, read by
    the template's own parser) or an exception (raised as it is). The queue empty, every further call gets
    ``otherwise``; where that is None, it raises ``JudgeError``, as a real judge does after its retries.

    >>> import asyncio
    >>> judge = FakeJudge([0.5])
    >>> template = JudgeTemplate("judges/clear.md", parse=lambda reply: Verdict(float(reply)))
    >>> asyncio.run(judge(template, answer="yes")).value, judge.calls[0].slots
    (0.5, {'answer': 'yes'})
    """

    def __init__(self, queue: Iterable[Reply] = (), *, otherwise: Reply | None = None) -> None:
        self.queue: deque[Reply] = deque(queue)
        self.otherwise = otherwise
        self.calls: list[JudgeCall] = []

    def enqueue(self, *replies: Reply) -> None:
        """Add ``replies`` to the end of the queue."""
        self.queue.extend(replies)

    async def __call__(
        self, template: JudgeTemplate, /, *, images: Sequence[str] = (), **slots: str | Sequence[str]
    ) -> Verdict:
        self.calls.append(JudgeCall(template, dict(slots), tuple(images)))
        reply = self.queue.popleft() if self.queue else self.otherwise
        if reply is None:
            raise JudgeError(f"the fake judge has no reply left for {template.file} (call {len(self.calls)})")
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reply, Verdict):
            return reply
        if isinstance(reply, str):
            return self._read(template, reply)
        return Verdict(float(reply))

    @staticmethod
    def _read(template: JudgeTemplate, reply: str) -> Verdict:
        try:
            return template.parse(reply)
        except ValueError as error:
            raise JudgeError(f"{template.file}: no verdict in {reply[:80]!r}: {error}") from error
