"""A dataset folder on disk: ``train.parquet`` beside ``distillation.json``. Nothing is pickled.

A dataset with an encoder has ``encoder.safetensors`` too.
"""

import math
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import safetensors.numpy

from distilled_envs.errors import DatasetError, MissingExtraError
from distilled_envs.formatting import in_a_line
from distilled_envs.spec import MAX_BYTES, DistillationSpec
from distilled_envs.storage.files import atomic_path, new_folder, sha256
from distilled_envs.storage.frames import features_metadata, frames_column, read_frames

SPEC_FILE = "distillation.json"
ROWS_FILE = "train.parquet"
ENCODER_FILE = "encoder.safetensors"
COLUMNS = ("observation", "target")

MAX_SPEC_BYTES = 16 * 2**20


def write_folder(
    folder: Path,
    observations: np.ndarray,
    targets: np.ndarray,
    spec: DistillationSpec,
    encoder: Mapping[str, np.ndarray] | None = None,
) -> DistillationSpec:
    """Write a dataset as a new folder, whole or not at all.

    Args:
        folder: Where; must not exist, or be empty.
        observations: ``(k, n_inputs)`` float32, or frames ``(k, stack, height, width)``.
        targets: ``(k, n_outputs)`` float32.
        spec: What the dataset says of itself.
        encoder: State of its encoder; kept in half precision.

    Returns:
        The spec as written, with the files' hashes.

    Raises:
        DatasetError: The folder holds something already.
    """
    with new_folder(folder) as temporary:
        write_rows(temporary / ROWS_FILE, observations, targets)
        if encoder is not None:
            halves = {
                name: np.ascontiguousarray(value, np.float16) for name, value in encoder.items()
            }
            # Not save_file, whose files only their owner may read.
            (temporary / ENCODER_FILE).write_bytes(safetensors.numpy.save(halves))
        spec = spec.replace(files={path.name: sha256(path) for path in temporary.iterdir()})
        (temporary / SPEC_FILE).write_text(spec.to_json(), encoding="utf-8")
    return spec


def write_rows(path: Path, observations: np.ndarray, targets: np.ndarray) -> None:
    """Write rows as Parquet, which ``datasets.load_dataset`` reads as well.

    Args:
        path: The file.
        observations: ``(k, n_inputs)`` float32, or frames ``(k, stack, height, width)``.
        targets: ``(k, n_outputs)`` float32.
    """
    as_frames = observations.ndim == 4
    rows = frames_column(observations) if as_frames else _fixed_size_lists(observations)
    table = pa.table({"observation": rows, "target": _fixed_size_lists(targets)})
    if as_frames:
        metadata = features_metadata(observations.shape[1], targets.shape[1])
        table = table.replace_schema_metadata(metadata)
    pq.write_table(table, path)


def write_spec(folder: Path, spec: DistillationSpec) -> None:
    """Replace the spec of a dataset folder, atomically."""
    with atomic_path(folder / SPEC_FILE) as temporary:
        temporary.write_text(spec.to_json(), encoding="utf-8")


