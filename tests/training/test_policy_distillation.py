import dataclasses
import itertools
import sys
import time
import types

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch

from distilled_envs import load_distilled
from distilled_envs.cli import main
from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import PolicyError, SettingsError
from distilled_envs.spec import LearnerSpec, TaskSpec
from distilled_envs.training import (
    ImitationSettings,
    LinearPolicy,
    imitate,
    policy_distillation,
)
from distilled_envs.training.refitting import learn_rows
from distilled_envs.training.shown import Shown
from distilled_envs.training.teachers import Teacher
from distilled_envs.training.world import World

QUICK = ImitationSettings(visits=200, episodes=4, rounds=1)


def balancing(dims: int = 2) -> LinearPolicy:
    """Pushes each axis to where its pole leans."""
    weights = torch.zeros(2 * dims, 4 * dims)
    for axis in range(dims):
        lean = torch.tensor([0.05, 0.1, 1.0, 0.5])
        weights[2 * axis, 4 * axis : 4 * axis + 4] = -10 * lean
        weights[2 * axis + 1, 4 * axis : 4 * axis + 4] = 10 * lean
    return LinearPolicy(weights, torch.zeros(2 * dims))


def test_a_linear_policy_becomes_as_many_rows_as_its_rank_and_one(tmp_path):
    env = gym.make("CartPoleND-v0", dims=2)
    dataset = imitate(balancing(), env, QUICK)
    assert len(dataset) == 3
    assert dataset.spec.name == "cartpole-nd-2d-min"
    record = dataset.spec.provenance["imitation"]
    assert record["by"] == "closed form"
    assert record["teacher"] == "a linear policy"
    assert record["teacher_return"] == 500
    assert record["share"] == 1
    assert dataset.spec.provenance["algorithm"] == "imitation"
    assert dataset.evaluate(learners=10, episodes=1).greedy.mean == 500
    dataset.save(tmp_path / "saved")
    again = load_distilled(tmp_path / "saved")
    assert torch.equal(again.observations, dataset.observations)
    space = dataset.make_env().observation_space
    assert all(space.contains(row) for row in dataset.observations.numpy())


def test_a_normalized_linear_policy_takes_less_than_a_second(tmp_path):
    plain = balancing().under(torch.zeros(8), torch.full((8,), 0.1))
    arrays = {"W": plain.weights, "b": plain.bias, "mean": plain.mean, "std": plain.std}
    np.savez(tmp_path / "policy.npz", **{name: value.numpy() for name, value in arrays.items()})
    env = gym.make("CartPoleND-v0", dims=2)
    unplayed = ImitationSettings(episodes=0)
    imitate(plain, env, unplayed)
    started = time.process_time()
    dataset = imitate(str(tmp_path / "policy.npz"), env, unplayed)
    assert time.process_time() - started < 1
    assert len(dataset) == 3
    assert dataset.spec.provenance["imitation"]["share"] is None
    assert dataset.evaluate(learners=10, episodes=1).greedy.mean == 500
    for teacher in (balancing(), load_distilled("cartpole_2d")):
        with pytest.raises(SettingsError, match="linear policies with a mean and a std alone"):
            imitate(teacher, env, unplayed)


def test_unused_coordinates_are_not_shown(tmp_path):
    weights = balancing().weights
    weights[:, 4:] = 0
    dataset = imitate(
        LinearPolicy(weights, torch.zeros(4)), gym.make("CartPoleND-v0", dims=2), QUICK
    )
    assert dataset.spec.observation_transform.coordinates == (0, 1, 2, 3)
    assert dataset.observations.shape == (2, 4)


def test_a_dataset_can_be_the_teacher():
    dataset = imitate(load_distilled("cartpole_1d"), settings=QUICK)
    assert len(dataset) == 2
    assert dataset.spec.name == "cartpole-nd-1d-min"
    assert dataset.evaluate(learners=10, episodes=1).greedy.mean > 490


def test_a_function_can_be_the_teacher():
    def push(observation):
        return int(observation[2] + 0.5 * observation[3] + 0.1 * observation[1] > 0)

    dataset = imitate(push, gym.make("CartPoleND-v0", dims=1), QUICK)
    assert dataset.spec.provenance["imitation"]["teacher"] == "push"
    assert dataset.evaluate(learners=10, episodes=1).greedy.mean > 400


