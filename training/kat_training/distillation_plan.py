"""What a distillation is asked for, and what it found. Apart from the training, whose libraries take seconds to import."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillationPlan:
    """How to distil. The defaults are for a model of 135 million parameters on two cores."""

    heads: int = 2
    """Future-token heads: the i-th says the token i behind the next one."""
    train_layers: int = 10
    """The top ones learn, and the final norm with them; all that is below, and the embedding, stays as it is."""
    steps: int = 200
    batch: int = 8
    """Samples a step."""
    learning_rate: float = 3e-4
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises."""
    temperature: float = 2.0
    """Softens the teacher's and the student's distribution alike."""
    soft_share: float = 0.5
    """Of the soft targets in the loss; the rest is cross-entropy on the corpus' own tokens."""
    heads_share: float = 0.3
    """What the heads' mean loss counts beside that of the next token."""
    max_length: int = 256
    """Tokens; longer samples are left out and counted."""
    seed: int = 0
    save_every: int = 50
    """Steps between checkpoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """What a model makes of held-out completions. Of each pair of lists, entry i is about the token i behind the next."""

    losses: list[float]
    """Nats a token, at temperature 1."""
    accuracies: list[float]
    """Share of the tokens that come out first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """One run, measured."""

    held_out: HeldOut
    trainable_parameters: int
    """The heads' among them."""
    seconds: float
    """Of the training alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A distilled student, and a fully fine-tuned one where it was asked for."""

    base: HeldOut
    """Before either."""
    teacher: HeldOut
    distilled: Trained
    full: Trained | None

    @property
    def share_of_effect(self) -> float | None:
        """How much of what full fine-tuning takes off the base's loss the distillation takes off, too.

        None where there is nothing to compare with: no other run, or one that took nothing off.
        """
        if self.full is None:
            return None
        return share_of_effect(
            self.base.losses[0], distilled=self.distilled.held_out.losses[0], full=self.full.held_out.losses[0]
        )


def share_of_effect(base: float, *, distilled: float, full: float) -> float | None:
    """(base - distilled) / (base - full) of three losses; None where full fine-tuning took nothing off."""
    return (base - distilled) / (base - full) if base > full else None


def table(compared: Comparison) -> list[tuple[str, str, str]]:
    """The comparison in rows: a figure's name, the distilled student's, the fully fine-tuned one's."""
    distilled, full = compared.distilled, compared.full
    rows = [("", "distilled", "full fine-tuning")]

    def row(name: str, of: Any, form: str) -> None:
        rows.append((name, format(of(distilled), form), "" if full is None else format(of(full), form)))

    row("loss, next token", lambda run: run.held_out.losses[0], ".4f")
    row("accuracy, next token", lambda run: run.held_out.accuracies[0], ".1%")
    row("trainable parameters", lambda run: run.trainable_parameters, ",")
    row("seconds", lambda run: run.seconds, ".0f")
    heads = list(zip(distilled.held_out.losses, distilled.held_out.accuracies, strict=True))[1:]
    for ahead, (loss, accuracy) in enumerate(heads, start=1):
        rows.extend([(f"loss, head {ahead}", f"{loss:.4f}", ""), (f"accuracy, head {ahead}", f"{accuracy:.1%}", "")])
    rows.extend([
        ("loss of the base", f"{compared.base.losses[0]:.4f}", ""),
        ("loss of the teacher", f"{compared.teacher.losses[0]:.4f}", ""),
    ])  # fmt: skip
    if full is not None:
        share = compared.share_of_effect
        rows.append(("share of full fine-tuning's effect", "none to share" if share is None else f"{share:.1%}", ""))
    return rows
