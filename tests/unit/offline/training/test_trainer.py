import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from engines.contract import N_CHANNELS, N_FRAMES, N_ROWS, N_SCALARS
from engines.errors import ConfigError, LabelsError
from engines.spec import NARROWBAND
from offline.store import FeatureStore
from offline.training.distributed import World
from offline.training.lessons import Examples, Lessons
from offline.training.optimisation import learning_rate_at, resolved_precision, update_average
from offline.training.settings import TrainSettings
from offline.training.trainer import Watcher, _Run, train_network

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
ALONE = World(0, 1, CPU)
N_TRAIN, N_CLIPS = 12, 16
TRAIN, VALIDATION = np.arange(N_TRAIN), np.arange(N_TRAIN, N_CLIPS)
SETTINGS = TrainSettings(epochs=3, batch_size=6, warmup_epochs=1, precision="fp32", ema_decay=0.5)
KEY = {"settings": asdict(SETTINGS), "clips": "these", "n_clips": N_CLIPS, "contract": "", "features": {}} | {
    f"{part}_days": [] for part in ("train", "validation")
}


@pytest.fixture(scope="module")
def store():
    """Exhalations are a little brighter than inhalations."""
    random = np.random.default_rng(0)
    labels = np.arange(N_CLIPS) % 2
    images = (
        random.standard_normal((N_CLIPS, N_CHANNELS, N_ROWS, N_FRAMES)) + 0.2 * labels[:, None, None, None]
    )
    return FeatureStore(
        images=images.astype(np.float16),
        scalars=random.standard_normal((N_CLIPS, N_SCALARS)).astype(np.float32),
        labels=labels,
        days=np.array(["day"] * N_CLIPS),
        paths=(),
        natural_samples=np.zeros(N_CLIPS, np.int64),
        spec=NARROWBAND,
        fingerprint="these",
    )


