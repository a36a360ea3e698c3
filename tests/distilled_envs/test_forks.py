"""Processes that were forked from one that had used torch's pool of threads."""

import subprocess
import sys
import textwrap

import pytest

TIME = 120.0
"""Seconds after which a child counts as hanging."""

BEFORE = """
    import multiprocessing
    import gymnasium as gym
    import torch
    import distilled_envs

    torch.set_num_threads(2)
    torch.rand(512, 512) @ torch.rand(512, 512)  # the pool is started, as a user's own code may
    torch.rand(2**20).add(1)
"""


def told(code: str) -> str:
    """What a program says after :data:`BEFORE`."""
    program = textwrap.dedent(BEFORE) + textwrap.dedent(code)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=TIME
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("env_id", ["DistilledPong-v0", "DistilledHopper-v0"])
def test_distilled_environments_step_in_workers(env_id):
    if env_id == "DistilledPong-v0":
        pytest.importorskip("PIL")
    said = told(f"""
        envs = gym.make_vec("{env_id}", num_envs=2, vectorization_mode="async")
        envs.reset(seed=0)
        print(envs.step(envs.action_space.sample())[1].shape)
        envs.close()
    """)
    assert said == "(2,)\n"


@pytest.mark.parametrize("name", ["cartpole-nd-2d-min", "pong-level4"])
def test_workers_load_train_fit_and_evaluate(name):
    if name == "pong-level4":
        pytest.importorskip("PIL")
    said = told(f"""
        def work(seed):
            dataset = distilled_envs.load_distilled("{name}")
            policy = dataset.train(dataset.initialize(dataset.new_policy(), seed=seed))
            assert dataset.diagnose(dataset.new_policy()).learns
            dataset.new_learners(4)
            if "{name}".startswith("pong"):
                return len(dataset)
            assert dataset.evaluate(learners=100, episodes=1).learners == 100
            dataset.fit(policy, dataset.expand(64), steps=3)
            return dataset.evaluate(policy, episodes=2).greedy.returns.shape[1]

        work(0)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(pool.map(work, [1, 2]))
    """)
    assert said == ("[2, 2]\n" if name.startswith("cartpole") else "[16, 16]\n")
