"""CartPole by Stable-Baselines3's PPO, with the hyper-parameters of bench/cartpole.ts."""

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from telling import evaluate, settings, tell_iteration

s = settings()
torch.set_num_threads(1)  # for networks this small more threads only wait for each other


class Tell(BaseCallback):
    """Returns of the episodes that ended since the iteration before."""

    returns: list = []

    def _on_step(self):
        self.returns += [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        return True

    def _on_rollout_end(self):
        tell_iteration(self.num_timesteps, [float(r) for r in self.returns])
        self.returns.clear()


model = PPO(
    "MlpPolicy",
    make_vec_env("CartPole-v1", n_envs=s["envs"], seed=s["seed"]),
    n_steps=s["stepsPerIteration"] // s["envs"],
    batch_size=s["minibatch"],
    n_epochs=s["epochs"],
    learning_rate=lambda remaining: s["learningRate"] * remaining,
    gamma=s["gamma"],
    gae_lambda=s["gaeLambda"],
    clip_range=s["clip"],
    ent_coef=0.0,
    vf_coef=s["valueCoefficient"] / 2,  # its loss of the critic has no 1/2
    max_grad_norm=s["maxGradNorm"],
    policy_kwargs={"net_arch": [64, 64]},
    seed=s["seed"],
    device="cpu",
)
model.learn(s["totalEnvSteps"], callback=Tell())
evaluate(lambda observations: model.predict(observations, deterministic=True)[0])