def read_spec(folder: Path) -> DistillationSpec:
    """The spec of a dataset folder.

    Raises:
        DatasetError: It is missing, or not valid.
    """
    try:
        known = (folder / SPEC_FILE).stat()
        if not stat.S_ISREG(known.st_mode):
            raise DatasetError(f"{SPEC_FILE} is no file: fetch or distill the dataset again.")
        size = known.st_size
        if size > MAX_SPEC_BYTES:
            raise DatasetError(
                f"{SPEC_FILE} has {size / 2**20:.0f} MiB, and the limit is "
                f"{MAX_SPEC_BYTES / 2**20:.0f} MiB."
            )
        return DistillationSpec.from_json((folder / SPEC_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        inside = folder / "dataset"
        hint = f"did you mean {inside}?" if inside.is_dir() else "this is no distilled dataset."
        raise DatasetError(f"{folder}: {SPEC_FILE} is missing: {hint}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{folder}: {SPEC_FILE} is not UTF-8 text: {error}.") from None
    except DatasetError as error:
        raise DatasetError(f"{folder}: {error}") from None


def count_rows(folder: Path, spec: DistillationSpec) -> int:
    """The number of rows of a dataset folder, from Parquet's footer.

    Raises:
        DatasetError: The file is missing, changed or not readable.
    """
    with _reading(folder, ROWS_FILE, "Parquet"):
        _check_file(folder, ROWS_FILE, spec, MAX_BYTES)
        return pq.read_metadata(folder / ROWS_FILE).num_rows


def _size_in_memory(file: Path, spec: DistillationSpec) -> int:
    """Bytes of the columns that are read, packed out, from Parquet's footer."""
    footer = pq.read_metadata(file)
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    columns = [group.column(i) for group in groups for i in range(group.num_columns)]
    read = [each for each in columns if each.path_in_schema.split(".")[0] in COLUMNS]
    numbers = sum(each.num_values for each in read)
    pixels = footer.num_rows * math.prod(spec.task.observation_shape)
    return 4 * max(numbers, pixels) + sum(each.total_uncompressed_size for each in read)


def _check_file(folder: Path, file: str, spec: DistillationSpec, max_bytes: int) -> None:
    """Its size, and then its hash: a damaged Parquet file can end the process that parses it.

    Raises:
        DatasetError: It is missing, too large, or changed.
    """
    path = folder / file
    if not path.is_file():
        raise DatasetError(f"{file} is missing: fetch or distill the dataset again.")
    _check_size(file, path.stat().st_size, max_bytes)
    if sha256(path) != spec.files.get(file):
        raise DatasetError(
            f"{file} has changed since it was written (its sha256 differs from the one in "
            f"{SPEC_FILE}): fetch or distill the dataset again."
        )


def _check_size(file: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise DatasetError(
            f"{file} holds {size / 2**20:.0f} MiB, and the limit is {max_bytes / 2**20:.0f} MiB "
            "(hub.download and DistilledDataset.load take a larger max_bytes)."
        )


@contextmanager
def _reading(folder: Path, file: str, kind: str) -> Iterator[None]:
    """Whatever a parser raises, in one sentence: they have errors of their own, and Python's."""
    try:
        yield
    except MissingExtraError:
        raise
    except DatasetError as error:
        raise DatasetError(f"{folder}: {error}") from None
    except Exception as error:
        said = in_a_line(error)
        raise DatasetError(f"{folder}: {file} is not readable as {kind}: {said}.") from None


def data_files(spec: DistillationSpec) -> tuple[str, ...]:
    """The files beside ``distillation.json``."""
    return (ROWS_FILE, ENCODER_FILE) if spec.learner.encoder_level else (ROWS_FILE,)


def read_folder(
    folder: Path, max_bytes: int = MAX_BYTES
) -> tuple[np.ndarray, np.ndarray, DistillationSpec, dict[str, np.ndarray] | None]:
    """Read and check a dataset folder.

    Args:
        folder: Where.
        max_bytes: Bound on the size of the rows in memory, and of the encoder.

    Returns:
        Observations ``(k, n_inputs)`` or ``(k, stack, height, width)``, targets ``(k, n_outputs)``,
        the spec, and the encoder's state.

    Raises:
        DatasetError: A file is missing, changed or not readable, or its content is not valid.
        MissingExtraError: What reads frames is not installed.
    """
    spec = read_spec(folder)
    wanted = data_files(spec)
    if set(spec.files) != set(wanted):
        raise DatasetError(
            f"{folder}: {SPEC_FILE} lists the files {sorted(spec.files)}, expected "
            f"{sorted(wanted)}."
        )
    encoder = None
    if ENCODER_FILE in wanted:
        with _reading(folder, ENCODER_FILE, "safetensors"):
            _check_file(folder, ENCODER_FILE, spec, max_bytes)
            encoder = safetensors.numpy.load_file(folder / ENCODER_FILE)
            for name, value in encoder.items():
                if value.dtype not in (np.float16, np.float32):
                    raise DatasetError(
                        f"{ENCODER_FILE}: {name} is of {value.dtype}, expected float16."
                    )
            encoder = {name: value.astype(np.float32) for name, value in encoder.items()}
    with _reading(folder, ROWS_FILE, "Parquet"):
        _check_file(folder, ROWS_FILE, spec, max_bytes)
        # Parquet packs equal numbers so well that a small file can hold more than the memory.
        _check_size(ROWS_FILE, _size_in_memory(folder / ROWS_FILE, spec), max_bytes)
        observations, targets = _read_rows(folder / ROWS_FILE, spec)
    return observations, targets, spec, encoder


def _read_rows(path: Path, spec: DistillationSpec) -> tuple[np.ndarray, np.ndarray]:
    as_frames = len(spec.task.observation_shape) == 3
    names = COLUMNS[1:] if as_frames else COLUMNS
    # Not pq.read_table, which imports pandas where there is one: a tenth of a second.
    with pq.ParquetFile(path) as file:
        table = file.read([name for name in names if name in file.schema_arrow.names])
    targets = _matrix(table, "target")
    if as_frames:
        return read_frames(path, spec.task.observation_shape), targets
    return _matrix(table, "observation"), targets


def _fixed_size_lists(matrix: np.ndarray) -> pa.FixedSizeListArray:
    values = pa.array(matrix.reshape(-1), type=pa.float32())
    return pa.FixedSizeListArray.from_arrays(values, matrix.shape[1])


def _matrix(table: pa.Table, name: str) -> np.ndarray:
    if name not in table.column_names:
        raise DatasetError(f"{ROWS_FILE} lacks the column {name!r}.")
    column = table.column(name).combine_chunks()
    if column.null_count or not pa.types.is_list(column.type) | pa.types.is_fixed_size_list(
        column.type
    ):
        raise DatasetError(f"{ROWS_FILE}: column {name!r} must hold one list of numbers a row.")
    numbers = column.flatten()
    lengths = set(pc.list_value_length(column).to_pylist())
    if len(lengths) > 1 or numbers.null_count or not _numeric(numbers.type):
        raise DatasetError(
            f"{ROWS_FILE}: column {name!r} must hold lists of numbers of one length."
        )
    # Not to_numpy, which imports pandas where there is one: a third of a second.
    matrix = np.from_dlpack(numbers).astype(np.float32)
    return matrix.reshape(len(column), -1) if len(column) else matrix[:, None]


def _numeric(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)
