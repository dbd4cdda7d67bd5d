"""The fields of a run's card: what whoever uses its policy should know. Each is filled, or says that it was not done.

The list follows what Casper et al. (2023, arXiv:2307.15217) ask to be disclosed of learning from feedback.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from honewise.recipes.judging import JudgeSpec, MemberSpec
from honewise.recipes.schema import PolicySpec, Recipe

from . import kept, manifest
from .glances import Glance
from .run import Run

__all__ = ["Field", "dropped_rewards", "fields", "judge_name", "policy_name"]


@dataclass(frozen=True, slots=True)
class Field:
    """One line of the card."""

    section: str
    name: str
    said: str = ""
    """Empty: not done."""
    how: str = ""
    """How to have it filled."""


def fields(run: Run) -> list[Field]:
    """Every field, in the order of the card."""
    facts, seen = manifest.read(run.path), run.store.glance()
    return [
        *_policy(run, facts),
        *_data(facts, seen),
        *_feedback(run, seen),
        *_judge(run, seen),
        *_optimisation(run),
        *_audits(run),
        *_people(run),
    ]


def _policy(run: Run, facts: Mapping[str, Any]) -> Iterator[Field]:
    spec, part = run.recipe.policy, "Policy"
    yield Field(part, "model", policy_name(spec))
    made = (
        "none: its weights are drawn at random" if spec.tiny is not None else f"as its own card says: {_source(spec)}"
    )
    yield Field(part, "pre-training", made)
    versions = facts.get("versions", {})
    shown = ", ".join(
        f"{name} {versions[name]}" for name in ("honewise", "torch", "transformers", "trl") if name in versions
    )
    yield Field(part, "made with", f"{shown}; device {facts.get('device')}; seed {run.recipe.seed}, one run")


def _data(facts: Mapping[str, Any], seen: Glance) -> Iterator[Field]:
    for name, title in (("train", "training tasks"), ("held_out", "held-out tasks")):
        found = facts.get("data", {}).get(name)
        told = (
            f"{found['tasks']} from {found['source']} ({found['format']}), sha256 {found['sha256'][:12]}"
            if found
            else ""
        )
        yield Field("Data", title, told)
    overlap = ""
    if seen.trained_tasks and seen.evaluated_tasks:
        overlap = f"{seen.shared_tasks} of {seen.evaluated_tasks} evaluated tasks were also trained on"
    yield Field("Data", "overlap", overlap, "needs a stage of rl and one of evaluate")


def _feedback(run: Run, seen: Glance) -> Iterator[Field]:
    part, works = "Feedback", run.recipe.works
    kind = (
        "an AI judge and rewards that are computed" if seen.asked else "rewards that are computed; no judge was asked"
    )
    yield Field(part, "type", kind if seen.completions else "", "no completion was scored")
    weights = ", ".join(f"{name} x {weight:g}" for name, weight in seen.rewards.items())
    presets = ", ".join(
        f"{name}: {work.rubric.preset or 'its first'}" if name else work.rubric.preset or "of the domain, its first"
        for name, work in works.items()
    )
    yield Field(part, "rewards and weights", weights and f"{weights} (preset {presets})")
    share = f"{seen.unscored} of {seen.completions} completions" if seen.completions else ""
    yield Field(part, "without a score", share)
    dropped = dropped_rewards(run.recipe)
    if dropped:
        yield Field(part, "dropped by the recipe", ", ".join(dropped))
    uses = dict.fromkeys(work.use for work in works.values())
    how = "; ".join(f"honewise audit rewards {use} --run {run.name}" for use in uses)
    audits = kept.kept(run.path, "rewards")
    yield Field(part, "audit of the rewards", "; ".join(map(_rewards_audited, audits)), how)


def dropped_rewards(recipe: Recipe) -> list[str]:
    """Rewards of the presets that the recipe leaves out."""
    return [
        f"{domain}/{name}" if domain else name
        for domain, work in recipe.works.items()
        for name, each in work.rubric.rewards.items()
        if each is None
    ]


def _rewards_audited(found: Mapping[str, Any]) -> str:
    broken = [f"{each['check']} ({each['subject']})" for each in found.get("findings", ()) if not each.get("ok")]
    tried = sum(each.get("tried", 0) for each in found.get("rewards", ()))
    held = f"{len(found.get('findings', ())) - len(broken)} of {len(found.get('findings', ()))} checks hold"
    names = f"; found: {', '.join(broken)}" if broken else "; nothing was found"
    return f"{found.get('domain')}: {held} over {tried} scored probes{names}"


def _judge(run: Run, seen: Glance) -> Iterator[Field]:
    part, spec = "Judge", run.recipe.judge
    audits = [(found, each) for found in kept.kept(run.path, "judge") for each in found.get("judges", ())]
    if not seen.asked and spec is None:
        yield Field(part, "who judges", "nobody: no judge was asked")
        if not audits:
            return
    else:
        yield from _asked(run, seen, spec)
    how = f"honewise audit judge --data PAIRS --judge {run.path / 'recipe.yaml'} --run {run.name}"
    for name, numbers in _JUDGED.items():
        told = "; ".join(text for found, each in audits if (text := _judge_audited(found, each, numbers)))
        yield Field(part, name, told, how)


def _asked(run: Run, seen: Glance, spec: JudgeSpec | None) -> Iterator[Field]:
    part = "Judge"
    yield Field(part, "who judges", judge_name(spec) + (f", temperature {spec.temperature:g}" if spec else ""))
    templates = "; ".join(
        f"{each.template} (sha256 {each.template_hash[:12]}) to {each.model or 'the policy'}: "
        f"{each.questions} questions, {each.failed} without an answer"
        for each in seen.asked
    )
    yield Field(part, "templates", templates, "the judge was not asked anything")
    spent = run.store.judge_spent()
    cost = f", cost {spent.cost:.4g}" if spent.cost else ""
    yield Field(part, "use", f"{spent.calls} calls, {spent.tokens} tokens{cost}")


_JUDGED: Mapping[str, Sequence[str]] = {
    "agreement with people": ("agreement", "agreement_without_ties", "kappa"),
    "position": ("flip_rate", "first_shown"),
    "length": ("verbosity_bias", "length_preference"),
    "self-consistency": ("self_consistency",),
    "calibration": ("calibration_error", "brier"),
    "resistance to attacks": ("injection_resistance", "trivial_resistance"),
}


def _judge_audited(found: Mapping[str, Any], judge: Mapping[str, Any], numbers: Sequence[str]) -> str:
    told = [f"{name} {_interval(judge['numbers'][name])}" for name in numbers if name in judge.get("numbers", {})]
    return (
        f"{judge.get('judge')} on {judge.get('pairs')} pairs of {_short(found.get('source'))}: {', '.join(told)}"
        if told
        else ""
    )


def _optimisation(run: Run) -> Iterator[Field]:
    part = "Optimisation"
    states = {state.stage: state for state in run.store.stages()}
    for name, spec in run.recipe.stages.items():
        state = states.get(name)
        given = spec.model_dump(exclude_defaults=True, exclude={"stage"})
        told = ", ".join(f"{key} {_plain(value)}" for key, value in given.items())
        kind = f"{spec.stage} ({told})" if told else spec.stage
        steps = f"{state.steps} steps, " if state is not None and state.steps else ""
        done = "" if state is None else f"{kind}: {state.state} after {steps}{state.seconds:.0f} s"
        yield Field(part, f"stage {name}", done, f"{kind} was not begun")
        metrics = run.store.metrics(name) if state is not None and run.store.sampled(name) else {}
        measured = [(step, each["kl"]) for step, each in metrics.items() if "kl" in each]
        if metrics:
            kl = f"{measured[-1][1]:.4g} at step {measured[-1][0]}" if measured else ""
            yield Field(
                part, f"KL to the reference in {name}", kl, "trainer.beta above 0 keeps a reference to measure it"
            )


def _audits(run: Run) -> Iterator[Field]:
    part, how = "Audit of the run", f"honewise audit run {run.name}"
    found = next(iter(kept.kept(run.path, "run")), None)
    if found is None:
        for name in ("signs of reward hacking", *_COMPARED, "generalisation"):
            yield Field(part, name, "", how)
        return
    signs = found.get("signs", ())
    bad = [f"{each['sign']} ({each['where']}): {each['why']}" for each in signs if each["found"]]
    looked = sum(each["found"] is not None for each in signs)
    said = "; ".join(bad) if bad else f"none of {looked} found" if looked else ""
    why = "; ".join(dict.fromkeys(each["why"] for each in signs)) or _unseen(found)
    yield Field(part, "signs of reward hacking", said, why)
    for name, numbers in _COMPARED.items():
        told = "; ".join(text for each in found.get("compared", ()) if (text := _compared(each, numbers)))
        yield Field(part, name, told, _why_not(found, numbers))
    gaps = [
        f"{stage}: correct {gap['training']['correct']:.3g} in training, {gap['held_out']['correct']:.3g} held out, "
        f"gap {_interval({**gap, 'value': gap['gap']})}"
        for stage, gap in found.get("generalisation", {}).items()
    ]
    missing = next(
        (each["why"] for each in signs if each["sign"] == "generalisation_gap" and each["found"] is None),
        _unseen(found),
    )
    yield Field(part, "generalisation", "; ".join(gaps), missing)


_COMPARED: Mapping[str, Sequence[str]] = {
    "pay against verifier": ("proxy", "correct"),
    "judge against verifier": ("right_from_wrong",),
    "deceptive inflation": ("over", "observed"),
    "overjustification": ("under", "true"),
    "length": ("length",),
    "diversity": ("ead_within", "embedding_within", "nli_within"),
}


def _compared(found: Mapping[str, Any], numbers: Sequence[str]) -> str:
    told = [
        f"{name} {each['before']:.3g} to {each['after']:.3g}"
        for name, each in found.get("numbers", {}).items()
        if name.rpartition("/")[2] in numbers and not name.startswith("reward/")
    ]
    return f"{found.get('what')}: {', '.join(told)}" if told else ""


def _why_not(found: Mapping[str, Any], numbers: Sequence[str]) -> str:
    reasons = [
        why
        for each in found.get("compared", ())
        for name, why in each.get("not_measured", {}).items()
        if name.rpartition("/")[2] in numbers
    ]
    return reasons[-1] if reasons else "no reward here is given by a judge" if found.get("compared") else _unseen(found)


def _unseen(found: Mapping[str, Any]) -> str:
    """Why an audit compared nothing."""
    return "; ".join(found.get("notes", ()))


def _people(run: Run) -> Iterator[Field]:
    part = "People"
    labelled = [
        f"{max(each.get('labelled', 0) for each in found['judges'])} pairs of {_short(found.get('source'))}"
        for found in kept.kept(run.path, "judge")
        if found.get("judges")
    ]
    yield Field(part, "labels by people", "; ".join(labelled) and f"to audit the judge: {'; '.join(labelled)}")
    for name in ("evaluation by people", "red teaming", "audit from outside", "monitoring in use"):
        yield Field(part, name)


def policy_name(spec: PolicySpec) -> str:
    if spec.tiny is not None:
        text = f"tiny ({spec.tiny.layers} layers of width {spec.tiny.width})"
    else:
        text = f"`{_source(spec)}`"
    return text + (f" with LoRA of rank {spec.lora.r}" if spec.lora else "")


def _source(spec: PolicySpec) -> str:
    return f"{spec.hub or spec.path}" + (f" at {spec.revision}" if spec.revision else "")


def judge_name(spec: MemberSpec | None) -> str:
    """The model that judges; of a panel every member, and how they decide."""
    if isinstance(spec, JudgeSpec) and spec.panel is not None:
        members = ", ".join(f"{name} {judge_name(member)}" for name, member in spec.panel.items())
        return f"a panel of {members}, by {spec.vote.rule} (rankings by {spec.vote.ranking})"
    local = spec.local if spec is not None else None
    name = (spec.model if spec is not None else None) or (local and (local.path or local.hub))
    return f"`{name}`" if name else "the policy with its adapter off"


def _short(source: Any) -> str:
    """The last part of a path."""
    return PurePath(str(source)).name or str(source)


def _interval(found: Mapping[str, Any]) -> str:
    if found.get("low") is None:
        return f"{found['value']:.3g}"
    return f"{found['value']:.3g} [{found['low']:.3g}, {found['high']:.3g}]"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_plain(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_plain, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
