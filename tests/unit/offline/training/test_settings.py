import math
from pathlib import Path

import pytest

from engines.errors import ConfigError
from offline.training.live_settings import BATCH_WINDOWS, LiveSettings
from offline.training.options import live_from_flags, settings_from_flags
from offline.training.settings import TrainSettings

SHARES = ",".join(map(str, LiveSettings.shares))

DEFAULTS = {
    "patience": 8,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "warmup_epochs": 2.0,
    "cutmix_share": 0.6,
    "mixup_share": 0.4,
    "mixstyle_share": 0.0,
    "dropout": 0.3,
    "precision": "auto",
    "ensemble": "softmax",
    "validation_share": 0.13,
    "seed": 0,
}


def test_flags_left_alone_are_the_default_settings():
    assert settings_from_flags(epochs=24, **DEFAULTS) == TrainSettings()


@pytest.mark.parametrize(
    ("epochs", "asked", "warmup_epochs"),
    [(1, 2.0, 0), (2, 2.0, 1), (3, 2.0, 2), (100, 2.0, 2), (1, 0.25, 0), (2, 0.25, 0.25), (9, 0.0, 0)],
)
def test_few_epochs_cut_the_warmup(epochs, asked, warmup_epochs):
    settings = settings_from_flags(epochs=epochs, **DEFAULTS | {"warmup_epochs": asked})
    assert settings.warmup_epochs == warmup_epochs


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
        ("mixstyle_share", 1.1),
        ("mixstyle_share", math.nan),
        ("mixup_share", math.nan),
        ("ema_decay", 1.0),
        ("precision", "fp16"),
        ("validation_share", 0.0),
        ("validation_share", 0.2),
        ("validation_share", math.nan),
        ("seed", -1),
        ("seed", 2**63),
        ("ensemble", "mean"),
    ],
)
def test_settings_that_cannot_be_used_are_named(name, value):
    with pytest.raises(ConfigError, match=f"training settings: .*{name}"):
        TrainSettings(**{name: value})


def test_flags_become_settings_of_live_windows():
    untouched = (None, LiveSettings.windows_per_epoch, LiveSettings.label_lag_s, SHARES)
    assert live_from_flags(False, *untouched) is None
    for place, value in enumerate((Path("sounds"), 128, 0.1, "1,0,0,0,0")):
        with pytest.raises(ConfigError, match="add --live"):
            live_from_flags(False, *untouched[:place], value, *untouched[place + 1 :])
    found = live_from_flags(True, Path("sounds"), 3 * BATCH_WINDOWS, 0.25, "0.6,0.1,0.1,0.2,0")
    settings = LiveSettings(3 * BATCH_WINDOWS, label_lag_s=0.25, shares=(0.6, 0.1, 0.1, 0.2, 0.0))
    assert found == (Path("sounds"), settings)


def test_live_windows_need_negatives():
    with pytest.raises(ConfigError, match="--live needs --negatives FOLDER"):
        live_from_flags(True, None, BATCH_WINDOWS, 0.0, SHARES)


@pytest.mark.parametrize("shares", ["0.5,0.5", "a,b,c,d,e", "", "1,0,0,0,-1", "0,0,0,0,0"])
def test_shares_that_cannot_be_used_are_named(shares):
    with pytest.raises(ConfigError, match=r"shares.*fast, slow, mixed, negative, clip"):
        live_from_flags(True, Path("sounds"), BATCH_WINDOWS, 0.0, shares)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"windows_per_epoch": 0}, f"windows_per_epoch must be a multiple of {BATCH_WINDOWS}"),
        ({"windows_per_epoch": BATCH_WINDOWS + 1}, "windows_per_epoch must be a multiple"),
        ({"validation_windows": BATCH_WINDOWS - 1}, "validation_windows must be a multiple"),
        ({"shares": (1.0, 1.0)}, "for each of fast, slow, mixed, negative, clip"),
        ({"shares": (1.0, 0.0, 0.0, -0.1, 1.0)}, "shares are a number, 0 or more"),
        ({"shares": (0.0,) * 5}, "shares are a number, 0 or more"),
        ({"label_lag_s": 1.0}, "label_lag_s must lie between 0 and 1"),
        ({"label_lag_s": -0.1}, "label_lag_s must lie between 0 and 1"),
        ({"label_lag_s": math.nan}, "label_lag_s must lie between 0 and 1"),
        ({"bare_share": 1.1}, "bare_share too"),
        ({"stream_s": 4.9}, "stream_s be 5 or more"),
        ({"tempo": (1.2, 0.8)}, r"tempo is a range \(slowest, fastest\)"),
        ({"tempo": (0.4, 1.0)}, "between 0.5 and 2"),
        ({"tempo": (1.0, 2.1)}, "between 0.5 and 2"),
    ],
)
def test_live_settings_that_cannot_be_used_are_named(change, words):
    with pytest.raises(ConfigError, match=f"live windows: .*{words}"):
        LiveSettings(**change)
