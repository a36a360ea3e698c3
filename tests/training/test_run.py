import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from distilled_envs.dataset import DistilledDataset
from distilled_envs.distilled_env import DistilledEnv
from distilled_envs.errors import DivergedError, SettingsError
from distilled_envs.installation import install_command
from distilled_envs.learners.threads import torch_threads
from distilled_envs.spaces import EnvSpaces
from distilled_envs.training import PRESETS, GameSettings, Settings, distill
from distilled_envs.training.meta_ppo import MetaPPO

TINY = Settings(
    name="cartpole-nd-1d-min",
    env_id="CartPoleND-v0",
    dims=1,
    instances=2,
    total_steps=8 * 4 * 2 * 16,
    threads=1,
    learners=4,
    envs_per_learner=2,
    horizon=16,
    minibatches=2,
    eval_learners=3,
    eval_episodes=1,
)


@pytest.mark.slow
def test_distills_one_dimensional_cartpole(tmp_path):
    """The real thing: from noise to two rows that teach fresh networks, within a minute."""
    settings = dataclasses.replace(
        PRESETS["cartpole-nd-1d-min"], total_steps=1_800_000, seed=1, threads=1
    )
    dataset = distill(settings, tmp_path / "run", progress=False, command="a test")
    one_step = dataset.spec.evaluation["one_step"]
    assert one_step["learners"] == 100
    assert one_step["sampled"]["mean"] >= 450
    assert len(dataset) == 2
    untrained = dataset.evaluate(dataset.new_policy(seed=0))
    assert untrained.sampled.mean < 60
    space = dataset.make_env().observation_space
    assert all(space.contains(row) for row in dataset.observations.numpy())
    provenance = dataset.spec.provenance
    assert provenance["command"] == "a test"
    assert provenance["settings"] == json.loads(json.dumps(dataclasses.asdict(settings)))
    assert provenance["wall_seconds"] > 0
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    curve = provenance["training_curve"]
    assert len(curve["env_steps"]) == len(curve["return"]) == 60
    assert curve["env_steps"][-1] == provenance["env_steps"]
    assert curve["return"][0] < 100 < 400 < curve["return"][-1]


def same(one: DistilledDataset, two: DistilledDataset) -> bool:
    return (
        torch.equal(one.observations, two.observations)
        and torch.equal(one.targets, two.targets)
        and one.spec.inner == two.spec.inner
    )


class StopAfter:
    """Sends this process Ctrl-C's signal after n iterations."""

    def __init__(self, monkeypatch, iterations):
        original = MetaPPO.end_iteration

        def end_iteration(algorithm, *args):
            metrics = original(algorithm, *args)
            if algorithm.iteration == iterations:
                os.kill(os.getpid(), signal.SIGINT)
            return metrics

        monkeypatch.setattr(MetaPPO, "end_iteration", end_iteration)


def test_resumed_run_equals_an_uninterrupted_one(tmp_path, monkeypatch):
    whole = distill(TINY, tmp_path / "whole", progress=False)
    assert same(whole, distill(TINY, tmp_path / "repeat", progress=False))
    with monkeypatch.context() as patch:
        StopAfter(patch, 3)
        with pytest.raises(KeyboardInterrupt, match=r"after 3 of 8 iterations.*--resume"):
            distill(TINY, tmp_path / "stopped", progress=False)
    assert not (tmp_path / "stopped" / "dataset").exists()
    resumed = distill(TINY, tmp_path / "stopped", resume=True, progress=False)
    assert same(whole, resumed)
    assert whole.spec.evaluation == resumed.spec.evaluation
    curves = [each.spec.provenance["training_curve"] for each in (whole, resumed)]
    assert curves[0] == curves[1]
    assert curves[0]["env_steps"] == sorted(set(curves[0]["env_steps"]))
    other = distill(dataclasses.replace(TINY, seed=1), tmp_path / "other", progress=False)
    assert not same(whole, other)
    # A finished run is given back as it is.
    assert same(whole, distill(TINY, tmp_path / "stopped", resume=True, progress=False))


