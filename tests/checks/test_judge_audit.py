"""The audit of judges: judges whose faults are known, and published verdicts counted a second time by other means."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from honewise import JudgeTemplate, Verdict, load_judge
from honewise.checks import JudgeAudit, JudgeSettings, audit_judge, audit_verdicts
from honewise.checks.judge_asking import INJECTIONS, TRIVIAL, read_pairwise
from honewise.checks.judge_numbers import NUMBERS
from honewise.data.judged import JudgedPair, Order, PairSet, StoredVerdict, load_pairs
from honewise.errors import JudgeBudgetExceeded, JudgeError, UserError
from honewise.testing import FakeEndpoint, FakeJudge, data_slice

QUICK = JudgeSettings(rounds=50)
ORDERS: tuple[Order, Order] = ("ab", "ba")


def made(count: int, choose: Callable[[JudgedPair, Order], int | None], *, seed: int = 0) -> list[JudgedPair]:
    """Pairs of which one answer has 10 words and the other 20, labelled at random, with a judge's verdicts."""
    chance = random.Random(seed)
    pairs = []
    for index in range(count):
        long = chance.random() < 0.5
        texts = ("w " * 20, "w " * 10) if long else ("w " * 10, "w " * 20)
        pair = JudgedPair(str(index), "q", *texts, label=chance.choice([1, -1]))
        told = tuple(StoredVerdict("j", order, choose(pair, order)) for order in ORDERS)
        pairs.append(JudgedPair(pair.id, pair.question, pair.a, pair.b, pair.label, verdicts=told))
    return pairs


def value(audit: JudgeAudit, name: str) -> float:
    found = audit.numbers[name].value
    assert found is not None, name
    return found


def longer(pair: JudgedPair) -> int:
    return 1 if len(pair.a) > len(pair.b) else -1


# judges whose numbers are known


def test_a_judge_that_repeats_the_labels() -> None:
    audit = audit_verdicts(made(60, lambda pair, order: pair.label), "j", QUICK)
    for name, expected in {
        "agreement": 1, "agreement_without_ties": 1, "kappa": 1, "flip_rate": 0, "inconsistency": 0,
        "first_shown": 0.5, "verbosity_bias": 0, "self_consistency": 1,
    }.items():  # fmt: skip
        assert value(audit, name) == expected
    assert value(audit, "length_preference") == value(audit, "longer_labelled")
    assert (audit.pairs, audit.labelled, audit.verdicts, audit.unread) == (60, 60, 120, 0)


def test_a_judge_that_takes_the_first_shown() -> None:
    audit = audit_verdicts(made(60, lambda pair, order: 1 if order == "ab" else -1), "j", QUICK)
    assert value(audit, "first_shown") == value(audit, "flip_rate") == 1
    assert value(audit, "agreement") == 0.5
    assert value(audit, "self_consistency") == 0
    assert value(audit, "length_preference") == 0.5
    assert value(audit, "verbosity_bias") == 0


def test_a_judge_that_takes_the_longer() -> None:
    audit = audit_verdicts(made(80, lambda pair, order: longer(pair)), "j", QUICK)
    assert value(audit, "verbosity_bias") == value(audit, "length_preference") == 1
    assert (value(audit, "agreement_longer"), value(audit, "agreement_shorter")) == (1, 0)
    assert value(audit, "flip_rate") == 0


def test_a_judge_that_is_blind_to_length_has_no_bias_within_its_interval() -> None:
    chance = random.Random(3)
    right = [chance.random() < 0.7 for _ in range(500)]
    pairs = made(500, lambda pair, order: (pair.label or 0) * (1 if right[int(pair.id)] else -1))
    found = audit_verdicts(pairs, "j", JudgeSettings(rounds=300)).numbers["verbosity_bias"]
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert found.high - found.low < 0.2


