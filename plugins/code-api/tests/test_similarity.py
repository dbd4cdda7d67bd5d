"""Likeness of meaning: a small encoder made on the spot, what needs none, and what is told where there is none."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path
from typing import Any

import pytest

from honewise import Domain, Score, Task, Unscored
from honewise_code_api import similarity
from honewise_code_api.domain import code_repair
from honewise_code_api.similarity import comment_similarity, cosine

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "eval", "runs", "any", "code", "it", "is", "slow"]
TASK = Task("0", {"code": "eval(x)"}, {"comment": "eval runs any code"})
BARE = Task("1", {"code": "eval(x)"})


@pytest.fixture(scope="module")
def domain() -> Domain:
    return code_repair()


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    similarity._embedder.cache_clear()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encoder")
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    return str(folder)


def worth(domain: Domain, model: str, *said: str, task: Task = TASK) -> list[Any]:
    texts = [f"<explanation>{each}</explanation><answer>x = 1</answer>" if each else "x" for each in said]
    completions = [domain.parse(text, task) for text in texts]
    found: list[Any] = comment_similarity([task] * len(said), completions, model=model)
    return found


def test_likeness_is_the_cosine_of_mean_embeddings(domain: Domain, encoder: str) -> None:
    from honewise.models.readers import load_embedder

    one, two, three = worth(domain, encoder, "it is slow", "any code eval runs", "eval runs any code it is slow")
    texts = ["eval runs any code", "it is slow", "any code eval runs", "eval runs any code it is slow"]
    gold, *others = load_embedder(encoder)(texts)
    for found, vector in zip((one, two, three), others, strict=True):
        assert found.value == pytest.approx(max(0.0, cosine(gold, vector)), abs=1e-6)
        assert 0.0 <= found.value <= 1.0
    assert one.value < three.value


def test_what_needs_no_model_asks_none(domain: Domain, tmp_path: Path) -> None:
    same, nothing = worth(domain, str(tmp_path / "none"), " eval runs any code\n", "")
    assert (same.value, nothing.value) == (1.0, 0.0)
    (bare,) = worth(domain, str(tmp_path / "none"), "it is slow", task=BARE)
    assert bare == Unscored("the task has no reference explanation")


def test_a_model_that_is_not_there_is_nobodys_score(domain: Domain, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    same, other = worth(domain, str(tmp_path / "none"), "eval runs any code", "it is slow")
    assert same == Score(1.0)
    assert isinstance(other, Unscored)
    assert "cannot be loaded" in other.reason


def test_a_missing_extra_is_told_with_its_name(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    (found,) = worth(domain, "any", "it is slow")
    assert isinstance(found, Unscored)
    assert "pip install 'honewise-code-api[embedding]'" in found.reason


def test_cosine() -> None:
    assert cosine([1.0, 0.0], [-1.0, 0.0]) == -1.0
    assert cosine([0.0, 0.0], [1.0, 2.0]) == 0.0
    assert cosine([1e-8] * 3, [1e-8] * 3) == pytest.approx(1.0)
    assert doctest.testmod(similarity).failed == 0
