"""What ends a run: its audit, the card that it feeds, and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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

__all__ = ["end", "judge_rewards", "keep_audit", "readers_of"]


def end(run: Run, progress: Progress | None = None, host: PluginHost | None = None) -> Path:
    """Audit a finished run, write its card and its report; returns where the report is.

    What goes wrong in the audit is noted, and does no harm to the run.
    """
    told = progress or Silent()
    try:
        judges, notes = judge_rewards(run, host)
        keep_audit(run, audit_run(run, judges=judges, readers=readers_of(run), notes=notes))
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


def judge_rewards(run: Run, host: PluginHost | None = None) -> tuple[list[str], Sequence[str]]:
    """Which rewards of the run a judge gives, as its domain says; and what a person should know about that."""
    host, spec = host or get_host(), run.recipe.domain
    scored = {name for row in run.store.rollouts(limit=1) for name in row.scored.rewards}
    try:
        domain = host.domain(spec.use, **spec.options)
        own = {reward.name: reward for reward in domain.rewards}
        own.update({name: host.rewards.get(name) for name in scored if name not in own and name in host.rewards})
        found = [name for name in sorted(scored) if name in own and "judge" in own[name].arguments]
    except Exception as error:
        return [], [f"which rewards a judge gives is not known, because {spec.use} cannot be opened here ({error})"]
    if not found and run.store.judge_spent().calls:
        return [], ["the run asked a judge, and none of the domain's rewards is known to; name it: --judge-reward NAME"]
    return found, []
