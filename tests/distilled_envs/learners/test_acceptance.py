"""Which policies a dataset takes: every option of Stable-Baselines3's is served or refused."""

import gymnasium as gym
import pytest
import stable_baselines3 as sb3
import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import NatureCNN
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from distilled_envs import load_distilled
from distilled_envs.errors import PolicyError

FRAMES = spaces.Box(0, 255, (4, 84, 84), "uint8")
VERBS = ("train", "diagnose", "initialize", "fit")


@pytest.fixture(scope="module")
def cartpole():
    return load_distilled("cartpole-nd-2d-min")


@pytest.fixture(scope="module")
def hopper():
    return load_distilled("hopper-256")


@pytest.fixture(scope="module")
def pong():
    return load_distilled("pong-level4")


class Showing(gym.Env):
    """An environment of which only the spaces matter."""

    def __init__(self, observations, actions):
        self.observation_space, self.action_space = observations, actions


def ppo(dataset, policy="MlpPolicy", shown=None, **kwargs):
    """A small PPO for a dataset, or for another space of observations."""
    task = dataset.spec.task
    if shown is None:
        shown = FRAMES if dataset.spec.has_frames else spaces.Box(-1, 1, task.observation_shape)
    actions = spaces.Discrete(task.n_outputs)
    if task.kind == "gaussian":
        actions = spaces.Box(-1, 1, (task.n_outputs,))
    return sb3.PPO(policy, Showing(shown, actions), seed=0, device="cpu", policy_kwargs=kwargs)


OPTIONS = {
    "net_arch": {"pi": [48], "vf": [16]},
    "activation_fn": nn.ReLU,
    "ortho_init": False,
    "log_std_init": -2.0,
    "full_std": False,
    "use_expln": True,
    "share_features_extractor": False,
    "optimizer_class": torch.optim.SGD,
    "optimizer_kwargs": {"weight_decay": 0.1},
}


@pytest.mark.filterwarnings("ignore::distilled_envs.errors.OneStepWarning")
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", ["cartpole", "hopper", "pong"])
def test_options_that_change_no_meaning_are_served(name, option, request):
    dataset = request.getfixturevalue(name)
    kwargs = {option: OPTIONS[option]}
    if name == "pong" and option == "net_arch":
        kwargs = {"net_arch": {"pi": [], "vf": [16]}}
    model = ppo(dataset, "CnnPolicy" if name == "pong" else "MlpPolicy", **kwargs)
    critic = {
        key: value.clone()
        for key, value in model.policy.state_dict().items()
        if key.startswith(("vf_", "value_net")) or "value" in key
    }
    seen = dataset.observations[:4]
    before = model.policy.get_distribution(seen).distribution
    dataset.train(model)
    after = model.policy.get_distribution(seen).distribution
    said = "logits" if dataset.spec.task.kind == "categorical" else "mean"
    assert not torch.allclose(getattr(before, said), getattr(after, said))
    if name != "pong" or option == "share_features_extractor":  # else they share the encoder
        after = model.policy.state_dict()
        assert critic
        assert all(torch.equal(after[key], value) for key, value in critic.items())


def test_a_critic_with_an_extractor_of_its_own_makes_no_difference(pong):
    shared = ppo(pong, "CnnPolicy")
    apart = ppo(pong, "CnnPolicy", share_features_extractor=False)
    for part in ("mlp_extractor", "action_net"):
        state = getattr(shared.policy, part).state_dict()
        getattr(apart.policy, part).load_state_dict(state)
    for model in (shared, apart):
        model.policy.pi_features_extractor.linear.load_state_dict(
            shared.policy.features_extractor.linear.state_dict()
        )
        pong.train(model)
    seen = pong.observations
    one, other = (model.policy.get_distribution(seen).distribution for model in (shared, apart))
    assert torch.allclose(one.logits, other.logits, atol=1e-5)


