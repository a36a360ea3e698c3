"""What every batch of rows must fulfill, whether a file or a program gave it."""

import numpy as np

from distilled_envs.errors import DatasetError
from distilled_envs.spec import LARGEST, DistillationSpec


def check_rows(observations: np.ndarray, targets: np.ndarray, spec: DistillationSpec) -> None:
    """Check that rows fit each other and their spec, and that all numbers are usable.

    Args:
        observations: ``(k, n_inputs)``, or frames ``(k, stack, height, width)``.
        targets: ``(k, n_outputs)``.
        spec: What belongs to the rows.

    Raises:
        DatasetError: They don't fit; the message says where.
    """
    name, task = spec.name, spec.task
    shapes = observations.shape, targets.shape
    if len(shapes[0]) not in (2, 4) or len(shapes[1]) != 2 or shapes[0][0] != shapes[1][0]:
        raise DatasetError(
            f"{name}: observations {shapes[0]} and targets {shapes[1]} must be two "
            "matrices, or frames and a matrix, with as many rows."
        )
    if not len(observations):
        raise DatasetError(f"{name}: there are no rows.")
    if shapes[0][1:] != task.observation_shape:
        raise DatasetError(
            f"{name}: observations have shape {shapes[0][1:]}, but the task has "
            f"{task.observation_shape}."
        )
    if task.kind == "gaussian" and task.target_log_std is None:
        raise DatasetError(f"{name}: a gaussian task needs its target_log_std.")
    if shapes[1][1] != task.n_outputs:
        raise DatasetError(
            f"{name}: targets have {shapes[1][1]} columns, but the task has "
            f"{task.n_outputs} outputs."
        )
    for what, numbers in (("observations", observations), ("targets", targets)):
        bad = np.argwhere(~(np.abs(numbers) <= LARGEST))  # NaN is not
        if len(bad):
            row, *column = bad[0].tolist()
            raise DatasetError(
                f"{name}: {what} hold {numbers[row, *column]} at row {row}, "
                f"column {', '.join(map(str, column))}; every number must be finite, and within "
                f"{LARGEST:g}."
            )
    if observations.ndim == 4:
        whole = observations == observations.round()
        if not (whole & (observations >= 0) & (observations <= 255)).all():
            raise DatasetError(
                f"{name}: frames must hold whole numbers from 0 to 255, as the "
                "environment shows them."
            )
