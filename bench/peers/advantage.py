"""The peers of bench/advantage.ts: the advantages of ProxMO, GiGPO and GRPO as they are published, on one batch.

ProxMO: scikit-learn's TfidfVectorizer over all step rows (1,024 terms at most), one cosine similarity over the whole batch, a mask
for rows of other groups, a softmax, a weighted mean of returns. GiGPO and GRPO: rows collected in dictionaries, by group and by
state, and a mean (and deviation) of each list of scores.

Reads {"estimator", "anchors", "groups", "episodes", "scores", "returns", "tau", "epsilon", "repeats"} from stdin, a value for each
step row; writes {"medianMs", "values"} to stdout.
"""

import json
import sys
import time
from collections import defaultdict

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity


def column(batch, name):
    return torch.tensor(batch[name], dtype=torch.float32)


def proxmo(batch):
    """The step term."""
    features = TfidfVectorizer(max_features=1024).fit_transform(batch["anchors"])
    similarity = torch.from_numpy(cosine_similarity(features).astype(np.float32))
    groups = torch.tensor(batch["groups"])
    logits = (similarity / batch["tau"]).masked_fill(groups[:, None] != groups[None, :], float("-inf"))
    returns = column(batch, "returns")
    return returns - torch.softmax(logits, dim=1) @ returns


def centred(values, keys):
    """Each value less the mean of those with its key; a value that is alone stays."""
    members = defaultdict(list)
    for value, key in zip(values, keys):
        members[key].append(value)
    means = {key: torch.mean(torch.stack(of)) if len(of) > 1 else torch.tensor(0.0) for key, of in members.items()}
    return torch.stack([value - means[key] for value, key in zip(values, keys)])


def gigpo(batch):
    scores, returns = column(batch, "scores"), column(batch, "returns")
    states = list(zip(batch["groups"], batch["anchors"]))
    alone = defaultdict(int)
    for state in states:
        alone[state] += 1
    step = centred(returns, states)
    step = torch.where(torch.tensor([alone[state] == 1 for state in states]), torch.zeros(()), step)
    return centred(scores, batch["groups"]) + step


def grpo(batch):
    score_of = {}
    group_of = {}
    for score, episode, group in zip(column(batch, "scores"), batch["episodes"], batch["groups"]):
        score_of[episode] = score
        group_of[episode] = group
    scores_of = defaultdict(list)
    for episode, score in score_of.items():
        scores_of[group_of[episode]].append(score)
    mean = {group: torch.mean(torch.stack(scores)) for group, scores in scores_of.items()}
    deviation = {group: torch.std(torch.stack(scores), correction=0) for group, scores in scores_of.items()}
    rows = []
    for episode in batch["episodes"]:
        group = group_of[episode]
        rows.append((score_of[episode] - mean[group]) / (deviation[group] + batch["epsilon"]))
    return torch.stack(rows)


def main():
    batch = json.load(sys.stdin)
    estimate = {"proxmo": proxmo, "gigpo": gigpo, "grpo": grpo}[batch["estimator"]]
    times = []
    for _ in range(batch["repeats"]):
        start = time.perf_counter()
        values = estimate(batch)
        times.append((time.perf_counter() - start) * 1000)
    json.dump({"medianMs": float(np.median(times)), "values": values.tolist()}, sys.stdout)


main()
