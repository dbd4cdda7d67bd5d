"""``python -m honewise_medical_mcq.pairing``: build a pairs file from the command line."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from honewise import HonewiseError, UserError, load_domain, load_judge

from .build import Built, build_pairs
from .loop import writer_of

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, or 2 with one line for what a user can put right."""
    parser = argparse.ArgumentParser(
        prog="python -m honewise_medical_mcq.pairing",
        description="Ask a student; where it is wrong, let a teacher help; write pairs for a dpo stage.",
    )
    parser.add_argument("--student", required=True, help="a YAML file with a judge: section for the student")
    parser.add_argument("--teacher", required=True, help="the same for the teacher")
    parser.add_argument("--data", help="a file or folder in a published layout; left out: the plugin's samples")
    parser.add_argument("--format", help="the data's format; left out: recognised")
    parser.add_argument("--limit", type=int, help="at most so many questions")
    parser.add_argument("--method", choices=("teacher", "retry"), default="teacher")
    parser.add_argument("--rounds", type=int, default=10, help="retries at most, for the method retry (default 10)")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the student (default 1)")
    parser.add_argument("--out", required=True, help="the pairs file to write")
    given = parser.parse_args(arguments)
    try:
        built = asyncio.run(_build(given))
    except HonewiseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    became = ", ".join(f"{count} {why}" for why, count in built.counts.most_common())
    print(f"{given.out}: {len(built.pairs)} pairs ({became})")
    return 0


async def _build(given: argparse.Namespace) -> Built:
    for option in ("student", "teacher", "data"):
        file = getattr(given, option)
        if file and os.path.exists(file) and os.path.exists(given.out) and os.path.samefile(file, given.out):
            raise UserError(
                f"--out {given.out}: is the file that --{option} reads, which would be lost; give another name"
            )
    domain = load_domain("medical-mcq")
    found = (
        domain.tasks(given.data, format=given.format, limit=given.limit)
        if given.data
        else domain.tasks(split="train", limit=given.limit)
    )
    with load_judge(given.student) as student, load_judge(given.teacher) as teacher:
        try:
            return await build_pairs(
                found,
                writer_of(student, temperature=given.temperature),
                teacher,
                method=given.method,
                rounds=given.rounds,
                out=given.out,
                student_name=given.student,
                teacher_name=given.teacher,
            )
        finally:
            await student.aclose()
            await teacher.aclose()


if __name__ == "__main__":
    sys.exit(main())
