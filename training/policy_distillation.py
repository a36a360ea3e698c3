"""Any policy becomes a dataset: rows from which one step teaches what a teacher does.

One step on tanh networks teaches linear policies, and those in closed form
(:mod:`.closed_form`). So a teacher is followed by a linear policy first:

1. The teacher plays, and its observations give the normalization that learners see through.
2. A linear policy is fitted to its answers. It plays, the teacher answers where it came, and it is
   fitted anew on all of that (DAgger: Ross et al., "A Reduction of Imitation Learning and
   Structured Prediction to No-Regret Online Learning", 2011). The best round's policy stays.
3. Its rows are made, for the size of observations at which fresh networks miss it least.
4. Where these networks keep too little of the teacher's return, rows are learned
   (:func:`~.refitting.learn_rows`), and the better rows stay.

A teacher that is linear itself needs no more than 3. One that no linear policy follows can be
given wide learners or an encoder instead (:mod:`.nonlinear_distillation`).
"""

import dataclasses
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from torch import Tensor, nn

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.real import transform_function, transformed_space
from distilled_envs.errors import SettingsError
from distilled_envs.learners.actions import comparable
from distilled_envs.learners.expansion import one_step_learners
from distilled_envs.learners.networks import NATURE
from distilled_envs.learners.threads import torch_threads
from distilled_envs.spec import LearnerSpec, ObservationTransform
from distilled_envs.training.closed_form import closed_form
from distilled_envs.training.imitation_settings import ImitationSettings, RefitSettings
from distilled_envs.training.linear_policy import LinearPolicy, fit_linear
from distilled_envs.training.nonlinear_distillation import PlayedRows, learn_from_play, looked_at
from distilled_envs.training.playing import COPIES, Playing
from distilled_envs.training.provenance import made_with
from distilled_envs.training.refitting import first_rows, learn_rows
from distilled_envs.training.shown import Shown
from distilled_envs.training.teacher_sources import load_teacher_policy, source_of
from distilled_envs.training.teachers import Teacher, as_teacher
from distilled_envs.training.temperature import played_at_best
from distilled_envs.training.world import World, check_size, world_of

logger = logging.getLogger(__name__)

SCALES = (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2)
"""Standard deviations of what learners see, of which the best is taken."""
LEARNED_SCALE = 0.1
"""The same where rows are learned."""
LEARNED_CONSISTENCY = 0.3
"""Weight of the error on those rows, after the step."""
LEARNED_ROWS, ENCODED_ROWS, FRAME_ROWS = 64, 32, 16
"""Rows that are learned without an encoder, or with one of a CNN's first layers; with another one;
and with all of a CNN but its last layer. Before any learning Pong's teacher is missed by a
divergence of 0.09 with 16 rows behind all but the last layer, and behind the convolutions alone by
0.51 with 16 and 0.28 with 64."""
WIDEST = 1024
"""Units of networks for one-hot observations at most: a hundred of width 4,096 take 40 GB."""
NETWORKS = 16
INPUTS = 512
"""Fresh networks on which a scale is tried, and observations."""
_USED = 1e-6
"""A coordinate whose weights are a smaller share of the largest is not shown to learners."""


