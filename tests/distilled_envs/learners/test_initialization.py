import pytest
import torch
from torch import nn

from distilled_envs import load_distilled
from distilled_envs.errors import PolicyError


def network(inputs, outputs, depth=2, width=64, activation=nn.Tanh):
    layers, size = [], inputs
    for _ in range(depth):
        layers += [nn.Linear(size, width), activation()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, outputs))


@pytest.fixture(scope="module")
def hopper():
    return load_distilled("hopper", instances=64)


@pytest.fixture(scope="module")
def cartpole():
    return load_distilled("cartpole_2d", instances="min")


@pytest.mark.parametrize("depth", range(6))
def test_any_depth_answers_as_the_datasets_own_learners(hopper, cartpole, depth):
    for dataset, inputs, outputs in ((hopper, 11, 3), (cartpole, 8, 4)):
        policy = network(inputs, outputs, depth)
        assert dataset.initialize(policy, seed=depth) is policy
        assert dataset.diagnose(policy).disagreement < 2e-3


@pytest.mark.parametrize("width", [32, 128, 1024])
def test_any_width_answers_as_the_datasets_own_learners(hopper, width):
    policy = hopper.initialize(network(11, 3, width=width), seed=0)
    assert hopper.diagnose(policy).disagreement < 2e-3


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize(
    "activation", [nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.ELU, nn.Mish, nn.Sigmoid]
)
def test_any_activation_answers_as_the_datasets_own_learners(hopper, activation, depth):
    policy = network(11, 3, depth, activation=activation)
    assert hopper.diagnose(policy).disagreement > 0.1
    hopper.initialize(policy, seed=0)
    assert hopper.diagnose(policy).disagreement < 1e-2


def test_functional_activations_and_layers_in_any_order_are_found(hopper):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.unused = nn.Linear(65, 3), nn.Linear(11, 3)
            self.second, self.first = nn.Linear(65, 65), nn.Linear(11, 65)

        def forward(self, observations):
            hidden = torch.relu(self.second(torch.relu(self.first(observations))))
            return self.last(hidden)

    policy = Backwards().double()
    before = policy.unused.weight.clone()
    hopper.initialize(policy)
    assert torch.equal(policy.unused.weight, before)
    assert not policy.last.weight.any()
    assert hopper.diagnose(policy).disagreement < 1e-2


def test_units_that_cannot_be_paired_are_made_smaller_instead():
    humanoid = load_distilled("humanoid")  # 45 coordinates, more than half of 64 units
    policy = network(45, 17, activation=nn.GELU)
    assert humanoid.diagnose(humanoid.initialize(policy, seed=0)).disagreement < 1e-2


def test_layer_norm_keeps_its_parameters_and_lets_the_step_through(cartpole):
    policy = nn.Sequential(nn.Linear(8, 64), nn.LayerNorm(64), nn.Tanh(), nn.Linear(64, 4))
    assert cartpole.diagnose(policy).disagreement > 0.5
    cartpole.initialize(policy, seed=0)
    assert torch.equal(policy[1].weight, torch.ones(64))
    assert not policy[1].bias.any()
    # Its epsilon bounds what it multiplies by: inputs below that size come through in proportion.
    assert cartpole.diagnose(policy).disagreement < 0.2


