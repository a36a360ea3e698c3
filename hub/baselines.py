"""What others get on these environments: mean returns to read a dataset's beside."""

from gymnasium.envs.registration import EnvSpec

RANDOM = "uniformly random actions"
AUTHORS = "the paper authors' released dataset, one step, sampled actions (MuJoCo: -v4)"
PPO = "tuned PPO (RL Zoo and others, -v3 and -v4)"

# Random actions: 100 episodes (cart-pole 200) of this package's environments and Gymnasium's -v5.
# The authors' sets: the evaluation protocol of this package, 64 rows on MuJoCo -v4, minimum size on
# cart-pole. PPO: as published with the agents.
MUJOCO: dict[str, dict[str, float]] = {
    "Ant": {RANDOM: -48, AUTHORS: 217},
    "HalfCheetah": {RANDOM: -282, AUTHORS: 968, PPO: 5_800},
    "Hopper": {RANDOM: 17, AUTHORS: 285, PPO: 2_410},
    "Humanoid": {RANDOM: 113, AUTHORS: 350},
    "HumanoidStandup": {RANDOM: 33_320, AUTHORS: 73_936},
    "InvertedDoublePendulum": {RANDOM: 49, AUTHORS: 139},
    "InvertedPendulum": {RANDOM: 5},
    "Pusher": {RANDOM: -149, PPO: -23},
    "Reacher": {RANDOM: -43, AUTHORS: -11.5},
    "Swimmer": {RANDOM: 1, PPO: 282},
    "Walker2d": {RANDOM: 2, AUTHORS: 59, PPO: 3_480},
}
CARTPOLE: dict[int, dict[str, float]] = {
    1: {RANDOM: 23, AUTHORS: 500},
    2: {RANDOM: 18, AUTHORS: 375},
    3: {RANDOM: 18, AUTHORS: 266},
    4: {RANDOM: 18, AUTHORS: 130},
    5: {RANDOM: 18, AUTHORS: 89},
    6: {RANDOM: 19},
    8: {RANDOM: 19},
    10: {RANDOM: 19},
}


def baselines(env: EnvSpec) -> dict[str, float]:
    """Mean return by player; empty where none is known."""
    if env.name == "CartPoleND":
        return CARTPOLE.get(env.kwargs.get("dims", 2), {})
    return MUJOCO.get(env.name, {})
