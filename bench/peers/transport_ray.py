"""Trajectories from actors to a learner over Ray, for bench/transport.ts: each as the argument of a call of the learner, or put
into the object store with a reference to it in the call.

usage: transport_ray.py SETTINGS. The first line on stdin is a list of episodes, each a record of columns; "ready" answers it. Each
further line sends `share` episodes from each of `actors` actors, `underWay` at a time, and is answered with "taken".
"""

import json
import sys

import numpy as np
from ray_here import answers, ray, started


def columns(record):
    """Numbers as arrays, texts and the rest as they are."""
    if isinstance(record, dict):
        return {key: columns(value) for key, value in record.items()}
    numbers = isinstance(record, list) and record and all(isinstance(value, (int, float)) for value in record)
    return np.asarray(record) if numbers else record


@ray.remote(num_cpus=0)
class Learner:
    def __init__(self):
        self.taken = []

    def take(self, trajectory):
        self.taken.append(trajectory["count"])

    def fetch(self, references):
        self.take(ray.get(references[0]))

    def release(self):
        taken, self.taken = len(self.taken), []
        return taken


@ray.remote(num_cpus=0)
class Actor:
    def __init__(self, learner, episodes, how, under_way):
        self.learner, self.how, self.under_way = learner, how, under_way
        self.episodes = [columns(episode) for episode in episodes]

    def send(self, count):
        pending = []
        for i in range(count):
            if len(pending) >= self.under_way:
                done, pending = ray.wait(pending)
                ray.get(done)
            episode = self.episodes[i % len(self.episodes)]
            if self.how == "call":
                pending.append(self.learner.take.remote(episode))
            else:
                pending.append(self.learner.fetch.remote([ray.put(episode)]))
        ray.get(pending)


@started()
def main():
    answer, settings = answers(), json.loads(sys.argv[1])
    episodes = json.loads(sys.stdin.readline())
    learner = Learner.remote()
    actors = [
        Actor.remote(learner, episodes, settings["how"], settings["underWay"]) for _ in range(settings["actors"])
    ]
    ray.get([actor.send.remote(1) for actor in actors])
    ray.get(learner.release.remote())
    answer("ready")
    for _ in sys.stdin:
        ray.get([actor.send.remote(settings["share"]) for actor in actors])
        taken = ray.get(learner.release.remote())
        if taken != settings["share"] * settings["actors"]:
            raise RuntimeError(f"took {taken} trajectories")
        answer("taken")


main()
