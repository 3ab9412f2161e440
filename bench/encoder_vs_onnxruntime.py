"""attnd beside ONNX Runtime (fused f32 graph, or its int8) on all-MiniLM-L6-v2, in one run, alternating, medians; prints a table and JSON.
usage: encoder_vs_onnxruntime.py BIN_FOLDER MODEL_FOLDER TEXTS.json MODEL.onnx [ROUNDS] [f32|int8 (of attnd, as MODEL.onnx is)]
BIN_FOLDER holds engine_bench, attnd and attn. Throughput is measured in short turns, each of a quarter of the texts, for a shared machine is fast and
slow by turns, too: a ratio is the median of those of each turn. Useful tokens only."""
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

BIN, MODEL, TEXTS, ONNX = sys.argv[1:5]
ROUNDS = int(sys.argv[5]) if len(sys.argv) > 5 else 5
PRECISION = sys.argv[6] if len(sys.argv) > 6 else "f32"
CORES = len(os.sched_getaffinity(0))
BATCH = 32
TURNS = 4  # a round

tokenizer = Tokenizer.from_file(MODEL + "/tokenizer.json")
tokenizer.no_padding()
tokenizer.enable_truncation(256)
texts = json.load(open(TEXTS))
ids = [e.ids for e in tokenizer.encode_batch(texts)]
tokens = sum(map(len, ids))
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = CORES
session = onnxruntime.InferenceSession(ONNX, options, providers=["CPUExecutionProvider"])
DTYPE = np.int64 if "int64" in session.get_inputs()[0].type else np.int32


def ort(batch):
    length = max(map(len, batch))
    x = np.zeros((len(batch), length), DTYPE)
    mask = np.zeros_like(x)
    for row, sequence in enumerate(batch):
        x[row, :len(sequence)] = sequence
        mask[row, :len(sequence)] = 1
    return session.run(None, {"input_ids": x, "attention_mask": mask, "token_type_ids": np.zeros_like(x)})[0], mask


def ort_throughput(turn):
    order = sorted(range(turn, len(ids), TURNS), key=lambda i: -len(ids[i]))
    start = time.perf_counter()
    for i in range(0, len(order), BATCH):
        ort([ids[j] for j in order[i:i + BATCH]])
    return sum(len(ids[i]) for i in order) / (time.perf_counter() - start)


def ort_latency(length):
    x = [[101] + [2773] * (length - 2) + [102]]
    for _ in range(3):
        ort(x)
    times = []
    for _ in range(30):
        start = time.perf_counter()
        ort(x)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def engine(turn):
    path = f"{folder}/texts{turn}.json"
    json.dump(texts[turn::TURNS], open(path, "w"))
    out = subprocess.run([BIN + "/engine_bench", MODEL, path, "1", str(CORES), "none", PRECISION], capture_output=True, check=True)
    return json.loads(out.stdout)


class Server:
    def __enter__(self):
        self.process = subprocess.Popen([BIN + "/attnd", "--model", f"minilm={MODEL},precision={PRECISION}", "--listen", "127.0.0.1:0",
                                         "--metrics-listen", "off"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            found = re.search(r"grpc (\S+)", line)
            if found:
                self.address = found.group(1)
                return self
        raise SystemExit("attnd did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def bench(self, file, texts_per_call, concurrency, duration, *extra):
        out = subprocess.run([BIN + "/attn", "--address", self.address, "bench", "--file", file, "-n", str(texts_per_call),
                              "-c", str(concurrency), "--duration", str(duration), "--warmup", "0.5", "-o", "json", *extra],
                             capture_output=True, text=True)
        if out.returncode != 0:
            raise SystemExit(out.stderr)
        return json.loads(out.stdout)

    def peak_rss(self):
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024


folder = tempfile.mkdtemp()
lines = folder + "/texts.txt"
with open(lines, "w") as f:
    f.write("\n".join(t.replace("\n", " ") for t in texts) + "\n")
results = {}


def note(name, value):
    results.setdefault(name, []).append(value)


with Server() as server:
    for round_number in range(ROUNDS + 1):
        if round_number == 0:
            server.bench(lines, 32, 8, 6)
            rss = server.peak_rss()  # before any maps
        for turn in range(TURNS):
            note("ort", ort_throughput(turn))
            one = engine(turn)
            note("engine", one["engine_tokens_per_second"][0])
            note("ukernel_ratio", one["ratio_to_ukernel"][0])
            for name, extra in [("grpc", ()), ("grpc_statistics", ("--attention", "statistics")),
                                ("grpc_one_map", ("--attention", "one")), ("grpc_all_maps", ("--attention", "all"))]:
                note(name, server.bench(lines, 32, 8, 2, *extra)["figures"]["tokens_per_s"])
        for length in (8, 16, 64, 128, 256):
            path = f"{folder}/{length}.txt"
            with open(path, "w") as f:
                f.write(" ".join(["war"] * (length - 2)) + "\n")
            note(f"ort_{length}", ort_latency(length))
            note(f"grpc_{length}", server.bench(path, 1, 1, 1)["figures"]["latency_p50_ms"])
        if round_number == 0:
            results.clear()  # warm-up

median = {name: statistics.median(values) for name, values in results.items()}


def ratio(a, b):
    return statistics.median(x / y for x, y in zip(results[a], results[b]))


cpu = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read()).group(1)
print(f"{cpu}, {CORES} cores, {one['cpu_path']}, {PRECISION}, ONNX Runtime {onnxruntime.__version__}; {len(ids)} texts, {tokens} tokens, "
      f"{ROUNDS} rounds, medians\n")
print("| what | attnd | against | ratio |\n|---|---|---|---|")
rows = [("in-process, tokens/s", "engine", "ort", "ONNX Runtime"), ("gRPC Embed, 8 x 32 texts, tokens/s", "grpc", "engine", "in-process"),
        ("gRPC Embed, tokens/s", "grpc", "ort", "ONNX Runtime in-process"),
        ("statistics of all heads, tokens/s", "grpc_statistics", "grpc", "Embed"),
        ("one map, tokens/s", "grpc_one_map", "grpc", "Embed"), ("all maps f32, tokens/s", "grpc_all_maps", "grpc", "Embed")]
print(f"| in-process against the bare ukernel loop | | | {median['ukernel_ratio']:.2f} |")
for label, a, b, against in rows:
    print(f"| {label} | {median[a]:,.0f} | {against} {median[b]:,.0f} | {ratio(a, b):.2f} |")
for length in (8, 16, 64, 128, 256):
    a, b = f"grpc_{length}", f"ort_{length}"
    print(f"| one request of {length} tokens through gRPC, p50 ms | {median[a]:.2f} | ONNX Runtime in-process {median[b]:.2f} | {ratio(a, b):.2f} |")
weights = one["weight_bytes"] / 2**20
print(f"\npeak resident memory of attnd under 8 x 32 texts, maps off: {rss:.0f} MiB, {rss - weights:.0f} beyond the weights")
json.dump(results, open("bench-results.json", "w"), indent=1)
