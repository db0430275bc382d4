"""Random tiny models of each family, as Hugging Face's transformers computes them: folders, logits, gradients, answers.

    python oracle.py FOLDER < cases.json

Of each case {name, architecture, config, sequences, ...} writes FOLDER/name (the model) and FOLDER/name.safetensors with
`logits.<i>` of each sequence, `gradient.<parameter>` of the PPO loss over all tokens but the first of each, and `greedy` tokens; with adapters in the folder
"FOLDER/name adapters", the `adapted` logits of the first sequence by PEFT.
"""
import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

transformers.logging.set_verbosity_error()
folder = Path(sys.argv[1])

for case in json.load(sys.stdin):
    torch.manual_seed(1)
    architecture = getattr(transformers, case["architecture"])
    model = architecture(architecture.config_class(**case["config"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            around = 1.0 if "norm" in name else 0.0
            parameter.copy_(around + torch.randn(parameter.shape) * (0.1 if "norm" in name else 0.2))
    model = model.to(getattr(torch, case.get("dtype", "float32")))
    model.save_pretrained(folder / case["name"], max_shard_size=case.get("max_shard_size", "5GB"))
    # Read back, as the buffers of a model that was cast are cast too.
    model = architecture.from_pretrained(folder / case["name"], dtype=torch.float32, attn_implementation="eager").eval()

    results = {}
    losses = []
    for i, sequence in enumerate(case["sequences"]):
        logits = model(torch.tensor([sequence])).logits[0]
        results[f"logits.{i}"] = logits.detach()
        log_probs = torch.log_softmax(logits[:-1], -1)
        entropy = -(log_probs.exp() * log_probs).sum(-1)
        log_prob = log_probs.gather(1, torch.tensor(sequence[1:])[:, None])[:, 0]
        losses.append((log_prob, entropy))
    log_prob = torch.cat([value for value, _ in losses])
    entropy = torch.cat([value for _, value in losses])
    results["logProb"] = log_prob.detach()
    results["entropy"] = entropy.detach()
    positions = torch.arange(len(log_prob), dtype=torch.float32)
    advantage = torch.sin(positions)
    old = log_prob.detach() + 0.3 * torch.cos(3 * positions)
    ratio = torch.exp(log_prob - old)
    surrogate = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
    (-surrogate.mean() - 0.01 * entropy.mean()).backward()
    for name, parameter in model.named_parameters():
        results[f"gradient.{name}"] = parameter.grad
    prompt = case["sequences"][0][:7]
    with torch.no_grad():
        answer = model.generate(
            torch.tensor([prompt]), max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=0
        )
    results["greedy"] = answer[0, len(prompt) :].float()
    adapters = folder / f"{case['name']} adapters"
    if adapters.exists():
        import peft

        adapted = peft.PeftModel.from_pretrained(model, adapters).eval()
        with torch.no_grad():
            results["adapted"] = adapted(torch.tensor([case["sequences"][0]])).logits[0]
    save_file({name: value.contiguous() for name, value in results.items()}, folder / f"{case['name']}.safetensors")
