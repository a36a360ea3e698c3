import dataclasses
import importlib.util
import json
import logging
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from distilled_envs import catalog, load_distilled
from distilled_envs.catalog import entries, find
from distilled_envs.envs.registering import import_module
from distilled_envs.errors import DatasetError, HubError, SettingsError
from distilled_envs.learners.families import of_family
from distilled_envs.spec import LearnerSpec
from distilled_envs.training import PRESETS


def is_here(spec):
    """Whether the packages that an environment needs are installed."""
    if spec.env_module is not None:
        try:
            import_module(spec.env_module)
        except ImportError:
            return False
    return ".box2d" not in spec.env.entry_point or importlib.util.find_spec("Box2D") is not None


@pytest.mark.parametrize(
    ("name", "kwargs", "variant"),
    [
        ("cartpole", {}, "min"),
        ("cartpole", {"dims": 5}, "5d-64"),
        ("cartpole", {"instances": 64}, "2d-64"),
        ("CartPole-v1", {}, "min"),
        ("DistilledCartPole-v0", {}, "min"),
        ("pendulum", {}, "encoder"),  # there is no other
        ("MinAtar/Breakout-v1", {}, "encoder"),
        ("ALE/Breakout-v5", {}, "level4"),
        ("cartpole_2d", {}, "2d-64"),
        ("CartPole-2D", {"instances": 3}, "2d-min"),
        ("cartpole_nd", {}, "2d-64"),
        ("CartPoleND-v0", {"dims": 5}, "5d-64"),
        ("DistilledCartPoleND-v0", {"dims": 3, "instances": "min"}, "3d-min"),
        ("cartpole-nd-4d-min", {}, "4d-min"),
        ("cartpole_10d", {}, "10d-min"),
        ("cartpole_1d", {"dims": 1, "instances": 64}, "1d-64"),
        ("ale/Pong-v5", {"encoder_level": 3}, "level3"),
    ],
)
def test_names_lead_to_their_variant(name, kwargs, variant):
    assert find(name, **kwargs).variant == variant


def test_ids_with_a_namespace_are_no_repos():
    assert load_distilled("MinAtar/Breakout-v1").spec.name == "minatar-breakout-encoder"
    assert load_distilled("ALE/Breakout-v5").spec.name == "breakout-level4"


def test_every_bundled_dataset_loads_and_is_as_it_says(caplog):
    assert len(entries()) >= 10
    for entry in entries():
        with caplog.at_level(logging.INFO, logger="distilled_envs"):
            dataset = load_distilled(entry.spec.name)
        assert (dataset.spec.family, dataset.spec.variant) == (entry.family, entry.variant)
        assert dataset.spec.name == f"{entry.family}-{entry.variant}"
        assert len(dataset) == entry.instances
        assert dataset.source.kind == "bundled"
        assert caplog.messages[-1] == f"{entry.spec.name}: bundled {entry.family}/{entry.variant}"
        if is_here(entry.spec):
            dataset.make_env().close()
        space, actions = dataset.spec.spaces.observation, dataset.spec.spaces.action
        rows = dataset.observations.numpy().astype(space.dtype)
        assert all(space.contains(row) for row in rows)
        outputs = actions.n if dataset.spec.task.kind == "categorical" else actions.shape[0]
        assert dataset.targets.shape[1] == outputs
        provenance = dataset.spec.provenance
        verb = {"imitation": "imitate"}.get(provenance["algorithm"], "distill")
        commands = f"distilled-envs {verb} ", "python examples/encode_ppo.py "
        assert provenance["command"].startswith(commands)
        assert provenance["wall_seconds"] > 0
        settings = provenance["imitation" if verb == "imitate" else "settings"]
        assert provenance["seed"] == settings["seed"]
        assert len(provenance["git_revision"]) == 40