def test_a_draw_has_a_seed_and_leaves_the_global_one_alone(hopper):
    state = torch.get_rng_state()
    one, same = (hopper.initialize(network(11, 3), seed=5) for _ in range(2))
    assert torch.equal(one[0].weight, same[0].weight)
    torch.manual_seed(1)
    other = hopper.initialize(network(11, 3))
    assert not torch.equal(one[0].weight, other[0].weight)
    torch.set_rng_state(state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        policy = network(11, 3)
        before = torch.get_rng_state()
        hopper.initialize(policy, seed=5)
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_sb3_models_are_drawn_without_their_critic(hopper, activation):
    pytest.importorskip("mujoco")
    from stable_baselines3 import PPO

    env = hopper.make_env()
    kwargs = {"activation_fn": activation, "net_arch": [96, 96, 96]}
    model = PPO("MlpPolicy", env, policy_kwargs=kwargs, device="cpu")
    critic = [each.clone() for each in model.policy.value_net.parameters()]
    hopper.initialize(model)
    assert hopper.diagnose(model).learns
    for each, before in zip(model.policy.value_net.parameters(), critic, strict=True):
        assert torch.equal(each, before)


def test_what_can_not_be_drawn_is_refused(hopper):
    frozen = network(11, 3).requires_grad_(False)
    with pytest.raises(PolicyError, match=r"no nn\.Linear or nn\.Conv2d .* dataset\.fit"):
        hopper.initialize(frozen)
    with pytest.raises(PolicyError, match="does not take"):
        hopper.initialize(network(5, 3))
    with pytest.raises(PolicyError, match=r"must be a torch\.nn\.Module"):
        hopper.initialize("policy")


def test_a_network_without_biases_is_drawn_too(hopper):
    policy = nn.Sequential(nn.Linear(11, 64, bias=False), nn.ReLU(), nn.Linear(64, 3, bias=False))
    hopper.initialize(policy)
    assert hopper.diagnose(policy).disagreement < 0.1  # the rows' mean is what a bias would learn


@pytest.mark.slow
@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, nn.SiLU])
def test_initialized_networks_play_as_the_datasets_own(cartpole, activation):
    for depth in (1, 2, 5):
        policy = cartpole.train(cartpole.initialize(network(8, 4, depth, 64, activation)))
        assert cartpole.evaluate(policy, episodes=5).greedy.mean > 495


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.GELU])
@pytest.mark.parametrize(
    "widths", [(64, 32), (96, 48, 32), (256, 128, 64), (96, 48, 96), (256, 32, 256, 64), (65, 33)]
)
def test_layers_may_become_narrower(hopper, cartpole, widths, activation):
    """Random directions of what a wider layer answers get 154 of cart-pole's 500 by 96, 48, 32."""
    for dataset, inputs, outputs in ((hopper, 11, 3), (cartpole, 8, 4)):
        layers, size = [], inputs
        for width in widths:
            layers += [nn.Linear(size, width), activation()]
            size = width
        policy = dataset.initialize(nn.Sequential(*layers, nn.Linear(size, outputs)), seed=0)
        assert dataset.diagnose(policy).disagreement < 3e-3


@pytest.mark.parametrize("place", [0, 2])
def test_layers_behind_others_that_stay_are_drawn_at_random(hopper, place):
    """What they see is not what the layers that are drawn make of observations."""
    layers = [nn.Linear(11, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 32)]
    policy = nn.Sequential(*layers, nn.Tanh(), nn.Linear(32, 3))
    stays = policy[place].weight.requires_grad_(False).clone()
    policy[place].bias.requires_grad_(False)
    hopper.initialize(policy, seed=0)
    assert policy[place].weight.equal(stays)
    kept = policy[4].weight if place == 2 else policy[2].weight
    rank = torch.linalg.matrix_rank(kept.detach())
    assert rank == min(kept.shape)


@pytest.mark.parametrize(("width", "activation"), [(12, nn.Tanh), (32, nn.Tanh), (32, nn.ReLU)])
def test_layers_narrower_than_the_inputs_hold_the_rows_directions(width, activation):
    dataset = load_distilled("cartpole_10d", instances=11)  # of 40 inputs
    layers = [nn.Linear(40, width), activation(), nn.Linear(width, width), activation()]
    policy = nn.Sequential(*layers, nn.Linear(width, 20))
    assert not dataset.diagnose(policy).learns
    diagnosis = dataset.diagnose(dataset.initialize(policy, seed=0))
    assert diagnosis.learns
    assert diagnosis.disagreement < 0.2


def test_layers_narrower_than_the_rows_directions_hold_those_of_their_lesson():
    dataset = load_distilled("humanoid-64")  # rows of 45 directions, for 17 actions
    policy = nn.Sequential(
        nn.Linear(45, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 17)
    )
    assert dataset.diagnose(dataset.initialize(policy, seed=0)).disagreement < 0.02