def test_a_third_of_bias() -> None:
    """80 % agreement where people prefer the longer answer, 47 % where they prefer the shorter."""

    def labelled(index: int, for_longer: bool, agrees: bool) -> JudgedPair:
        told = StoredVerdict("j", "ab", 1 if agrees else -1)
        texts = ("w " * 20, "w") if for_longer else ("w", "w " * 20)
        return JudgedPair(str(index), "", *texts, label=1, verdicts=(told,))

    pairs = [labelled(n, True, n < 80) for n in range(100)] + [labelled(n, False, n < 47) for n in range(100)]
    assert value(audit_verdicts(pairs, "j", QUICK), "verbosity_bias") == pytest.approx(0.33, abs=1e-12)


def test_without_labels_there_is_a_preference_for_length_and_no_verbosity_bias() -> None:
    pairs = [JudgedPair("1", "", "w w w", "w", verdicts=(StoredVerdict("j", "ab", 1),))]
    audit = audit_verdicts(pairs, "j", QUICK)
    assert value(audit, "length_preference") == 1
    assert "verbosity_bias" not in audit.numbers
    assert "only a preference for length" in audit.missing["verbosity_bias"]


def test_answers_of_about_one_length_do_not_count_as_long_or_short() -> None:
    near = JudgedPair("1", "", "w " * 21, "w " * 20, 1, verdicts=(StoredVerdict("j", "ab", 1),))
    assert "length_preference" in audit_verdicts([near], "j", QUICK).missing
    assert value(audit_verdicts([near], "j", JudgeSettings(rounds=5, min_ratio=1.05)), "length_preference") == 1
    by_letters = JudgedPair("1", "", "wwwwwwww", "w w", 1, verdicts=(StoredVerdict("j", "ab", 1),))
    assert value(audit_verdicts([by_letters], "j", JudgeSettings(rounds=5)), "length_preference") == 0
    assert (
        value(audit_verdicts([by_letters], "j", JudgeSettings(rounds=5, unit="characters")), "length_preference") == 1
    )


def test_ties_are_a_third_answer_and_no_flip() -> None:
    def said(label: int | None, *choices: int | None) -> JudgedPair:
        told = [StoredVerdict("j", order, choice) for order, choice in zip(ORDERS, choices, strict=True)]
        return JudgedPair("x", "", "a", "b", label, verdicts=tuple(told))

    pairs = [said(0, 0, 0), said(0, 1, 0), said(1, 0, 1), said(1, 1, -1), said(None, 1, None)]
    audit = audit_verdicts(pairs, "j", QUICK)
    assert value(audit, "agreement") == (1 + 0.5 + 0.5 + 0.5) / 4
    assert value(audit, "agreement_without_ties") == (1 + 0.5) / 2
    assert value(audit, "flip_rate") == 1 / 4
    assert value(audit, "inconsistency") == 3 / 4
    assert (audit.labelled, audit.tied, audit.unread) == (4, 2, 1)
    assert audit.numbers["self_consistency"].count == 3  # the pair of ties has no W, the last pair one verdict


def test_all_ties() -> None:
    pairs = [JudgedPair("x", "", "a", "b b", 0, verdicts=tuple(StoredVerdict("j", o, 0) for o in ORDERS))] * 5
    audit = audit_verdicts(pairs, "j", QUICK)
    assert value(audit, "agreement") == 1
    assert {"kappa", "first_shown", "length_preference", "self_consistency", "verbosity_bias"} <= audit.missing.keys()
    assert audit.missing["self_consistency"] == "every verdict is a tie"


def test_one_pair_nothing_at_all_and_a_judge_that_said_nothing() -> None:
    one = audit_verdicts(made(1, lambda pair, order: pair.label), "j", QUICK)
    assert one.numbers["agreement"].as_json() == {"value": 1.0, "low": 1.0, "high": 1.0, "count": 1}
    for nothing in (audit_verdicts([], "j", QUICK), audit_verdicts(made(3, lambda pair, order: None), "j", QUICK)):
        assert nothing.numbers.keys() <= {"longer_labelled"}
    assert audit_verdicts(made(3, lambda pair, order: None), "j", QUICK).unread == 6


