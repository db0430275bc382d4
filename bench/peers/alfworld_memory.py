"""Memory of the original ALFWorld's environments, for bench/alfworld.ts.

usage: alfworld_memory.py STEPS < list of game files. Opens all of them, each in an environment of its own, plays STEPS possible commands
in each, and prints MiB of resident memory for each environment beyond what the process had before the first.
"""

import random
import sys

import textworld
from textworld.envs.pddl import PddlEnv


def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096 / 2**20


def main():
    steps = int(sys.argv[1])
    rng = random.Random(1)
    paths = sys.stdin.read().split()
    environments = []
    before = resident()
    for path in paths:
        env = PddlEnv(textworld.EnvInfos(won=True, admissible_commands=True))
        env.load(path)
        state = env.reset()
        for _ in range(steps):
            state, _, _ = env.step(rng.choice(state["admissible_commands"]))
        environments.append((env, state))
    print((resident() - before) / len(environments))


main()
