import pytest
import torch
from torch import nn

from engines.cnn8 import CNN8
from engines.contract import N_CHANNELS, N_FRAMES, N_ROWS, N_SCALARS
from engines.standardise import Standardise
from engines.vgg import VGG

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS = pytest.mark.parametrize("architecture", [CNN8, VGG])


def batch(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, N_CHANNELS, N_ROWS, N_FRAMES, generator=generator)
    return images, torch.randn(n, N_SCALARS, generator=generator)


def kinds(modules):
    return [type(module) for module in modules]


@pytest.mark.parametrize(
    ("architecture", "exact", "published"), [(CNN8, 2_433_665, 2.43e6), (VGG, 8_146_561, 8.15e6)]
)
def test_they_have_as_many_parameters_as_published(architecture, exact, published):
    n_parameters = sum(parameter.numel() for parameter in architecture().parameters())
    assert n_parameters == exact
    assert n_parameters == pytest.approx(published, rel=0.005)


@NETWORKS
@pytest.mark.parametrize("n", [1, 3])
def test_a_window_gives_one_logit(architecture, n):
    logits = architecture().eval()(*batch(n))
    assert logits.shape == (n,)
    assert logits.dtype == torch.float32


@NETWORKS
@pytest.mark.parametrize("n", [1, 3])
def test_with_a_second_output_it_gives_two(architecture, n):
    assert architecture(n_outputs=2).eval()(*batch(n)).shape == (n, 2)


@NETWORKS
def test_windows_of_a_batch_do_not_know_of_each_other(architecture):
    network = architecture().eval()
    images, scalars = batch(3)
    together = network(images, scalars)
    alone = torch.cat([network(images[row : row + 1], scalars[row : row + 1]) for row in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_the_image_branch_of_cnn8_is_conv_relu_norm_with_pooling_after_two_and_four():
    block = [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]
    network = CNN8(dropout=0.25)
    assert kinds(network.images) == [
        *block * 2, nn.MaxPool2d,
        *block * 2, nn.MaxPool2d, nn.Dropout2d,
        *block * 4, nn.AdaptiveAvgPool2d, nn.Flatten,
    ]  # fmt: skip
    convolutions = [module for module in network.images if isinstance(module, nn.Conv2d)]
    assert [module.out_channels for module in convolutions] == [32, 64, 128, 128, 256, 256, 256, 256]
    for module in convolutions:
        assert (module.kernel_size, module.padding, module.stride) == ((3, 3), (1, 1), (1, 1))
        assert module.bias is not None
    assert {module.p for module in network.modules() if isinstance(module, nn.Dropout2d)} == {0.25}


def test_the_dense_branches_of_cnn8_are_linear_relu_norm():
    block = [nn.Linear, nn.ReLU, nn.BatchNorm1d]
    assert kinds(CNN8().scalars) == [*block, nn.Dropout, *block]
    assert kinds(CNN8().head) == [*block, nn.Dropout, *block, nn.Linear]
    assert [module.out_features for module in CNN8().head if isinstance(module, nn.Linear)] == [256, 128, 1]
    assert CNN8().head[0].in_features == 320


def test_the_blocks_of_vgg_are_conv_norm_gelu():
    block = [nn.Conv2d, nn.BatchNorm2d, nn.GELU]
    network = VGG()
    assert kinds(network.block1) == [*block * 3, nn.Dropout2d]
    assert kinds(network.block2) == kinds(network.block3) == [*block * 3, nn.MaxPool2d, nn.Dropout2d]
    assert kinds(network.block4) == block * 3
    assert kinds(network.shortcut) == [nn.Conv2d, nn.BatchNorm2d]
    blocks = (network.block1, network.block2, network.block3, network.block4, network.shortcut)
    convolutions = [[module for module in part if isinstance(module, nn.Conv2d)] for part in blocks]
    assert [part[-1].out_channels for part in convolutions] == [64, 128, 256, 512, 512]
    assert all(module.bias is None for part in convolutions for module in part)
    assert [module.stride for module in convolutions[0]] == [(1, 1), (1, 1), (2, 2)]
    assert {module.stride for part in convolutions[1:] for module in part} == {(1, 1)}


def test_the_dense_branches_of_vgg_are_linear_norm_gelu():
    block = [nn.Linear, nn.BatchNorm1d, nn.GELU]
    network = VGG()
    assert kinds(network.scalars) == [*block, nn.Dropout, *block]
    assert kinds(network.head) == [*(*block, nn.Dropout) * 2, nn.Linear]
    assert all(module.bias is None for module in network.scalars if isinstance(module, nn.Linear))
    assert network.head[0].in_features == 576


def test_vgg_keeps_the_odd_row_and_column_when_it_halves():
    network = VGG().eval()
    sizes = {}
    for name in ("block1", "block2", "block3", "block4", "shortcut"):
        getattr(network, name).register_forward_hook(
            lambda _module, _inputs, output, name=name: sizes.__setitem__(name, tuple(output.shape[2:]))
        )
    images, scalars = batch(1)
    network(images, scalars)
    assert list(sizes.values()) == [(64, 32), (32, 16), (16, 8), (16, 8), (16, 8)]
    network(images[..., :98, :57], scalars)
    assert list(sizes.values()) == [(49, 29), (25, 15), (13, 8), (13, 8), (13, 8)]


@NETWORKS
def test_a_gradient_reaches_every_parameter(architecture):
    network = architecture(dropout=0.0).train()
    network(*batch(4)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if parameter.ndim > 1:
            assert parameter.grad.abs().max() > 0, name


@NETWORKS
def test_both_inputs_matter(architecture):
    network = architecture().eval()
    images, scalars = batch(2)
    before = network(images, scalars)
    assert (network(images + 1, scalars) - before).abs().min() > 0
    assert (network(images, scalars + 1) - before).abs().min() > 0


def test_standardise_gives_the_training_scalars_zero_mean_and_unit_spread():
    scalars = 1e4 * torch.randn(200, N_SCALARS, generator=torch.Generator().manual_seed(0)) + 1e5
    standardise = Standardise()
    standardise.fit(scalars)
    out = standardise(scalars)
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(N_SCALARS), rtol=0, atol=1e-3)
    torch.testing.assert_close(out.std(dim=0, unbiased=False), torch.ones(N_SCALARS), rtol=0, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-30, 1234.567, 3e38])
def test_a_scalar_that_was_constant_says_nothing_whatever_comes(value):
    scalars = torch.randn(1001, N_SCALARS, generator=torch.Generator().manual_seed(0))
    scalars[:, 7] = value
    standardise = Standardise()
    standardise.fit(scalars)
    live = torch.tensor([value, 0.0, 1.0, -1e6]).repeat(N_SCALARS, 1).T.contiguous()
    assert (standardise(live)[:, 7] == 0).all()


def test_a_wild_scalar_is_cut():
    standardise = Standardise()
    standardise.fit(torch.randn(100, N_SCALARS, generator=torch.Generator().manual_seed(0)))
    assert standardise(torch.full((1, N_SCALARS), 1e20)).unique().tolist() == [10.0]
    assert standardise(torch.full((1, N_SCALARS), -1e20)).unique().tolist() == [-10.0]


def test_mean_and_spread_travel_with_the_weights():
    assert {"standardise.mean", "standardise.std"} <= set(CNN8().state_dict()) & set(VGG().state_dict())
