"""``honewise doctor``: is everything that is installed fit to be used?"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honewise.contracts import Domain
from honewise.errors import JudgeError, PluginError, SandboxError, UserError
from honewise.host import PluginHost, PluginRecord, get_host

from .data_options import Notes
from .plugins import load_each, table
from .terminal import clean, print_json, show

if TYPE_CHECKING:
    from honewise.judges import TemplateJudge

__all__ = ["attach"]

_LIGHT = ("pluggy", "packaging", "pydantic", "PyYAML", "typer", "rich")
_JUDGE = ("openai",)
_TRAIN = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "evaluate", "tokenizers", "jinja2")


def attach(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    domain: Annotated[str | None, typer.Argument(help="Check only this domain and its plugin.")] = None,
    judge: Annotated[
        Path | None,
        typer.Option("--judge", help="Ask the judge that this file describes, too: one short call."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything found, as JSON.")] = False,
) -> None:
    """Check the installation: versions, every plugin, and the contract of every domain.

    The contract check asks each domain for its own sample tasks and holds that the gold answer earns the most and
    an empty one the least, that rewards stay in their range, are deterministic, and blame the right side when they
    fail. Leaves with 1 where anything fails.
    """
    host = get_host()
    if domain is not None:
        records, names = _one(host, domain)
    else:
        records, names = load_each(host), list(host.domains)
    _load_estimators(host, records)
    checked = {name: _check(host, name) for name in names}
    failed = [r for r in records if not r.usable and (r.state != "blocked" or not names)]
    asked = _ask_judge(judge) if judge is not None else None
    healthy = not failed and all(finding["ok"] for row in checked.values() for finding in row["findings"])
    healthy = healthy and (asked is None or asked["ok"])
    sandbox = _python_sandbox()
    healthy = healthy and sandbox["ok"]
    if as_json:
        listed = [record.as_json() | {"traceback": record.traceback()} for record in records]
        judged = {} if asked is None else {"judge": asked}
        found = {"healthy": healthy, "versions": _versions(), "plugins": listed, "domains": checked}
        print_json(found | {"python_sandbox": sandbox, **judged})
    else:
        _print_versions()
        show()
        table(records)
        _print_faults(records)
        _print_sandbox(sandbox)
        for name, row in checked.items():
            _print_domain(name, row)
        if asked is not None:
            show(f"\njudge {asked['model']}: {clean(asked['said'])}")
        show("\neverything is fit to be used" if healthy else "\nsomething is not fit to be used: see above")
    if not healthy:
        raise typer.Exit(1)


def _ask_judge(file: Path) -> dict[str, Any]:
    """One short question to each judge, past the cache: whether it answers, and how fast."""
    from honewise.api import load_judge

    with load_judge(file, progress=Notes()) as judge:
        told = {name: _ask_member(member) for name, member in judge.members.items()}
    if len(told) == 1:
        return next(iter(told.values()))
    said = "; ".join(f"{name} ({each['model']}) {each['said']}" for name, each in told.items())
    ok = all(each["ok"] for each in told.values())
    return {"model": f"panel of {len(told)}", "ok": ok, "said": said, "panel": told}


def _ask_member(judge: TemplateJudge) -> dict[str, Any]:
    from honewise.clients import Request

    model, seconds = judge.client.backend.model, judge.client.patience.timeout
    question = Request(({"role": "user", "content": "Reply with the word ready."},), max_tokens=16)

    async def ask() -> str:
        began = time.perf_counter()
        try:
            reply = await judge.client.backend.complete(question, seconds)
        finally:
            await judge.aclose()
        return f"answers in {time.perf_counter() - began:.2f} s: {reply.text.strip()[:60]!r}"

    try:
        return {"model": model, "ok": True, "said": asyncio.run(ask())}
    except JudgeError as error:
        return {"model": model, "ok": False, "said": f"does not answer: {error}"}


def _python_sandbox() -> dict[str, Any]:
    """What keeps model-written Python in on this system; it fails only where a strict sandbox refuses to run."""
    from honewise.sandbox.python import close, is_strict, protections

    try:
        found = protections()
    except SandboxError as error:
        return {"ok": not is_strict(), "error": str(error), "protections": []}
    finally:
        close()
    ok = not is_strict() or all(each.in_force for each in found if each.needed)
    return {"ok": ok, "error": "", "protections": [asdict(each) for each in found]}


def _print_sandbox(sandbox: Mapping[str, Any]) -> None:
    show("\nmodel-written Python")
    if sandbox["error"]:
        show(f"  cannot be run here: {clean(sandbox['error'])}")
    for each in sandbox["protections"]:
        missing = f": NOT in force, {clean(each['reason'])}"
        show(f"  {each['what']}{'' if each['in_force'] else missing}")
    if not sandbox["ok"]:
        show("  HONEWISE_SANDBOX=strict refuses to run it like this")


def _one(host: PluginHost, domain: str) -> tuple[list[PluginRecord], list[str]]:
    """The plugins that claim a domain's name, and the domain where one of them could be loaded."""
    names = [domain]
    try:
        host.domain_factory(domain)
    except PluginError:  # its record says why
        names = []
    return [record for record in host.records.values() if record.name == domain.split("/", 1)[0]], names


