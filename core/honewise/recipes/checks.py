"""What must hold between the keys of a recipe. Works on the mapping as read, so that all faults are found at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from honewise.errors import Problem, near

from .explain import given
from .judging import MemberSpec
from .pair_checks import pair_stage_problems, reward_problems
from .personas import personas_problems
from .policy_gradient import ALGORITHMS, FREE, DynamicSpec
from .revising import revise_problems
from .schema import BASE, KINDS, TinySpec
from .sections import works_of

__all__ = ["judge_problems", "stage_kinds", "whole_problems"]

_WRITE_A_POLICY = ("sft", "dpo", "rl")


def whole_problems(raw: Mapping[str, Any]) -> list[Problem]:
    """Problems that no single key shows. Keys of a wrong type are passed over: the schema tells those."""
    found = [*_domains(raw), *_one_of(raw, "policy", ("tiny", "hub", "path"))]
    for _, at, work in works_of(raw):
        data = _mapping(work, "data")
        for part in ("train", "held_out"):
            if part in data:
                found.extend(_one_of(data, part, ("samples", "path"), f"{at}data.{part}"))
        found.extend(reward_problems(_mapping(_mapping(work, "rubric"), "rewards"), _mapping(raw, "stages"), at))
    found.extend(_quantize(_mapping(raw, "policy")))
    found.extend(_tiny(_mapping(_mapping(raw, "policy"), "tiny")))
    found.extend(judge_problems(raw))
    found.extend(_stages(_mapping(raw, "stages"), raw))
    return found


def _domains(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """One domain with its data and rubric at the top, or several that have theirs with them."""
    if raw.get("domains") is None:
        if raw.get("domain") is None:
            yield Problem("domain", "is missing; a recipe has one domain, or several in domains")
        return
    if raw.get("domain") is not None:
        yield Problem("domains", "and domain are two ways to say it; keep one of them")
    if raw.get("data") is not None:
        yield Problem("data", "belongs to each of the domains: domains.NAME.data")
    for key in _mapping(raw, "rubric"):
        if key != "max_unscored":
            yield Problem(f"rubric.{key}", f"belongs to each of the domains: domains.NAME.rubric.{key}")
    for name, kind in stage_kinds(_mapping(raw, "stages")).items():
        if kind == "revise":
            yield Problem(f"stages.{name}", "revises by the principles of one domain, and this recipe has several")
        if kind == "personas":
            yield Problem(f"stages.{name}", "has tasks of one domain written, and this recipe has several")


def judge_problems(raw: Mapping[str, Any], *, alone: bool = False) -> Iterator[Problem]:
    """Problems between the keys of ``judge:``; ``alone`` where it stands in a file of its own, without a policy."""
    judge = _mapping(raw, "judge")
    yield from _one_of(raw, "judge", ("url", "local", "policy", "panel"))
    panel = _mapping(judge, "panel")
    members = {f"judge.panel.{name}": member for name, member in panel.items() if isinstance(member, Mapping)}
    for name in panel:
        yield from _one_of(panel, name, ("url", "local", "policy"), f"judge.panel.{name}")
    for path, member in (members or {"judge": judge}).items():
        yield from _member(raw, member, path, alone=alone)
    yield from _panel(judge, panel)
    cost = _mapping(judge, "budget").get("cost")
    if cost is not None and not any(any(_mapping(each, "prices").values()) for each in (judge, *members.values())):
        where = "prices of the panel's judges" if panel else "judge.prices"
        yield Problem("judge.budget.cost", f"nothing costs anything without {where}")


def _member(raw: Mapping[str, Any], judge: Mapping[str, Any], path: str, *, alone: bool) -> Iterator[Problem]:
    """Problems between the keys of one judge."""
    yield from _one_of(judge, "local", ("hub", "path"), f"{path}.local")
    if judge.get("url") is not None and judge.get("model") is None:
        yield Problem(f"{path}.model", "is missing: an endpoint is asked for a model by name")
    elsewhere = judge.get("local") is not None or judge.get("policy") is not None
    for key in ("model", "api_key_env", "extra"):
        if judge.get("url") is None and elsewhere and judge.get(key):
            yield Problem(f"{path}.{key}", "is for an endpoint, and no url is given")
    if judge.get("policy") is not None:
        if alone:
            yield Problem(f"{path}.policy", "there is no policy here that could judge; use url or local")
        elif _mapping(raw, "policy").get("lora") is None:
            yield Problem(f"{path}.policy", "needs an adapter that can be switched off; set policy.lora")


def _panel(judge: Mapping[str, Any], panel: Mapping[str, Any]) -> Iterator[Problem]:
    """Problems between a panel and the keys beside it."""
    vote = _mapping(judge, "vote")
    if not panel:
        if vote and judge.get("panel") is None:
            yield Problem("judge.vote", "is for several judges, and no panel is given")
        return
    for key, value in judge.items():
        if key not in ("panel", "vote", "budget") and key in MemberSpec.model_fields and value is not None:
            yield Problem(f"judge.{key}", f"belongs to each judge of the panel: judge.panel.NAME.{key}")
    for key in ("weights", "ranges"):
        for name in _mapping(vote, key):
            if name not in panel:
                yield Problem(f"judge.vote.{key}.{name}", f"no judge {name!r} on the panel{near(str(name), panel)}")
    quorum = vote.get("quorum")
    if isinstance(quorum, int) and quorum > len(panel):
        yield Problem("judge.vote.quorum", f"{quorum} votes are needed, and {len(panel)} judges are on the panel")


def stage_kinds(stages: Mapping[str, Any]) -> dict[str, str]:
    """Stage to its kind, for every stage that has one."""
    named = {name: stage.get("stage", name) for name, stage in stages.items() if isinstance(stage, Mapping)}
    return {name: kind for name, kind in named.items() if isinstance(kind, str) and kind in KINDS}


def _mapping(raw: Any, key: str) -> Mapping[str, Any]:
    value = raw.get(key) if isinstance(raw, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _one_of(raw: Mapping[str, Any], key: str, names: tuple[str, ...], path: str = "") -> Iterator[Problem]:
    if not isinstance(raw.get(key), Mapping):
        return
    said = [name for name in names if raw[key].get(name) is not None]
    if len(said) != 1:
        what = f"{' and '.join(said)} together" if said else "none of them"
        yield Problem(path or key, f"needs exactly one of {', '.join(names)}; given: {what}")


def _tiny(tiny: Mapping[str, Any]) -> Iterator[Problem]:
    defaults = {name: field.default for name, field in TinySpec.model_fields.items()}
    width, heads, kv_heads = (tiny.get(name, defaults[name]) for name in ("width", "heads", "kv_heads"))
    if not (isinstance(width, int) and isinstance(heads, int) and heads > 0 and width > 0):
        return
    if width % (2 * heads):
        yield Problem("policy.tiny.width", f"must be a multiple of twice the heads ({2 * heads}); given: {width}")
    if isinstance(kv_heads, int) and kv_heads > 0 and heads % kv_heads:
        yield Problem("policy.tiny.kv_heads", f"must divide heads ({heads}); given: {kv_heads}")


_QUANTIZED_BY: Mapping[str, tuple[str, ...]] = {"bnb": ("type", "double"), "hqq": ("group",)}


def _quantize(policy: Mapping[str, Any]) -> Iterator[Problem]:
    spec = policy.get("quantize")
    if not isinstance(spec, Mapping):
        return
    if policy.get("lora") is None:
        yield Problem("policy.quantize", "weights in few bits are not trained, adapters on them are; set policy.lora")
    if policy.get("tiny") is not None:
        yield Problem("policy.quantize", "is for a model that is loaded; use hub or path in place of tiny")
    kind, bits = spec.get("kind", "bnb"), spec.get("bits", 4)
    if kind == "bnb" and bits in (1, 2, 3):
        yield Problem("policy.quantize.bits", f"bitsandbytes has 4 and 8; given: {bits}; kind: hqq has fewer")
    for other, keys in _QUANTIZED_BY.items():
        for key in keys:
            if other != kind and kind in _QUANTIZED_BY and spec.get(key) is not None:
                yield Problem(f"policy.quantize.{key}", f"is for kind: {other}")
    for key in ("type", "double"):
        if kind == "bnb" and bits == 8 and spec.get(key) is not None:
            yield Problem(f"policy.quantize.{key}", "is for 4 bits")


def _stages(stages: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[Problem]:
    kinds = stage_kinds(stages)
    policies = [BASE]
    earlier: list[str] = []
    for name, stage in stages.items():
        if not isinstance(stage, Mapping):
            continue
        path = f"stages.{name}"
        if name == BASE:
            yield Problem(path, f"{BASE!r} means the policy before any stage; give the stage another name")
        kind = kinds.get(name)
        yield from _named(stage.get("from"), f"{path}.from", policies, "earlier stage that trains")
        if kind == "sft":
            writers = [*policies, *(other for other in earlier if kinds.get(other) in ("pairs", "revise", "personas"))]
            yield from _sft(stage, path, earlier, writers)
            if stage.get("on") in ("best", "above") and kinds.get(str(stage.get("of"))) == "revise":
                yield Problem(f"{path}.on", "revisions have no score to be best by; take on: answers")
        if kind is not None:
            yield from pair_stage_problems(name, stage, kinds, policies, earlier)
        if kind == "dpo":
            yield from _seconds(stage, path, earlier)
        if kind == "revise":
            yield from revise_problems(raw, name, stage, policies)
        if kind == "personas":
            yield from personas_problems(raw, name, stage, policies)
        if kind == "rl":
            yield from _rl(stage, path)
        if kind == "evaluate":
            yield from _evaluate(stage, path, policies)
        if kind in _WRITE_A_POLICY or kind is None:  # one wrong kind is one problem
            policies.append(name)
        earlier.append(name)


def _named(value: Any, path: str, allowed: list[str], what: str) -> Iterator[Problem]:
    if isinstance(value, str) and value not in allowed:
        yield Problem(path, f"no {what} {value!r}{near(value, allowed)}")


_WRITTEN = ("of", "n", "temperature", "max_new_tokens", "least", "per_task")
"""What an `sft` stage says of completions that a model writes."""


def _sft(stage: Mapping[str, Any], path: str, earlier: list[str], writers: list[str]) -> Iterator[Problem]:
    if stage.get("steps") is None and stage.get("seconds") is None:
        yield Problem(path, "needs steps or seconds")
    yield from _seconds(stage, path, earlier)
    on, of = stage.get("on", "gold"), stage.get("of")
    for key in _WRITTEN if on == "gold" else ():
        if stage.get(key) is not None:
            yield Problem(f"{path}.{key}", "is for what a model wrote; set on: answers, best or above")
    if on == "answers" and stage.get("least") is not None:
        yield Problem(f"{path}.least", "is for on: best and on: above, where completions are scored")
    yield from _above(stage, path)
    if on == "best" and stage.get("n") == 1:
        yield Problem(f"{path}.n", "the best of 1 is no choice; on: answers takes completions as they come")
    if on in ("best", "above") and stage.get("temperature") == 0:
        yield Problem(f"{path}.temperature", "0 is greedy, and all completions of a task would be one")
    if isinstance(of, str) and not ("/" in of or "." in of):
        yield from _named(of, f"{path}.of", writers, "earlier stage that trains or makes pairs")


def _above(stage: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Thresholds, and what is for them alone."""
    least = stage.get("least")
    if stage.get("on") == "above":
        if least is None:
            yield Problem(f"{path}.least", "is missing: on: above needs the total from which on completions are shown")
        if isinstance(least, list) and stage.get("steps") is None:
            yield Problem(f"{path}.steps", "is missing: each of several thresholds has so many steps")
        if isinstance(least, list) and stage.get("seconds") is not None:
            yield Problem(f"{path}.seconds", "several thresholds have steps")
        return
    if stage.get("per_task") is not None and stage.get("on", "gold") != "gold":
        yield Problem(f"{path}.per_task", "is for on: above")
    if isinstance(least, list):
        yield Problem(f"{path}.least", "several thresholds are for on: above")


