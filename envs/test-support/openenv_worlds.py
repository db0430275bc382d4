"""Serves small environments with openenv-core: `python openenv_worlds.py guess|walk PORT`."""

import random
import sys
from typing import Any, List, Literal, Optional

import uvicorn
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State


class GuessAction(Action):
    number: int


class GuessObservation(Observation):
    answer: List[float]
    legal: List[int] = []
    won: bool = False


class Guess(Environment):
    """Find a number from 0 to 4; every guess may be made once. 99 brings the world down."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        super().__init__()
        self._state = State()

    def reset(self, seed: Optional[int] = None, episode_id: Optional[str] = None, **kwargs: Any):
        self.secret = random.Random(seed).randrange(5)
        self.left = [0, 1, 2, 3, 4]
        self._state = State(episode_id=episode_id, step_count=0)
        return GuessObservation(answer=[0.0, 5.0], legal=self.left)

    def step(self, action: GuessAction, timeout_s: Optional[float] = None, **kwargs: Any):
        if action.number not in self.left:
            raise ValueError(f"{action.number} has been guessed")
        self.left.remove(action.number)
        self._state.step_count += 1
        won = action.number == self.secret
        sign = float((self.secret > action.number) - (self.secret < action.number))
        return GuessObservation(
            answer=[sign, float(len(self.left))], legal=self.left, won=won, done=won, reward=1.0 if won else -0.1
        )

    @property
    def state(self):
        return self._state


class WalkAction(Action):
    direction: Literal["left", "right"]


class WalkObservation(Observation):
    view: str


class Walk(Guess):
    """A corridor in words."""

    def reset(self, seed: Optional[int] = None, episode_id: Optional[str] = None, **kwargs: Any):
        self.place = random.Random(seed).randrange(3)
        return WalkObservation(view=f"You are at {self.place}.")

    def step(self, action: WalkAction, timeout_s: Optional[float] = None, **kwargs: Any):
        self.place += 1 if action.direction == "right" else -1
        done = self.place == 4
        return WalkObservation(view=f"You are at {self.place}.", done=done, reward=float(done))


worlds = {"guess": (Guess, GuessAction, GuessObservation), "walk": (Walk, WalkAction, WalkObservation)}

if __name__ == "__main__":
    world, action, observation = worlds[sys.argv[1]]
    app = create_fastapi_app(world, action, observation, max_concurrent_envs=8)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="info")
