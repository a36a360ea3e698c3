"""Augmented random search for linear policies, the best that one gradient step can teach.

Mania et al., "Simple random search of static linear policies is competitive for reinforcement
learning", arXiv 1803.07055, algorithm 2, version V2-t: the policy sees observations under their
running mean and standard deviation, directions are sorted by the better of their two returns, and
the step is divided by the standard deviation of the returns that are kept. Each perturbed policy
plays one episode in an environment of its own, side by side with the others.
"""

import contextlib
import dataclasses
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DatasetError, SettingsError
from distilled_envs.evaluation.episodes import first_episodes
from distilled_envs.formatting import in_a_line, written
from distilled_envs.learners.expansion import mean_answers, noise, one_step_learners
from distilled_envs.loading import load_distilled
from distilled_envs.records import read_json
from distilled_envs.seeds import checked_seed
from distilled_envs.storage.files import alone_in, atomic_path, given_path, sweep
from distilled_envs.training.backends import make_vector_env
from distilled_envs.training.linear_policy import LinearPolicy, fit_linear
from distilled_envs.training.progress import step_bar
from distilled_envs.training.provenance import cost_of
from distilled_envs.training.scalars import Scalars
from distilled_envs.training.world import World, vector_world_of

_SETTINGS, _STATE, POLICY = "search.json", "state.npz", "policy.npz"
_CHECKPOINT_SECONDS = 30.0
_FREE = {"total_steps", "threads"}
"""Settings that may change on resuming."""
_LONGEST = 20_000
"""Steps of an episode at most."""


@dataclass(frozen=True)
class SearchSettings:
    """Settings of one random search."""

    env_id: str
    """Gymnasium id of the environment, with bounded Box actions."""
    total_steps: int = 10_000_000
    """Environment steps of the whole search, over all copies."""
    directions: int = 16
    """Random directions in one iteration; each is tried forward and backward, N."""
    kept: int = 8
    """Directions that the step is made of, those with the highest returns, b."""
    step_size: float = 0.02
    """Length of a step in units of the returns' deviation, alpha."""
    noise: float = 0.03
    """Standard deviation of the perturbations, nu."""
    bonus: float = 0.0
    """Taken off each step's reward while searching, such as a bonus for not falling, which teaches
    to stand still; returns that are shown have it."""
    coordinates: tuple[int, ...] | None = None
    """Places in the observation that the policy sees; None sees all."""
    start: str | None = None
    """A linear policy (.npz) or a distilled dataset that the search starts from, under its own
    statistics of observations; None starts with weights of 0."""
    seed: int = 0
    """Seed of everything random."""
    threads: int = 1
    """Threads of EnvPool's simulator."""

    def __post_init__(self):
        if not 1 <= self.kept <= self.directions:
            raise SettingsError(
                f"kept must lie in 1..directions, got {self.kept} of {self.directions}."
            )
        if min(self.step_size, self.noise) <= 0 or not math.isfinite(self.bonus):
            raise SettingsError(
                "step_size and noise must be above 0, and the bonus a number, got "
                f"{self.step_size}, {self.noise} and {self.bonus}."
            )
        checked_seed(self.seed)
        if min(self.total_steps, self.threads) < 1:
            raise SettingsError(
                f"total_steps and threads must be at least 1, got {self.total_steps} and "
                f"{self.threads}."
            )