def _seconds(stage: Mapping[str, Any], path: str, earlier: list[str]) -> Iterator[Problem]:
    seconds = stage.get("seconds")
    if isinstance(seconds, str) and seconds.startswith("as "):
        yield from _named(seconds[3:].strip(), f"{path}.seconds", earlier, "earlier stage")


def _rl(stage: Mapping[str, Any], path: str) -> Iterator[Problem]:
    algorithm, estimator = stage.get("algorithm", "grpo"), stage.get("estimator")
    own = ALGORITHMS.get(algorithm) if isinstance(algorithm, str) and algorithm not in FREE else None
    if own is not None and estimator not in (None, own):
        yield Problem(f"{path}.estimator", f"{algorithm!r} is an estimator itself; leave this out, or use grpo")
    if algorithm != "ppo":
        for key in ("critic", "shaping.whiten"):
            first, _, second = key.partition(".")
            value = _mapping(stage, first).get(second) if second else stage.get(first)
            if value not in (None, False):
                yield Problem(f"{path}.{key}", f"is for algorithm: ppo, not {given(algorithm)}")
    critic, head = _mapping(stage, "critic"), _mapping(stage, "critic").get("kind", "head") == "head"
    if head and critic.get("init", "policy") != "policy":
        yield Problem(f"{path}.critic.init", "a head starts at 0; only a critic with kind: trunk starts from a model")
    if not head and critic.get("detach"):
        yield Problem(f"{path}.critic.detach", "is for kind: head; a trunk of its own never moves the policy")
    yield from _kl(stage, path)
    dynamic = _mapping(stage, "dynamic")
    low, high = (dynamic.get(key, DynamicSpec.model_fields[key].default) for key in ("low", "high"))
    if isinstance(low, (int, float)) and isinstance(high, (int, float)) and low >= high:
        yield Problem(f"{path}.dynamic.low", f"must be less than high ({high:g}); given: {given(low)}")


