"""Plays the original WebShop and prints a digest of each episode, for original.test.ts to compare with.

    python record.py CHECKOUT DATA NOUNS JAR EPISODES > recording.json
    python record.py CHECKOUT DATA NOUNS JAR EPISODES --speed       prints the original's steps per second instead

CHECKOUT  a checkout of princeton-nlp/WebShop
DATA      the folder of items_shuffle_1000.json, items_ins_v2_1000.json and the human instructions
NOUNS     {title: [noun, ...]}: stands in for spaCy's tagger, so that everything else can be compared exactly
JAR       the Anserini jar of pyserini 0.17.0 (Java compiles and runs Searcher.java against it)

Needs beautifulsoup4==4.11.1, flask and thefuzz==0.22.1. The actions of an episode follow from its number alone (see `Player`),
so that a recording holds nothing of the data.
"""
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import types

checkout, data, nouns_path, jar, count = sys.argv[1:6]
measure_speed = sys.argv[6:] == ["--speed"]
here = os.path.dirname(os.path.abspath(__file__))
scratch = tempfile.mkdtemp()


def module(name, **names):
    made = types.ModuleType(name)
    made.__dict__.update(names)
    sys.modules[name] = made
    return made


class Hit:
    def __init__(self, docid):
        self.docid = docid


class Document:
    def __init__(self, docid):
        self.docid = docid

    def raw(self):
        return json.dumps({"id": self.docid})


class LuceneSearcher:
    """The interface of pyserini's, over Searcher.java."""

    index = os.path.join(scratch, "index")
    process = None

    def __init__(self, _):
        if LuceneSearcher.process is None:
            subprocess.run(["javac", "-cp", jar, "-d", scratch, os.path.join(here, "Searcher.java")], check=True)
            LuceneSearcher.process = subprocess.Popen(
                ["java", "-cp", jar + os.pathsep + scratch, "Searcher", self.index],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8",
            )

    def search(self, query, k):
        assert k == 50
        self.process.stdin.write(query + "\n")
        self.process.stdin.flush()
        return [Hit(docid) for docid in self.process.stdout.readline().split()]

    def doc(self, docid):
        return Document(docid)


class Token:
    def __init__(self, text):
        self.text = text
        self.pos_ = "NOUN"


title_nouns = json.load(open(nouns_path))
module("pyserini"), module("pyserini.search"), module("pyserini.search.lucene", LuceneSearcher=LuceneSearcher)
module("spacy", load=lambda _: lambda title: [Token(noun) for noun in title_nouns[title]])
module("cleantext"), module("rank_bm25", BM25Okapi=None), module("torch")
module("rich", print=lambda *_: None), module("tqdm", tqdm=lambda items, **_: items)
module("gym", Env=object), module("gym.envs"), module("gym.envs.registration", register=lambda **_: None)
module("selenium")
package = module("web_agent_site.envs")
sys.path.insert(0, checkout)
package.__path__ = [os.path.join(checkout, "web_agent_site", "envs")]

import web_agent_site.utils as utils  # noqa: E402

human = os.path.join(data, "items_human_ins.json")
utils.HUMAN_ATTR_PATH = human if os.path.exists(human) else os.path.join(data, "items_human_ins_1000.json")
utils.DEFAULT_ATTR_PATH = os.path.join(data, "items_ins_v2_1000.json")
utils.DEFAULT_FILE_PATH = os.path.join(data, "items_shuffle_1000.json")

from web_agent_site.engine.engine import load_products  # noqa: E402