def search(
    settings: SearchSettings, output: str | Path, *, resume: bool = False, progress: bool = True
) -> LinearPolicy:
    """Search for a linear policy.

    Ctrl-C loses half a minute at most.

    Args:
        settings: Where and how.
        output: Folder of the search. ``policy.npz`` is the best policy so far: the one whose
            perturbed copies got the highest mean return.
        resume: Go on with the search in ``output``.
        progress: Whether to show a bar.

    Returns:
        The best policy.

    Raises:
        SettingsError: The environment has no bounded ``Box`` actions, a coordinate is none of its
            own, or the folder holds something else.
        StorageError: The folder can't be written, or another search goes on there.
        PolicyError: The start is no linear policy.
    """
    folder, world = given_path(output), vector_world_of(settings.env_id)
    if world.task.kind != "gaussian":
        raise SettingsError(
            f"Random search is for bounded Box actions; those of {settings.env_id} are "
            f"{world.actions}."
        )
    inputs = world.task.observation_shape[0]
    seen = np.arange(inputs) if settings.coordinates is None else np.array(settings.coordinates)
    if not 0 < len(seen) == len({*seen.tolist()}) or seen.min() < 0 or seen.max() >= inputs:
        raise SettingsError(
            f"coordinates must be different, in 0..{inputs - 1} for {settings.env_id}, got "
            f"{settings.coordinates}."
        )
    if resume and not (folder / _STATE).is_file():
        raise SettingsError(f"There is no search to resume in {folder}: start it without --resume.")
    if not resume and ((folder / _STATE).exists() or (folder.exists() and not folder.is_dir())):
        raise SettingsError(
            f"{folder} exists already: go on with --resume, or choose another --output."
        )
    with alone_in(folder):
        return _search(settings, folder, world, seen, resume, progress)


def _search(
    settings: SearchSettings,
    folder: Path,
    world: World,
    seen: np.ndarray,
    resume: bool,
    progress: bool,
) -> LinearPolicy:
    """A search in a folder that no other process works in; ``seen`` are the coordinates."""
    asked = json.loads(json.dumps(dataclasses.asdict(settings)))
    inputs = world.task.observation_shape[0]
    if resume:
        sweep(folder)
        state, before = _resumed(folder, asked)
        like = _State.first(settings, None, world.task.n_outputs, seen, inputs)
        for name, value in dataclasses.asdict(like).items():
            if np.shape(getattr(state, name)) != np.shape(value):
                raise SettingsError(f"{folder} holds a search of another environment.")
    else:
        start = None if settings.start is None else _start(settings.start)
        state = _State.first(settings, start, world.task.n_outputs, seen, inputs)
        before = None if start is None else start.made
    if before:  # what the start cost is a part of what the policy costs
        asked["teacher"] = before
    with atomic_path(folder / _SETTINGS) as path:
        path.write_text(json.dumps(asked, indent=1) + "\n")
    # A search that goes on meets new episodes, not the first ones again.
    seed = settings.seed + state.iteration
    env = make_vector_env(world, 2 * settings.directions, seed, settings.threads)
    env.reset(seed=seed)
    random, saved = np.random.default_rng(seed), time.monotonic()
    bar = step_bar(settings.env_id, settings.total_steps, done=state.steps, progress=progress)
    with contextlib.closing(env), Scalars(folder / "tensorboard", state.steps + 1) as log, bar:
        try:
            while state.steps < settings.total_steps:
                steps, mean = _iterate(state, env, settings, seen, random)
                bar.set_postfix_str(
                    f"return {written(mean)}, best {written(state.highest)}", refresh=False
                )
                bar.update(steps)
                log.add({"return": mean}, state.steps)
                if time.monotonic() - saved > _CHECKPOINT_SECONDS:
                    state.save(folder, asked)
                    saved = time.monotonic()
        finally:
            state.save(folder, asked)
    return state.policy()