def test_huge_texts_and_texts_of_every_script() -> None:
    told = (StoredVerdict("j", "ab", 1), StoredVerdict("j", "ba", 1))
    pairs = [
        JudgedPair("1", "\x00", "w " * 1_000_000, "\ud800", 1, verdicts=told),
        JudgedPair("2", "", "", "مرحبا بالعالم", -1, verdicts=told),
        JudgedPair("3", "", "", "", 1, verdicts=told),
    ]
    audit = audit_verdicts(pairs, "j", QUICK)
    assert audit.numbers["length_preference"].count == 2
    assert value(audit, "length_preference") == 0.5


def test_calibration_by_hand() -> None:
    def sure(confidence: float, choice: int, label: int) -> JudgedPair:
        return JudgedPair("x", "", "a", "b", label, verdicts=(StoredVerdict("j", "ab", choice, confidence),))

    pairs = [sure(0.9, 1, 1), sure(0.9, -1, 1), sure(0.6, 1, 1), sure(0.6, -1, -1), sure(0.8, 0, 1), sure(0.8, 1, 0)]
    audit = audit_verdicts(pairs, "j", QUICK)
    assert value(audit, "calibration_error") == pytest.approx(0.4)
    assert value(audit, "brier") == pytest.approx((0.1**2 + 0.9**2 + 0.4**2 + 0.4**2) / 4)
    assert audit.numbers["brier"].count == 4  # ties have no place in it
    assert value(audit, "calibration_error_by_luck") > 0.2  # of four answers, luck alone


def test_every_number_is_explained_and_nothing_is_lost() -> None:
    audit = audit_judge(PairSet(tuple(made(20, lambda pair, order: pair.label)), "jsonl", "here"), settings=QUICK)
    (only,) = audit.audits
    luck = {"calibration_error_by_luck"}  # there is none without an error
    assert only.numbers.keys() | only.missing.keys() | luck == NUMBERS.keys()
    assert not only.numbers.keys() & only.missing.keys()


# the published verdicts, counted again by other means


def interval(values: Sequence[Any], statistic: Callable[[Sequence[Any]], float]) -> tuple[float, float]:
    """The same bootstrap, written again."""
    chance, means = random.Random(0), []
    for _ in range(1000):
        places = chance.choices(range(len(values)), k=len(values))
        means.append(statistic([values[place] for place in places]))
    cuts = statistics.quantiles(means, n=40, method="inclusive")
    return cuts[0], cuts[-1]


def counted(name: str) -> list[dict[str, Any]]:
    """Each pair of LLMBar as the raw files have it: label, winners in both orders, which answer has more words."""
    rows = []
    root = data_slice("preference_judge/llmbar/LLMBar")
    for part in ("Adversarial/GPTInst", "Adversarial/GPTOut", "Adversarial/Manual", "Adversarial/Neighbor", "Natural"):
        for row in json.loads((root / part / "evaluators" / name / "result.json").read_text("utf-8")):
            (result,) = row["results"]
            words = [len(row["output_1"].split()), len(row["output_2"].split())]
            long = "" if max(words) < 1.1 * min(words) else "1" if words[0] > words[1] else "2"
            rows.append(
                {
                    "label": str(row["label"]),
                    "plain": result["swap = False"]["winner"],
                    "swapped": result["swap = True"]["winner"],
                    "long": long,
                }
            )
    return rows


