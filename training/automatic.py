"""Any environment without settings: what is cheap first, and PPO where that is not enough.

1. Where observations are states by number, the best policy is computed (:mod:`.tabular`). Elsewhere
   the best linear policy is searched for (:mod:`.evolution`), where it has no more than some
   hundred numbers. Both become rows in closed form.
2. Where a linear policy does not solve the environment, PPO is trained (:mod:`.ppo_teacher`) and
   imitated: by a linear policy first, whose rows teach any network, and where that loses too much
   behind an encoder (:mod:`.nonlinear_distillation`).
3. Atari games are PPO's at once. What it has learned to see becomes the encoder.

What networks get most from after their one step is the dataset.
"""

import contextlib
import dataclasses
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distilled_envs.dataset import DistilledDataset
from distilled_envs.envs.atari import STICKY
from distilled_envs.envs.making import LONGEST, time_limit
from distilled_envs.envs.preprocessing import make_vec
from distilled_envs.errors import DivergedError, MissingExtraError, SettingsError
from distilled_envs.evaluation import EvaluationOptions
from distilled_envs.formatting import written
from distilled_envs.learners.threads import torch_threads
from distilled_envs.records import read_json
from distilled_envs.storage.files import alone_in, atomic_path, given_path, sweep
from distilled_envs.studies.drop_in import share_of_own
from distilled_envs.training.automatic_settings import AutomaticSettings
from distilled_envs.training.evolution import evolve, pycma
from distilled_envs.training.imitation_settings import ImitationSettings
from distilled_envs.training.linear_policy import LinearPolicy
from distilled_envs.training.playing import COPIES
from distilled_envs.training.policy_distillation import imitate
from distilled_envs.training.ppo_teacher import train_ppo
from distilled_envs.training.provenance import made_with
from distilled_envs.training.run_folder import check_free, check_run
from distilled_envs.training.sure_returns import NETWORKS, own_return, score
from distilled_envs.training.tabular import has_table, solve_table
from distilled_envs.training.world import World, say_if_unending, world_of

logger = logging.getLogger(__name__)

SEARCH, PPO, ALL = 0.2, 0.55, 1.25
"""Shares of the time for linear policies, and for PPO; and of the time that all may take, with the
evaluation at the end. What has to be played after PPO is taken from PPO's."""
SEARCHED = 500
"""Numbers of a linear policy from which a search for it would take hours; PPO gets its time."""
ENCODER = (128, 128)
GAME_ROUNDS = 2
"""In which learners of a game play before the last fit. With the teacher's own layers each is soon
as good as the next, and takes three minutes of one core."""
ENOUGH, _SAME = 0.95, 0.99
"""Share of a return that counts as all of it, and as no difference."""
SOFTER = (1.0, 0.4, 0.1)
"""Factors on the logits of a linear policy that are tried: networks follow small ones more closely,
and sampled actions follow large ones. On Acrobot-v1 likeliest actions get -137 with 1, -86 with 0.4
and -81 with 0.04, and sampled ones -92, -105 and -393."""
_FITTING, _TIMED = 90.0, 1.0
"""Seconds in which an encoder is fitted, and for which play is timed."""
_LEAST = 0.3
"""Share of the time that PPO has at least, where the rest would take all of it."""
_LINEAR, _PPO, _RUN, _DATASET = "linear.npz", "ppo", "run.json", "dataset"
_FREE = {"minutes", "eval_learners", "eval_episodes"}
"""Settings that may change on resuming."""
_TABLE_STEPS, _SEARCH_STEPS = 1_000_000, 100_000_000


@dataclass
class _Tried:
    """One way to rows.

    Attributes:
        way: What it was, for people.
        teacher: What its teacher got.
        dataset: What came out; None where nothing was tried.
        networks: What networks got after one step, on average.
        least: What the worst of them got.
        episodes: That networks can play in the evaluation at the end.
        env_steps: Environment steps of the imitation.
        seconds: That search and imitations took.
    """

    way: str
    teacher: float = -math.inf
    dataset: DistilledDataset | None = None
    networks: float = -math.inf
    least: float = -math.inf
    episodes: int = 1
    env_steps: int = 0
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """What the provenance keeps of it."""
        if self.dataset is None:
            return {"way": self.way}
        numbers = {"teacher": round(self.teacher, 3), "networks": round(self.networks, 3)}
        return {"way": self.way} | numbers


