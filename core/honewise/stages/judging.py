"""The judge of a run: made of the recipe, lent a model where it is one of this process, asked whether it is there."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from honewise.clients import CallFailed, Endpoint, LocalBackend
from honewise.errors import MissingExtra, UserError
from honewise.judges import Panel, TemplateJudge, build_judge, build_panel
from honewise.recipes.judging import JudgeSpec, LocalSpec, MemberSpec

if TYPE_CHECKING:
    from honewise.models.policy import Policy

__all__ = ["lent", "make_judge", "open_judge", "ready"]

_SECONDS = 10.0


def open_judge(spec: JudgeSpec, note: Callable[[str], None] = lambda _: None) -> TemplateJudge | Panel:
    """A judge that can be asked: ``make_judge`` and ``ready``."""
    judge = make_judge(spec, note)
    ready(judge, spec, note)
    return judge


def make_judge(spec: JudgeSpec, note: Callable[[str], None] = lambda _: None) -> TemplateJudge | Panel:
    """The judge or the panel, without the models of local ones. Needs no torch, asks nobody.

    Raises ``UserError`` where the key's variable is not set or the cache cannot be used, and ``MissingExtra``.
    """
    if spec.panel is not None:
        identities = {name: _identity(member.local) for name, member in spec.panel.items() if member.local is not None}
        return build_panel(spec, identities=identities, note=note)
    identity = "" if spec.local is None else _identity(spec.local)
    return build_judge(spec, identity=identity, note=note)


def ready(judge: TemplateJudge | Panel, spec: JudgeSpec, note: Callable[[str], None] = lambda _: None) -> None:
    """Load local models, and ask endpoints whether they are there. Raises ``UserError`` where one cannot be had or
    refuses the key."""
    specs: Mapping[str, MemberSpec] = spec.panel or {"judge": spec}
    for name, member in judge.members.items():
        _ready(member, specs[name], note)


def _ready(judge: TemplateJudge, spec: MemberSpec, note: Callable[[str], None]) -> None:
    if spec.url is not None:
        _check(judge, note)
    if spec.local is None:
        return
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise MissingExtra("a local judge", "honewise[train]")
    from honewise.models.generator import load_generator

    backend = judge.client.backend
    assert isinstance(backend, LocalBackend)
    backend.attach(load_generator(spec.local))


def _identity(spec: LocalSpec) -> str:
    """What tells one local model from another: the hub's name and revision, or a folder and the state of its files."""
    if spec.path is None:
        return f"{spec.hub} {spec.revision or 'main'} {spec.dtype}"
    digest = hashlib.sha256()
    for file in sorted(Path(spec.path).rglob("*")):
        if file.is_file():
            state = file.stat()
            digest.update(f"{file.relative_to(spec.path)} {state.st_size} {state.st_mtime_ns}\n".encode())
    return f"{spec.path} {digest.hexdigest()[:16]} {spec.dtype}"


def _check(judge: TemplateJudge, note: Callable[[str], None]) -> None:
    """Ask an endpoint for its models, which costs nothing.

    Raises ``UserError`` where it refuses the key. That it cannot be reached, or does not list the model, is only said:
    the cache may know the answers, and it may be back in time.
    """
    backend = judge.client.backend
    if not isinstance(backend, Endpoint):
        return

    async def ask() -> list[str]:
        try:
            return await backend.models(_SECONDS)
        finally:
            await backend.aclose()

    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook has a running loop already
            names = thread.submit(lambda: asyncio.run(ask())).result()
    except CallFailed as failure:
        if failure.status in (401, 403):
            raise UserError(f"judge: {backend.url} refuses the key ({failure.reason})") from None
        note(f"judge: {failure.reason}; what the cache does not know will be unscored until it answers")
        return
    if names and backend.model not in names:
        listed = ", ".join(names[:5])
        note(f"judge: {backend.url} lists no model {backend.model!r}; there are: {listed}")


@contextmanager
def lent(judge: TemplateJudge | Panel | None, policy: Policy | Callable[[], Policy]) -> Iterator[None]:
    """Where the policy itself judges, with its adapter off, it does so within; any other judge is left alone, and a
    policy that would have to be loaded first is not."""
    backends = [member.client.backend for member in judge.members.values()] if judge is not None else []
    waiting = [each for each in backends if isinstance(each, LocalBackend) and each.awaits_policy]
    if not waiting:
        yield
        return
    from honewise.models.generator import ModelGenerator

    found = policy() if callable(policy) else policy
    for backend in waiting:
        backend.attach(ModelGenerator(found, adapter_off=True, batch=backend.batch))
    try:
        yield
    finally:
        for backend in waiting:
            backend.attach(None)
