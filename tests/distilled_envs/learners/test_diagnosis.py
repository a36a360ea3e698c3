import warnings

import pytest
import torch
from torch import nn

from distilled_envs import load_distilled
from distilled_envs.errors import OneStepWarning, PolicyError
from distilled_envs.learners.diagnosis import disagreement
from distilled_envs.learners.networks import make_policy
from distilled_envs.learners.one_step import StepSize
from distilled_envs.spec import LearnerSpec, TaskSpec


def default_network(inputs, outputs, activation=nn.Tanh):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(inputs, 64), activation(), nn.Linear(64, 64), activation(), nn.Linear(64, outputs)
    )


@pytest.fixture(scope="module", params=["cartpole_2d", "cartpole_5d", "hopper", "humanoid"])
def dataset(request):
    return load_distilled(request.param)


def shape(dataset):
    return dataset.observations.shape[1], dataset.targets.shape[1]


def test_own_networks_learn_by_the_plain_step(dataset):
    for seed in range(5):
        diagnosis = dataset.diagnose(dataset.new_policy(seed=seed))
        assert diagnosis.learns
        assert diagnosis.step == StepSize()


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.GELU])
def test_default_networks_do_not_learn_and_training_says_so(dataset, activation):
    policy = default_network(*shape(dataset), activation)
    assert not dataset.diagnose(policy).learns
    ways = r"dataset\.initialize\(policy\).*dataset\.fit\(policy\).*dataset\.expand\(\)"
    with pytest.warns(OneStepWarning, match=ways):
        dataset.train(policy)


def test_diagnosing_leaves_a_policy_as_it_was(dataset):
    policy = nn.Sequential(nn.Linear(shape(dataset)[0], 64), nn.BatchNorm1d(64), nn.Dropout(0.5))
    policy.append(nn.Linear(64, shape(dataset)[1]))
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    dataset.diagnose(policy)
    assert policy.training
    for name, value in policy.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_diagnosis_is_that_of_the_step_which_is_taken(dataset):
    policy = make_policy(
        LearnerSpec(hidden_sizes=(64, 64, 64)), (shape(dataset)[0],), shape(dataset)[1], seed=0
    )
    diagnosis = dataset.diagnose(policy)
    loss = (policy(dataset.observations) - dataset.targets).square().mean().item()
    dataset.train(policy)
    after = (policy(dataset.observations) - dataset.targets).square().mean().item()
    assert after / loss == pytest.approx(diagnosis.loss_left, rel=1e-4)


def test_a_deeper_network_takes_the_step_that_belongs_to_it():
    hopper = load_distilled("hopper", instances=256)
    plain, weights = [], []
    for depth in (0, 1, 3, 4):
        policy = make_policy(LearnerSpec(hidden_sizes=(64,) * depth), (11,), 3, seed=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            size = hopper.diagnose(policy).step
            hopper.train(policy)
        weights.append(size.weights)
        plain.append(size.output_bias)
    # The kernel doubles with each layer of gain sqrt(2), and the bias has no part in that.
    assert weights == pytest.approx([4, 2, 0.5, 0.25], rel=0.15)
    assert plain == pytest.approx([1] * 4, rel=0.1)


def test_fresh_networks_are_never_warned_about(dataset):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.train(seed=0)
        dataset.train(dataset.new_policy(seed=1))


def test_logits_are_compared_by_their_order_and_means_as_they_are():
    answers = torch.tensor([[3.0, 1.0], [0.0, 4.0]])
    logits, means = TaskSpec("categorical", (1,), 2), TaskSpec("gaussian", (1,), 2, (0.0, 0.0))
    assert disagreement(logits, 5 * answers + 7, answers) == pytest.approx(0, abs=1e-6)
    assert disagreement(logits, -answers, answers) == 1  # the other way round is as bad as nothing
    assert disagreement(means, 2 * answers, answers) == pytest.approx(1)


def test_what_does_not_fit_is_refused_before_it_is_judged(dataset):
    inputs, outputs = shape(dataset)
    for policy, message in (
        (nn.Linear(inputs + 1, outputs), "does not take"),
        (nn.Linear(inputs, outputs + 1), f"needs {outputs} outputs"),
        (nn.Linear(inputs, outputs).requires_grad_(False), "no parameters that require"),
    ):
        with pytest.raises(PolicyError, match=message):
            dataset.diagnose(policy)


def test_modules_of_any_floating_type_take_the_step():
    hopper = load_distilled("hopper", instances=256)
    policy = hopper.initialize(default_network(11, 3).double())
    assert hopper.diagnose(policy).learns
    assert hopper.train(policy)(hopper.observations.double()).dtype == torch.float64
    cartpole = load_distilled("cartpole_2d")
    policy = cartpole.train(cartpole.initialize(default_network(8, 4).double()))
    assert cartpole.evaluate(policy, episodes=2).greedy.mean == 500