@pytest.mark.parametrize("around", ["model", "policy"])
def test_compiled_policies_are_trained_as_they_are(cartpole, around):
    plain, model = ppo(cartpole), ppo(cartpole)
    model.policy = torch.compile(model.policy)
    cartpole.train(plain)
    cartpole.train(model if around == "model" else model.policy)
    inside = model.policy._orig_mod
    for one, other in zip(plain.policy.parameters(), inside.parameters(), strict=True):
        assert torch.equal(one, other)
    again = cartpole.evaluate(model, episodes=2)
    assert (again.greedy.returns == cartpole.evaluate(plain, episodes=2).greedy.returns).all()


@pytest.mark.parametrize("verb", VERBS)
def test_frames_that_the_network_does_not_divide_are_refused(pong, verb):
    as_they_are = ppo(pong, "CnnPolicy", normalize_images=False)
    of_floats = ppo(pong, "CnnPolicy", spaces.Box(0, 255, (4, 84, 84)), normalize_images=False)
    values = sb3.DQN(
        "CnnPolicy",
        Showing(FRAMES, spaces.Discrete(6)),
        buffer_size=1,
        device="cpu",
        policy_kwargs={"normalize_images": False},
    )
    for model in (as_they_are, of_floats, values):
        with pytest.raises(PolicyError, match=r"divided by 255: make the .* normalize_images=True"):
            getattr(pong, verb)(model)


@pytest.mark.parametrize("verb", VERBS)
def test_models_behind_vec_normalize_are_refused(cartpole, verb):
    normalized = VecNormalize(DummyVecEnv([cartpole.make_env]))
    model = sb3.PPO("MlpPolicy", normalized, seed=0, device="cpu")
    with pytest.raises(PolicyError, match=r"through VecNormalize, .* or with norm_obs=False"):
        getattr(cartpole, verb)(model)
    rewards = VecNormalize(DummyVecEnv([cartpole.make_env]), norm_obs=False)
    getattr(cartpole, verb)(sb3.PPO("MlpPolicy", rewards, seed=0, device="cpu"))


def test_a_model_behind_vec_normalize_plays_as_it_learned(cartpole):
    plain = sb3.PPO("MlpPolicy", cartpole.make_env(), seed=0, device="cpu")
    cartpole.train(plain)
    around = VecNormalize(DummyVecEnv([cartpole.make_env]))
    around.obs_rms.var[:] = 1 / 16  # it sees all four times as large
    model = sb3.PPO("MlpPolicy", around, seed=0, device="cpu")
    model.policy.load_state_dict(plain.policy.state_dict())
    with torch.no_grad():
        model.policy.mlp_extractor.policy_net[0].weight /= 4
    wanted = cartpole.evaluate(plain, episodes=4).greedy.returns
    assert abs(cartpole.evaluate(model, episodes=4).greedy.returns - wanted).max() < 5


@pytest.mark.parametrize("verb", VERBS)
def test_other_observations_are_refused(cartpole, verb):
    inside = spaces.Box(-1, 1, (8,))
    shown = {"MultiInputPolicy": spaces.Dict({"pole": inside}), "MlpPolicy": spaces.Discrete(8)}
    for policy, space in shown.items():
        with pytest.raises(PolicyError, match=r"PPO sees .* needs a Box of shape \(8,\): make"):
            getattr(cartpole, verb)(ppo(cartpole, policy, space))
    getattr(cartpole, verb)(ppo(cartpole, shown=spaces.Box(-1, 1, (2, 4))))  # flattened by SB3


