"""Everything of TRL and transformers that honewise overrides or relies on, in one place.

A contract test holds these signatures, the order of the calls, the keys of the buffer and how it is sliced; a new
release of TRL is allowed in ``pyproject.toml`` when that test passes on it.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ADVANTAGES",
    "BUFFER_KEYS",
    "CRITIC_KEYS",
    "DPO_OVERRIDES",
    "DPO_RELIED_ON",
    "OVERRIDES",
    "RELIED_ON",
    "REWARD_OVERRIDES",
    "REWARD_RELIED_ON",
    "ROUNDS_OVERRIDES",
]

OVERRIDES: Mapping[str, tuple[str, str]] = {
    "_calculate_rewards": (
        "(self, inputs, prompts, completions, completion_ids_list)",
        "rewards come from the domain's rubric, on the engine's own decode of the generated ids",
    ),
    "_generate_and_score_completions": (
        "(self, inputs)",
        "advantages of shape (B, T) take the place of one number for each completion; unscored rows leave the loss",
    ),
    "_tokenize_prompts": ("(self, prompts)", "equal prompts, which stand beside one another, are tokenised once"),
    "_generate_single_turn": (
        "(self, prompt_ids, images, multimodal_fields, num_generations, has_tool_images=False)",
        "samples with the prompt computed once for its group, from seeds of its own",
    ),
    "_compute_loss": (
        "(self, model, inputs)",
        "the critic's loss and a KL of the recipe's are added; rows that were dropped leave the denominators of losses "
        "that average over rows",
    ),
    "_get_per_token_logps_and_entropies": (
        "(self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False, "
        "compute_aux_loss=False, pixel_values=None, image_grid_thw=None, num_images=None, pixel_attention_mask=None, "
        "spatial_shapes=None, num_tiles=None, image_sizes=None, token_type_ids=None, mm_token_type_ids=None, "
        "image_position_ids=None)",
        "the completions of one prompt share its computation; a critic's values come from the same forward; the ratio "
        "of GSPO-token takes the place of the token's",
    ),
    "_prepare_inputs": (
        "(self, generation_batch)",
        "a generation that is cut into parts keeps the completions of one prompt together",
    ),
    "log": ("(self, logs, start_time=None)", "means over tokens are taken over all micro-batches and processes"),
    "create_optimizer": ("(self, model=None)", "the critic's weights have parameter groups of their own"),
    "_clip_grad_norm": ("(self, model)", "policy and critic are clipped each by themselves"),
    "_save": (
        "(self, output_dir=None, state_dict=None)",
        "the policy is saved without the critic, and the critic beside it",
    ),
    "_load_from_checkpoint": (
        "(self, resume_from_checkpoint, model=None)",
        "policy and critic come back each from its own file",
    ),
    "_get_train_sampler": ("(self, dataset=None)", "the order of an epoch follows from the seed and the epoch alone"),
    "_save_checkpoint": ("(self, model, trial)", "checkpoints are there whole or not at all"),
    "_load_optimizer_and_scheduler": ("(self, checkpoint)", "the step counter and the buffer come back on resume"),
    "_get_output_dir": ("(self, trial)", "checkpoints are written under another name first"),
    "create_model_card": (
        "(self, model_name=None, dataset_name=None, tags=None)",
        "the run has a card of its own",
    ),
    "_send_telemetry": ("(self)", "training calls nobody"),
}
"""Member of ``GRPOTrainer`` to its signature (annotations left out) and why it is overridden."""

RELIED_ON: Mapping[str, str] = {
    "_generate": "(self, prompts)",
    "training_step": "(self, model, inputs, num_items_in_batch)",
    "compute_loss": "(self, model, inputs, return_outputs=False, num_items_in_batch=None)",
}
"""Members that are called, or must be called by TRL, as they are."""

BUFFER_KEYS = frozenset(
    {"prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages", "num_items_in_batch"}
)
"""What ``_generate_and_score_completions`` returns at least; other keys come with other settings."""

CRITIC_KEYS = frozenset({"old_values", "returns", "value_mask", "value_items"})
"""What we add to the buffer for a critic: (B, T, S) but the last, which counts tokens of the whole generation."""

ADVANTAGES = "advantages"
"""The key whose value ``_compute_loss`` takes as (B,) or (B, T)."""

_EXACT = (
    "_save_checkpoint",
    "_load_optimizer_and_scheduler",
    "_get_output_dir",
    "create_model_card",
    "_send_telemetry",
)
"""What exact checkpoints override in every trainer."""

DPO_OVERRIDES: Mapping[str, tuple[str, str]] = {
    **{name: OVERRIDES[name] for name in _EXACT},
    "_compute_loss": (
        "(self, model, inputs, return_outputs)",
        "targets, margins and weights of pairs, which TRL's collator drops and its losses do not know; sees the"
        " log-probabilities that TRL sums, and leaves every other loss to TRL",
    ),
    "_prepare_dataset": (
        "(self, dataset, processing_class, args, dataset_name)",
        "rows are encoded before, with prompts as they are when the policy samples",
    ),
    "_get_train_sampler": (
        "(self, train_dataset=None)",
        "the order of an epoch follows from the seed and the epoch alone",
    ),
}
"""Member of ``DPOTrainer`` to its signature and why it is overridden."""

ROUNDS_OVERRIDES: Mapping[str, tuple[str, str]] = {
    "_prepare_inputs": ("(self, inputs)", "a batch names places; the pairs that stand there are made on the way"),
}
"""The same of the trainer of rounds, beside those."""

DPO_RELIED_ON: Mapping[str, str] = {
    "compute_loss": "(self, model, inputs, return_outputs=False, num_items_in_batch=None)",
    "training_step": "(self, *args, **kwargs)",
    "log": "(self, logs, start_time=None)",
}
"""Members that must call what is overridden, or average ``_metrics``, as they are."""

REWARD_OVERRIDES: Mapping[str, tuple[str, str]] = {
    **{name: OVERRIDES[name] for name in _EXACT},
    **{name: DPO_OVERRIDES[name] for name in ("_prepare_dataset", "_get_train_sampler")},
    "compute_loss": (
        "(self, model, inputs, return_outputs=False, num_items_in_batch=None)",
        "soft targets, weights, costs and segments, on the value of every token in place of that of the last one that"
        " is no padding",
    ),
}
"""Member of ``RewardTrainer`` to its signature and why it is overridden."""

REWARD_RELIED_ON: Mapping[str, str] = {
    "training_step": "(self, *args, **kwargs)",
    "log": "(self, logs, start_time=None)",
}
"""Members that must call what is overridden, or average ``_metrics``, as they are."""
