"""Tokenizers as Qwen and Llama 3 have them, trained here, and what Hugging Face's libraries make of texts in many scripts.

    python tokenizers_oracle.py FOLDER COUNT < conversations.json

FOLDER/ours, where there is one, is read too, and trained again from FOLDER/ours/texts.json: FOLDER/ours.json has its
merges and {texts, ids, decoded, chats}. Writes FOLDER/{qwen,llama3} (tokenizer folders with a chat template) and FOLDER/{qwen,llama3}.json:
{texts, ids, decoded, chats: [{prompt, ids}]} for COUNT texts and each conversation.
"""
import json
import random
import sys
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

folder, count = Path(sys.argv[1]), int(sys.argv[2])
conversations = json.load(sys.stdin)
choice = random.Random(7)

SCRIPTS = [
    (0x20, 0x7E), (0x20, 0x7E), (0x20, 0x7E), (0xA0, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF),
    (0x530, 0x58F), (0x590, 0x5FF), (0x600, 0x6FF), (0x700, 0x74F), (0x900, 0x97F), (0x980, 0x9FF), (0xB80, 0xBFF), (0xE00, 0xE7F),
    (0xF00, 0xFFF), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF), (0x1780, 0x17FF), (0x1E00, 0x1EFF),
    (0x2000, 0x206F), (0x2070, 0x20CF), (0x2150, 0x218F), (0x2190, 0x22FF), (0x2460, 0x24FF), (0x2600, 0x27BF), (0x3000, 0x30FF),
    (0x3130, 0x318F), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFB00, 0xFB4F), (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x1D400, 0x1D7FF),
    (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF),
]
SPACES = [" ", " ", " ", "  ", "    ", "\n", "\n\n", "\r\n", "\t", " \n ", "\u00a0", "\u3000", "\u2009", ""]
PIECES = ["I'm", "we'LL", "don't", "'s", "x=1;", "3.14159", "1234567", "foo_bar()", "https://a.b/c?d=e", "e\u0301", "\u1112\u1161\u11ab",
          "\ufb01n", "I\u0307", "👩‍👩‍👧‍👦", "🇫🇷", "👍🏽", "<think>", "</think>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "...", "\\n", "ſ", "K", "²³"]


def word():
    kind = choice.random()
    if kind < 0.25:
        return choice.choice(PIECES)
    first, last = choice.choice(SCRIPTS)
    return "".join(chr(choice.randint(first, last)) for _ in range(choice.randint(1, 9)))


def text():
    return "".join(word() + choice.choice(SPACES) for _ in range(choice.randint(1, 8)))


def kinds():
    digits = lambda n: r"\p{N}{1,3}" if n == 3 else r"\p{N}"
    pattern = lambda n: (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits(n)
        + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    yield "qwen", pattern(1), normalizers.NFC(), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    yield "llama3", pattern(3), None, ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]


TEMPLATES = {
    # With what real templates use: namespaces, reversed loops, tests, filters, macros of whitespace, string methods.
    "qwen": """{%- if messages[0].role == 'system' -%}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- else -%}
    {{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if message.role == 'user' and ns.last == messages|length - 1 %}{%- set ns.last = index %}{%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == 'user') or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set content = message.content %}
        {%- if '</think>' in content and loop.index0 < ns.last %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "llama3": """{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}""",
}

texts = [text() for _ in range(count)]


def report(name, fast, **more):
    ids = [fast.encode(each, add_special_tokens=False) for each in texts]
    chats = []
    for messages in conversations:
        for add in (True, False):
            prompt = fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=add)
            chats.append({"prompt": prompt, "ids": fast.encode(prompt, add_special_tokens=False)})
    decoded = [fast.decode(each, skip_special_tokens=True) for each in ids]
    (folder / f"{name}.json").write_text(json.dumps({"texts": texts, "ids": ids, "decoded": decoded, "chats": chats, **more}))


for name, pattern, normalizer, special in kinds():
    made = Tokenizer(models.BPE(ignore_merges=name == "llama3"))
    if normalizer:
        made.normalizer = normalizer
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        texts[: count // 2],
        trainers.BpeTrainer(
            vocab_size=4000,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    if name == "qwen":  # added later, and not special: as Qwen3's thoughts
        from tokenizers import AddedToken

        made.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token=special[-1],
        bos_token=special[0] if name == "llama3" else None,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATES[name]
    fast.save_pretrained(folder / name)
    report(name, fast)

ours = folder / "ours"
if ours.exists():
    fast = PreTrainedTokenizerFast.from_pretrained(ours)
    again = Tokenizer(models.BPE())
    again.pre_tokenizer = fast.backend_tokenizer.pre_tokenizer
    size = len(fast)
    again.train_from_iterator(
        json.loads((ours / "texts.json").read_text()),
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    report("ours", fast, merges=json.loads(again.to_str())["model"]["merges"])