def test_a_run_that_is_stopped_again_names_the_last_command(tmp_path, monkeypatch):
    def stopped(iterations: int, command: str, resume: bool) -> str:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as stop:
            StopAfter(patch, iterations)
            distill(TINY, tmp_path / "run", resume=resume, progress=False, command=command)
        return str(stop.value)

    assert stopped(1, "distill a", False).endswith("go on with `distill a --resume`")
    again = stopped(2, "distill a --resume --entropy 0", True)
    assert again.endswith("go on with `distill a --resume --entropy 0`")


@pytest.mark.slow
def test_killed_run_goes_on_from_its_last_checkpoint(tmp_path):
    settings = dataclasses.replace(TINY, total_steps=100_000_000, checkpoint_seconds=0.2)
    code = (
        "import dataclasses, sys\n"
        "from distilled_envs.training import Settings, distill\n"
        f"distill({settings!r}, sys.argv[1], progress=False)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")])
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.kill()
    process.wait()
    state = torch.load(checkpoint, weights_only=True)
    assert state["algorithm"]["iteration"] > 0
    iteration = state["algorithm"]["iteration"]
    seen = []

    def stop(algorithm):
        seen.append(algorithm.iteration)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MetaPPO, "iterate", stop)
        with pytest.raises(KeyboardInterrupt):
            distill(settings, tmp_path / "run", resume=True, progress=False)
    assert seen == [iteration]


def test_diverging_run_stops_and_keeps_its_checkpoint(tmp_path, monkeypatch):
    settings = dataclasses.replace(TINY, checkpoint_seconds=0.0)
    original = MetaPPO.iterate

    def poison(algorithm):
        if algorithm.iteration == 3:
            algorithm.batch.targets.data[0, 0] = float("nan")
        return original(algorithm)

    monkeypatch.setattr(MetaPPO, "iterate", poison)
    with pytest.raises(DivergedError, match=r"in iteration 4.*checkpoint of iteration 3.*smaller"):
        distill(settings, tmp_path / "run", progress=False)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert state["algorithm"]["iteration"] == 3
    assert all(v.isfinite().all() for v in state["algorithm"]["batch"].values())
    assert not (tmp_path / "run" / "dataset").exists()
    # The message's advice works, and what was changed is on record.
    monkeypatch.setattr(MetaPPO, "iterate", original)
    slower = dataclasses.replace(settings, learning_rate=1e-4)
    dataset = distill(slower, tmp_path / "run", resume=True, progress=False)
    changes = dataset.spec.provenance["changed_on_resuming"]
    assert changes == [{"iteration": 3, "learning_rate": [0.01, 0.0001]}]


