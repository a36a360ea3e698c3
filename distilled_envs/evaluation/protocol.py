"""The evaluation protocol: a score belongs to a dataset, so it averages over fresh learners."""

import contextlib
import copy
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypedDict

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from distilled_envs.bars import tqdm
from distilled_envs.envs.atari import with_sticky_actions
from distilled_envs.envs.real import make_ending_vec_env
from distilled_envs.errors import SettingsError
from distilled_envs.evaluation.players import (
    Player,
    check_can_play,
    player_of,
    player_of_outputs,
    policy_in,
    sees_copies,
    side_by_side,
    together,
)
from distilled_envs.evaluation.scores import Evaluation, Score
from distilled_envs.learners.generators import kept_generators
from distilled_envs.learners.policies import evaluating
from distilled_envs.learners.population import Population
from distilled_envs.learners.sb3_policies import is_sb3_model
from distilled_envs.learners.threads import torch_threads
from distilled_envs.rows import Rows
from distilled_envs.seeds import checked_seed, small_seed
from distilled_envs.spec import DistillationSpec, LearnerSpec

EVALUATION_SEED = 1_000_000
"""Default seed; distillation seeds are small numbers, so that learners here are new."""

_MAX_COPIES = 64  # environments side by side when one policy plays many episodes


class EvaluationOptions(TypedDict, total=False):
    """Keyword arguments of :func:`evaluate`, which says what they mean."""

    learner: LearnerSpec | None
    learners: int | None
    episodes: int | None
    seed: int
    sticky: float | None
    progress: bool


