"""
CartPole outside RLlib, behind its RLlink protocol: a client process plays with a network of its own, as the protocol asks, and
sends episodes over TCP to the server inside an env runner; steps that arrive there are counted, nothing is learned.
"""

import multiprocessing
import socket
import time

import gymnasium
import numpy as np
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_MODULE_ID, Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.env.external.env_runner_server_for_external_inference import EnvRunnerServerForExternalInference
from ray.rllib.env.external.rllink import RLlink, get_rllink_message, send_rllink_message
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from telling import settings, tell

s = settings()
FRAGMENT = 4096


def configuration():
    world = gymnasium.make("CartPole-v1")
    return (
        PPOConfig()
        .environment(
            observation_space=world.observation_space, action_space=world.action_space, env_config={"port": s["port"]}
        )
        .env_runners(num_env_runners=0, rollout_fragment_length=FRAGMENT)
        .training(train_batch_size_per_learner=FRAGMENT)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], fcnet_activation="tanh"))
    )


def client():
    import torch

    torch.set_num_threads(1)
    sock = socket.socket()
    while sock.connect_ex(("localhost", s["port"])):
        time.sleep(0.1)
    module = configuration().get_rl_module_spec().build()

    def receive_weights():
        kind, body = get_rllink_message(sock)
        assert kind == RLlink.SET_STATE
        module.set_state(body["state"][COMPONENT_RL_MODULE])

    send_rllink_message(sock, {"type": RLlink.GET_STATE.name})
    receive_weights()
    random = np.random.default_rng(s["seed"])
    env = gymnasium.make("CartPole-v1")
    observation, _ = env.reset(seed=s["seed"])
    episode = SingleAgentEpisode(observations=[observation])
    episodes, collected = [episode], 0
    while True:
        with torch.inference_mode():
            out = module.forward_exploration({Columns.OBS: torch.from_numpy(observation[None])})
            logits = out[Columns.ACTION_DIST_INPUTS][0].numpy()
        odds = np.exp(logits - logits.max())
        odds /= odds.sum()
        action = int(random.random() >= odds[0])
        observation, reward, terminated, truncated, _ = env.step(action)
        episode.add_env_step(
            action=action,
            reward=reward,
            observation=observation,
            terminated=terminated,
            truncated=truncated,
            extra_model_outputs={
                Columns.ACTION_DIST_INPUTS: logits,
                Columns.ACTION_LOGP: float(np.log(odds[action])),
            },
        )
        collected += 1
        if collected == FRAGMENT:
            states = [each.get_state() for each in episodes]
            message = {"type": RLlink.EPISODES_AND_GET_STATE.name, "episodes": states, "timesteps": FRAGMENT}
            send_rllink_message(sock, message)
            receive_weights()
            episodes, collected = [], 0
            if not episode.is_done:
                episode = episode.cut()
                episodes.append(episode)
        if episode.is_done:
            observation, _ = env.reset()
            episode = SingleAgentEpisode(observations=[observation])
            episodes.append(episode)


def main():
    process = multiprocessing.get_context("spawn").Process(target=client, daemon=True)
    process.start()
    runner = EnvRunnerServerForExternalInference(config=configuration(), worker_index=0)
    weights = {COMPONENT_RL_MODULE: {DEFAULT_MODULE_ID: runner.module.get_state()}}

    def sample():
        episodes = runner.sample()
        runner.set_state(weights)
        return episodes

    sample()
    begun, steps, ended = time.perf_counter(), 0, 0
    while time.perf_counter() < begun + s["seconds"]:
        episodes = sample()
        steps += sum(map(len, episodes))
        ended += sum(each.is_done for each in episodes)
    tell(type="collected", envStepsPerSecond=steps / (time.perf_counter() - begun), meanReturn=steps / ended)
    process.kill()


if __name__ == "__main__":
    main()
