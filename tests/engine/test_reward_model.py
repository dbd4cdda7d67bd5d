"""Reward models through TRL's trainer: losses worked by hand, segments, folds, the scale of scores, and their use."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
from preference_world import pairs
from torch import Tensor
from torch.nn.functional import logsigmoid
from trl import RewardTrainer

from honewise.contracts import Completion, Score, Task, Unscored
from honewise.engine.reward_model import as_reward_model, open_trunk, reward_arguments, train_reward_model
from honewise.engine.reward_scoring import RewardModel, fold_key, load_reward_model
from honewise.engine.reward_trainer import RewardCollator, RewardLoss, RewardModelTrainer
from honewise.engine.segments import char_ends, entropies_of, token_ends
from honewise.errors import UserError
from honewise.models.policy import quiet, save_policy
from honewise.models.text import encode
from honewise.recipes.preference import SegmentSpec, TrunkSpec
from honewise.recipes.schema import LoraSpec, RewardModelStage
from honewise.scoring.pairs import Pair

TOKENS = SegmentSpec(by="tokens")


def stage(**changes: Any) -> RewardModelStage:
    trainer = {"learning_rate": 3e-3, **changes.pop("trainer", {})}
    return RewardModelStage(**{"steps": 6, "batch": 4, "save_every": 1000, **changes, "trainer": trainer})


def trunk(how: RewardModelStage | None = None) -> tuple[Any, Any]:
    policy = world.policy()
    return as_reward_model(policy, how.lora if how else None), policy.tokenizer


def safe_pairs(count: int = 8) -> list[Pair]:
    return [replace(pair, safe=(True, i % 2 == 0)) for i, pair in enumerate(pairs(count))]


def trained(
    folder: Path, how: RewardModelStage, over: Sequence[Pair] | None = None, **settings: Any
) -> tuple[dict[int, dict[str, float]], Path]:
    ctx = world.context(folder, "reward")
    train_reward_model(ctx, how, lambda: trunk(how), over or safe_pairs(), **settings)
    return ctx.store.metrics("reward"), ctx.folder / "model"


def one_batch(folder: Path, how: RewardModelStage, over: Sequence[Pair]) -> tuple[RewardModelTrainer, dict[str, Any]]:
    """A trainer with a head that says something, and its only batch."""
    from honewise.engine.reward_model import _rows

    model, tokenizer = trunk()
    ctx = world.context(folder, "reward")
    rows, _ = _rows(ctx, how, over, model, tokenizer, None)
    with torch.no_grad():
        model.score.weight.copy_(0.5 * torch.randn(1, 32, generator=torch.Generator().manual_seed(3)))
    with quiet():
        args = reward_arguments(ctx, how, 1, rows=len(rows))
        trainer = RewardModelTrainer(model, rows, args, tokenizer, RewardLoss(how))
    trainer.model.train()
    return trainer, RewardCollator(pad_token_id=tokenizer.pad_token_id)(rows)


def own_scores(trainer: RewardModelTrainer, over: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """Of the last token, one sequence at a time, from the trunk's last hidden state."""
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for pair in over:
        for side, text in zip(found, (pair.chosen, pair.rejected), strict=True):
            prompt, said = encode(trainer.processing_class, pair.prompt, text)
            with torch.no_grad():
                hidden = trainer.model.model(input_ids=torch.tensor([prompt + said])).last_hidden_state
            side.append((hidden[0, -1] * trainer.model.score.weight[0]).sum())
    return torch.stack(found[0]), torch.stack(found[1])


def loss_of(trainer: RewardModelTrainer, batch: dict[str, Any]) -> float:
    return trainer.compute_loss(trainer.model, dict(batch)).item()


def test_bradley_terry_is_that_of_trl(tmp_path: Path) -> None:
    """On the value of the last token, with TRL's own ``margin`` and regulariser of the centre."""
    over = pairs()
    trainer, batch = one_batch(tmp_path, stage(batch=8, margin=0.5, centre=0.1), over)
    chosen, rejected = own_scores(trainer, over)
    margin = 0.5 * torch.tensor([pair.margin for pair in over])
    expected = (-logsigmoid(chosen - rejected - margin) + 0.1 * (chosen + rejected) ** 2).mean().item()
    assert loss_of(trainer, batch) == pytest.approx(expected, rel=1e-5)
    trainer.args.center_rewards_coefficient = 0.1
    theirs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "margin": margin}
    assert RewardTrainer.compute_loss(trainer, trainer.model, theirs).item() == pytest.approx(expected, rel=1e-5)
    logged = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    assert logged["margin"] == pytest.approx((chosen - rejected).mean().item(), rel=1e-4)
    assert logged["accuracy"] == (chosen > rejected).float().mean().item()


