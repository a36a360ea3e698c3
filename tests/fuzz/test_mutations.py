"""Folders of datasets and of a run that were changed at random, hashes made right again.

A dataset is loaded, trained on, saved and made an environment, and a run goes on, in a process that
may die. A fault is a raw exception, more than five seconds, or more than 1 GiB. Only pyarrow may
end the process. By ``DISTILLED_ENVS_MUTATIONS`` and ``DISTILLED_ENVS_SEED`` more are tried.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from distilled_envs import load_distilled

SEED = int(os.environ.get("DISTILLED_ENVS_SEED", "0"))
MUTATIONS = int(os.environ.get("DISTILLED_ENVS_MUTATIONS", "600"))
NAMES = ("cartpole-nd-2d-min", "pendulum-encoder", "frozenlake-min", "a run")
WORKER = Path(__file__).parent / "worker.py"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_mutated_folders_are_used_or_refused_in_words(
    name, tmp_path, capsys, interrupted, short_run
):
    if name == "a run":
        interrupted(
            dataclasses.replace(short_run, total_steps=short_run.total_steps // 2), tmp_path / "set"
        )
    else:
        load_distilled(name).save(tmp_path / "set")
    count, faults, number, last = Counter(), [], 0, MUTATIONS // len(NAMES)
    while number < last:
        arguments = [tmp_path / "set", SEED, number, last]
        ran = subprocess.run(
            [sys.executable, WORKER, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60 + MUTATIONS,
        )
        done = ""
        for line in map(json.loads, ran.stdout.splitlines()):
            if "done" in line:
                number, done = line["number"], line["done"]
                continue
            count[line["said"].split()[0]] += 1
            if line["said"].startswith("RAW"):
                faults.append(f"{number}: {done}: {line['said']}")
        if ran.returncode:
            assert done, ran.stderr
            count["died"] += 1
            if "parquet" not in ran.stderr and "arrow" not in ran.stderr:
                faults.append(f"{number}: {done}: died of {ran.returncode}: {ran.stderr[-300:]}")
        number += 1
    with capsys.disabled():
        print(f"\n{name}: seed {SEED}, {last} mutations: {dict(count)}")
    assert not faults, "\n".join(faults)
    assert count["used"] and count["refused"]
