"""Stable-Baselines3's PPO as a teacher, for tasks that no linear policy solves.

Schulman et al., "Proximal Policy Optimization Algorithms" (arXiv 1707.06347). There are four
recipes: for vectors where episodes are short, for vectors where they are long, for small pictures,
which are seen by a CNN (:mod:`.picture_features`), and for Atari games, seen at half their size by
another (:mod:`.half_frames`). Rewards are normalized, and vectors too, as RL Zoo does for
continuous control, and the learning rate falls to 0 at the end of the time that there is.
"""

import contextlib
import dataclasses
import io
import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from distilled_envs.bars import tqdm
from distilled_envs.envs.making import time_limit
from distilled_envs.errors import DivergedError, MissingExtraError, SettingsError
from distilled_envs.formatting import in_a_line, written
from distilled_envs.learners.generators import kept_generators
from distilled_envs.records import read_json
from distilled_envs.seeds import small_seed
from distilled_envs.storage.files import atomic_path, given_path, make_folder
from distilled_envs.training.constant_action import best_constant_action
from distilled_envs.training.world import World

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Settings of PPO.

    Attributes:
        copies: Of the environment, side by side.
        horizon: Steps in each of them before PPO learns.
        minibatch: Steps in one gradient step.
        epochs: How often each step is learned from.
        learning_rate: At the start.
        discount: Of rewards.
        gae_lambda: How little to believe the critic.
        entropy: Weight of a policy's entropy among rewards, where actions are choices.
        fading_entropy: Whether that weight falls with the learning rate, so that likeliest actions
            play, too. With a constant one Breakout's never fire the first ball.
    """

    copies: int
    horizon: int
    minibatch: int
    epochs: int
    learning_rate: float
    discount: float
    gae_lambda: float
    entropy: float = 0.01
    fading_entropy: bool = False


SHORT = Recipe(32, 256, 512, 6, 7e-4, discount=0.99, gae_lambda=0.95)
LONG = dataclasses.replace(SHORT, discount=0.995)
"""Of 800,000 steps BipedalWalker-v3 gets 273 with a discount of 0.99, 284 with 0.995 and 56 with
0.999; of 600,000 LunarLanderContinuous-v3 gets 19, 219 and 273."""
PICTURES = Recipe(64, 64, 512, 2, 2e-3, discount=0.97, gae_lambda=0.8)
"""In two minutes of MinAtar's Asterix: 8.8 so, 6.1 with a discount of 0.95, 3.5 with that and a
lambda of 0.9, 1.3 with 0.99 and 0.95, and 1.0 as vectors."""
GAMES = dataclasses.replace(
    PICTURES, epochs=3, discount=0.99, gae_lambda=0.95, entropy=0.002, fading_entropy=True
)
"""Breakout's return after 80 minutes of one core is 227 with a constant entropy weight of 0.01;
rates of 5e-4 and 1e-3 learn a quarter and half as fast, and 2 epochs with a clip range of 0.1 a
little slower. With a discount of 0.97, a lambda of 0.8 and an entropy weight of 0.01 Ms. Pac-Man is
at 734 after 530,000 steps, at an entropy of 1.8 of 2.2; from there with 0.001 it is at 1,275 after
920,000."""
HABIT, HABIT_SECONDS = 0.8, 600.0
"""Probability of an action at the start that gets far more by itself than random play does, and the
time of PPO from which it is looked for. From there Centipede is at 6,641 after 106,000 steps of
PPO, at 9,060 after 320,000, and at 12,600 after 3.7 M."""
_LONG = 1_000
"""Steps of a time limit from which episodes count as long."""
_CHECKPOINT_SECONDS = 30.0
_ENDLESS = 10**12
_MODEL, _STATISTICS, _SPENT = "ppo.zip", "vec_normalize.pkl", "ppo.json"


def recipe_of(world: World) -> Recipe:
    """The recipe that suits an environment."""
    if world.preprocessing == "atari":
        return GAMES
    if world.is_picture:
        return PICTURES
    limit = time_limit(world.spec)
    return SHORT if limit is not None and limit < _LONG else LONG


def train_ppo(
    world: World,
    seconds: float,
    folder: str | Path,
    *,
    seed: int = 0,
    progress: bool = True,
) -> Any:
    """Train PPO for so many seconds, or go on where it was stopped.

    Ctrl-C keeps what was learned.

    Args:
        world: Where it acts: vectors, or an Atari game.
        seconds: Of training, with what was spent before.
        folder: Where the model goes, every half minute and at the end; one that is there goes on.
            What SB3 keeps is pickled: name a folder of your own.
        seed: Of everything.
        progress: Whether to show a bar.

    Returns:
        The ``stable_baselines3.PPO`` model; its environment is a ``VecNormalize``. Of a game it
        sees frames of half the size, and :func:`.half_frames.nature_cnn` makes it see whole ones.

    Raises:
        SettingsError: There is no time, the environment shows frames and is no Atari game, or what
            lies in ``folder`` can't be read.
        DivergedError: Its numbers are no longer finite.
        MissingExtraError: Stable-Baselines3 is not installed.
    """
    try:
        from stable_baselines3 import PPO

        from distilled_envs.training.sb3_envs import teacher_envs
    except ImportError:
        raise MissingExtraError("stable-baselines3", "PPO as a teacher", "sb3") from None
    seen = world.preprocessing == "atari" or not world.shows_frames
    if not (seconds > 0 and seen):
        raise SettingsError(
            "PPO as a teacher needs time, and vectors or an Atari game, got "
            f"{seconds} seconds of observations {world.observations}."
        )
    folder = given_path(folder)
    make_folder(folder)
    # SB3 seeds all global generators.
    copies = teacher_envs(world, recipe_of(world).copies, seed)
    with contextlib.closing(copies), kept_generators():
        return _trained(PPO, world, copies, seconds, folder, seed, progress)


def _trained(
    algorithm: Any,
    world: World,
    copies: Any,
    seconds: float,
    folder: Path,
    seed: int,
    progress: bool,
) -> Any:
    """The model of PPO's class, trained in ``copies``; see :func:`train_ppo`."""
    from stable_baselines3.common.utils import safe_mean
    from stable_baselines3.common.vec_env import VecNormalize

    before, started, recipe = 0.0, time.monotonic(), recipe_of(world)

    def left(_: float = 0.0) -> float:
        """Learning rate, which falls with the time that is left."""
        spent = before + time.monotonic() - started
        return recipe.learning_rate * max(0.0, 1 - spent / seconds)

    if (folder / _SPENT).exists():
        schedule = {"learning_rate": left, "lr_schedule": left}
        try:
            before = float(read_json((folder / _SPENT).read_text())["seconds"])
            env = VecNormalize.load(str(folder / _STATISTICS), copies)
            model = algorithm.load(folder / _MODEL, env=env, device="cpu", custom_objects=schedule)
        except Exception as error:  # whatever unpickling a damaged file may raise
            raise SettingsError(
                f"The PPO model in {folder} can't be read ({in_a_line(error)}): remove that "
                "folder, and PPO starts anew."
            ) from error
    else:
        vectors = not world.is_picture and world.preprocessing != "atari"
        env = VecNormalize(copies, norm_obs=vectors, gamma=recipe.discount)
        model = algorithm(
            "MlpPolicy",
            env,
            learning_rate=left,
            n_steps=recipe.horizon,
            batch_size=recipe.minibatch,
            n_epochs=recipe.epochs,
            gamma=recipe.discount,
            gae_lambda=recipe.gae_lambda,
            ent_coef=0.0 if world.task.kind == "gaussian" else recipe.entropy,
            policy_kwargs=_network(world),
            seed=small_seed(seed),
            device="cpu",
        )
        if world.preprocessing == "atari" and seconds >= HABIT_SECONDS:
            model.num_timesteps = _give_habit(model, world, seed, progress)

    def save() -> None:
        if not _is_finite(model):
            return  # what was kept before is better
        # A clock can't be kept.
        model.learning_rate, model.lr_schedule = recipe.learning_rate, float
        with atomic_path(folder / _STATISTICS) as path:
            env.save(str(path))
        content = io.BytesIO()  # of a full disk zipfile says nothing
        model.save(content)
        with atomic_path(folder / _MODEL) as path:
            path.write_bytes(content.getbuffer())
        spent = before + time.monotonic() - started
        with atomic_path(folder / _SPENT) as path:
            path.write_text(json.dumps({"seconds": round(spent, 1)}) + "\n")
        model.learning_rate, model.lr_schedule = left, left

    saved = shown = started

    def goes_on(*_: Any) -> bool:
        nonlocal saved, shown
        now = time.monotonic()
        if recipe.fading_entropy:
            model.ent_coef = recipe.entropy * left() / recipe.learning_rate
        if now - shown > 1:
            if model.ep_info_buffer:
                mean = safe_mean([each["r"] for each in model.ep_info_buffer])
                bar.set_postfix_str(f"return {written(mean)}", refresh=False)
            bar.update(round(min(before + now - started, seconds) - bar.n, 1))
            shown = now
        if now - saved > _CHECKPOINT_SECONDS:
            save()
            saved = now
        return before + now - started < seconds

    bar = tqdm(
        total=round(seconds),
        initial=round(before),
        desc=f"{world.spec.id}: PPO",
        unit=" s",
        dynamic_ncols=True,
        disable=not progress,
    )
    with bar:
        try:
            if before < seconds:
                model.learn(_ENDLESS, callback=goes_on, reset_num_timesteps=False)
            save()
        except KeyboardInterrupt:
            save()
            raise
        except ValueError as error:  # torch's, of distributions that are not finite
            if _is_finite(model):
                raise
            raise DivergedError(
                f"PPO diverged in {world.spec.id}, perhaps from rewards that are far too large; "
                f"the last good model stands in {folder}: {in_a_line(error)}"
            ) from error
    return model


