"""What must hold between the keys of stages that make or use preferences, and of rewards that are models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from honewise.errors import Problem, near

__all__ = ["LOGISTIC", "STORING", "pair_stage_problems", "reward_problems"]

LOGISTIC = ("sigmoid", "sigmoid_norm")
"""Losses of ``dpo`` that are a logistic function of a gap, and so know what a soft target is."""

STORING = ("pairs", "personas", "dpo", "rl", "evaluate")
"""Kinds of stages that store completions with their scores."""


def pair_stage_problems(
    name: str, stage: Mapping[str, Any], kinds: Mapping[str, str], policies: Sequence[str], earlier: Sequence[str]
) -> Iterator[Problem]:
    """Problems of one ``pairs``, ``dpo`` or ``reward-model`` stage; of other kinds none."""
    path, kind = f"stages.{name}", kinds.get(name)
    if kind == "pairs":
        yield from _sources(stage, path, kinds, policies, earlier)
        yield from _rules(stage, path)
    if kind in ("dpo", "reward-model"):
        made = [other for other in earlier if kinds.get(other) == "pairs"]
        later = [other for other, its in kinds.items() if its == "pairs" and other not in earlier]
        yield from _pairs(stage, path, made, later, ", or set rounds" if kind == "dpo" else "")
        yield from _length(stage, path)
        yield from _target(stage, path)
    if kind == "dpo":
        yield from _dpo(stage, path)
    if kind == "reward-model":
        yield from _reward_model(stage, path)


def reward_problems(rewards: Mapping[str, Any], stages: Mapping[str, Any], at: str = "") -> Iterator[Problem]:
    """Problems of rewards that are models or for some stages alone; their rubric's path begins with ``at``."""
    for name, spec in rewards.items():
        if not isinstance(spec, Mapping):
            continue
        path = f"{at}rubric.rewards.{name}"
        if spec.get("model") is not None and spec.get("fn") is not None:
            yield Problem(path, "needs one of fn and model, not both")
        for key in ("segments", "cross_fit"):
            if spec.get(key) and spec.get("model") is None:
                yield Problem(f"{path}.{key}", "is for a reward model; set model")
        named = spec.get("stages")
        for one in named if isinstance(named, list) else ():
            yield from _named(one, f"{path}.stages", list(stages), "stage")
        model = spec.get("model")
        trained = stages.get(model) if isinstance(model, str) else None
        if isinstance(trained, Mapping):
            for key, needed in (("segments", "segments"), ("cross_fit", "folds")):
                if spec.get(key) is True and trained.get(needed) is None:
                    yield Problem(f"{path}.{key}", f"needs {needed} in stages.{model}")


def _sources(
    stage: Mapping[str, Any],
    path: str,
    kinds: Mapping[str, str],
    policies: Sequence[str],
    earlier: Sequence[str],
) -> Iterator[Problem]:
    sources = stage.get("sources")
    storing = [name for name in earlier if kinds.get(name) in STORING]
    for name, source in sources.items() if isinstance(sources, Mapping) else ():
        if not isinstance(source, Mapping):
            continue
        at = f"{path}.sources.{name}"
        said = [key for key in ("policy", "stage", "file") if source.get(key) is not None]
        if len(said) != 1:
            what = f"{' and '.join(said)} together" if said else "none of them"
            yield Problem(at, f"needs exactly one of policy, stage, file; given: {what}")
        yield from _named(source.get("policy"), f"{at}.policy", policies, "earlier stage that trains")
        yield from _named(source.get("stage"), f"{at}.stage", storing, "earlier stage that stores completions")


