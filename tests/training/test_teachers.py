import base64
import json
import pickle
import sys
import types
import zipfile

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3 as sb3
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from distilled_envs import load_distilled
from distilled_envs.errors import DatasetError, HubError, PolicyError
from distilled_envs.spec import TaskSpec
from distilled_envs.training.linear_policy import LinearPolicy
from distilled_envs.training.teacher_sources import load_teacher_policy
from distilled_envs.training.teachers import CHOICE, as_teacher
from distilled_envs.training.world import world_of

CARTPOLE = TaskSpec("categorical", (8,), 4)
PENDULUM = TaskSpec("gaussian", (3,), 1)


@pytest.fixture(scope="module")
def cartpole():
    return gym.make("CartPoleND-v0", dims=2)


@pytest.fixture(scope="module")
def pendulum():
    return gym.make("Pendulum-v1")


def teach(policy, env):
    return as_teacher(policy, world_of(env.spec.id, env.spec.kwargs))


def seen(env, count=6):
    env.observation_space.seed(0)
    return torch.randn(count, *env.observation_space.shape, generator=torch.Generator()) * 0.1


@pytest.mark.parametrize("kind", [sb3.PPO, sb3.A2C, sb3_contrib.TRPO])
def test_actor_critics_answer_with_logits(kind, cartpole):
    model = kind("MlpPolicy", cartpole, seed=0, device="cpu")
    observations = seen(cartpole)
    answers = teach(model, cartpole).answer(observations)
    logits = model.policy.get_distribution(observations).distribution.logits
    assert torch.allclose(answers.log_softmax(1), logits, atol=1e-5)


@pytest.mark.parametrize("kind", [sb3.DQN, sb3_contrib.QRDQN])
def test_values_answer_with_their_choice(kind, cartpole):
    model = kind("MlpPolicy", cartpole, seed=0, device="cpu", buffer_size=10)
    observations = seen(cartpole)
    answers = teach(model, cartpole).answer(observations)
    chosen, _ = model.predict(observations.numpy(), deterministic=True)
    assert answers.argmax(1).tolist() == chosen.tolist()
    assert answers.unique().tolist() == [0, CHOICE]


@pytest.mark.parametrize("kind", [sb3.SAC, sb3_contrib.TQC, sb3.TD3, sb3.DDPG])
def test_squashed_means_answer_in_units_of_the_box(kind, pendulum):
    model = kind("MlpPolicy", pendulum, seed=0, device="cpu", buffer_size=10)
    observations = seen(pendulum)
    answers = teach(model, pendulum).answer(observations)
    acted, _ = model.predict(observations.numpy(), deterministic=True)
    assert np.allclose(answers.numpy(), acted, atol=1e-5)


def test_actions_in_other_bounds_are_refused(pendulum):
    rescaled = gym.wrappers.RescaleAction(pendulum, -1.0, 1.0)
    model = sb3.SAC("MlpPolicy", rescaled, seed=0, device="cpu", buffer_size=10)
    with pytest.raises(PolicyError, match=r"has the actions Box\(-1"):
        teach(model, pendulum)


def test_ppo_answers_with_means_and_has_deviations(pendulum):
    model = sb3.PPO("MlpPolicy", pendulum, seed=0, device="cpu")
    with torch.no_grad():
        model.policy.log_std.fill_(-0.7)
    teacher = teach(model, pendulum)
    assert teacher.log_std == pytest.approx((-0.7,))
    acted, _ = model.predict(seen(pendulum).numpy(), deterministic=True)
    assert np.allclose(teacher.answer(seen(pendulum)).clamp(-2, 2).numpy(), acted, atol=1e-5)


def test_what_only_acts_is_asked_one_observation_at_a_time(cartpole, pendulum):
    shapes = []

    def push(observation):
        shapes.append((observation.shape, observation.dtype))
        return int(observation[0] > 0)

    class Still:
        def predict(self, observation, deterministic=True):
            return np.zeros(1), None

    observations = seen(cartpole)
    answers = teach(push, cartpole).answer(observations)
    assert answers.argmax(1).tolist() == (observations[:, 0] > 0).long().tolist()
    assert set(shapes) == {((8,), np.dtype("float32"))}
    assert teach(Still(), pendulum).answer(seen(pendulum)).tolist() == [[0.0]] * 6
    ars = sb3_contrib.ARS("LinearPolicy", pendulum, seed=0, device="cpu")
    acted, _ = ars.predict(seen(pendulum).numpy(), deterministic=True)
    assert np.allclose(teach(ars, pendulum).answer(seen(pendulum)).numpy(), acted, atol=1e-5)