def _network(world: World) -> dict[str, Any]:
    """What SB3's policy is made of."""
    network: dict[str, Any] = {}
    if world.preprocessing == "atari":
        from distilled_envs.training.half_frames import HalfFrames

        network["features_extractor_class"] = HalfFrames
        network["net_arch"] = []
    if world.is_picture:
        from distilled_envs.training.picture_features import PictureFeatures

        network["features_extractor_class"] = PictureFeatures
        network["features_extractor_kwargs"] = {"shown": world.shown}
        network["net_arch"] = []
    if world.task.kind == "gaussian":
        network["log_std_init"] = -0.5
    return network


def _give_habit(model: Any, world: World, seed: int, progress: bool) -> int:
    """Let a model prefer an action at the start that alone gets far more than random play.

    Returns:
        The environment steps that it took to find out.
    """
    best = best_constant_action(world, seed, progress=progress)
    if best.is_far_better:
        said = "action %d alone gets %.1f, random play %.1f: PPO starts by preferring it"
        logger.info(said, best.action, best.mean_return, best.at_random)
        others = world.task.n_outputs - 1
        with torch.no_grad():
            model.policy.action_net.bias[best.action] = math.log(HABIT / (1 - HABIT) * others)
    return best.steps


def _is_finite(model: Any) -> bool:
    return all(bool(each.isfinite().all()) for each in model.policy.parameters())