@dataclass
class _State:
    """A search so far.

    Attributes:
        weights: ``(n_outputs, seen)``, of the coordinates that are seen.
        bias: ``(n_outputs,)``; 0 but for what a start has, and not searched.
        count: Observations in the statistics.
        mean: Of the observations seen ``(seen,)``.
        squares: Sum of their squared deviations ``(seen,)``.
        best: Weights, mean and std, over all coordinates, of the best policy.
        best_bias: Its bias.
        highest: Mean return of its perturbed copies.
        steps: Environment steps.
        iteration: Iterations.
    """

    weights: np.ndarray
    bias: np.ndarray
    count: float
    mean: np.ndarray
    squares: np.ndarray
    best: np.ndarray
    best_bias: np.ndarray
    highest: float = -math.inf
    steps: int = 0
    iteration: int = 0

    @classmethod
    def first(
        cls,
        settings: SearchSettings,
        start: LinearPolicy | None,
        outputs: int,
        seen: np.ndarray,
        inputs: int,
    ) -> "_State":
        """Where a search starts: from a policy, or from nothing."""
        zeros = np.zeros(len(seen))
        weights, best = np.zeros((outputs, len(seen))), np.zeros((outputs + 2, inputs))
        if start is None:
            return cls(
                weights, np.zeros(outputs), 0.0, zeros, zeros.copy(), best, np.zeros(outputs)
            )
        if start.weights.shape != (outputs, inputs) or start.mean is None or start.std is None:
            raise SettingsError(
                f"{settings.start} is no start: it needs weights of shape {(outputs, inputs)}, and "
                "a mean and a std."
            )
        mean, std = start.mean.numpy()[seen].copy(), start.std.numpy()[seen]
        weights, bias = start.weights.numpy()[:, seen].copy(), start.bias.numpy().copy()
        # As many observations as a standard deviation needs; a start's statistics stay.
        return cls(weights, bias, 2.0, mean, 2 * std**2, best, bias)

    @property
    def std(self) -> np.ndarray:
        """Standard deviations; those of coordinates that never change are endless."""
        if self.count < 2:
            return np.ones(len(self.mean))
        std = np.sqrt(self.squares / self.count)
        return np.where(std < 1e-6, 1e9, std)

    def policy(self) -> LinearPolicy:
        """The best policy, on all coordinates."""
        *weights, mean, std = torch.from_numpy(self.best)
        return LinearPolicy(torch.stack(weights), torch.from_numpy(self.best_bias), mean, std)

    def save(self, folder: Path, asked: dict[str, Any]) -> None:
        """Write the state, and the best policy as people load it, with what it was asked by."""
        if self.iteration == 0:
            return
        with atomic_path(folder / _STATE) as path, path.open("wb") as file:
            np.savez(file, **dataclasses.asdict(self))
        made = {"algorithm": "augmented random search", "env_steps": self.steps} | asked
        dataclasses.replace(self.policy(), made=made).save(folder / POLICY)


def _iterate(
    state: _State,
    env: VectorEnv,
    settings: SearchSettings,
    seen: np.ndarray,
    random: np.random.Generator,
) -> tuple[int, float]:
    """One step of the search; its environment steps, and the mean return of all copies."""
    # 1. Each direction forward and backward, an episode each, under fixed statistics.
    directions = random.standard_normal((settings.directions, *state.weights.shape))
    moved = settings.noise * np.concatenate([directions, -directions])
    played = _play(env, state.weights + moved, state.bias, state.mean, state.std, seen)
    searched = played.returns - settings.bonus * played.lengths
    forward, backward = np.split(searched, 2)
    mean = float(played.returns.mean())
    if mean > state.highest:
        state.highest = mean
        state.best[:-2, seen], state.best[-2, seen] = state.weights, state.mean
        state.best[-1] = 1.0
        state.best[-1, seen], state.best_bias = state.std, state.bias
    # 2. A step along the directions whose better return is highest.
    best = np.argsort(-np.maximum(forward, backward))[: settings.kept]
    spread = np.concatenate([forward[best], backward[best]]).std() + 1e-8
    gain = np.einsum("k,kas->as", forward[best] - backward[best], directions[best])
    state.weights = state.weights + settings.step_size / (settings.kept * spread) * gain
    # 3. The statistics take in what was seen (Chan et al., 1979). Weights are of normalized
    # observations and stay, so that the policy moves a little with the statistics, as in the paper.
    # A good start would be lost so: one of Hopper's fell from 3,290 to 2,912.
    count = float(played.lengths.sum())
    if settings.start is None:
        total, change = state.count + count, played.mean - state.mean
        state.mean = state.mean + change * count / total
        state.squares = state.squares + played.squares + change**2 * state.count * count / total
        state.count = total
    state.steps, state.iteration = state.steps + int(count), state.iteration + 1
    return int(count), mean


