"""
CartPole behind OpenEnv's server, played by OpenEnv's own client: sessions side by side over WebSockets, actions drawn at random.
`collect_openenv.py JSON` starts the server as a process of its own.
"""

import asyncio
import multiprocessing
import random
import time

from telling import settings, tell


def serve(port):
    from typing import List, Optional

    import gymnasium
    import uvicorn
    from openenv.core.env_server.http_server import create_fastapi_app
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.types import Action, Observation, State

    class Push(Action):
        direction: int

    class View(Observation):
        numbers: List[float]

    class CartPole(Environment):
        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self):
            super().__init__()
            self.world = gymnasium.make("CartPole-v1")
            self._state = State()

        def reset(self, seed: Optional[int] = None, episode_id: Optional[str] = None, **_):
            observation, _ = self.world.reset(seed=seed)
            return View(numbers=observation.tolist())

        def step(self, action: Push, timeout_s: Optional[float] = None, **_):
            observation, reward, terminated, truncated, _ = self.world.step(action.direction)
            return View(numbers=observation.tolist(), reward=float(reward), done=terminated or truncated)

        @property
        def state(self):
            return self._state

    app = create_fastapi_app(CartPole, Push, View, max_concurrent_envs=64)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical")


async def play(s):
    from openenv.core.generic_client import GenericEnvClient

    counts = {"steps": 0, "episodes": 0}
    measured = asyncio.Event()

    async def session(seed):
        draw = random.Random(seed)
        async with GenericEnvClient(base_url=f"ws://127.0.0.1:{s['port']}") as env:
            while not measured.is_set():
                result = await env.reset(seed=draw.randrange(2**31))
                while not result.done:
                    result = await env.step({"direction": draw.randrange(2)})
                    counts["steps"] += 1
                counts["episodes"] += 1

    playing = [asyncio.create_task(session(seed)) for seed in range(s["sessions"])]
    await asyncio.sleep(1)
    before, begun = dict(counts), time.perf_counter()
    await asyncio.sleep(s["seconds"])
    steps, episodes = (counts[name] - before[name] for name in ("steps", "episodes"))
    tell(type="collected", envStepsPerSecond=steps / (time.perf_counter() - begun), meanReturn=steps / episodes)
    measured.set()
    await asyncio.gather(*playing, return_exceptions=True)


def main():
    import socket

    s = settings()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(s["port"],), daemon=True)
    server.start()
    while socket.socket().connect_ex(("127.0.0.1", s["port"])):
        time.sleep(0.1)
    asyncio.run(play(s))
    server.kill()


if __name__ == "__main__":
    main()
