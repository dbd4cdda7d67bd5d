"""Pairs that people and judges compared: published layouts, our own lines, and files that are not what they seem."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from honewise.data.judged import JudgedPair, StoredVerdict, load_pairs, pair_line, placed
from honewise.errors import DataError, UnknownName
from honewise.testing import data_slice

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


# published slices


def test_llmbar_with_the_verdicts_of_two_judges_in_both_orders() -> None:
    found = load_pairs(data_slice("preference_judge/llmbar/LLMBar"))
    assert (found.format, len(found)) == ("llmbar", 209)
    assert found.judges == ["ChatGPT/Vanilla", "GPT-4/Vanilla"]
    subsets = Counter(pair.subset for pair in found.pairs)
    assert subsets == {
        "Natural": 50, "Adversarial/GPTInst": 46, "Adversarial/GPTOut": 23, "Adversarial/Manual": 23,
        "Adversarial/Neighbor": 67,
    }  # fmt: skip
    assert all(Counter(v.order for v in pair.verdicts) == {"ab": 2, "ba": 2} for pair in found.pairs)
    raw = json.loads(
        (data_slice("preference_judge/llmbar/LLMBar") / "Natural/evaluators/GPT-4/Vanilla/result.json").read_text()
    )
    mine = [pair for pair in found.pairs if pair.subset == "Natural"]
    for row, pair in zip(raw, mine, strict=True):
        assert (row["input"], row["output_1"], row["output_2"]) == (pair.question, pair.a, pair.b)
        assert pair.label == {1: 1, 2: -1}[row["label"]]
        swapped = next(v for v in pair.verdicts if v.judge == "GPT-4/Vanilla" and v.order == "ba")
        assert swapped.choice == {"1": 1, "2": -1}[row["results"][0]["swap = True"]["winner"]]


def test_one_file_of_llmbar() -> None:
    folder = data_slice("preference_judge/llmbar/LLMBar/Natural")
    assert load_pairs(folder / "dataset.json").judges == ["ChatGPT/Vanilla", "GPT-4/Vanilla"]
    alone = load_pairs(folder / "evaluators/GPT-4/Vanilla/result.json")
    assert alone.judges == ["GPT-4/Vanilla"]
    assert len(alone) == 50


def test_pandalm_with_three_annotators_and_two_judges() -> None:
    found = load_pairs(data_slice("preference_judge/pandalm"))
    assert (found.format, len(found), found.judges) == ("pandalm", 150, ["gpt-3.5-turbo", "pandalm-7b"])
    assert Counter(pair.label for pair in found.pairs) == {-1: 71, 1: 63, 0: 16}
    said = Counter(v.choice for pair in found.pairs for v in pair.verdicts if v.judge == "gpt-3.5-turbo")
    assert said == {1: 77, -1: 65, 0: 6, None: 2}
    assert {v.order for pair in found.pairs for v in pair.verdicts} == {"ab"}
    assert found.pairs[0].votes == (-1, -1, -1)


def test_hh_rlhf_places_the_chosen_answer_by_the_texts() -> None:
    folder = data_slice("preference_judge/hh_rlhf")
    found = load_pairs(folder)
    assert (found.format, len(found), found.judges) == ("hh-rlhf", 150, [])
    labels = Counter(pair.label for pair in found.pairs)
    assert set(labels) == {1, -1}
    assert min(labels.values()) > 50
    alone = load_pairs(folder / "harmless-base/test.jsonl.gz", limit=20)
    assert [(p.question, p.a, p.b, p.label) for p in alone.pairs] == [
        (p.question, p.a, p.b, p.label) for p in found.pairs[:20]
    ]
    with gzip.open(folder / "harmless-base/test.jsonl.gz", "rt", encoding="utf-8") as file:
        raw = json.loads(file.readline())
    chosen = alone.pairs[0].a if alone.pairs[0].label == 1 else alone.pairs[0].b
    assert raw["chosen"] == f"\n\n{alone.pairs[0].question}{ASSISTANT} {chosen}"


# layouts that the slices do not hold


def talk(*said: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]


def mt_bench(folder: Path) -> Path:
    """Votes of people and of GPT-4 as published, and judgments in both orders as FastChat writes them."""
    one = {"conversation_a": talk("Q1", "w1", "Q2", "w2"), "conversation_b": talk("Q1", "v1", "Q2", "v2")}
    base = {"question_id": 81, "model_a": "wise", "model_b": "vain", **one}
    rows = [
        {**base, "winner": "model_a", "judge": "expert_1", "turn": 1},
        {**base, "winner": "model_a", "judge": "expert_2", "turn": 1},
        {**base, "winner": "model_b", "judge": "author_3", "turn": 1},
        {**base, "winner": "tie", "judge": "expert_1", "turn": 2},
        {**base, "winner": "model_b", "judge": "expert_2", "turn": 2},
    ]
    folder.mkdir()
    (folder / "human_judgments.json").write_text(json.dumps(rows))
    asked = {**base, "winner": "tie (inconsistent)", "judge": ["gpt-4", "pair-v2"], "turn": 1}
    (folder / "gpt4_pair_judgments.json").write_text(json.dumps([asked]))
    match = {"question_id": 81, "model_1": "wise", "model_2": "vain", "judge": ["gpt-4", "pair-v2-multi-turn"]}
    lines(
        folder / "gpt-4_pair.jsonl",
        {**match, "g1_winner": "model_1", "g2_winner": "model_2", "turn": 2, "judge": ["gpt-4", "pair-v2"]},
        {**match, "g1_winner": "error", "g2_winner": "tie", "turn": 2},
        {**match, "question_id": 99, "g1_winner": "model_1", "g2_winner": "model_1", "turn": 1},
    )
    return folder


def test_mt_bench_votes_and_judgments(tmp_path: Path) -> None:
    found = load_pairs(mt_bench(tmp_path / "mt"))
    assert found.format == "mt-bench"
    first, second = found.pairs
    assert (first.question, first.a, first.b) == ("Q1", "v1", "w1")  # by the models' names
    assert (first.label, first.votes, first.subset) == (-1, (-1, -1), "turn 1")  # authors do not count beside experts
    assert first.verdicts == (StoredVerdict("gpt-4/pair-v2", "both", 0),)
    assert (second.question, second.a, second.b) == ("Q1\n\nQ2", "v1\n\nv2", "w1\n\nw2")
    assert (second.label, second.votes) == (None, (0, 1))  # one vote each: nobody has more than half
    assert second.verdicts == (
        StoredVerdict("gpt-4/pair-v2", "ba", -1),
        StoredVerdict("gpt-4/pair-v2", "ab", 1),
        StoredVerdict("gpt-4/pair-v2-multi-turn", "ba", None),
        StoredVerdict("gpt-4/pair-v2-multi-turn", "ab", 0),
    )


def test_llmbar_takes_the_last_result_that_has_both_orders(tmp_path: Path) -> None:
    def said(winner: str | None) -> dict[str, Any]:
        return {"swap = False": {"winner": winner}, "swap = True": {"winner": winner}}

    row = {"input": "Q", "output_1": "x", "output_2": "y", "label": 2}
    folder = tmp_path / "Natural"
    judged = folder / "evaluators" / "GPT-4" / "Swap"
    judged.mkdir(parents=True)
    (folder / "dataset.json").write_text(json.dumps([row, row]))
    results = [{**row, "results": [said("1"), said("2")]}, {**row, "results": [["a step", "stop"], said(None)]}]
    (judged / "result.json").write_text(json.dumps(results))
    one, other = load_pairs(tmp_path).pairs
    assert [v.choice for v in one.verdicts] == [-1, -1]
    assert [v.choice for v in other.verdicts] == [None, None]
    (judged / "result.json").write_text(json.dumps(results[:1]))
    with pytest.raises(DataError, match="2 pairs, and 1 results of GPT-4/Swap"):
        load_pairs(tmp_path)


# lines of our own


OURS = {
    "id": "7", "question": "2+2?", "a": "4", "b": "vier 🙂 أربعة", "label": "a", "votes": ["a", "tie"], "subset": "s",
    "verdicts": [
        {"judge": "j", "order": "ab", "verdict": "a", "confidence": 0.9, "sample": 0},
        {"judge": "j", "order": "ba", "verdict": None, "confidence": None, "sample": 1},
        {"judge": "k", "order": "both", "verdict": "tie", "confidence": None, "sample": 0},
    ],
}  # fmt: skip


def test_our_lines_are_what_is_written(tmp_path: Path) -> None:
    found = load_pairs(lines(tmp_path / "pairs.jsonl", OURS))
    assert found.format == "jsonl"
    (pair,) = found.pairs
    assert pair_line(pair) == OURS
    assert found.judges == ["j", "k"]


def test_a_label_follows_from_votes(tmp_path: Path) -> None:
    rows = [{"question": "", "a": "x", "b": "y", "votes": votes} for votes in (["a", "b", "b"], ["a", "b"], [])]
    found = load_pairs(lines(tmp_path / "pairs.jsonl", *rows))
    assert [pair.label for pair in found.pairs] == [-1, None, None]
    assert [pair.id for pair in found.pairs] == ["0", "1", "2"]


def test_pairs_for_training_are_read_too(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"task_id": 3, "prompt": [{"role": "user", "content": "Say it"}], "chosen": "good", "rejected": "bad"},
        {"prompt": "Say it", "chosen": talk("ignored", "good"), "rejected": talk("ignored", "bad")},
    ]
    one, other = load_pairs(lines(tmp_path / "pairs.jsonl", *rows)).pairs
    assert (one.id, one.question) == ("3", "Say it")
    assert {1: one.a, -1: one.b}[one.label or 0] == "good"
    assert {1: other.a, -1: other.b}[other.label or 0] == "ignored\n\ngood"


def test_placing_a_pair_says_the_same_of_it() -> None:
    pair = JudgedPair("x", "Q", "one", "other", 1, (1, 0), "", (StoredVerdict("j", "ab", 1, 0.7),))
    turned = JudgedPair("x", "Q", "other", "one", -1, (-1, 0), "", (StoredVerdict("j", "ba", -1, 0.7),))
    assert placed(pair) == placed(turned)
    assert placed(pair) in (pair, turned)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not recognised"),
        ("\n\n", "not recognised"),
        ("no json", "not recognised"),
        ('{"question": "q"}', "not recognised"),
        ('{"a": "x", "b": "y"}', "1: 'question' must be text; it is missing"),
        ('{"question": "q", "a": 3, "b": "y"}', "1: 'a' must be text"),
        ('{"question": "q", "a": "x", "b": "y", "label": "c"}', "'label' must be a, b, tie or null"),
        ('{"question": "q", "a": "x", "b": "y", "label": ["a"]}', "'label' must be a, b, tie or null"),
        ('{"question": "q", "a": "x", "b": "y", "lable": "a"}', "unknown key 'lable'; did you mean 'label'"),
        ('{"question": "q", "a": "x", "b": "y", "verdicts": [{"judge": "j"}]}', "a verdict is"),
        ('{"question": "q", "a": "x", "b": "y", "verdicts": [{"judge": "j", "order": "xy"}]}', "a verdict is"),
        (
            '{"question": "q", "a": "x", "b": "y", "verdicts": [{"judge": "j", "order": "ab", "confidence": 90}]}',
            "from 0 to 1",
        ),
        ('{"prompt": "q", "chosen": "x", "rejected": null}', "'rejected' must be a text"),
        ('{"question": "q", "a": "x", "b": "y"}\n{', "2: not JSON"),
        ('{"chosen": "\\n\\nHuman: a\\n\\nAssistant: b", "rejected": "c"}', "'rejected' must be a transcript"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        load_pairs(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_format_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'llmbar'"):
        load_pairs(tmp_path, format="llmbr")
    with pytest.raises(DataError, match="no such file"):
        load_pairs(tmp_path / "absent")
    with pytest.raises(DataError, match="no pairs in it"):
        load_pairs(tmp_path, format="llmbar")
    with pytest.raises(DataError, match="no file of pairs with annotator1"):
        load_pairs(tmp_path, format="pandalm")
    broken = tmp_path / "dataset.json"
    broken.write_text('[{"input": "q", "output_1": "x"}]')
    with pytest.raises(DataError, match="cannot be read as llmbar \\(missing key 'output_2'\\)"):
        load_pairs(broken, format="llmbar")


def test_limit_takes_the_first(tmp_path: Path) -> None:
    rows = [{"id": str(n), "question": "q", "a": "x", "b": "y"} for n in range(5)]
    assert [p.id for p in load_pairs(lines(tmp_path / "p.jsonl", *rows), limit=2).pairs] == ["0", "1"]
