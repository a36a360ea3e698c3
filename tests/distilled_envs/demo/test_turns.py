"""Whose answer the page shows, when clicks and other datasets come close together."""

from types import SimpleNamespace

import pytest

pytest.importorskip("gradio")

from distilled_envs.demo.page import _Turns


def test_a_second_click_on_the_same_dataset_waits_for_the_first():
    turns = _Turns()
    with turns.take("visitor", "hopper") as first:
        with turns.take("visitor", "hopper") as second, turns.take("another", "hopper") as other:
            assert second is None and other is not None
        assert first.at_work
    assert not first.at_work
    with turns.take("visitor", "hopper") as again:
        assert again is not None


@pytest.mark.parametrize("click_first", [False, True])
def test_another_dataset_ends_a_turn_and_not_the_click_on_it(click_first):
    turns = _Turns()
    with turns.take("visitor", "hopper") as former:
        if not click_first:
            assert turns.end("visitor", "ant")
        with turns.take("visitor", "ant") as turn:
            assert turns.end("visitor", "ant") is False  # told late, or told again
            assert turn.at_work and not former.at_work
        assert turns.end("visitor", "ant") is False


def test_who_has_left_computes_nothing_more():
    turns = _Turns()
    with turns.take("visitor", "hopper") as turn:
        turns.forget(SimpleNamespace(session_hash="visitor"))
        assert not turn.at_work
    turns.forget(SimpleNamespace(session_hash="nobody"))
