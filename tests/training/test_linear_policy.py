import numpy as np
import pytest
import torch

from distilled_envs.errors import PolicyError, SettingsError
from distilled_envs.spec import TaskSpec
from distilled_envs.training.linear_policy import LinearPolicy, fit_linear

BOX = -torch.ones(2), torch.ones(2)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_policy_is_read_from_npz(tmp_path):
    weights, bias = drawn(2, 3).numpy(), drawn(2).numpy()
    mean, std = np.arange(3.0), np.array([1.0, 2.0, 0.5])
    np.savez(tmp_path / "all.npz", W=weights, b=bias, mean=mean, std=std)
    policy = LinearPolicy.load(tmp_path / "all.npz")
    seen = drawn(5, 3, seed=1)
    wanted = (seen.numpy() - mean) / std @ weights.T + bias
    assert np.allclose(policy(seen).numpy(), wanted, atol=1e-6)
    np.savez(tmp_path / "weights.npz", W=weights)
    plain = LinearPolicy.load(tmp_path / "weights.npz")
    assert np.allclose(plain(seen).numpy(), seen.numpy() @ weights.T, atol=1e-6)


def test_a_policy_keeps_how_it_was_found(tmp_path):
    policy = LinearPolicy(torch.eye(2), torch.ones(2), made={"algorithm": "by hand"})
    policy.save(tmp_path / "policy.npz")
    loaded = LinearPolicy.load(tmp_path / "policy.npz")
    assert torch.equal(loaded.weights, policy.weights)
    assert (loaded.mean, loaded.made) == (None, {"algorithm": "by hand"})
    np.savez(tmp_path / "other.npz", W=np.eye(2), made="no JSON")
    with pytest.raises(PolicyError, match=r"is no \.npz of numbers"):
        LinearPolicy.load(tmp_path / "other.npz")


def test_the_same_policy_under_another_normalization():
    policy = LinearPolicy(drawn(2, 3), drawn(2), drawn(3), torch.tensor([0.5, 1.0, 2.0]))
    other = policy.under(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 0.1, 1.0]))
    seen = drawn(7, 3, seed=2)
    assert torch.allclose(policy(seen), other(seen), atol=1e-5)
    plain = LinearPolicy(drawn(2, 3), drawn(2))
    assert torch.allclose(plain(seen), plain.under(other.mean, other.std)(seen), atol=1e-5)


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.float64, None])
def test_any_numbers_will_do(kind):
    rows = [[1, -2, 0], [0, 3, 1]]
    weights = rows if kind is None else np.array(rows, kind)
    policy = LinearPolicy(weights, [1, 2], mean=np.zeros(3, np.float32), std=torch.ones(3))
    assert policy(torch.tensor([[0.5, 0.25, 1.0]])).tolist() == [[1.0, 3.75]]
    learned = LinearPolicy(torch.nn.Linear(3, 2).weight, torch.zeros(2))
    assert not learned(torch.zeros(1, 3)).requires_grad
    with pytest.raises(PolicyError, match="weights of a linear policy must be numbers"):
        LinearPolicy([["a"]], [1])


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"b": np.zeros(2)}, "must hold weights W"),
        ({"W": np.zeros(3)}, "must hold weights W"),
        ({"W": np.zeros((2, 3)), "b": np.zeros(3)}, r"got shapes \(2, 3\) and \(3,\)"),
        ({"W": np.full((2, 3), np.nan)}, "weights of a linear policy must be finite"),
        ({"W": np.zeros((2, 3)), "mean": np.zeros(3)}, "both a mean and a std"),
        ({"W": np.zeros((2, 3)), "mean": np.zeros(2), "std": np.ones(2)}, "as many means"),
        ({"W": np.zeros((2, 3)), "mean": np.zeros(3), "std": np.zeros(3)}, "above 0"),
        ({"W": np.array([["a"]])}, "no .npz of numbers"),
        ({"W": np.array([[None]], dtype=object)}, "no .npz of numbers"),
    ],
)
def test_other_files_are_refused(tmp_path, arrays, sentence):
    np.savez(tmp_path / "policy.npz", **arrays)
    with pytest.raises(PolicyError, match=sentence):
        LinearPolicy.load(tmp_path / "policy.npz")


def test_damaged_files_are_refused(tmp_path):
    with pytest.raises(PolicyError, match="There is no file"):
        LinearPolicy.load(tmp_path / "none.npz")
    for text in (b"", b"nonsense", b"PK\x03\x04 broken"):
        (tmp_path / "bad.npz").write_bytes(text)
        with pytest.raises(PolicyError, match=r"no \.npz of numbers"):
            LinearPolicy.load(tmp_path / "bad.npz")


def test_least_squares_find_a_linear_teacher():
    task, seen = TaskSpec("gaussian", (5,), 2), drawn(200, 5)
    teacher = LinearPolicy(3 * drawn(2, 5, seed=1), drawn(2, seed=2))
    fitted = fit_linear(seen, teacher(seen), task, *BOX)
    assert fitted.exact
    assert torch.allclose(fitted.policy.weights, teacher.weights, atol=1e-4)
    assert torch.allclose(fitted.policy.bias, teacher.bias, atol=1e-4)


def test_actions_are_what_is_fitted_where_they_are_clipped():
    task, seen = TaskSpec("gaussian", (5,), 2), drawn(2000, 5)
    linear = LinearPolicy(3 * drawn(2, 5, seed=1), drawn(2, seed=2))
    fitted = fit_linear(seen, linear(seen).clamp(-1, 1), task, *BOX)
    assert not fitted.exact
    missed = fitted.policy(seen).clamp(-1, 1) - linear(seen).clamp(-1, 1)
    assert missed.square().mean() < 1e-3


def test_choices_are_fitted_by_their_probabilities():
    task, seen = TaskSpec("categorical", (5,), 3), drawn(2000, 5)
    linear = LinearPolicy(drawn(3, 5, seed=1), drawn(3, seed=2))
    chosen = linear(seen).argmax(1)
    fitted = fit_linear(seen, 8 * torch.nn.functional.one_hot(chosen, 3).float(), task, *BOX)
    assert (fitted.policy(seen).argmax(1) == chosen).float().mean() > 0.97


def test_a_rank_is_kept():
    task, seen = TaskSpec("gaussian", (8,), 4), drawn(500, 8)
    teacher = LinearPolicy(drawn(4, 8, seed=1), drawn(4, seed=2))
    box = -9 * torch.ones(4), 9 * torch.ones(4)
    fitted = fit_linear(seen, teacher(seen), task, *box, rank=2)
    assert torch.linalg.matrix_rank(fitted.policy.weights, tol=1e-6) == 2
    left, strengths, right = torch.linalg.svd(teacher.weights, full_matrices=False)
    best = (left[:, :2] * strengths[:2]) @ right[:2]
    errors = [
        (policy(seen) - teacher(seen)).square().mean().item()
        for policy in (fitted.policy, LinearPolicy(best, teacher.bias))
    ]
    assert errors[0] < 1.05 * errors[1]
    with pytest.raises(SettingsError, match="rank"):
        fit_linear(seen, teacher(seen), task, *box, rank=0)
