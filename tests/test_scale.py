"""What ships for many processes is read by accelerate; the page's arithmetic holds; what cannot work is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import memory
import pytest

from honewise.errors import MissingExtra
from honewise.recipes.checks import whole_problems
from honewise.recipes.schema import Recipe
from honewise.runs.processes import Place, place
from honewise.stages.scale import scale_problems

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["cpu", "ddp", "fsdp2", "zero2", "zero3"])
def test_accelerate_reads_the_files(name: str) -> None:
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    found = config_args.load_config_from_file(str(ROOT / "examples/scale" / f"{name}.yaml"))
    kinds = {"cpu": "MULTI_CPU", "ddp": "MULTI_GPU", "fsdp2": "FSDP", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED"}
    assert found.distributed_type.value == kinds[name]
    assert found.deepspeed_config.get("zero_stage") == {"zero2": 2, "zero3": 3}.get(name)


@pytest.mark.parametrize(("name", "size"), [("0.6B", 0.6), ("7B", 7.0), ("32B", 32.0)])
def test_the_page_has_the_memory_that_the_arithmetic_gives(name: str, size: float) -> None:
    text = (ROOT / "core/docs/scale.md").read_text(encoding="utf-8")
    cells = (
        memory.trained(size), memory.trained(size, parts=8), memory.frozen(size, 16), memory.frozen(size, 4)
    )  # fmt: skip
    rounded = [f"{int(cell * 10 + 0.5 + 1e-9) / 10:.1f}" for cell in cells]
    assert f"| {name} | {' | '.join(rounded)} |" in text


def test_keys_and_values() -> None:
    assert memory.cache(28, 8, 128, 1) == 114_688
    assert round(memory.cache(28, 8, 128, 64 * 1024) / 1e9, 1) == 7.5


def test_sharding_is_what_the_launcher_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"):
        monkeypatch.delenv(name, raising=False)
    assert place().sharding == ""
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert place().sharding == "FSDP"


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        ({"hub": "a/b", "quantize": {}}, "policy.quantize"),
        ({"tiny": {}, "lora": {}, "quantize": {}}, "policy.quantize"),
        ({"hub": "a/b", "lora": {}, "quantize": {"bits": 3}}, "policy.quantize.bits"),
        ({"hub": "a/b", "lora": {}, "quantize": {"group": 64}}, "policy.quantize.group"),
        ({"hub": "a/b", "lora": {}, "quantize": {"bits": 8, "type": "nf4"}}, "policy.quantize.type"),
        ({"hub": "a/b", "lora": {}, "quantize": {"kind": "hqq", "bits": 3, "group": 64}}, None),
    ],
)
def test_quantised_weights_need_adapters_and_their_own_keys(policy: dict[str, object], path: str | None) -> None:
    found = [problem.path for problem in whole_problems({"domain": {"use": "arithmetic"}, "policy": policy})]
    assert found == ([path] if path else [])


def told(place_: Place, device: str, **more: object) -> list[str]:
    stages = more.pop("stages", {"rl": {"stage": "rl"}})
    raw = {"honewise": 1, "name": "x", "domain": {"use": "arithmetic"}, "policy": {"hub": "a/b"}, "stages": stages}
    return [problem.path for problem in scale_problems(Recipe.model_validate({**raw, **more}), place_, device)]


def test_sharding_refuses_what_it_cannot_do() -> None:
    sharded = Place(0, 2, 2, "FSDP")
    assert told(sharded, "cuda") == told(Place(), "cpu") == []
    assert told(sharded, "cpu") == ["device"]
    assert told(sharded, "cuda", stages={"rm": {"stage": "reward-model", "pairs": "p", "steps": 1}}) == ["stages.rm"]


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed")
def test_without_vllm_the_extra_is_named() -> None:
    with pytest.raises(MissingExtra, match=r"honewise\[vllm\]"):
        told(Place(), "cuda", stages={"rl": {"stage": "rl", "trainer": {"use_vllm": True}}})