def _load_estimators(host: PluginHost, records: Sequence[PluginRecord]) -> None:
    """Call the hook that training alone calls, where training is installed."""
    if find_spec("torch") is None:
        return
    for record in records:
        if "register_estimators" in record.hooks:
            with contextlib.suppress(PluginError):  # a strict host's; the record says the same
                host.load_estimators(record.name)


def _check(host: PluginHost, name: str) -> dict[str, Any]:
    """The findings of one domain and the checks that its rewards declare not to obey."""
    from honewise.checks.contract import check_domain

    try:
        domain = host.domain(name)
    except UserError as error:
        return {"findings": [_finding("builds", False, name, str(error), "")], "exempt": {}}
    try:
        findings = check_domain(domain, name=name, package=host.package_of(name))
    except Exception as error:  # a plugin's own code runs in there
        reason = f"{type(error).__name__}: {error}"
        return {"findings": [_finding("check", False, name, reason, "")], "exempt": _exempt(domain)}
    rows = [_finding(f.check, f.ok, f.subject, f.explanation, f.fix) for f in findings]
    return {"findings": rows, "exempt": _exempt(domain)}


def _finding(check: str, ok: bool, subject: str, explanation: str, fix: str) -> dict[str, Any]:
    return {"check": check, "ok": ok, "subject": subject, "explanation": explanation, "fix": fix}


def _exempt(domain: Domain) -> dict[str, dict[str, str]]:
    return {reward.name: dict(reward.exempt) for reward in domain.rewards if reward.exempt}


def _versions() -> dict[str, str | None]:
    """Installed versions by metadata only; None where absent."""
    from honewise import __version__

    found: dict[str, str | None] = {"python": platform.python_version(), "honewise": __version__}
    for name in (*_LIGHT, *_JUDGE, *_TRAIN):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _print_versions() -> None:
    found = _versions()
    show(f"honewise {found['honewise']}, Python {found['python']} at {sys.executable}")
    show("  " + ", ".join(f"{name} {found[name] or 'is missing'}" for name in _LIGHT))
    client = f"openai {found['openai']}" if found["openai"] else "not installed: pip install 'honewise[judge]'"
    show(f"  judges at endpoints: {client}")
    absent = [name for name in _TRAIN if found[name] is None]
    present = [f"{name} {found[name]}" for name in _TRAIN if found[name]]
    if not absent:
        show(f"  training: {', '.join(present)}")
    else:
        show(f"  training is not installed ({', '.join(absent)}): pip install 'honewise[train]'")


def _print_faults(records: Sequence[PluginRecord]) -> None:
    for record in records:
        if record.usable:
            continue
        show(f"\n{record.name}: {record.state}: {record.reason}")
        for line in record.traceback().splitlines():
            show(f"    {clean(line)}")


def _print_domain(name: str, row: Mapping[str, Any]) -> None:
    findings = row["findings"]
    passed = sum(finding["ok"] for finding in findings)
    show(f"\n{name}: {passed} of {len(findings)} checks hold")
    for finding in findings:
        if not finding["ok"]:
            show(f"  {finding['check']}, {finding['subject']}: {clean(finding['explanation'])}")
            if finding["fix"]:
                show(f"    to fix it: {clean(finding['fix'])}")
    for reward, exempt in row["exempt"].items():
        for check, reason in exempt.items():
            show(f"  {reward} is exempt from {check!r}: {clean(reason)}")
