import sys

import gymnasium as gym
import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from distilled_envs import load_distilled
from distilled_envs.before_after import before_and_after
from distilled_envs.cli import main
from distilled_envs.envs.registering import import_module
from distilled_envs.errors import DistilledEnvsError, MissingExtraError, PolicyError
from distilled_envs.learners.policies import policy_module
from distilled_envs.watch import LAST_FRAME, as_frame, picture, watch, write_video


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_videos_show_a_learner_that_holds_the_poles(tmp_path, ending, capsys):
    video = tmp_path / f"film.{ending}"
    assert main(["watch", "cartpole_2d", f"--video={video}", "--max-steps=60"]) == 0
    shown = capsys.readouterr()
    assert "episode 1: return 60.0" in shown.out
    assert "An episode goes on after the 60 steps that are shown." in shown.err
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
    with pytest.raises(MissingExtraError, match=r"\[render\]"):
        watch(load_distilled("cartpole_1d"))


def test_what_cannot_be_drawn_says_what_to_install(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    dataset = load_distilled("cartpole_1d")

    def no_display(**kwargs):
        raise RuntimeError("no OpenGL context")

    monkeypatch.setattr(dataset, "make_env", no_display)
    with pytest.raises(DistilledEnvsError, match=r"no OpenGL context.*libegl1"):
        watch(dataset)


@pytest.mark.parametrize("name", ["cartpole_2d", "hopper", "pong"])
def test_before_and_after_stand_side_by_side(tmp_path, name, capsys):
    video = tmp_path / "film.mp4"
    command = ["watch", name, f"--video={video}", "--compare", "--max-steps=60", "--episodes=2"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.count("before the step,") == 2
    frames = imageio.imread(video)
    assert len(frames) >= 30
    height, width, _ = frames.shape[1:]
    assert width == 976
    assert height % 16 == 0
    left, right = frames[:, 60:-30, :480], frames[:, 60:-30, 496:976]
    differ = [abs(left[each].astype(int) - right[each]).mean() for each in range(len(frames))]
    assert 2 * differ[0] < max(differ)  # from the same state to others
    assert frames[:, :50, :480].std() > 0  # captions
    assert frames[:, :50, 496:].std() > 0


def test_the_camera_follows_who_walks_away(tmp_path):
    video = tmp_path / "film.mp4"
    before_and_after(load_distilled("halfcheetah-encoder"), video, max_steps=60)
    right = imageio.imread(video)[[0, -1], 60:-30, 496:976].astype(int)
    cheetah = (right[..., 0] - right[..., 2] > 25).sum((1, 2))  # of brown on gray
    assert cheetah[1] > cheetah[0] / 2 > 500


def test_what_falls_fades_and_stays(tmp_path):
    dataset = load_distilled("cartpole_2d")
    video = tmp_path / "film.gif"
    ((before, after),) = before_and_after(dataset, video, max_steps=80)
    assert before < 40 < after == 80
    frames = imageio.imread(video)
    fallen, standing = frames[-1, 60:-30, :480], frames[-1, 60:-30, 496:]
    assert frames[0, 60:-30, :480].min() < 50
    assert fallen.min() > 100
    assert standing.min() < 50


def test_pictures_of_any_environment_become_frames():
    cells = np.zeros((10, 10, 3))
    cells[0, 0] = 1.0  # as MinAtar draws
    frame = as_frame(cells)
    assert frame.shape == (100, 100, 3) and frame.dtype == np.uint8
    assert frame[:10, :10].min() == 255 and frame[10:].max() == 0
    whole = np.full((240, 320, 3), 7, dtype=np.uint8)
    assert np.array_equal(as_frame(whole), whole)
    for wrong in (None, "ansi", np.zeros((8, 8)), [whole, whole]):
        with pytest.raises(ValueError, match="its picture has shape"):
            as_frame(wrong)


@pytest.mark.parametrize("drawn", [None, np.zeros(3), RuntimeError("no OpenGL")])
def test_a_report_goes_without_the_picture_of_what_cannot_be_drawn(monkeypatch, drawn):
    dataset = load_distilled("cartpole_1d")
    assert picture(dataset).startswith(b"\x89PNG")
    closed = []

    class Faulty(gym.Wrapper):
        def render(self):
            if isinstance(drawn, Exception):
                raise drawn
            return drawn

        def close(self):
            closed.append(True)

    made = dataset.make_env
    monkeypatch.setattr(dataset, "make_env", lambda **how: Faulty(made(**how)))
    assert picture(dataset) is None
    assert closed


@pytest.mark.parametrize("name", ["minatar-breakout", "cartpole_1d"])
def test_environments_that_name_no_speed_are_filmed(tmp_path, name, monkeypatch):
    if name.startswith("minatar"):
        pytest.importorskip("minatar")
        import_module("minatar.gym")
    dataset, video = load_distilled(name), tmp_path / "film.gif"
    made = dataset.make_env

    def without_speed(**how):
        env = made(**how)
        env.metadata = {"render_modes": env.metadata["render_modes"]}
        return env

    monkeypatch.setattr(dataset, "make_env", without_speed)
    before_and_after(dataset, video, max_steps=10)
    assert len(imageio.imread(video)) > 1


@pytest.mark.parametrize("count", [1, 11, 12])
def test_the_last_frame_of_a_gif_is_the_last_step_and_stays(tmp_path, count):
    """Of 50 frames a second it shows every second one."""
    frames = [np.zeros((16, 16, 3), np.uint8) for _ in range(count)]
    for place, frame in enumerate(frames):
        frame[:, place] = 255
    write_video(tmp_path / "film.gif", frames, 50.0)
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == (count + 1) // 2
        film.seek(film.n_frames - 1)
        assert film.info["duration"] == LAST_FRAME
        assert np.array_equal(np.asarray(film.convert("RGB")), frames[-1])


@pytest.mark.parametrize("kind", ["module", "float64", "SB3"])
def test_a_network_of_ones_own_is_filmed_and_stays_as_it_was(tmp_path, kind):
    dataset = load_distilled("cartpole_2d")
    mine = torch.nn.Sequential(torch.nn.Linear(8, 256), torch.nn.ReLU(), torch.nn.Linear(256, 4))
    if kind == "float64":
        mine = mine.double()
    if kind == "SB3":
        mine = pytest.importorskip("stable_baselines3").PPO("MlpPolicy", dataset.make_env())
    mine = dataset.initialize(mine)
    given = policy_module(mine).state_dict()
    kept = {name: value.clone() for name, value in given.items()}
    video = tmp_path / "film.gif"
    ((before, after),) = before_and_after(dataset, video, mine, max_steps=60)
    assert before < 40 < after == 60
    assert all(torch.equal(value, kept[name]) for name, value in given.items())


def test_a_network_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(PolicyError):
        before_and_after(load_distilled("cartpole_2d"), tmp_path / "a.gif", torch.nn.Linear(3, 3))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "give a --video"),
        (["--video=film.avi"], "ends in .mp4 or .gif"),
        (["--video=film.gif", "--episodes=0"], "at least 1"),
        (["--video=no/where.gif"], "There is no folder no"),
        (["--video=film.gif", "--seed=-1"], "A seed is a whole number"),
    ],
)
def test_mistakes_with_both_are_told(flags, said, capsys):
    assert main(["watch", "cartpole_1d", "--compare", *flags]) == 1
    assert said in capsys.readouterr().err
