"""Stable-Baselines3's PPO as a teacher, for tasks that no linear policy solves.

Schulman et al., "Proximal Policy Optimization Algorithms" (arXiv 1707.06347). One recipe
serves all vectors, and one all small pictures, which are seen by a CNN (:mod:`.picture_features`).
Rewards are normalized, and vectors too, as RL Zoo does for continuous control, and the learning
rate falls to 0 at the end of the time that there is. How far a policy has to look ahead differs
between environments: of 800,000 steps BipedalWalker-v3 gets 273 with a discount of 0.99 and 56 with
0.999, and of 600,000 LunarLanderContinuous-v3 19 and 273.
"""

import contextlib
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from distilled_envs.errors import DivergedError, MissingExtraError, SettingsError
from distilled_envs.formatting import written
from distilled_envs.learners.generators import kept_generators
from distilled_envs.storage.files import atomic_path, given_path
from distilled_envs.training.playing import Playing
from distilled_envs.training.teachers import as_teacher
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
        gae_lambda: Discounts that may suit, and how far to believe the critic with each: who looks
            far ahead believes it less.
        trial: Share of the time after which one discount is chosen.
    """

    copies: int
    horizon: int
    minibatch: int
    epochs: int
    learning_rate: float
    gae_lambda: dict[float, float]
    trial: float


VECTORS = Recipe(32, 256, 512, 6, 7e-4, {0.99: 0.95, 0.999: 0.98}, trial=0.25)
PICTURES = Recipe(64, 64, 512, 2, 2e-3, {0.95: 0.8, 0.99: 0.95}, trial=0.15)
"""In two minutes of MinAtar's Asterix: 7.0 with a discount of 0.95 and a lambda of 0.8 (550,000
steps), 3.1 with 0.95 and 0.9, 1.3 with 0.99 and 0.95, and 1.0 as vectors."""
_EPISODES = 32
"""Of each player, by which it is."""
_LONG = 1_000
"""Steps of a time limit from which episodes count as long, and what comes late may count more."""
_CHECKPOINT_SECONDS = 30.0
_ENDLESS = 10**12
_MODEL, _STATISTICS, _SPENT, _CHOICE = "ppo.zip", "vec_normalize.pkl", "ppo.json", "choice.json"


def best_ppo(
    world: World,
    seconds: float,
    folder: str | Path,
    *,
    later: int = 0,
    spare: float = 0.0,
    seed: int = 0,
    progress: bool = True,
) -> tuple[Any, int]:
    """PPO with the discount that suits an environment.

    Of pictures, and where episodes are long, each of two is trained for a while, and the better
    player gets the rest of the time.

    Args:
        world: Where it acts; vectors.
        seconds: Of all training, with what was spent before.
        folder: Of a folder for each discount; see :func:`train_ppo`, and for what it raises.
        later: Episodes that are to be played when PPO is trained: where they take more than
            ``spare`` seconds at the pace of the trial, the rest of the time is shorter by that.
        spare: See ``later``.
        seed: Of everything.
        progress: Whether to show bars.

    Returns:
        The model, and the environment steps of the choice, which are no part of it.
    """
    recipe, limit = recipe_of(world), world.spec.max_episode_steps
    is_short = limit is not None and 0 < limit < _LONG
    spent, folder = 0, given_path(folder)
    choice = folder / _CHOICE

    def train(discount: float, total: float, pause: float | None = None) -> Any:
        return train_ppo(
            world,
            total,
            folder / f"{discount:g}",
            discount=discount,
            pause=pause,
            seed=seed,
            progress=progress,
        )

    if is_short and not world.is_picture:
        return train(min(recipe.gae_lambda), seconds), 0
    total = seconds * (1 - recipe.trial)
    if choice.exists():
        made = json.loads(choice.read_text())
        return train(made["discount"], total - made["short"]), made["env_steps"]
    found, faults = {}, []
    for discount in recipe.gae_lambda:
        try:
            model = train(discount, total, pause=seconds * recipe.trial)
        except DivergedError as error:
            faults.append(error)
            continue
        trial, started = Playing(world, 1, seed), time.monotonic()
        mean = float(trial(as_teacher(model, world).answer, _EPISODES).returns.mean())
        logger.info("PPO with a discount of %g gets %s so far", discount, written(mean))
        found[discount] = mean, model.num_timesteps, time.monotonic() - started
        spent += trial.env_steps
    if not found:
        raise faults[0]
    suited = max(found, key=lambda each: found[each][0])
    spent += sum(found[each][1] for each in found if each != suited)
    short = max(0.0, found[suited][2] * later / _EPISODES - spare)
    short = min(short, total / 2)
    with atomic_path(choice) as path:
        made = {"discount": suited, "env_steps": spent, "short": short}
        path.write_text(json.dumps(made) + "\n")
    return train(suited, total - short), spent


def recipe_of(world: World) -> Recipe:
    """The settings that suit what an environment shows."""
    return PICTURES if world.is_picture else VECTORS


def train_ppo(
    world: World,
    seconds: float,
    folder: str | Path,
    *,
    discount: float | None = None,
    pause: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Any:
    """Train PPO for so many seconds, or go on where it was stopped.

    Ctrl-C keeps what was learned.

    Args:
        world: Where it acts; vectors.
        seconds: Of training, with what was spent before.
        folder: Where the model goes, every half minute and at the end; one that is there goes on.
            What SB3 keeps is pickled: name a folder of your own.
        discount: One of the recipe's; None takes the first.
        pause: Seconds after which it stops for now; the learning rate falls for all of them.
        seed: Of everything.
        progress: Whether to show a bar.

    Returns:
        The ``stable_baselines3.PPO`` model; its environment is a ``VecNormalize``.

    Raises:
        SettingsError: There is no time, the environment shows frames, or what lies in ``folder``
            can't be read.
        DivergedError: Its numbers are no longer finite.
        MissingExtraError: Stable-Baselines3 is not installed.
    """
    try:
        from stable_baselines3 import PPO

        from distilled_envs.training.sb3_envs import teacher_envs
    except ImportError:
        raise MissingExtraError("stable-baselines3", "PPO as a teacher", "sb3") from None
    recipe = recipe_of(world)
    discount = min(recipe.gae_lambda) if discount is None else discount
    if discount not in recipe.gae_lambda:
        known = [*recipe.gae_lambda]
        raise SettingsError(f"The discount must be one of {known}, got {discount}.")
    if not seconds > 0 or len(world.task.observation_shape) != 1:
        raise SettingsError(
            f"PPO as a teacher needs vectors and time, got {seconds} seconds of observations "
            f"{world.observations}."
        )
    folder = given_path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # SB3 seeds all global generators.
    with contextlib.closing(teacher_envs(world, recipe.copies, seed)) as copies, kept_generators():
        until = seconds if pause is None else pause
        return _trained(PPO, world, copies, seconds, until, folder, discount, seed, progress)


def _trained(
    algorithm: Any,
    world: World,
    copies: Any,
    seconds: float,
    until: float,
    folder: Path,
    discount: float,
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
            before = float(json.loads((folder / _SPENT).read_text())["seconds"])
            env = VecNormalize.load(str(folder / _STATISTICS), copies)
            model = algorithm.load(folder / _MODEL, env=env, device="cpu", custom_objects=schedule)
        except Exception as error:  # whatever unpickling a damaged file may raise
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            raise SettingsError(
                f"The PPO model in {folder} can't be read ({said}): remove that folder, and PPO "
                "starts anew."
            ) from error
    else:
        env = VecNormalize(copies, norm_obs=not world.is_picture, gamma=discount)
        model = algorithm(
            "MlpPolicy",
            env,
            learning_rate=left,
            n_steps=recipe.horizon,
            batch_size=recipe.minibatch,
            n_epochs=recipe.epochs,
            gamma=discount,
            gae_lambda=recipe.gae_lambda[discount],
            ent_coef=0.0 if world.task.kind == "gaussian" else 0.01,
            policy_kwargs=_network(world),
            seed=seed,
            device="cpu",
        )

    def save() -> None:
        if not _is_finite(model):
            return  # what was kept before is better
        model.learning_rate, model.lr_schedule = (
            recipe.learning_rate,
            float,
        )  # a clock can't be kept
        with atomic_path(folder / _STATISTICS) as path:
            env.save(str(path))
        with atomic_path(folder / _MODEL) as path, path.open("wb") as file:
            model.save(file)
        spent = before + time.monotonic() - started
        with atomic_path(folder / _SPENT) as path:
            path.write_text(json.dumps({"seconds": round(spent, 1)}) + "\n")
        model.learning_rate, model.lr_schedule = left, left

    saved = shown = started

    def goes_on(*_: Any) -> bool:
        nonlocal saved, shown
        now = time.monotonic()
        if now - shown > 1:
            if model.ep_info_buffer:
                mean = safe_mean([each["r"] for each in model.ep_info_buffer])
                bar.set_postfix_str(f"return {mean:.1f}", refresh=False)
            bar.update(round(min(before + now - started, until) - bar.n, 1))
            shown = now
        if now - saved > _CHECKPOINT_SECONDS:
            save()
            saved = now
        return before + now - started < until

    bar = tqdm(
        total=round(until),
        initial=round(before),
        desc=f"{world.spec.id}: PPO, discount {discount:g}",
        unit=" s",
        dynamic_ncols=True,
        disable=not progress,
    )
    with bar:
        try:
            if before < until:
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
                f"the last good model stands in {folder}: {str(error).splitlines()[0]}"
            ) from error
    return model


def _network(world: World) -> dict[str, Any]:
    """What SB3's policy is made of."""
    network: dict[str, Any] = {}
    if world.is_picture:
        from distilled_envs.training.picture_features import PictureFeatures

        network["features_extractor_class"] = PictureFeatures
        network["features_extractor_kwargs"] = {"shown": world.shown}
        network["net_arch"] = []
    if world.task.kind == "gaussian":
        network["log_std_init"] = -0.5
    return network


def _is_finite(model: Any) -> bool:
    return all(bool(each.isfinite().all()) for each in model.policy.parameters())
