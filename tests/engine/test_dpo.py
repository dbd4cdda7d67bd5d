"""Preference optimisation through TRL's trainer: first steps, losses worked by hand, weights, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
from preference_world import pairs, preference_trainer, stage
from torch import Tensor
from torch.nn.functional import logsigmoid

from honewise.engine.dpo import train_dpo
from honewise.engine.pairs import encode_pairs, steps_of
from honewise.errors import UserError
from honewise.models.policy import open_policy
from honewise.models.text import decode_text
from honewise.progress import Silent
from honewise.recipes.schema import DpoStage, LoraSpec
from honewise.scoring.pairs import Pair

LORA = LoraSpec(r=4, alpha=8)


def own_log_ratios(trainer: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """log pi(y|x) - log ref(y|x) of chosen and rejected ones, from plain logits, one sequence at a time."""
    ratios = []
    for ids, attention, mask in zip(batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True):
        length = int(attention.sum())
        row, own = ids[None, :length], mask[1:length].bool()
        totals = []
        for model in (trainer.model, trainer.ref_model):
            with torch.no_grad():
                logps = torch.log_softmax(model(input_ids=row).logits[0, :-1].double(), -1)
            totals.append(logps.gather(-1, row[0, 1:, None])[:, 0][own].sum())
        ratios.append(totals[0] - totals[1])
    return tuple(torch.stack(ratios).chunk(2))  # type: ignore[return-value]


def loss_of(trainer: Any, batch: dict[str, Any]) -> Tensor:
    return trainer.compute_loss(trainer.model, dict(batch))


def gradient(trainer: Any, batch: dict[str, Any]) -> Tensor:
    trainer.model.zero_grad()
    loss_of(trainer, batch).backward()
    return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


def weighted(made: Sequence[Pair], weights: Sequence[float]) -> list[Pair]:
    return [replace(pair, weight=weight) for pair, weight in zip(made, weights, strict=True)]


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"label_smoothing": 0.2}, {"target": "bt_margin", "gamma": 2.0}, {"losses": "sigmoid_norm"}],
    ids=["plain", "smoothed", "soft", "normalised"],
)
def test_the_first_step_stands_on_the_reference(lora: LoraSpec | None, changes: dict[str, Any], tmp_path: Path) -> None:
    """log 2 whatever the target, since sigmoid(0) is one half; and no implicit reward at all."""
    ctx, policy = world.context(tmp_path, "dpo"), world.policy(lora=lora)
    trained = train_dpo(ctx, stage(**changes), policy, pairs())
    numbers = ctx.store.metrics("dpo")
    assert numbers[1]["loss"] == pytest.approx(math.log(2), abs=1e-7)
    for name in ("chosen", "rejected", "margins", "accuracies"):
        assert numbers[1][f"rewards/{name}"] == 0.0
    assert numbers[3]["loss"] < numbers[1]["loss"]
    assert numbers[3]["rewards/margins"] > 0
    assert trained.steps == 3
    assert trained.reference == str(tmp_path / "dpo" / "reference")
    before = open_policy(trained.reference, device="cpu")
    assert all(
        torch.equal(value, world.weights(world.policy(lora=lora).model)[name])
        for name, value in world.weights(before.model).items()
    ), "the reference is the policy that the stage began with"


@pytest.mark.parametrize("divergence", ["reverse_kl", "forward_kl", "js", "alpha"])
@pytest.mark.parametrize("loss", ["sigmoid", "sigmoid_norm"])
def test_where_nothing_is_asked_for_ours_is_trls(loss: str, divergence: str, tmp_path: Path) -> None:
    """The same loss and the same gradient, the paper's alpha translated; a clamp far away takes the loss from TRL."""
    alpha = {"alpha": 0.3} if divergence == "alpha" else {}
    common = {"losses": loss, "divergence": divergence, **alpha}
    theirs, batch = preference_trainer(tmp_path / "theirs", pairs(), **common)
    ours, _ = preference_trainer(tmp_path / "ours", pairs(), clamp=50.0, **common)
    assert not theirs.loss.ours
    assert theirs.loss_types == [loss]
    assert ours.loss.ours
    assert ours.loss_types == []
    assert loss_of(ours, batch).item() == pytest.approx(loss_of(theirs, batch).item(), rel=1e-5)
    assert loss_of(theirs, batch).item() != pytest.approx(math.log(2), rel=1e-3)
    one, other = gradient(ours, batch), gradient(theirs, batch)
    assert torch.allclose(one, other, rtol=1e-4, atol=1e-7)
    assert one.abs().max() > 1e-4