def test_a_seed_repeats(tmp_path):
    def push(observation):
        return int(observation[2] + 0.5 * observation[3] > 0)

    env, state = gym.make("CartPoleND-v0", dims=1), torch.get_rng_state()
    one, two = (imitate(push, env, QUICK) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one.targets, two.targets)
    assert torch.equal(one.observations, two.observations)


@pytest.mark.slow
def test_ppo_of_sb3_keeps_its_return_in_one_row_more_than_axes(tmp_path):
    env = gym.make("CartPoleND-v0", dims=2)
    # Learned where it is quick: on the distilled id.
    bandit = gym.make("DistilledCartPoleND-v0", dims=2)
    model = sb3.PPO("MlpPolicy", bandit, seed=0, device="cpu").learn(20_000)
    dataset = imitate(model, env, ImitationSettings(instances=3))
    record = dataset.spec.provenance["imitation"]
    assert record["teacher_return"] > 400
    assert len(dataset) == 3
    assert record["share"] >= 0.95


@pytest.mark.slow
def test_rows_are_learned_where_a_linear_policy_is_not_enough():
    class Energetic:
        """Swings a pendulum up by its energy, which no linear policy does."""

        def predict(self, observation):
            cos, sin, speed = observation
            energy = 0.5 * speed**2 + 10 * (cos - 1)
            swing = -np.sign(speed * energy) * 2.0
            torque = -10 * sin - 3 * speed if cos > 0.9 else swing
            return np.array([np.clip(torque, -2, 2)], dtype=np.float32)

    dataset = imitate(Energetic(), "Pendulum-v1", ImitationSettings(visits=400, episodes=4))
    record = dataset.spec.provenance["imitation"]
    assert record["share"] < 0.95
    assert record["return"] < record["teacher_return"] < 0


class Crossed(gym.Env):
    """The reward is whether the action has the sign of a product, which no linear policy has."""

    observation_space = gym.spaces.Box(-3, 3, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    low = -0.5

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._steps, self._seen = 0, self.np_random.normal(size=2).clip(-3, 3)
        return self._seen.astype(np.float32), {}

    def step(self, action):
        good = bool(action) == bool(self._seen.prod() > 0)
        self._steps, self._seen = self._steps + 1, self.np_random.normal(size=2).clip(-3, 3)
        seen = self._seen.astype(np.float32)
        return seen, 1.0 if good else -1.5, self._steps == 20, False, {}


class Endless(Crossed):
    def step(self, action):
        return *super().step(action)[:2], False, False, {}


@pytest.fixture
def strange(monkeypatch):
    """Ids of environments in a module that can be named."""
    module = types.SimpleNamespace(Crossed=Crossed, Endless=Endless)
    monkeypatch.setitem(sys.modules, "strange_envs", module)
    gym.register("Crossed-v0", entry_point="strange_envs:Crossed")
    gym.register("Endless-v0", entry_point="strange_envs:Endless")
    gym.register("Nameless-v0", entry_point=Crossed, max_episode_steps=20)
    yield
    for name in ("Crossed-v0", "Endless-v0", "Nameless-v0"):
        gym.registry.pop(name)


def cross(observation):
    return observation[0] * observation[1] > 0  # a bool, as people write it


def test_rows_are_learned_where_networks_lose_what_the_teacher_gets(strange, monkeypatch):
    asked = []

    def learned(states, *arguments, **keywords):
        asked.append(len(states))
        settings = dataclasses.replace(arguments[5], steps=20)
        return learn_rows(states, *arguments[:5], settings, **keywords)

    monkeypatch.setattr(policy_distillation, "learn_rows", learned)
    dataset = imitate(cross, "Crossed-v0", QUICK, progress=False)
    record = dataset.spec.provenance["imitation"]
    assert record["teacher_return"] == 20
    assert record["return"] < 10
    assert len(asked) == 1


def test_an_encoder_follows_what_no_linear_policy_does(
    strange, monkeypatch, tmp_path, imitation_steps
):
    imitation_steps(400)
    settings = dataclasses.replace(QUICK, visits=2_000, encoder=(32, 32), rounds=2, instances=8)
    dataset = imitate(cross, "Crossed-v0", settings, progress=False)
    record = dataset.spec.provenance["imitation"]
    assert (record["by"], record["teacher_return"]) == ("encoder", 20)
    assert record["return"] > 15
    assert dataset.spec.name == "crossed-encoder"
    assert (len(dataset), dataset.spec.learner.encoder_level) == (8, 2)
    # Kept as files, and behind a learner of one's own.
    dataset.save(tmp_path / "kept")
    kept = load_distilled(tmp_path / "kept")
    policy = kept.train(kept.initialize(kept.with_encoder(torch.nn.Linear(32, 2))))
    assert not any(p.requires_grad for p in policy.encoder.parameters())
    assert kept.evaluate(policy, episodes=10).greedy.mean > 15
    assert kept.evaluate(learners=10, episodes=1).greedy.mean > 15
    with pytest.raises(SettingsError, match=r"layers \(32, 32\) behind an encoder of level 2"):
        kept.evaluate(learner=LearnerSpec(), learners=2)
    with pytest.raises(PolicyError, match="has no place for it"):
        kept.train(torch.nn.Linear(2, 2))
    # Any network learns it from what learners answer where they play.
    plain = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.ReLU(), torch.nn.Linear(64, 2))
    pairs = kept.expand(2_000)
    assert pairs.spec.provenance["expansion"]["source"] == "play"
    kept.fit(plain, pairs)
    assert kept.evaluate(plain, episodes=10).greedy.mean > 15


