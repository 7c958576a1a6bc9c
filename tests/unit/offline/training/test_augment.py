import numpy as np
import pytest
import torch

from engines.contract import N_CHANNELS, N_FRAMES, N_ROWS, N_SCALARS
from offline.training.augment import MIXUP_ALPHA, Batch, cutmix, mixed, mixstyle, mixup, styled

N = 6
NAMES = ("images", "scalars", "targets", "weights")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch():
    """Clip k is k everywhere: every pixel, scalar and target says whose it is."""
    numbers = torch.arange(N, dtype=torch.float32)
    return Batch(
        numbers[:, None, None, None].expand(N, N_CHANNELS, N_ROWS, N_FRAMES).clone(),
        numbers[:, None].expand(N, N_SCALARS).clone(),
        numbers[:, None].clone(),
        torch.ones(N, 1),
    )


def copy_of(batch):
    return Batch(*(getattr(batch, name).clone() for name in NAMES))


def assert_same(one, other):
    for name in NAMES:
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.83])
@pytest.mark.parametrize("seed", range(4))
def test_cutmix_puts_one_rectangle_of_a_partner_into_all_channels(batch, kept, seed):
    out = cutmix(batch, kept, seeded(seed))
    for clip in range(N):
        is_foreign = out.images[clip] != clip
        assert (is_foreign == is_foreign[0]).all(), "the same place in every channel"
        rows, columns = is_foreign[0].any(dim=1).nonzero()[:, 0], is_foreign[0].any(dim=0).nonzero()[:, 0]
        if len(rows) == 0:
            continue  # its own partner
        height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        assert int(is_foreign[0].sum()) == height * width, "a full rectangle"
        partner = out.images[clip][is_foreign].unique()
        assert len(partner) == 1
        share = 1 - height * width / (N_ROWS * N_FRAMES)
        assert share == pytest.approx(kept, abs=0.02)
        expected = share * clip + (1 - share) * float(partner)
        assert float(out.targets[clip]) == pytest.approx(expected, abs=1e-5)
        np.testing.assert_allclose(out.scalars[clip], expected, atol=1e-5)


def test_cutmix_keeps_everything_or_takes_everything(batch):
    assert_same(cutmix(batch, 1.0, seeded()), batch)
    taken = cutmix(batch, 0.0, seeded())
    assert sorted(taken.targets.tolist()) == batch.targets.tolist()
    for clip in range(N):
        assert (taken.images[clip] == taken.targets[clip]).all()


def test_cutmix_may_put_its_rectangle_at_any_edge(batch):
    is_touched = torch.zeros(N_ROWS, N_FRAMES, dtype=torch.bool)
    generator = seeded()
    for _ in range(100):
        out = cutmix(batch, 0.3, generator)
        is_touched |= (out.images[:, 0] != batch.images[:, 0]).any(dim=0)
    for edge in (is_touched[0], is_touched[-1], is_touched[:, 0], is_touched[:, -1]):
        assert edge.any()


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_mixup_blends_everything_by_one_share(batch, share):
    out = mixup(batch, share, seeded())
    partner = torch.randperm(N, generator=seeded()).to(torch.float32)
    expected = share * batch.targets[:, 0] + (1 - share) * partner
    torch.testing.assert_close(out.targets[:, 0], expected)
    assert torch.equal(out.weights, batch.weights)
    torch.testing.assert_close(out.scalars, expected[:, None].expand(N, N_SCALARS))
    torch.testing.assert_close(out.images[:, 3, 5, 7], expected)


@pytest.mark.parametrize("mix", [lambda b, g: cutmix(b, 0.4, g), lambda b, g: mixup(b, 0.4, g)])
def test_mixing_leaves_the_batch_it_was_given(batch, mix):
    before = copy_of(batch)
    out = mix(batch, seeded())
    assert_same(batch, before)
    assert out.images.dtype == torch.float32
    assert out.images.shape == batch.images.shape


def test_mixing_keeps_the_fast_layout(batch):
    channels_last = batch.images.contiguous(memory_format=torch.channels_last)
    fast = Batch(channels_last, batch.scalars, batch.targets, batch.weights)
    for mix in (cutmix, mixup, mixstyle):
        out = mix(fast, 0.4, seeded())
        assert out.images.is_contiguous(memory_format=torch.channels_last)


def test_the_same_generator_mixes_alike_and_another_does_not(batch):
    assert_same(mixed(batch, 0.5, 0.5, seeded(3)), mixed(batch, 0.5, 0.5, seeded(3)))
    different = [mixed(batch, 0.5, 0.5, seeded(seed)).targets[:, 0].tolist() for seed in range(5)]
    assert len({tuple(targets) for targets in different}) > 1


