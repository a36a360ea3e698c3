"""Learners shared out among processes."""

import dataclasses
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.wrappers.utils import RunningMeanStd

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DistilledEnvsError, RankError, SettingsError
from distilled_envs.learners.limit import LimitPopulation
from distilled_envs.learners.mixture import Mixture
from distilled_envs.learners.population import Population
from distilled_envs.training import GameSettings, distill, distributed
from distilled_envs.training.backends import make_training_envs
from distilled_envs.training.centering import center, centered
from distilled_envs.training.critics import QuadraticCritic
from distilled_envs.training.ppo import Steps
from distilled_envs.training.run import make_algorithm
from distilled_envs.training.run_folder import RunFolder
from distilled_envs.training.world import world_of


def in_ranks(count, work, *arguments):
    """What ``work`` gives in each of so many processes that share it, or the error it raises."""
    context = multiprocessing.get_context("fork")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    answers = context.Queue()

    def run(rank):
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ |= address | {"RANK": str(rank), "WORLD_SIZE": str(count)}
        try:
            answers.put((rank, work(*arguments)))
        except DistilledEnvsError as error:
            answers.put((rank, error))
        except BaseException:
            answers.put((rank, traceback.format_exc()))

    workers = [context.Process(target=run, args=(rank,), daemon=True) for rank in range(count)]
    try:
        for worker in workers:
            worker.start()
        given = dict(answers.get(timeout=120) for _ in workers)
    finally:
        for worker in workers:
            worker.join(5)
            worker.kill()
    assert not [each for each in given.values() if isinstance(each, str)], given
    return [given[rank] for rank in range(count)]


def part_of(learners, begin, end):
    """Some of the learners of a population."""
    if isinstance(learners, LimitPopulation):
        cut = {name: getattr(learners, name)[begin:end] for name in ("leaks", "weights", "bias")}
        return dataclasses.replace(learners, **cut)
    (population,) = learners.parts
    cut = {name: value[begin:end] for name, value in population.parameters.items()}
    return Mixture((Population(population.network, cut),))


def after_an_iteration(settings):
    """Batch and critic after one iteration, the same draws whoever takes part."""
    world = world_of(settings.env_id, settings.make_kwargs)
    torch.manual_seed(0)
    env = make_training_envs(settings, world, 0)
    algorithm = make_algorithm(settings, env, world.task, 0)
    fresh = algorithm.fresh_learners()
    steps = algorithm.roll_out(algorithm.after_step(fresh))
    with distributed.process_group("cpu"):
        mine = distributed.share(settings)
        begin = distributed.rank() * mine.learners
        end = begin + mine.learners
        algorithm.settings = mine
        algorithm.fresh_learners = lambda: part_of(fresh, begin, end)
        given = {name: value for name, value in vars(steps).items() if value is not None}
        cut = {name: value[begin:end] for name, value in given.items()}
        algorithm.roll_out = lambda policy: Steps(**cut)
        torch.manual_seed(1)
        metrics = algorithm.iterate()
    values = [*algorithm.batch.parameters(), *algorithm.critic.parameters()]
    return metrics, [value.detach().numpy() for value in values]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"limit_share": 0.9},
        {"target_kl": 1e-4},
        {"env_id": "Pendulum-v1", "dims": None, "observation_scale": 0.1},
    ],
)
def test_two_ranks_move_the_rows_as_one_process_does(short_run, changes):
    settings = dataclasses.replace(short_run, horizon=64, total_steps=4 * 4 * 2 * 64, **changes)
    alone, parameters = after_an_iteration(settings)
    for metrics, values in in_ranks(2, after_an_iteration, settings):
        for name in alone.keys() - {"return"}:
            assert metrics[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-5), name
        for value, own in zip(values, parameters, strict=True):
            np.testing.assert_allclose(value, own, rtol=1e-3, atol=1e-4)


