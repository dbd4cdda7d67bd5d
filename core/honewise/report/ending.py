"""What ends a run: its audit, the card that it feeds, and the report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from honewise.checks import Readers, RunAudited
from honewise.host import PluginHost, get_host
from honewise.models.readers import policy_tokens
from honewise.progress import Progress, Silent
from honewise.runs import card
from honewise.runs.kept import keep
from honewise.runs.run import Run

from .audit import audit_run
from .page import write

__all__ = ["Known", "end", "keep_audit", "known", "readers_of"]


def end(run: Run, progress: Progress | None = None, host: PluginHost | None = None) -> Path:
    """Audit a finished run, write its card and its report; returns where the report is.

    What goes wrong in the audit is noted, and does no harm to the run.
    """
    told = progress or Silent()
    try:
        about = known(run, host)
        audited = audit_run(run, judges=about.judges, decides=about.decides, readers=readers_of(run), notes=about.notes)
        keep_audit(run, audited)
        found = [f"{sign.sign} ({sign.where})" for sign in audited.signs if sign.found]
        if found:
            told.note(f"audit: {', '.join(found)}; to see more: honewise audit run {run.path}")
    except Exception as error:
        told.note(f"the run could not be audited ({type(error).__name__}: {error}); try: honewise audit run {run.name}")
    return write(run)


def keep_audit(run: Run, audited: RunAudited) -> Path:
    """Keep the audit with the run, and write the card anew. Raises ``OSError`` where the folder cannot be written."""
    kept = keep(run.path, "run", run.name, audited.as_json())
    card.write(run)
    return kept


def readers_of(run: Run) -> Readers:
    """Texts in tokens of the run's own policy, where its tokenizer is at hand; else in words."""
    for folder in run.policy_of.values():
        if (found := policy_tokens(folder)) is not None:
            return replace(Readers(), tokens=found[0], vocabulary=found[1], unit="tokens of the policy")
    return Readers()


@dataclass(frozen=True, slots=True)
class Known:
    """What the run's domain says about its rewards."""

    judges: tuple[str, ...] = ()
    """Rewards of the run that a judge gives."""
    decides: str | None = None
    """The reward that says what is correct."""
    notes: tuple[str, ...] = ()
    """What a person should know about that."""


def known(run: Run, host: PluginHost | None = None) -> Known:
    """Ask the run's domain; where it cannot be opened here, little is known, and that is said."""
    host, works = host or get_host(), run.recipe.works
    if run.recipe.domains is not None:
        return _known_of_several(run, host)
    spec = works[""]
    rubric = spec.rubric
    scored = {name for row in run.store.rollouts(limit=1) for name in row.scored.rewards}
    try:
        domain = host.domain(spec.use, **spec.options)
        own = {reward.name: reward for reward in domain.rewards}
        own.update({name: host.rewards.get(name) for name in scored if name not in own and name in host.rewards})
        judges = [name for name in sorted(scored) if name in own and "judge" in own[name].arguments]
        preset = domain.rubrics[rubric.preset] if rubric.preset else next(iter(domain.rubrics.values()))
        decides = rubric.correct or preset.correct
    except Exception as error:
        told = f"{spec.use} cannot be opened here ({error}): name what a judge gives by --judge-reward NAME"
        return Known(decides=rubric.correct, notes=(told,))
    notes: tuple[str, ...] = ()
    if not judges and run.store.judge_spent().calls:
        notes = ("a judge was asked, and the domain's rewards do not ask one: name it by --judge-reward NAME",)
    return Known(tuple(judges), decides if decides in scored else None, notes)


def _known_of_several(run: Run, host: PluginHost) -> Known:
    """Of each domain its judged rewards; none of their rewards decides for all what is correct."""
    scored = set(run.store.glance().rewards)
    judges: list[str] = []
    notes = ["each domain has a reward of its own that decides what is correct: name one by --verifier NAME"]
    for name, work in run.recipe.works.items():
        try:
            own = {f"{name}/{reward.name}": reward for reward in host.domain(work.use, **work.options).rewards}
            own.update({f"{name}/{other}": host.rewards.get(other) for other in host.rewards})
        except Exception as error:
            notes.append(f"{work.use} cannot be opened here ({error}): name what a judge gives by --judge-reward NAME")
            continue
        judges += [each for each in sorted(scored) if each in own and "judge" in own[each].arguments]
    return Known(tuple(judges), None, tuple(notes))
