"""Programs whose torch makes tensors of another type than float32."""

import pytest
import torch
from torch import nn

from distilled_envs import load_distilled
from distilled_envs.errors import FitWarning

SIZES = {"cartpole-nd-2d-min": (8, 4), "pendulum-encoder": (3, 1)}


@pytest.fixture(params=["float64", "bfloat16", "float16"])
def kind(request):
    """The type that ``torch.set_default_dtype`` is given."""
    found = getattr(torch, request.param)
    torch.set_default_dtype(found)
    yield found
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", SIZES)
def test_datasets_stay_in_float32(kind, name, tmp_path):
    dataset = load_distilled(name)
    policy = dataset.new_policy(seed=0)
    assert {each.dtype for each in policy.parameters()} == {torch.float32}
    assert dataset.diagnose(policy).learns
    dataset.train(policy)
    found = dataset.evaluate(learners=2, episodes=1).greedy.returns
    torch.set_default_dtype(torch.float32)
    wanted = load_distilled(name).evaluate(learners=2, episodes=1).greedy.returns
    torch.set_default_dtype(kind)
    assert (found == wanted).all()
    assert dataset.evaluate(policy, episodes=2).greedy.returns.shape == (1, 2)
    inputs, targets = dataset.expand(16)[:]
    assert inputs.dtype == targets.dtype == torch.float32
    dataset.save(tmp_path / "set")
    assert torch.equal(load_distilled(tmp_path / "set").targets, dataset.targets)


@pytest.mark.parametrize("own", [None, torch.float32])
def test_networks_of_ones_own_keep_their_type(kind, own):
    dataset = load_distilled("cartpole-nd-2d-min")
    network = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 4)).to(own)
    dataset.train(dataset.initialize(network, seed=0))
    assert {each.dtype for each in network.parameters()} == {own or kind}
    assert dataset.evaluate(network, episodes=4).greedy.mean > 400
    with pytest.warns(FitWarning):  # after so few steps
        fitted = dataset.fit(nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 4)), steps=20)
    assert {each.dtype for each in fitted.parameters()} == {kind}
