"""The policy of all who only collect: one network of 64 × 64 with the first weights of a training run, nearly uniform."""

import torch
from torch import nn


def network():
    torch.manual_seed(1)
    layers = [nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2)]
    nn.init.orthogonal_(layers[-1].weight, 0.01)
    return nn.Sequential(*layers)


def network_policy():
    """Observations [n, 4] -> actions [n]; log-probabilities are computed and thrown away."""
    logits_of = network()

    @torch.inference_mode()
    def draw(observations):
        distribution = torch.distributions.Categorical(logits=logits_of(torch.as_tensor(observations)))
        actions = distribution.sample()
        distribution.log_prob(actions)
        return actions.numpy()

    return draw
