"""Stacks of frames in a Parquet column: a list of PNG images a row, as ``datasets`` keeps them.

The Hub's viewer shows such a column as pictures, and ``datasets.load_dataset`` gives PIL images.
"""

import io
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from distilled_envs.errors import DatasetError, MissingExtraError
from distilled_envs.formatting import in_a_line

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def frames_column(observations: np.ndarray) -> pa.FixedSizeListArray:
    """Frames ``(k, stack, height, width)`` of whole numbers from 0 to 255, as a column."""
    image = _pillow()
    pictures = []
    for frame in observations.reshape(-1, *observations.shape[2:]).astype(np.uint8):
        png = io.BytesIO()
        image.fromarray(frame).save(png, format="PNG")
        pictures.append({"bytes": png.getvalue(), "path": None})
    return pa.FixedSizeListArray.from_arrays(pa.array(pictures, _IMAGE), observations.shape[1])


def features_metadata(stack: int, n_outputs: int) -> dict[str, str]:
    """What tells ``datasets`` that the column holds images."""
    value = {"dtype": "float32", "_type": "Value"}
    features = {
        "observation": {"feature": {"_type": "Image"}, "length": stack, "_type": "List"},
        "target": {"feature": value, "length": n_outputs, "_type": "List"},
    }
    return {"huggingface": json.dumps({"info": {"features": features}})}


def read_frames(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The frames of a Parquet file as float32 ``(k, *shape)``.

    Args:
        file: With a column ``observation``.
        shape: Stack, height and width that the dataset says it has.

    Raises:
        DatasetError: The column holds something else.
        pyarrow.ArrowException: The file is damaged.
    """
    image = _pillow()
    if "observation" not in pq.read_schema(file).names:
        raise DatasetError("the column 'observation' is missing.")
    # Row by row: what stands once in the file can be shown in many rows.
    batches = pq.ParquetFile(file).iter_batches(batch_size=1, columns=["observation"])
    column = (row for batch in batches for row in batch.column(0).to_pylist())
    stack, height, width = shape
    rows, unreadable = [], (image.DecompressionBombError, image.DecompressionBombWarning)
    for number, row in enumerate(column):
        if not isinstance(row, list) or len(row) != stack:
            raise DatasetError(f"column 'observation' must hold {stack} images in row {number}.")
        frames = []
        for each in row:
            try:
                picture = image.open(io.BytesIO(each["bytes"]), formats=["PNG"])
                # The size stands in the header: a huge picture is refused before it is unpacked.
                if (picture.mode, picture.size) != ("L", (width, height)):
                    raise DatasetError(
                        f"column 'observation' must hold gray images of {width} x {height} pixels, "
                        f"and row {number} has one of mode {picture.mode} and {picture.size}."
                    )
                frames.append(np.asarray(picture))
            except DatasetError:
                raise
            except (*unreadable, OSError, TypeError, KeyError, SyntaxError, ValueError) as error:
                raise DatasetError(
                    f"column 'observation' holds an image in row {number} that is not readable "
                    f"as PNG: {in_a_line(error)}."
                ) from None
        rows.append(np.stack(frames))
    return np.array(rows, dtype=np.float32).reshape(-1, *shape)


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("pillow", "A dataset of frames", "atari") from None
    return Image