def distill_any(
    settings: AutomaticSettings,
    output: str | Path,
    *,
    resume: bool = False,
    progress: bool = True,
    command: str | None = None,
) -> DistilledDataset:
    """Make a dataset of an environment, by what it needs.

    Ctrl-C keeps a linear policy that was found, and what PPO has learned; the step that it stops is
    done again by ``resume``.

    Args:
        settings: What, and how long.
        output: Folder of the run: policies that were found, and the dataset.
        resume: Go on with the run in ``output``.
        progress: Whether to show bars.
        command: The shell command that asked for it, kept in the dataset's provenance.

    Returns:
        The dataset, which also lies in ``<output>/dataset``. Its provenance says as ``tried`` what
        each way got, and as ``choice`` why this one was taken.

    Raises:
        SettingsError: The environment can't be distilled, or shows frames and is no Atari game, or
            ``output`` does not fit.
        StorageError: ``output`` can't be written, or another run goes on there.
        MissingExtraError: pycma is not installed; or Stable-Baselines3 is not, and there is no
            linear policy.
    """
    started, folder = time.monotonic(), given_path(output)
    world = world_of(
        settings.env_id, settings.env_kwargs, max_episode_steps=settings.max_episode_steps
    )
    game = world.preprocessing == "atari"
    if world.shows_frames and not game:
        raise SettingsError(
            f"{world.spec.id} shows frames: its settings are those of meta-PPO, by "
            "for_environment(id)."
        )
    if not (has_table(world) or game):
        pycma()  # before there is a run to go on with
    say_if_unending(world)
    (check_run if resume else check_free)(folder)
    with alone_in(folder):
        settings, before = _begin(folder, settings, resume)
        for each in (folder, folder / _PPO):
            sweep(each)
        return _made(world, settings, folder, started - before, progress, command)


def _made(
    world: World,
    settings: AutomaticSettings,
    folder: Path,
    started: float,
    progress: bool,
    command: str | None,
) -> DistilledDataset:
    """The dataset of a run, whose folder no other process works in; ``started`` as if at once."""
    if (folder / _DATASET).exists():
        logger.info("%s is finished already", folder)
        return DistilledDataset.load(folder / _DATASET)
    try:
        with torch_threads(1):
            if world.shows_frames:
                tried = [_game(world, settings, folder, progress)]
            else:
                tried = [_linear(world, settings, folder, progress)]
            if not (world.shows_frames or has_table(world) or _solved(world, tried[0])):
                try:
                    tried.extend(_with_ppo(world, settings, folder, tried[0], progress))
                except (MissingExtraError, DivergedError) as error:
                    if all(each.dataset is None for each in tried):
                        raise
                    logger.warning("%s So it ends with what there is.", error)
            best = max(tried, key=lambda each: each.networks)
            dataset = best.dataset
            assert dataset is not None
            protocol: EvaluationOptions = {
                "learners": settings.networks,
                "episodes": max(settings.eval_episodes, best.episodes),
                "progress": progress,
            }
            scores = {"one_step": dataset.evaluate(**protocol).to_dict()}
            if world.preprocessing == "atari":
                asked = world.spec.kwargs["repeat_action_probability"]
                protocol["sticky"] = max(asked, STICKY)
                scores["one_step_sticky"] = dataset.evaluate(**protocol).to_dict()
    finally:
        spent = time.monotonic() - started
        _write(folder, settings, spent)
    made = dataset.spec.provenance | made_with("automatic", command, settings.seed)
    made["env_steps"] = _steps(tried)
    made["wall_seconds"] = round(spent, 1)
    made["settings"] = dataclasses.asdict(settings)
    made["choice"] = _why(best, tried)
    made["tried"] = [each.record() for each in tried]
    dataset.spec = dataset.spec.replace(provenance=made, evaluation=scores)
    dataset.save(folder / _DATASET)
    return DistilledDataset.load(folder / _DATASET)