@torch_threads(1)
def evaluate(
    dataset: Rows,
    policy: nn.Module | object | Sequence[nn.Module | object] | None = None,
    *,
    learner: LearnerSpec | None = None,
    learners: int | None = None,
    episodes: int | None = None,
    seed: int = EVALUATION_SEED,
    sticky: float | None = None,
    progress: bool = False,
) -> Evaluation:
    """Play in the real environment with its own reward, in both action modes.

    Episodes are cut after 10,000 steps where there is no time limit, and after 100,000 in any
    case; their return is what they have got until then.

    Args:
        dataset: The distilled dataset; its spec names the environment.
        policy: A policy, or several, which are scored together as so many learners. A module, or an
            actor-critic of Stable-Baselines3, is sampled with the dataset's deviations. Any other
            model of Stable-Baselines3 or sb3-contrib, and any object with ``predict(observation)``,
            chooses its own actions: for sampled ones with ``deterministic=False``, for greedy ones
            with ``deterministic=True``. None evaluates the dataset: fresh learners, one gradient
            step each.
        learner: Other networks than those that the dataset was distilled for; only without
            ``policy``.
        learners: Number of fresh learners (default 100, for a game 32); only without ``policy``.
        episodes: Episodes for each learner (default 5, of a game 1), for each of several policies
            (5), or for the only one (20).
        seed: Seed of initializations, environments and sampled actions.
        sticky: Probability with which an Atari game repeats the action before, whatever is asked
            for (Machado et al., 2018; the ``-v5`` games have 0.25). None plays it as the dataset
            was made for.
        progress: Whether to show a bar of the episodes that have ended.

    Returns:
        Scores of both modes.

    Raises:
        SettingsError: Counts below 1, no policy in a sequence, ``learner`` or ``learners`` together
            with a policy, a learner that does not fit the dataset's encoder, or ``sticky`` outside
            0 to 1 or of what is no Atari game.
        PolicyError: The policy does not fit the environment, or can't act.
    """
    if policy is not None and (learners, learner) != (None, None):
        raise SettingsError(
            "learner and learners describe fresh networks: leave them out when you give a policy."
        )
    policies = [*policy] if isinstance(policy, list | tuple) else [policy]
    if not policies:
        raise SettingsError("There is no policy in the sequence: give one at least.")
    for each in policies if policy is not None else ():
        check_can_play(each)
    usual = (1, 20) if len(policies) == 1 else (len(policies), 5)
    if policy is None:  # games take minutes
        usual = (100, 5) if not dataset.spec.has_frames else (32, 1)
    learners = usual[0] if learners is None else learners
    episodes = usual[1] if episodes is None else episodes
    try:
        learners, episodes = map(operator.index, (learners, episodes))
    except TypeError:
        raise SettingsError(
            f"learners and episodes are whole numbers, got {learners} and {episodes}."
        ) from None
    if learners < 1 or episodes < 1:
        raise SettingsError(
            f"learners and episodes must be at least 1, got {learners} and {episodes}."
        )
    seed, spec = checked_seed(seed), _played_spec(dataset.spec, sticky)
    outputs: Callable[[Tensor], Tensor] | None = None
    if policy is None:
        own = dataset.spec.learner
        learner = own if learner is None else learner
        if learner.encoder != own.encoder:
            raise SettingsError(
                f"{dataset.spec.name} is for learners of kind {own.architecture!r} with hidden "
                f"layers {own.hidden_sizes} behind an encoder of level {own.encoder_level}, and a "
                f"{learner.architecture!r} with hidden layers {learner.hidden_sizes} at level "
                f"{learner.encoder_level} does not fit."
            )
        outputs = _fresh_learners(dataset, learner, learners, seed)
        copies = learners
    elif len(policies) == 1:
        copies = min(episodes, _MAX_COPIES) if sees_copies(policies[0]) else 1
    else:
        copies = len(policies)
    rounds = -(-episodes * learners // copies)
    scores: dict[str, Score] = {}
    shares: tuple[float, ...] | None = None
    with (
        tqdm(
            total=2 * copies * rounds,
            unit=" episodes",
            leave=False,
            dynamic_ncols=True,
            disable=not progress,
        ) as bar,
        contextlib.ExitStack() as acting,
    ):
        for each in policies:
            acting.enter_context(evaluating(policy_in(each)))
        if len(policies) > 1:
            outputs = together(policies)
        for mode in ("sampled", "greedy"):
            bar.set_description_str(f"{dataset.spec.name}: playing, {mode} actions")
            with contextlib.closing(make_ending_vec_env(spec, copies)) as env:
                greedy, space = mode == "greedy", env.single_action_space
                if outputs is not None:
                    player = player_of_outputs(outputs, dataset.spec.task, space, greedy=greedy)
                else:
                    players = [player_of(e, dataset.spec.task, space, greedy) for e in policies]
                    player = players[0] if len(players) == 1 else side_by_side(players)
                taken = _Counted(player, space)
                with _seeded(seed, policies):
                    returns = _play(env, taken, rounds, seed, bar)
            shares = taken.shares
            played = returns.reshape(-1)[: learners * episodes].reshape(learners, -1)
            scores[mode] = Score.of(played)
    return Evaluation(
        **scores, learners=learners, episodes=episodes, seed=seed, actions=shares, sticky=sticky
    )


def _played_spec(spec: DistillationSpec, sticky: float | None) -> DistillationSpec:
    """The same, with so many sticky actions.

    Raises:
        SettingsError: It can't have them.
    """
    if sticky is None:
        return spec
    if spec.preprocessing != "atari":
        raise SettingsError(f"sticky is for Atari games, and {spec.env.id} is none: leave it out.")
    if not 0 <= sticky <= 1:
        raise SettingsError(f"sticky must lie in 0..1, got {sticky}.")
    return spec.replace(env=with_sticky_actions(spec.env, sticky))


class _Counted:
    """A player whose actions are counted, where they are ``Discrete``."""

    def __init__(self, player: Player, space: spaces.Space[Any]):
        self._player = player
        self._first = int(space.start) if isinstance(space, spaces.Discrete) else 0
        self._counts = np.zeros(int(space.n) if isinstance(space, spaces.Discrete) else 0)

    @property
    def shares(self) -> tuple[float, ...] | None:
        """Of each action; None where there are none."""
        counts = self._counts
        return tuple((counts / counts.sum()).tolist()) if len(counts) else None

    def __call__(self, observations: Any, starts: np.ndarray) -> np.ndarray:
        """What the player does."""
        actions = self._player(observations, starts)
        if len(self._counts):
            self._counts += np.bincount(actions - self._first, minlength=len(self._counts))
        return actions


@torch_threads(1)
def one_step_returns(
    dataset: Rows,
    learners: int,
    episodes: int = 1,
    seed: int = EVALUATION_SEED,
    *,
    greedy: bool = True,
) -> np.ndarray:
    """Returns ``(learners, episodes)`` of fresh learners after one step.

    It is half of :func:`evaluate`, in half its time, for comparing datasets on the way.

    Args:
        dataset: The distilled dataset.
        learners: Number of fresh learners.
        episodes: Episodes for each of them.
        seed: Seed of initializations and environments.
        greedy: Whether they take their likeliest actions, or sampled ones.
    """
    outputs = _fresh_learners(dataset, dataset.spec.learner, learners, seed)
    with (
        contextlib.closing(make_ending_vec_env(dataset.spec, learners)) as env,
        tqdm(disable=True) as bar,
    ):
        space = env.single_action_space
        player = player_of_outputs(outputs, dataset.spec.task, space, greedy=greedy)
        return _play(env, player, episodes, seed, bar)


def pooled(evaluations: Iterable[Evaluation]) -> dict[str, Score]:
    """The scores of several policies together, by action mode; each policy is one learner."""
    each = list(evaluations)
    return {
        mode: Score.of(np.concatenate([getattr(evaluation, mode).returns for evaluation in each]))
        for mode in ("sampled", "greedy")
    }


@contextlib.contextmanager
def _seeded(seed: int, policies: list[Any]) -> Iterator[None]:
    """Global generators at a seed, then as before.

    torch's samples actions; with numpy's and its model's space DQN of SB3 explores.
    """
    models = [each for each in policies if is_sb3_model(each)]
    before = [model.action_space for model in models]
    with kept_generators():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        for model in models:
            model.action_space = copy.deepcopy(model.action_space)
            model.action_space.seed(seed)
        try:
            yield
        finally:
            for model, space in zip(models, before, strict=True):
                model.action_space = space


def _fresh_learners(
    dataset: Rows, learner: LearnerSpec, learners: int, seed: int
) -> Callable[[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    fresh = Population.draw(learner, dataset.spec.task, learners, generator)
    rate, encode = dataset.spec.inner.learning_rate, dataset.encoder or nn.Identity()
    trained = fresh.step(dataset.features, dataset.targets, rate)
    # Learner i acts in environment i.
    return lambda seen: trained.each_at_its_own(encode(seen))


def _play(
    env: gym.vector.VectorEnv, player: Player, episodes: int, seed: int, bar: tqdm
) -> np.ndarray:
    """Returns ``(num_envs, episodes)`` of the first episodes in each environment.

    Taking the first ones, not the ones that end first, keeps short episodes from counting more.
    """
    returns = np.zeros((env.num_envs, episodes + 1))  # the last column takes what comes after
    episode = np.zeros(env.num_envs, dtype=int)
    copies = np.arange(env.num_envs)
    observations, _ = env.reset(seed=small_seed(seed))
    starts, over = np.ones(env.num_envs, dtype=bool), np.zeros(env.num_envs, dtype=bool)
    while episode.min() < episodes:
        # A reset step of Gymnasium's NEXT_STEP mode has reward 0, so it adds nothing.
        observations, rewards, terminated, truncated, _ = env.step(player(observations, starts))
        returns[copies, episode] += rewards
        starts, over = over, terminated | truncated  # what follows an end is the reset step
        ended = over & (episode < episodes)
        episode += ended
        bar.update(int(ended.sum()))
    return returns[:, :episodes]
