"""attnd's engine beside other runtimes on encoders, in-process, by turns of a fifth of a second (alternate.py); prints a table and writes JSON.
usage: encoder_peers.py BIN_FOLDER MODEL_FOLDER TEXTS.json [--turns N] [--peers NAME,NAME...] [--workloads NAME,...] [--precisions f32,bf16,int8]
Peers that are not installed are left out and said so. Useful tokens only: padding counts for nobody. The peers get batches sorted by
length, attnd takes texts as they come. Everything is made below the current folder, once."""
import argparse
import contextlib
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peers  # noqa: E402
from alternate import Contender, alternate, read_log  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("bin")
parser.add_argument("model")
parser.add_argument("texts")
parser.add_argument("--turns", type=int, default=100)
parser.add_argument("--peers", default=",".join(peers.PEERS))
parser.add_argument("--workloads", default="mixed,512,bert-base")
parser.add_argument("--precisions", default="f32,bf16,int8")
args = parser.parse_args()
CORES = len(os.sched_getaffinity(0))
TURN_SECONDS = 0.2


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


def engine_command(model, ids_file, precision, runs):
    return [args.bin + "/engine_bench", model, ids_file, str(runs), str(CORES), "none", precision]


def engine_facts(model, ids_file, precision):
    """How it runs, and its speed beside that of its bare kernels."""
    out = subprocess.run(engine_command(model, ids_file, precision, 1), capture_output=True, text=True)
    if out.returncode != 0:
        raise SystemExit(out.stderr)
    return json.loads(out.stdout)


def run(name, workload):
    model, ids, batch = workload()
    ids_file = os.path.abspath(f"ids-{name}.json")
    json.dump(ids, open(ids_file, "w"))
    facts = {precision: engine_facts(model, ids_file, precision) for precision in args.precisions.split(",")}
    commands = {"attnd " + precision: engine_command(model, ids_file, precision, 0) for precision in facts}
    for peer in args.peers.split(","):
        commands[peer] = [sys.executable, peers.__file__, peer, model, ids_file, str(batch)]
    with contextlib.ExitStack() as stack:
        contenders = {}
        for who, command in commands.items():
            log, errors = (os.path.abspath(f"{who.replace(' ', '-')}.{kind}") for kind in ("log", "errors"))
            process = subprocess.Popen(command, stdout=stack.enter_context(open(log, "w")), stderr=stack.enter_context(open(errors, "w")))
            stack.callback(process.wait)
            stack.callback(process.kill)
            one = Contender([process], lambda log=log: read_log(log))
            if one.hold():
                contenders[who] = one
            else:
                print(f"{who}: left out, {open(errors).read().strip().splitlines()[-1]}", file=sys.stderr)
        speed = alternate(contenders, args.turns, TURN_SECONDS)
    print(f"\n{name}: {len(ids)} texts, {sum(map(len, ids))} tokens\n\n| who | tokens/s |\n|---|---|")
    for who, value in speed.items():
        print(f"| {who} | {value:,.0f} |")
    for precision, fact in facts.items():
        for kind in {"bf16": ("f32", "bf16")}.get(precision, (precision,)):
            rivals = {who: value for who, value in speed.items() if who.endswith(kind) and not who.startswith("attnd")}
            if rivals:
                best = max(rivals, key=rivals.get)
                print(f"\nattnd {precision} ({fact['cpu_path']}, {fact['precision_path']}): {speed['attnd ' + precision] / rivals[best]:.2f} of the "
                      f"best {kind} peer, {best}; {fact['ratio_to_ukernel'][0]:.2f} of its bare kernels")
    return speed


WORKLOADS = {"mixed": mixed, "512": long_texts, "bert-base": bert_base}
cpu = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read()).group(1)
print(f"{cpu}, {CORES} cores, {args.turns} turns of {TURN_SECONDS} s each; {peers.versions()}")
results = {name: run(name, WORKLOADS[name]) for name in args.workloads.split(",")}
json.dump(results, open("encoder-peers.json", "w"), indent=1)
