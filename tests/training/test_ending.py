"""Runs that end before their time."""

import dataclasses
import json
import logging
import math

import pytest
import torch

from distilled_envs.errors import SettingsError
from distilled_envs.training import distill
from distilled_envs.training.ending import HELD, Ending


@pytest.fixture
def long_run(short_run):
    """Forty iterations that are solved as soon as they can be: nobody falls within five steps."""
    return dataclasses.replace(
        short_run, total_steps=10 * short_run.total_steps, reward_threshold=5
    )


def noted(ending, mean_return, count, first=1, ended=2, recent=16):
    """It, after so many iterations with such a return."""
    for iteration in range(first, first + count):
        ending.note(iteration, mean_return, ended, recent)
    return ending


def test_a_threshold_must_be_held_for_some_iterations(long_run):
    ending = noted(Ending(long_run), 5.0, HELD - 1)
    noted(ending, 4.9, 1, first=HELD)  # one iteration below it, and all begins again
    noted(ending, 5.0, HELD - 1, first=HELD + 1)
    assert (ending.solved, ending.iterations) == (0, 40)
    noted(ending, 5.0, 1, first=2 * HELD)
    assert (ending.solved, ending.iterations) == (20, 25)
    noted(ending, 0.0, 5, first=21)  # what happens after that changes nothing
    assert (ending.solved, ending.iterations) == (20, 25)


def test_one_batch_of_long_episodes_is_not_enough(long_run):
    """In HalfCheetah all copies end in the same iteration, and none in the next fifteen."""
    ending = noted(Ending(long_run), 5.0, 1, ended=8)
    noted(ending, 5.0, 15, first=2, ended=0)
    assert not ending.solved
    noted(ending, 5.0, 1, first=17, ended=8)
    assert ending.solved == 17


def test_no_episode_has_ended_yet(long_run):
    assert noted(Ending(long_run), math.nan, 39, ended=0, recent=0).iterations == 40


def test_a_run_without_a_threshold_takes_all_its_steps(long_run):
    ending = Ending(dataclasses.replace(long_run, reward_threshold=None))
    assert noted(ending, 1e9, 39).iterations == 40


def test_it_never_ends_later_and_counts_from_when_learners_play(long_run):
    late = noted(Ending(long_run, begins=25), 5.0, 37)
    assert (late.solved, late.iterations) == (35, 38)
    last = noted(Ending(long_run, begins=29), 5.0, 40)
    assert (last.solved, last.iterations) == (39, 40)


def test_what_held_a_higher_threshold_holds_a_lower_one(long_run):
    state = noted(Ending(long_run), 5.0, 12).state_dict()
    for threshold, solved in ((5, 10), (4.5, 10), (5.5, 0), (None, 0)):
        ending = Ending(dataclasses.replace(long_run, reward_threshold=threshold))
        ending.load_state_dict(state)
        assert ending.solved == solved
    other = Ending(long_run, begins=11)  # of a guide, with other steps
    other.load_state_dict(state)
    assert not other.solved


def test_networks_finish_a_solved_run(long_run):
    settings = dataclasses.replace(long_run, limit_share=1.0)
    ending = Ending(settings)
    assert ending.is_of_limit_learners(39)
    noted(ending, 5.0, HELD)
    assert not ending.is_of_limit_learners(HELD)
    assert (ending.limit_solved, ending.solved) == (HELD, 0)
    state = ending.state_dict()
    # They have to hold the threshold, too.
    noted(ending, 4.0, 3, first=HELD + 1)
    noted(ending, 5.0, HELD, first=HELD + 4)
    assert (ending.solved, ending.iterations) == (2 * HELD + 3, 29)
    again = Ending(settings)
    again.load_state_dict(state)
    assert not again.is_of_limit_learners(HELD)
    assert noted(again, 5.0, HELD, first=HELD + 1).solved == 2 * HELD


def test_networks_may_come_before_the_threshold(long_run):
    ending = Ending(dataclasses.replace(long_run, limit_share=0.25))
    assert [ending.is_of_limit_learners(iteration) for iteration in (9, 10)] == [True, False]
    noted(ending, 5.0, 12)  # as many before as they lack
    assert (ending.limit_solved, ending.solved) == (10, 0)
    assert noted(ending, 5.0, 8, first=13).solved == 20


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
    with pytest.raises(SettingsError, match="more --total-steps and a higher --reward-threshold"):
        distill(more, tmp_path / "run", resume=True, progress=False)
    lower = dataclasses.replace(long_run, reward_threshold=4)
    with pytest.raises(SettingsError, match="would change nothing"):
        distill(lower, tmp_path / "run", resume=True, progress=False)
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
    interrupted(long_run, run, after=12, of=14)
    dataset = distill(long_run, run, resume=True, progress=False)
    assert dataset.spec.provenance["solved"] == whole.spec.provenance["solved"]
    assert dataset.observations.equal(whole.observations)
    assert dataset.targets.equal(whole.targets)


def test_a_run_from_before_there_were_thresholds_goes_on(long_run, tmp_path, interrupted):
    run = tmp_path / "run"
    interrupted(dataclasses.replace(long_run, reward_threshold=None), run, after=12, of=40)
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    del state["algorithm"]["ending"]
    torch.save(state, run / "checkpoint.pt")
    record = json.loads((run / "run.json").read_text())
    del record["settings"]["reward_threshold"]
    (run / "run.json").write_text(json.dumps(record))
    made = distill(long_run, run, resume=True, progress=False).spec.provenance
    assert made["solved"]["env_steps"] == 22 * long_run.steps_per_iteration
    assert made["changed_on_resuming"] == [{"iteration": 12, "reward_threshold": [None, 5]}]


@pytest.mark.parametrize("threshold", [math.nan, math.inf])
def test_a_threshold_is_a_number(long_run, threshold):
    with pytest.raises(SettingsError, match="reward_threshold must be finite"):
        dataclasses.replace(long_run, reward_threshold=threshold)
