"""Environments of one's own: spaces, arguments, modules and time limits, from run to dataset."""

import dataclasses
import logging
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common import vec_env as sb3_vec
from torch import nn

from distilled_envs import load_distilled
from distilled_envs.cli import main
from distilled_envs.distilled_env import DistilledEnv
from distilled_envs.envs.registering import import_module
from distilled_envs.errors import DatasetError, PolicyError, SettingsError
from distilled_envs.training import ImitationSettings, distill, for_environment, imitate
from distilled_envs.training.backends import checked_world
from distilled_envs.training.teachers import as_teacher
from distilled_envs.training.world import task_of, vector_world_of, world_of

MODULE = '''
import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Guess(gym.Env):
    """Pays for each of two choices that is what a dictionary shows."""

    observation_space = spaces.Dict(
        one=spaces.Discrete(3), other=spaces.MultiBinary(2)
    )
    action_space = spaces.MultiDiscrete([3, 4])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._shown(), {}

    def _shown(self):
        self.wanted = self.np_random.integers([3, 4])
        one, other = map(int, self.wanted)
        bits = np.array([other // 2, other % 2], dtype=np.int8)
        return {"one": np.int64(one), "other": bits}

    def step(self, action):
        assert self.action_space.contains(action)
        reward = float((action == self.wanted).sum())
        return self._shown(), reward, False, False, {}


class Signs(gym.Env):
    """Pays for the one of -1, 0 and 1 that it shows as 2, 3 or 4."""

    observation_space = spaces.Discrete(3, start=2)
    action_space = spaces.Discrete(3, start=-1)

    def __init__(self, pay=1.0):
        self.pay = pay

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.wanted = int(self.np_random.integers(3))
        return self.wanted + 2, {}

    def step(self, action):
        assert self.action_space.contains(action)
        reward = self.pay * float(action == self.wanted - 1)
        self.wanted = int(self.np_random.integers(3))
        return self.wanted + 2, reward, False, False, {}


class Pictures(gym.Env):
    """A bright left or right half; pays for telling which."""

    observation_space = spaces.Box(0, 255, (72, 96, 3), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._shown(), {}

    def _shown(self):
        self.side = int(self.np_random.integers(2))
        picture = np.zeros((72, 96, 3), np.uint8)
        picture[:, 48 * self.side : 48 * self.side + 48] = 200
        return picture

    def step(self, action):
        reward = float(action == self.side)
        self.steps += 1
        return self._shown(), reward, self.steps == 10, False, {}


class Whole(Pictures):
    """Shows whole numbers."""

    observation_space = spaces.Box(0, 9, (5,), np.int64)

    def _shown(self):
        self.side = int(self.np_random.integers(2))
        return np.full(5, self.side)


gym.register("Whole-v0", "envs_of_mine:Whole")
gym.register("Guess-v0", "envs_of_mine:Guess", max_episode_steps=20)
gym.register("Signs-v0", "envs_of_mine:Signs")
gym.register("Pictures-v0", "envs_of_mine:Pictures")
gym.register("Nameless-v1", Guess, max_episode_steps=20)
'''
IDS = ("Whole-v0", "Guess-v0", "Signs-v0", "Pictures-v0", "Nameless-v1")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder with a module that registers environments, which nothing has imported yet."""
    (tmp_path / "envs_of_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    forget()


def forget():
    """As in a new process."""
    sys.modules.pop("envs_of_mine", None)
    for name in IDS:
        gym.registry.pop(name, None)


def quick(env_id, **changes):
    usual = {"total_steps": 60_000, "eval_learners": 4, "threads": 1, "use_envpool": False}
    return dataclasses.replace(for_environment(env_id), **(usual | changes))


def test_a_dictionary_and_two_choices_from_run_to_training(mine, monkeypatch):
    dataset = distill(quick("envs_of_mine:Guess-v0"), mine / "run", progress=False)
    spec = dataset.spec
    assert (spec.name, spec.task.choices, spec.preprocessing) == ("guess-64", (3, 4), "flatten")
    assert spec.evaluation["one_step"]["greedy"]["mean"] > 32  # of 40; guessing gets 12
    # Another process loads it, and is told what to import.
    forget()
    loaded = load_distilled(mine / "run" / "dataset")
    assert loaded.spec == spec
    with pytest.raises(DatasetError, match=r"import envs_of_mine first \(and call"):
        loaded.make_env()
    monkeypatch.syspath_prepend(mine)
    world_of("envs_of_mine:Guess-v0")
    assert loaded.evaluate(learners=4, episodes=2).greedy.mean > 32
    env = loaded.make_env()
    assert env.observation_space == spec.spaces.observation
    assert env.action_space == spec.spaces.action
    # Other networks learn it, also those that need to be fitted.
    policy = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 7))
    loaded.fit(policy, progress=False)
    assert loaded.evaluate(policy, episodes=10).greedy.mean > 32
    with pytest.raises(PolicyError, match="7 outputs"):
        loaded.train(nn.Linear(5, 6))


def test_the_drop_in_id_pays_for_each_choice(mine):
    dataset = imitate(answers, "envs_of_mine:Guess-v0", progress=False)
    assert dataset.spec.provenance["imitation"]["share"] > 0.95
    bandit = DistilledEnv(dataset, expand=0)
    assert bandit.action_space == spaces.MultiDiscrete([3, 4])
    _, info = bandit.reset(options={"index": 0})
    parts = np.split(info["target"], [3])
    best = np.array([part.argmax() for part in parts])
    assert bandit.step(best)[1] == pytest.approx(0)
    bandit.reset(options={"index": 0})
    worst = np.array([part.argmin() for part in parts])
    lost = np.mean([part.max() - part.min() for part in parts])
    assert bandit.step(worst)[1] == pytest.approx(-lost, rel=1e-5)


def answers(seen):
    """What Guess pays for."""
    return np.array([seen["one"], 2 * seen["other"][0] + seen["other"][1]])


def test_stable_baselines_policies_of_two_choices_learn_in_one_step(
    mine, monkeypatch, imitation_steps
):
    ppo = pytest.importorskip("stable_baselines3").PPO
    dataset = imitate(answers, "envs_of_mine:Guess-v0", progress=False)
    model = ppo("MlpPolicy", dataset.make_env(), seed=0)
    dataset.train(model)
    assert dataset.evaluate(model, episodes=10).greedy.mean > 35
    # A teacher that is asked at vectors which the environment never shows answers to the nearest.
    hidden = ImitationSettings(encoder=(32,), rounds=0, episodes=4)
    imitation_steps(3)
    encoded = imitate(answers, "envs_of_mine:Guess-v0", hidden, progress=False)
    assert encoded.spec.observation_transform.coordinates is None  # all five are looked at
    other = ppo("MlpPolicy", "CartPole-v1")
    with pytest.raises(PolicyError, match=r"needs MultiDiscrete\(\[3, 4\]\)"):
        dataset.train(other)


def test_models_that_were_trained_on_what_an_environment_shows_are_teachers(mine):
    ppo = pytest.importorskip("stable_baselines3").PPO
    world = world_of("envs_of_mine:Guess-v0")
    model = ppo("MultiInputPolicy", gym.make("Guess-v0"), seed=0, device="cpu")
    env = gym.make("Guess-v0")
    seen = [env.reset(seed=seed)[0] for seed in range(9)]
    taken = np.stack([model.predict(each, deterministic=True)[0] for each in seen])
    flat = np.stack([spaces.flatten(world.shown, each) for each in seen])
    given = as_teacher(model, world).answer(torch.from_numpy(flat).float())
    parts = [part.argmax(1).numpy() for part in given.split([3, 4], 1)]
    np.testing.assert_array_equal(np.stack(parts, 1), taken)
    with pytest.raises(PolicyError, match="sees observations"):
        as_teacher(ppo("MlpPolicy", "CartPole-v1"), world)
    remembering = pytest.importorskip("sb3_contrib").RecurrentPPO
    with pytest.raises(PolicyError, match="recurrent"):
        as_teacher(remembering("MultiInputLstmPolicy", gym.make("Guess-v0")), world)
    whole = sb3_vec.VecNormalize(sb3_vec.DummyVecEnv([lambda: gym.make("Whole-v0")]))
    with pytest.raises(PolicyError, match="only vectors are normalized"):
        as_teacher(ppo("MlpPolicy", whole), world_of("Whole-v0"))


def test_actions_that_start_below_zero_arguments_and_a_time_limit(mine, caplog):
    settings = quick(
        "envs_of_mine:Signs-v0", env_kwargs={"pay": 2.0}, max_episode_steps=30, total_steps=40_000
    )
    dataset = distill(settings, mine / "run", progress=False)
    assert dataset.spec.evaluation["one_step"]["greedy"]["mean"] > 55  # of 60
    assert dataset.spec.env.kwargs == {"pay": 2.0}
    assert dataset.make_env().spec.max_episode_steps == 30
    teacher = imitate(lambda shown: shown - 3, dataset.spec.env, progress=False)
    assert teacher.spec.provenance["imitation"]["return"] > 55
    with caplog.at_level(logging.INFO, logger="distilled_envs"):
        checked_world(dataclasses.replace(settings, max_episode_steps=None))
    assert "Signs-v0 has no time limit" in caplog.text


def test_pictures_are_seen_by_cnns(mine, imitation_steps):
    settings = dataclasses.replace(
        for_environment("envs_of_mine:Pictures-v0"),
        total_steps=64,
        learners=2,
        envs_per_learner=1,
        horizon=16,
        minibatches=2,
        eval_learners=2,
        threads=1,
    )
    dataset = distill(settings, mine / "run", progress=False)
    assert dataset.spec.preprocessing == "frames"
    assert dataset.observations.shape == (4, 4, 84, 84)
    again = load_distilled(mine / "run" / "dataset")
    assert torch.equal(again.observations, dataset.observations)
    env = again.make_vec_env(2)
    assert env.reset(seed=0)[0].shape == (2, 4, 84, 84)
    with pytest.raises(SettingsError, match="Pictures-v0 shows frames, whose learners are CNNs"):
        imitate(lambda seen: 0, "envs_of_mine:Pictures-v0", ImitationSettings(width=64))
    with pytest.raises(SettingsError, match="Pictures-v0 shows frames, and the search is for pol"):
        vector_world_of("envs_of_mine:Pictures-v0")
    # A function of frames is imitated, too.
    imitation_steps(1)
    brief = ImitationSettings(rounds=0, visits=20, episodes=1)
    follows = imitate(lambda seen: 0, "envs_of_mine:Pictures-v0", brief, progress=False)
    assert (follows.spec.preprocessing, len(follows)) == ("frames", 16)


def test_classes_are_named_before_the_first_step(mine):
    world_of("envs_of_mine:Guess-v0")
    with pytest.raises(SettingsError, match='entry_point="module:Class"'):
        distill(quick("Nameless-v1"), mine / "run", progress=False)
    assert not (mine / "run").exists()


def test_in_a_shell_modules_are_imported_by_name(mine, capsys):
    line = "distill envs_of_mine:Signs-v0 --total-steps 9000 --eval-learners 2 --no-progress"
    arguments = [*line.split(), "--max-episode-steps", "20", "--env-kwargs", '{"pay": 3}']
    assert main([*arguments, "--output", "run"]) == 0
    spec = load_distilled("run/dataset").spec
    assert spec.env.kwargs == {"pay": 3}
    assert "--env-kwargs" in spec.provenance["command"]
    forget()
    assert main(["evaluate", "run/dataset", "--learners", "2"]) == 1
    assert "in a shell with --import envs_of_mine" in capsys.readouterr().err
    assert main(["evaluate", "run/dataset", "--learners", "2", "--import", "envs_of_mine"]) == 0
    assert main(["list", "--import=no_such_module"]) == 1
    assert "--import no_such_module: it can't be imported" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["distill", "envs_of_mine:Signs-v0", "--env-kwargs", "[1]"])
    assert "one JSON object" in capsys.readouterr().err


def test_teachers_keep_their_module_and_their_source(mine):
    dataset = imitate(answers, "envs_of_mine:Guess-v0", progress=False)
    assert dataset.spec.env_module == "envs_of_mine"
    again = imitate(dataset, progress=False)
    assert again.spec.env_module == "envs_of_mine"
    dataset.save(mine / "kept")
    named = imitate(str(mine / "kept"), progress=False)
    assert named.spec.provenance["teacher"]["name"].startswith("kept, sha256 ")
    forget()
    import_module("envs_of_mine")  # as --import does
    assert world_of("Guess-v0").module == "envs_of_mine"


def test_a_module_may_register_by_a_function(tmp_path, monkeypatch, recwarn):
    (tmp_path / "late_envs.py").write_text(
        "import gymnasium as gym\n"
        "from gymnasium.envs.classic_control import CartPoleEnv as Late\n"
        "def register_envs():\n"
        "    gym.register('Late-v0', entry_point='late_envs:Late', max_episode_steps=9)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    try:
        for _ in range(2):
            world = world_of("late_envs:Late-v0")
            assert (world.module, world.spec.max_episode_steps) == ("late_envs", 9)
        assert not recwarn.list  # of an id that is registered twice
    finally:
        gym.registry.pop("Late-v0", None)
        sys.modules.pop("late_envs", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"g": float("inf")}, "not JSON compliant"), ({"g": np.float32(9)}, "not JSON serializable")],
)
def test_arguments_that_no_file_holds_are_refused(arguments, message):
    with pytest.raises(SettingsError, match=message):
        world_of("Pendulum-v1", arguments)


def test_games_count_their_own_frames():
    with pytest.raises(SettingsError, match="max_num_frames_per_episode"):
        world_of("ALE/Pong-v5", max_episode_steps=50)


def test_ids_of_other_packages_are_hinted_at(capsys):
    with pytest.raises(SettingsError, match=r"name it as gymnasium_robotics:FetchReach-v4\."):
        world_of("FetchReach-v4")
    assert main(["distill", "MiniGrid-Empty-5x5-v0", "--output", "nowhere"]) == 1
    assert "minigrid:MiniGrid-Empty-5x5-v0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (spaces.Box(-np.inf, np.inf, (2,)), "have no bounds"),
        (spaces.Box(0, np.inf, (2,)), "have no bounds"),
        (spaces.Box(-1, 1, (2, 2)), "of one dimension"),
        (spaces.Box(0, 5, (2,), np.int64), "floating-point"),
        (spaces.Box(np.array([0.0, 1.0]), np.array([1.0, 1.0]), dtype=np.float64), "no room"),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), "of one dimension"),
        (spaces.MultiBinary(3), "MultiBinary"),
        (spaces.Dict(a=spaces.Discrete(2)), "Dict"),
    ],
)
def test_actions_that_rows_can_not_be_made_for(actions, message):
    with pytest.raises(SettingsError, match=message):
        task_of("Some-v0", (3,), actions)