def test_a_soft_target_and_smoothed_labels(tmp_path: Path) -> None:
    """p = sigmoid(gamma margin), then p (1 - e) + (1 - p) e; published optimum log(p / (1 - p))."""
    over = pairs()
    trainer, batch = one_batch(tmp_path, stage(batch=8, target="bt_margin", gamma=1.1, label_smoothing=0.1), over)
    chosen, rejected = own_scores(trainer, over)
    p = torch.sigmoid(1.1 * torch.tensor([pair.margin for pair in over]))
    assert p[0].item() == pytest.approx(0.75026, abs=1e-5)
    p, z = 0.9 * p + 0.1 * (1 - p), chosen - rejected
    expected = (-p * logsigmoid(z) - (1 - p) * logsigmoid(-z)).mean().item()
    assert loss_of(trainer, batch) == pytest.approx(expected, rel=1e-5)


def test_weights_of_pairs(tmp_path: Path) -> None:
    over = [replace(pair, weight=1.0 + 2 * (i % 2)) for i, pair in enumerate(pairs(4))]
    trainer, batch = one_batch(tmp_path, stage(batch=4), over)
    chosen, rejected = own_scores(trainer, over)
    weights = torch.tensor([0.5, 1.5, 0.5, 1.5])
    expected = (weights * -logsigmoid(chosen - rejected)).mean().item()
    assert loss_of(trainer, batch) == pytest.approx(expected, rel=1e-5)


def test_the_cost_model_of_safe_rlhf(tmp_path: Path) -> None:
    """The chosen one is the safer; signs are +1 where unsafe. Where nothing is known the loss is 3 log 2."""
    over = safe_pairs()
    how = stage(batch=8, loss="cost")
    trainer, batch = one_batch(tmp_path / "one", how, over)
    safer, unsafer = own_scores(trainer, over)
    sign = torch.tensor([-1.0 if pair.safe and pair.safe[1] else 1.0 for pair in over])
    expected = (-logsigmoid(unsafer - safer) - logsigmoid(sign * unsafer) - logsigmoid(-safer)).mean().item()
    assert loss_of(trainer, batch) == pytest.approx(expected, rel=1e-5)
    numbers, place = trained(tmp_path / "all", stage(loss="cost", steps=40, held_out=0.0), over)
    assert numbers[1]["loss"] == pytest.approx(3 * math.log(2), abs=1e-6)
    assert numbers[40]["accuracy"] == 1.0
    assert numbers[40]["safe_accuracy"] > numbers[1]["safe_accuracy"]
    model = load_reward_model(str(place), device="cpu")
    assert model.settings.mean == 0.0, "0 is where safe turns into unsafe"
    better, worse = model.score(
        [world.tasks()[0]] * 2, [Completion(over[0].chosen), Completion(over[0].rejected)], dense=False
    )
    assert isinstance(better, Score)
    assert isinstance(worse, Score)
    assert better.value < worse.value, "a cost is the worse the higher"


@pytest.mark.parametrize("how", [stage(), stage(lora=LoraSpec(r=4, alpha=8)), stage(segments=TOKENS)],
                         ids=["full", "lora", "segments"])  # fmt: skip
def test_it_learns_from_where_nothing_is_known(how: RewardModelStage, tmp_path: Path) -> None:
    """A head of zeros: the first loss is log 2. Then pairs of prompts that it has not seen are told apart."""
    numbers, place = trained(tmp_path, how.model_copy(update={"steps": 30}))
    assert numbers[1]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert numbers[30]["loss"] < 0.4
    assert numbers[30]["held_out/accuracy"] == 1.0
    assert numbers[30]["held_out/pairs"] == 1.0
    assert numbers[30]["held_out/longer_wins"] in (0.0, 0.5, 1.0)
    model = load_reward_model(str(place), device="cpu")
    assert not any("lora" in name for name, _ in model.model.named_parameters()), "adapters are merged"


def scores(model: RewardModel, tasks: Sequence[Task], texts: Sequence[str], **how: Any) -> list[Score | Unscored]:
    return model.score(tasks, [Completion(text) for text in texts], **{"dense": False, **how})