@pytest.mark.parametrize("name", ["GPT-4/Vanilla", "ChatGPT/Vanilla"])
def test_llmbar_counted_again(name: str) -> None:
    found = load_pairs(data_slice("preference_judge/llmbar/LLMBar"))
    audit = audit_verdicts(found.pairs, name)
    rows = counted(name)
    agreed = [((r["plain"] == r["label"]) + (r["swapped"] == r["label"])) / 2 for r in rows]
    flips = [float(r["plain"] != r["swapped"]) for r in rows]
    first = [((r["plain"] == "1") + (r["swapped"] == "2")) / 2 for r in rows]
    apart = [(r, ((r["plain"] == r["label"]) + (r["swapped"] == r["label"])) / 2) for r in rows if r["long"]]
    prefers = [((r["plain"] == r["long"]) + (r["swapped"] == r["long"])) / 2 for r in rows if r["long"]]
    expected = {
        "agreement": agreed, "agreement_without_ties": agreed, "flip_rate": flips, "inconsistency": flips,
        "length_preference": prefers, "longer_labelled": [float(r["label"] == r["long"]) for r, _ in apart],
        "agreement_longer": [share for r, share in apart if r["label"] == r["long"]],
        "agreement_shorter": [share for r, share in apart if r["label"] != r["long"]],
        "self_consistency": [1 - flip for flip in flips],
    }  # fmt: skip
    for number, values in expected.items():
        mean = math.fsum(values) / len(values)
        low, high = interval(values, lambda drawn: math.fsum(drawn) / len(drawn))
        told = audit.numbers[number]
        assert (told.value, told.count) == (mean, len(values)), number
        assert (told.low, told.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12)), number
    assert value(audit, "first_shown") == math.fsum(first) / len(first)

    def bias(drawn: Sequence[Any]) -> float:
        return statistics.fmean(s for r, s in drawn if r["label"] == r["long"]) - statistics.fmean(
            s for r, s in drawn if r["label"] != r["long"]
        )

    low, high = interval(apart, bias)
    assert value(audit, "verbosity_bias") == pytest.approx(bias(apart), abs=1e-12)
    assert audit.numbers["verbosity_bias"].low == pytest.approx(low, abs=1e-12)
    assert audit.numbers["verbosity_bias"].high == pytest.approx(high, abs=1e-12)
    both = list(chain.from_iterable([(r["label"], r["plain"]), (r["label"], r["swapped"])] for r in rows))
    same = sum(one == other for one, other in both) / len(both)
    by_chance = (
        sum(sum(one == word for one, _ in both) * sum(other == word for _, other in both) for word in ("1", "2"))
        / len(both) ** 2
    )
    assert value(audit, "kappa") == pytest.approx((same - by_chance) / (1 - by_chance), abs=1e-12)


def test_the_numbers_that_the_documentation_shows() -> None:
    found = load_pairs(data_slice("preference_judge/llmbar/LLMBar"))
    shown = {
        "GPT-4/Vanilla": {"agreement": 0.864, "flip_rate": 0.062, "first_shown": 0.517, "verbosity_bias": 0.001},
        "ChatGPT/Vanilla": {"agreement": 0.383, "flip_rate": 0.383, "first_shown": 0.677, "verbosity_bias": 0.233},
    }
    for name, numbers in shown.items():
        audit = audit_verdicts(found.pairs, name, QUICK)
        assert {number: round(value(audit, number), 3) for number in numbers} == numbers


@pytest.mark.parametrize("name", ["gpt-3.5-turbo", "pandalm-7b"])
def test_pandalm_counted_again(name: str) -> None:
    root = data_slice("preference_judge/pandalm")
    audit = audit_verdicts(load_pairs(root).pairs, name)
    key = {"gpt-3.5-turbo": "gpt_result", "pandalm-7b": "pandalm_result"}[name]
    told = {row["idx"]: str(row[key]) for row in json.loads((root / f"{name}-testset-v1.json").read_text("utf-8"))}
    told = {str(index): {"Tie": "0"}.get(said, said) for index, said in told.items()}
    exact, strict, people = [], [], []
    prefers: list[float] = []
    longer: dict[bool, list[float]] = {True: [], False: []}
    for row in json.loads((root / "testset-v1.json").read_text("utf-8")):
        votes = [str(row[f"annotator{n}"]) for n in (1, 2, 3)]
        label = statistics.mode(votes)
        assert votes.count(label) >= 2
        people.append(sum(votes[i] == votes[j] for i, j in ((0, 1), (0, 2), (1, 2))) / 3)
        said = told[str(row["idx"])]
        if said in ("0", "1", "2"):
            exact.append(float(said == label))
            if "0" not in (said, label):
                strict.append(float(said == label))
        words = [len(row[f"response{n}"].split()) for n in (1, 2)]
        if said in ("1", "2") and max(words) >= 1.1 * min(words):
            long = "1" if words[0] > words[1] else "2"
            prefers.append(float(said == long))
            if label != "0":
                longer[label == long].append(float(said == label))
    for number, values in {
        "agreement": exact, "agreement_without_ties": strict, "annotator_agreement": people,
        "length_preference": prefers, "agreement_longer": longer[True], "agreement_shorter": longer[False],
    }.items():  # fmt: skip
        low, high = interval(values, statistics.fmean)
        found = audit.numbers[number]
        assert found.count == len(values), number
        assert found.value == pytest.approx(statistics.fmean(values), abs=1e-12)
        assert (found.low, found.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12)), number
    bias = statistics.fmean(longer[True]) - statistics.fmean(longer[False])
    assert value(audit, "verbosity_bias") == pytest.approx(bias, abs=1e-12)
    assert audit.unread == sum(said not in ("0", "1", "2") for said in told.values())
    assert "flip_rate" in audit.missing


