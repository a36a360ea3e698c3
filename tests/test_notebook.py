"""The notebook of the examples runs from top to bottom, and is kept as it ran."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples" / "tour.ipynb"


def outputs(notebook, kind):
    """What its cells show, of a type such as text/plain."""
    every = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output["data"][kind] for output in every if kind in output.get("data", {})]


def test_it_is_kept_with_what_it_shows():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    assert any("data:image/gif" in shown for shown in outputs(notebook, "text/html"))
    assert NOTEBOOK.stat().st_size < 300_000
    kept = NOTEBOOK.read_text()
    assert "site-packages" not in kept and "Warning" not in kept


@pytest.mark.slow
def test_it_runs(tmp_path):
    ran = tmp_path / "tour.ipynb"
    command = ["-m", "nbconvert", "--to", "notebook", "--execute", f"--output={ran}", NOTEBOOK]
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy"},
    )
    assert done.returncode == 0, done.stderr
    before, after = (nbformat.read(path, as_version=4) for path in (NOTEBOOK, ran))
    shown = outputs(after, "text/plain")
    scores = [text for text in shown if text.startswith("Evaluation(")]
    assert len(scores) == 7
    assert all("Score(500.0" in text.split("sampled")[1] for text in scores[:4]), scores
    assert any("data:image/gif" in shown for shown in outputs(after, "text/html"))
    assert [cell.source for cell in after.cells] == [cell.source for cell in before.cells]