def _rules(stage: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if stage.get("per_task") is not None and stage.get("rule", "best-worst") != "all":
        yield Problem(f"{path}.per_task", "is for rule: all; the other rules make one pair of a task")


def _pairs(
    stage: Mapping[str, Any], path: str, made: Sequence[str], later: Sequence[str], more: str
) -> Iterator[Problem]:
    pairs, rounds = stage.get("pairs"), stage.get("rounds")
    if pairs is not None and rounds is not None:
        yield Problem(f"{path}.pairs", "rounds make pairs of their own; needs one of pairs and rounds")
    if pairs is None and rounds is None and not made:
        yield Problem(f"{path}.pairs", f"no `pairs` stage before it; add one, or name a file of pairs{more}")
    for index, one in enumerate([pairs] if isinstance(pairs, str) else pairs if isinstance(pairs, list) else []):
        if one in later:
            at = f"{path}.pairs" if isinstance(pairs, str) else f"{path}.pairs.{index}"
            yield Problem(at, f"stage {one!r} comes later{near(one, made)}")


def _length(stage: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if stage.get("steps") is not None and stage.get("epochs") is not None:
        yield Problem(f"{path}.epochs", "needs one of steps and epochs")
    if stage.get("seconds") is not None and stage.get("epochs") is not None:
        yield Problem(f"{path}.epochs", "needs one of seconds and epochs")


def _target(stage: Mapping[str, Any], path: str) -> Iterator[Problem]:
    target, gamma = stage.get("target", "none"), stage.get("gamma")
    if target == "bt_margin" and gamma is None:
        yield Problem(f"{path}.gamma", "is missing: bt_margin needs logits for each unit of margin")
    if target != "bt_margin" and gamma is not None:
        yield Problem(f"{path}.gamma", "is for target: bt_margin")
    if target == "bt_margin" and stage.get("margin"):
        yield Problem(f"{path}.margin", "the margin is the target already; a soft target has its optimum where it says")


def _dpo(stage: Mapping[str, Any], path: str) -> Iterator[Problem]:
    rounds = stage.get("rounds")
    if rounds is not None:
        if stage.get("steps") is None:
            yield Problem(f"{path}.steps", "is missing: so many steps follow each round of sampling")
        for key in ("epochs", "seconds"):
            if stage.get(key) is not None:
                yield Problem(f"{path}.{key}", "rounds have steps")
        if isinstance(rounds, Mapping):
            yield from _rules(rounds, f"{path}.rounds")
    losses = stage.get("losses")
    named = (
        [losses] if isinstance(losses, str) else list(losses) if isinstance(losses, (Mapping, list)) else ["sigmoid"]
    )
    if not set(named) & set(LOGISTIC):
        wanted = {"target": stage.get("target", "none") != "none", "margin": stage.get("margin")}
        for key, given in wanted.items():
            if given:
                yield Problem(f"{path}.{key}", f"needs one of the losses {', '.join(LOGISTIC)}; given: {_list(named)}")
    if stage.get("alpha") is not None and stage.get("divergence") != "alpha":
        yield Problem(f"{path}.alpha", "is for divergence: alpha")
    if stage.get("clamp") is not None and not set(named) <= set(LOGISTIC):
        yield Problem(f"{path}.clamp", f"is for the losses {', '.join(LOGISTIC)} alone; given: {_list(named)}")


def _reward_model(stage: Mapping[str, Any], path: str) -> Iterator[Problem]:
    trunk = stage.get("trunk")
    if isinstance(trunk, Mapping):
        said = [key for key in ("hub", "path") if trunk.get(key) is not None]
        if len(said) != 1:
            yield Problem(f"{path}.trunk", f"needs exactly one of hub, path; given: {' and '.join(said) or 'none'}")
        if stage.get("from") is not None:
            yield Problem(f"{path}.from", "needs one of from and trunk")
    if stage.get("loss") == "cost":
        for key in ("target", "gamma", "label_smoothing", "margin", "segments"):
            if stage.get(key) not in (None, 0, 0.0, "none"):
                yield Problem(f"{path}.{key}", "is not for loss: cost")
    if stage.get("folds") is not None and stage.get("held_out") is not None:
        yield Problem(f"{path}.held_out", "with folds, every pair is held out once; needs one of folds and held_out")
    segments = stage.get("segments")
    if isinstance(segments, Mapping):
        entropy = segments.get("by", "sentences") == "entropy"
        if entropy and segments.get("threshold") is None:
            yield Problem(
                f"{path}.segments.threshold", "is missing: entropy above which a token ends a segment, in nats"
            )
        if not entropy and segments.get("threshold") is not None:
            yield Problem(f"{path}.segments.threshold", "is for by: entropy")


def _named(value: Any, path: str, allowed: Sequence[str], what: str) -> Iterator[Problem]:
    if isinstance(value, str) and value not in allowed:
        yield Problem(path, f"no {what} {value!r}{near(value, allowed)}")


def _list(names: Sequence[Any]) -> str:
    return ", ".join(map(str, names))