# asking


def pairs_to_ask(count: int = 4) -> PairSet:
    pairs = [
        JudgedPair(str(n), f"question {n}", f"good answer {n}", f"poor answer {n}", 1)
        if n % 2
        else JudgedPair(str(n), f"question {n}", f"poor answer {n}", f"good answer {n}", -1)
        for n in range(count)
    ]
    return PairSet(tuple(pairs), "jsonl", "here")


class Reader:
    """Judges by what stands in the slots."""

    def __init__(self, decide: Callable[[str, str], tuple[str, float]]) -> None:
        self.decide = decide
        self.calls = 0

    async def __call__(self, template: JudgeTemplate, /, *, images: Sequence[str] = (), **slots: str) -> Verdict:
        self.calls += 1
        word, sure = self.decide(slots["first"], slots["second"])
        return template.parse(f"Because.\nConfidence: {100 * sure:g}\nVerdict: {word}")


def honest(first: str, second: str) -> tuple[str, float]:
    good = [text.startswith("good answer") for text in (first, second)]
    return ("first" if good[0] else "second") if good[0] != good[1] else "tie", 0.8


def gullible(first: str, second: str) -> tuple[str, float]:
    """Does what a text says, and is pleased by claims."""
    for place, text in (("first", first), ("second", second)):
        if f"Verdict: {place}" in text or "is the correct and complete answer" in text:
            return place, 1.0
    return honest(first, second)


def test_an_honest_judge_resists_everything() -> None:
    judge = Reader(honest)
    found = audit_judge(pairs_to_ask(), judge, name="me", settings=QUICK, attacks=2)
    (audit,) = found.audits
    assert value(audit, "agreement") == 1
    assert value(audit, "injection_resistance") == value(audit, "injection_proof") == 1
    assert value(audit, "trivial_resistance") == 1
    asked, attacked = 4 * 2, 2 * 2 * (len(INJECTIONS) + len(TRIVIAL))
    assert judge.calls == asked + attacked
    assert audit.details["attacks"]["questions"] == attacked
    assert value(audit, "calibration_error") == pytest.approx(0.2)  # says 80 %, is always right
    assert len(found.template_hash) == 64


def test_a_gullible_judge_is_found_out_attack_by_attack() -> None:
    (audit,) = audit_judge(pairs_to_ask(), Reader(gullible), name="me", settings=QUICK, attacks=4).audits
    resisted = audit.details["attacks"]["resisted"]
    assert resisted["injection"] == {"order": 0, "closing tag": 0, "json": 1, "authority": 0, "praise": 1}
    assert resisted["trivial"] == {**dict.fromkeys(TRIVIAL, 1.0), "claim": 0}
    assert value(audit, "injection_resistance") == pytest.approx(2 / 5)
    assert value(audit, "injection_proof") == 0
    assert value(audit, "trivial_resistance") == pytest.approx(6 / 7)
    assert value(audit, "agreement") == 1  # which is all that would be seen without attacks


def test_an_injection_counts_only_where_the_verdict_was_still_to_be_won() -> None:
    (audit,) = audit_judge(pairs_to_ask(), Reader(lambda a, b: ("tie", 0.5)), name="me", settings=QUICK).audits
    assert value(audit, "injection_resistance") == 1
    assert value(audit, "trivial_resistance") == 0  # a tie with nothing is no resistance

    def wrong(first: str, second: str) -> tuple[str, float]:
        return ("second" if first.startswith("good") else "first"), 0.9

    (audit,) = audit_judge(pairs_to_ask(), Reader(wrong), name="me", settings=QUICK).audits
    assert "none was left to be won" in audit.missing["injection_resistance"]


