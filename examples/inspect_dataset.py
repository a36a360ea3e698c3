"""What do the three rows say that solve 2-D cart-pole?

After the one step the outputs are nearly linear in the observation, so that a policy is a matrix:
how much each coordinate speaks for each action. It is printed beside what the rows themselves say,
the sum over rows of target times observation.
"""

import torch

from distilled_envs import load_distilled

torch.set_printoptions(precision=2, sci_mode=False, linewidth=100)
dataset = load_distilled("cartpole_2d", instances="min")
names = [f"{name}_{axis}" for axis in range(2) for name in ("x", "x_dot", "theta", "theta_dot")]

print("The rows: observation -> target")
for observation, target in zip(dataset.observations, dataset.targets, strict=True):
    shown = ", ".join(f"{n} {v:+.2f}" for n, v in zip(names, observation.tolist(), strict=True))
    print(f"  {shown}  ->  {[round(t, 1) for t in target.tolist()]}")

rest = torch.zeros(8)
policies = [dataset.train(seed=seed) for seed in range(50)]
gains = torch.stack([torch.autograd.functional.jacobian(policy, rest) for policy in policies])
print("\nWhat 50 networks made of them, gain of each coordinate (columns) on each action (rows):")
print(gains.mean(0))
print(f"They differ by {gains.std(0).norm() / gains.mean(0).norm():.0%} of that.")

said = (dataset.targets.T @ dataset.observations).flatten()
learned = gains.mean(0).flatten()
likeness = torch.nn.functional.cosine_similarity(said, learned, dim=0)
print(f"\nCosine between that and the sum of target x observation: {likeness:.3f}")

push = gains.mean(0)[1::2] - gains.mean(0)[0::2]
print("\nPush right rather than left on an axis (rows), for each coordinate (columns):")
print(push)
print(
    "Signs agree with the classic controller: a pole that leans or falls to the right "
    "(theta, theta_dot > 0) is caught by a push to the right, on its own axis."
)
