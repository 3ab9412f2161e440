"""attnd beside ONNX Runtime (fused f32 graph, or its int8) on all-MiniLM-L6-v2, in one run, alternating, medians; prints a table and JSON.
usage: encoder_vs_onnxruntime.py BIN_FOLDER MODEL_FOLDER TEXTS.json MODEL.onnx [ROUNDS] [f32|int8 (of attnd, as MODEL.onnx is)]
BIN_FOLDER holds engine_bench, attnd and attn. ONNX Runtime, the engine and the server, without and with attention, take turns of a fifth of a second
(alternate.py), single requests of half a second; a ratio is the median of those of each round, or turn. Useful tokens only."""
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import onnxruntime

import peers
from alternate import Contender, alternate, read_log

BIN, MODEL, TEXTS, ONNX = sys.argv[1:5]
ROUNDS = int(sys.argv[5]) if len(sys.argv) > 5 else 5
PRECISION = sys.argv[6] if len(sys.argv) > 6 else "f32"
CORES = len(os.sched_getaffinity(0))
BATCH = 32
TURNS, TURN_SECONDS = 40, 0.2  # a round
KINDS = {"grpc": "none", "grpc_statistics": "statistics", "grpc_one_map": "one", "grpc_all_maps": "all"}  # of attention

texts = json.load(open(TEXTS))
ids = peers.tokenise(MODEL, texts, 256)
tokens = sum(map(len, ids))
ort = peers.ort(ONNX, CORES)


def ort_latency(length):
    x, mask = peers.pad([[101] + [2773] * (length - 2) + [102]])
    for _ in range(3):
        ort(x, mask)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        ort(x, mask)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def engine_command(runs):
    return [BIN + "/engine_bench", MODEL, ids_file, str(runs), str(CORES), "none", PRECISION]


class Server:
    def __enter__(self):
        self.process = subprocess.Popen([BIN + "/attnd", "--model", f"minilm={MODEL},precision={PRECISION}", "--listen", "127.0.0.1:0",
                                         "--metrics-listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            found = re.search(r"grpc (\S+)\s+metrics (\S+)", line)
            if found:
                self.address, self.metrics = found.groups()
                return self
        raise SystemExit("attnd did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.send_signal(signal.SIGCONT)  # it may be stopped where a run ends early
        self.process.wait()

    def bench(self, file, texts_per_call, concurrency, duration, warm_up):
        out = subprocess.run([BIN + "/attn", "--address", self.address, "bench", "--file", file, "-n", str(texts_per_call),
                              "-c", str(concurrency), "--duration", str(duration), "--warmup", str(warm_up), "-o", "json"],
                             capture_output=True, text=True)
        if out.returncode != 0:
            raise SystemExit(out.stderr)
        return json.loads(out.stdout)

    def load(self, file, attention):
        """A process that keeps the server busy, 8 callers of 32 texts, until it is killed."""
        return subprocess.Popen([BIN + "/attn", "--address", self.address, "bench", "--file", file, "-n", "32", "-c", "8", "--duration", "86400",
                                 "--attention", attention, "-o", "json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def tokens(self):
        metrics = urllib.request.urlopen(f"http://{self.metrics}/metrics").read().decode()
        return float(re.search(r'attnd_batch_tokens_sum\{model="minilm"\} (\S+)', metrics).group(1))

    def peak_rss(self):
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024


folder = tempfile.mkdtemp()
lines = folder + "/texts.txt"
with open(lines, "w") as f:
    f.write("\n".join(t.replace("\n", " ") for t in texts) + "\n")
ids_file = folder + "/ids.json"
json.dump(ids, open(ids_file, "w"))
results = {}


def note(name, value):
    results.setdefault(name, []).append(value)


def by_turns():
    """Tokens a second of ONNX Runtime, of the engine, and of a server for each of KINDS."""
    with contextlib.ExitStack() as stack:
        def started(process):
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        def in_process(name, command):
            log = f"{folder}/{name}.log"
            process = started(subprocess.Popen(command, stdout=stack.enter_context(open(log, "w"))))
            return Contender([process], lambda: read_log(log))

        contenders = {"ort": in_process("ort", [sys.executable, peers.__file__, os.path.abspath(ONNX), MODEL, ids_file, str(BATCH)]),
                      "engine": in_process("engine", engine_command(0))}
        for name, attention in KINDS.items():
            one = stack.enter_context(Server())
            contenders[name] = Contender([one.process, started(one.load(lines, attention))], total=one.tokens)
        for name, contender in contenders.items():
            if not contender.hold():
                raise SystemExit(f"{name} ended")
        return alternate(contenders, TURNS, TURN_SECONDS)


with Server() as server:
    for round_number in range(ROUNDS + 1):
        if round_number == 0:
            server.bench(lines, 32, 8, 6, 0.5)
            rss = server.peak_rss()  # before any maps
        one = json.loads(subprocess.run(engine_command(1), capture_output=True, check=True).stdout)
        note("ukernel_ratio", one["ratio_to_ukernel"][0])
        for name, rate in by_turns().items():
            note(name, rate)
        for length in (8, 16, 64, 128, 256):
            path = f"{folder}/{length}.txt"
            with open(path, "w") as f:
                f.write(" ".join(["war"] * (length - 2)) + "\n")
            for _ in range(TURNS // 10):
                note(f"ort_{length}", ort_latency(length))
                note(f"grpc_{length}", server.bench(path, 1, 1, 0.4, 0.1)["figures"]["latency_p50_ms"])
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
