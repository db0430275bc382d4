"""Weights from a driver to many actors over Ray's object store, for bench/weights.ts.

usage: weights_ray.py SETTINGS. Prints "ready" when all `actors` run; each line on stdin puts `bytes` anew and is answered with the
milliseconds until the last actor has got them and read a value.
"""

import json
import sys
import time

import numpy as np
from ray_here import answers, ray, started


@ray.remote(num_cpus=0)
class Actor:
    def take(self, references):
        return float(ray.get(references[0])[-1])


@started()
def main():
    answer, settings = answers(), json.loads(sys.argv[1])
    weights = np.random.rand(settings["bytes"] // 4).astype(np.float32)
    actors = [Actor.remote() for _ in range(settings["actors"])]
    ray.get([actor.take.remote([ray.put(weights)]) for actor in actors])
    answer("ready")
    for version, _ in enumerate(sys.stdin):
        weights[-1] = version
        start = time.perf_counter()
        reference = ray.put(weights)
        values = ray.get([actor.take.remote([reference]) for actor in actors])
        if any(value != version for value in values):
            raise RuntimeError("an actor has other weights")
        answer((time.perf_counter() - start) * 1000)


main()
