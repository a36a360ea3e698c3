"""The README's first example, as is."""

import gymnasium as gym
from stable_baselines3 import PPO

from distilled_envs import load_distilled  # importing the package registers its ids

dataset = load_distilled("cartpole_2d", instances=3)  # 3 rows: observation (8,) -> target (4,)
policy = dataset.train()  # a new random network, ONE gradient step
print(dataset.evaluate(policy, episodes=20))  # mean return, 95% interval, in the real environment

model = PPO("MlpPolicy", dataset.make_env())  # Stable-Baselines3's own default policy ...
print(dataset.evaluate(dataset.train(model)))  # ... learns from one gradient step too

env = gym.make("DistilledCartPoleND-v0", dims=2)  # a batch as a Gymnasium environment
real = gym.make("CartPoleND-v0", dims=2)  # the task it stands for
