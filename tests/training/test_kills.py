"""Runs that are killed at random moments, and go on.

By ``DISTILLED_ENVS_KILLS`` there are more of them; 50 of cart-pole and 10 of a game take minutes.
"""

import dataclasses
import multiprocessing
import os
import random
import time

import pytest
import torch

from distilled_envs.errors import SettingsError
from distilled_envs.training import AutomaticSettings, distill, distill_any
from distilled_envs.training.meta_ppo import MetaPPO

KILLS = int(os.environ.get("DISTILLED_ENVS_KILLS", "6"))


def killed_after(seconds, run, *arguments):
    """Start something in a process of its own, and kill it; how many iterations were done."""
    context = multiprocessing.get_context("fork")
    done = context.Value("i", 0, lock=False)

    def work():
        iterate = MetaPPO.iterate

        def counted(algorithm):
            metrics = iterate(algorithm)
            done.value = algorithm.iteration
            return metrics

        MetaPPO.iterate = counted
        run(*arguments, progress=False)

    worker = context.Process(target=work)
    worker.start()
    worker.join(seconds)
    worker.kill()
    worker.join()
    return done.value


def goes_on(settings, output):
    """What comes out in the end: of a run that was killed before it began, on starting it again."""
    try:
        return distill(settings, output, resume=True, progress=False)
    except SettingsError as error:
        assert "There is no run to resume" in str(error)
        return distill(settings, output, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cart-pole", "game", "guided game"])
def test_runs_come_out_as_if_they_had_not_been_killed(kind, tmp_path, short_run, tiny):
    kills = KILLS if kind == "cart-pole" else max(KILLS // 5, 1)
    if kind == "cart-pole":
        settings = dataclasses.replace(short_run, total_steps=10 * short_run.total_steps)
    else:
        settings = dataclasses.replace(
            tiny,
            guide_share=0.5 if kind == "guided game" else 0.0,
            total_steps=4 * tiny.total_steps,
            checkpoint_seconds=0.0,
        )
    started = time.monotonic()
    whole = distill(settings, tmp_path / "whole", progress=False)
    lasts, chance = time.monotonic() - started, random.Random(0)
    for kill in range(kills):
        output, after = tmp_path / f"run-{kill}", chance.uniform(0, 1.1 * lasts)
        iterations = killed_after(after, distill, settings, output)
        if (output / "checkpoint.pt").exists():
            kept = torch.load(output / "checkpoint.pt")["algorithm"]["iteration"]
            assert kept >= iterations - 1
        else:
            assert iterations <= 1
        dataset = goes_on(settings, output)
        for part in ("observations", "targets"):
            assert torch.equal(getattr(dataset, part), getattr(whole, part)), f"killed at {after}"
        assert dataset.spec.task == whole.spec.task
        assert dataset.spec.evaluation == whole.spec.evaluation
        assert not [*output.glob(".unfinished*")]


@pytest.mark.slow
def test_a_run_of_any_environment_goes_on_too(tmp_path):
    settings = AutomaticSettings("CliffWalking-v1", minutes=1.0, eval_learners=4)
    started = time.monotonic()
    whole = distill_any(settings, tmp_path / "whole", progress=False)
    lasts, chance = time.monotonic() - started, random.Random(0)
    for kill in range(max(KILLS // 3, 1)):
        output = tmp_path / f"run-{kill}"
        killed_after(chance.uniform(0, lasts), distill_any, settings, output)
        resume = (output / "run.json").exists()
        dataset = distill_any(settings, output, resume=resume, progress=False)
        assert torch.equal(dataset.observations, whole.observations)
        assert torch.equal(dataset.targets, whole.targets)