def _linear(world: World, settings: AutomaticSettings, folder: Path, progress: bool) -> _Tried:
    """A table, or a linear policy; of too many numbers none is searched for."""
    path, way = folder / _LINEAR, "a table" if has_table(world) else "a linear policy"
    size = world.task.n_outputs * (world.task.observation_shape[0] + 1)
    if not path.exists():
        if has_table(world):
            policy = solve_table(
                world,
                _TABLE_STEPS,
                seconds=(SEARCH + PPO) * settings.seconds,
                seed=settings.seed,
                progress=progress,
            )
        elif size <= SEARCHED:
            policy = evolve(
                world,
                _SEARCH_STEPS,
                seconds=SEARCH * settings.seconds,
                seed=settings.seed,
                threads=0,
                progress=progress,
            ).policy
        else:
            return _Tried(f"no search for a linear policy of {size:,} numbers")
        policy.save(path)
    found = LinearPolicy.load(path)
    soft = world.task.kind == "categorical" and not has_table(world)
    policies = [
        dataclasses.replace(found, weights=factor * found.weights, bias=factor * found.bias)
        for factor in (SOFTER if soft else SOFTER[:1])
    ]
    started = time.monotonic()
    tried = [_imitated(way, policy, world, settings, progress) for policy in policies]
    highest = max(each.networks for each in tried)
    best = next(each for each in tried if _reaches(each.networks, highest, _SAME))
    return dataclasses.replace(
        best,
        env_steps=sum(each.env_steps for each in tried),
        # A search that was finished before Ctrl-C says itself how long it took.
        seconds=found.made.get("wall_seconds", 0.0) + time.monotonic() - started,
    )


def _game(world: World, settings: AutomaticSettings, folder: Path, progress: bool) -> _Tried:
    """PPO, and behind what it has learned to see a fresh last layer for each network."""
    seconds = (SEARCH + PPO) * settings.seconds
    model = train_ppo(world, seconds, folder / _PPO, seed=settings.seed, progress=progress)
    way = "PPO, behind its own layers"
    return _imitated(way, model, world, settings, progress, rounds=GAME_ROUNDS)


def _with_ppo(
    world: World, settings: AutomaticSettings, folder: Path, linear: _Tried, progress: bool
) -> Iterator[_Tried]:
    """PPO, followed by a linear policy and, where that is not enough, behind an encoder."""
    # What linear policies have left of their time is PPO's; what slow environments need later is
    # not.
    whole = settings.seconds
    left = max((SEARCH + PPO) * whole - linear.seconds, PPO * whole)
    after = ALL * whole - linear.seconds - _FITTING - _playing(world, settings)
    seconds = max(min(left, after), _LEAST * whole)
    model = train_ppo(world, seconds, folder / _PPO, seed=settings.seed, progress=progress)
    if linear.dataset is not None:
        followed = _imitated("PPO, followed by a linear policy", model, world, settings, progress)
        own = own_return(model, world, settings.seed)
        yield dataclasses.replace(followed, teacher=own)
        if _reaches(max(linear.networks, followed.networks), own):
            return
    yield _imitated("PPO, behind an encoder", model, world, settings, progress, encoder=ENCODER)


def _playing(world: World, settings: AutomaticSettings) -> float:
    """Seconds of play after PPO, if all episodes last to their time limit.

    BipedalWalker-v3 takes three minutes for it, and its fallen walkers never show that before.
    """
    limit, steps = time_limit(world.spec), 0
    if limit is None:  # nobody knows
        return 0.0
    with contextlib.closing(make_vec(world.spec, COPIES, world.preprocessing)) as env:
        env.reset(seed=settings.seed)
        started = time.monotonic()
        while steps == 0 or time.monotonic() - started < _TIMED:
            env.step(env.action_space.sample())
            steps += COPIES
        pace = steps / (time.monotonic() - started)
    # Two imitations, in each a teacher, rounds and a score of two episodes; PPO's own return; and
    # both action modes at the end.
    imitated = 2 * (3 * NETWORKS + (ImitationSettings().rounds + 1) * COPIES)
    evaluated = 2 * settings.networks * settings.eval_episodes
    return (imitated + 2 * NETWORKS + evaluated) * min(limit, LONGEST) / pace


