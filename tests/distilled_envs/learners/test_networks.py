import pytest
import torch

from distilled_envs.learners.networks import draw_parameters, make_policy
from distilled_envs.spec import InitializationSpec, LearnerSpec


@pytest.mark.parametrize(("n_inputs", "n_outputs"), [(8, 4), (100, 4), (3, 70)])
def test_initial_weights_are_orthogonal_with_the_gains(n_inputs, n_outputs):
    spec = LearnerSpec(initialization=InitializationSpec(hidden_gain=1.5, output_gain=0.1))
    parameters = draw_parameters(spec, (n_inputs,), n_outputs, 3)
    gains = {"0.weight": 1.5, "2.weight": 1.5, "4.weight": 0.1}
    for name, gain in gains.items():
        weight = parameters[name].double() / gain
        narrow = weight if weight.shape[1] <= weight.shape[2] else weight.mT
        identity = torch.eye(narrow.shape[1], dtype=torch.double)
        torch.testing.assert_close(
            narrow @ narrow.mT, identity.expand(3, -1, -1), atol=1e-5, rtol=0
        )
    assert all((parameters[f"{i}.bias"] == 0).all() for i in (0, 2, 4))


def test_orthogonal_draws_are_spread_like_torchs():
    """Signs of the first entry are even, as under the uniform distribution."""
    weight = draw_parameters(LearnerSpec(hidden_sizes=(8,)), (8,), 2, 400)["0.weight"]
    assert 140 < (weight[:, 0, 0] > 0).sum() < 260


def test_seed_decides_the_network():
    first, again, other = (make_policy(LearnerSpec(), (8,), 4, seed=s) for s in (1, 1, 2))
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_large_layers_are_orthogonal_too():
    """They are drawn by another factorization."""
    weight = draw_parameters(LearnerSpec(hidden_sizes=(256,)), (600,), 2, 2)["0.weight"]
    identity = 2 * torch.eye(256).expand(2, -1, -1)
    torch.testing.assert_close(weight @ weight.mT, identity, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["xavier", "pytorch"])
def test_initializations_are_torchs(kind):
    learner = LearnerSpec(initialization=InitializationSpec(kind), hidden_sizes=(50,))
    ours = draw_parameters(learner, (20,), 3, 400, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    for place, (n_in, n_out) in (("0", (20, 50)), ("2", (50, 3))):
        layers = [torch.nn.Linear(n_in, n_out) for _ in range(400)]
        if kind == "xavier":
            for layer in layers:
                torch.nn.init.xavier_uniform_(layer.weight)
                torch.nn.init.zeros_(layer.bias)
        for name in ("weight", "bias"):
            theirs = torch.stack([getattr(layer, name).detach() for layer in layers])
            mine = ours[f"{place}.{name}"]
            assert mine.shape == theirs.shape
            torch.testing.assert_close(mine.std(), theirs.std(), rtol=0.05, atol=1e-6)
            torch.testing.assert_close(mine.abs().max(), theirs.abs().max(), rtol=0.02, atol=1e-6)
