"""Steps per second of vectorized cart-poles at 1,024 copies, as ratios; run by ``make bench``."""

import time

import gymnasium as gym

import distilled_envs  # noqa: F401

COPIES, REPEATS = 1024, 12


def steps_per_second(make, rounds: int) -> float:
    """Environment steps per second under random actions, reset steps included."""
    env = make()
    env.reset(seed=0)
    actions = [env.action_space.sample() for _ in range(16)]
    env.step(actions[0])
    start = time.perf_counter()
    for i in range(rounds):
        env.step(actions[i % 16])
    seconds = time.perf_counter() - start
    env.close()
    return rounds * COPIES / seconds


def main() -> None:
    """Time the candidates in turn, many times over, and print the best of each, and ratios.

    The best is what a neighbor on a busy machine has slowed least.
    """
    candidates = {
        "CartPoleND-v0 dims=1, ours": (lambda: gym.make_vec("CartPoleND-v0", COPIES, dims=1), 100),
        "CartPole-v1, Gymnasium's vector": (lambda: gym.make_vec("CartPole-v1", COPIES), 100),
        "CartPole-v1, SyncVectorEnv": (
            lambda: gym.make_vec("CartPole-v1", COPIES, vectorization_mode="sync"),
            3,
        ),
        "CartPoleND-v0 dims=5, ours": (lambda: gym.make_vec("CartPoleND-v0", COPIES, dims=5), 40),
        "CartPoleND-v0 dims=5, SyncVectorEnv": (
            lambda: gym.make_vec("CartPoleND-v0", COPIES, dims=5, vectorization_mode="sync"),
            3,
        ),
    }
    speeds = {name: [] for name in candidates}
    for _ in range(REPEATS):
        for name, (make, rounds) in candidates.items():
            speeds[name].append(steps_per_second(make, rounds))
    best = {name: max(values) for name, values in speeds.items()}
    print(f"{COPIES} copies, best of {REPEATS}\n{'':38}{'steps/s':>12}   ratio to ours")
    for name, value in best.items():
        ours = best[f"CartPoleND-v0 dims={5 if 'dims=5' in name else 1}, ours"]
        print(f"{name:38}{value:12,.0f}   {value / ours:.3f}")


if __name__ == "__main__":
    main()
