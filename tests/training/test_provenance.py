"""What a run has log, through checkpoints; and the commit that its code is of."""

import subprocess

import pytest

from distilled_envs.training.provenance import TrainingLog, git_revision


def test_it_goes_through_a_checkpoint():
    log = TrainingLog(1.5, 20)
    log.note(64, float("nan"))  # no episode has ended
    log.note(128, 1.0)
    state = {"algorithm": {}} | log.to_checkpoint()
    assert TrainingLog.from_checkpoint(state) == log
    del state["returns"]  # from before it was kept
    assert TrainingLog.from_checkpoint(state) == TrainingLog(1.5, 20)


@pytest.mark.parametrize("count", [0, 1, 60, 1000])
def test_a_curve_has_its_ends_and_not_too_many_points(count):
    log = TrainingLog(returns=[(64 * i, i / 3) for i in range(count)])
    curve = log.curve()
    assert len(curve["env_steps"]) == len(curve["return"]) == min(count, 60)
    if count:
        assert curve["env_steps"][0] == 0
        assert curve["env_steps"][-1] == 64 * (count - 1)
        assert curve["return"][-1] == round((count - 1) / 3, 2)


def test_git_revision_is_that_of_tracked_files_only(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True
        )

    tracked, installed = tmp_path / "code.py", tmp_path / "site-packages" / "code.py"
    installed.parent.mkdir()
    for file in (tracked, installed):
        file.write_text("1")
    assert git_revision(tracked) is None
    git("init")
    git("add", "code.py")
    git("commit", "-m", "one")
    clean = git_revision(tracked)
    assert len(clean) == 40
    assert git_revision(installed) is None
    tracked.write_text("2")
    assert git_revision(tracked) == f"{clean}-dirty"