def test_functions_act_as_people_write_them(cartpole, pendulum):
    two = gym.make("CartPoleND-v0", dims=1)
    for push in (lambda seen: seen[0] > 0, lambda seen: np.int32(seen[0] > 0)):
        answers = teach(push, two).answer(seen(two))
        assert answers.argmax(1).tolist() == (seen(two)[:, 0] > 0).long().tolist()
    answers = teach(lambda seen: 0.5, pendulum).answer(seen(pendulum))
    assert answers.tolist() == [[0.5]] * 6

    def wrong(observation):
        return "left"

    with pytest.raises(PolicyError, match=r"wrong\.predict must give actions"):
        teach(wrong, cartpole).answer(seen(cartpole))


def test_values_are_asked_without_a_change_of_the_model(cartpole):
    model = sb3.DQN("MlpPolicy", cartpole, seed=0, device="cpu", buffer_size=10)
    model.policy.set_training_mode(True)
    teach(model, cartpole).answer(seen(cartpole))
    assert model.q_net.training


def test_a_module_and_a_dataset_answer_with_their_outputs(cartpole):
    module = nn.Linear(8, 4)
    assert torch.allclose(teach(module, cartpole).answer(seen(cartpole)), module(seen(cartpole)))
    dataset = load_distilled("cartpole_2d", instances=3)
    answers = teach(dataset, cartpole).answer(seen(cartpole))
    assert answers.shape == (6, 4)
    assert teach(load_distilled("cartpole_2d_any"), cartpole).answer(seen(cartpole)).shape == (6, 4)


class Frames(gym.Env):
    observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)
    action_space = spaces.Discrete(4)


def spoiled(env):
    model = sb3.PPO("MlpPolicy", env, device="cpu")
    with torch.no_grad():
        model.policy.action_net.weight[0, 0] = torch.nan
    return model


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda env: LinearPolicy(torch.zeros(4, 9), torch.zeros(4)), "4 outputs, 8 inputs"),
        (lambda env: nn.Linear(8, 5), r"outputs of shape \(2, 5\)"),
        (lambda env: nn.Linear(7, 4), "does not take"),
        (lambda env: load_distilled("hopper"), "another task than CartPoleND-v0"),
        (lambda env: sb3.PPO("MlpPolicy", gym.make("CartPoleND-v0", dims=3)), "sees observations"),
        (lambda env: sb3.PPO("MlpPolicy", "Pendulum-v1"), "sees observations"),
        (lambda env: sb3.PPO("CnnPolicy", Frames(), n_steps=2), "sees observations"),
        (lambda env: sb3_contrib.RecurrentPPO("MlpLstmPolicy", env), "is recurrent"),
        (lambda env: load_distilled("cartpole_3d"), "another task"),
        (spoiled, "aren't finite, in action_net.weight"),
        (lambda env: 3, "A teacher is a linear policy, .*, got int"),
    ],
)
def test_bad_teachers_get_one_sentence(make, sentence, cartpole):
    with pytest.raises(PolicyError, match=sentence):
        teach(make(cartpole), cartpole)


@pytest.mark.parametrize("kind", [sb3.PPO, sb3.DQN])
def test_models_see_through_their_environments_normalization(kind, cartpole):
    around = VecNormalize(DummyVecEnv([lambda: gym.make("CartPoleND-v0", dims=2)]))
    around.obs_rms.mean, around.obs_rms.var = np.full(8, 0.1), np.full(8, 0.04)
    model = kind("MlpPolicy", around, seed=0, device="cpu")
    raw = seen(cartpole)
    normalized = ((raw - 0.1) / 0.2).clamp(-10, 10)
    expected = model.predict(normalized.numpy(), deterministic=True)[0]
    assert (teach(model, cartpole).answer(raw).argmax(1).numpy() == expected).all()


@pytest.mark.parametrize(
    "kind", [sb3.PPO, sb3.A2C, sb3.DQN, sb3_contrib.TRPO, sb3_contrib.QRDQN, sb3_contrib.ARS]
)
def test_models_are_read_from_their_zips(kind, tmp_path, cartpole):
    policy = "LinearPolicy" if kind is sb3_contrib.ARS else "MlpPolicy"
    model = kind(policy, cartpole, seed=0, device="cpu")
    model.save(tmp_path / "model.zip")
    loaded = load_teacher_policy(tmp_path / "model.zip")
    assert type(loaded) is kind
    loaded.num_timesteps = 128
    assert teach(loaded, cartpole).made == {"env_steps": 128}
    observations = seen(cartpole).numpy()
    expected = model.predict(observations, deterministic=True)[0]
    assert (loaded.predict(observations, deterministic=True)[0] == expected).all()