def test_absurd_learning_rate_is_called_divergence(tmp_path):
    wild = dataclasses.replace(TINY, learning_rate=30.0, total_steps=TINY.total_steps * 20)
    with pytest.raises(DivergedError):
        distill(wild, tmp_path / "run", progress=False)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("mine")
    with pytest.raises(SettingsError, match="exists already"):
        distill(TINY, tmp_path / "run", progress=False)
    with pytest.raises(SettingsError, match="no run to resume"):
        distill(TINY, tmp_path / "run", resume=True, progress=False)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_resuming_with_other_settings_is_refused(tmp_path, monkeypatch):
    StopAfter(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        distill(TINY, tmp_path / "run", progress=False)
    changed = dataclasses.replace(TINY, instances=3, checkpoint_seconds=5)
    with pytest.raises(SettingsError, match=r"other settings \(instances 2 -> 3\)"):
        distill(changed, tmp_path / "run", resume=True, progress=False)


def test_targets_have_a_rate_of_their_own_which_may_change(tmp_path, interrupted):
    settings = dataclasses.replace(TINY, total_steps=2 * 4 * 2 * 16, target_learning_rate=1e-5)
    moved = []
    start = MetaPPO.__init__

    def note_and_start(run, *args):
        start(run, *args)
        moved.extend(
            [run.batch, run.batch.targets.detach().clone(), run.batch.rows.detach().clone()]
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MetaPPO, "__init__", note_and_start)
        interrupted(settings, tmp_path / "run")
    batch, targets, rows = moved
    updates = settings.epochs * settings.minibatches
    assert 0 < (batch.targets - targets).abs().max() < 2 * updates * 1e-5
    assert (batch.rows - rows).abs().max() > updates * 1e-3
    with pytest.raises(SettingsError, match="target_learning_rate 1e-05 -> None"):
        distill(
            dataclasses.replace(settings, target_learning_rate=None),
            tmp_path / "run",
            resume=True,
            progress=False,
        )
    slower = dataclasses.replace(settings, target_learning_rate=1e-6)
    dataset = distill(slower, tmp_path / "run", resume=True, progress=False)
    changes = dataset.spec.provenance["changed_on_resuming"]
    assert changes == [{"iteration": 1, "target_learning_rate": [1e-5, 1e-6]}]


def test_a_finished_run_can_go_on_for_longer(tmp_path):
    first = distill(TINY, tmp_path / "run", progress=False)
    longer = dataclasses.replace(TINY, total_steps=2 * TINY.total_steps)
    dataset = distill(longer, tmp_path / "run", resume=True, progress=False)
    provenance, before = dataset.spec.provenance, first.spec.provenance
    assert provenance["env_steps"] == 2 * before["env_steps"]
    assert provenance["changed_on_resuming"] == [
        {"iteration": TINY.iterations, "total_steps": [TINY.total_steps, longer.total_steps]}
    ]
    assert not same(dataset, first)
    kept = DistilledDataset.load(tmp_path / "run" / f"dataset-{before['env_steps']}")
    assert same(kept, first)
    assert same(dataset, distill(longer, tmp_path / "run", resume=True, progress=False))


def test_a_run_from_before_there_was_a_setting_goes_on(tmp_path, interrupted):
    settings = dataclasses.replace(TINY, total_steps=2 * 4 * 2 * 16)
    interrupted(settings, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    del record["settings"]["entropy"]
    path.write_text(json.dumps(record))
    dataset = distill(settings, tmp_path / "run", resume=True, progress=False)
    assert dataset.spec.provenance["changed_on_resuming"] == []


def test_a_run_of_another_version_is_told(tmp_path, interrupted):
    settings = dataclasses.replace(TINY, total_steps=2 * 4 * 2 * 16)
    interrupted(settings, tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    record["settings"]["normalise_rewards"] = record["settings"].pop("normalize_rewards")
    path.write_text(json.dumps(record))
    with pytest.raises(SettingsError, match=r"another version .* settings normalise_rewards"):
        distill(settings, tmp_path / "run", resume=True, progress=False)


def test_settings_of_a_guide_can_not_be_left_out_on_resuming(tmp_path, interrupted):
    settings = dataclasses.replace(TINY, total_steps=2 * 4 * 2 * 16)
    interrupted(GameSettings(**vars(settings), guide_share=0.5), tmp_path / "run")
    with pytest.raises(SettingsError, match=r"guide_share 0\.5 -> 0\.0"):
        distill(settings, tmp_path / "run", resume=True, progress=False)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"env_id": "NoSuchEnv-v0", "dims": None}, "can't be made"),
        ({"env_id": "CartPole-v1"}, "can't be made"),  # it knows no dims
        ({"env_kwargs": {"gravity": float("inf")}}, "can't be"),
        ({"dims": 0}, "whole number from 1"),
        ({"coordinates": (0, 4), "observation_scale": 1.0}, r"must lie in 0\.\.3"),
    ],
)
def test_environments_that_cannot_be_distilled_are_refused(tmp_path, changes, sentence):
    with pytest.raises(SettingsError, match=sentence):
        distill(dataclasses.replace(TINY, **changes), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_observations_stay_inside_the_bounds(tmp_path):
    wild = dataclasses.replace(TINY, learning_rate=0.1, consistency=0.0, instances=8)
    dataset = distill(wild, tmp_path / "run", progress=False)
    space = dataset.make_env().observation_space
    assert all(space.contains(row) for row in dataset.observations.numpy())
    assert (dataset.observations[:, 2].abs() == space.high[2]).any()  # the bound was needed


def test_library_use_leaves_global_state_alone(tmp_path):
    rng, threads = torch.get_rng_state(), torch.get_num_threads()
    handler = signal.getsignal(signal.SIGINT)
    distill(TINY, tmp_path / "run", progress=False)
    assert torch.equal(rng, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert signal.getsignal(signal.SIGINT) is handler


def test_without_tensorboard_there_is_no_log_and_all_else(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    caplog.set_level("INFO", "distilled_envs")
    assert len(distill(TINY, tmp_path / "run", progress=False)) == TINY.instances
    assert install_command("train") in caplog.text
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_checkpoint_that_is_damaged_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        StopAfter(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            distill(TINY, tmp_path / "run", progress=False)
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"noise")
    with pytest.raises(SettingsError, match=r"checkpoint\.pt is damaged"):
        distill(TINY, tmp_path / "run", resume=True, progress=False)


def test_any_environment_with_vectors_can_be_distilled(tmp_path):
    """Continuous actions, in Gymnasium's own vector environments."""
    settings = dataclasses.replace(
        TINY,
        name="pendulum-8",
        env_id="Pendulum-v1",
        dims=None,
        instances=8,
        observation_scale=0.2,
        normalize_rewards=True,
        target_kl=0.03,
    )
    whole = distill(settings, tmp_path / "run", progress=False)
    spec = whole.spec
    assert (spec.task.kind, len(spec.task.target_log_std)) == ("gaussian", 1)
    assert spec.observation_transform.scale == 0.2
    real = whole.make_env()
    assert spec.spaces == EnvSpaces(real.observation_space, real.action_space)
    assert real.observation_space.high.max() <= 2.0 + 1e-6
    assert whole.evaluate(whole.train(seed=0), episodes=2).greedy.mean < 0
    assert DistilledEnv(whole).action_space == real.action_space  # rows are in bounds
    with pytest.MonkeyPatch.context() as patch:
        StopAfter(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            distill(settings, tmp_path / "stopped", progress=False)
    resumed = distill(settings, tmp_path / "stopped", resume=True, progress=False)
    assert resumed.spec.provenance["env_steps"] == spec.provenance["env_steps"]


def test_rows_stay_as_small_as_observations(tmp_path):
    """A large outer rate drives rows up, by 0.03 a step, and the bound on their size holds them."""
    settings = dataclasses.replace(
        TINY,
        env_id="Pendulum-v1",
        dims=None,
        instances=8,
        observation_scale=0.1,
        learning_rate=0.03,
        anneal=False,
        consistency=0.0,
    )
    dataset = distill(settings, tmp_path / "run", progress=False)
    assert dataset.observations.square().mean().sqrt() == pytest.approx(0.1, rel=1e-3)


def test_learners_may_see_some_coordinates(tmp_path):
    settings = dataclasses.replace(
        TINY,
        name="pendulum-8",
        env_id="Pendulum-v1",
        dims=None,
        instances=8,
        observation_scale=0.2,
        coordinates=(2, 0),
    )
    dataset = distill(settings, tmp_path / "run", progress=False)
    assert dataset.observations.shape == (8, 2)
    transform = dataset.spec.observation_transform
    # Its angular velocity goes to 8, the cosine to 1.
    assert transform.coordinates == (2, 0)
    assert transform.std[0] > 2 * transform.std[1]
    assert dataset.make_env().observation_space.shape == (2,)


def test_a_name_stands_for_a_preset(tmp_path):
    with pytest.raises(SettingsError, match=r"no preset 'cartpole-nd-2d-mni'; the nearest: cart"):
        distill("cartpole-nd-2d-mni", tmp_path / "run")


def test_small_networks_get_one_thread_and_the_run_says_so(short_run, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    settings = dataclasses.replace(short_run, threads=None)
    with torch_threads(2):
        dataset = distill(settings, tmp_path / "run", progress=False)
        assert torch.get_num_threads() == 2
    assert "torch uses 1 thread (--threads)" in caplog.text
    assert dataset.spec.provenance["torch_threads"] == 1
    more = distill(dataclasses.replace(short_run, threads=2), tmp_path / "more", progress=False)
    assert more.spec.provenance["torch_threads"] == 2
