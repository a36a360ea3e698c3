"""Players of games at half their size, and sets that are made of them."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

pytest.importorskip("ale_py")
pytest.importorskip("stable_baselines3")

from stable_baselines3 import DQN, PPO

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.atari import STICKY
from distilled_envs.envs.making import make
from distilled_envs.envs.preprocessing import make_vec, preprocess
from distilled_envs.learners.networks import has_weights
from distilled_envs.training import (
    AutomaticSettings,
    ImitationSettings,
    automatic,
    distill_any,
    imitate,
    playing,
    ppo_teacher,
)
from distilled_envs.training.constant_action import ConstantAction
from distilled_envs.training.half_frames import nature_cnn
from distilled_envs.training.ppo_teacher import GAMES, train_ppo
from distilled_envs.training.sb3_envs import teacher_envs
from distilled_envs.training.teachers import as_teacher
from distilled_envs.training.world import world_of

BREAKOUT = "ALE/Breakout-v5"
CUT = {"max_num_frames_per_episode": 400}
"""Of a game, for tests: a hundred steps."""


@pytest.fixture(scope="module")
def player(tmp_path_factory):
    """PPO after a rollout, with answers that differ from frame to frame."""
    few = dataclasses.replace(GAMES, copies=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ppo_teacher, "GAMES", few)
        where = tmp_path_factory.mktemp("ppo")
        model = train_ppo(world_of(BREAKOUT), 0.1, where, progress=False)
    with torch.no_grad():
        model.policy.action_net.weight.mul_(1000)
    return model


def frames(count: int = 64) -> torch.Tensor:
    """What a random player sees."""
    env = make_vec(world_of(BREAKOUT).spec, count, "atari")
    seen = [env.reset(seed=0)[0]]
    for step in range(40):
        seen.append(env.step(np.full(count, step % 4))[0])
    env.close()
    return torch.from_numpy(seen[-1])


def test_the_whole_cnn_answers_as_the_thin_one_at_half_the_size(player):
    seen = frames()
    halves = functional.avg_pool2d(seen.float(), 2) / 255
    with torch.no_grad():
        policy = player.policy
        expected = policy.action_net(policy.features_extractor(halves))
        found = nature_cnn(policy)(seen)
    assert expected.std(0).max() > 0.02
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_lost_life_ends_an_episode_and_a_game_has_one_return():
    env = teacher_envs(world_of(BREAKOUT), 8, seed=0)
    assert env.observation_space.shape == (4, 42, 42)
    shown = env.reset()
    assert shown.shape == (8, 4, 42, 42)
    rng = np.random.default_rng(0)
    ends, games, returns, own = 0, 0, np.zeros(8), []
    for _ in range(700):
        shown, rewards, ended, infos = env.step(rng.integers(4, size=8))
        returns += rewards
        for place in np.flatnonzero(ended):
            ends += 1
            last = infos[place]["terminal_observation"]
            over = "episode" in infos[place]
            # Where the game goes on, so do the frames.
            assert over or (last == shown[place]).all()
            if over:
                games += 1
                own.append((infos[place]["episode"]["r"], returns[place]))
                returns[place] = 0
        assert all(not info for info, end in zip(infos, ended, strict=True) if not end)
    env.close()
    assert games >= 16
    assert ends >= 4.5 * games  # five lives each
    assert all(told == counted for told, counted in own)


def test_half_of_the_copies_have_sticky_actions():
    both = teacher_envs(world_of("ALE/Pong-v5"), 5, seed=0)
    one, other = both._envs
    assert (one.num_envs, other.num_envs) == (3, 2)
    both.close()
    # From one seed the first plays as an ordinary game does, and the second otherwise.
    both = teacher_envs(world_of("ALE/Pong-v5"), 2, seed=0)
    usual = make_vec(world_of("ALE/Pong-v5").spec, 1, "atari", size=42)
    games = [*both._envs, usual]
    same = [0, 0]
    for each in games:
        each.reset(seed=7)
    for step in range(200):
        seen = [each.step(np.array([2 + step // 5 % 2]))[0] for each in games]
        for place in range(2):
            same[place] += np.array_equal(seen[place], seen[2])
    assert same[0] == 200
    assert same[1] < 150
    both.close()
    usual.close()


def test_a_player_of_half_frames_becomes_a_set(player, imitation_steps, monkeypatch, tmp_path):
    imitation_steps(150)
    monkeypatch.setattr(playing, "FRAMES_KEPT", 512)
    settings = ImitationSettings(rounds=1, visits=100, episodes=2, temperature=1.0)
    dataset = imitate(player, world_of(BREAKOUT, CUT), settings, progress=False)
    assert dataset.spec.name == "breakout-level4"
    assert dataset.observations.shape == (16, 4, 84, 84)
    record = dataset.spec.provenance
    assert record["imitation"]["by"] == "encoder"
    assert record["teacher"] == {"name": "PPO", "env_steps": player.num_timesteps}
    dataset.save(tmp_path / "set")
    again = DistilledDataset.load(tmp_path / "set")
    # Learners follow, and what the thin network lacks stays 0.
    seen = frames()
    teacher = as_teacher(player, world_of(BREAKOUT)).answer(seen).log_softmax(-1)
    learners = again.new_learners(4)(again.encoder(seen)).log_softmax(-1)
    divergence = (teacher.exp() * (teacher - learners)).sum(-1).mean()
    uniform = (teacher.exp() * (teacher + np.log(4))).sum(-1).mean()
    assert divergence < 0.3 * uniform
    first = next(layer for layer in again.encoder if has_weights(layer))
    assert first.weight[16:].abs().max() == 0
    assert first.weight[:16].abs().min() > 0
    # Its own networks teach others, which share fewer layers.
    imitation_steps(2)
    fewer = imitate(
        again,
        None,
        ImitationSettings(rounds=0, visits=100, episodes=2, encoder_level=3, temperature=1.0),
        progress=False,
    )
    assert fewer.spec.name == "breakout-level3"
    assert len(fewer.encoder) == 8
    assert len(fewer) == 64
    # From its start a fresh hidden layer follows, too.
    own = again.new_learners(1)(again.encoder(seen)).log_softmax(-1)
    learners = fewer.new_learners(4)(fewer.encoder(seen)).log_softmax(-1)
    uniform = (own.exp() * (own + np.log(4))).sum(-1).mean()
    assert (own.exp() * (own - learners)).sum(-1).mean() < 0.5 * uniform


@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_a_model_of_stable_baselines_gives_its_own_layers(algorithm, imitation_steps, monkeypatch):
    imitation_steps(1)
    monkeypatch.setattr(playing, "FRAMES_KEPT", 128)
    env = preprocess(make(world_of(BREAKOUT).spec), "atari")
    extra = {"n_steps": 8, "batch_size": 8} if algorithm is PPO else {"buffer_size": 10}
    model = algorithm("CnnPolicy", env, device="cpu", **extra)
    dataset = imitate(
        model,
        world_of(BREAKOUT, CUT),
        ImitationSettings(rounds=0, visits=50, episodes=1),
        progress=False,
    )
    extractor = (
        model.policy.features_extractor if algorithm is PPO else model.q_net.features_extractor
    )
    theirs = extractor.cnn[0].weight
    ours = next(layer for layer in dataset.encoder if has_weights(layer)).weight
    torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-3)
    env.close()


def test_any_game_by_name(tmp_path, imitation_steps, monkeypatch):
    imitation_steps(5)
    monkeypatch.setattr(automatic, "GAME_ROUNDS", 0)
    monkeypatch.setattr(automatic, "NETWORKS", 4)
    monkeypatch.setattr(ppo_teacher, "GAMES", dataclasses.replace(GAMES, copies=4))
    monkeypatch.setattr(playing, "FRAMES_KEPT", 128)
    settings = AutomaticSettings("ALE/Freeway-v5", CUT, minutes=0.05, eval_learners=2)
    assert settings.seconds == 3
    assert (
        AutomaticSettings("ALE/Freeway-v5").seconds,
        AutomaticSettings("ALE/Freeway-v5").networks,
    ) == (3600, 32)
    assert (
        AutomaticSettings("CartPole-v1").seconds,
        AutomaticSettings("CartPole-v1").networks,
    ) == (480, 100)
    dataset = distill_any(settings, tmp_path / "run", progress=False)
    assert dataset.spec.name == "freeway-level4"
    made = dataset.spec.provenance
    assert made["choice"].startswith("PPO, behind its own layers, from which networks get")
    assert made["teacher"]["env_steps"] >= 4 * GAMES.horizon
    assert dataset.spec.evaluation["one_step"]["learners"] == 2
    assert dataset.spec.evaluation["one_step_sticky"]["sticky"] == STICKY


@pytest.mark.parametrize(("alone", "share"), [(100.0, 0.8), (20.0, 0.25)])
def test_ppo_starts_by_an_action_that_alone_gets_far_more(alone, share, tmp_path, monkeypatch):
    found = ConstantAction(2, alone, at_random=10.0, steps=70)
    monkeypatch.setattr(ppo_teacher, "GAMES", dataclasses.replace(GAMES, copies=4))
    monkeypatch.setattr(ppo_teacher, "best_constant_action", lambda *_, **__: found)
    monkeypatch.setattr(ppo_teacher, "HABIT_SECONDS", 0.0)
    model = train_ppo(world_of(BREAKOUT), 0.01, tmp_path, progress=False)
    halves = functional.avg_pool2d(frames().float(), 2)
    chosen = model.policy.get_distribution(halves).distribution.probs[:, 2].detach()
    assert chosen.mean() == pytest.approx(share, abs=0.05)
    assert 70 < model.num_timesteps < 70 + 4 * GAMES.horizon
    # Who goes on does not look for it again.
    monkeypatch.setattr(ppo_teacher, "best_constant_action", None)
    train_ppo(world_of(BREAKOUT), 0.02, tmp_path, progress=False)


def test_each_copy_has_a_seed_of_its_own():
    both, seeds = teacher_envs(world_of(BREAKOUT), 5, seed=0), []
    for env in both._envs:

        def reset(*, seed, known=env.reset):
            seeds.append(seed)
            return known(seed=seed)

        env.reset = reset
    both.reset()
    both.reset()
    assert seeds == [0, 3, None, None]
    both.close()


def test_without_an_encoder_rows_start_at_a_rate_that_teaches(player, imitation_steps, monkeypatch):
    imitation_steps(1)
    monkeypatch.setattr(playing, "FRAMES_KEPT", 64)
    whole = ImitationSettings(rounds=0, visits=50, episodes=1, encoder_level=0)
    dataset = imitate(player, world_of(BREAKOUT, CUT), whole, progress=False)
    assert dataset.encoder is None
    assert dataset.spec.inner.learning_rate > 1e-3


def test_a_network_of_other_layers_is_followed_from_fresh_ones():
    def network(first: nn.Module, *, bias: bool) -> nn.Sequential:
        sizes = ((4, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1))
        layers: list[nn.Module] = [first]
        for size in sizes:
            layers += [nn.Conv2d(*size, bias=bias), nn.ReLU()]
        hidden = nn.Linear(3136, 512, bias=bias)
        return nn.Sequential(*layers, nn.Flatten(), hidden, nn.ReLU(), nn.Linear(512, 4))

    world = world_of(BREAKOUT)
    assert as_teacher(network(nn.Identity(), bias=True), world).network is not None
    assert as_teacher(network(nn.Identity(), bias=False), world).network is None
    normalizing = network(nn.BatchNorm2d(4), bias=True)
    as_teacher(normalizing, world)
    assert (normalizing[0].running_mean == 0).all()
