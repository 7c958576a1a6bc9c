import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engines.errors import LabelsError, OutputError
from offline.training.checkpoint import load_checkpoint, read_values, save_checkpoint

VALUES = {"run": {"settings": {"learning_rate": 0.1}, "days": ["a", "b"]}, "history": [{"auc": 0.123456789}]}


def network(seed, width=4):
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.LazyLinear(1))
    made(torch.zeros(2, 3, 5, 5))
    return nn.utils.convert_conv2d_weight_memory_format(made, torch.channels_last)


def trained(seed, steps=3, width=4):
    """A network, its copy and an optimiser that has moments."""
    made = network(seed, width)
    weights = [parameter for parameter in made.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in made.parameters() if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.01)
    step(made, optimizer, steps)
    return {"network": made, "best": network(seed + 100, width)}, optimizer


def step(made, optimizer, steps):
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        made(torch.randn(4, 3, 5, 5, generator=generator)).square().mean().backward()
        optimizer.step()


def states(modules):
    return {name: module.state_dict() for name, module in modules.items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        for key, value in one[name].items():
            assert torch.equal(value, other[name][key]), (name, key)


@pytest.fixture
def saved(tmp_path):
    modules, optimizer = trained(0)
    save_checkpoint(tmp_path / "deep" / "net.safetensors", modules, optimizer, VALUES)
    return tmp_path / "deep" / "net.safetensors", modules, optimizer


def test_everything_comes_back(saved):
    path, modules, optimizer = saved
    others, other_optimizer = trained(1, steps=1)
    assert load_checkpoint(path, others, other_optimizer) == VALUES
    assert_same(states(modules), states(others))
    state, other_state = optimizer.state_dict(), other_optimizer.state_dict()
    assert_same(state["state"], other_state["state"])
    for group, other_group in zip(state["param_groups"], other_state["param_groups"], strict=True):
        assert group["weight_decay"] == other_group["weight_decay"]
        assert list(group["betas"]) == list(other_group["betas"])


def test_what_was_restored_goes_on_as_what_was_saved(saved):
    path, modules, optimizer = saved
    others, other_optimizer = trained(1, steps=0)
    load_checkpoint(path, others, other_optimizer)
    step(modules["network"], optimizer, 3)
    step(others["network"], other_optimizer, 3)
    assert_same(states(modules), states(others))


def test_moments_keep_the_layout_of_their_parameter(saved):
    path, _, _ = saved
    others, other_optimizer = trained(1)
    load_checkpoint(path, others, other_optimizer)
    kernel = others["network"][0].weight
    assert kernel.stride() != torch.empty(kernel.shape).stride()
    assert other_optimizer.state[kernel]["exp_avg"].stride() == kernel.stride()


def test_the_values_alone_are_read_without_the_rest(saved):
    assert read_values(saved[0]) == VALUES


def test_the_file_holds_no_pickle(saved):
    assert saved[0].read_bytes()[8:9] == b"{"


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path):
    path.write_bytes(b"")


def removed(path):
    path.unlink()


def of_something_else(path):
    save_file({"x": torch.zeros(1)}, path)


def of_something_else_with_notes(path):
    save_file({"x": torch.zeros(1)}, path, {"values": "[1", "groups": "[]"})


@pytest.mark.parametrize(
    "damage", [truncated, emptied, removed, of_something_else, of_something_else_with_notes]
)
def test_a_file_that_is_no_checkpoint_is_refused(saved, damage):
    path = saved[0]
    damage(path)
    modules, optimizer = trained(1)
    with pytest.raises(LabelsError, match=r"net\.safetensors cannot be resumed .*--restart"):
        load_checkpoint(path, modules, optimizer)
    with pytest.raises(LabelsError, match="cannot be resumed"):
        read_values(path)


def test_a_checkpoint_of_another_network_is_refused(saved):
    modules, optimizer = trained(1, width=5)
    with pytest.raises(LabelsError, match="cannot be resumed"):
        load_checkpoint(saved[0], modules, optimizer)


def test_saving_again_replaces_the_file_and_leaves_nothing_behind(saved):
    path, modules, optimizer = saved
    save_checkpoint(path, modules, optimizer, {"history": []})
    assert read_values(path) == {"history": []}
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_place_that_cannot_be_written_is_named(saved, tmp_path):
    _, modules, optimizer = saved
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"net\.safetensors could not be written"):
        save_checkpoint(tmp_path / "file" / "net.safetensors", modules, optimizer, {})
    (tmp_path / "net.safetensors").mkdir()
    with pytest.raises(OutputError, match=r"net\.safetensors could not be written"):
        save_checkpoint(tmp_path / "net.safetensors", modules, optimizer, {})
