"""Examples in docstrings, of modules that need no simulator."""

import doctest
import importlib

import pytest

MODULES = [
    "distilled_envs.catalog",
    "distilled_envs.demo.choices",
    "distilled_envs.demo.words",
    "distilled_envs.evaluation.statistics",
    "distilled_envs.learners.actions",
    "distilled_envs.learners.one_step",
    "distilled_envs.studies.reports",
    "distilled_envs.training.ppo",
    "distilled_envs.training.settings",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted > 0
    assert tried.failed == 0
