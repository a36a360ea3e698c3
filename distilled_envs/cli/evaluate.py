"""The command ``evaluate``."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distilled_envs.cli.choice import Choice
from distilled_envs.envs.atari import STICKY
from distilled_envs.errors import SettingsError
from distilled_envs.formatting import written
from distilled_envs.storage.folder import write_spec

if TYPE_CHECKING:
    from distilled_envs.dataset import DistilledDataset


def evaluate(
    choice: Choice,
    *,
    learners: int | None = None,
    episodes: int | None = None,
    seed: int | None = None,
    hidden_sizes: tuple[int, ...] | None = None,
    drop_in: bool = False,
    sticky: bool = False,
    json: bool = False,
    save: bool = False,
) -> None:
    """Train fresh learners on a dataset, one gradient step each, and play for real.

    Args:
        choice: Which dataset.
        learners: Fresh networks; 100, for a game 32, if not given.
        episodes: Episodes of each, in each action mode; 5, of a game 1, if not given.
        seed: Seed of networks, environments and actions.
        hidden_sizes: Hidden layers of the networks; those that the dataset was distilled for,
            if not given.
        drop_in: Also train 10 networks with Adam on the rows and 10 with SB3's PPO on the
            distilled environment, and play with them (minutes).
        sticky: Play an Atari game with sticky actions (0.25, as the -v5 games have them) too.
        json: Print the results as JSON.
        save: Write the results into the dataset folder's distillation.json.
    """
    protocol = {"learners": learners, "episodes": episodes, "progress": sys.stderr.isatty()}
    run_evaluation(
        choice.load(),
        protocol | ({} if seed is None else {"seed": seed}),
        hidden_sizes,
        drop_in=drop_in,
        sticky=sticky,
        as_json=json,
        save=save,
    )


def run_evaluation(
    dataset: "DistilledDataset",
    protocol: dict[str, Any],
    hidden_sizes: tuple[int, ...] | None,
    *,
    drop_in: bool,
    sticky: bool = False,
    as_json: bool,
    save: bool,
) -> None:
    """Evaluate a dataset, print the scores and perhaps keep them in its folder."""
    if save and dataset.source.kind != "folder":
        raise SettingsError("--save writes into a dataset folder: give the folder, not a name.")
    learner, training = dataset.spec.learner, "one_step"
    if hidden_sizes is not None and (not hidden_sizes or min(hidden_sizes) < 1):
        raise SettingsError(f"hidden_sizes must be positive, got {hidden_sizes}.")
    if hidden_sizes is not None and learner.architecture != "mlp" and len(hidden_sizes) != 1:
        raise SettingsError(f"A CNN has one hidden layer after its convolutions: {hidden_sizes}.")
    if hidden_sizes is not None and drop_in:
        raise SettingsError("--drop-in trains the dataset's own networks: leave out hidden_sizes.")
    if hidden_sizes is not None and learner.architecture == "mlp" and learner.encoder_level:
        raise SettingsError(
            f"The hidden layers of {dataset.spec.name} come with it: leave out hidden_sizes."
        )
    if sticky and dataset.spec.preprocessing != "atari":
        raise SettingsError(f"--sticky is for Atari games, and {dataset.spec.env.id} is none.")
    if hidden_sizes not in (None, learner.hidden_sizes):
        learner = dataclasses.replace(learner, hidden_sizes=hidden_sizes)
        training += "_" + "x".join(map(str, hidden_sizes))
    evaluation = dataset.evaluate(learner=learner, **protocol)
    record = {training: evaluation.to_dict()}
    if not as_json:
        print(f"{dataset.spec.name}, {training}\n{evaluation}", flush=True)
    if sticky:
        again = dataset.evaluate(learner=learner, sticky=STICKY, **protocol)
        record[f"{training}_sticky"] = again.to_dict()
        if not as_json:
            print(f"with sticky actions ({STICKY})\n{again}", flush=True)
    if drop_in:
        from distilled_envs.studies.drop_in import measure_drop_in

        record |= measure_drop_in(dataset, episodes=evaluation.episodes)
        for training in ("adam_to_convergence", "sb3_ppo_on_bandit"):
            if not as_json:
                scores = record[training]
                modes = [
                    f"{mode} {written(scores[mode]['mean'])} (std {written(scores[mode]['std'])})"
                    for mode in ("sampled", "greedy")
                ]
                print(f"{training}, {scores['steps']} steps: {', '.join(modes)}")
    if as_json:
        print(json.dumps(record, indent=2))
    if save:
        spec = dataset.spec.replace(evaluation=dataset.spec.evaluation | record)
        write_spec(Path(dataset.source.location), spec)