def imitate(
    teacher: Any,
    env: str | EnvSpec | gym.Env | World | None = None,
    settings: ImitationSettings | None = None,
    *,
    command: str | None = None,
    progress: bool = True,
) -> DistilledDataset:
    """Rows from which one gradient step teaches what a teacher does.

    Args:
        teacher: A policy, of any kind that :mod:`.teachers` lists, or what
            :func:`.teacher_sources.load_teacher_policy` reads one from.
        env: Where it acts: an id, an ``EnvSpec``, an environment that ``gym.make`` made, or what
            :func:`.world.world_of` made of one. None takes that of a teacher that is a dataset.
        settings: How; see :class:`~distilled_envs.training.imitation_settings.ImitationSettings`.
        command: The shell command that asked for it, kept in the provenance.
        progress: Whether to show a bar while rows are learned.

    Returns:
        The dataset, not evaluated by the protocol yet. Its provenance has a record ``imitation``
        with the teacher's return, that of networks after one step, and the share.

    Raises:
        SettingsError: The environment can't be made, or is none that rows are made for.
        PolicyError: The teacher does not fit it, or is none.
    """
    settings, started = settings or ImitationSettings(), time.monotonic()
    world, source = env if env is None or isinstance(env, World) else world_of(env), None
    if isinstance(teacher, str | Path):
        source, teacher = source_of(teacher), load_teacher_policy(teacher, world)
    if world is None and isinstance(teacher, DistilledDataset):
        world = world_of(teacher.spec.env, teacher.spec.env.kwargs)
        world = dataclasses.replace(world, module=world.module or teacher.spec.env_module)
    if world is None:
        raise SettingsError(
            "Name the environment in which the teacher acts, as env (in a shell --env)."
        )
    if world.is_played_greedily and settings.temperature is not None:
        raise SettingsError(
            f"In {world.spec.id} likeliest actions count, and temperature is for choices at "
            "frames: leave it out."
        )
    for sizes in (settings.encoder or (), (settings.width,) if settings.width else ()):
        check_size(LearnerSpec(hidden_sizes=tuple(sizes)), world)
    if world.shows_frames and settings.is_nonlinear:
        raise SettingsError(
            f"{world.spec.id} shows frames, whose learners are CNNs: leave out width and encoder, "
            "and choose an encoder_level."
        )
    if not world.shows_frames and settings.encoder_level is not None:
        raise SettingsError(
            f"{world.spec.id} shows no frames: leave out encoder_level (encoder has the units of "
            "hidden layers)."
        )
    policy = as_teacher(teacher, world)
    with torch.random.fork_rng(devices=[]), torch_threads(1):
        torch.manual_seed(settings.seed)
        act = Playing(world, settings.visits, settings.seed)
        dataset, record = _imitated(policy, world, act, settings, progress)
    cost = {
        "env_steps": act.env_steps,
        "wall_seconds": round(time.monotonic() - started, 1),
        "teacher": policy.made | {"name": source or policy.name},
    }
    provenance = made_with("imitation", command, settings.seed) | cost
    record = dataclasses.asdict(settings) | record
    dataset.spec = dataset.spec.replace(provenance=provenance | {"imitation": record})
    return dataset


def _imitated(
    teacher: Teacher, world: World, act: Playing, settings: ImitationSettings, progress: bool
) -> tuple[DistilledDataset, dict[str, Any]]:
    """The dataset, and the record of how it was made."""
    linear = teacher.linear
    if settings.episodes == 0:
        return _unplayed(teacher, world, settings)
    # 1. What the teacher sees, and what it gets.
    record: dict[str, Any] = {"teacher": teacher.name}
    if world.is_played_greedily:
        played = act(teacher.answer, settings.episodes)
    else:
        # Below level 4 learners behind layers of the teacher's are sharpened as they play.
        asked = settings.temperature or (1.0 if settings.encoder_level in range(4) else None)
        teacher, played, record["temperature"] = played_at_best(
            teacher, act, settings.episodes, asked
        )
    shown = Shown(teacher, world, settings, *played)
    returns = float(shown.returns.mean())
    record["teacher_return"] = round(returns, 3)
    if settings.is_nonlinear or world.shows_frames:
        dataset = _nonlinear(shown, act, progress)
        by = "wide learners" if settings.width else "learned rows"
        if dataset.encoder is not None:
            by = "encoder"
        return dataset, record | {"by": by} | shown.kept_by(dataset)
    # 2. The linear policy that acts most like it.
    if linear is None:
        linear = _followed(shown, act)
    elif linear.mean is None:
        linear = linear.under(*shown.normal)
    # 3. Its rows.
    candidates = [_closed_form(linear, shown)]
    kept = [shown.kept_by(candidates[0])]
    # 4. Learned rows, where a linear policy is not enough.
    share = kept[0]["share"]
    fails = kept[0]["return"] < returns if share is None else share < settings.enough
    if fails and settings.enough and teacher.linear is None:
        candidates.append(_learned(shown, progress))
        kept.append(shown.kept_by(candidates[1]))
    best = max(range(len(kept)), key=lambda place: kept[place]["return"])
    by = ("closed form", "learned rows")[best]
    return candidates[best], record | {"by": by} | kept[best]