def test_models_from_before_gymnasium_take_the_environments_spaces(tmp_path, monkeypatch):
    """Their spaces are classes of the package ``gym``, as in most of the Hub's models."""
    model = sb3.SAC("MlpPolicy", "Pendulum-v1", device="cpu", seed=0)
    model.save(tmp_path / "now.zip")
    old = types.ModuleType("gym")
    old.Box = type("Box", (), {"__module__": "gym", "__qualname__": "Box"})
    with monkeypatch.context() as before:
        before.setitem(sys.modules, "gym", old)
        space = base64.b64encode(pickle.dumps(old.Box())).decode()
    with (
        zipfile.ZipFile(tmp_path / "now.zip") as now,
        zipfile.ZipFile(tmp_path / "old.zip", "w") as archive,
    ):
        data = json.loads(now.read("data"))
        for name in ("observation_space", "action_space"):
            data[name] = {":type:": "<class 'gym.Box'>", ":serialized:": space}
        for name in now.namelist():
            archive.writestr(name, json.dumps(data) if name == "data" else now.read(name))
    with pytest.raises(PolicyError, match="No module named 'gym'"):
        load_teacher_policy(tmp_path / "old.zip")
    loaded = load_teacher_policy(tmp_path / "old.zip", world_of("Pendulum-v1"))
    observation = np.array([0.6, 0.8, 1.0], dtype=np.float32)
    expected = model.predict(observation, deterministic=True)[0]
    assert loaded.predict(observation, deterministic=True)[0] == expected


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


def test_other_files_are_refused_and_not_unpickled(tmp_path):
    with pytest.raises(PolicyError, match="There is no file"):
        load_teacher_policy(tmp_path / "none.zip")
    (tmp_path / "text.zip").write_text("no zip")
    (tmp_path / "bomb.zip").write_bytes(pickle.dumps(Bomb()))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("other", "1")
    with zipfile.ZipFile(tmp_path / "strange.zip", "w") as archive:
        archive.writestr("data", '{"policy_class": {"__module__": "my.policies"}}')
    for name in ("text", "bomb", "empty"):
        with pytest.raises(PolicyError, match="no model of Stable-Baselines3"):
            load_teacher_policy(tmp_path / f"{name}.zip")
    with pytest.raises(PolicyError, match="of no algorithm known here"):
        load_teacher_policy(tmp_path / "strange.zip")
    with zipfile.ZipFile(tmp_path / "broken.zip", "w") as archive:
        archive.writestr(
            "data", '{"policy_class": {"__module__": "stable_baselines3.sac.policies"}}'
        )
    with pytest.raises(PolicyError, match="can't be loaded as a model of SAC"):
        load_teacher_policy(tmp_path / "broken.zip")


def test_functions_and_datasets_have_names(tmp_path, monkeypatch):
    (tmp_path / "my_policies.py").write_text("def push(observation):\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_teacher_policy("my_policies:push")(None) == 1
    for name in ("my_policies:pull", "no_policies:push"):
        with pytest.raises(PolicyError, match="There is no"):
            load_teacher_policy(name)
    assert load_teacher_policy("cartpole_2d").spec.name == "cartpole-nd-2d-64"
    with pytest.raises(DatasetError):
        load_teacher_policy("nothing")


class Info:
    """What the Hub says of a model repo."""

    sha = "abc"

    def __init__(self, *files):
        self.siblings = [type("Sibling", (), {"rfilename": name}) for name in files]


def test_models_come_from_the_hub_with_a_warning(tmp_path, monkeypatch, cartpole):
    from distilled_envs.hub import models

    sb3.PPO("MlpPolicy", cartpole, seed=0, device="cpu").save(tmp_path / "ppo.zip")
    asked = []

    def no_dataset(source):
        raise HubError(f"There is no dataset {source} on the Hub.")

    def fetched(repo_id, file, revision):
        asked.append((repo_id, file, revision))
        return str(tmp_path / "ppo.zip")

    monkeypatch.setattr("distilled_envs.training.teacher_sources.load_distilled", no_dataset)
    monkeypatch.setattr(models, "hf_hub_download", fetched)
    found = Info("README.md", "ppo-CartPole.zip", "replay.mp4")
    monkeypatch.setattr(models.HfApi, "model_info", lambda self, repo, timeout: found)
    with pytest.warns(UserWarning, match="a pickle can run any code"):
        loaded = load_teacher_policy("ada/ppo-CartPole")
    assert isinstance(loaded, sb3.PPO)
    assert asked == [("ada/ppo-CartPole", "ppo-CartPole.zip", "abc")]
    found = Info("a.zip", "b.zip")
    with pytest.raises(HubError, match=r"no dataset .* must hold one \.zip .* a\.zip, b\.zip"):
        load_teacher_policy("ada/two")
    assert len(asked) == 1
