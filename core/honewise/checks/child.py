"""The inside of the process in which a domain is audited: it tells its watch what it tries, and sends what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from honewise.contracts import Domain, Reward, Rubric
from honewise.host import PluginHost, get_host
from honewise.scoring.packing import unpack_task

from .bench import Bench, make_bench
from .contract import checks_of
from .findings import Finding
from .structure import declared
from .watch import Watch, keep_watch, watched
from .worth import rewards

__all__ = ["serve"]

_BUILD_SECONDS = 120.0
_SLACK = 1e-9


def serve(arguments: Mapping[str, Any]) -> Callable[[Any], Iterator[Any]]:
    """Build the domain; what it raises is told to the parent. The handler yields findings, then numbers by reward."""
    keep_watch(Watch(arguments["watch"]))
    name, options, preset = arguments["domain"], arguments["options"], arguments["preset"]
    with watched(f"domain {name}", "building it", _BUILD_SECONDS):
        host = get_host()
        domain = host.domain(name, **options)

    def handle(_: Any) -> Iterator[Any]:
        with watched(f"domain {name}", "reading tasks, samples and gold", _BUILD_SECONDS):
            bench = make_bench(
                domain if preset is None else _only(domain, preset),
                name,
                package=host.package_of(name),
                host=host,
                judge=None,
                options=options,
                tasks=None if arguments["tasks"] is None else [unpack_task(each) for each in arguments["tasks"]],
                thorough=True,
                skip=arguments["skip"],
            )
        for finding in checks_of(bench):
            yield ["finding", asdict(finding)]
        foreign = _foreign(bench, host)
        for finding in rewards(bench, foreign, own=False):
            yield ["finding", asdict(finding)]
        for reward in (*bench.domain.rewards, *foreign):
            if bench.can_run(reward) and not any(declared(reward)):
                finding = Finding("survives", True, f"reward {reward.name}", "it came back from everything tried")
                yield ["finding", asdict(finding)]
            with watched(f"reward {reward.name}", "numbers", _BUILD_SECONDS):
                yield ["reward", _numbers(bench, reward)]

    return handle


def _only(domain: Domain, preset: str) -> Domain:
    """The domain with one preset, and the rewards that stand in it."""
    rubric = domain.rubrics[preset]
    kept = [reward for reward in domain.rewards if reward.name in rubric.terms]
    return replace(domain, rubrics={preset: rubric}, rewards=kept)


def _foreign(bench: Bench, host: PluginHost) -> list[Reward]:
    """Rewards that presets take from elsewhere."""
    own = {reward.name for reward in bench.domain.rewards}
    rubrics: Sequence[Rubric] = list(bench.domain.rubrics.values())
    names = dict.fromkeys(name for rubric in rubrics for name in rubric.terms if name not in own)
    return [bench.reward(name) for name in names if name in host.rewards]


def _numbers(bench: Bench, reward: Reward) -> dict[str, Any]:
    """What was seen of a reward, for the table."""
    told: dict[str, Any] = {"name": reward.name, "cost": reward.cost, "exempt": dict(reward.exempt)}
    if not bench.can_run(reward) or any(declared(reward)) or not bench.probes:
        why = "hangs or crashes" if reward.name in bench.skipped else f"not run: it needs a {reward.cost}"
        return {**told, "tried": 0, "why": why}
    found = bench.outcomes(reward, bench.options(reward))
    tally = bench.tally(reward)
    values = [each.value for each in found if each.unscored is None]
    slowest = max(range(len(bench.probes)), key=lambda index: tally.seconds[index])
    ordered = sorted(tally.seconds)
    paid = _paid(bench, [None if each.unscored is not None else each.value for each in found])
    return {
        **told,
        "tried": len(found),
        "unscored": len(found) - len(values),
        "lowest": min(values, default=None),
        "highest": max(values, default=None),
        "out_of_range": tally.out_of_range,
        "unsteady": tally.unsteady,
        "by_order": tally.by_order,
        "paid_like_gold": len(paid),
        "paid_kinds": sorted({bench.probes[index].kind for index in paid}),
        "p50": ordered[len(ordered) // 2],
        "slowest": ordered[-1],
        "slowest_on": str(bench.probes[slowest]),
    }


def _paid(bench: Bench, values: Sequence[float | None]) -> list[int]:
    """Hostile completions, none of them made of the gold one, that earn as much as it does, and more than nothing."""
    gold = {p.task.id: v for p, v in zip(bench.probes, values, strict=True) if p.gold and v is not None}
    least = {p.task.id: v for p, v in zip(bench.probes, values, strict=True) if not p.text and v is not None}
    paid = []
    for index, (probe, value) in enumerate(zip(bench.probes, values, strict=True)):
        task = probe.task.id
        if probe.kind in ("", "gold echo") or value is None or task not in gold:
            continue
        if value >= gold[task] - _SLACK and value > least.get(task, value - 1) + _SLACK:
            paid.append(index)
    return paid
