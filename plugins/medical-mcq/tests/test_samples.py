"""The invented world: the same everywhere, with splits that share nothing."""

from __future__ import annotations

import pytest

from honewise.errors import UnknownName
from honewise_medical_mcq.parse import parse
from honewise_medical_mcq.prompts import Form
from honewise_medical_mcq.samples import DEMONSTRATIONS, HELD_OUT, TRAIN, tasks
from honewise_medical_mcq.samples.world import ENDINGS, FACTS, LANGUAGES, RELATIONS
from honewise_medical_mcq.tasks import gold_label


@pytest.mark.parametrize("world", ["simple", "wide"])
def test_splits(world: str) -> None:
    train, held_out = tasks("train", world=world), tasks("held-out", world=world)
    assert (len(train), len(held_out)) == (DEMONSTRATIONS + TRAIN, HELD_OUT)
    shown = [task for task in train if task.meta.get("demonstration")]
    assert train[:DEMONSTRATIONS] == shown
    groups = [shown, train[DEMONSTRATIONS:], held_out]
    about = [{(_ailment(t.inputs["question"]), t.meta["subject"]) for t in group} for group in groups]
    assert not about[0] & about[1]
    assert not (about[0] | about[1]) & about[2]
    worded = [{_phrasing(t.inputs["question"]) for t in group} for group in groups]
    assert worded[0] < worded[2] <= worded[1]
    assert len({t.id for t in [*train, *held_out]}) == len(train) + len(held_out)
    assert tasks("held-out", world=world) == held_out
    assert tasks("held-out", world=world, seed=1) != held_out


def _ailment(question: str) -> str:
    words = question.replace("?", " ").replace(".", " ").replace("؟", " ").replace("¿", " ").split()
    return next(word for word in words if word.endswith(ENDINGS))


def _phrasing(question: str) -> str:
    return question.replace(_ailment(question), "x")


def test_every_sample_is_true_in_its_world_and_its_gold_is_read() -> None:
    for task in tasks("held-out", world="wide"):
        ailment = _ailment(task.inputs["question"])
        family = next(at for at, ending in enumerate(ENDINGS) if ailment.endswith(ending))
        right = task.inputs["options"][task.reference["answer"]]
        assert right == FACTS[task.meta["subject"]][family]
        if task.inputs["context"]:
            assert right in task.inputs["context"]
        for form in (Form(), Form("compact"), Form(confidence=True)):
            gold = form.gold(task)
            assert gold is not None
            assert parse(gold, task).answer == gold_label(task)


def test_the_right_option_stands_everywhere() -> None:
    found = [task.reference["answer"] for task in tasks("held-out")]
    assert all(found.count(place) > HELD_OUT / 6 for place in range(4))


def test_the_worlds_are_as_told() -> None:
    assert {task.inputs["language"] for task in tasks("held-out", world="wide")} == set(LANGUAGES)
    assert all(set(phrasings) == set(RELATIONS) for phrasings in LANGUAGES.values())
    assert all(len(facts) == len(ENDINGS) == len(set(facts)) for facts in FACTS.values())
    with pytest.raises(UnknownName, match="simple"):
        tasks("held-out", world="simpel")
    with pytest.raises(UnknownName, match="held-out"):
        tasks("test")