def test_smoothed_labels_are_smoothed(tmp_path: Path) -> None:
    """Which TRL's ``sigmoid`` ignores. With wrong labels in a fifth of pairs: -.8 log s(z) - .2 log s(-z)."""
    trainer, batch = preference_trainer(tmp_path, pairs(), label_smoothing=0.2)
    chosen, rejected = own_log_ratios(trainer, batch)
    z = 0.1 * (chosen - rejected)
    assert loss_of(trainer, batch).item() == pytest.approx(
        (-0.8 * logsigmoid(z) - 0.2 * logsigmoid(-z)).mean().item(), rel=1e-5
    )
    plain, _ = preference_trainer(tmp_path / "plain", pairs())
    assert loss_of(trainer, batch).item() != pytest.approx(loss_of(plain, batch).item(), rel=1e-4)


def test_a_margin_is_asked_for_on_top(tmp_path: Path) -> None:
    trainer, batch = preference_trainer(tmp_path, pairs(), margin=2.0)
    chosen, rejected = own_log_ratios(trainer, batch)
    wanted = 2.0 * torch.tensor([pair.margin for pair in pairs()], dtype=torch.float64)
    expected = -logsigmoid(0.1 * (chosen - rejected) - wanted).mean()
    assert loss_of(trainer, batch).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("target", ["bt_margin", "prob"])
def test_the_gradient_of_a_soft_target(target: str, tmp_path: Path) -> None:
    """dL/dz = s(z) - p, so against a hard label, whose is s(z) - 1, one pair's gradient is scaled by their ratio."""
    (pair,) = pairs(1, margin=0.5, prob=0.75)
    gamma = {"gamma": math.log(3) / 0.5} if target == "bt_margin" else {}  # p = sigmoid(log 3) = .75
    soft, batch = preference_trainer(tmp_path / "soft", [pair], target=target, **gamma)
    hard, plain = preference_trainer(tmp_path / "hard", [pair])
    assert batch["target"].item() == pytest.approx(0.75, abs=1e-6)
    chosen, rejected = own_log_ratios(hard, plain)
    s = torch.sigmoid(0.1 * (chosen - rejected)).item()
    expected = gradient(hard, plain) * (s - 0.75) / (s - 1)
    assert torch.allclose(gradient(soft, batch), expected, rtol=1e-4, atol=1e-7)


def test_a_soft_target_has_its_optimum_where_it_says(tmp_path: Path) -> None:
    """sigmoid(z) = p: with p = .75 the implicit margin settles at log 3, and the loss at p's entropy."""
    policy, ctx = world.policy(), world.context(tmp_path, "dpo")
    how = stage(
        steps=60, batch=1, beta=1.0, target="prob", trainer={"learning_rate": 3e-4, "lr_scheduler_type": "linear"}
    )
    train_dpo(ctx, how, policy, pairs(1, prob=0.75))
    last = ctx.store.metrics("dpo")[60]
    assert last["rewards/margins"] == pytest.approx(math.log(3), abs=0.02)
    assert last["loss"] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), abs=1e-3)


def test_the_negative_log_likelihood_of_chosen_ones(tmp_path: Path) -> None:
    """A mean over each pair's own tokens, unlike TRL's ``sft``, which averages over those of the batch."""
    plain, batch = preference_trainer(tmp_path / "plain", pairs())
    with_nll, _ = preference_trainer(tmp_path / "nll", pairs(), nll=0.5)
    half = len(batch["input_ids"]) // 2
    with torch.no_grad():
        logits = plain.model(input_ids=batch["input_ids"][:half], attention_mask=batch["attention_mask"][:half]).logits
    logps = torch.log_softmax(logits[:, :-1], -1).gather(-1, batch["input_ids"][:half, 1:, None])[..., 0]
    mask = batch["completion_mask"][:half, 1:]
    each = -(logps * mask).sum(1) / mask.sum(1)
    expected = loss_of(plain, batch) + 0.5 * each.mean()
    assert loss_of(with_nll, batch).item() == pytest.approx(expected.item(), rel=1e-5)
    assert with_nll.loss_types == ["sigmoid"], "the rest is TRL's"


LOSSES: list[dict[str, Any]] = [
    {},
    {"losses": {"sigmoid": 1.0, "ipo": 0.5}},
    {"losses": ["apo_zero", "hinge"]},
    {"losses": {"sigmoid_norm": 2.0, "nca_pair": 0.25}, "nll": 0.3},
    {"target": "prob", "losses": {"sigmoid": 0.5, "robust": 1.0}, "label_smoothing": 0.1},
]


@pytest.mark.parametrize("changes", LOSSES, ids=lambda changes: ",".join(changes.get("losses", ["sigmoid"])))
def test_weights_weigh_every_loss(changes: dict[str, Any], tmp_path: Path) -> None:
    """The loss of a batch is the sum of weight x loss of each pair alone; weights have a mean of 1."""
    made = weighted(pairs(6), (1.0, 3.0, 1.0, 3.0, 0.5, 0.5))
    trainer, batch = preference_trainer(tmp_path / "all", made, **changes)
    weights = batch["weight"].clone()
    assert weights.mean().item() == pytest.approx(1.0)
    assert weights[1].item() == pytest.approx(3 * weights[0].item())
    alone = []
    for i in range(len(made)):
        one = {name: value[[i, i + 6]] if len(value) == 12 else torch.ones(1) if name == "weight" else value[[i]]
               for name, value in batch.items()}  # fmt: skip
        alone.append(loss_of(trainer, one))
    expected = (weights * torch.stack(alone)).sum() / 6
    assert loss_of(trainer, batch).item() == pytest.approx(expected.item(), rel=1e-5)
    even, _ = preference_trainer(tmp_path / "even", pairs(6), **changes)
    assert loss_of(even, batch | {"weight": torch.ones(6)}).item() != pytest.approx(expected.item(), rel=1e-4)