def write_index():
    """As search_engine/convert_product_file_format.py and run_indexing.sh do."""
    products, *_ = load_products(utils.DEFAULT_FILE_PATH)
    documents = os.path.join(scratch, "documents")
    os.mkdir(documents)
    with open(os.path.join(documents, "documents.jsonl"), "w") as file:
        for product in products:
            options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in product["options"].items())
            parts = [product["Title"], product["Description"], product["BulletPoints"][0], options]
            file.write(json.dumps({"id": product["asin"], "contents": " ".join(parts).lower()}) + "\n")
    command = "io.anserini.index.IndexCollection -collection JsonCollection -generator DefaultLuceneDocumentGenerator"
    command += f" -threads 1 -storePositions -storeDocvectors -storeRaw -input {documents} -index {LuceneSearcher.index}"
    subprocess.run(["java", "-cp", jar, *command.split()], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Player:
    """Chooses actions by a generator of its own: the test repeats it."""

    odd = ["click[nothing]", "dance", "search[red dress", "click[search]", "click[]", "search[ ]", "say search[blue]", "Click[buy now]"]
    odd += ["search[Search_Results]", 'search[size "small"]', "search[the of]", "search[jacket]"]

    def __init__(self, episode):
        self.state = episode + 1
        for _ in range(4):
            self.draw(1)

    def draw(self, n):
        self.state = (1103515245 * self.state + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % n

    def choose(self, instruction, clickables, has_search_bar):
        kind = self.draw(12)
        if kind == 0:
            return self.odd[self.draw(len(self.odd))]
        if has_search_bar or kind == 1:
            words = instruction.split(" ")
            first = self.draw(len(words))
            return f"search[{' '.join(words[first:first + 1 + self.draw(8)])}]"
        if kind == 2 and "buy now" in clickables:
            return "click[buy now]"
        # The last entries are products and options.
        from_end = self.draw(3) > 0
        choice = clickables[max(0, len(clickables) - 12):] if from_end else clickables
        return f"click[{choice[self.draw(len(choice))]}]"


def play(env, episode, goal):
    player = Player(episode)
    env.reset(session=goal)
    digest = hashlib.sha256()
    reward, done = 0.0, False

    def look():
        available = env.get_available_actions()
        seen = [env.convert_html_to_text(env.state["html"], simple=simple) for simple in (True, False)]
        seen.append(json.dumps(available["clickables"], ensure_ascii=False))
        seen.append(f"{float(reward)!r} {done}")
        for line in seen:
            digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
        return available

    available = look()
    steps = 0
    while not done and steps < 15:
        action = player.choose(env.server.goals[goal]["instruction_text"], available["clickables"], available["has_search_bar"])
        _, reward, done, _ = env.step(action)
        steps += 1
        available = look()
    return {"goal": goal, "steps": steps, "reward": float(reward), "digest": digest.hexdigest()[:16]}


def buy(server, number):
    """The reward of a purchase drawn by its number: of the goal's product, any product, or one found by the same query."""
    from web_agent_site.engine.goal import get_reward

    player = Player(number)
    goal = server.goals[player.draw(len(server.goals))]
    asins = sorted(server.product_item_dict)
    kind = player.draw(3)
    place = player.draw(len(asins))
    if kind == 0:
        place = asins.index(goal["asin"])
    while kind == 1 and server.product_item_dict[asins[place]]["query"] != goal["query"]:
        place = (place + 1) % len(asins)
    product = server.product_item_dict[asins[place]]
    wanted = goal["goal_options"]
    wanted = list(wanted.values()) if isinstance(wanted, dict) else wanted
    chosen = {}
    for name, values in product["options"].items():
        if player.draw(4) == 0:
            continue
        liked = [value for value in values if value in wanted]
        value = values[player.draw(len(values))]
        chosen[name] = liked[0] if liked and player.draw(2) == 0 else value
    return float(get_reward(product, goal, price=server.product_prices[product["asin"]], options=chosen))


def speed(env):
    """Steps per second of this process's time (that of Java comes on top): the page as text and what can be clicked, as an agent needs."""
    steps = 0
    started = time.process_time()
    for episode in range(int(count)):
        player = Player(episode)
        goal = episode * 7919 % len(env.server.goals)
        env.server.user_sessions.clear()
        env.reset(session=goal)
        done, left = False, 15
        while not done and left > 0:
            available = env.get_available_actions()
            action = player.choose(env.server.goals[goal]["instruction_text"], available["clickables"], available["has_search_bar"])
            _, _, done, _ = env.step(action)
            steps, left = steps + 1, left - 1
    seconds = time.process_time() - started
    return f"{steps} steps in {seconds:.1f} s: {steps / seconds:.0f} steps per second"


def main():
    write_index()
    from web_agent_site.envs.web_agent_text_env import WebAgentTextEnv

    stdout, sys.stdout = sys.stdout, sys.stderr  # the original reports its progress
    recording = []
    for human_goals, show_attrs, share in ((False, False, 0.7), (False, True, 0.1), (True, False, 0.2)):
        random.seed(233)
        env = WebAgentTextEnv(
            observation_mode="text", file_path=utils.DEFAULT_FILE_PATH, human_goals=human_goals, show_attrs=show_attrs,
        )
        if measure_speed:
            print(speed(env), file=stdout)
            return
        goals = len(env.server.goals)
        episodes = []
        for episode in range(round(int(count) * share)):
            env.server.user_sessions.clear()
            episodes.append(play(env, episode, episode * 7919 % goals))
        rewards = [buy(env.server, number) for number in range(int(count) * 2)]
        perfect = sum(reward == 1 for reward in rewards)
        rewards = [hashlib.sha256("\n".join(map(repr, rewards[i:i + 50])).encode()).hexdigest()[:16] for i in range(0, len(rewards), 50)]
        goals_digest = hashlib.sha256("\n".join(goal["instruction_text"] for goal in env.server.goals).encode()).hexdigest()
        kind = "human" if human_goals else "synthetic"
        recording.append({"goals": kind, "showAttributes": show_attrs, "instructions": goals_digest, "rewards": rewards, "perfect": perfect, "episodes": episodes})
    head = "[\n"
    for i, part in enumerate(recording):
        episodes = part.pop("episodes")
        head += json.dumps(part)[:-1] + ', "episodes": [\n' + ",\n".join(json.dumps(e) for e in episodes) + "\n]}"
        head += "," if i + 1 < len(recording) else ""
    print(head + "\n]", file=stdout)


main()
