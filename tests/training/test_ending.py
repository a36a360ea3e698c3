"""Runs that end before their time."""

import dataclasses
import logging
import math

import pytest

from distilled_envs.errors import SettingsError
from distilled_envs.training import distill
from distilled_envs.training.ending import HELD, Ending


@pytest.fixture
def long_run(short_run):
    """Forty iterations that are solved as soon as they can be: nobody falls within five steps."""
    return dataclasses.replace(
        short_run, total_steps=10 * short_run.total_steps, reward_threshold=5
    )


def test_a_threshold_must_be_held_for_some_iterations(long_run):
    ending = Ending(long_run)
    for iteration in range(1, HELD):
        ending.note(iteration, 5.0)
    ending.note(HELD, 4.9)  # one iteration below it, and all begins again
    for iteration in range(HELD + 1, 2 * HELD + 1):
        assert (ending.solved, ending.iterations) == (0, 40)
        ending.note(iteration, 5.0)
    assert (ending.solved, ending.iterations) == (20, 25)
    ending.note(21, 0.0)  # what happens after that changes nothing
    assert (ending.solved, ending.iterations) == (20, 25)


def test_no_episode_has_ended_yet(long_run):
    ending = Ending(long_run)
    for iteration in range(1, 40):
        ending.note(iteration, math.nan)
    assert ending.iterations == 40


def test_a_run_without_a_threshold_takes_all_its_steps(long_run):
    ending = Ending(dataclasses.replace(long_run, reward_threshold=None))
    for iteration in range(1, 40):
        ending.note(iteration, 1e9)
    assert ending.iterations == 40


def test_it_never_ends_later_and_counts_from_when_learners_play(long_run):
    late = Ending(long_run, begins=25)
    for iteration in range(1, 38):
        late.note(iteration, 5.0)
    assert (late.solved, late.iterations) == (35, 38)
    last = Ending(long_run, begins=29)
    for iteration in range(1, 41):
        last.note(iteration, 5.0)
    assert (last.solved, last.iterations) == (39, 40)


def test_a_solved_run_ends_and_says_so(long_run, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    dataset = distill(long_run, tmp_path / "run", progress=False)
    made, each = dataset.spec.provenance, long_run.steps_per_iteration
    # No episode ends in the first iteration.
    assert made["solved"] == {"reward_threshold": 5, "env_steps": 11 * each}
    assert made["env_steps"] == 14 * each
    assert "solved: a mean return of 5.0 for 10 iterations" in caplog.text
    # It is finished, until it is to get more.
    again = distill(long_run, tmp_path / "run", resume=True, progress=False)
    assert again.spec.provenance == made
    more = dataclasses.replace(long_run, total_steps=50 * each)
    with pytest.raises(SettingsError, match="give it a higher --reward-threshold"):
        distill(more, tmp_path / "run", resume=True, progress=False)
    higher = dataclasses.replace(long_run, total_steps=15 * each, reward_threshold=501)
    longer = distill(higher, tmp_path / "run", resume=True, progress=False)
    assert longer.spec.provenance["env_steps"] == 15 * each
    assert "solved" not in longer.spec.provenance
    assert (tmp_path / "run" / f"dataset-{14 * each}").is_dir()


def test_a_run_that_is_stopped_in_its_last_phase_ends_as_if_undisturbed(
    long_run, tmp_path, interrupted
):
    whole = distill(long_run, tmp_path / "whole", progress=False)
    run = tmp_path / "run"
    interrupted(long_run, run, after=12)
    dataset = distill(long_run, run, resume=True, progress=False)
    assert dataset.spec.provenance["solved"] == whole.spec.provenance["solved"]
    assert dataset.observations.equal(whole.observations)
    assert dataset.targets.equal(whole.targets)


@pytest.mark.parametrize("threshold", [math.nan, math.inf])
def test_a_threshold_is_a_number(long_run, threshold):
    with pytest.raises(SettingsError, match="reward_threshold must be finite"):
        dataclasses.replace(long_run, reward_threshold=threshold)
