"""Figures of reports, as a reader sees them."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Annotation, Text

from distilled_envs.studies.figures import learning_curves, score_bars


def curves(end, seeds=2):
    steps = [0, 100_000, 200_000]
    return [{"steps": steps, "seconds": steps, "returns": [[0.0], [end], [end]]}] * seeds


MARK = {"mean": 500.0, "std": 0.0, "ci95": [499.0, 501.0]}


@pytest.mark.parametrize("ends", [(500.0, 500.0, 500.0), (0.0, 499.0, 500.0), (1.0, 2.0, 3.0)])
def test_every_curve_has_its_name_beside_it_and_none_covers_another(ends):
    names = ("PPO", "PPO, RL Zoo settings", "PPO from the one-step policy")
    learners = {name: curves(end) for name, end in zip(names, ends, strict=True)}
    marks = {"one gradient step": MARK, "random actions": MARK | {"mean": 20.0, "ci95": None}}
    figure = learning_curves("CartPole-v1", learners, "steps", marks)
    figure.draw_without_rendering()
    (plot,) = figure.axes
    labels = [each for each in plot.get_children() if isinstance(each, Annotation)]
    said = {" ".join(each.get_text().split()) for each in labels}
    assert said == {*learners, *marks}
    boxes = [Text.get_window_extent(each) for each in labels]  # without the lines to them
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    right = figure.bbox.x1
    assert all(box.x0 > plot.bbox.x1 and box.x1 <= right for box in boxes)
    assert plot.get_legend() is None and not plot.get_title()
    assert "200,000" in [each.get_text() for each in plot.get_xticklabels()]


@pytest.mark.parametrize(
    ("cost", "told", "dots"),
    [(50_000, "distilled once: 50,000 steps", 1), (3e6, "distilled once: 3,000,000 steps →", 0)],
)
def test_a_line_begins_where_what_it_took_is_paid(cost, told, dots):
    mark = {"one gradient step": MARK}
    figure = learning_curves(
        "X-v0", {"PPO": curves(1.0)}, "steps", mark, {"one gradient step": cost}
    )
    figure.draw_without_rendering()
    (plot,) = figure.axes
    notes = [each for each in plot.get_children() if isinstance(each, Annotation)]
    (note,) = (each for each in notes if "distilled" in each.get_text())
    assert note.get_text() == told
    box = Text.get_window_extent(note)
    assert plot.bbox.x0 <= box.x0 and box.x1 <= plot.bbox.x1
    begins = [line.get_xdata()[0] for line in plot.lines if line.get_marker() == "o"]
    assert begins == [cost] * dots


def test_a_method_looks_the_same_everywhere_and_differs_without_color():
    one, two = (
        learning_curves("X-v0", {name: curves(1.0) for name in names}, "steps", {}).axes[0].lines
        for names in (("PPO", "A2C"), ("PPO from the one-step policy", "PPO"))
    )
    assert (one[0].get_color(), one[0].get_linestyle()) == (
        two[1].get_color(),
        two[1].get_linestyle(),
    )
    assert len({str(line.get_linestyle()) for line in [*one, two[0]]}) == 3


def test_bars_stand_beside_each_other_with_one_legend():
    score = {"mean": 3.0, "std": 1.0, "ci95": [2.0, 4.0]}
    figure = score_bars({"wide": {"one step": score, "fit": score}, "deep": {"fit": score}})
    (plot,) = figure.axes
    bars = [patch.get_bbox() for patch in plot.patches]
    assert len(bars) == 3
    edges = sorted((bar.y0, bar.y1) for bar in bars)
    assert all(one[1] <= two[0] + 1e-9 for one, two in itertools.pairwise(edges))
    assert np.isclose([bar.x1 for bar in bars], 3.0).all()
    (legend,) = figure.legends
    assert [each.get_text() for each in legend.get_texts()] == ["one step", "fit"]