def _unplayed(
    teacher: Teacher, world: World, settings: ImitationSettings
) -> tuple[DistilledDataset, dict[str, Any]]:
    """Rows of a linear policy that says what its observations are like: nothing has to be played.

    Raises:
        SettingsError: The teacher is none.
    """
    linear = teacher.linear
    if linear is None or linear.mean is None or linear.std is None:
        raise SettingsError(
            "Without episodes nothing is played, which serves linear policies with a mean and a "
            f"std alone, not {teacher.name}."
        )
    seen = (linear.mean + linear.std * torch.randn(INPUTS, len(linear.mean))).float()
    shown = Shown(teacher, world, settings, seen, linear(seen), np.zeros(0))
    record = {"teacher": teacher.name, "by": "closed form"}
    unknown = dict.fromkeys(("teacher_return", "return", "std", "least", "share"))
    return _closed_form(linear, shown), record | unknown


def _followed(shown: Shown, act: Playing) -> LinearPolicy:
    """The linear policy that follows a teacher, where it leads itself."""
    world, settings = shown.world, shown.settings
    seen, answers, (mean, std) = shown.seen, shown.answers, shown.normal
    rank = None if settings.instances is None else settings.instances - 1
    width = _networks(world).hidden_sizes[0]
    best, highest = None, -np.inf
    for number in range(settings.rounds + 1):
        normalized = ((seen - mean) / std).clamp(-10, 10)
        fitted = fit_linear(normalized, answers, world.task, *world.bounds, rank)
        weights = fitted.policy.weights
        if weights.shape[1] > width:  # networks would see another projection each
            strongest = weights.norm(dim=0).topk(width).indices
            unseen = torch.ones(weights.shape[1], dtype=torch.bool)
            unseen[strongest] = False
            fitted = fit_linear(
                normalized.masked_fill(unseen, 0.0), answers, world.task, *world.bounds, rank
            )
            fitted.policy.weights[:, unseen] = 0
        policy = dataclasses.replace(fitted.policy, mean=mean.double(), std=std.double())
        if settings.rounds == 0 or fitted.exact:
            return policy
        visited, _, returns = act(policy)
        logger.info("round %d: a linear policy gets %.1f", number, returns.mean())
        if returns.mean() > highest:
            best, highest = policy, returns.mean()
        seen = torch.cat([seen, visited])
        answers = torch.cat([answers, shown.teacher.answer(visited)])
    assert best is not None
    return best


def _closed_form(policy: LinearPolicy, shown: Shown) -> DistilledDataset:
    """A linear policy's rows, for the scale at which fresh networks miss it least."""
    assert policy.mean is not None and policy.std is not None
    # Coordinates that have no weight would only be noise to random layers.
    strength = policy.weights.abs().amax(0)
    used = (strength > _USED * strength.max()).nonzero().flatten()
    coordinates = None if len(used) in (0, len(strength)) else tuple(used.tolist())
    if coordinates is None:
        used = torch.arange(len(strength))
    weights, mean, std = policy.weights[:, used], policy.mean[used], policy.std[used]
    tested = shown.seen[torch.randperm(len(shown.seen))[:INPUTS]]
    wanted, tried = _acted(policy(tested), shown.world), []
    normalized = ((tested[:, used] - mean) / std).clamp(-10, 10).float()
    learner = _networks(shown.world)
    for scale in SCALES:
        rows = closed_form(
            weights / scale, policy.bias, learner, instances=shown.settings.instances
        )
        fixed = ObservationTransform(
            mean=tuple(mean.tolist()),
            std=tuple(std.tolist()),
            scale=scale,
            coordinates=coordinates,
        )
        dataset = shown.dataset(
            rows.observations,
            rows.targets,
            rows.learning_rate,
            fixed,
            minimum=shown.settings.instances is None,
            learner=learner,
        )
        networks = one_step_learners(dataset, torch.Generator().manual_seed(0), NETWORKS)
        missed = _acted(networks(scale * normalized), shown.world) - wanted
        tried.append((float(missed.square().mean()), dataset))
    return min(tried, key=lambda each: each[0])[1]


def _networks(world: World) -> LearnerSpec:
    """Networks like SB3's, but as wide as one-hot observations, of which none can be left out.

    Narrower layers would mix states up: fresh networks of width 64 get -502 in Taxi, of width
    512 the 8.0 of the best policy.
    """
    inputs = world.task.observation_shape[0]
    one_hot = isinstance(world.shown, spaces.Discrete | spaces.MultiDiscrete)
    if not one_hot or not LearnerSpec().hidden_sizes[0] < inputs <= WIDEST:
        return LearnerSpec()
    width = 2 ** math.ceil(math.log2(inputs))
    return LearnerSpec(hidden_sizes=(width, width))


