"""From a recipe's ``judge:`` to a judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from honewise.clients import Backend, Budget, Cache, Client, Endpoint, LocalBackend, Patience, Prices
from honewise.clients.budget import Purse
from honewise.contracts import Generator
from honewise.recipes.judging import BudgetSpec, JudgeSpec, MemberSpec, VoteSpec

from .judge import TemplateJudge
from .panel import Panel
from .voting import Vote

__all__ = ["build_judge", "build_panel", "endpoint_of", "open_cache"]

POLICY = "the policy with its adapter off"


def build_panel(
    spec: JudgeSpec,
    *,
    identities: Mapping[str, str] | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Panel:
    """The judges of ``spec.panel``, with one budget for all, and how they vote.

    Raises what ``build_judge`` does.
    """
    members = {
        name: build_judge(member, identity=(identities or {}).get(name, ""), note=note)
        for name, member in (spec.panel or {}).items()
    }
    purse = Purse(_budget(spec.budget))
    for member in members.values():
        member.client.purse = purse
    return Panel(members, vote_of(spec.vote))


def vote_of(spec: VoteSpec) -> Vote:
    """How a recipe's judges decide together."""
    ranges = {name: (low, high) for name, (low, high) in spec.ranges.items()}
    return Vote(**{**spec.model_dump(), "ranges": ranges})


def build_judge(
    spec: MemberSpec,
    *,
    generator: Generator | None = None,
    identity: str = "",
    note: Callable[[str], None] = lambda _: None,
) -> TemplateJudge:
    """A judge, its cache open; nothing has been asked yet.

    Args:
        spec: as a recipe describes it.
        generator: the model, where ``spec`` names none at an endpoint; it may be handed over later, by ``attach`` of
            ``judge.client.backend``.
        identity: what the cache knows that model as; without one, and without ``spec.identity``, nothing is cached.
        note: told what a person should know.

    Raises ``UserError`` where the key's variable is not set or the cache cannot be used, and ``MissingExtra``.
    """
    backend: Backend
    known = spec.identity or identity
    if spec.url is not None:
        backend = endpoint_of(spec, note=note)
    else:
        name = POLICY if spec.local is None else str(spec.local.path or spec.local.hub)
        batch = spec.local.batch if spec.local is not None else 16
        backend = LocalBackend(name, known or name, generator, batch=batch, awaits_policy=spec.policy is not None)
    local = spec.url is None
    patience = Patience(
        timeout=spec.timeout,
        deadline=spec.deadline,
        attempts=spec.attempts,
        backoff=spec.backoff,
        concurrency=max(spec.concurrency, 2 * backend.batch) if isinstance(backend, LocalBackend) else spec.concurrency,
    )
    client = Client(
        backend,
        patience=patience,
        cache=None if local and not known else open_cache(spec),
        budget=_budget(spec.budget) if isinstance(spec, JudgeSpec) else None,
        prices=Prices(spec.prices.input, spec.prices.output),
        note=note,
    )
    return TemplateJudge(
        client, temperature=spec.temperature, top_p=spec.top_p, max_tokens=spec.max_tokens, seed=spec.seed
    )


def _budget(spec: BudgetSpec) -> Budget:
    return Budget(spec.calls, spec.tokens, spec.cost)


def endpoint_of(spec: MemberSpec, *, note: Callable[[str], None] = lambda _: None) -> Endpoint:
    """The endpoint alone, for a single attempt. ``spec`` must have a ``url``."""
    assert spec.url is not None
    return Endpoint(
        spec.url,
        spec.model or "",
        key_env=spec.api_key_env,
        structured=spec.structured,
        logprobs=spec.logprobs,
        extra=spec.extra,
        identity=spec.identity,
        note=note,
    )


def open_cache(spec: MemberSpec) -> Cache | None:
    """The cache that a judge uses, or None."""
    return None if spec.cache is False else Cache(spec.cache)
