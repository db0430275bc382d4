"""What the scripts beside it share: settings come as one argument of JSON, events leave as lines of JSON (see program.ts)."""

import json
import sys


def settings():
    return json.loads(sys.argv[1])


def tell(**event):
    print(json.dumps(event), flush=True)


def mean(values):
    return sum(values) / len(values) if values else None


def tell_iteration(env_steps, returns):
    """At the end of an iteration's collection: environment steps so far, returns of the episodes that ended in it."""
    tell(type="iteration", envSteps=env_steps, meanReturn=mean(returns))


def evaluate(act, episodes=100):
    """Mean return of greedy episodes of CartPole-v1 played side by side. @param act: observations [n, 4] -> actions [n]"""
    import gymnasium
    import numpy

    envs = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * episodes)
    observations, _ = envs.reset(seed=10_000)
    totals, running = numpy.zeros(episodes), numpy.ones(episodes, bool)
    while running.any():
        observations, rewards, terminated, truncated, _ = envs.step(act(observations))
        totals += rewards * running
        running &= ~(terminated | truncated)
    tell(type="evaluation", meanReturn=float(totals.mean()))
