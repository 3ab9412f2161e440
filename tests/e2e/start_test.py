"""Starts that must fail: the file and the fault are named, on one line, and the exit code is 2."""

import json
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

import harness


class StartTest(unittest.TestCase):
    def setUp(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="attnd-start-")))
        self.model = folder / "model"
        shutil.copytree(harness.GOLDEN / "bert", self.model)

    def fails(self, *words, flags=None, env=None):
        if flags is None:
            flags = ["--model", f"broken={self.model}"]
        done = subprocess.run([harness.BIN / "attnd", *harness.free_ports(flags), *flags], capture_output=True, timeout=30, env=harness.environment(env), text=True)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertEqual(done.stdout, "")
        fault = done.stderr.splitlines()[0]
        self.assertTrue(fault.startswith("attnd: "), fault)
        self.assertLess(len(fault), 1000)
        self.assertNotIn("terminate", done.stderr)
        for word in words:
            self.assertIn(word, fault)

    def change_config(self, **values):
        config = json.loads((self.model / "config.json").read_text())
        (self.model / "config.json").write_text(json.dumps({**config, **values}))

    def weights(self):
        """Header and data of model.safetensors."""
        bytes_ = (self.model / "model.safetensors").read_bytes()
        length = int.from_bytes(bytes_[:8], "little")
        return json.loads(bytes_[8:8 + length]), bytes_[8 + length:]

    def write_weights(self, header, data):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        (self.model / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)

    def test_missing(self):
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            with self.subTest(name=name):
                moved = (self.model / name).rename(self.model.parent / name)
                self.fails(name)
                moved.rename(self.model / name)
        self.fails("/no/such/folder", flags=["--model", "broken=/no/such/folder"])

    def test_truncated(self):
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            with self.subTest(name=name):
                whole = (self.model / name).read_bytes()
                for bytes_ in (b"", whole[:5], whole[:len(whole) // 2], whole.rstrip()[:-1]):
                    (self.model / name).write_bytes(bytes_)
                    self.fails(name)
                (self.model / name).write_bytes(whole)

    def test_weights_are_a_pointer_or_noise(self):
        (self.model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        self.fails("model.safetensors", "LFS")
        (self.model / "model.safetensors").write_bytes(b"\xff" * 4096)
        self.fails("model.safetensors", "header length")

    def test_hostile_header(self):
        header, data = self.weights()
        name = next(key for key in header if key != "__metadata__")
        for change in ({"shape": [2**40, 2**40]}, {"data_offsets": [0, 2**62]}, {"data_offsets": [-1, 4]}, {"dtype": "F99"},
                       {"shape": [1] * 1000}):
            with self.subTest(change=change):
                self.write_weights({**header, name: {**header[name], **change}}, data)
                self.fails("model.safetensors")
        self.write_weights(b"[" * 50000, data)
        self.fails("model.safetensors")

    def test_tensor_missing_or_of_another_shape(self):
        header, data = self.weights()
        name = next(key for key in header if key.endswith("layer.1.attention.self.key.weight"))
        self.write_weights({("else" if key == name else key): value for key, value in header.items()}, data)
        self.fails("model.safetensors", name.removeprefix("bert."), "missing")
        self.write_weights({**header, name: {**header[name], "shape": header[name]["shape"][:1] + [1, header[name]["shape"][1]]}}, data)
        self.fails("model.safetensors", name.removeprefix("bert."), "shape")

    def test_hostile_config(self):
        for values in ({"hidden_size": 10**9}, {"num_hidden_layers": 10**9}, {"num_attention_heads": 0},
                       {"num_attention_heads": 7}, {"vocab_size": -1}, {"hidden_act": "no_such"}, {"hidden_size": "x"}):
            with self.subTest(values=values):
                config = (self.model / "config.json").read_text()
                self.change_config(**values)
                self.fails(*values)
                (self.model / "config.json").write_text(config)
        self.change_config(model_type="no_such_architecture", architectures=["NoSuchModel"])
        self.fails("config.json", "no_such_architecture", "bert")

    def test_no_regular_file(self):
        (self.model / "model.safetensors").unlink()
        (self.model / "model.safetensors").mkdir()
        self.fails("model.safetensors")

    def test_port_in_use(self):
        with harness.Server() as server:
            self.fails(server.address, "in use", flags=["--listen", server.address])
            self.fails(server.metrics_address, "in use", flags=["--metrics-listen", server.metrics_address])
            harness.assert_alive(server)

    def test_flags(self):
        self.fails("--no-such-flag", flags=["--no-such-flag"])
        self.fails("--max-batch-tokens", flags=["--max-batch-tokens", "many"])
        self.fails("--max-batch-tokens", flags=["--max-batch-tokens", "0"])
        self.fails("--max-text-bytes", "KiB", flags=["--max-text-bytes", "1parsec"])
        self.fails("--listen", "nowhere", "HOST:PORT", flags=["--listen", "nowhere"])
        self.fails("--metrics-listen", "nowhere", flags=["--metrics-listen", "nowhere"])
        self.fails("--model-repository", "/no/such", flags=["--model-repository", "/no/such"])
        self.fails("attention", "built-in", flags=["--model", f"attention={self.model}"])
        self.fails("NAME=DIR", flags=["--model", "just-a-folder"])
        self.fails("twice", flags=["--model", f"a={self.model}", "--model", f"a={self.model}"])
        self.fails("precision", "f32", flags=["--model", f"a={self.model},precision=f13"])
        self.fails("--max-batch-tokens", flags=[], env={"ATTND_MAX_BATCH_TOKENS": "many"})

    def test_help_and_version(self):
        for flag, words in (("--help", ("--max-batch-tokens", "ATTND_MAX_BATCH_TOKENS", "TOKENS", "1024")), ("--version", ("attnd ",))):
            done = subprocess.run([harness.BIN / "attnd", flag], capture_output=True, text=True, timeout=30)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            for word in words:
                self.assertIn(word, done.stdout)

    def test_settings_from_the_environment_and_a_file(self):
        file = self.model.parent / "attnd.toml"
        file.write_text(f'model = ["from-file={self.model}"]\nmax-texts-per-call = 7\nmax-text-bytes = "3KiB"\n')
        with harness.Server("--max-texts-per-call", "5", models=(), env={"ATTND_CONFIG": str(file),
                                                                         "ATTND_MAX_TEXT_BYTES": "2KiB"}) as server:
            reply = server.stub().ListModels(harness.attnd_pb2.ListModelsRequest(), timeout=20)
            self.assertIn("from-file", [model.name for model in reply.models])
            self.assertEqual((reply.limits.max_texts_per_call, reply.limits.max_text_bytes), (5, 2048))
        with harness.Server(models=()) as server:
            self.assertIn("no model", server.ready_line)

    def test_the_last_of_a_flag_wins(self):
        with harness.Server("--max-texts-per-call", "5", "--max-texts-per-call", "6", models=()) as server:
            self.assertEqual(server.stub().ListModels(harness.attnd_pb2.ListModelsRequest(), timeout=20).limits.max_texts_per_call, 6)


if __name__ == "__main__":
    unittest.main()