def test_scores_have_the_scale_of_the_pairs_it_was_trained_on(tmp_path: Path) -> None:
    over = pairs()
    _, place = trained(tmp_path, stage(steps=20, held_out=0.0), over)
    model = load_reward_model(str(place), device="cpu")
    tasks = {task.id: task for task in world.tasks()}
    made = scores(model, [tasks[p.task_id] for p in over] * 2, [p.chosen for p in over] + [p.rejected for p in over])
    values = torch.tensor([one.value for one in made if isinstance(one, Score)])
    assert values.mean().item() == pytest.approx(0.0, abs=1e-5)
    assert values.square().mean().item() == pytest.approx(1.0, abs=1e-5)
    assert isinstance(made[0], Score)
    assert made[0].parts["raw"] == pytest.approx(made[0].value * model.settings.std + model.settings.mean, abs=1e-6)


@pytest.mark.parametrize("aggregate", ["mean", "sum"])
def test_dense_and_sparse_scores_have_one_total(aggregate: Any, tmp_path: Path) -> None:
    """Segments cover the text without gaps; whatever the batch, the order and the truncation."""
    how = stage(segments=SegmentSpec(by="sentences", aggregate=aggregate))
    _, place = trained(tmp_path, how)
    model = load_reward_model(str(place), device="cpu")
    texts = ["heap it is. Yes! 1.5 is no end", "", "שבע. ثمانية", "\U0001f469\u200d\U0001f52c? no", "no"]
    tasks = world.tasks(len(texts))
    dense = scores(model, tasks, texts, dense=True)
    for place_, (one, sparse, text) in enumerate(zip(dense, scores(model, tasks, texts), texts, strict=True)):
        assert isinstance(one, Score)
        assert isinstance(sparse, Score)
        assert one.value == pytest.approx(sparse.value, abs=1e-5)
        assert not sparse.spans
        alone = scores(model, [tasks[place_]], [text], dense=True)[0]
        assert isinstance(alone, Score)
        assert alone.value == pytest.approx(one.value, abs=1e-5)
        if text:
            assert [span.start for span in one.spans] == [0, *[span.end for span in one.spans[:-1]]]
            assert one.spans[-1].end == len(text)
    first = dense[0]
    assert isinstance(first, Score)
    assert [texts[0][span.start : span.end] for span in first.spans] == ["heap it is. ", "Yes! ", "1.5 is no end"]
    if aggregate == "mean":
        assert first.terminal == 0.0
    cut = model.score(tasks[:1], [Completion(texts[0], truncated=True)], dense=True)[0]
    assert isinstance(cut, Score)
    assert cut.value != pytest.approx(first.value, abs=1e-6), "what was cut off has no end"


def test_where_segments_end() -> None:
    assert char_ends("a\nb\n\nc", "lines") == [2, 5, 6]
    assert char_ends("a\n", "lines") == [2]
    assert char_ends("", "lines") == [0]
    assert char_ends('He said "no." Then 1.5 left.', "sentences") == [14, 28]
    tokenizer = world.policy().tokenizer
    ids = encode(tokenizer, [{"role": "user", "content": "x"}], "a b. c")[1]
    assert token_ends(tokenizer, ids, None) == [len(ids) - 1]
    assert token_ends(tokenizer, ids, TOKENS) == list(range(len(ids)))
    ends = token_ends(tokenizer, ids, SegmentSpec(by="sentences"))
    assert len(ends) == 2
    assert tokenizer.decode(ids[: ends[0] + 1]).rstrip().endswith("b.")
    assert ends[-1] == len(ids) - 1, "the last segment ends with the token that ends the completion"
    by_entropy = token_ends(tokenizer, ids, SegmentSpec(by="entropy", threshold=1.0), [2.0, *[0.5] * (len(ids) - 1)])
    assert by_entropy == [0, len(ids) - 1]


def test_the_entropy_that_ends_segments_is_that_of_the_distribution_a_token_is_drawn_from() -> None:
    policy = world.policy()
    prompt, said = encode(policy.tokenizer, world.tasks()[1].prompt, "stack it is")
    (found,) = entropies_of(policy, [prompt], [said])
    with torch.no_grad():
        logps = torch.log_softmax(policy.model(input_ids=torch.tensor([prompt + said])).logits[0], -1)
    expected = -(logps.exp() * logps).sum(-1)[len(prompt) - 1 : -1]
    assert found == pytest.approx(expected.tolist(), abs=1e-5)
    assert entropies_of(policy, [prompt, prompt], [said[:2], said])[1] == pytest.approx(found, abs=1e-5)


def test_a_model_whose_segments_end_by_entropy_finds_its_policy_again(tmp_path: Path) -> None:
    policy = world.policy()
    policy.path = str(save_policy(policy, tmp_path / "policy"))
    how = stage(segments=SegmentSpec(by="entropy", threshold=5.69))
    _, place = trained(tmp_path, how, pairs(), entropy_of=policy)
    model = load_reward_model(str(place), device="cpu")
    (one,) = scores(model, world.tasks(1), ["heap it is and again"], dense=True)
    assert isinstance(one, Score)
    assert 1 <= len(one.spans) <= 20
    assert one.spans[-1].end == 20