@dataclass
class _Played:
    """Episodes: returns and lengths ``(copies,)``, mean and squares of observations ``(seen,)``."""

    returns: np.ndarray
    lengths: np.ndarray
    mean: np.ndarray
    squares: np.ndarray


def _play(
    env: VectorEnv,
    weights: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray,
    seen: np.ndarray,
) -> _Played:
    """An episode of each policy ``(copies, n_outputs, seen)``, in a copy of its own."""
    actions = env.single_action_space
    assert isinstance(actions, spaces.Box)
    total, squares = np.zeros(len(seen)), np.zeros(len(seen))

    def act(observations: np.ndarray, going: np.ndarray) -> np.ndarray:
        nonlocal total, squares
        shown = observations[:, seen]
        total += shown[going].sum(0)
        squares += (shown[going] ** 2).sum(0)
        acted = np.einsum("eas,es->ea", weights, (shown - mean) / std) + bias
        return np.clip(acted, actions.low, actions.high)

    returns, lengths = first_episodes(env, act, _LONGEST)
    count = lengths.sum()
    return _Played(returns, lengths, total / count, squares - total**2 / count)


def _start(name: str) -> LinearPolicy:
    """The linear policy of a file, or of a dataset's learners, with what it cost to make."""
    if name.endswith(".npz"):
        return LinearPolicy.load(name)
    dataset = load_distilled(name)
    return dataclasses.replace(linear_policy_of(dataset), made=cost_of(dataset.spec))


def linear_policy_of(dataset: DistilledDataset) -> LinearPolicy:
    """What a dataset's learners do on average, as a linear policy on the real observations.

    Raises:
        DatasetError: It has no observation transform, or its learners are not linear.
    """
    fixed = dataset.spec.observation_transform
    if fixed is None or dataset.observations.dim() > 2:
        raise DatasetError(f"{dataset.spec.name} has no normalization that a policy could have.")
    generator = torch.Generator().manual_seed(0)
    inputs = noise(dataset, 4096, generator)
    answers = mean_answers(dataset, one_step_learners(dataset, generator), inputs)
    box = -torch.ones(answers.shape[1]), torch.ones(answers.shape[1])
    fitted = fit_linear(inputs / fixed.scale, answers, dataset.spec.task, *box)
    if not fitted.exact:
        raise DatasetError(f"The learners of {dataset.spec.name} are not linear.")
    places = list(fixed.coordinates or range(len(fixed.mean)))
    width = max(vector_world_of(dataset.spec.env).task.observation_shape[0], max(places) + 1)
    weights = torch.zeros(answers.shape[1], width, dtype=torch.float64)
    mean, std = torch.zeros(width, dtype=torch.float64), torch.ones(width, dtype=torch.float64)
    weights[:, places] = fitted.policy.weights
    mean[places] = torch.tensor(fixed.mean, dtype=torch.float64)
    std[places] = torch.tensor(fixed.std, dtype=torch.float64)
    return LinearPolicy(weights, fitted.policy.bias, mean, std)


def _resumed(folder: Path, asked: dict[str, Any]) -> tuple[_State, dict[str, Any] | None]:
    """The state of a search that goes on, and its start's cost; only its length may change."""
    try:
        before = read_json((folder / _SETTINGS).read_text())
        with np.load(folder / _STATE, allow_pickle=False) as file:
            values = {name: file[name] for name in _State.__dataclass_fields__}
        changed = [key for key in asked if asked[key] != before.get(key) and key not in _FREE]
        numbers = {name: float(values[name]) for name in ("count", "highest")}
        numbers |= {name: int(values[name]) for name in ("steps", "iteration")}
    except Exception as error:  # of numpy, zipfile and zlib, and of files of something else
        raise SettingsError(
            f"{folder} holds no search that could go on: {in_a_line(error)}"
        ) from None
    if changed:
        raise SettingsError(
            f"{folder} was searched with another {', '.join(changed)}: choose another --output."
        )
    return _State(**(values | numbers)), before.get("teacher")
