"""The evaluation protocol: a score belongs to a dataset, so it averages over fresh learners."""

import contextlib
import copy
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from distilled_envs.bars import tqdm
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
from distilled_envs.evaluation.statistics import bootstrap_interval, interquartile_mean
from distilled_envs.formatting import written, written_score
from distilled_envs.learners.generators import kept_generators
from distilled_envs.learners.policies import evaluating
from distilled_envs.learners.population import Population
from distilled_envs.learners.sb3_policies import is_sb3_model
from distilled_envs.learners.threads import torch_threads
from distilled_envs.rows import Rows
from distilled_envs.seeds import checked_seed, small_seed
from distilled_envs.spec import LearnerSpec
from distilled_envs.summary import as_html

EVALUATION_SEED = 1_000_000
"""Default seed; distillation seeds are small numbers, so that learners here are new."""

_MAX_COPIES = 64  # environments side by side when one policy plays many episodes


@dataclass(frozen=True, repr=False)
class Score:
    """Returns in the real environment, in one action mode.

    Attributes:
        returns: Undiscounted returns ``(learners, episodes)``.
        mean: Mean over learners (each the mean of its episodes).
        std: Standard deviation between learners; between episodes if there is one learner.
        ci95: 95% percentile-bootstrap interval of the mean, resampling learners (or the episodes
            of the only one); None for a single number.
        iqm: Interquartile mean over learners (or episodes).
    """

    returns: np.ndarray
    mean: float
    std: float
    ci95: tuple[float, float] | None
    iqm: float

    @classmethod
    def of(cls, returns: np.ndarray) -> "Score":
        """Summarize returns ``(learners, episodes)``."""
        units = returns.mean(axis=1) if len(returns) > 1 else returns[0]
        return cls(
            returns=returns,
            mean=float(units.mean()),
            std=float(units.std(ddof=1)) if len(units) > 1 else 0.0,
            ci95=bootstrap_interval(units),
            iqm=float(interquartile_mean(units)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Numbers for ``distillation.json``, rounded to three places."""
        ci95 = None if self.ci95 is None else [round(bound, 3) for bound in self.ci95]
        numbers = {key: round(getattr(self, key), 3) for key in ("mean", "std", "iqm")}
        return numbers | {"ci95": ci95}

    def __repr__(self) -> str:
        return f"Score({written_score(vars(self))})"

    def __str__(self) -> str:
        interval = ""
        if self.ci95 is not None:
            interval = f", 95% [{', '.join(map(written, self.ci95))}]"
        return f"{written(self.mean)}{interval}, std {written(self.std)}, IQM {written(self.iqm)}"


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What :func:`evaluate` found.

    Attributes:
        sampled: Actions drawn from the policy.
        greedy: The most likely action (the mean, for gaussian policies).
        learners: Number of networks.
        episodes: Episodes each network played, in each mode.
        seed: Seed of initializations, environments and actions.
    """

    sampled: Score
    greedy: Score
    learners: int
    episodes: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """The record that ``distillation.json`` keeps."""
        protocol = {"learners": self.learners, "episodes": self.episodes, "seed": self.seed}
        return protocol | {"sampled": self.sampled.to_dict(), "greedy": self.greedy.to_dict()}

    def __repr__(self) -> str:
        return f"Evaluation({self.sampled!r} sampled, {self.greedy!r} greedy, over {self._over})"

    def __str__(self) -> str:
        return (
            f"mean return over {self._over} (std between {self._units})\n"
            f"  sampled  {self.sampled}\n"
            f"  greedy   {self.greedy}"
        )

    def _repr_html_(self) -> str:
        modes = ("sampled", str(self.sampled)), ("greedy", str(self.greedy))
        return as_html(f"Mean return over {self._over}, std between {self._units}", modes)

    @property
    def _over(self) -> str:
        who = f"{self.learners} learners x " if self.learners > 1 else ""
        return f"{who}{self.episodes} episode{'s' * (self.episodes > 1)}"

    @property
    def _units(self) -> str:
        return "learners" if self.learners > 1 else "episodes"


class EvaluationOptions(TypedDict, total=False):
    """Keyword arguments of :func:`evaluate`, which says what they mean."""

    learner: LearnerSpec | None
    learners: int | None
    episodes: int | None
    seed: int
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
        progress: Whether to show a bar of the episodes that have ended.

    Returns:
        Scores of both modes.

    Raises:
        SettingsError: Counts below 1, no policy in a sequence, ``learner`` or ``learners`` together
            with a policy, or a learner that does not fit the dataset's encoder.
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
    seed = checked_seed(seed)
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
    scores = {}
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
            with contextlib.closing(make_ending_vec_env(dataset.spec, copies)) as env:
                greedy, space = mode == "greedy", env.single_action_space
                if outputs is not None:
                    player = player_of_outputs(outputs, dataset.spec.task, space, greedy=greedy)
                else:
                    players = [player_of(e, dataset.spec.task, space, greedy) for e in policies]
                    player = players[0] if len(players) == 1 else side_by_side(players)
                with _seeded(seed, policies):
                    returns = _play(env, player, rounds, seed, bar)
            played = returns.reshape(-1)[: learners * episodes].reshape(learners, -1)
            scores[mode] = Score.of(played)
    return Evaluation(**scores, learners=learners, episodes=episodes, seed=seed)


@torch_threads(1)
def one_step_returns(
    dataset: Rows, learners: int, episodes: int = 1, seed: int = EVALUATION_SEED
) -> np.ndarray:
    """Returns ``(learners, episodes)`` of fresh learners' most likely actions after one step.

    It is the greedy half of :func:`evaluate`, in half its time, for comparing datasets on the way.

    Args:
        dataset: The distilled dataset.
        learners: Number of fresh learners.
        episodes: Episodes for each of them.
        seed: Seed of initializations and environments.
    """
    outputs = _fresh_learners(dataset, dataset.spec.learner, learners, seed)
    with (
        contextlib.closing(make_ending_vec_env(dataset.spec, learners)) as env,
        tqdm(disable=True) as bar,
    ):
        space = env.single_action_space
        player = player_of_outputs(outputs, dataset.spec.task, space, greedy=True)
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
