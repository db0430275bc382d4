"""The policy of all who only collect: one network of 64 × 64 with the first weights of a training run, nearly uniform."""

import torch
from gymnasium.spaces import Discrete
from torch import nn


def network_policy(env):
    """Observations [n, …] -> actions of a vector environment; log-probabilities are computed and thrown away."""
    inputs, actions = env.single_observation_space.shape[0], env.single_action_space
    is_discrete = isinstance(actions, Discrete)
    layers = [nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh()]
    layers.append(nn.Linear(64, actions.n if is_discrete else actions.shape[0]))
    nn.init.orthogonal_(layers[-1].weight, 0.01)
    network = nn.Sequential(*layers)

    @torch.inference_mode()
    def draw(observations):
        out = network(torch.as_tensor(observations))
        of = torch.distributions
        distribution = of.Categorical(logits=out) if is_discrete else of.Normal(out, 1.0)
        drawn = distribution.sample()
        distribution.log_prob(drawn)
        return drawn.numpy()

    return draw
