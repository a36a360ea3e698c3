import subprocess
import sys
from importlib import metadata

import pytest

from distilled_envs import load_distilled
from distilled_envs.catalog import entries
from distilled_envs.envs.real import env_spaces, make_env
from distilled_envs.envs.registering import import_module


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, id=entry.spec.name, marks=[] if entry.dims else [pytest.mark.slow])
        for entry in entries()
    ],
)
def test_bundled_spaces_are_those_of_the_real_environment(entry):
    if entry.spec.env_module is not None:
        pytest.importorskip(entry.spec.env_module)
        import_module(entry.spec.env_module)
    if ".box2d" in entry.spec.env.entry_point:
        pytest.importorskip("Box2D")
    env = make_env(entry.spec)
    env.close()
    assert entry.spec.spaces is not None
    for known in (entry.spec.spaces, env_spaces(entry.spec.replace(spaces=None))):
        for before, after in (
            (env.observation_space, known.observation),
            (env.action_space, known.action),
        ):
            assert before == after
            if hasattr(before, "low"):
                assert before.dtype == after.dtype
                assert (before.low == after.low).all()
                assert (before.high == after.high).all()


def test_mujoco_speaks_to_the_log_alone(tmp_path):
    code = (
        "import logging, sys; logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)\n"
        "from distilled_envs import load_distilled\n"
        "load_distilled('halfcheetah').make_env().close()\n"
        "load_distilled('halfcheetah').make_vec_env(2).close()\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr == ""
    assert not [*tmp_path.iterdir()]  # it would write a file
    if int(metadata.version("mujoco").split(".")[0]) >= 4:  # earlier ones say nothing
        assert "DEBUG:distilled_envs.envs.making:MuJoCo: compiler attribute" in done.stdout


def test_an_unstable_simulation_is_told_of(caplog):
    mujoco = pytest.importorskip("mujoco")
    load_distilled("halfcheetah").make_env().close()
    if not hasattr(mujoco, "get_mju_user_warning"):
        pytest.skip("this MuJoCo takes no handler")
    mujoco.get_mju_user_warning()("Nan, Inf or huge value in QACC at DOF 0.")
    assert [record.levelname for record in caplog.records][-1] == "WARNING"
