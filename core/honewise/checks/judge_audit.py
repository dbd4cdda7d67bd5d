"""The audit of judges: stored verdicts, a judge that is asked, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from honewise.contracts import Judge
from honewise.data.judged import JudgedPair, PairSet
from honewise.errors import UserError
from honewise.judges import template_hash
from honewise.progress import Progress

from .judge_asking import PAIRWISE, ask_pairs, attack
from .judge_numbers import JudgeAudit, JudgeSettings, audit_verdicts

__all__ = ["JudgesAudited", "audit_judge"]

_NOT_ASKED = "only a judge that is asked can be attacked: give one"


@dataclass(frozen=True, slots=True)
class JudgesAudited:
    """Every judge that was audited on one set of pairs."""

    audits: Sequence[JudgeAudit]
    pairs: Sequence[JudgedPair]
    """With the verdicts that were asked for."""
    asked: str = ""
    """The judge that was asked; empty where none was."""
    template_hash: str = ""
    """Of the question that it was asked."""


def audit_judge(
    found: PairSet,
    judge: Judge | None = None,
    *,
    name: str = "judge",
    settings: JudgeSettings | None = None,
    repeats: int = 1,
    attacks: int = 10,
    progress: Progress | None = None,
) -> JudgesAudited:
    """Audit the judges whose verdicts stand in ``found``, and ``judge`` where one is given.

    Args:
        found: the pairs.
        judge: asked about every pair in both orders, with the question ``PAIRWISE``.
        name: what the judge is called.
        settings: how numbers are computed.
        repeats: how often each question is asked; more than once only makes sense above temperature 0.
        attacks: pairs, from the start, on which the judge is attacked; 12 attacks in both orders each. 0: none.
        progress: told how far it is.

    Raises ``UserError`` where there are neither verdicts nor a judge, and ``JudgeBudgetExceeded``.
    """
    settings = settings or JudgeSettings()
    pairs: Sequence[JudgedPair] = found.pairs
    stored = found.judges
    if judge is None:
        if not stored:
            raise UserError(f"{found.source}: holds no verdicts; give a judge to be asked: --judge FILE")
        audits = [_not_attacked(audit_verdicts(pairs, each, settings)) for each in stored]
        return JudgesAudited(audits, pairs)
    if name in stored:
        name = f"{name} (asked)"
    pairs = ask_pairs(judge, name, pairs, repeats=repeats, progress=progress)
    audits = [_not_attacked(audit_verdicts(pairs, each, settings)) for each in stored]
    own = audit_verdicts(pairs, name, settings)
    if attacks:
        felt = attack(judge, name, pairs[:attacks], settings, progress)
        own = replace(
            own,
            numbers={**own.numbers, **felt.numbers},
            missing={**own.missing, **felt.missing},
            details={"attacks": {"resisted": felt.by_attack, "questions": felt.questions}},
        )
    else:
        own = replace(own, missing={**own.missing, **dict.fromkeys(_ATTACKED, "not attacked: --attacks 0")})
    return JudgesAudited([*audits, own], pairs, name, template_hash(PAIRWISE))


_ATTACKED = ("injection_resistance", "injection_proof", "trivial_resistance")


def _not_attacked(audit: JudgeAudit) -> JudgeAudit:
    return replace(audit, missing={**audit.missing, **dict.fromkeys(_ATTACKED, _NOT_ASKED)})
