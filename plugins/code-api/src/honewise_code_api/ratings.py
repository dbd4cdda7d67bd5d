"""``python -m honewise_code_api.ratings``: the ratings of CodeUltraFeedback as a file that a ``pairs`` stage takes.

Each rated response becomes a line ``{task_id, completion, total}`` with its rating, 1 to 5, as the total. The rule
``max-min`` then makes pairs as the data set's binarised form has them: one of the best rated against one of the worst.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from honewise import HonewiseError, Task, UserError, load_domain

__all__ = ["main", "rating_lines"]


def rating_lines(tasks: Iterable[Task]) -> Iterator[str]:
    """A line for each response that has a rating; what the data set rates N/A is left out."""
    for task in tasks:
        for each in task.reference.get("rated") or ():
            if each["rating"] is not None and each["text"].strip():
                row = {"task_id": task.id, "completion": each["text"], "total": float(each["rating"])}
                yield json.dumps(row)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 with one line for what a user can put right."""
    parser = argparse.ArgumentParser(
        prog="python -m honewise_code_api.ratings",
        description="Write the ratings of CodeUltraFeedback as completions with totals, for a pairs stage.",
        epilog="The pairs stage must read the same data: data.train.path=DATA, with the same limit or none.",
    )
    parser.add_argument("data", help="CodeUltraFeedback: a file, a folder, or org/name:split of the Hugging Face hub")
    parser.add_argument("--limit", type=int, help="at most so many requests")
    parser.add_argument("--out", required=True, help="the file to write; what is there is replaced")
    given = parser.parse_args(arguments)
    try:
        if os.path.exists(given.out) and os.path.exists(given.data) and os.path.samefile(given.out, given.data):
            raise UserError(f"--out {given.out}: is the data itself, which would be lost; give another name")
        tasks = load_domain("code-api/preferences").tasks(given.data, limit=given.limit)
        lines = list(rating_lines(tasks))
        if not lines:
            raise UserError(f"{given.data}: no response in it has a rating; the binarised form holds pairs without any")
        _write(Path(given.out), lines)
    except HonewiseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{given.out}: {len(lines)} rated responses to {len(tasks)} requests")
    return 0


def _write(place: Path, lines: Sequence[str]) -> None:
    """Whole or not at all."""
    try:
        with tempfile.NamedTemporaryFile("w", dir=place.parent, delete=False, encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        os.replace(file.name, place)
    except OSError as error:
        raise UserError(f"{place}: cannot be written ({error.strerror or error})") from error


if __name__ == "__main__":
    sys.exit(main())
