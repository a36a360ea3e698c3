import json
import re

import gymnasium as gym
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DatasetError, DistilledEnvsError, MissingExtraError, SettingsError
from distilled_envs.installation import install_command
from distilled_envs.spec import ObservationTransform, TaskSpec
from distilled_envs.storage import folder as storage
from distilled_envs.training import SearchSettings, imitate, search


@pytest.fixture
def folder(dataset, tmp_path):
    dataset.save(tmp_path / "toy")
    return tmp_path / "toy"


def test_survives_save_and_load_bit_for_bit(dataset, folder):
    loaded = DistilledDataset.load(folder)
    assert torch.equal(loaded.observations, dataset.observations)
    assert torch.equal(loaded.targets, dataset.targets)
    assert loaded.observations.dtype == loaded.targets.dtype == torch.float32
    assert loaded.spec == dataset.spec.replace(files=loaded.spec.files)
    assert (loaded.source.kind, loaded.source.location) == ("folder", str(folder))
    loaded.save(folder.parent / "again")
    for name in (storage.ROWS_FILE, storage.SPEC_FILE):
        assert (folder.parent / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_opens_with_datasets_alone(dataset, folder, tmp_path):
    import datasets

    rows = datasets.load_dataset(
        "parquet",
        data_files=str(folder / "train.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    ).with_format("torch")
    assert torch.equal(rows[:]["observation"], dataset.observations)
    assert torch.equal(rows[:]["target"], dataset.targets)


def test_rebuilds_its_environment(folder):
    loaded = DistilledDataset.load(folder)
    assert loaded.make_env().observation_space.shape == (8,)
    assert loaded.make_env(render_mode="rgb_array").render_mode == "rgb_array"
    assert loaded.make_vec_env(3).num_envs == 3
    assert loaded.make_env().spec.id == "CartPoleND-v0"


def test_observation_transform_is_applied_and_fixed(dataset):
    transform = ObservationTransform(mean=(0.01,) * 8, std=(0.02,) * 8, scale=0.5, clip=1.0)
    plain = dataset.make_env()
    dataset.spec = dataset.spec.replace(observation_transform=transform)
    seen, raw = dataset.make_env(), plain.reset(seed=0)[0]
    observation, _ = seen.reset(seed=0)
    expected = 0.5 * np.clip((raw - 0.01) / 0.02, -1, 1)
    np.testing.assert_allclose(observation, expected, rtol=1e-5)
    assert seen.observation_space.contains(observation)
    np.testing.assert_allclose(seen.observation_space.high, 0.5)
    vector = dataset.make_vec_env(2)
    batch, _ = vector.reset(seed=0)
    assert vector.single_observation_space == seen.observation_space
    assert vector.observation_space.contains(batch)
    assert np.abs(batch).max() == 0.5


def test_transform_can_show_some_coordinates(dataset, tmp_path):
    raw, _ = dataset.make_env().reset(seed=0)
    transform = ObservationTransform((0.01,) * 3, (0.02,) * 3, 0.5, 1.0, coordinates=(6, 0, 2))
    spec = dataset.spec.replace(
        observation_transform=transform, task=TaskSpec("categorical", (3,), 4)
    )
    DistilledDataset(dataset.observations[:, :3], dataset.targets, spec).save(tmp_path / "some")
    loaded = DistilledDataset.load(tmp_path / "some")
    assert loaded.spec.observation_transform == transform
    env = loaded.make_env()
    observation, _ = env.reset(seed=0)
    expected = 0.5 * np.clip((raw[[6, 0, 2]] - 0.01) / 0.02, -1, 1)
    np.testing.assert_allclose(observation, expected, rtol=1e-5)
    assert env.observation_space.contains(observation)
    batch, _ = loaded.make_vec_env(2).reset(seed=0)
    assert batch.shape == (2, 3)
    assert loaded.evaluate(learners=2, episodes=1).greedy.mean >= 1
    edit(tmp_path / "some", lambda r: r["env"]["kwargs"].update(dims=1))
    with pytest.raises(DatasetError, match=r"shape \(3,\) from coordinates up to 6, those .* \(4,"):
        DistilledDataset.load(tmp_path / "some").make_env()
    for wrong in ([0, 1], [0, 1, 1], [-1, 0, 1]):
        edit(
            tmp_path / "some",
            lambda r, wrong=wrong: r["observation_transform"].update(coordinates=wrong),
        )
        with pytest.raises(DatasetError, match=r"observation_transform\.coordinates can't be"):
            DistilledDataset.load(tmp_path / "some")


def test_interrupted_save_leaves_nothing(dataset, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(storage, "sha256", fail)
    with pytest.raises(OSError, match="disk full"):
        dataset.save(tmp_path / "toy")
    assert list(tmp_path.iterdir()) == []


def test_save_never_overwrites(dataset, folder):
    before = (folder / storage.ROWS_FILE).read_bytes()
    with pytest.raises(DatasetError, match="exists already"):
        dataset.save(folder)
    assert (folder / storage.ROWS_FILE).read_bytes() == before


def test_unknown_keys_are_kept(folder):
    path = folder / storage.SPEC_FILE
    record = json.loads(path.read_text()) | {"from_the_future": [1, 2]}
    record["inner"]["momentum"] = 0.0
    path.write_text(json.dumps(record))
    loaded = DistilledDataset.load(folder)
    assert loaded.spec.extra == {"from_the_future": [1, 2], "inner": {"momentum": 0.0}}
    again = json.loads(loaded.spec.to_json())
    assert again == record


def test_a_small_file_that_holds_too_much_is_refused(folder):
    rewrite_rows(folder, rows([[0.0] * 8] * 30_000, [[0.0] * 4] * 30_000))
    assert (folder / storage.ROWS_FILE).stat().st_size < 20_000
    assert len(DistilledDataset.load(folder)) == 30_000
    with pytest.raises(DatasetError, match="holds 1 MiB, and the limit is 1 MiB"):
        DistilledDataset.load(folder, max_bytes=2**20)
    # What the spec declares does not count: one row may hold everything.
    rewrite_rows(folder, rows([[0.0] * 400_000], [[0.0] * 4]))
    with pytest.raises(DatasetError, match="holds 2 MiB, and the limit is 1 MiB"):
        DistilledDataset.load(folder, max_bytes=2**20)


def test_only_registered_code_is_run(folder, tmp_path):
    """A file that names any function as the environment's entry point is refused, not called."""
    victim = tmp_path / "touched"
    edit(
        folder,
        lambda r: r["env"].update(entry_point="os:system", kwargs={"command": f"touch {victim}"}),
    )
    loaded = DistilledDataset.load(folder)
    for make in (loaded.make_env, lambda: loaded.make_vec_env(2), loaded.evaluate):
        with pytest.raises(DatasetError, match="'os:system' is named as the entry_point"):
            make()
    start = SearchSettings(env_id="Hopper-v5", start=str(folder))
    for make in (lambda: imitate(loaded), lambda: search(start, tmp_path / "search")):
        with pytest.raises(DistilledEnvsError):
            make()
    with pytest.raises(SettingsError, match="'os:system' is named as the entry_point"):
        imitate(loaded)
    assert not victim.exists()


def test_environments_that_do_not_fit_are_refused(folder):
    edit(folder, lambda r: r["env"]["kwargs"].update(dims=3))
    with pytest.raises(DatasetError, match=r"observations have shape \(8,\).*have \(12,\)"):
        DistilledDataset.load(folder).make_env()
    edit(folder, lambda r: r["env"].update(kwargs={"gravity": 3}))
    with pytest.raises(DatasetError, match="be made with the arguments"):
        DistilledDataset.load(folder).make_env()
    edit(folder, lambda r: r["env"].update(id="NoSuchEnv-v0"))
    with pytest.raises(DatasetError, match="NoSuchEnv-v0 is not registered"):
        DistilledDataset.load(folder).make_env()


def test_missing_simulator_is_named_with_its_extra(dataset, monkeypatch):
    def missing(*args, **kwargs):
        raise gym.error.DependencyNotInstalled("MuJoCo is not installed")

    monkeypatch.setattr(gym, "make", missing)
    with pytest.raises(MissingExtraError, match=re.escape(install_command("mujoco"))):
        dataset.make_env()


def edit(folder, change):
    path = folder / storage.SPEC_FILE
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def rewrite_rows(folder, columns):
    """New rows with a matching hash, so that only their content is wrong."""
    pq.write_table(pa.table(columns), folder / storage.ROWS_FILE)
    digest = storage.sha256(folder / storage.ROWS_FILE)
    edit(folder, lambda record: record["files"].update({storage.ROWS_FILE: digest}))


def rows(observations, targets):
    return {"observation": observations, "target": targets}


def flip_byte(folder):
    path = folder / storage.ROWS_FILE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


GOOD, NAN = [[0.1] * 8] * 2, [[0.1] * 8, [0.1] * 7 + [float("nan")]]
DAMAGES = {
    "flipped byte": (flip_byte, "train.parquet has changed since it was written"),
    "no rows file": (lambda f: (f / storage.ROWS_FILE).unlink(), "train.parquet is missing"),
    "no spec": (lambda f: (f / storage.SPEC_FILE).unlink(), "distillation.json is missing"),
    "spec not JSON": (
        lambda f: (f / storage.SPEC_FILE).write_text("{oops"),
        "distillation.json is not JSON",
    ),
    "endless number": (
        lambda f: (f / storage.SPEC_FILE).write_text('{"provenance": 1e400}'),
        "distillation.json is not JSON: 1e400 is no finite number",
    ),
    "spec not text": (lambda f: (f / storage.SPEC_FILE).write_bytes(b"\xff\xfe\xff"), "not UTF-8"),
    "spec a list": (lambda f: (f / storage.SPEC_FILE).write_text("[]"), "one JSON object"),
    "newer version": (
        lambda f: edit(f, lambda r: r.update(format_version=2)),
        "format version 2.*upgrade",
    ),
    "no version": (lambda f: edit(f, lambda r: r.pop("format_version")), "format version None"),
    "no env": (lambda f: edit(f, lambda r: r.pop("env")), "lacks 'env'"),
    "bad env": (lambda f: edit(f, lambda r: r.update(env={"a": 1})), "env is not an EnvSpec"),
    "no learning rate": (
        lambda f: edit(f, lambda r: r["inner"].pop("learning_rate")),
        "lacks inner.learning_rate",
    ),
    "negative learning rate": (
        lambda f: edit(f, lambda r: r["inner"].update(learning_rate=-1)),
        "can't be -1",
    ),
    "learning rate a word": (
        lambda f: edit(f, lambda r: r["inner"].update(learning_rate="fast")),
        "can't be 'fast'",
    ),
    "unknown task": (lambda f: edit(f, lambda r: r["task"].update(kind="poem")), "task.kind"),
    "sizes not a list": (
        lambda f: edit(f, lambda r: r["learner"].update(hidden_sizes=64)),
        "hidden_sizes",
    ),
    "escaping file name": (
        lambda f: edit(f, lambda r: r["files"].update({"../x": "0"})),
        "lists the files",
    ),
    "rows not Parquet": (
        lambda f: (
            (f / storage.ROWS_FILE).write_bytes(b"PAR"),
            edit(
                f,
                lambda r: r["files"].update(
                    {storage.ROWS_FILE: storage.sha256(f / storage.ROWS_FILE)}
                ),
            ),
        ),
        "not readable as Parquet",
    ),
    "NaN": (
        lambda f: rewrite_rows(f, rows(NAN, [[0.0] * 4] * 2)),
        "observations hold nan at row 1, column 7",
    ),
    "too few targets": (
        lambda f: rewrite_rows(f, rows(GOOD, [[0.0] * 3] * 2)),
        "targets have 3 columns",
    ),
    "too narrow observations": (
        lambda f: rewrite_rows(f, rows([[0.1] * 7] * 2, [[0.0] * 4] * 2)),
        r"observations have shape \(7,\)",
    ),
    "deviations without a gaussian": (
        lambda f: edit(f, lambda r: r["task"].update(target_log_std=[0.0] * 4)),
        "target_log_std",
    ),
    "gaussian without deviations": (
        lambda f: edit(f, lambda r: r["task"].update(kind="gaussian")),
        "needs its target_log_std",
    ),
    "ragged rows": (
        lambda f: rewrite_rows(f, rows([[0.1] * 8, [0.1] * 7], [[0.0] * 4] * 2)),
        "of one length",
    ),
    "numbers for rows": (
        lambda f: rewrite_rows(f, rows([0.1, 0.2], [[0.0] * 4] * 2)),
        "one list of numbers a row",
    ),
    "words for numbers": (
        lambda f: rewrite_rows(f, rows([["a"] * 8] * 2, [[0.0] * 4] * 2)),
        "lists of numbers",
    ),
    "no column": (lambda f: rewrite_rows(f, {"observation": GOOD}), "lacks the column 'target'"),
    "no rows": (
        lambda f: rewrite_rows(
            f, rows(pa.array([], pa.list_(pa.float32())), pa.array([], pa.list_(pa.float32())))
        ),
        "matrices|no rows",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused_with_its_own_sentence(folder, damage):
    break_it, sentence = DAMAGES[damage]
    break_it(folder)
    with pytest.raises(DatasetError, match=sentence) as refusal:
        DistilledDataset.load(folder)
    assert "\n" not in str(refusal.value)


def test_no_damaged_byte_reaches_a_parser(folder, monkeypatch):
    # pyarrow ends the process on some of them.
    monkeypatch.setattr(pq, "read_metadata", lambda path: pytest.fail("parsed"))
    path = folder / storage.ROWS_FILE
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x40
        path.write_bytes(bytes(changed))
        with pytest.raises(DatasetError, match="has changed since"):
            DistilledDataset.load(folder)


def test_shapes_are_checked_in_memory(dataset):
    spec = dataset.spec
    with pytest.raises(DatasetError, match="as many rows"):
        DistilledDataset(torch.zeros(3, 8), torch.zeros(2, 4), spec)
    with pytest.raises(DatasetError, match="no rows"):
        DistilledDataset(torch.zeros(0, 8), torch.zeros(0, 4), spec)
    with pytest.raises(DatasetError, match="hold inf"):
        DistilledDataset(torch.zeros(1, 8), torch.full((1, 4), float("inf")), spec)