def _imitated(
    way: str,
    teacher: Any,
    world: World,
    settings: AutomaticSettings,
    progress: bool,
    **how: Any,
) -> _Tried:
    """Rows of a teacher; no learned ones, which take minutes and teach what is linear, too."""
    imitation = ImitationSettings(seed=settings.seed, enough=0.0, episodes=NETWORKS, **how)
    dataset = imitate(teacher, world, imitation, progress=progress)
    made = dataset.spec.provenance
    got = made["imitation"]["teacher_return"]
    networks, least, episodes = made["imitation"]["return"], made["imitation"]["least"], 1
    if not world.shows_frames:
        networks, least, episodes = score(dataset, settings.networks)
    logger.info("%s: networks get %s of %s", way, written(networks), written(float(got)))
    return _Tried(way, got, dataset, networks, least, episodes, made["env_steps"])


def _solved(world: World, linear: _Tried) -> bool:
    """Whether all networks get what the environment counts as solved."""
    threshold = world.spec.reward_threshold
    return threshold is not None and linear.least >= threshold


def _reaches(found: float, wanted: float, enough: float = ENOUGH) -> bool:
    share = share_of_own(found, wanted)
    return found >= wanted or (share is not None and share >= enough)


def _why(best: _Tried, tried: list[_Tried]) -> str:
    """What was chosen, in one line."""
    others = [
        f"{each.way}: {written(each.networks)}"
        for each in tried
        if each is not best and each.dataset is not None
    ]
    said = f"{best.way}, from which networks get {written(best.networks)}"
    return said + (f" ({'; '.join(others)})" if others else "")


def _steps(tried: list[_Tried]) -> int:
    """Environment steps of all imitations, and of their teachers, each counted once."""
    made = [each.dataset.spec.provenance for each in tried if each.dataset is not None]
    teachers = {each["teacher"]["name"]: each["teacher"].get("env_steps", 0) for each in made}
    return sum(each.env_steps for each in tried) + sum(teachers.values())


def _begin(
    folder: Path, settings: AutomaticSettings, resume: bool
) -> tuple[AutomaticSettings, float]:
    """A run that starts or goes on: its settings, and the seconds that were spent before.

    What may change, and nobody says on resuming, stays as it was.

    Raises:
        SettingsError: The folder holds something else.
    """
    asked, path = json.loads(json.dumps(dataclasses.asdict(settings))), folder / _RUN
    if not resume:
        check_free(folder)
        _write(folder, settings, 0.0)
        return settings, 0.0
    try:
        record = read_json(path.read_text())
        before, spent = record["automatic"], float(record["seconds"])
        unsaid = {key: before[key] for key in sorted(_FREE) if asked[key] is None}
        settings, asked = dataclasses.replace(settings, **unsaid), asked | unsaid
        changed = [key for key in asked if asked[key] != before[key]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise SettingsError(
            f"{folder} holds no run that could go on: start without --resume, or, if it is one of "
            "meta-PPO, with the flags that it was started with."
        ) from None
    if not _FREE.issuperset(changed):
        raise SettingsError(
            f"{folder} was started with other settings ({', '.join(changed)}): choose another "
            "--output."
        )
    if changed and (folder / _DATASET).exists():
        raise SettingsError(
            f"The run in {folder} is finished, and another {' and '.join(changed)} would change "
            "nothing: choose another --output."
        )
    return settings, spent


def _write(folder: Path, settings: AutomaticSettings, seconds: float) -> None:
    record = {"automatic": dataclasses.asdict(settings), "seconds": round(seconds, 1)}
    with atomic_path(folder / _RUN) as path:
        path.write_text(json.dumps(record, indent=1) + "\n")
