"""Rows of frames in a file."""

import io
import json

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from distilled_envs.dataset import DistilledDataset
from distilled_envs.errors import DatasetError
from distilled_envs.storage.files import sha256
from distilled_envs.storage.folder import ENCODER_FILE, ROWS_FILE, SPEC_FILE


@pytest.mark.parametrize("level", [0, 3])
def test_a_dataset_of_frames_is_the_same_after_a_file(level, tmp_path, toy):
    dataset = toy(level)
    dataset.save(tmp_path / "saved")
    again = DistilledDataset.load(tmp_path / "saved")
    assert torch.equal(again.observations, dataset.observations)
    assert torch.equal(again.targets, dataset.targets)
    assert (tmp_path / "saved" / ENCODER_FILE).exists() == (level > 0)
    assert again.spec == dataset.spec.replace(files=again.spec.files)
    one, two = dataset.train(seed=3), again.train(seed=3)
    torch.testing.assert_close(one(dataset.observations), two(dataset.observations))


def test_datasets_reads_the_frames_as_pictures(tmp_path, toy):
    dataset = toy(0)
    dataset.save(tmp_path / "saved")
    rows = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "saved" / ROWS_FILE), cache_dir=str(tmp_path / "cache")
    )["train"]
    assert isinstance(rows.features["observation"].feature, datasets.Image)
    frames = np.stack([np.asarray(each) for each in rows[1]["observation"]])
    assert np.array_equal(frames, dataset.observations[1].numpy())


def damaged(folder, change):
    """A dataset whose rows are changed, with a hash that fits them."""
    table = pq.read_table(folder / ROWS_FILE)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), folder / ROWS_FILE)
    spec = json.loads((folder / SPEC_FILE).read_text())
    spec["files"][ROWS_FILE] = sha256(folder / ROWS_FILE)
    (folder / SPEC_FILE).write_text(json.dumps(spec))


def picture(mode: str, size: tuple[int, int]) -> bytes:
    png = io.BytesIO()
    Image.new(mode, size).save(png, format="PNG")
    return png.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nothing", "row 1 that is not readable as PNG"),
        (picture("L", (90, 84)), r"gray images of 84 x 84 pixels, and row 1 has .*\(90, 84\)"),
        (picture("RGB", (84, 84)), "row 1 has one of mode RGB"),
    ],
)
def test_what_is_no_frame_is_refused(content, message, tmp_path, toy):
    toy(0).save(tmp_path / "saved")

    def change(rows):
        rows[1]["observation"][2]["bytes"] = content

    damaged(tmp_path / "saved", change)
    with pytest.raises(DatasetError, match=message):
        DistilledDataset.load(tmp_path / "saved")


def test_a_small_file_with_many_frames_is_refused(toy, tmp_path):
    toy(0).save(tmp_path / "saved")
    damaged(tmp_path / "saved", lambda rows: rows.extend(200 * rows[:1]))
    assert (tmp_path / "saved" / ROWS_FILE).stat().st_size < 2**18
    with pytest.raises(DatasetError, match=r"train\.parquet holds \d+ MiB, and the limit is 8 MiB"):
        DistilledDataset.load(tmp_path / "saved", max_bytes=8 * 2**20)


def test_frames_are_whole_numbers_of_the_games_range(toy):
    dataset = toy(0)
    for frames in (dataset.observations / 255, dataset.observations + 1):
        with pytest.raises(DatasetError, match="whole numbers from 0 to 255"):
            DistilledDataset(frames, dataset.targets, dataset.spec)


def test_a_damaged_or_missing_encoder_is_refused(tmp_path, toy):
    toy(2).save(tmp_path / "saved")
    file = tmp_path / "saved" / ENCODER_FILE
    before = file.read_bytes()
    file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    with pytest.raises(DatasetError, match=r"encoder\.safetensors has changed"):
        DistilledDataset.load(tmp_path / "saved")
    file.unlink()
    with pytest.raises(DatasetError, match=r"encoder\.safetensors is missing"):
        DistilledDataset.load(tmp_path / "saved")