def relu(*sizes: int) -> torch.nn.Sequential:
    layers = [torch.nn.Linear(*pair) for pair in itertools.pairwise(sizes)]
    return torch.nn.Sequential(*[m for each in layers for m in (each, torch.nn.ReLU())][:-1])


def test_wide_networks_follow_what_no_linear_policy_does(
    strange, monkeypatch, tmp_path, imitation_steps
):
    imitation_steps(400)
    settings = dataclasses.replace(QUICK, visits=2_000, width=256, rounds=1, instances=8)
    dataset = imitate(cross, "Crossed-v0", settings, progress=False)
    record = dataset.spec.provenance["imitation"]
    assert (record["by"], record["teacher_return"]) == ("wide learners", 20)
    assert record["return"] > 15
    assert dataset.spec.name == "crossed-wide"
    assert (len(dataset), dataset.spec.learner.hidden_sizes) == (8, (256,))
    assert dataset.encoder is None
    dataset.save(tmp_path / "kept")
    kept = load_distilled(tmp_path / "kept")
    assert kept.evaluate(learners=10, episodes=1).greedy.mean > 15
    # Networks of one's own: wide ones of ReLU learn in one step, others are told.
    wide = kept.initialize(relu(2, 512, 2))
    assert kept.diagnose(wide).learns
    assert kept.evaluate(kept.train(wide), episodes=10).greedy.mean > 15
    usual = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.Tanh(), torch.nn.Linear(64, 2))
    assert not kept.diagnose(kept.initialize(usual)).learns
    # Any network learns it in more than one.
    kept.fit(plain := relu(2, 64, 64, 2))
    assert kept.evaluate(plain, episodes=10).greedy.mean > 15
    # Models of Stable-Baselines3 are made to fit.
    env = kept.make_env()
    model = sb3.PPO("MlpPolicy", env, policy_kwargs=kept.sb3_policy_kwargs(), seed=0, device="cpu")
    assert kept.evaluate(kept.train(model), episodes=10).greedy.mean > 15


def test_episodes_that_nothing_ends_are_cut(strange, monkeypatch):
    monkeypatch.setattr("distilled_envs.envs.making.UNLIMITED", 50)
    made = imitate(cross, "Endless-v0", QUICK)
    assert made.spec.env.max_episode_steps is None
    got = made.evaluate(learners=3, episodes=2)
    assert np.isfinite(got.greedy.mean) and got.greedy.returns.shape == (3, 2)
    # A limit beyond all reason is none either.
    monkeypatch.setattr("distilled_envs.envs.making.LONGEST", 20)
    endless = dataclasses.replace(made.spec.env, max_episode_steps=10**9)
    made.spec = made.spec.replace(env=endless)
    assert (made.evaluate(learners=3, episodes=2).greedy.returns != got.greedy.returns).any()


def test_environments_that_no_dataset_can_name_are_refused(strange):
    with pytest.raises(SettingsError, match="registered with a function or class"):
        imitate(cross, "Nameless-v0", QUICK)
    wrapped = gym.wrappers.TransformReward(gym.make("Crossed-v0"), lambda reward: 2 * reward)
    with pytest.raises(SettingsError, match="can't name the wrappers around Crossed-v0"):
        imitate(cross, wrapped, QUICK)
    with pytest.raises(SettingsError, match=r"must be an id, an EnvSpec, .* got int"):
        imitate(cross, 3, QUICK)
    drawn = gym.make("CartPoleND-v0", dims=2, render_mode="rgb_array")
    assert "render_mode" not in imitate(balancing(), drawn, QUICK).spec.env.kwargs


