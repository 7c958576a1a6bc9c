import math

import pytest

from engines.errors import ConfigError
from offline.settings import TrainSettings
from offline.train_options import settings_from_flags

DEFAULTS = {
    "patience": 8,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "dropout": 0.3,
    "precision": "auto",
    "ensemble": "softmax",
    "seed": 0,
}


def test_flags_left_alone_are_the_default_settings():
    assert settings_from_flags(epochs=24, **DEFAULTS) == TrainSettings()


@pytest.mark.parametrize(("epochs", "warmup_epochs"), [(1, 0), (2, 1), (3, 2), (100, 2)])
def test_few_epochs_cut_the_warmup(epochs, warmup_epochs):
    assert settings_from_flags(epochs=epochs, **DEFAULTS).warmup_epochs == warmup_epochs


def test_shares_that_add_up_to_a_rounding_more_than_one_are_shares():
    TrainSettings(cutmix_share=0.7, mixup_share=0.1 + 0.2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("patience", 0),
        ("batch_size", 1),
        ("warmup_epochs", 24),
        ("warmup_epochs", -1),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("weight_decay", -1e-4),
        ("max_grad_norm", 0.0),
        ("dropout", 1.0),
        ("cutmix_share", 0.7),
        ("mixup_share", -0.1),
        ("mixup_share", math.nan),
        ("ema_decay", 1.0),
        ("precision", "fp16"),
        ("seed", -1),
        ("seed", 2**63),
        ("ensemble", "mean"),
    ],
)
def test_settings_that_cannot_be_used_are_named(name, value):
    with pytest.raises(ConfigError, match=f"training settings: .*{name}"):
        TrainSettings(**{name: value})
