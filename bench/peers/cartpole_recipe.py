"""
CartPole by the recipe that CleanRL is known for: PPO in one file of PyTorch over Gymnasium's synchronous vector environment,
separate actor and critic, orthogonal weights, a falling learning rate, advantages normalised in each minibatch. Written from its
public description with the hyper-parameters of bench/cartpole.ts; CleanRL itself is no library that could be installed.
"""

import gymnasium
import numpy as np
import torch
from telling import evaluate, settings, tell_iteration
from torch import nn
from torch.distributions import Categorical

s = settings()
torch.set_num_threads(1)  # for networks this small more threads only wait for each other
torch.manual_seed(s["seed"])
rng = np.random.default_rng(s["seed"])
count, horizon = s["envs"], s["stepsPerIteration"] // s["envs"]


def layer(inputs, outputs, gain):
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)
    return linear


def network(outputs, gain):
    return nn.Sequential(layer(4, 64, 2**0.5), nn.Tanh(), layer(64, 64, 2**0.5), nn.Tanh(), layer(64, outputs, gain))


actor, critic = network(2, 0.01), network(1, 1.0)
parameters = [*actor.parameters(), *critic.parameters()]
optimiser = torch.optim.Adam(parameters, lr=s["learningRate"], eps=1e-8)

make = lambda: gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("CartPole-v1"))  # noqa: E731
envs = gymnasium.vector.SyncVectorEnv([make] * count, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP)

observations = torch.zeros(horizon, count, 4)
actions = torch.zeros(horizon, count, dtype=torch.long)
log_probs, rewards, dones, values = (torch.zeros(horizon, count) for _ in range(4))

iterations = -(-s["totalEnvSteps"] // (count * horizon))
observation = torch.as_tensor(envs.reset(seed=s["seed"])[0])
for iteration in range(iterations):
    optimiser.param_groups[0]["lr"] = s["learningRate"] * (1 - iteration / iterations)
    returns = []
    for t in range(horizon):
        with torch.no_grad():
            distribution = Categorical(logits=actor(observation))
            action = distribution.sample()
            values[t] = critic(observation).flatten()
        observations[t], actions[t], log_probs[t] = observation, action, distribution.log_prob(action)
        following, reward, terminated, truncated, info = envs.step(action.numpy())
        observation = torch.as_tensor(following)
        rewards[t] = torch.as_tensor(reward)
        dones[t] = torch.as_tensor(terminated | truncated)
        if "final_info" in info:
            episode = info["final_info"]["episode"]
            returns += [float(r) for r, ended in zip(episode["r"], episode["_r"]) if ended]
    tell_iteration((iteration + 1) * count * horizon, returns)

    with torch.no_grad():
        advantages, ahead, later = torch.zeros_like(rewards), critic(observation).flatten(), torch.zeros(count)
        for t in reversed(range(horizon)):
            goes_on = 1 - dones[t]
            delta = rewards[t] + s["gamma"] * ahead * goes_on - values[t]
            advantages[t] = later = delta + s["gamma"] * s["gaeLambda"] * goes_on * later
            ahead = values[t]
    flat = [x.flatten(0, 1) for x in (observations, actions, log_probs, advantages, advantages + values)]
    for _ in range(s["epochs"]):
        order = rng.permutation(count * horizon)
        for start in range(0, len(order), s["minibatch"]):
            x, action, old, advantage, target = (column[order[start : start + s["minibatch"]]] for column in flat)
            distribution = Categorical(logits=actor(x))
            ratio = (distribution.log_prob(action) - old).exp()
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
            clipped = ratio.clamp(1 - s["clip"], 1 + s["clip"])
            policy_loss = torch.max(-advantage * ratio, -advantage * clipped).mean()
            value_loss = 0.5 * ((critic(x).flatten() - target) ** 2).mean()
            loss = policy_loss + s["valueCoefficient"] * value_loss
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, s["maxGradNorm"])
            optimiser.step()


def greedy(observations):
    with torch.no_grad():
        return actor(torch.as_tensor(observations)).argmax(1).numpy()


evaluate(greedy)