def test_statistics_are_those_of_all_ranks():
    values = np.random.default_rng(0).normal(3.0, 2.0, (2, 50, 4)).astype(np.float32)
    network = torch.nn.Sequential(torch.nn.Linear(4, 2))

    def fitted(seen):
        """A critic's values of some states, after returns of 1 + x^2 between resets."""
        seen = torch.from_numpy(seen).unsqueeze(0)
        none, returns = torch.zeros(seen.shape[:2]), 1 + seen[..., 0].square()
        valid = (seen[..., 1] > 2.5).float()
        critic = QuadraticCritic(4)
        critic.fit(Steps(seen, none, none, none, torch.where(valid > 0, returns, 1e3), valid))
        return critic(torch.from_numpy(values[0, :5])).numpy()

    def work():
        with distributed.process_group("cpu"):
            mine = values[distributed.rank()]
            layers = centered(network)
            center(layers, torch.from_numpy(mine))
            counts = distributed.all_reduce_sum(1.0, distributed.rank())
            return distributed.moments(mine), layers[0].mean.numpy(), counts, fitted(mine)

    together = RunningMeanStd(shape=(4,))
    together.update(values.reshape(100, 4))
    for moments, mean, counts, values_of_states in in_ranks(2, work):
        own = RunningMeanStd(shape=(4,))
        own.update_from_moments(*moments)
        np.testing.assert_allclose(own.mean, together.mean, rtol=1e-6)
        np.testing.assert_allclose(own.var, together.var, rtol=1e-6)
        assert own.count == together.count
        np.testing.assert_allclose(mean, values.mean((0, 1)), rtol=1e-5)
        assert counts == [2.0, 1.0]
        np.testing.assert_allclose(values_of_states, fitted(values.reshape(100, 4)), rtol=1e-3)


def test_a_run_is_shared_and_goes_on_with_more_or_fewer(short_run, tmp_path):
    run = tmp_path / "run"

    def work(settings, resume):
        dataset = distill(settings, run, resume=resume, progress=False)
        return dataset.observations.numpy(), dataset.spec.provenance

    def written():
        return DistilledDataset.load(run / "dataset").observations.numpy()

    def longer(times):
        return dataclasses.replace(short_run, total_steps=times * short_run.total_steps)

    (rows, made), (others, _) = in_ranks(2, work, short_run, False)
    assert (rows == others).all()
    assert (made["processes"], made["env_steps"]) == (2, short_run.total_steps)
    assert made["settings"]["learners"] == short_run.learners
    _, made = work(longer(2), True)
    assert "processes" not in made
    assert made["env_steps"] == 2 * short_run.total_steps
    for given, made in in_ranks(4, work, longer(3), True):
        assert (made["processes"], made["env_steps"]) == (4, 3 * short_run.total_steps)
        assert (given == written()).all()
    again = in_ranks(2, work, longer(3), True)  # which is finished
    assert all((rows == written()).all() for rows, _ in again)
    files = {path.name for path in run.iterdir()} - {".lock", "tensorboard"}
    assert files == {"checkpoint.pt", "dataset", "run.json", *older(run)}


def older(run):
    """Names of what a run gave before it went on."""
    return {path.name for path in run.glob("dataset-*")}


