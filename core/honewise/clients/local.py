"""A model of this process as a backend: calls that come within a short while are answered in one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from honewise.contracts import Generation, Generator

from .loops import PerLoop
from .request import CallFailed, Request

__all__ = ["LocalBackend"]

_Settings = tuple[float, float, int, int | None]


@dataclass(slots=True)
class _Desk:
    """What belongs to one event loop: who waits there, and who serves them."""

    waiting: list[tuple[Request, asyncio.Future[Generation]]] = field(default_factory=list)
    worker: asyncio.Task[None] | None = None


class LocalBackend:
    """Asks a ``Generator`` in one thread of its own, batch after batch.

    Args:
        model: its name, for people.
        identity: what the cache knows it as.
        generator: the model; None where it is handed over later by ``attach``.
        batch: most conversations at a time.
        window: seconds to wait for others to come along.
        awaits_policy: the model is one that trains, lent by its stage.

    An attempt has no time limit: a computation cannot be stopped halfway, and nothing is lost by waiting for it.
    """

    def __init__(
        self,
        model: str,
        identity: str,
        generator: Generator | None = None,
        *,
        batch: int = 16,
        window: float = 0.02,
        awaits_policy: bool = False,
    ) -> None:
        self.model, self.identity = model, identity
        self._generator, self._window = generator, window
        self.batch, self.awaits_policy = batch, awaits_policy
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="honewise-local-judge")
        self._desks: PerLoop[_Desk] = PerLoop(_Desk)

    def attach(self, generator: Generator | None) -> None:
        """The model to ask from now on; None where it is about to be used for something else."""
        self._generator = generator

    async def complete(self, request: Request, seconds: float) -> Generation:  # noqa: ARG002 - see above
        """Raises ``CallFailed`` for pictures, and for whatever the model raises."""
        if any(not isinstance(message.get("content"), str) for message in request.messages):
            raise CallFailed("a local judge reads text only, and was shown pictures")
        future: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
        desk = self._desks.here()
        desk.waiting.append((request, future))
        if desk.worker is None or desk.worker.done():
            desk.worker = asyncio.get_running_loop().create_task(self._work(desk))
        return await future

    async def aclose(self) -> None:
        """Wait for the batch that is being computed, and refuse the rest."""
        desk = self._desks.leave()
        if desk is None:
            return
        if desk.worker is not None:
            desk.worker.cancel()
            await asyncio.gather(desk.worker, return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(self._thread, lambda: None)
        for _, future in desk.waiting:
            future.cancel()

    async def _work(self, desk: _Desk) -> None:
        while desk.waiting:
            if len(desk.waiting) < self.batch:
                await asyncio.sleep(self._window)
            like = _settings(desk.waiting[0][0])
            places = [at for at, (request, _) in enumerate(desk.waiting) if _settings(request) == like]
            chosen = [desk.waiting[at] for at in places[: self.batch]]
            for at in reversed(places[: self.batch]):
                del desk.waiting[at]
            requests = [request for request, _ in chosen]
            try:
                replies = await asyncio.get_running_loop().run_in_executor(self._thread, self._generate, requests)
            except Exception as error:
                failure = error if isinstance(error, CallFailed) else _failure(error)
                for _, future in chosen:
                    if not future.done():
                        future.set_exception(failure)
                continue
            for (_, future), reply in zip(chosen, replies, strict=True):
                if not future.done():
                    future.set_result(reply)

    def _generate(self, requests: Sequence[Request]) -> list[Generation]:
        if self._generator is None:
            raise CallFailed(f"{self.model} is not loaded")
        first = requests[0]
        return self._generator.generate(
            [request.messages for request in requests],
            temperature=first.temperature,
            top_p=first.top_p,
            max_tokens=first.max_tokens,
            seeds=[_seed(request) for request in requests],
            top_logprobs=first.top_logprobs,
        )


def _settings(request: Request) -> _Settings:
    return (request.temperature, request.top_p, request.max_tokens, request.top_logprobs)


def _seed(request: Request) -> int:
    """The same for the same request, in whatever batch it stands."""
    return int(request.key("")[:15], 16)


def _failure(error: Exception) -> CallFailed:
    return CallFailed(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