def test_no_prompt_is_judged_by_a_model_that_saw_it(tmp_path: Path) -> None:
    """With folds, every pair is held out once; asked for cross-fitting, a prompt's own fold scores it."""
    over = [*pairs(8), *[replace(pair, chosen=pair.chosen + "?") for pair in pairs(8)]]
    numbers, place = trained(tmp_path, stage(folds=4), over)
    last = numbers[max(numbers)]
    assert last["held_out/pairs"] == 16
    parts = [numbers[step] for step in (6, 12, 18, 24)]
    each = [part[f"fold-{i + 1}/held_out/accuracy"] for i, part in enumerate(parts)]
    counts = [part[f"fold-{i + 1}/held_out/pairs"] for i, part in enumerate(parts)]
    assert counts == [4.0] * 4
    assert last["held_out/accuracy"] == pytest.approx(sum(each) / 4)
    assert "loss" in numbers[30]
    assert max(numbers) == 30, "four folds and the model that is used, six steps each"
    folds = json.loads((place / "honewise_folds.json").read_text())
    assert sorted(folds.values()) == [0, 0, 1, 1, 2, 2, 3, 3]
    model = load_reward_model(str(place), device="cpu", folds=True)
    task = world.tasks()[0]
    fold = folds[fold_key(task.prompt)]
    (ours,) = scores(model, [task], ["heap it is"], cross_fit=True)
    (by_all,) = scores(model, [task], ["heap it is"])
    (by_fold,) = scores(load_reward_model(str(place / f"fold-{fold + 1}"), device="cpu"), [task], ["heap it is"])
    assert isinstance(ours, Score)
    assert isinstance(by_all, Score)
    assert isinstance(by_fold, Score)
    assert ours == by_fold
    assert ours.value != pytest.approx(by_all.value, abs=1e-6)
    new = Task("new", {}, prompt=({"role": "user", "content": "Say something else"},))
    assert scores(model, [new], ["x"], cross_fit=True) == scores(model, [new], ["x"])
    assert scores(model, [new, task], ["x", "heap it is"], cross_fit=True)[1] == ours


def test_what_cannot_be_trained_or_used_is_refused(tmp_path: Path) -> None:
    ctx = world.context(tmp_path, "reward")
    with pytest.raises(UserError, match="needs `safe` of every pair; 8 of 8 have none"):
        train_reward_model(ctx, stage(loss="cost"), trunk, pairs())
    with pytest.raises(UserError, match="9 folds of 8 prompts"):
        train_reward_model(ctx, stage(folds=9), trunk, pairs())
    with pytest.raises(UserError, match="8 of 8 are longer than 128 tokens"):
        train_reward_model(ctx, stage(), trunk, pairs(8, chosen="x9" * 100))
    _, place = trained(tmp_path / "good", stage())
    with pytest.raises(UserError, match="trained without folds"):
        load_reward_model(str(place), device="cpu", folds=True)
    policy = save_policy(world.policy(), tmp_path / "policy")
    with pytest.raises(UserError, match="no sequence classifier with one output"):
        load_reward_model(str(policy), device="cpu")
    model = load_reward_model(str(place), device="cpu")
    short, long = scores(model, world.tasks(2), ["no", "x9" * 100])
    assert isinstance(short, Score)
    assert long == Unscored("longer than the reward model's 128 tokens")


def test_what_it_grows_on(tmp_path: Path) -> None:
    """A policy's trunk with its adapters merged, a saved policy's, or a reward model that is trained further."""
    adapted = world.policy(lora=LoraSpec(r=4, alpha=8))
    with torch.no_grad():
        for name, value in adapted.model.named_parameters():
            if "lora_B" in name:
                value.normal_(generator=torch.Generator().manual_seed(1))
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        before = adapted.model.get_base_model().model(input_ids=ids).last_hidden_state
        grown = as_reward_model(adapted).model(input_ids=ids).last_hidden_state
    assert torch.allclose(before, grown, atol=1e-5)
    saved = save_policy(world.policy(), tmp_path / "policy")
    model, _ = open_trunk(TrunkSpec(path=str(saved)), "cpu")
    assert (model.score.weight == 0).all()
    _, place = trained(tmp_path, stage())
    again, _ = open_trunk(TrunkSpec(path=str(place)), "cpu")
    assert (again.score.weight != 0).any()
    with pytest.raises(UserError, match="cannot be loaded"):
        open_trunk(TrunkSpec(path=str(tmp_path)), "cpu")
