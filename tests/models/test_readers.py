"""Models that read texts for audits, made on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
)

from honewise.errors import UserError
from honewise.metrics import cosine_diversity
from honewise.models.readers import load_embedder, load_inference, policy_tokens
from honewise.models.tiny import build_tokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "sat", "dog", "ran", "not"]


def make(folder: Path, model: torch.nn.Module) -> Path:
    folder.mkdir()
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS) + "\n")
    BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(folder)
    model.save_pretrained(folder)  # type: ignore[operator]
    return folder


def config(**changes: object) -> BertConfig:
    return BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=12, **changes,
    )  # fmt: skip


def test_embeddings_are_means_over_tokens_whatever_the_padding(tmp_path: Path) -> None:
    torch.manual_seed(0)
    folder = make(tmp_path / "embedder", BertModel(config()))
    texts = ["a cat sat", "dog", "", "a dog ran not a cat sat a dog ran not a cat sat a dog ran"]
    found = load_embedder(str(folder), device="cpu")(texts)
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for text, vector in zip(texts, found, strict=True):
        alone = tokenizer(text, truncation=True, max_length=12, return_tensors="pt")
        with torch.inference_mode():
            mean = model(**alone).last_hidden_state[0].mean(0)
        if text:
            assert vector == pytest.approx(mean.tolist(), abs=1e-5)
    assert cosine_diversity([found[0], found[0]]) == pytest.approx(0, abs=1e-6)


def test_inference_says_what_the_classifier_says_in_both_directions(tmp_path: Path) -> None:
    torch.manual_seed(1)
    labels = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
    model = BertForSequenceClassification(config(id2label=labels, label2id={v: k for k, v in labels.items()}))
    folder = make(tmp_path / "nli", model)
    infer = load_inference(str(folder), device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for pair in (("a cat", "dog ran"), ("dog ran", "a cat"), ("", "a")):
        with torch.inference_mode():
            logits = model.eval()(**tokenizer(*pair, return_tensors="pt")).logits[0]
        assert infer(*pair) == labels[int(logits.argmax())].lower()


def test_other_labels_and_absent_models_are_refused(tmp_path: Path) -> None:
    other = make(tmp_path / "other", BertForSequenceClassification(config(num_labels=2)))
    with pytest.raises(UserError, match="entailment, neutral, contradiction are needed"):
        load_inference(str(other), device="cpu")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_embedder(str(tmp_path / "absent"), device="cpu")


def test_the_tokens_of_a_policy(tmp_path: Path) -> None:
    assert policy_tokens(tmp_path) is None
    tokenizer = build_tokenizer(["one two three"] * 3, vocabulary=300, context=32)
    tokenizer.save_pretrained(tmp_path)
    found = policy_tokens(tmp_path)
    assert found is not None
    split, size = found
    assert size == len(tokenizer)
    assert list(split("one two ñ")) == tokenizer("one two ñ", add_special_tokens=False)["input_ids"]
    (tmp_path / "tokenizer.json").write_text("{")
    assert policy_tokens(tmp_path) is None