def test_other_action_spaces_are_refused(cartpole, hopper):
    pendulum = load_distilled("invertedpendulum")
    with pytest.raises(PolicyError, match=r"PPO has the action space Discrete\(4\), and hopper"):
        hopper.train(ppo(cartpole))
    with pytest.raises(PolicyError, match=r"SAC has .*, and cartpole-nd-2d-min needs Disc"):
        cartpole.train(sb3.SAC("MlpPolicy", pendulum.make_env(), buffer_size=1))
    with pytest.raises(PolicyError, match=r"needs a Box of shape \(3,\)"):
        hopper.train(sb3.TD3("MlpPolicy", pendulum.make_env(), buffer_size=1))
    with pytest.raises(PolicyError, match=r"DQNPolicy has the action space Discrete\(2\)"):
        env = gym.make("CartPole-v1")
        cartpole.train(sb3.DQN("MlpPolicy", env, buffer_size=10, device="cpu").policy)
    for verb in VERBS:
        with pytest.raises(PolicyError, match="PPO has the action space"):
            getattr(hopper, verb)(ppo(cartpole))


class Linear(nn.Module):
    """Whose outputs are made in a way of its own."""

    def __init__(self, way):
        super().__init__()
        self.inner, self.way = nn.Linear(8, 4), way

    def forward(self, x):
        with self.way():
            return self.inner(x)


class Detached(nn.Linear):
    def forward(self, x):
        return super().forward(x).detach()


def unusable():
    """Modules, each with what is said of it."""
    for way in (torch.no_grad, torch.inference_mode):
        yield Linear(way), "Linear gives outputs without gradients"
    yield Detached(8, 4), "Detached gives outputs without gradients"
    yield nn.Linear(8, 4, device="meta"), "parameter weight is on torch's meta device"
    yield nn.Linear(8, 4, dtype=torch.complex64), "gives outputs of torch.complex64"
    yield nn.Linear(8, 4).requires_grad_(False), "no parameters that require a gradient"


@pytest.mark.parametrize("verb", ["train", "diagnose", "fit"])
@pytest.mark.parametrize("place", range(6))
def test_modules_without_gradients_or_numbers_are_refused(cartpole, verb, place):
    module, said = [*unusable()][place]
    with pytest.raises(PolicyError, match=said):
        getattr(cartpole, verb)(module)


@pytest.mark.parametrize("verb", VERBS)
def test_lazy_layers_see_the_rows_first(cartpole, verb):
    torch.manual_seed(0)
    module = nn.Sequential(nn.LazyLinear(64), nn.Tanh(), nn.LazyLinear(4))
    getattr(cartpole, verb)(module)
    assert [tuple(each.shape) for each in module.parameters()] == [(64, 8), (64,), (4, 64), (4,)]


class Divides(NatureCNN):
    """An extractor that divides frames itself, in a class of its own."""

    def forward(self, frames):
        return super().forward(frames / 255)


def test_frames_are_divided_by_one_or_the_other(toy):
    game = toy(0)  # without an encoder, any CNN learns
    kwargs = {"normalize_images": False, "features_extractor_class": Divides}
    game.train(ppo(game, "CnnPolicy", **kwargs))
    flat = ppo(game, "MlpPolicy", spaces.Box(0, 255, (4 * 84 * 84,), "uint8"))
    with pytest.raises(PolicyError, match="divided by 255"):
        game.train(flat)


def test_a_policy_may_hold_numbers_that_are_not_trained(cartpole):
    class Indexed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 4))
            self.order = nn.Parameter(torch.arange(8), requires_grad=False)

        def forward(self, x):
            return self.inner(x[:, self.order])

    torch.manual_seed(0)
    policy = cartpole.initialize(Indexed())
    cartpole.train(policy)
    assert cartpole.evaluate(policy, episodes=2).greedy.mean > 400


def test_a_lazy_head_sees_an_encoders_features():
    dataset = load_distilled("pendulum-encoder")
    policy = dataset.with_encoder(nn.LazyLinear(1))
    dataset.diagnose(policy)
    with pytest.raises(PolicyError, match="with_encoder"):
        dataset.train(bare := nn.LazyLinear(1))
    assert isinstance(bare.weight, nn.UninitializedParameter)
