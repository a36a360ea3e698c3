import pytest
import torch

from distilled_envs.learners.families import FAMILIES, of_family
from distilled_envs.learners.mixture import Mixture
from distilled_envs.learners.population import Population
from distilled_envs.spec import FRAMES, LearnerSpec, TaskSpec

TASK = TaskSpec("categorical", (6,), 3)
NETWORKS = [of_family(LearnerSpec(hidden_sizes=(8, 8)), family) for family in FAMILIES]


def drawn(size: int) -> Mixture:
    return Mixture.draw(NETWORKS, TASK, size, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("size", "shares"), [(5, [1, 1, 1, 1, 1]), (32, [7, 7, 6, 6, 6]), (40, [8] * 5)]
)
def test_networks_are_divided_among_the_families(size, shares):
    mixture = drawn(size)
    assert [len(part) for part in mixture.parts] == shares
    assert [part.network for part in mixture.parts] == NETWORKS
    assert len(mixture) == size


def test_a_mixture_equals_its_parts_network_for_network():
    torch.manual_seed(0)
    mixture, seen = drawn(7), torch.randn(7, 4, 6)
    rows, targets = torch.randn(3, 6), torch.randn(3, 3)
    before, after = mixture, mixture.step(rows, targets, 0.7)
    start = 0
    for place, part in enumerate(mixture.parts):
        own = slice(start, start + len(part))
        stepped = part.step(rows, targets, 0.7)
        for together, alone in ((before, part), (after, stepped)):
            assert torch.equal(together(seen)[own], alone(seen[own]))
            assert torch.equal(together(rows)[own], alone(rows))
        assert after.parts[place].network == part.network
        start += len(part)
    assert not torch.equal(before(seen), after(seen))


def test_gradients_reach_the_rows_through_every_part():
    rows = torch.randn(3, 6, requires_grad=True)
    learners = drawn(5).step(rows, torch.randn(3, 3), torch.tensor(0.7), keep_graph=True)
    for output in learners(torch.randn(4, 6)):
        (gradient,) = torch.autograd.grad(output.sum(), rows, retain_graph=True)
        assert gradient.abs().max() > 0


def test_one_kind_is_drawn_as_a_population_is():
    mixture = Mixture.draw(NETWORKS[:1], TASK, 3, torch.Generator().manual_seed(5))
    population = Population.draw(NETWORKS[0], TASK, 3, torch.Generator().manual_seed(5))
    for name, value in population.parameters.items():
        assert torch.equal(mixture.parts[0].parameters[name], value)


def test_a_network_that_is_not_finite_is_found():
    mixture = drawn(5)
    assert mixture.is_finite()
    mixture.parts[-1].parameters["2.bias"][0, 0] = float("nan")
    assert not mixture.is_finite()


def test_a_population_of_cnns_is_a_mixture_of_one():
    cnn = LearnerSpec("nature-cnn", (16,), "relu")
    mixture = Mixture.draw([cnn], TaskSpec("categorical", FRAMES, 6), 2)
    frames = torch.randint(0, 256, (2, *FRAMES)).float()
    assert torch.equal(mixture(frames), mixture.parts[0](frames))
