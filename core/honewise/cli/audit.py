"""``honewise audit``: can a judge, a domain's rewards, or what a run learned be trusted?"""

from __future__ import annotations

import typer

from .audit_judge import judge
from .audit_rewards import rewards
from .audit_run import run

__all__ = ["attach"]


def attach(app: typer.Typer) -> None:
    group = typer.Typer(help="Find out what a judge, rewards or a run can be trusted with.", no_args_is_help=True)
    group.command()(judge)
    group.command()(rewards)
    group.command()(run)
    app.add_typer(group, name="audit")