def _acted(outputs: Tensor, world: World) -> Tensor:
    """What of outputs ``(..., n_outputs)`` counts: clipped means, or logits up to a constant."""
    if world.task.kind == "gaussian":
        return outputs.clamp(*world.bounds)
    return comparable(world.task, outputs)


def _learned(shown: Shown, progress: bool) -> DistilledDataset:
    """Rows that are learned from what a teacher answers where it goes."""
    settings, (mean, std) = shown.settings, shown.normal
    fixed = ObservationTransform(tuple(mean.tolist()), tuple(std.tolist()), scale=LEARNED_SCALE)
    instances = settings.instances or LEARNED_ROWS
    states = LEARNED_SCALE * ((shown.seen - mean) / std).clamp(-10, 10)
    refit = RefitSettings(instances=instances, consistency=LEARNED_CONSISTENCY, seed=settings.seed)

    def answer(rows: Tensor) -> Tensor:
        return shown.teacher.answer(rows / LEARNED_SCALE * std + mean)

    space = transformed_space(fixed, shown.world.observations)
    rows = learn_rows(
        states,
        shown.answers,
        first_rows(states, torch.tensor(LEARNED_SCALE), instances, refit.visited),
        answer,
        LearnerSpec(),
        space,
        refit,
        name=shown.world.spec.id,
        progress=progress,
    )
    return shown.dataset(rows.observations, rows.targets, rows.learning_rate, fixed)


def _nonlinear(shown: Shown, act: Playing, progress: bool) -> DistilledDataset:
    """Rows that are learned from what a teacher answers where learners go that are not linear."""
    settings = shown.settings
    if shown.world.shows_frames:
        level = 4 if settings.encoder_level is None else settings.encoder_level
        learner = dataclasses.replace(NATURE, encoder_level=level)
        return _behind(shown, act, progress, learner, None)
    used = looked_at(shown.teacher.answer, shown.seen, shown.answers)
    mean, std = (each[used].tolist() for each in shown.normal)
    places = None if len(used) == shown.seen.shape[1] else tuple(used.tolist())
    fixed = ObservationTransform(tuple(mean), tuple(std), coordinates=places)
    layers = settings.encoder if settings.width is None else (settings.width,)
    learner = LearnerSpec(
        hidden_sizes=layers, activation="relu", encoder_level=len(settings.encoder)
    )
    return _behind(shown, act, progress, learner, fixed)


def _behind(
    shown: Shown,
    act: Playing,
    progress: bool,
    learner: LearnerSpec,
    fixed: ObservationTransform | None,
) -> DistilledDataset:
    """The same for learners that see so much of an environment's observations."""
    settings, world = shown.settings, shown.world
    see = (lambda raw: raw) if fixed is None else transform_function(fixed)
    sticky = act.sticky()

    def transform(observations: Tensor) -> Tensor:
        return torch.from_numpy(see(observations.numpy()))

    def made(found: PlayedRows) -> DistilledDataset:
        rows = found.observations, found.targets, found.learning_rate
        return shown.dataset(*rows, fixed, learner=learner, encoder=found.encoder)

    def answering(found: PlayedRows) -> Callable[[Tensor], Tensor]:
        dataset = made(found)
        learners = one_step_learners(dataset, torch.Generator().manual_seed(0), COPIES)
        encode = dataset.encoder or nn.Identity()
        return lambda raw: learners.each_at_its_own(encode(transform(raw)))

    def play(several: list[PlayedRows]) -> tuple[int, Tensor, float]:
        answers = [answering(found) for found in several]
        played = [act(answer) for answer in answers]
        got = [float(each.returns.mean()) for each in played]
        best = max(range(len(got)), key=got.__getitem__)
        met = played[best].seen
        if sticky is not None:  # what is learned is to hold there, too
            met = torch.cat([met, sticky(answers[best]).seen])
        return best, met, got[best]

    encoded = ENCODED_ROWS if settings.encoder else LEARNED_ROWS
    whole = world.shows_frames and learner.encoder_level == 4
    found = learn_from_play(
        shown.teacher.answer,
        shown.teacher.network if world.shows_frames else None,
        world,
        shown.seen,
        shown.answers,
        transform,
        world.observations if fixed is None else transformed_space(fixed, world.observations),
        learner,
        settings.instances or (FRAME_ROWS if whole else encoded),
        settings.rounds,
        play,
        progress=progress,
    )
    act.env_steps += 0 if sticky is None else sticky.env_steps
    return made(found)
