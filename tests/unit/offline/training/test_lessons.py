"""Targets and weights of two outputs, and what they do to a training."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from engines.contract import N_CHANNELS, N_FRAMES, N_ROWS, N_SCALARS
from engines.spec import NARROWBAND
from engines.torch_backend import ARCHITECTURES
from offline.store import FeatureStore
from offline.training.augment import Batch
from offline.training.distributed import World
from offline.training.judge import loss_of
from offline.training.lessons import Examples, Lessons
from offline.training.settings import TrainSettings
from offline.training.trainer import Watcher, train_network

pytestmark = pytest.mark.usefixtures("one_thread")

N_TRAIN, N_ALL = 8, 12
ROWS = np.arange(N_ALL)
SETTINGS = TrainSettings(epochs=1, batch_size=4, warmup_epochs=0, precision="fp32", ema_decay=0.5)
PHASES = np.arange(N_ALL) % 2
# Of every fourth example nothing is known of the phase, of every third nothing of the presence.
WEIGHTS = np.stack([np.arange(N_ALL) % 4 != 3, np.arange(N_ALL) % 3 != 2], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def features():
    random = np.random.default_rng(0)
    images = random.standard_normal((N_ALL, N_CHANNELS, N_ROWS, N_FRAMES)).astype(np.float16)
    return images, random.standard_normal((N_ALL, N_SCALARS)).astype(np.float32)


def two_targets(unknown=0.0):
    targets = np.stack([PHASES, np.arange(N_ALL) < N_ALL // 2], axis=1).astype(np.float32)
    return np.where(WEIGHTS > 0, targets, np.float32(unknown))


def lessons_of(features, targets, weights):
    train, validation = (
        Examples(*features, rows, targets[rows], weights[rows]) for rows in (ROWS[:N_TRAIN], ROWS[N_TRAIN:])
    )
    return Lessons(lambda _epoch: train, validation, n_outputs=2)


def train(lessons, folder, settings=SETTINGS, first=None):
    watcher = Watcher(lambda _n_done, _n_all: None, lambda _record: None)
    alone = World(0, 1, torch.device("cpu"))
    return train_network("cnn8", lessons, settings, alone, folder, watcher, run_key={}, first=first)


@pytest.fixture(scope="module")
def trained(features, tmp_path_factory):
    return train(lessons_of(features, two_targets(), WEIGHTS), tmp_path_factory.mktemp("two"))


def batch_of(targets, weights):
    n = len(targets)
    return Batch(torch.zeros(n, 1, 1, 1), torch.zeros(n, 1), torch.tensor(targets), torch.tensor(weights))


def test_clips_are_examples_of_one_target():
    store = FeatureStore(
        images=np.zeros((4, 1, 1, 1), np.float16),
        scalars=np.zeros((4, 1), np.float32),
        labels=np.array([1, 0, 0, 1]),
        days=np.array(["day"] * 4),
        paths=(),
        natural_samples=np.zeros(4, np.int64),
        spec=NARROWBAND,
        fingerprint="these",
    )
    examples = Examples.of_clips(store, np.array([3, 1]))
    assert len(examples) == 2
    assert examples.rows.tolist() == [3, 1]
    assert examples.targets.tolist() == [[1.0], [0.0]]
    assert examples.weights.tolist() == [[1.0], [1.0]]
    assert examples.targets.dtype == examples.weights.dtype == np.float32
    assert examples.images is store.images


def test_the_loss_of_one_output_is_the_mean_cross_entropy():
    logits, targets = torch.tensor([0.3, -1.2, 2.0]), [[1.0], [0.0], [0.25]]
    expected = nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor([1.0, 0.0, 0.25]))
    torch.testing.assert_close(loss_of(logits, batch_of(targets, [[1.0]] * 3)), expected)


def test_the_losses_of_two_outputs_are_added_each_over_what_counts():
    logits = torch.tensor([[0.5, 1.0], [-2.0, 3.0], [0.7, -0.4]])
    batch = batch_of([[1.0, 0.0], [9.0, 1.0], [0.0, 9.0]], [[1.0, 1.0], [0.0, 0.5], [1.0, 0.0]])
    softplus = nn.functional.softplus
    phase = (softplus(torch.tensor(-0.5)) + softplus(torch.tensor(0.7))) / 2
    presence = (softplus(torch.tensor(1.0)) + 0.5 * softplus(torch.tensor(-3.0))) / 1.5
    torch.testing.assert_close(loss_of(logits, batch), phase + presence)


def test_a_loss_of_nothing_known_is_nothing():
    logits = torch.tensor([[0.5, 1.0], [40.0, -3.0]], requires_grad=True)
    loss = loss_of(logits, batch_of([[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]))
    torch.autograd.backward(loss)
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_network_of_two_outputs_is_trained(trained, features):
    images, scalars = (torch.from_numpy(array[:2]).float() for array in features)
    with torch.inference_mode():
        assert trained.network(images, scalars).shape == (2, 2)
    assert math.isfinite(trained.best.train_loss + trained.best.validation_loss)


def test_targets_that_do_not_count_change_nothing(trained, features, tmp_path):
    """Neither the steps, CutMix and MixUp included, nor the figures."""
    other = train(lessons_of(features, two_targets(unknown=1.0), WEIGHTS), tmp_path)
    for name, value in trained.network.state_dict().items():
        assert torch.equal(other.network.state_dict()[name], value), name
    for name in ("train_loss", "validation_loss", "auc", "accuracy"):
        assert getattr(other.best, name) == getattr(trained.best, name), name


def test_targets_that_count_change_the_network(trained, features, tmp_path):
    targets = two_targets()
    targets[0, 1] = 1 - targets[0, 1]
    other = train(lessons_of(features, targets, WEIGHTS), tmp_path)
    assert other.best.train_loss != trained.best.train_loss


def test_an_output_of_which_nothing_is_known_is_left_as_it_was_drawn(features, tmp_path):
    weights = WEIGHTS * np.float32([1, 0])
    still = TrainSettings(**{**vars(SETTINGS), "weight_decay": 0.0})
    result = train(lessons_of(features, two_targets(), weights), tmp_path, still)
    assert math.isfinite(result.best.train_loss + result.best.validation_loss)
    torch.manual_seed(SETTINGS.seed)
    drawn = ARCHITECTURES["cnn8"](SETTINGS.dropout, 2).head[-1]
    last = result.network.head[-1]
    assert torch.equal(last.weight[1], drawn.weight[1])
    assert not torch.equal(last.weight[0], drawn.weight[0])


def test_a_training_begins_with_the_weights_it_is_given(features, tmp_path):
    """Those of a network of one output, stored in half; so small a rate moves none of them."""
    torch.manual_seed(99)
    first = {
        name: value.half() if value.ndim > 1 else value
        for name, value in ARCHITECTURES["cnn8"](SETTINGS.dropout, 1).state_dict().items()
    }
    settings = TrainSettings(**{**vars(SETTINGS), "learning_rate": 1e-30})
    network = train(lessons_of(features, two_targets(), WEIGHTS), tmp_path, settings, first).network
    torch.manual_seed(SETTINGS.seed)
    drawn = dict(ARCHITECTURES["cnn8"](SETTINGS.dropout, 2).named_parameters())
    for name, value in network.named_parameters():
        n_given = len(first[name])
        assert n_given == (1 if name.startswith("head.7.") else len(value))
        expected = torch.cat([first[name][:n_given].float(), drawn[name].detach()[n_given:]])
        torch.testing.assert_close(value.detach(), expected, rtol=0, atol=1e-20)
    means = features[1][:N_TRAIN].mean(axis=0)
    np.testing.assert_allclose(network.standardise.mean, means, atol=1e-6)