def test_numbers_are_means_over_pairs_whatever_their_weights(tmp_path: Path) -> None:
    made = weighted(pairs(5), (1.0, 1.0, 1.0, 2.0, 2.0))
    trainer, batch = preference_trainer(tmp_path, made, losses=["hinge"])
    chosen, rejected = own_log_ratios(trainer, batch)
    loss_of(trainer, batch)
    logged = trainer._metrics["train"]["rewards/margins"]
    assert sum(logged) / len(logged) == pytest.approx((0.1 * (chosen - rejected)).mean().item(), rel=1e-4)
    assert trainer._metrics["train"]["num_tokens"] == [int(batch["attention_mask"].sum())]


def test_what_has_no_end_is_not_taught_one() -> None:
    policy = world.policy()
    end = policy.tokenizer.eos_token_id
    rows = encode_pairs(pairs(2, truncated=(False, True)), stage(), policy.tokenizer, None, Silent())
    assert all(row["chosen_ids"][-1] == end for row in rows)
    assert all(end not in row["rejected_ids"] for row in rows)


@pytest.mark.parametrize("text", ["", "\U0001f469\u200d\U0001f52c שבע ثمانية", "\x00\u2028", "x" * 40])
def test_any_text_can_be_in_a_pair(text: str, tmp_path: Path) -> None:
    ctx, policy = world.context(tmp_path, "dpo"), world.policy()
    made = pairs(2, rejected=text)
    row = encode_pairs(made, stage(), policy.tokenizer, None, Silent())[0]
    assert decode_text(policy.tokenizer, row["rejected_ids"]) == text
    train_dpo(ctx, stage(steps=2), policy, made)
    numbers = ctx.store.metrics("dpo")
    assert math.isfinite(numbers[2]["loss"])
    assert numbers[1]["loss"] == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize(
    ("made", "changes", "said"),
    [
        ([], {}, "no pair to learn from"),
        (pairs(4, margin=None), {"target": "bt_margin", "gamma": 1.0}, r"4 of 4 have none \(made\)"),
        (pairs(4, prob=None), {"target": "prob"}, "needs the prob of every pair"),
        (pairs(4, margin=None), {"margin": 1.0}, "needs the margin of every pair"),
        (pairs(4, prob=0.5), {}, "4 of 4 pairs are ties"),
        (pairs(4, weight=0.0), {}, "4 have a weight of 0"),
        (pairs(4, chosen="x9" * 100), {}, "4 of 4 are longer than 128 tokens"),
        ([*pairs(2), *pairs(2, weight=3.0)], {"losses": "aot"}, "compares the whole batch"),
        (pairs(4), {"batch": 4, "trainer": {"per_device_train_batch_size": 3}}, "does not divide the batch of 4"),
    ],
)
def test_what_cannot_be_learnt_is_refused(made: list[Pair], changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        train_dpo(world.context(tmp_path, "dpo"), stage(**changes), world.policy(), made)


def test_pairs_that_are_too_long_are_left_out_and_said(tmp_path: Path) -> None:
    notes: list[str] = []

    class Notes(Silent):
        def note(self, line: str) -> None:
            notes.append(line)

    ctx = world.context(tmp_path, "dpo", progress=Notes())
    train_dpo(ctx, stage(steps=1), world.policy(), [*pairs(4), *pairs(1, rejected="x9" * 100)])
    assert notes == ["1 of 5 pairs are longer than 128 tokens and left out"]


def test_how_long_a_stage_is() -> None:
    assert steps_of(DpoStage(batch=8), 20) == 3
    assert steps_of(DpoStage(batch=8, epochs=2), 20) == 6
    assert steps_of(DpoStage(batch=8, epochs=0.5), 16) == 1
    assert steps_of(DpoStage(batch=64), 20) == 1
    assert steps_of(DpoStage(batch=8, steps=7), 20) == 7
    assert steps_of(DpoStage(batch=8), 20, endless=True) is None


def test_seconds_end_it(tmp_path: Path) -> None:
    trained = train_dpo(world.context(tmp_path, "dpo"), stage(steps=None), world.policy(), pairs(), seconds=0.3)
    assert 1 <= trained.steps < 500
    again = train_dpo(
        world.context(tmp_path, "dpo", resume=True), stage(steps=None), world.policy(), pairs(), seconds=0.3
    )
    assert again.steps == trained.steps
