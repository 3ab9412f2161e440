"""attnd's generation beside llama.cpp and PyTorch, in-process, in one run, alternating, medians; prints a table and writes JSON.
usage: decoder_peers.py BIN_FOLDER MODEL.gguf [--rounds N] [--llama FILE.gguf] [--torch HF_FOLDER] [--precisions int8,bf16,f32]
                        [--streams 1,16] [--prompt 182] [--answer 64] [--texts TEXTS.json]
One peer a run: the threads of one slow the other. --llama: what llama.cpp (PyPI xllamacpp) runs, the same weights in Q8_0 by rights; --torch: the same model as a Hugging Face folder.
--texts: a list of texts, joined, a different stretch of them the prompt of each stream and round (texts.py makes one); else prompts are pseudo-random ids.
attnd runs with and without drafts (docs/generation.md).
What is not given is left out. Everybody has the same cores and counts the same tokens; nobody has a prefix cache to use."""
import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("bin")
parser.add_argument("model")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--llama")
parser.add_argument("--torch")
parser.add_argument("--precisions", default="int8,bf16,f32")
parser.add_argument("--streams", default="1,16")
parser.add_argument("--prompt", type=int, default=182)
parser.add_argument("--answer", type=int, default=64)
parser.add_argument("--texts")
args = parser.parse_args()
CORES = len(os.sched_getaffinity(0))
STREAMS = [int(streams) for streams in args.streams.split(",")]


def make_prompts():
    """[rounds and a warm-up][most streams, prompt] ids: the same for everybody."""
    most, rounds = max(STREAMS), args.rounds + 1
    if not args.texts:
        return rounds * [[[1000 + (t * 7919 + stream * 104729) % 40000 for t in range(args.prompt)] for stream in range(most)]]
    wanted = rounds * most * args.prompt
    # All that can be needed, so that the tokenizer is not given megabytes.
    text = " ".join(json.load(open(args.texts)))[:12 * wanted]
    out = subprocess.run([args.bin + "/decoder_bench", args.model, "tokenize"], input=text, capture_output=True, text=True, check=True)
    ids = json.loads(out.stdout)
    if len(ids) < wanted:
        raise SystemExit(f"the texts have {len(ids)} tokens, too few for {rounds} times {most} prompts of {args.prompt}")
    prompts = [ids[i:i + args.prompt] for i in range(0, wanted, args.prompt)]
    return [prompts[i * most:(i + 1) * most] for i in range(rounds)]


PROMPTS = make_prompts()


def attnd(precision, lookup):
    def run(streams, prompts):
        pages = "f32" if precision == "f32" else "bf16"  # of keys and values; llama.cpp keeps them in f16
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(prompts, file)
            file.flush()
            command = [args.bin + "/decoder_bench", args.model, precision, pages, streams, args.prompt, args.answer, 2, lookup, file.name]
            out = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if out.returncode != 0:
            raise SystemExit(out.stderr)
        one = json.loads(out.stdout.splitlines()[-1])  # the round after the warm-up
        return {"seconds": one["seconds"], "prefill": one.get("prefill_tokens_per_second"), "decode": one.get("decode_tokens_per_second"),
                "drafted": one["drafted_tokens"], "accepted": one["accepted_draft_tokens"], "steps": one["steps"]}
    return run


def llama(path):
    import xllamacpp
    servers = {}

    def server(streams):
        if streams not in servers:
            params = xllamacpp.CommonParams()
            params.model.path = path
            params.n_ctx = max(512, 2 * (args.prompt + args.answer)) * streams
            params.n_parallel = streams
            params.cpuparams.n_threads = params.cpuparams_batch.n_threads = CORES
            params.warmup = params.cont_batching = True
            servers[streams] = xllamacpp.Server(params)
        return servers[streams]

    def run(streams, prompts):
        answers = []

        def one(stream):
            # As token ids, so that the prompt is as long as attnd's.
            answer = server(streams).handle_completions({"prompt": prompts[stream], "n_predict": args.answer, "temperature": 0, "ignore_eos": True,
                                                         "cache_prompt": False})
            answers.append(json.loads(answer) if isinstance(answer, (str, bytes)) else answer)
        server(streams)
        threads = [threading.Thread(target=one, args=(stream,)) for stream in range(streams)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, timings = time.perf_counter() - start, answers[0]["timings"]
        assert timings["prompt_n"] == args.prompt and timings["predicted_n"] == args.answer, timings
        return {"seconds": seconds, "prefill": timings["prompt_per_second"], "decode": timings["predicted_per_second"]}
    return run


def pytorch(folder):
    import torch
    from transformers import AutoModelForCausalLM
    torch.set_num_threads(CORES)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()

    def run(streams, prompts):
        ids = torch.tensor(prompts)

        def generate(count):
            start = time.perf_counter()
            with torch.inference_mode():
                model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, min_new_tokens=count, do_sample=False)
            return time.perf_counter() - start
        first, seconds = generate(1), generate(args.answer)
        return {"seconds": seconds, "prefill": ids.numel() / first, "decode": streams * (args.answer - 1) / max(1e-9, seconds - first)}
    return run


who = {}
for precision in args.precisions.split(","):
    who["attnd " + precision] = attnd(precision, -1)
    who[f"attnd {precision}, no drafts"] = attnd(precision, 0)
if args.llama:
    who["llama.cpp " + os.path.basename(args.llama)] = llama(args.llama)
if args.torch:
    who["pytorch f32"] = pytorch(args.torch)
cpu = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read()).group(1)
print(f"{cpu}, {CORES} cores, {args.rounds} rounds, medians; {args.prompt} + {args.answer} tokens")
results = {}
for streams in STREAMS:
    rounds = {name: [] for name in who}
    for round_number in range(args.rounds + 1):
        for name, run in who.items():
            one = run(streams, PROMPTS[round_number][:streams])
            if round_number > 0:  # the first warms up
                rounds[name].append(one)
    results[streams] = rounds
    print(f"\n{streams} at once\n\n| who | seconds | lowest to highest | prefill tokens/s | decode tokens/s |\n|---|---|---|---|---|")
    for name, all_of in rounds.items():
        seconds = [one["seconds"] for one in all_of]
        line = f"| {name} | {statistics.median(seconds):.2f} | {min(seconds):.2f} to {max(seconds):.2f} |"
        for key in ("prefill", "decode"):
            line += f" {statistics.median(one[key] for one in all_of):.1f} |" if streams == 1 else " |"
        print(line)
json.dump(results, open("decoder-peers.json", "w"), indent=1)
