"""Published layouts of compared pairs: LLMBar, PandaLM, MT-bench, HH-RLHF; and lines of JSON of our own."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from honewise.errors import DataError, near

from .files import first_object, read_json, read_jsonl
from .judged import ORDERS, WORDS, JudgedPair, Order, PairReader, StoredVerdict, lines_of, placed

__all__ = ["READERS"]

_NUMBERS = {"1": 1, "2": -1, "0": 0, "tie": 0}
"""How LLMBar and PandaLM say which answer is better; anything else is no verdict."""


def _choice(value: Any) -> int | None:
    return _NUMBERS.get(str(value).strip().casefold())


def _majority(votes: Sequence[int]) -> int | None:
    """What more than half of the annotators say; None where no answer has that many."""
    found = Counter(votes).most_common(1)
    return found[0][0] if found and 2 * found[0][1] > len(votes) else None


def _list(path: Path) -> list[Mapping[str, Any]]:
    rows = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise DataError(f"{path}: a JSON list of objects is needed")
    return rows


# LLMBar: dataset.json beside evaluators/<model>/<prompting>/result.json, in any depth of folders


def _llmbar(path: Path) -> Iterator[JudgedPair]:
    root = path if path.is_dir() else path.parent
    for file in sorted(path.rglob("dataset.json")) if path.is_dir() else [path]:
        subset = "" if file.parent == root else file.parent.relative_to(root).as_posix()
        rows = _list(file)
        told = {
            result.parent.relative_to(file.parent / "evaluators").as_posix(): _list(result)
            for result in sorted(file.parent.glob("evaluators/**/result.json"))
        }
        if any("results" in row for row in rows):
            told["/".join(file.parts[-3:-1])] = rows  # one judge's file by itself
        for judge, results in told.items():
            if len(results) != len(rows):
                raise DataError(f"{file}: {len(rows)} pairs, and {len(results)} results of {judge}")
        for index, row in enumerate(rows):
            verdicts = [each for judge, results in told.items() for each in _llmbar_verdicts(judge, results[index])]
            yield JudgedPair(
                f"{subset}/{index}" if subset else str(index),
                row["input"],
                row["output_1"],
                row["output_2"],
                _choice(row.get("label")),
                subset=subset,
                verdicts=tuple(verdicts),
            )


def _llmbar_verdicts(judge: str, row: Mapping[str, Any]) -> Iterator[StoredVerdict]:
    """Of the last result that has both orders: those before it are steps towards it."""
    orders: Mapping[str, Order] = {"swap = False": "ab", "swap = True": "ba"}
    both = [each for each in row.get("results", ()) if isinstance(each, Mapping) and orders.keys() & each.keys()]
    for key, order in orders.items() if both else ():
        if isinstance(said := both[-1].get(key), Mapping):
            yield StoredVerdict(judge, order, _choice(said.get("winner")))


def _is_llmbar(path: Path) -> bool:
    file = next(path.rglob("dataset.json"), None) if path.is_dir() else path
    row = first_object(file) if file is not None and file.suffix == ".json" else None
    return row is not None and {"input", "output_1", "output_2"} <= row.keys()


# PandaLM: a test set with three annotators, and files of single verdicts by idx beside it


def _pandalm(path: Path) -> Iterator[JudgedPair]:
    folder = path if path.is_dir() else path.parent
    file = path if path.is_file() else next((f for f, head in _pandalm_files(folder) if "annotator1" in head), None)
    if file is None:
        raise DataError(f"{path}: no file of pairs with annotator1, annotator2 and annotator3 in it")
    told: list[tuple[str, dict[str, Any]]] = []
    for other, head in _pandalm_files(folder):
        key = next((key for key in head if key.endswith("_result")), None)
        if "annotator1" not in head and key is not None:
            name = re.sub(r"-testset-v\d+$", "", other.stem)
            told.append((name, {str(row["idx"]): row.get(key) for row in _list(other)}))
    for row in _list(file):
        votes = [_choice(row[f"annotator{number}"]) for number in (1, 2, 3)]
        known = tuple(vote for vote in votes if vote is not None)
        yield JudgedPair(
            str(row["idx"]),
            f"{row['instruction']}\n\n{row['input']}" if row.get("input") else row["instruction"],
            row["response1"],
            row["response2"],
            _majority(known),
            known,
            verdicts=tuple(
                StoredVerdict(judge, "ab", _choice(results[str(row["idx"])]))
                for judge, results in told
                if str(row["idx"]) in results
            ),
        )


def _pandalm_files(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    return [(file, head) for file in sorted(folder.glob("*.json")) if (head := first_object(file)) and "idx" in head]


def _is_pandalm(path: Path) -> bool:
    files = _pandalm_files(path) if path.is_dir() else [(path, first_object(path) or {})]
    return any({"annotator1", "response1", "response2"} <= head.keys() for _, head in files)


# MT-bench: votes of people and of GPT-4 (lists, or lines), and judgments in both orders as FastChat writes them

_PEOPLE = ("expert", "author")


def _mt_bench(path: Path) -> Iterator[JudgedPair]:
    rows = [row for file in _mt_bench_files(path) for row in _rows(file)]
    votes, asked = [row for row in rows if "winner" in row], [row for row in rows if "g1_winner" in row]
    by_expert = any(_judge(row).startswith("expert") for row in votes)
    people = _PEOPLE[:1] if by_expert else _PEOPLE
    found: dict[tuple[str, str, str, int], list[Mapping[str, Any]]] = {}
    for row in [*votes, *asked]:
        found.setdefault(_match(row), []).append(row)
    for (question, one, other, turn), group in found.items():
        shown = next((row for row in group if "conversation_a" in row), None)
        if shown is None:
            continue  # judged, and the answers stand in none of the files
        asked_first, said_one, said_other = _conversations(shown, turn, turned=_turned(shown))
        labels = [_winner(row) for row in group if "winner" in row and _judge(row).startswith(people)]
        known = tuple(label for label in labels if label is not None)
        verdicts = [each for row in group if not _judge(row).startswith(_PEOPLE) for each in _mt_bench_verdicts(row)]
        yield JudgedPair(
            f"{question}/{turn}/{one}/{other}",
            asked_first,
            said_one,
            said_other,
            _majority(known),
            known,
            f"turn {turn}",
            tuple(verdicts),
        )


def _names(row: Mapping[str, Any]) -> tuple[str, str]:
    one, other = ("model_a", "model_b") if "model_a" in row else ("model_1", "model_2")
    return str(row[one]), str(row[other])


def _turned(row: Mapping[str, Any]) -> bool:
    one, other = _names(row)
    return one > other


def _match(row: Mapping[str, Any]) -> tuple[str, str, str, int]:
    one, other = sorted(_names(row))
    return str(row["question_id"]), one, other, int(row.get("turn", 1))


def _judge(row: Mapping[str, Any]) -> str:
    judge = row.get("judge", "")
    return judge if isinstance(judge, str) else "/".join(map(str, judge))


def _winner(row: Mapping[str, Any], key: str = "winner") -> int | None:
    """1 for the model whose name comes first in the alphabet."""
    won = str(row[key])
    if "tie" in won:
        return 0
    ahead = {"model_a": 1, "model_1": 1, "model_b": -1, "model_2": -1}.get(won)
    return None if ahead is None else -ahead if _turned(row) else ahead


def _mt_bench_verdicts(row: Mapping[str, Any]) -> Iterator[StoredVerdict]:
    if "winner" in row:
        yield StoredVerdict(_judge(row), "both", _winner(row))
        return
    first: Order = "ba" if _turned(row) else "ab"
    yield StoredVerdict(_judge(row), first, _winner(row, "g1_winner"))
    yield StoredVerdict(_judge(row), "ab" if first == "ba" else "ba", _winner(row, "g2_winner"))


def _conversations(row: Mapping[str, Any], turn: int, *, turned: bool) -> tuple[str, str, str]:
    """The questions up to ``turn``, and what each model said up to it."""
    sides = [row["conversation_a"], row["conversation_b"]]
    questions = [message["content"] for message in sides[0] if message["role"] == "user"][:turn]
    said = [
        "\n\n".join([message["content"] for message in side if message["role"] == "assistant"][:turn]) for side in sides
    ]
    one, other = reversed(said) if turned else said
    return "\n\n".join(questions), one, other


def _rows(file: Path) -> Iterable[Mapping[str, Any]]:
    listed = file.suffix == ".json"
    return _list(file) if listed else [entry for _, entry in read_jsonl(file)]


def _mt_bench_files(path: Path) -> list[Path]:
    files = sorted([*path.glob("*.json"), *path.glob("*.jsonl")]) if path.is_dir() else [path]
    return [file for file in files if _is_judgment(first_object(file))]


def _is_judgment(row: Mapping[str, Any] | None) -> bool:
    return row is not None and "question_id" in row and ("g1_winner" in row or {"winner", "model_a"} <= row.keys())


def _is_mt_bench(path: Path) -> bool:
    return bool(_mt_bench_files(path))


# HH-RLHF: two transcripts that differ in the last turn

_TURN = "\n\nAssistant:"


def _hh_rlhf(path: Path) -> Iterator[JudgedPair]:
    files = sorted([*path.rglob("*.jsonl"), *path.rglob("*.jsonl.gz")]) if path.is_dir() else [path]
    for file in files:
        for line, row in read_jsonl(file):
            name = f"{file.relative_to(path).as_posix()}:{line}" if path.is_dir() else str(line)
            for key in ("chosen", "rejected"):
                if not isinstance(row.get(key), str) or _TURN not in row[key]:
                    raise DataError(f"{file}:{line}: {key!r} must be a transcript with a turn of the assistant")
            question, chosen, rejected = _parted(row["chosen"], row["rejected"])
            subset = file.parent.relative_to(path).as_posix().strip(".") if path.is_dir() else ""
            yield placed(JudgedPair(name, question.strip(), chosen.strip(), rejected.strip(), 1, subset=subset))


def _parted(chosen: str, rejected: str) -> tuple[str, str, str]:
    """What both have in common up to a turn of the assistant, and how each goes on."""
    shared = len(os.path.commonprefix([chosen, rejected]))  # noqa: RUF071  (of texts, character by character)
    at = chosen.rfind(_TURN, 0, shared)
    if at < 0:
        return "", chosen, rejected
    return chosen[:at], chosen[at + len(_TURN) :], rejected[at + len(_TURN) :]


def _is_hh_rlhf(path: Path) -> bool:
    file = next((f for ending in ("*.jsonl", "*.jsonl.gz") for f in sorted(path.rglob(ending))), None)
    row = first_object(file or path) if path.is_file() or file else None
    said = row.get("chosen") if row else None
    return isinstance(said, str) and "rejected" in (row or {}) and "\n\nHuman:" in said and _TURN in said


# lines of our own


_KEYS = frozenset({"id", "question", "a", "b", "label", "votes", "subset", "verdicts"})


def _jsonl(path: Path) -> Iterator[JudgedPair]:
    for index, (where, row) in enumerate(lines_of(path)):
        if "chosen" in row or "rejected" in row:
            yield placed(_preference(row, where, index))
            continue
        if unknown := sorted(row.keys() - _KEYS):
            raise DataError(f"{where}: unknown key {unknown[0]!r}{near(unknown[0], _KEYS)}")
        votes = row.get("votes") or []
        if not isinstance(votes, list):
            raise DataError(f"{where}: 'votes' must be a list of a, b and tie")
        known = tuple(vote for each in votes if (vote := _word(each, where, "votes")) is not None)
        label = _word(row["label"], where, "label") if row.get("label") is not None else _majority(known)
        yield JudgedPair(
            str(row.get("id", index)),
            _text(row, "question", where),
            _text(row, "a", where),
            _text(row, "b", where),
            label,
            known,
            str(row.get("subset", "")),
            tuple(_verdict(each, where) for each in row.get("verdicts") or ()),
        )


def _preference(row: Mapping[str, Any], where: str, index: int) -> JudgedPair:
    """Pairs for training, which hold the better answer first."""
    for key in ("chosen", "rejected"):
        if not isinstance(row.get(key), str | list):
            raise DataError(f"{where}: {key!r} must be a text or a list of messages")
    name = row.get("id", row.get("task_id", index))
    return JudgedPair(
        str(name), _said(row.get("prompt", row.get("question", ""))), _said(row["chosen"]), _said(row["rejected"]), 1
    )


def _said(value: Any) -> str:
    """A text, or the contents of a list of messages."""
    if isinstance(value, list):
        return "\n\n".join(str(message.get("content", "")) for message in value if isinstance(message, Mapping))
    return str(value or "")


def _verdict(said: Any, where: str) -> StoredVerdict:
    if not isinstance(said, Mapping) or not isinstance(said.get("judge"), str) or said.get("order") not in ORDERS:
        raise DataError(
            f'{where}: a verdict is {{"judge": NAME, "order": "ab" | "ba" | "both", "verdict": "a" | "b" | "tie"}}'
        )
    confidence = said.get("confidence")
    if confidence is not None and (
        isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1
    ):
        raise DataError(f"{where}: 'confidence' must be a number from 0 to 1, this is {confidence!r:.40}")
    return StoredVerdict(
        said["judge"],
        said["order"],
        _word(said.get("verdict"), where, "verdict"),
        None if confidence is None else float(confidence),
        int(said.get("sample", 0)),
    )


def _word(value: Any, where: str, key: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in WORDS:
        raise DataError(f"{where}: {key!r} must be a, b, tie or null, this is {value!r:.40}")
    return WORDS[value]


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise DataError(f"{where}: {key!r} must be text" + ("" if key in row else "; it is missing"))
    return value


def _is_jsonl(path: Path) -> bool:
    row = first_object(path) if path.is_file() else None
    if row is None or _is_hh_rlhf(path):
        return False
    return {"a", "b"} <= row.keys() or ({"chosen", "rejected"} <= row.keys() and path.suffix != ".json")


READERS: Mapping[str, PairReader] = {
    "llmbar": PairReader(_llmbar, _is_llmbar),
    "pandalm": PairReader(_pandalm, _is_pandalm),
    "mt-bench": PairReader(_mt_bench, _is_mt_bench),
    "hh-rlhf": PairReader(_hh_rlhf, _is_hh_rlhf),
    "jsonl": PairReader(_jsonl, _is_jsonl),
}
"""By format."""
