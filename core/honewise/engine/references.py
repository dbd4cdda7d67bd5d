"""The policy that a stage began with, kept where TRL finds it as the reference."""

from __future__ import annotations

from pathlib import Path

from honewise.models.policy import Policy, save_policy
from honewise.runs.run import StageContext

from .processes import wait

__all__ = ["REFERENCE_FOLDER", "fix_reference"]

REFERENCE_FOLDER = "reference"
"""Where a stage keeps the policy it started from, when it is needed and stands nowhere else."""


def fix_reference(ctx: StageContext, policy: Policy) -> str:
    """Where the policy that the stage started from stands, for TRL to load as the reference; the same on a resume.

    TRL reads a full model's reference from the path in its configuration, which is here made to hold these weights.
    An adapter's reference is a copy of the adapter within the model.
    """
    folder = Path(ctx.folder) / REFERENCE_FOLDER
    if ctx.place.first and policy.path is None and not (folder / "complete").exists():
        save_policy(policy, folder)
        (folder / "complete").touch()
    wait()
    reference = policy.path or str(folder)
    if not policy.adapted:
        policy.model.config._name_or_path = reference
        policy.model.name_or_path = reference
    return reference