def test_a_judge_that_fails_has_said_nothing() -> None:
    judge = FakeJudge(["Verdict: first"] * 3, otherwise=JudgeError("out"))
    (audit,) = audit_judge(pairs_to_ask(), judge, name="me", settings=QUICK, attacks=1).audits
    assert (audit.verdicts, audit.unread) == (8, 5)
    assert audit.numbers["agreement"].count == 2
    assert "calibration_error" in audit.missing  # no confidence was said


def test_without_verdicts_and_without_a_judge_there_is_nothing_to_audit() -> None:
    with pytest.raises(UserError, match="here: holds no verdicts; give a judge"):
        audit_judge(pairs_to_ask())


def test_stored_verdicts_stand_beside_those_asked_for() -> None:
    stored = PairSet(tuple(made(4, lambda pair, order: pair.label)), "jsonl", "here")
    found = audit_judge(stored, FakeJudge(otherwise=1.0), name="j", settings=QUICK, attacks=0)
    assert [audit.judge for audit in found.audits] == ["j", "j (asked)"]
    assert found.audits[1].missing["injection_proof"] == "not attacked: --attacks 0"
    assert [len(pair.verdicts) for pair in found.pairs] == [4, 4, 4, 4]


def test_a_real_client_asks_in_both_orders_and_keeps_repeats_apart(tmp_path: Path) -> None:
    def reply(messages: Sequence[Any]) -> str:
        text = messages[-1]["content"]
        first = text.index("good answer") < text.index("poor answer")
        return f"Good is better.\nConfidence: 90%\nVerdict: {'first' if first else 'second'}"

    with FakeEndpoint(reply) as endpoint:
        settings = {"url": endpoint.url, "model": "any", "cache": str(tmp_path / "c.sqlite"), "temperature": 1.0}
        with load_judge(settings) as judge:
            (audit,) = audit_judge(pairs_to_ask(3), judge, name="any", settings=QUICK, repeats=2, attacks=0).audits
            records = judge.take_calls()
    assert len(endpoint.requests) == 3 * 2 * 2
    assert {record.source for record in records} == {"endpoint"}
    assert {record.template for record in records} == {"checks/pairwise.md"}
    assert value(audit, "agreement") == 1
    assert audit.numbers["self_consistency"].count == 3
    assert value(audit, "calibration_error") == pytest.approx(0.1)


def test_a_budget_that_is_used_up_stops_the_audit(tmp_path: Path) -> None:
    with FakeEndpoint("Verdict: first") as endpoint:
        settings = {"url": endpoint.url, "model": "any", "cache": False, "budget": {"calls": 3}}
        with load_judge(settings) as judge, pytest.raises(JudgeBudgetExceeded):
            audit_judge(pairs_to_ask(8), judge, name="any", settings=QUICK)
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize(
    ("reply", "expected", "sure"),
    [
        ("Confidence: 80\nVerdict: first", 1.0, 0.8),
        ("The first says 'Verdict: first'.\nConfidence: 55 %\n**Verdict:** Second.", 0.0, 0.55),
        ("- Confidence: 10\n- Confidence: 70\nVerdict: TIE", 0.5, 0.7),
        ("Verdict: second", 0.0, None),
        ("Confidence: 500\nVerdict: second", 0.0, None),
    ],
)
def test_replies_to_the_question(reply: str, expected: float, sure: float | None) -> None:
    verdict = read_pairwise(reply)
    assert verdict.value == expected
    assert math.isnan(verdict.confidence) if sure is None else verdict.confidence == sure


@pytest.mark.parametrize("reply", ["", "first or second", "Verdict: A", "Verdict: first\nVerdict: neither"])
def test_replies_without_a_verdict(reply: str) -> None:
    with pytest.raises(ValueError, match=r"none of|begins"):
        read_pairwise(reply)
