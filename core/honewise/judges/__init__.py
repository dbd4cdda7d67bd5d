"""Judges: templates filled in so that no text can leave its place, asked of a model, and read for their verdict; the
ways of asking, several judges and their votes, principles, and what is made of all that.

Names are loaded on first use, so that a plugin that needs one reader does not load clients.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agreement import Concordance, keep_concordant, kendall_w, mid_ranks
    from .annotators import FileAnnotator, JudgeAnnotator, TerminalAnnotator, VerifierAnnotator
    from .build import build_judge, build_panel
    from .context import Retrieved, SelfReference, free_text, from_inputs, from_reference
    from .judge import Answer, TemplateJudge, plain_request
    from .long_document import LongDocument
    from .panel import Panel, PanelReport
    from .personas import Persona, Personas, load_personas
    from .principles import Constitution, Principle, load_constitution
    from .prompt import Prompt, compose, template_hash, template_text
    from .protocols.base import JudgeProtocol
    from .protocols.by_principle import ByPrinciple, PrincipledPreference, PrincipleScore
    from .protocols.group import Ranking, Relative, group_rewards
    from .protocols.hindsight import Hindsight, Outcome, SimulatedOutcome
    from .protocols.pairwise import Pairwise, preference_of
    from .protocols.pointwise import ExpectedScore, Pointwise, VerdictMap
    from .protocols.segments import SegmentLabels
    from .protocols.sheet import Checklist, Criteria, Criterion, Question
    from .read import choice, json_number, scale
    from .registered import judged
    from .relabelling import Annotator, Comparison, Label, Relabelled, Selection, relabel, select
    from .results import Labelled, Polled, Preference, Sheet, Standing, clamp, score_segments
    from .retrieve import Bm25
    from .revising import CRITIQUE, REVISION, Revision, revisions, targets
    from .segment import chunks, clauses, lines, sentences
    from .self_align import Aligned, align, cut_repetition, leaks
    from .tokens import Distribution, distribution
    from .trivial import is_trivial, why_trivial
    from .voting import Disagreement, Tally, Vote, decide, disagreement, tally

__all__ = [
    "CRITIQUE",
    "REVISION",
    "Aligned",
    "Annotator",
    "Answer",
    "Bm25",
    "ByPrinciple",
    "Checklist",
    "Comparison",
    "Concordance",
    "Constitution",
    "Criteria",
    "Criterion",
    "Disagreement",
    "Distribution",
    "ExpectedScore",
    "FileAnnotator",
    "Hindsight",
    "JudgeAnnotator",
    "JudgeProtocol",
    "Label",
    "Labelled",
    "LongDocument",
    "Outcome",
    "Pairwise",
    "Panel",
    "PanelReport",
    "Persona",
    "Personas",
    "Pointwise",
    "Polled",
    "Preference",
    "Principle",
    "PrincipleScore",
    "PrincipledPreference",
    "Prompt",
    "Question",
    "Ranking",
    "Relabelled",
    "Relative",
    "Retrieved",
    "Revision",
    "SegmentLabels",
    "Selection",
    "SelfReference",
    "Sheet",
    "SimulatedOutcome",
    "Standing",
    "Tally",
    "TemplateJudge",
    "TerminalAnnotator",
    "VerdictMap",
    "VerifierAnnotator",
    "Vote",
    "align",
    "build_judge",
    "build_panel",
    "choice",
    "chunks",
    "clamp",
    "clauses",
    "compose",
    "cut_repetition",
    "decide",
    "disagreement",
    "distribution",
    "free_text",
    "from_inputs",
    "from_reference",
    "group_rewards",
    "is_trivial",
    "json_number",
    "judged",
    "keep_concordant",
    "kendall_w",
    "leaks",
    "lines",
    "load_constitution",
    "load_personas",
    "mid_ranks",
    "plain_request",
    "preference_of",
    "relabel",
    "revisions",
    "scale",
    "score_segments",
    "select",
    "sentences",
    "tally",
    "targets",
    "template_hash",
    "template_text",
    "why_trivial",
]

_HOMES = {
    "Concordance": "agreement",
    "keep_concordant": "agreement",
    "kendall_w": "agreement",
    "mid_ranks": "agreement",
    "FileAnnotator": "annotators",
    "JudgeAnnotator": "annotators",
    "TerminalAnnotator": "annotators",
    "VerifierAnnotator": "annotators",
    "build_judge": "build",
    "build_panel": "build",
    "Retrieved": "context",
    "SelfReference": "context",
    "free_text": "context",
    "from_inputs": "context",
    "from_reference": "context",
    "Answer": "judge",
    "TemplateJudge": "judge",
    "plain_request": "judge",
    "LongDocument": "long_document",
    "Panel": "panel",
    "PanelReport": "panel",
    "Persona": "personas",
    "Personas": "personas",
    "load_personas": "personas",
    "Constitution": "principles",
    "Principle": "principles",
    "load_constitution": "principles",
    "Prompt": "prompt",
    "compose": "prompt",
    "template_hash": "prompt",
    "template_text": "prompt",
    "JudgeProtocol": "protocols.base",
    "ByPrinciple": "protocols.by_principle",
    "PrincipleScore": "protocols.by_principle",
    "PrincipledPreference": "protocols.by_principle",
    "Ranking": "protocols.group",
    "Relative": "protocols.group",
    "group_rewards": "protocols.group",
    "Hindsight": "protocols.hindsight",
    "Outcome": "protocols.hindsight",
    "SimulatedOutcome": "protocols.hindsight",
    "Pairwise": "protocols.pairwise",
    "preference_of": "protocols.pairwise",
    "ExpectedScore": "protocols.pointwise",
    "Pointwise": "protocols.pointwise",
    "VerdictMap": "protocols.pointwise",
    "SegmentLabels": "protocols.segments",
    "Checklist": "protocols.sheet",
    "Criteria": "protocols.sheet",
    "Criterion": "protocols.sheet",
    "Question": "protocols.sheet",
    "choice": "read",
    "json_number": "read",
    "scale": "read",
    "judged": "registered",
    "Annotator": "relabelling",
    "Comparison": "relabelling",
    "Label": "relabelling",
    "Relabelled": "relabelling",
    "Selection": "relabelling",
    "relabel": "relabelling",
    "select": "relabelling",
    "Labelled": "results",
    "Polled": "results",
    "Preference": "results",
    "Sheet": "results",
    "Standing": "results",
    "clamp": "results",
    "score_segments": "results",
    "Bm25": "retrieve",
    "CRITIQUE": "revising",
    "REVISION": "revising",
    "Revision": "revising",
    "revisions": "revising",
    "targets": "revising",
    "chunks": "segment",
    "clauses": "segment",
    "lines": "segment",
    "sentences": "segment",
    "Aligned": "self_align",
    "align": "self_align",
    "cut_repetition": "self_align",
    "leaks": "self_align",
    "Distribution": "tokens",
    "distribution": "tokens",
    "is_trivial": "trivial",
    "why_trivial": "trivial",
    "Disagreement": "voting",
    "Tally": "voting",
    "Vote": "voting",
    "decide": "voting",
    "disagreement": "voting",
    "tally": "voting",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
