import sys

import imageio.v3 as imageio
import pytest

from distilled_envs import load_distilled
from distilled_envs.cli import main
from distilled_envs.errors import DistilledEnvsError, MissingExtraError
from distilled_envs.watch import watch


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_videos_show_a_learner_that_holds_the_poles(tmp_path, ending, capsys):
    video = tmp_path / f"film.{ending}"
    assert main(["watch", "cartpole_2d", f"--video={video}", "--max-steps=60"]) == 0
    shown = capsys.readouterr()
    assert "episode 1: return 60.0" in shown.out
    assert "Episode 1 goes on after the 60 steps that are shown." in shown.err
    frames = imageio.imread(video)
    # A gif has every second frame, and those that equal their neighbor are merged.
    assert frames.shape[0] == 60 if ending == "mp4" else 15 <= frames.shape[0] <= 30
    assert frames.shape[1:] == (240, 720, 3)
    assert (frames[0] != frames[-1]).any()
    assert [path.name for path in tmp_path.iterdir()] == [video.name]


def test_window(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    dataset = load_distilled("cartpole_1d")
    assert watch(dataset, episodes=2, max_steps=5) == [5.0, 5.0]


def test_without_a_display_there_is_no_window(monkeypatch):
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(DistilledEnvsError, match="no display for a window"):
        watch(load_distilled("cartpole_1d"))


def test_what_draws_may_be_missing(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(MissingExtraError, match=r"distilled-envs\[render\]"):
        watch(load_distilled("cartpole_1d"))


def test_what_cannot_be_drawn_says_what_to_install(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    dataset = load_distilled("cartpole_1d")

    def no_display(**kwargs):
        raise RuntimeError("no OpenGL context")

    monkeypatch.setattr(dataset, "make_env", no_display)
    with pytest.raises(DistilledEnvsError, match=r"no OpenGL context.*libegl1"):
        watch(dataset)
