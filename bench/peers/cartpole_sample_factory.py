"""CartPole by Sample Factory's asynchronous PPO, with the hyper-parameters of bench/cartpole.ts."""

import tempfile

import gymnasium
import torch
from sample_factory.algo.learning.learner import Learner
from sample_factory.algo.runners.runner import AlgoObserver
from sample_factory.algo.utils.action_distributions import argmax_actions
from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
from sample_factory.envs.env_utils import register_env
from sample_factory.model.actor_critic import create_actor_critic
from sample_factory.train import make_runner
from telling import evaluate, settings, tell_iteration

s = settings()


def make(_name, _config, _env_config, render_mode=None):
    return gymnasium.make("CartPole-v1", render_mode=render_mode)


class Tell(AlgoObserver):
    def on_training_step(self, runner, _iteration):
        returns = runner.policy_avg_stats.get("reward", [()])[0]
        tell_iteration(runner.env_steps.get(0, 0), [float(r) for r in returns])


def configuration(folder):
    options = {
        "algo": "APPO",
        "env": "cartpole",
        "experiment": "bench",
        "train_dir": folder,
        "device": "cpu",
        "seed": s["seed"],
        "num_workers": s["cores"],
        "num_envs_per_worker": s["envs"] // s["cores"],
        "worker_num_splits": 2,  # one half is stepped while the other waits for its actions
        "rollout": s["stepsPerIteration"] // s["envs"],
        "batch_size": s["minibatch"],
        "num_batches_per_epoch": s["stepsPerIteration"] // s["minibatch"],
        "num_epochs": s["epochs"],
        "learning_rate": s["learningRate"],
        "gamma": s["gamma"],
        "gae_lambda": s["gaeLambda"],
        "ppo_clip_ratio": s["clip"],
        "ppo_clip_value": 1e6,
        "value_loss_coeff": s["valueCoefficient"] / 2,
        "exploration_loss_coeff": 0.0,
        "max_grad_norm": s["maxGradNorm"],
        "use_rnn": False,
        "normalize_input": False,
        "normalize_returns": False,
        "nonlinearity": "tanh",
        "actor_critic_share_weights": False,
        "decorrelate_envs_on_one_worker": False,
        "decorrelate_experience_max_seconds": 0,
        "train_for_env_steps": s["totalEnvSteps"],
        "stats_avg": 10,  # about the episodes of an iteration once they are long
    }
    arguments = [f"--{name}={value}" for name, value in options.items()] + ["--encoder_mlp_layers", "64", "64"]
    parser, _ = parse_sf_args(arguments)
    config = parse_full_cfg(parser, arguments)
    config.lr_schedule = "linear_decay"  # it has one, but its command line does not offer it
    return config


def main():
    register_env("cartpole", make)
    with tempfile.TemporaryDirectory(prefix="sample-factory-") as folder:
        config, runner = make_runner(configuration(folder))
        runner.register_observer(Tell())
        runner.init()
        runner.run()
        env = make("", None, None)
        network = create_actor_critic(
            config, gymnasium.spaces.Dict(obs=env.observation_space), env.action_space
        )
        newest = Learner.get_checkpoints(Learner.checkpoint_dir(config, 0))
        # Its own loader fails on PyTorch's later defaults.
        network.load_state_dict(torch.load(newest[-1], weights_only=False)["model"])

    def greedy(observations):
        with torch.no_grad():
            network({"obs": torch.as_tensor(observations)}, torch.zeros(len(observations), 1))
        return argmax_actions(network.action_distribution()).numpy()

    network.eval()
    evaluate(greedy)


if __name__ == "__main__":
    main()
