"""
PyTorch's side of bench/learner.ts and bench/gpu.ts: the same networks, weights, rows, minibatches and losses, on the CPU or, told `gpu`,
on a GPU if there is one. Minibatches of text are cut beforehand, which Proxima does while it is measured.
"""

import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

s = json.loads(sys.argv[1])
torch.set_num_threads(s["threads"])
device = torch.device("cuda" if s.get("gpu") and torch.cuda.is_available() else "cpu")
torch.set_default_device(device)
with open(s["folder"] + "/work.json") as file:
    work = json.load(file)
data = np.fromfile(s["folder"] + "/work.bin", np.uint8)
options = work["options"]


def array(entry):
    end = entry["offset"] + 4 * entry["length"]
    values = torch.from_numpy(data[entry["offset"] : end].view(entry["type"])).to(device)
    return values if entry["type"] == "float32" else values.long()


arrays = {entry["name"]: array(entry) for entry in work["arrays"]}
p = {name: nn.Parameter(arrays["weights/" + name].reshape(shape).clone()) for name, shape in work["shapes"].items()}


def columns_of(prefix):
    return {name[len(prefix) + 1 :]: values for name, values in arrays.items() if name.startswith(prefix + "/")}


def chain(x, name, layers):
    for i in range(layers):
        x = torch.tanh(torch.addmm(p[f"{name}.{i}.bias"], x, p[f"{name}.{i}.weight"]))
    return torch.addmm(p[f"{name}.{layers}.bias"], x, p[f"{name}.{layers}.weight"])


def numbers(rows):
    return chain(rows["observation/values"], "policy", 2)


def number_terms(rows):
    log_probs = F.log_softmax(numbers(rows), 1)
    chosen = log_probs.gather(1, rows["actions"][:, None])[:, 0]
    entropy = -(log_probs.exp() * log_probs).sum(1)
    return chosen, entropy, chain(rows["observation/values"], "value", 2)[:, 0]


def bag(table, values, offsets):
    return F.embedding_bag(values, table, offsets, mode="sum", include_last_offset=True)


def text(rows):
    table = p["table"]
    state = bag(table, rows["state/values"], rows["state/offsets"])
    own = bag(table, rows["candidates/values"], rows["candidates/offsets"])
    lists = bag(table, rows["shared/listValues"], rows["shared/listOffsets"])
    bags = own + bag(lists, rows["shared/values"], rows["pairs"])
    of_state = (state @ p["state.weight"])[rows["row"]]
    h = F.relu(torch.addmm(p["hidden.0.bias"], bags, p["candidate.weight"]) + of_state)
    h = F.relu(torch.addmm(p["hidden.1.bias"], h, p["hidden.1.weight"]))
    return (h @ p["score.weight"])[:, 0]


def text_terms(rows):
    logits, row, first = text(rows), rows["row"], rows["candidates/lists"]
    count = len(first) - 1
    most = torch.full((count,), -torch.inf).scatter_reduce(0, row, logits.detach(), "amax")
    shifted = logits - most[row]
    log_probs = shifted - torch.zeros(count).index_add(0, row, shifted.exp()).log()[row]
    entropy = torch.zeros(count).index_add(0, row, -log_probs.exp() * log_probs)
    return log_probs[first[:-1] + rows["actions"]], entropy, None


def with_rows(rows):
    """Adds which row each candidate belongs to, and offsets of pairs of lists."""
    lists = rows["candidates/lists"]
    rows["row"] = torch.repeat_interleave(torch.arange(len(lists) - 1), lists.diff())
    rows["pairs"] = torch.arange(0, len(rows["shared/values"]) + 1, 2)
    return rows


is_text = "table" in p
optimiser = torch.optim.Adam(p.values(), lr=options["learningRate"], eps=options["adamEpsilon"])
steps = options["epochs"] * s["minibatches"]
orders = [arrays[f"order/{epoch}"] for epoch in range(options["epochs"])]
cut = [with_rows(columns_of(f"minibatch/{n}")) for n in range(steps)] if is_text else None
whole = columns_of("all")
if not is_text:
    whole["observation/values"] = whole["observation/values"].reshape(-1, work["shapes"]["policy.0.weight"][0])


def minibatch(n):
    if cut:
        return cut[n]
    epoch, i = divmod(n, s["minibatches"])
    index = orders[epoch][i * options["minibatch"] : (i + 1) * options["minibatch"]]
    return {name: column[index] for name, column in whole.items() if len(column) == len(orders[0])}


def update():
    total = 0.0
    for n in range(steps):
        rows = minibatch(n)
        log_prob, entropy, value = (text_terms if is_text else number_terms)(rows)
        ratio = (log_prob - rows["oldLogProbs"]).exp()
        clipped = ratio.clamp(1 - options["clipLow"], 1 + options["clipHigh"])
        objective = torch.minimum(ratio * rows["advantages"], clipped * rows["advantages"])
        loss = -objective.mean() - options["entropyCoefficient"] * entropy.mean()
        if value is not None:
            loss = loss + 0.5 * options["valueCoefficient"] * ((value - rows["valueTargets"]) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(p.values(), options["maxGradNorm"])
        optimiser.step()
        total += loss.item()
    return total / steps


def fastest(call):
    """The shortest time of a call until the time is over: what the call costs when nobody else is on the core."""
    least, calls, until = float("inf"), 0, time.perf_counter() + s["seconds"]
    while calls < 10 or time.perf_counter() < until:
        started = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - started)
        calls += 1
    return least


def forward():
    with torch.inference_mode():
        for _ in range(100):
            (text if is_text else numbers)(few)


loss = update()
update_ms = 1000 * fastest(update) / steps
few = columns_of("forward")
if is_text:
    with_rows(few)
else:
    few["observation/values"] = few["observation/values"].reshape(s["forwardRows"], -1)
forward_us = 1e6 * fastest(forward) / 100
where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
print(json.dumps({"type": "measured", "loss": loss, "updateMs": update_ms, "forwardUs": forward_us, "device": where}))
