"""Settings of a training run, recorded in every pack."""

from dataclasses import dataclass
from typing import Literal, get_args

from engines.ensemble import WeightMethod
from engines.errors import ConfigError
from offline.split import DEFAULT_FRACTIONS

Precision = Literal["auto", "bf16", "fp32"]


@dataclass(frozen=True)
class TrainSettings:
    """How the networks are trained; the same for both.

    Attributes:
        epochs: at most this many passes over the training clips.
        patience: stop after this many epochs without a better validation AUC, if the best one is kept.
        batch_size: clips per optimiser step, over all processes together.
        learning_rate: peak of the schedule (linear warm-up, then half a cosine to zero).
        warmup_epochs: length of the warm-up, whole or not; CutMix, MixUp and MixStyle begin after it.
        weight_decay: of AdamW, on weights but not on biases and normalisation.
        max_grad_norm: gradients are clipped to this norm.
        dropout: in the networks.
        cutmix_share: share of the batches mixed by CutMix.
        mixup_share: share of the batches mixed by MixUp.
        mixstyle_share: share of the batches, mixed or not, whose clips lend one another their colour.
        opinion_share: share of a clip's target that is what clips of other days say of it, see
            `offline.training.opinions`; the rest is its label.
        ema_decay: of the running average of the weights that is evaluated and kept.
        precision: `bf16` or `fp32`; `auto` takes bf16 where the processor has it.
        seed: of the split, the weights, the order and the mixing; 0 or more.
        ensemble: how validation scores become weights.
        validation_share: share of the clips whose days are kept for validation; of less than the default,
            training gets the other days, and what is left is too little to choose by: the last epoch is
            kept. The test days are the same for every share.
    """

    epochs: int = 24
    patience: int = 8
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_epochs: float = 2.0
    weight_decay: float = 1e-4
    max_grad_norm: float = 1.0
    dropout: float = 0.3
    cutmix_share: float = 0.6
    mixup_share: float = 0.4
    mixstyle_share: float = 0.0
    opinion_share: float = 0.6
    ema_decay: float = 0.99
    precision: Precision = "auto"
    seed: int = 0
    ensemble: WeightMethod = "softmax"
    validation_share: float = DEFAULT_FRACTIONS[1]

    @property
    def keeps_the_last(self) -> bool:
        """Whether the last epoch is kept, and not the best one."""
        return self.validation_share < DEFAULT_FRACTIONS[1]

    def __post_init__(self) -> None:
        if min(self.epochs, self.patience) < 1 or not 0 <= self.warmup_epochs < self.epochs:
            raise ConfigError(
                f"training settings: epochs={self.epochs} and patience={self.patience} must be at least 1, "
                f"warmup_epochs={self.warmup_epochs} at least 0 and less than epochs"
            )
        if self.batch_size < 2:
            raise ConfigError("training settings: batch_size must be at least 2, for the batch statistics")
        if not 0 < self.learning_rate < 1 or not 0 <= self.dropout < 1 or not 0 <= self.ema_decay < 1:
            raise ConfigError(
                "training settings: learning_rate, dropout and ema_decay must lie between 0 and 1"
            )
        if not self.weight_decay >= 0 or not self.max_grad_norm > 0:
            raise ConfigError("training settings: weight_decay must be 0 or more, max_grad_norm more than 0")
        # With a tolerance: shares such as 0.7 and 0.3 may add up to a rounding more than 1.
        shares = (self.cutmix_share, self.mixup_share)
        if not min(shares) >= 0 or not sum(shares) <= 1 + 1e-9:
            raise ConfigError(
                "training settings: cutmix_share and mixup_share are shares; together 1 at most"
            )
        if not 0 < self.validation_share <= DEFAULT_FRACTIONS[1]:
            raise ConfigError(
                f"training settings: validation_share={self.validation_share:g} must be more than 0 and "
                f"at most {DEFAULT_FRACTIONS[1]:g}"
            )
        for name in ("mixstyle_share", "opinion_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"training settings: {name}={getattr(self, name)} must be from 0 to 1")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"training settings: seed={self.seed} must be 0 or more, and less than 2**63")
        for name, value, known in (
            ("precision", self.precision, get_args(Precision)),
            ("ensemble", self.ensemble, get_args(WeightMethod)),
        ):
            if value not in known:
                raise ConfigError(f"training settings: {name}={value!r} is none of {', '.join(known)}")
