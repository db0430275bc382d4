"""The same work by transformers and PEFT on PyTorch: subject.py FOLDER DTYPE prints a line of JSON, as subject.ts does."""
import json
import resource
import sys
import time
from contextlib import contextmanager

import peft
import torch
import transformers

folder, dtype = sys.argv[1:3]
work = json.loads(sys.argv[3])
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
model = peft.get_peft_model(
    model, peft.LoraConfig(r=work["rank"], lora_alpha=2 * work["rank"], target_modules="all-linear", task_type="CAUSAL_LM")
)


@contextmanager
def timed():
    started = time.process_time()
    spent = {}
    yield spent
    spent["seconds"] = time.process_time() - started


prompt = torch.tensor([[(i * 7919) % 50_000 for i in range(work["prompt"])]])
result = {"name": f"transformers {dtype}", "generate": {}}
with torch.no_grad():
    with timed() as spent:
        model(prompt, logits_to_keep=1)
    result["prompt"] = work["prompt"] / spent["seconds"]
    for sessions, tokens in work["sessions"]:
        cache = model(prompt.repeat(sessions, 1), logits_to_keep=1).past_key_values
        last = torch.zeros((sessions, 1), dtype=torch.long)
        with timed() as spent:
            for _ in range(tokens):
                out = model(last, past_key_values=cache, logits_to_keep=1)
                last = torch.multinomial(torch.softmax(out.logits[:, -1].float(), -1), 1)
        result["generate"][sessions] = sessions * tokens / spent["seconds"]
count, trained = work["update"]["tokens"], work["update"]["trained"]
optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-4)
for _ in range(2):  # the first one fetches memory that later ones have
    with timed() as spent:
        # Logits of the trained tokens alone, as in Proxima.
        logits = model(prompt[:, :count], logits_to_keep=trained + 1).logits[:, :-1].float()
        targets = prompt[:, count - trained : count, None]
        torch.log_softmax(logits, -1).gather(-1, targets).mean().backward()
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1)
        optimiser.step()
    optimiser.zero_grad()
result["update"] = count / spent["seconds"]
result["bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
with open("/proc/self/status") as status:
    mapped = next(int(line.split()[1]) for line in status if line.startswith("RssFile"))
result["ownBytes"] = result["bytes"] - mapped * 1024
result["adapterBytes"] = sum(p.numel() * 4 for p in model.parameters() if p.requires_grad)
print(json.dumps(result))
