"""TRL's GRPO with an advantage for each token, which is all that Step-SRPO adds to it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from datasets import Dataset
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    PreTrainedTokenizerBase,
    TrainerCallback,
)
from trl.trainer.grpo_config import GRPOConfig

from kat_training.adapter import merged_for_sampling
from kat_training.checks import RunTests
from kat_training.run_folder import RunFolder
from kat_training.sample import Sample
from kat_training.step_srpo_credit import Rollout, figures, rollout, token_advantages
from kat_training.step_srpo_plan import RlPlan, asked
from kat_training.training_settings import shared_settings

with warnings.catch_warnings():
    # It looks at a vLLM that may be installed, imports it and warns of its version; nothing here generates with it.
    warnings.simplefilter("ignore")
    from trl.trainer.grpo_trainer import GRPOTrainer

LOGGED: Final = (
    "judge_reward", "answer_reward", "right_share", "tokens", "think_on_share", "well_formed_share",
    "loss", "grad_norm", "learning_rate",
)  # fmt: skip


class StepSrpoTrainer(GRPOTrainer):
    """Groups of sampled turns, each token moved by the advantage of the part of the reward that it earned."""

    def __init__(
        self,
        model: PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        samples: Sequence[Sample],
        plan: RlPlan,
        *,
        folder: RunFolder,
        run_tests: RunTests,
        callbacks: list[TrainerCallback],
    ) -> None:
        self._samples = samples
        self._weights = plan.weights
        self._run_tests = run_tests
        self._group = plan.group
        self._rollouts: list[Rollout] = []
        super().__init__(
            model=model,
            reward_funcs=self._total,
            args=_arguments(plan, folder),
            train_dataset=_questions(samples, plan),
            processing_class=tokenizer,
            callbacks=callbacks,
        )

    def _total(
        self, *, completion_ids: list[list[int]], sample: list[int], log_metric: Callable[[str, float], None], **_: Any
    ) -> list[float | None]:
        """What TRL asks for; it logs the sum, and what it computes of it is replaced below."""
        self._rollouts = [
            rollout(self._samples[index], tokens, self._decode, self._weights, self._run_tests)
            for index, tokens in zip(sample, completion_ids, strict=True)
        ]
        for name, value in figures(self._rollouts).items():
            log_metric(name, value)
        return [each.reward.judge + each.reward.answer for each in self._rollouts]

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        with merged_for_sampling(self.accelerator.unwrap_model(self.model)):
            return super()._generate_single_turn(*args, **kwargs)  # type: ignore[no-untyped-call] # not typed there

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        scored: dict[str, Any] = super()._generate_and_score_completions(inputs)
        starts = range(0, len(self._rollouts), self._group)
        rows = [
            torch.tensor(row)
            for start in starts
            for row in token_advantages(self._rollouts[start : start + self._group])
        ]
        # (batch,) becomes (batch, length), which `_compute_loss` is ready for.
        scored["advantages"] = padded(rows, scored["completion_ids"])
        return scored

    def _compute_loss(self, model: nn.Module, inputs: dict[str, Any]) -> Tensor:
        if self.beta == 0 and not inputs["advantages"].any():
            # Turns that all earned the same teach nothing, and to find that out takes as long as to learn.
            return torch.zeros((), requires_grad=True)
        loss: Tensor = super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call] # not typed there
        return loss

    def _get_per_token_logps_and_entropies(
        self,
        model: nn.Module,
        input_ids: Tensor,
        attention_mask: Tensor,
        logits_to_keep: int,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        if self.accelerator.device.type != "cpu":
            found: tuple[Tensor, Tensor | None, Tensor | None] = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, *args, **kwargs
            )
            return found
        # TRL goes over the vocabulary in tiles made for a GPU, over the prompts, too, and over columns that are padding in
        # all rows: it pads to the longest turn of all groups, and a loss is of one.
        plain = self.accelerator.unwrap_model(model).get_base_model()
        used = attention_mask.any(dim=0)
        kept = attention_mask[:, -logits_to_keep:].bool()
        before = torch.zeros_like(attention_mask, dtype=torch.bool)
        before[:, -logits_to_keep - 1 : -1] = kept
        with self.accelerator.autocast():
            hidden = plain.base_model(
                input_ids=input_ids[:, used], attention_mask=attention_mask[:, used], use_cache=False
            ).last_hidden_state[before[:, used]]
            logits = plain.get_output_embeddings()(hidden)
        likely = torch.log_softmax(logits.float() / self.temperature, dim=-1)
        of_tokens = likely.gather(-1, input_ids[:, -logits_to_keep:][kept][:, None])[:, 0]
        with torch.no_grad():
            entropies = -(likely.exp() * likely).sum(dim=-1)
        empty = torch.zeros(kept.shape, device=kept.device)
        return empty.masked_scatter(kept, of_tokens), empty.masked_scatter(kept, entropies), None

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))


def padded(rows: Sequence[Tensor], like: Tensor) -> Tensor:
    """Rows of different lengths as one tensor, zeros behind, of the shape and device of another."""
    found = pad_sequence(list(rows), batch_first=True)
    return torch.nn.functional.pad(found, (0, like.size(1) - found.size(1))).to(like.device)


def _questions(samples: Sequence[Sample], plan: RlPlan) -> Dataset:
    """The questions of all steps in their order: a run that goes on in a later round would draw another order."""
    drawn = asked(len(samples), plan)
    return Dataset.from_dict({
        "prompt": [[{"role": each.role, "content": each.content} for each in samples[at].messages] for at in drawn],
        "sample": drawn,
    })  # fmt: skip


def _arguments(plan: RlPlan, folder: RunFolder) -> GRPOConfig:
    return GRPOConfig(
        **shared_settings(plan, folder),
        # A group at a time through the loss, all groups of a step through one generation.
        per_device_train_batch_size=plan.group,
        gradient_accumulation_steps=plan.prompts,
        steps_per_generation=plan.prompts,
        num_generations=plan.group,
        max_completion_length=plan.max_completion,
        temperature=plan.temperature,
        shuffle_dataset=False,
        beta=plan.beta,
        lr_scheduler_type="constant_with_warmup",
        bf16=True,
        gradient_checkpointing=False,
        logging_steps=1,
    )