def train(store, folder, settings=SETTINGS, *, world=ALONE, watcher=None, run_key=KEY, is_resumed=False):
    examples, validation = (Examples.of_clips(store, rows) for rows in (TRAIN, VALIDATION))
    return train_network(
        "cnn8",
        Lessons(lambda _epoch: examples, validation, n_outputs=1),
        settings,
        world,
        folder,
        watcher or Watcher(lambda _n_done, _n_all: None, lambda _record: None),
        run_key=run_key,
        is_resumed=is_resumed,
    )


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    """A run that nothing interrupted, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return train(store, folder), folder


def without_clock(history):
    return [replace(record, seconds=0.0) for record in history]


def assert_same_run(one, other):
    assert without_clock(one.history) == without_clock(other.history)
    ours, theirs = one.network.state_dict(), other.network.state_dict()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def test_the_schedule_rises_in_a_line_and_falls_as_a_cosine():
    settings = TrainSettings(epochs=10, warmup_epochs=2, learning_rate=0.1)
    rates = [learning_rate_at(step, 5, settings) for step in range(50)]
    np.testing.assert_allclose(rates[:10], 0.01 * np.arange(1, 11))
    assert rates[10] == pytest.approx(0.1)
    assert rates[20] == pytest.approx(0.05 * (1 + math.cos(math.pi / 4)))
    assert rates[30] == pytest.approx(0.05)
    assert rates[49] == pytest.approx(0.05 * (1 + math.cos(math.pi * 39 / 40)))
    assert np.argmax(rates) in (9, 10)
    assert (np.diff(rates[10:]) < 0).all()


def test_a_schedule_without_warmup_begins_at_its_peak():
    settings = TrainSettings(epochs=1, warmup_epochs=0, learning_rate=0.1)
    assert learning_rate_at(0, 4, settings) == pytest.approx(0.1)
    assert learning_rate_at(2, 4, settings) == pytest.approx(0.05)


def test_a_warmup_may_be_a_part_of_an_epoch():
    settings = TrainSettings(epochs=2, warmup_epochs=0.5, learning_rate=0.1)
    rates = [learning_rate_at(step, 4, settings) for step in range(8)]
    np.testing.assert_allclose(rates[:3], [0.05, 0.1, 0.1])
    assert (np.diff(rates[2:]) < 0).all()


@pytest.mark.parametrize(("step", "share"), [(0, 0.9), (8, 0.5), (89, 9 / 99), (10**6, 0.01)])
def test_the_average_follows_quickly_at_first_and_by_its_decay_later(step, share):
    average, network = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    with torch.no_grad():
        network.weight.fill_(3.0)
        network.running_mean.fill_(-1.0)
        network.num_batches_tracked.fill_(7)
    update_average(average, network, step, 0.99)
    torch.testing.assert_close(average.weight.detach(), torch.full((2,), 1 + 2 * share))
    torch.testing.assert_close(average.running_mean, torch.full((2,), -share))
    assert int(average.num_batches_tracked) == 7
    assert network.weight.tolist() == [3.0, 3.0]


def test_the_average_takes_constants_as_they_are():
    """The standardisation does not learn; blending an infinite spread would make it NaN."""
    average, network = (nn.ModuleDict({"standardise": nn.BatchNorm1d(1)}) for _ in range(2))
    network["standardise"].running_var.fill_(math.inf)
    update_average(average, network, 100, 0.99)
    assert average["standardise"].running_var.tolist() == [math.inf]


def test_precision_is_as_asked_for_or_chosen():
    assert resolved_precision("bf16", CPU) == "bf16"
    assert resolved_precision("fp32", CPU) == "fp32"
    assert resolved_precision("auto", CPU) in ("bf16", "fp32")


def test_a_run_keeps_the_best_of_its_epochs(whole):
    trained, folder = whole
    assert [record.epoch for record in trained.history] == [0, 1, 2]
    assert trained.best.auc == max(record.auc for record in trained.history)
    assert [record for record in trained.history if record.is_best][-1] == trained.best
    assert not trained.network.training
    kept = load_file(folder / "cnn8.safetensors")
    for name, value in trained.network.state_dict().items():
        assert torch.equal(value, kept[f"best/{name}"]), name


def test_the_learning_rate_of_the_record_is_that_of_its_last_step(whole):
    rates = [record.learning_rate for record in whole[0].history]
    assert rates == [learning_rate_at(step, 2, SETTINGS) for step in (1, 3, 5)]


def test_its_history_is_written_as_json(whole):
    trained, folder = whole
    written = json.loads((folder / "cnn8.history.json").read_text())
    assert written == {
        "settings": asdict(SETTINGS),
        "epochs": [asdict(record) for record in trained.history],
    }


def test_the_standardisation_is_fitted_to_the_training_rows_alone(whole, store):
    expected = store.scalars[TRAIN].mean(axis=0)
    np.testing.assert_allclose(whole[0].network.standardise.mean, expected, atol=1e-6)


def test_the_same_seed_gives_the_same_run(whole, store, tmp_path):
    steps = []
    watcher = Watcher(lambda n_done, n_all: steps.append((n_done, n_all)), lambda _record: None)
    assert_same_run(whole[0], train(store, tmp_path, watcher=watcher))
    assert steps == [(1, 2), (2, 2)] * 3


def test_another_seed_gives_another_run(whole, store, tmp_path):
    other = train(store, tmp_path, replace(SETTINGS, seed=1, epochs=2))
    assert other.history[0].train_loss != whole[0].history[0].train_loss


def test_two_networks_meet_the_clips_in_other_orders(store):
    examples, validation = (Examples.of_clips(store, rows) for rows in (TRAIN, VALIDATION))
    lessons = Lessons(lambda _epoch: examples, validation, n_outputs=1)
    orders = [
        np.concatenate(list(_Run(name, lessons, SETTINGS, ALONE, {})._batches(0))) for name in ("cnn8", "vgg")
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(N_TRAIN))
    assert orders[0].tolist() != orders[1].tolist()


def test_mixstyle_begins_after_the_warm_up(store, tmp_path):
    alone = replace(SETTINGS, epochs=2, cutmix_share=0.0, mixup_share=0.0)
    plain, styled = (
        train(store, tmp_path / str(share), replace(alone, mixstyle_share=share)).history
        for share in (0.0, 1.0)
    )
    assert plain[0].train_loss == styled[0].train_loss
    assert plain[1].train_loss != styled[1].train_loss


class StoppedError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("stopped_after", [0, 1])
def test_a_resumed_run_is_the_run_that_was_never_interrupted(whole, store, tmp_path, stopped_after):
    def stop(record):
        if record.epoch == stopped_after:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(store, tmp_path, watcher=Watcher(lambda _n_done, _n_all: None, stop))
    epochs = []
    watcher = Watcher(lambda _n_done, _n_all: None, lambda record: epochs.append(record.epoch))
    resumed = train(store, tmp_path, watcher=watcher, is_resumed=True)
    assert epochs == list(range(stopped_after + 1, 3))
    assert_same_run(whole[0], resumed)


def test_a_finished_run_is_resumed_without_a_step(whole, store):
    def never(*_arguments):
        raise AssertionError("nothing is left to do")

    assert_same_run(whole[0], train(store, whole[1], watcher=Watcher(never, never), is_resumed=True))


def test_resuming_where_nothing_is_begins_anew(store, tmp_path):
    settings = replace(SETTINGS, epochs=2)
    assert len(train(store, tmp_path, settings, is_resumed=True).history) == 2


def test_a_checkpoint_of_another_run_is_not_gone_on_with(whole, store):
    key = KEY | {"clips": "others", "n_clips": 99}
    with pytest.raises(LabelsError, match="its 16 clips are not these 99"):
        train(store, whole[1], run_key=key, is_resumed=True)


def test_it_stops_early_and_keeps_the_first_of_equals(store, tmp_path):
    """Validation clips that are all alike have an AUC of 0.5 for ever."""
    images, scalars = np.array(store.images), np.array(store.scalars)
    images[VALIDATION], scalars[VALIDATION] = images[0], scalars[0]
    alike = replace(store, images=images, scalars=scalars)
    trained = train(alike, tmp_path, replace(SETTINGS, epochs=20, patience=2))
    assert [(record.auc, record.is_best) for record in trained.history] == [
        (0.5, True),
        (0.5, False),
        (0.5, False),
    ]
    assert trained.best.epoch == 0
    kept = load_file(tmp_path / "cnn8.safetensors")
    assert not torch.equal(kept["best/head.6.weight"], kept["average/head.6.weight"])
    resumed = train(alike, tmp_path, replace(SETTINGS, epochs=20, patience=2), is_resumed=True)
    assert_same_run(trained, resumed)


def test_with_few_validation_days_the_last_epoch_is_kept(store, tmp_path):
    images, scalars = np.array(store.images), np.array(store.scalars)
    images[VALIDATION], scalars[VALIDATION] = images[0], scalars[0]
    alike = replace(store, images=images, scalars=scalars)
    settings = replace(SETTINGS, epochs=4, patience=1, validation_share=0.05)
    trained = train(alike, tmp_path, settings)
    assert [record.is_best for record in trained.history] == [True] * 4
    assert trained.best.epoch == 3
    kept = load_file(tmp_path / "cnn8.safetensors")
    for name, value in trained.network.state_dict().items():
        assert torch.equal(value, kept[f"average/{name}"]), name
    assert_same_run(trained, train(alike, tmp_path, settings, is_resumed=True))


def test_a_run_that_diverges_says_so(store, tmp_path):
    scalars = np.array(store.scalars)
    scalars[3, 5] = np.inf
    with pytest.raises(ConfigError, match=r"cnn8 diverged in epoch 1: .*lower --learning-rate"):
        train(replace(store, scalars=scalars), tmp_path)


def test_batches_too_small_for_the_processes_are_refused(store, tmp_path):
    with pytest.raises(
        ConfigError, match="a batch size of 6 and 12 training examples are too few for 4 processes"
    ):
        train(store, tmp_path, world=World(0, 4, CPU))


def test_bf16_trains_too(store, tmp_path):
    trained = train(store, tmp_path, replace(SETTINGS, epochs=1, warmup_epochs=0, precision="bf16"))
    assert math.isfinite(trained.best.train_loss)
    assert all(value.dtype != torch.bfloat16 for value in trained.network.state_dict().values())
