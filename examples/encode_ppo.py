"""A policy of Stable-Baselines3's PPO as a dataset with an encoder, for what no linear policy does.

Reacher's good policies multiply angles by distances. PPO finds one; the hidden layers of
`reacher-encoder` and its rows are then learned to teach it to fresh last layers in one step.
"""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import tyro
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from distilled_envs import ImitationSettings, imitate


@dataclass
class Arguments:
    """Train PPO, imitate it behind an encoder, and score fresh learners."""

    env_id: str = "Reacher-v5"
    """A Gymnasium id with bounded actions."""
    total_steps: int = 2_000_000
    """Steps of PPO: five to ten minutes on one core."""
    copies: int = 16
    """Environments side by side."""
    horizon: int = 256
    """Steps of each between updates."""
    gamma: float = 0.95
    """Discount."""
    encoder: tuple[int, ...] = (128, 128)
    """Units of the encoder's layers; none of them makes rows that need no encoder."""
    rounds: int = 8
    """Rounds in which learners play and PPO's policy answers."""
    learners: int = 100
    """Fresh learners that are scored."""
    seed: int = 0
    """Seed of everything."""
    output: Path = Path("runs/encoder")
    """Folder of the dataset, and of PPO's model, as ppo.zip and vec_normalize.pkl."""


def main(arguments: Arguments) -> None:
    """Train, imitate, score."""
    if arguments.output.exists():  # before minutes of work
        sys.exit(f"{arguments.output} exists already: choose another --output.")
    env = VecNormalize(make_vec_env(arguments.env_id, arguments.copies), gamma=arguments.gamma)
    model = PPO(
        "MlpPolicy",
        env,
        learning_rate=lambda left: 5e-4 * left,
        n_steps=arguments.horizon,
        batch_size=256,
        gamma=arguments.gamma,
        policy_kwargs={"log_std_init": -1.0},
        seed=arguments.seed,
        device="cpu",
    )
    model.learn(arguments.total_steps, progress_bar=False)
    arguments.output.mkdir(parents=True)
    model.save(arguments.output / "ppo.zip")
    env.save(str(arguments.output / "vec_normalize.pkl"))
    settings = ImitationSettings(encoder=arguments.encoder, rounds=arguments.rounds)
    command = shlex.join(["python", "examples/encode_ppo.py", *sys.argv[1:]])
    dataset = imitate(model, arguments.env_id, settings, command=command)
    evaluation = dataset.evaluate(learners=arguments.learners, episodes=1, progress=True)
    record = dataset.spec.provenance["imitation"]
    print(f"PPO: {record['teacher_return']}; {len(dataset)} rows, by {record['by']}:")
    print(evaluation)
    dataset.spec = dataset.spec.replace(evaluation={"one_step": evaluation.to_dict()})
    dataset.save(arguments.output / "dataset")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
