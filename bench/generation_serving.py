"""What generation through gRPC keeps to, on one machine with server and clients on the same cores; prints JSON.
usage: generation_serving.py BIN_FOLDER MODEL [--precision int8] [--rounds N] [--only rows,beside,memory] [--seconds N] [--answers N]
rows: tokens/s of one stream (182 + 64 tokens) with the rows of one layer or the statistics of all heads, of those without: medians of ROUNDS
  pairs, alternating on one server; and the server's CPU time a token.
beside: inter-token p99 and p50 of 16 streams alone, and while one caller sends prompts of 1,000 tokens without a pause; with drafts and without.
memory: resident MiB of the server over ANSWERS short generations (10,000), with 64 MiB of pages: those of prompts that may come again fill them
  in the first seconds, as they would any number."""
import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import time

parser = argparse.ArgumentParser()
parser.add_argument("bin")
parser.add_argument("model")
parser.add_argument("--precision", default="int8")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--only", default="rows,beside,memory")
parser.add_argument("--seconds", type=float, default=8)
parser.add_argument("--answers", type=int, default=10000)
args = parser.parse_args()


class Server:
    def __init__(self, *flags):
        self.process = subprocess.Popen([args.bin + "/attnd", "--model", f"m={args.model},precision={args.precision}", "--listen", "127.0.0.1:0",
                                         "--metrics-listen", "off", *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if found := re.search(r"ready.*?(127\.0\.0\.1:\d+)", line):
                self.address = found[1]
                return
        raise SystemExit("attnd did not start")

    def bench(self, *flags, seconds=args.seconds):
        return subprocess.Popen([args.bin + "/attn", "--address", self.address, "bench", "--generate", "-o", "json", "--duration", str(seconds),
                                 *(str(flag) for flag in flags)], stdout=subprocess.PIPE, text=True)

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        """MiB"""
        status = open(f"/proc/{self.process.pid}/status").read()
        return round(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024, 1)


@contextlib.contextmanager
def serve(*flags):
    server = Server(*flags)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.communicate()


def report(bench):
    out = json.loads(bench.communicate()[0])
    assert not out["errors"], out["errors"]
    return out


def rows():
    """Short runs on one server in turn, with the same prompts, of which the cache has room for one and a half of SmolLM2-135M's (of a smaller model
    it would know them from the run before): a machine that slows down slows all kinds. The processor's time of a token is what
    neighbours touch the least."""
    result = {}
    for name, flags in ("with drafts", ()), ("without drafts", ("--lookup-tokens", "0")):
        runs = {kind: [] for kind in ("none", "layer", "statistics")}
        with serve("--kv-cache-bytes", "16MiB" if args.precision == "f32" else "8MiB", *flags) as server:
            for i in range(args.rounds):
                kinds = list(runs)
                for kind in kinds[i % 3:] + kinds[:i % 3]:
                    before = server.cpu_seconds()
                    out = report(server.bench("-c", 1, "--prompt-tokens", 182, "--answer-tokens", 64, "--attention", kind, "--seed", 1 + i,
                                              "--warmup", 0))
                    speed = out["figures"]["tokens_per_s"]
                    runs[kind].append((speed, (server.cpu_seconds() - before) / (speed * out["seconds"])))
        for kind, seen in runs.items():
            result[f"{name}, {kind}"] = {
                "tokens/s": round(statistics.median(speed for speed, _ in seen), 1),
                "of none": round(statistics.median(one[0] / none[0] for one, none in zip(seen, runs["none"])), 3),
                "CPU ms/token": round(1000 * statistics.median(cpu for _, cpu in seen), 3),
                "none's CPU of this": round(statistics.median(none[1] / one[1] for one, none in zip(seen, runs["none"])), 3)}
    return result


def beside():
    result = {}
    for name, flags in ("with drafts", ()), ("without drafts", ("--lookup-tokens", "0")):
        for prompts in False, True:
            with serve(*flags) as server:
                streams = server.bench("-c", 16, "--prompt-tokens", 32, "--answer-tokens", 128, seconds=3 * args.seconds)
                if prompts:
                    other = server.bench("-c", 1, "--prompt-tokens", 1000, "--answer-tokens", 1, "--seed", 9, seconds=3 * args.seconds)
                figures = report(streams)["figures"]
                p50, p99 = figures["inter_token_p50_ms"], figures["inter_token_p99_ms"]
                one = {"p50 ms": round(p50, 1), "p99 ms": round(p99, 1), "p99/p50": round(p99 / max(p50, 1e-3), 2), "tokens/s": figures["tokens_per_s"]}
                if prompts:
                    one["prompt tokens/s"] = report(other)["figures"]["prompt_tokens_per_s"]
                result[f"{name}, {'beside prompts' if prompts else 'alone'}"] = one
    return result


def memory():
    with serve("--kv-cache-bytes", "64MiB") as server:
        answers, seen = 0, [(0, server.resident())]
        seed = 1
        while answers < args.answers:
            out = report(server.bench("-c", 8, "--prompt-tokens", 16, "--answer-tokens", 8, "--seed", seed, "--warmup", 0, seconds=20))
            answers += out["calls"]
            seen.append((answers, server.resident()))
            seed += 1
        return [{"answers": count, "MiB": mebibytes} for count, mebibytes in seen]


for name in args.only.split(","):
    start = time.time()
    print(json.dumps({name: globals()[name](), "seconds": round(time.time() - start)}, indent=1), flush=True)
