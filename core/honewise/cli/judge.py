"""``honewise judge``: ask a judge by hand, and look after the cache of its replies."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honewise.errors import JudgeError, UserError

from .data_options import Notes
from .terminal import note, print_json, print_table, show

if TYPE_CHECKING:
    from honewise.clients import CacheEntry, CallRecord
    from honewise.contracts import Generation
    from honewise.judges import TemplateJudge

__all__ = ["attach"]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_BYTES = {"": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def attach(app: typer.Typer) -> None:
    group = typer.Typer(help="Ask a judge, and look after the cache of its replies.", no_args_is_help=True)
    group.command()(ask)
    group.command()(cache)
    app.add_typer(group, name="judge")


def ask(
    judge: Annotated[Path, typer.Option("--judge", help="A recipe, or a file with its section `judge:` alone.")],
    template: Annotated[Path, typer.Option("--template", help="A judge template: text with {{slots}}.")],
    slots: Annotated[
        list[str] | None, typer.Argument(help="What to fill in: name=text, or name=@FILE.", show_default=False)
    ] = None,
    image: Annotated[list[str] | None, typer.Option("--image", help="A picture to show; repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fill in a template, ask the judge, and print its reply: to try out a template or an endpoint.

    Example: honewise judge ask --judge judge.yaml --template judges/clear.md question="2+2?" answer=4
    """
    from honewise.api import load_judge

    try:
        text = template.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--template {template}: cannot be read ({error})") from error
    values = dict(_slot(each) for each in slots or ())
    with load_judge(judge, progress=Notes()) as asked:
        told = {
            name: asyncio.run(_ask(member, template, text, values, image or []))
            for name, member in asked.members.items()
        }
    if as_json:
        rows = {name: _told(*each) for name, each in told.items()}
        print_json(rows if len(rows) > 1 else next(iter(rows.values())))
        return
    for name, (_, reply, record) in told.items():
        if len(told) > 1:
            note(f"{name}:")
        show(reply.text)
        cut = ", cut off at max_tokens" if reply.truncated else ""
        note(f"{record.source}: {reply.prompt_tokens} + {reply.tokens} tokens{cut}, {record.seconds:.2f} s")


def _told(prompt: str, reply: Generation, record: CallRecord) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "reply": reply.text,
        "truncated": reply.truncated,
        "source": record.source,
        "attempts": record.attempts,
        "prompt_tokens": reply.prompt_tokens,
        "tokens": reply.tokens,
        "cost": record.cost,
        "seconds": record.seconds,
    }


async def _ask(
    judge: TemplateJudge, template: Path, text: str, slots: dict[str, str], images: Sequence[str]
) -> tuple[str, Generation, CallRecord]:
    from honewise.judges import plain_request

    digest = hashlib.sha256(text.encode()).hexdigest()
    prompt, request = plain_request(judge, text, slots, images=images, template=template.name, template_hash=digest)
    try:
        reply, record = await judge.client.complete(request)
    except JudgeError as error:
        raise UserError(f"the judge gave no answer: {error}") from error
    finally:
        await judge.aclose()
    return prompt, reply, record


def cache(
    path: Annotated[
        Path | None, typer.Option("--path", help="The cache's file. Left out: that in your cache folder.")
    ] = None,
    unused_for: Annotated[
        str | None, typer.Option("--unused-for", help="Replies not used for so long: 30d, 12h, 90m.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Replies of models with this in their name.")] = None,
    template: Annotated[
        str | None, typer.Option("--template", help="Replies to templates with this in their file's name or hash.")
    ] = None,
    largest: Annotated[
        str | None, typer.Option("--largest", help="With --prune: the longest unused go, down to a size: 500MB.")
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Forget what the other options select.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what the cache of judge replies holds, by model and template; with --prune, forget some of it.

    Example: honewise judge cache --unused-for 30d --prune
    """
    from honewise.clients import Cache, default_path

    file = path or default_path()
    if path is not None and not file.is_file():
        raise UserError(f"--path {path}: there is no cache")
    which: dict[str, Any] = {
        "unused_for": None if unused_for is None else _duration(unused_for),
        "model": model,
        "template": template,
    }
    size = None if largest is None else _size(largest)
    if prune and size is None and not any(value is not None for value in which.values()):
        raise UserError("--prune forgets what --unused-for, --model, --template or --largest select; name one of them")
    gone: int | None = 0 if prune else None
    entries: list[CacheEntry] = []
    if file.is_file():
        with closing(Cache(file)) as store:
            gone = store.prune(largest=size, **which) if prune else None
            entries = store.summary(**({} if prune else which))
    if as_json:
        rows = [_entry(each) for each in entries]
        print_json({"path": str(file), "forgotten": gone, "entries": rows, "bytes": sum(row["bytes"] for row in rows)})
        return
    if gone is not None:
        note(f"{gone} replies forgotten")
    _show(file, entries)


def _entry(entry: CacheEntry) -> dict[str, Any]:
    return {
        "model": entry.identity,
        "template": entry.template,
        "template_hash": entry.template_hash,
        "replies": entry.replies,
        "bytes": entry.bytes,
        "tokens": entry.tokens,
        "cost": entry.cost,
        "oldest": entry.oldest,
        "used": entry.used,
    }


def _show(file: Path, entries: Sequence[CacheEntry]) -> None:
    now = time.time()
    rows = [
        (
            each.identity,
            f"{each.template} {each.template_hash[:8]}".strip(),
            each.replies,
            f"{each.bytes / 1e6:.2f}",
            each.tokens,
            f"{each.cost:.4g}",
            f"{max(0.0, now - each.used) / 86_400:.0f}",
        )
        for each in entries
    ]
    print_table(("model", "template", "replies", "MB", "tokens", "cost", "days unused"), rows)
    note(f"{sum(each.replies for each in entries)} replies in {file}")


def _slot(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise UserError(f"{text!r} must be written as name=text or name=@FILE")
    if not value.startswith("@"):
        return name, value
    try:
        return name, Path(value[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name}={value}: cannot be read ({error})") from error


def _duration(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip().lower())
    if not found:
        raise UserError(f"--unused-for {text}: write a number and one of s, m, h, d, w, such as 30d")
    return float(found[1]) * _SECONDS[found[2]]


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]i?b)?", text.strip().lower())
    if not found:
        raise UserError(f"--largest {text}: write a number of bytes, or one with KB, MB, GB, such as 500MB")
    return int(float(found[1]) * _BYTES[found[2] or ""])