def test_ranks_roll_out_other_episodes(short_run):
    def work():
        with distributed.process_group("cpu"):
            mine = distributed.share(short_run)
            distributed.seed_own_draws(0, 0)
            return mine.learners, mine.iterations, torch.rand(1).item()

    first, second = in_ranks(2, work)
    assert first[:2] == second[:2] == (short_run.learners // 2, short_run.iterations)
    assert first[2] != second[2]


@pytest.mark.parametrize(
    "changes",
    [{"learners": 3}, {"families": ("orthogonal", "pytorch", "xavier"), "instances": 4}],
)
def test_learners_that_cannot_be_shared_out_are_refused(short_run, tmp_path, changes):
    settings = dataclasses.replace(short_run, **changes)
    for error in in_ranks(2, distill, settings, tmp_path / "run"):
        assert isinstance(error, SettingsError)
        assert "can't be shared out among 2 processes" in str(error)
    assert not (tmp_path / "run").exists()


def test_settings_are_those_of_the_first_rank(short_run, tmp_path):
    def work(*runs):
        rank = int(os.environ["RANK"])
        for number, settings in enumerate(runs):
            own = dataclasses.replace(settings, seed=rank, horizon=16 + 16 * rank)
            dataset = distill(own, tmp_path / f"run{number}", progress=False)
        return dataset.observations.numpy(), dataset.spec.provenance["settings"]["horizon"]

    (rows, horizon), (others, other) = in_ranks(2, work, short_run, short_run)  # one after another
    assert (rows == others).all() and horizon == other == 16


def test_all_ranks_start_by_the_best_constant_action(short_run, tmp_path):
    other = {"name": "mountain-car", "env_id": "MountainCar-v0", "dims": None}
    other |= {"observation_scale": 0.2, "constant_start": True}
    settings = GameSettings(**vars(short_run) | other)

    def work():
        return distill(settings, tmp_path / "run", progress=False).targets.numpy()

    one, two = in_ranks(2, work)
    assert (one == two).all()


def test_an_error_of_the_first_rank_ends_the_others(short_run, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
    first, second = in_ranks(2, distill, short_run, tmp_path / "run")
    assert "exists already" in str(first)
    assert isinstance(second, RankError)
    assert "Process 2 of 2 no longer hears the others" in str(second)


def test_nobody_is_heard_where_nobody_is(monkeypatch):
    alone = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in alone.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(distributed, "_FOUND_IN", distributed.timedelta(seconds=1))
    told = r"Process 2 of 2 does not find the others at 127.0.0.1:1"
    with pytest.raises(RankError, match=told), distributed.process_group("cpu"):
        pass
    assert distributed.world_size() == 1


def torchrun(*arguments, **changes):
    """The command line under torchrun, in two processes."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--standalone", "-m", "distilled_envs.cli", *arguments),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **changes,
    )


TINY = (
    *("distill", "cartpole-nd-1d-min", "--eval-learners", "3", "--eval-episodes", "1"),
    *("--learners", "4", "--envs-per-learner", "2", "--horizon", "16", "--minibatches", "2"),
    *("--checkpoint-seconds", "0", "--no-progress"),
)


@pytest.mark.slow
def test_torchrun_shares_a_run_out(tmp_path):
    command = (*TINY, "--total-steps", "512", "--output", str(tmp_path / "run"))
    process = torchrun(*command)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.count("3 fresh networks, one gradient step each") == 1
    dataset = DistilledDataset.load(tmp_path / "run" / "dataset")
    assert dataset.spec.provenance["processes"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_rank_that_ends_ends_the_others_and_the_checkpoint_stands(tmp_path, number):
    run = tmp_path / "run"
    steps = ("--total-steps", "50000000", "--output", str(run))
    process = torchrun(*TINY, *steps, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (run / "checkpoint.pt").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    if number == signal.SIGKILL:
        os.kill(second_of(process.pid), number)
    else:
        os.killpg(process.pid, number)  # as a terminal does
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    said = [line for line in err.splitlines() if line.startswith("distilled-envs: ")]
    if number == signal.SIGKILL:
        assert len(said) == 1
        assert "Process 1 of 2 no longer hears the others: one of them has ended" in said[0]
    else:
        assert any("stopped after" in line and "is written" in line for line in said)
    done = RunFolder(run, {}).iteration()
    assert done > 0
    again = torchrun(
        *TINY, "--total-steps", str(128 * (done + 2)), "--output", str(run), "--resume"
    )
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert DistilledDataset.load(run / "dataset").spec.provenance["env_steps"] == 128 * (done + 2)


def second_of(parent):
    """The process of the second rank."""
    for folder in os.listdir("/proc"):
        try:
            environ = Path(f"/proc/{folder}/environ").read_bytes().split(b"\0")
            status = Path(f"/proc/{folder}/stat").read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        if int(status[1]) == parent and b"RANK=1" in environ:
            return int(folder)
    raise AssertionError("there is no second rank")