MIXES = [lambda b, g: cutmix(b, 0.4, g), lambda b, g: mixup(b, 0.4, g)]


@pytest.mark.parametrize("mix", MIXES, ids=["cutmix", "mixup"])
@pytest.mark.parametrize("seed", range(4))
def test_a_target_that_counts_for_nothing_leaves_its_partner_as_it_is(batch, mix, seed):
    """Of every clip the second target is known or not; what is not known is nonsense."""
    is_known = torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    breath = torch.tensor([1.0, 77.0, 0.0, 1.0, 77.0, 77.0])
    two = Batch(
        batch.images,
        batch.scalars,
        torch.stack([batch.targets[:, 0], breath], dim=1),
        torch.stack([torch.ones(N), is_known], dim=1),
    )
    out = mix(two, seeded(seed))
    partner = torch.randperm(N, generator=seeded(seed))
    own = ((out.targets[:, 0] - partner) / (torch.arange(N) - partner)).nan_to_num(nan=1.0)
    for clip, (share, other) in enumerate(zip(own.tolist(), partner.tolist(), strict=True)):
        counts = share * float(is_known[clip]), (1 - share) * float(is_known[other])
        assert float(out.weights[clip, 1]) == pytest.approx(sum(counts), abs=1e-5)
        if sum(counts):
            blend = (counts[0] * float(breath[clip]) + counts[1] * float(breath[other])) / sum(counts)
            assert float(out.targets[clip, 1]) == pytest.approx(blend, abs=1e-4)
        else:
            assert float(out.targets[clip, 1]) == 0
    assert torch.equal(out.weights[:, 0], torch.ones(N))


def test_mixstyle_exchanges_what_rows_have_on_average_and_keeps_how_they_change():
    torch.manual_seed(0)
    clips = Batch(torch.randn(N, 9, 128, 63) * 3 + 5, torch.randn(N, 39), torch.rand(N, 1), torch.ones(N, 1))
    partner = torch.randperm(N, generator=seeded(2))
    out = mixstyle(clips, 0.25, seeded(2))
    for values in (torch.mean, torch.std):
        own, its = values(clips.images, 3), values(clips.images[partner], 3)
        torch.testing.assert_close(values(out.images, 3), 0.25 * own + 0.75 * its, rtol=1e-3, atol=1e-3)
    courses = [(x - x.mean(3, keepdim=True)) / x.std(3, keepdim=True) for x in (clips.images, out.images)]
    torch.testing.assert_close(courses[0], courses[1], rtol=1e-3, atol=1e-3)
    for name in ("scalars", "targets", "weights"):
        assert torch.equal(getattr(out, name), getattr(clips, name))


def test_mixstyle_of_flat_rows_is_flat(batch):
    out = mixstyle(batch, 0.0, seeded(1))
    partner = torch.randperm(N, generator=seeded(1)).float()
    torch.testing.assert_close(out.images, partner[:, None, None, None].expand_as(out.images))


def test_batches_are_styled_as_often_as_asked(batch):
    assert styled(batch, 0.0, seeded()) is batch
    generator = seeded()
    small = Batch(batch.images[:, :, :2, :2], batch.scalars, batch.targets, batch.weights)
    plain = sum(styled(small, 0.7, generator) is small for _ in range(2000))
    assert plain / 2000 == pytest.approx(0.3, abs=0.05)


def test_no_shares_mix_nothing(batch):
    assert mixed(batch, 0.0, 0.0, seeded()) is batch


def test_batches_are_mixed_as_often_as_asked(batch):
    small = Batch(batch.images[:, :, :2, :2], batch.scalars, batch.targets, batch.weights)
    generator = seeded()
    plain = sum(mixed(small, 0.3, 0.2, generator) is small for _ in range(2000))
    assert plain / 2000 == pytest.approx(0.5, abs=0.05)


def test_shares_of_mixup_follow_the_beta_distribution():
    targets = torch.tensor([[0.0], [1.0]])
    pair = Batch(torch.zeros(2, 1, 1, 1), torch.zeros(2, 1), targets, torch.ones(2, 1))
    generator = seeded()
    shares = []
    while len(shares) < 3000:
        targets = mixed(pair, 0.0, 1.0, generator).targets
        if float(targets[0]) != 0.0 or float(targets[1]) != 1.0:
            shares.append(float(targets[1]))
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * MIXUP_ALPHA + 1)), rel=0.1)
