"""
An environment stepped by one of Gymnasium's vector environments, with actions from a network of PyTorch or drawn at random: environment
steps a second and the mean return, without learning. Log-probabilities are taken, as training would.
"""

import time

import gymnasium
import numpy as np
import torch
from collecting import network_policy
from gymnasium.vector import AutoresetMode
from telling import settings, tell

s = settings()


def make():
    return gymnasium.make(s["world"])


if __name__ == "__main__":
    torch.set_num_threads(1)
    vector = {"sync": gymnasium.vector.SyncVectorEnv, "async": gymnasium.vector.AsyncVectorEnv}[s["vector"]]
    envs = vector([make] * s["envs"], autoreset_mode=AutoresetMode.SAME_STEP)
    observations, _ = envs.reset(seed=s["seed"])
    draw = network_policy(envs) if s["policy"] == "network" else lambda _: envs.action_space.sample()
    episodes = steps = warm = 0
    rewards_seen = 0.0
    started = time.perf_counter()
    while (now := time.perf_counter()) < started + s["seconds"]:
        if not warm and now > started + 1:
            warm, begun, episodes, rewards_seen = steps, now, 0, 0.0
        observations, rewards, terminated, truncated, _ = envs.step(draw(observations))
        steps += s["envs"]
        rewards_seen += float(rewards.sum())
        episodes += int(np.count_nonzero(terminated | truncated))
    rate = (steps - warm) / (now - begun)
    tell(type="collected", envStepsPerSecond=rate, meanReturn=rewards_seen / episodes)
    envs.close()
