"""CartPole by RLlib's PPO, with the hyper-parameters of bench/cartpole.ts."""

from ray_here import started  # first, as Ray reads its settings when it is imported

import torch
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import DEFAULT_MODULE_ID, Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from telling import evaluate, settings, tell_iteration

s = settings()
runners = s["cores"] if s["cores"] > 1 else 0  # on one core the driver plays itself

torch.set_num_threads(1)  # for networks this small more threads only wait for each other
config = (
    PPOConfig()
    .environment("CartPole-v1")
    .env_runners(
        num_env_runners=runners,
        num_envs_per_env_runner=s["envs"] // max(1, runners),
        num_cpus_per_env_runner=0.5,
        rollout_fragment_length=s["stepsPerIteration"] // s["envs"],
    )
    .learners(num_learners=0)
    .training(
        train_batch_size_per_learner=s["stepsPerIteration"],
        minibatch_size=s["minibatch"],
        num_epochs=s["epochs"],
        lr=[[0, s["learningRate"]], [s["totalEnvSteps"], 0.0]],
        gamma=s["gamma"],
        lambda_=s["gaeLambda"],
        clip_param=s["clip"],
        vf_clip_param=float("inf"),
        vf_loss_coeff=s["valueCoefficient"] / 2,  # its loss of the critic has no 1/2
        entropy_coeff=0.0,
        use_kl_loss=False,
        grad_clip=s["maxGradNorm"],
        grad_clip_by="global_norm",
    )
    .rl_module(
        model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], fcnet_activation="tanh", vf_share_layers=False)
    )
    .reporting(metrics_num_episodes_for_smoothing=10)  # about the episodes of an iteration once they are long
    .debugging(seed=s["seed"], log_level="ERROR")
)


@started(max(1, s["cores"]))
def main():
    algorithm = config.build_algo()
    steps = 0
    while steps < s["totalEnvSteps"]:
        result = algorithm.train()
        steps = int(result["num_env_steps_sampled_lifetime"])
        tell_iteration(steps, [float(result["env_runners"]["episode_return_mean"])])

    module = algorithm.get_module(DEFAULT_MODULE_ID)

    def greedy(observations):
        with torch.no_grad():
            out = module.forward_inference({Columns.OBS: torch.as_tensor(observations)})
        return out[Columns.ACTION_DIST_INPUTS].argmax(1).numpy()

    evaluate(greedy)
    algorithm.stop()


main()
