"""attn against a live attnd: every verb, by its output and exit code."""

import io
import json
import os
import pathlib
import pty
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as xml

import harness
import numpy as np

TEXT = "The cat sat on the mat because it was tired."
TEXTS = ["A cat sat on the mat.", "A kitten rests on a rug.", "The market fell by 3 %."]


class CliTest(harness.ServerTest):
    MODELS = (f"minilm={harness.MINILM}",)

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="attn-")))

    def attn(self, *arguments, code=0, stdin=b"", env=None, address=None):
        """Standard output, as bytes. Standard error is empty where the exit code is 0."""
        settings = {"ATTN_ADDRESS": address or self.server.address, "ATTN_METRICS": self.server.metrics_address, **(env or {})}
        done = subprocess.run([harness.BIN / "attn", *arguments], input=stdin, capture_output=True, timeout=60,
                              env=harness.environment(settings))
        self.assertEqual(done.returncode, code, done.stderr.decode())
        self.assertNotIn(b"\x1b[", done.stdout + done.stderr, "escape codes in a pipe")
        if code == 0:
            self.assertEqual(done.stderr, b"")
            return done.stdout
        self.assertTrue(done.stderr.startswith(b"attn: "), done.stderr)
        return done.stderr

    def vectors(self, jsonl):
        lines = [json.loads(line) for line in jsonl.splitlines()]
        self.assertEqual([line["id"] for line in lines], list(range(1, len(lines) + 1)))
        return np.array([line["embedding"] for line in lines])

    def expected(self, texts):
        return harness.vectors_of(self.stub.Embed(harness.attnd_pb2.EmbedRequest(texts=texts)))

    def test_embed_from_everywhere(self):
        file = self.folder / "lines.txt"
        file.write_text("\n".join(TEXTS) + "\r\n")
        expected = self.expected(TEXTS)
        for output in (self.attn("embed", *TEXTS), self.attn("embed", f"@{file}"), self.attn("embed", "--file", file),
                       self.attn("embed", stdin=file.read_bytes()), self.attn("embed", "-", stdin=file.read_bytes()),
                       self.attn("embed", "--batch", "1", *TEXTS)):
            np.testing.assert_allclose(self.vectors(output), expected, atol=1e-5)

    def test_embed_formats(self):
        expected = self.expected(TEXTS)
        np.testing.assert_allclose(np.load(io.BytesIO(self.attn("embed", "--format", "npy", *TEXTS))), expected, atol=1e-5)
        self.attn("embed", "--format", "npy", "-o", self.folder / "v.npy", *TEXTS)
        np.testing.assert_allclose(np.load(self.folder / "v.npy"), expected, atol=1e-5)
        table = self.attn("embed", "--format", "table", *TEXTS).decode()
        self.assertIn("A kitten rests on a rug.", table)
        self.assertIn("3 texts", table)

    def test_many_lines_keep_their_order(self):
        lines = [f"line {i} " + "word " * (i % 20) for i in range(150)]
        vectors = self.vectors(self.attn("embed", stdin="\n".join(lines).encode()))
        np.testing.assert_allclose(vectors, self.expected(lines), atol=1e-5)

    def test_similarity(self):
        rows = [line.split()[-3:] for line in self.attn("embed", "--similarity", *TEXTS).decode().splitlines()[1:4]]
        vectors = self.expected(TEXTS).astype(float)
        np.testing.assert_allclose(np.array(rows, float), vectors @ vectors.T, atol=6e-4)

    def test_lines_that_fail_are_named(self):
        long = "word " * 400
        error = self.attn("embed", stdin=f"fine\n{long}\nfine, too\n".encode(), code=1).decode()
        self.assertIn("line 2", error)
        self.assertIn("INVALID_ARGUMENT", error)
        self.assertIn("256", error)
        self.assertIn("--truncate", error)
        self.assertEqual(len(self.vectors(self.attn("embed", "--truncate", "end", stdin=long.encode()))), 1)
        self.assertIn(b"UTF-8", self.attn("embed", stdin=b"\xff\xfe\n", code=1))

    def test_attend(self):
        picture = self.attn("attend", TEXT, "--layer", "3", "--head", "5").decode()
        for word in ("minilm L3H5", "13 tokens", "because", "[SEP]"):
            self.assertIn(word, picture)
        self.assertEqual(picture.split("\n", 1)[1], self.attn("attend", TEXT, "--head", "L3H5").decode().split("\n", 1)[1])
        self.assertIn("it", self.attn("attend", TEXT, "--head", "L3H5", "--from", "it").decode())
        self.assertIn("L0H3", self.attn("attend", TEXT, "--layer", "0").decode())
        self.attn("attend", TEXT)
        self.assertEqual(len(self.attn("attend", TEXT, "--stats").decode().splitlines()), 73)

    def test_attend_files(self):
        svg, npy = self.folder / "head.svg", self.folder / "head.npy"
        self.attn("attend", "<b> & \"quoted\" 東京 " + TEXT, "--head", "L3H5", "--svg", svg)
        self.assertTrue(xml.parse(svg).getroot().tag.endswith("svg"))
        self.attn("attend", TEXT, "--layer", "3", "--svg", svg, "--npy", npy)
        self.assertTrue(xml.parse(svg).getroot().tag.endswith("svg"))
        maps = np.load(npy)
        self.assertEqual(maps.shape, (12, 13, 13))
        np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-4)
        reply = json.loads(self.attn("attend", TEXT, "--head", "L3H5", "--json"))
        np.testing.assert_allclose(reply["maps"][0]["weights"], maps[5], atol=1e-5)
        self.assertEqual((reply["maps"][0]["layer"], reply["maps"][0]["head"]), (3, 5))
        self.assertEqual(reply["columns"][2], "cat")

    def test_heads(self):
        table = self.attn("heads", TEXT).decode().splitlines()
        self.assertEqual(len(table), 73)
        ranked = [json.loads(line) for line in self.attn("heads", TEXT, "--from", "it", "--to", "cat", "--json").splitlines()]
        self.assertEqual(len(ranked), 72)
        weights = [head["weight"] for head in ranked]
        self.assertEqual(weights, sorted(weights, reverse=True))
        best = json.loads(self.attn("attend", TEXT, "--head", f"L{ranked[0]['layer']}H{ranked[0]['head']}", "--json"))
        self.assertAlmostEqual(best["maps"][0]["weights"][9 - 1][3 - 1], weights[0], places=4)
        self.assertEqual(len(self.attn("heads", TEXT, "--sort", "entropy", "--top", "5").decode().splitlines()), 6)

    def test_tokenize(self):
        self.assertEqual(self.attn("tokenize", "--ids", "The cat.", "--no-special"), b"1996 4937 1012\n")
        tokens = json.loads(self.attn("tokenize", "--json", "The cat."))["tokens"]
        self.assertEqual([(token["text"], token["begin"], token["end"]) for token in tokens[1:-1]],
                         [("the", 0, 3), ("cat", 4, 7), (".", 7, 8)])
        self.assertIn("[CLS] the cat . [SEP]", self.attn("tokenize", "The cat.").decode())

    def test_models_health_estimate(self):
        self.assertIn("minilm", self.attn("models").decode())
        models = json.loads(self.attn("models", "--json"))
        self.assertEqual([model["name"] for model in models["models"]], ["minilm", "attention"])
        self.assertIn(b"SERVING", self.attn("health"))
        self.assertEqual(self.attn("health", "--model", "minilm", "--quiet"), b"")
        self.attn("health", "--service", "attnd.v1.Attnd")
        self.assertIn(b"nobody", self.attn("health", "--model", "nobody", code=1))
        estimate = json.loads(self.attn("estimate", "--tokens", "10", "--head", "L3H5", "--json"))
        self.assertEqual(estimate["bytes"]["f32"], 400)

    def test_stats(self):
        self.attn("embed", *TEXTS)
        stats = json.loads(self.attn("stats", "--once", "--json"))
        self.assertIn("minilm", stats["models"])
        for stage in ("validate", "tokenise", "queue", "compute", "respond"):
            figures = stats["stages"][stage]
            self.assertGreater(figures["count"], 0)
            self.assertLessEqual(figures["p50_ms"], figures["p95_ms"])
            self.assertLessEqual(figures["p95_ms"], figures["p99_ms"])
        self.assertIn("compute", self.attn("stats", "--once").decode())

    def test_bench(self):
        for load in (["-c", "2"], ["--rate", "20"]):
            report = json.loads(self.attn("bench", "--duration", "0.5", "--warmup", "0.1", "--words", "8", "-o", "json", *load))
            figures = report["figures"]
            self.assertGreater(report["calls"], 0)
            self.assertEqual(report["errors"], {})
            self.assertLessEqual(figures["latency_p50_ms"], figures["latency_p99_ms"])
            self.assertGreater(figures["tokens_per_s"], 0)

    def test_usage(self):
        for arguments in ([], ["no-such-verb"], ["embed", "--no-such-flag"], ["embed", "--format", "xml"],
                          ["attend", TEXT, "--layer", "3", "--head", "L3H5"], ["heads", TEXT, "--from", "it"],
                          ["heads", TEXT, "--from", "zebra", "--to", "cat"], ["attend"], ["--timeout", "never", "health"]):
            with self.subTest(arguments=arguments):
                self.attn(*arguments, code=2)
        for verb in ("embed", "attend", "heads", "tokenize", "estimate", "models", "health", "stats", "bench"):
            self.assertIn("Examples:", self.attn(verb, "--help").decode())

    def test_what_the_server_refuses(self):
        error = self.attn("attend", TEXT, "--layer", "99", code=1).decode()
        self.assertIn("INVALID_ARGUMENT", error)
        self.assertIn("0 to 5", error)
        self.assertIn("NOT_FOUND", self.attn("embed", "--model", "nobody", "a", code=1).decode())
        self.attn("embed", "@/no/such/file", code=1)

    def test_unreachable(self):
        for arguments in (["health"], ["embed", "a"], ["attend", TEXT, "--layer", "0"], ["models"], ["tokenize", "a"]):
            self.assertIn(b"127.0.0.1:1", self.attn(*arguments, address="127.0.0.1:1", code=3))
        self.assertIn(b"127.0.0.1:1", self.attn("stats", "--once", "--metrics", "127.0.0.1:1", code=3))

    def on_a_terminal(self, *arguments, **env):
        ours, theirs = pty.openpty()
        try:
            process = subprocess.Popen([harness.BIN / "attn", "--address", self.server.address, *arguments], stdout=theirs,
                                       stderr=theirs, stdin=theirs, env=harness.environment({"TERM": "xterm-256color", **env}))
            os.close(theirs)
            output = b""
            try:
                while chunk := os.read(ours, 65536):
                    output += chunk
            except OSError:  # how Linux says that the other side is closed
                pass
            self.assertEqual(process.wait(timeout=30), 0, output)
            return output
        finally:
            os.close(ours)

    def test_colours(self):
        arguments = ["attend", TEXT, "--head", "L3H5"]
        self.assertIn(b"\x1b[48;2;", self.on_a_terminal(*arguments, COLORTERM="truecolor"))
        self.assertNotIn(b"\x1b", self.on_a_terminal(*arguments, COLORTERM="truecolor", NO_COLOR="1"))
        self.assertNotIn(b"\x1b", self.on_a_terminal(*arguments, TERM="dumb"))
        narrow = self.on_a_terminal("attend", TEXT * 5, "--head", "L3H5", NO_COLOR="1", COLUMNS="40").decode()
        self.assertLess(max(map(len, narrow.splitlines()[1:])), 120)


if __name__ == "__main__":
    unittest.main()