def _kl(stage: Mapping[str, Any], path: str) -> Iterator[Problem]:
    kl = _mapping(stage, "kl")
    if kl and _mapping(stage, "trainer").get("beta"):
        yield Problem(f"{path}.kl", "and trainer.beta are two ways to say it, and a KL counts once; keep one of them")
    adaptive = kl.get("controller", "fixed") == "adaptive"
    for key in ("target", "unit"):
        if adaptive and kl.get(key) is None:
            yield Problem(f"{path}.kl.{key}", "controller: adaptive needs a target and its unit, token or sequence")
        if not adaptive and kl.get(key) is not None:
            yield Problem(f"{path}.kl.{key}", "is for controller: adaptive")


def _evaluate(stage: Mapping[str, Any], path: str, policies: list[str]) -> Iterator[Problem]:
    of = stage.get("of") if isinstance(stage.get("of"), list) else policies[1:]
    assert isinstance(of, list)
    seen: set[Any] = set()
    for index, name in enumerate(of):
        yield from _named(name, f"{path}.of.{index}", policies, "earlier stage that trains")
        if isinstance(name, str) and name in seen:
            yield Problem(f"{path}.of.{index}", f"{name!r} stands here twice")
        seen.add(name if isinstance(name, str) else index)
    if not of and stage.get("of") is None:
        yield Problem(f"{path}.of", f"no stage before it trains a policy; to measure the untrained one: of: [{BASE}]")
    controls = stage.get("controls")
    for index, control in enumerate(controls if isinstance(controls, list) else []):
        if isinstance(control, Mapping):
            yield from _named(control.get("of"), f"{path}.controls.{index}.of", policies, "earlier stage that trains")
            yield from _control(control, f"{path}.controls.{index}")
    pairs = stage.get("differences")
    for index, pair in enumerate(pairs if isinstance(pairs, list) else []):
        for end, name in enumerate(pair if isinstance(pair, list) else []):
            yield from _named(name, f"{path}.differences.{index}.{end}", of, "measured stage")
        if isinstance(pair, list) and len(pair) == 2 and pair[0] == pair[1]:
            yield Problem(f"{path}.differences.{index}", f"compares {given(pair[0])} with itself")


def _control(control: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if control.get("best_of") is None:
        if control.get("by") is not None:
            yield Problem(f"{path}.by", "says what best_of chooses by, and best_of is not set")
        return
    if control.get("temperature") == 0:
        yield Problem(f"{path}.temperature", "0 is greedy, and all completions of a task would be one")
    if control.get("samples") is not None:
        yield Problem(f"{path}.samples", "best_of says how many completions are sampled, of which one is kept")