def test_coordinates_beyond_a_networks_width_are_left_out():
    seen = torch.randn(500, 80)
    weights = torch.zeros(2, 80)
    weights[:, :3] = 1
    task = TaskSpec("gaussian", (80,), 2)
    box = gym.spaces.Box(-9, 9, (80,))
    world = World(None, task, box, gym.spaces.Box(-1, 1, (2,)))
    teacher = Teacher("one", lambda raw: (raw @ weights.T).tanh())
    shown = Shown(
        teacher, world, ImitationSettings(rounds=0), seen, teacher.answer(seen), np.zeros(0)
    )
    policy = policy_distillation._followed(shown, None)
    used = policy.weights.abs().amax(0) > 0
    assert used.sum() == 64
    assert used[:3].all()


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="Name the environment"):
        imitate(balancing())
    with pytest.raises(SettingsError, match="NoSuch-v0 can't be made"):
        imitate(balancing(), "NoSuch-v0")
    with pytest.raises(PolicyError, match="ALE/Pong-v5 shows frames, and a linear policy sees"):
        imitate(balancing(), "ALE/Pong-v5")
    with pytest.raises(SettingsError, match="ALE/Pong-v5 shows frames, whose learners are CNNs"):
        imitate(balancing(), "ALE/Pong-v5", ImitationSettings(width=64))
    with pytest.raises(SettingsError, match="CartPole-v1 shows no frames: leave out encoder_level"):
        imitate(balancing(), "CartPole-v1", ImitationSettings(encoder_level=3))
    with pytest.raises(PolicyError, match="needs"):
        imitate(balancing(3), gym.make("CartPoleND-v0", dims=2))
    for wrong, sentence in (
        ({"width": 0}, r"width must lie in 1\.\.16384, got 0"),
        ({"width": 64.0}, r"got 64\.0"),
        ({"width": 64, "encoder": (32,)}, "only one of the two"),
        ({"width": 64, "episodes": 0}, "learn from play"),
        ({"encoder": (32,), "episodes": 0}, "learn from play"),
        ({"encoder": (0,)}, "encoder must be a tuple"),
    ):
        with pytest.raises(SettingsError, match=sentence):
            ImitationSettings(**wrong)


def test_imitate_command(tmp_path, capsys):
    policy = balancing()
    np.savez(tmp_path / "policy.npz", W=policy.weights.numpy())
    command = [
        "imitate",
        str(tmp_path / "policy.npz"),
        "--env=CartPoleND-v0",
        "--dims=2",
        "--learners=4",
        "--visits=200",
        "--episodes=4",
        f"--output={tmp_path / 'made'}",
    ]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "3 rows by closed form" in printed
    assert "100% of it" in printed
    made = DistilledDataset.load(tmp_path / "made")
    assert made.spec.provenance["command"].startswith("distilled-envs imitate ")
    assert made.spec.evaluation["one_step"]["greedy"]["mean"] == 500
    assert main(command) == 1  # the folder exists
    assert "exists already" in capsys.readouterr().err
    assert main([*command[:2], f"--output={tmp_path / 'other'}"]) == 1
    assert "Name the environment" in capsys.readouterr().err
    for name, sentence in (("CartPole-v1", "can't be made"), ("Nope-v0", "can't be made")):
        wrong = [*command[:2], f"--env={name}", "--dims=2", f"--output={tmp_path / 'other'}"]
        assert main(wrong) == 1
        assert sentence in capsys.readouterr().err


def test_imitate_command_without_playing(tmp_path, capsys):
    policy = balancing()
    np.savez(tmp_path / "p.npz", W=policy.weights, mean=np.zeros(8), std=np.full(8, 0.1))
    command = ["imitate", str(tmp_path / "p.npz"), "--env=CartPoleND-v0", "--episodes=0"]
    assert main([*command, "--learners=2", f"--output={tmp_path / 'made'}"]) == 0
    assert "3 rows by closed form.\n" in capsys.readouterr().out
    assert DistilledDataset.load(tmp_path / "made").spec.name == "cartpole-nd-2d-min"
