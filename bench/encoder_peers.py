"""attnd's engine beside other runtimes on encoders, in-process, in one run, alternating, medians; prints a table and writes JSON.
usage: encoder_peers.py BIN_FOLDER MODEL_FOLDER TEXTS.json [--rounds N] [--peers NAME,NAME...] [--workloads NAME,...] [--precisions f32,bf16,int8]
Peers that are not installed are left out and said so. Useful tokens only: padding counts for nobody. The peers get batches sorted by
length, attnd takes texts as they come. Everything is made below the current folder, once."""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peers  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("bin")
parser.add_argument("model")
parser.add_argument("texts")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--peers", default=",".join(peers.PEERS))
parser.add_argument("--workloads", default="mixed,512,bert-base")
parser.add_argument("--precisions", default="f32,bf16,int8")
args = parser.parse_args()
CORES = len(os.sched_getaffinity(0))


def mixed():
    return args.model, peers.tokenise(args.model, json.load(open(args.texts))[:1024], 256), 32


def long_texts():
    """64 texts of 512 tokens: real ones, one after the other."""
    flat = [i for ids in peers.tokenise(args.model, json.load(open(args.texts)), 512) for i in ids[1:-1]]
    return args.model, [[101] + flat[n * 510:(n + 1) * 510] + [102] for n in range(64)], 8


def bert_base():
    """BERT-base's shape with random weights, 64 texts of 128 tokens."""
    flat = [i for ids in peers.tokenise(args.model, json.load(open(args.texts)), 512) for i in ids[1:-1]]
    return peers.random_bert(args.model, "bert-base-random"), [[101] + flat[n * 126:(n + 1) * 126] + [102] for n in range(64)], 16


def engine(model, ids_file, precision):
    out = subprocess.run([args.bin + "/engine_bench", model, ids_file, "1", str(CORES), "none", precision], capture_output=True, text=True)
    if out.returncode != 0:
        raise SystemExit(out.stderr)
    return json.loads(out.stdout)


def run(name, workload):
    model, ids, batch = workload()
    ids_file = os.path.abspath(f"ids-{name}.json")
    json.dump(ids, open(ids_file, "w"))
    tokens = sum(map(len, ids))
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    batches = [peers.pad([ids[i] for i in order[b:b + batch]]) for b in range(0, len(order), batch)]
    made = {}
    for peer in args.peers.split(","):
        try:
            made[peer] = peers.PEERS[peer](model, CORES)
        except ImportError as missing:
            print(f"{peer}: not installed ({missing})", file=sys.stderr)
    speed, path, ceiling = {}, {}, {}
    for round_number in range(args.rounds + 1):
        for precision in args.precisions.split(","):
            one = engine(model, ids_file, precision)
            speed.setdefault("attnd " + precision, []).append(one["engine_tokens_per_second"][0])
            ceiling.setdefault(precision, []).append(one["ratio_to_ukernel"][0])
            path[precision] = one["cpu_path"] + ", " + one["precision_path"]
        for peer, call in made.items():
            start = time.perf_counter()
            for x, mask in batches:
                call(x, mask)
            speed.setdefault(peer, []).append(tokens / (time.perf_counter() - start))
        if round_number == 0:
            speed.clear()  # warm-up
            ceiling.clear()
    median = {who: statistics.median(values) for who, values in speed.items()}
    print(f"\n{name}: {len(ids)} texts, {tokens} tokens\n\n| who | tokens/s | of attnd's | lowest to highest |\n|---|---|---|---|")
    for who, value in median.items():
        print(f"| {who} | {value:,.0f} | | {min(speed[who]):,.0f} to {max(speed[who]):,.0f} |")
    for precision in args.precisions.split(","):
        for kind in {"bf16": ("f32", "bf16")}.get(precision, (precision,)):
            rivals = {who: value for who, value in median.items() if who.endswith(kind) and not who.startswith("attnd")}
            if rivals:
                best = max(rivals, key=rivals.get)
                print(f"\nattnd {precision} ({path[precision]}): {median['attnd ' + precision] / rivals[best]:.2f} of the best {kind} peer, {best}; "
                      f"{statistics.median(ceiling[precision]):.2f} of its bare kernels")
    return speed


WORKLOADS = {"mixed": mixed, "512": long_texts, "bert-base": bert_base}
cpu = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read()).group(1)
print(f"{cpu}, {CORES} cores, {args.rounds} rounds, medians; {peers.versions()}")
results = {name: run(name, WORKLOADS[name]) for name in args.workloads.split(",")}
json.dump(results, open("encoder-peers.json", "w"), indent=1)
