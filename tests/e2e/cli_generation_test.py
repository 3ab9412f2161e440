"""attn's verbs of generation against a live attnd that serves SmolLM2."""

import base64
import json
import os
import pathlib
import pty
import re
import select
import subprocess
import tempfile
import time
import unittest

import harness
import numpy as np

SMOLLM2 = harness.MINILM.parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPT = "The capital of France is"
GREEDY = ("--temperature", "0")


class Terminal:
    """A program behind a pseudo-terminal: what it writes, and keys."""

    def __init__(self, command, env):
        self.ours, theirs = pty.openpty()
        # setsid makes the terminal the program's own, so that Ctrl-C typed there is a signal.
        self.process = subprocess.Popen(["setsid", "--ctty", *command], stdin=theirs, stdout=theirs, stderr=theirs, env=env)
        os.close(theirs)
        self.output = b""

    def read(self, seconds):
        """False where the program has closed its side."""
        readable, _, _ = select.select([self.ours], [], [], seconds)
        if readable:
            try:
                chunk = os.read(self.ours, 65536)
            except OSError:  # how Linux says that the other side is closed
                return False
            self.output += chunk
            return bool(chunk)
        return True

    def until(self, pattern, seconds=30):
        """Waits until what came since the last call matches."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.output):
            if time.monotonic() > deadline or not self.read(0.2):
                raise AssertionError(f"no {pattern} in {self.output!r}")
        output, self.output = self.output, b""
        return output

    def send(self, text):
        os.write(self.ours, text)

    def end(self, code=0):
        deadline = time.monotonic() + 30
        while self.read(0.2) and time.monotonic() < deadline:
            pass
        done = self.process.wait(timeout=30)
        os.close(self.ours)
        if done != code:
            raise AssertionError(f"exit code {done}: {self.output!r}")
        return self.output


class CliGenerationTest(harness.ServerTest):
    MODELS = (harness.BERT, f"smol={SMOLLM2}")

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="attn-")))

    def environment(self, **extra):
        return harness.environment({"ATTN_ADDRESS": self.server.address, "ATTN_METRICS": self.server.metrics_address,
                                    "XDG_STATE_HOME": str(self.folder), **extra})

    def attn(self, verb, *arguments, code=0, stdin=b""):
        model = () if verb in ("stats", "models") else ("--model", "smol")
        done = subprocess.run([harness.BIN / "attn", verb, *model, *arguments], input=stdin, capture_output=True, timeout=60,
                              env=self.environment())
        self.assertEqual(done.returncode, code, done.stderr.decode())
        self.assertNotIn(b"\x1b[", done.stdout + done.stderr, "escape codes in a pipe")
        if code == 0:
            self.assertEqual(done.stderr, b"")
        return (done.stdout if code == 0 else done.stderr).decode()

    def terminal(self, verb, *arguments, **env):
        return Terminal([harness.BIN / "attn", verb, "--model", "smol", *arguments],
                        self.environment(TERM="xterm-256color", COLORTERM="truecolor", **env))

    def events(self, *arguments):
        return [json.loads(line) for line in self.attn("generate", *arguments, "--json").splitlines()]

    def test_generate(self):
        text = self.attn("generate", PROMPT, *GREEDY, "--max-tokens", "8")
        self.assertIn("Paris", text)
        events = self.events(PROMPT, *GREEDY, "--max-tokens", "8", "--logprobs", "2", "--prompt-logprobs")
        self.assertEqual([event["event"] for event in events], ["start"] + ["token"] * 8 + ["end", "summary"])
        self.assertEqual("".join(event["text"] for event in events[1:9]), text.rstrip("\n"))
        for event in events[1:9]:
            self.assertAlmostEqual(event["logprob"], event["top"][0]["logprob"], places=5)
        self.assertEqual(len(events[-1]["prompt_logprobs"]), len(events[0]["prompt"]) - 1)
        self.assertEqual(events[-2]["reason"], "length")

    def test_seeds_and_stops(self):
        first, again, other = (self.attn("generate", "Once upon a time", "--seed", seed, "--max-tokens", "24") for seed in "778")
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)
        stopped = self.attn("generate", PROMPT, *GREEDY, "--stop", "Paris")
        self.assertNotIn("Paris", stopped)
        self.assertEqual(self.attn("generate", PROMPT, "--n", "2", "--max-tokens", "3").count("answer "), 2)

    def test_attention(self):
        lines = self.attn("generate", PROMPT, *GREEDY, "--max-tokens", "4", "--show-attention").splitlines()
        self.assertEqual(len(lines), 4)
        self.assertIn("first 0.", lines[0])
        events = self.events(PROMPT, *GREEDY, "--max-tokens", "4", "--show-attention", "L9H2")
        prompt = len(events[0]["prompt"])
        for index, event in enumerate(events[1:5]):
            weights = event["attention"]["weights"][0]
            self.assertEqual(len(weights), prompt + index)
            self.assertAlmostEqual(sum(weights), 1, places=2)

    def test_attention_on_a_terminal(self):
        arguments = (PROMPT, *GREEDY, "--max-tokens", "4", "--show-attention")
        picture = self.terminal("generate", *arguments).end()
        self.assertIn(b"\x1b[48;2;", picture)
        self.assertRegex(picture, rb"\x1b\[\d+F")
        self.assertIn(b"4 tokens, length; first after", picture)
        self.assertNotIn(b"\x1b", self.terminal("generate", *arguments, NO_COLOR="1").end())

    def test_ctrl_c(self):
        terminal = self.terminal("generate", "Once upon a time", "--ignore-eos", "--max-tokens", "4000")
        terminal.until(rb"\w+ \w+ \w+")
        terminal.send(b"\x03")
        self.assertIn(b"tokens, unfinished", terminal.end(code=130))
        harness.until(lambda: self.server.metric("attnd_generations_running") == 0, "the generation is cancelled")

    def test_score(self):
        reply = json.loads(self.attn("score", PROMPT, " Paris", " London", " Lyon", "--json"))
        scores = [continuation["logprob"] for continuation in reply["continuations"]]
        self.assertEqual(max(scores), scores[0])
        for continuation in reply["continuations"]:
            self.assertAlmostEqual(sum(token["logprob"] for token in continuation["tokens"]), continuation["logprob"], places=3)
        self.assertIn("·Paris", self.attn("score", PROMPT, " Paris"))

    def test_chat_in_a_pipe(self):
        saved = self.folder / "chat.json"
        turns = f"What is 2 + 2?\nAnd one more?\n/save {saved}\n"
        answers = self.attn("chat", *GREEDY, "--max-tokens", "12", stdin=turns.encode())
        messages = json.loads(saved.read_text())["messages"]
        self.assertEqual([message["role"] for message in messages], ["user", "assistant"] * 2)
        self.assertEqual(answers, "".join(messages[i]["content"].rstrip("\n") + "\n" for i in (1, 3)))

    def test_chat_on_a_terminal(self):
        terminal = self.terminal("chat", "--ignore-eos", "--max-tokens", "4000")
        terminal.until(rb"> ")
        terminal.send(b"Tell me a long story.\r")
        terminal.until(rb"\w+ \w+ \w+ \w+ \w+ \w+ \w+ \w+")
        terminal.send(b"\x03")  # stops the answer
        terminal.until(rb"stopped: \d+ tokens")
        terminal.send(b"half a line\x03")  # drops the line
        terminal.until(rb"\^C")
        terminal.send(b"/reset\r")
        terminal.until(rb"anew")
        terminal.send("caf\u00e9\x7fe\x01/system \r".encode())  # Backspace takes a whole character, Ctrl-A goes to the start
        terminal.send(b"/system\r")
        terminal.until(rb"system: cafe")
        terminal.send(b"\x04")
        terminal.end()
        history = (self.folder / "attn" / "chat_history")
        self.assertEqual(history.stat().st_mode & 0o077, 0)
        self.assertIn("/reset", history.read_text())

    def test_trace(self):
        path = self.folder / "trace.html"
        said = self.attn("trace", PROMPT, "--out", path, *GREEDY, "--max-tokens", "4")
        self.assertIn("4 of answer, 270 heads", said)
        page = path.read_text()
        self.assertLess(len(page), 200_000)

        def block(name):
            return re.search(rf'id="{name}">([^<]*)</script>', page)[1]

        meta = json.loads(block("meta"))
        self.assertEqual("".join(token["text"] for token in meta["prompt"] if not token.get("special")), PROMPT)
        weights = np.frombuffer(base64.b64decode(block("weights")), np.uint8)
        scales = np.frombuffer(base64.b64decode(block("scales")), "<f4").reshape(4, 270)
        statistics = np.frombuffer(base64.b64decode(block("statistics")), "<f4").reshape(4, 4, 270)
        head = meta["heads"].index([9, 2])
        events = self.events(PROMPT, *GREEDY, "--max-tokens", "4", "--show-attention", "L9H2")
        offset = 0
        for t in range(4):
            columns = len(meta["prompt"]) + t
            rows = weights[offset:offset + 270 * columns].reshape(270, columns)
            offset += rows.size
            row = scales[t, head] * (rows[head] / 255.0) ** 2
            np.testing.assert_allclose(row, events[1 + t]["attention"]["weights"][0], atol=0.006)
            self.assertAlmostEqual(statistics[1, t, head], row[0], delta=0.006)
            self.assertEqual(meta["answer"][t]["id"], events[1 + t]["id"])
        self.assertEqual(offset, weights.size)
        self.attn("trace", PROMPT, "--out", path, "--max-bytes", "1000", code=1)

    def test_bench_stats_models(self):
        report = json.loads(self.attn("bench", "--generate", "-c", "2", "--prompt-tokens", "32", "--answer-tokens", "8", "--duration",
                                      "2", "--warmup", "0.2", "-o", "json"))
        self.assertEqual(report["errors"], {})
        for figure in ("tokens_per_s", "first_token_p50_ms", "inter_token_p99_ms"):
            self.assertGreater(report["figures"][figure], 0)
        stats = json.loads(self.attn("stats", "--once", "--json"))
        self.assertGreater(stats["generation"]["first_token"]["count"], 0)
        self.assertIn("kv cache", self.attn("stats", "--once"))
        models = json.loads(self.attn("models", "--json"))["models"]
        self.assertEqual([model["task"] for model in models if model["name"] == "smol"], ["generate"])

    def test_what_the_server_refuses(self):
        self.assertIn("temperature", self.attn("generate", "a", "--temperature", "-1", code=1))
        error = self.attn("generate", "word " * 20000, code=1)
        self.assertIn("8192", error.replace(",", ""))
        self.assertNotIn("--truncate", error)
        done = subprocess.run([harness.BIN / "attn", "generate", "--model", "bert", "a"], capture_output=True, timeout=60,
                              env=self.environment())
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"FAILED_PRECONDITION", done.stderr)


if __name__ == "__main__":
    unittest.main()