@pytest.mark.parametrize("dims", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("instances", ["min", 64])
def test_bundled_cartpoles_hold_their_promise(dims, instances):
    dataset = load_distilled("cartpole-nd", dims=dims, instances=instances)
    promised = dataset.spec.evaluation["one_step"]
    assert promised["sampled"]["mean"] >= 495
    assert promised["greedy"]["mean"] >= 498
    measured = dataset.evaluate(learners=20, episodes=1, seed=5)
    assert measured.sampled.mean >= 480
    assert measured.greedy.mean >= 490


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("family", ["orthogonal", "gains-1", "xavier", "pytorch"])
def test_datasets_for_any_initialization_hold_their_promise(dims, family):
    dataset = load_distilled(f"cartpole-nd-{dims}d-any")
    assert family in dataset.spec.families
    assert len(dataset) <= 64
    own = family == dataset.spec.families[0]
    promised = dataset.spec.evaluation["one_step" if own else f"one_step_{family}"]
    assert promised["greedy"]["mean"] >= 475
    learner = of_family(dataset.spec.learner, family)
    measured = dataset.evaluate(learner=learner, learners=20, episodes=1, seed=5)
    assert measured.greedy.mean >= 450


def test_nobody_gets_a_dataset_for_any_initialization_who_has_not_asked():
    assert find("cartpole_1d").variant == "1d-64"
    assert find("cartpole_1d_any").variant == "1d-any"
    with pytest.raises(DatasetError, match="no variant with instances=24"):
        find("cartpole_1d", instances=24)


def test_folders_are_read_as_they_are(tmp_path, monkeypatch):
    load_distilled("cartpole_2d").save(tmp_path / "mine")
    loaded = load_distilled(tmp_path / "mine")
    assert loaded.source.kind == "folder"
    assert torch.equal(loaded.targets, load_distilled("cartpole_2d").targets)
    with pytest.raises(SettingsError, match="leave out dims, instances, encoder_level"):
        load_distilled(tmp_path / "mine", dims=2)
    monkeypatch.chdir(tmp_path)
    assert load_distilled("mine").source.kind == "folder"
    with pytest.raises(HubError):
        load_distilled("ale/distilled-hopper")  # not a game
    (tmp_path / "cartpole_2d").mkdir()  # a stranger's folder does not hide the name
    assert load_distilled("cartpole_2d").source.kind == "bundled"
    with pytest.raises(DatasetError, match=r"distillation\.json is missing"):
        load_distilled("./cartpole_2d")
    with pytest.raises(DatasetError, match=r"There is no folder \./yours"):
        load_distilled("./yours")
    with pytest.raises(DatasetError, match=r"distillation\.json is missing"):
        load_distilled("./mine/../cartpole_2d")


@pytest.mark.parametrize("instances", ["64", "foo", 3.0])
def test_instances_are_a_number_or_min(instances):
    with pytest.raises(SettingsError, match="number of rows or 'min'"):
        load_distilled("cartpole_2d", instances=instances)


def test_whole_numbers_of_numpy_count_too():
    assert len(load_distilled("cartpole", dims=np.int64(2), instances=np.int64(3))) == 3
    with pytest.raises(SettingsError, match="dims must be a number of axes, got '2'"):
        load_distilled("cartpole", dims="2")


def test_of_as_many_rows_the_best_are_taken(monkeypatch):
    as_many = tuple(dataclasses.replace(entry) for entry in entries() if entry.family == "pong")
    monkeypatch.setattr(catalog, "count_rows", lambda *_: 4)
    monkeypatch.setattr(catalog, "entries", lambda: as_many)
    best = max(as_many, key=lambda entry: entry.score)
    assert find("pong", instances="min").spec.name == best.spec.name
    assert best.spec.name != as_many[0].spec.name


def test_one_action_whatever_is_seen_is_no_default(monkeypatch):
    found = [entry for entry in entries() if entry.family == "centipede"]
    assert len(found) > 1
    best = max(found, key=lambda entry: entry.score)
    changed = []
    for entry in found:
        record = entry.spec.evaluation
        actions = [0.01] * 17 + [0.83] if entry is not best else [0.0, 0.97, 0.03]
        record = record | {"one_step": record["one_step"] | {"actions": actions}}
        changed.append(dataclasses.replace(entry, spec=entry.spec.replace(evaluation=record)))
    monkeypatch.setattr(catalog, "entries", lambda: tuple(changed))
    taken = find("centipede")
    assert taken.spec.one_action is None
    assert taken.score < best.score
    # Who asks for its level gets it.
    own = find("centipede", encoder_level=best.spec.learner.encoder_level)
    assert own.spec.one_action == (1, 0.97)


def test_unknown_names_list_the_nearest():
    with pytest.raises(DatasetError, match="nearest: cartpole-nd"):
        load_distilled("cartpol_nd")
    with pytest.raises(DatasetError, match=r"there are acrobot, ant, .*, cartpole, cartpole-nd"):
        load_distilled("zzzzzz")
    with pytest.raises(DatasetError, match="of Hopper-v4: make one by `distilled-envs dist"):
        load_distilled("Hopper-v4")
    with pytest.raises(DatasetError, match=r"no variant with dims=2, instances=5; there are: .*2d"):
        load_distilled("cartpole_nd", dims=2, instances=5)


def test_specs_keep_the_protocol():
    for entry in entries():
        text = (entry.folder / "distillation.json").read_text()
        one_step = json.loads(text)["evaluation"]["one_step"]
        learners = 32 if entry.spec.preprocessing == "atari" else 100
        assert one_step["learners"] == learners
        episodes = 5 if entry.family == "cartpole-nd" else 1
        if entry.spec.provenance["algorithm"] != "automatic":  # more where returns differ by chance
            assert one_step["episodes"] == episodes
        assert one_step["seed"] != entry.spec.provenance["seed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("game", "promised", "of_four"),
    [
        ("pong", 19, 14),
        ("centipede", 12_000, 5_000),
        ("ms_pacman", 2500, 1200),
        ("space_invaders", 1000, 500),
        ("breakout", 150, 60),
    ],
)
def test_a_game_holds_its_promise(game, promised, of_four):
    dataset = load_distilled(game)
    assert dataset.spec.evaluation["one_step"]["sampled"]["mean"] >= promised
    # Nothing is won where a game stands still, and the emulator would wait for half an hour.
    dataset.spec.env.kwargs["max_num_frames_per_episode"] = 12_000
    assert dataset.evaluate(learners=4, episodes=1, seed=5).sampled.mean >= of_four


def test_every_family_is_a_gymnasium_environment():
    ids = {name.lower().replace("-", "") for name in gym.registry}
    for entry in entries():
        assert f"distilled{entry.family.replace('-', '')}v0" in ids, entry.family


MUJOCO = [entry for entry in entries() if ".mujoco." in entry.spec.env.entry_point]


def test_all_of_gymnasiums_mujoco_is_there():
    known = {
        spec.id
        for spec in gym.registry.values()
        if str(spec.entry_point).startswith("gymnasium.envs.mujoco") and spec.version == 5
    }
    assert len(known) == 11
    assert {entry.spec.env.id for entry in MUJOCO} == known
    assert {preset.env_id for preset in PRESETS.values()} >= known


@pytest.mark.parametrize("env_id", sorted({entry.spec.env.id for entry in MUJOCO}))
def test_an_environments_name_means_the_best_that_asks_for_nothing(env_id):
    best = find(env_id)
    assert best.spec.learner.encoder_level == 0
    for entry in MUJOCO:
        if entry.spec.env.id == env_id and not entry.must_be_named:
            assert best.score >= entry.least_score
        assert find(entry.spec.name) is entry


@pytest.mark.slow
@pytest.mark.parametrize("entry", MUJOCO, ids=lambda entry: entry.spec.name)
def test_bundled_mujoco_sets_teach_what_they_say(entry):
    dataset = load_distilled(entry.spec.name)
    promised = dataset.spec.evaluation["one_step"]["greedy"]
    measured = dataset.evaluate(learners=6, episodes=1, seed=5).greedy
    margin = 3 * promised["std"] / 6**0.5 + 0.05 * abs(promised["mean"])
    assert measured.mean >= promised["mean"] - margin
    untrained = dataset.evaluate(dataset.new_policy(seed=0), episodes=2).greedy
    assert measured.mean - untrained.mean > 0.2 * abs(untrained.mean)


@pytest.mark.parametrize("entry", MUJOCO, ids=lambda entry: entry.spec.name)
def test_mujoco_sets_are_environments_too(entry):
    env = gym.make(f"Distilled{entry.spec.env.name}-v0", dataset=entry.spec.name)
    real = load_distilled(entry.spec.name).make_env()
    assert env.observation_space == real.observation_space
    assert env.action_space == real.action_space
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unbounded observations, as for the real one
        check_env(env.unwrapped)
    env.reset(options={"index": 0})
    wanted = env.unwrapped.reset(options={"index": 0})[1]["target"]
    inside = np.clip(wanted, env.action_space.low, env.action_space.high)
    assert env.step(inside)[1] == 0
    assert env.unwrapped.step(0.5 * inside)[1] < 0
    rows = {"num_envs": entry.instances, "dataset": entry.spec.name}
    batch = gym.make_vec(f"Distilled{entry.spec.env.name}-v0", **rows)
    assert sorted(batch.reset()[1]["index"]) == list(range(entry.instances))


def test_sb3_takes_the_spread_of_a_gaussian_set_too():
    from stable_baselines3 import PPO

    dataset = load_distilled("invertedpendulum")
    model = dataset.train(PPO("MlpPolicy", dataset.make_env(), seed=0, device="cpu"))
    expected = torch.tensor(dataset.spec.task.target_log_std)
    torch.testing.assert_close(model.policy.log_std.detach(), expected)
    assert dataset.evaluate(model, episodes=5).greedy.mean > 900


@pytest.mark.parametrize("level", [-1, 5, 2.5])
def test_levels_outside_0_to_4_are_refused(level):
    with pytest.raises((SettingsError, DatasetError), match="encoder_level"):
        load_distilled("cartpole_2d", encoder_level=level)
    with pytest.raises(DatasetError, match=r"learner\.encoder_level"):
        LearnerSpec("nature-cnn", (512,), "relu", encoder_level=level)


def test_a_level_that_is_not_there_is_named():
    with pytest.raises(DatasetError, match="no variant with encoder_level=3"):
        load_distilled("cartpole_2d", encoder_level=3)
