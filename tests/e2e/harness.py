"""Starts the real attnd and calls it: what the end-to-end tests share.

ATTND_BIN is the folder of the programs; ATTND_MODELS the one that holds all-MiniLM-L6-v2 (default: ~/.cache/attnd/models).
"""

import atexit
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

import grpc
import numpy as np
from grpc_tools import protoc

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ["ATTND_BIN"]).resolve()
GOLDEN = SOURCE / "tests" / "golden"
MINILM = pathlib.Path(os.environ.get("ATTND_MODELS") or pathlib.Path.home() / ".cache/attnd/models") / "all-MiniLM-L6-v2"
BERT = f"bert={GOLDEN / 'bert'}"
START_SECONDS = 120  # on a machine that is busy, or under a sanitizer; alone it is well under one


def _compile_protos():
    """Our protos as Python modules. The Open Inference Protocol comes from tritonclient: both would register the same names."""
    folder = tempfile.TemporaryDirectory(prefix="attnd-protos-")
    atexit.register(folder.cleanup)
    files = ["attnd/v1/types.proto", "attnd/v1/attention.proto", "attnd/v1/tasks.proto", "attnd/v1/generation.proto",
             "attnd/v1/attnd.proto", "google/rpc/status.proto", "google/rpc/error_details.proto"]
    arguments = ["protoc", f"-I{SOURCE / 'proto'}", f"--python_out={folder.name}", f"--grpc_python_out={folder.name}"]
    # The well-known types that error_details.proto imports are grpc_tools' own.
    arguments.insert(2, f"-I{pathlib.Path(protoc.__file__).parent / '_proto'}")
    if protoc.main(arguments + files) != 0:
        raise RuntimeError("the protos do not compile")
    # `google` is a package that protobuf owns: ours joins it.
    import google
    google.__path__.append(str(pathlib.Path(folder.name) / "google"))
    sys.path.insert(0, folder.name)


_compile_protos()
from attnd.v1 import attention_pb2, attnd_pb2, attnd_pb2_grpc, generation_pb2, tasks_pb2, types_pb2  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402


def until(condition, what, seconds=20):
    """Polls `condition` until it is true and returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def environment(extra=None):
    """The process's environment without what configures attnd and attn."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ATTND_", "ATTN_")) and k not in ("NO_COLOR", "COLUMNS")}
    return {**kept, **(extra or {})}


def free_ports(flags):
    """What makes attnd listen on free ports, where `flags` do not say otherwise."""
    return [text for flag in ("--listen", "--metrics-listen") if flag not in flags for text in (flag, "127.0.0.1:0")]


class Server:
    """attnd on free ports. A context manager: its end is SIGTERM and exit code 0, whatever the test did."""

    def __init__(self, *flags, models=(BERT,), files=None, env=None):
        command = [BIN / "attnd", *free_ports(flags)]
        for model in models:
            command += ["--model", model]

        # Not preexec_fn: it makes Python fork, and gRPC, whose threads run here, may abort the child before it is attnd.
        if files:
            command = ["prlimit", f"--nofile={files}:{files}", *command]

        self.log = tempfile.TemporaryFile()
        self.models = [model.split("=")[0] for model in models]
        self.process = subprocess.Popen([*command, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log,
                                        env=environment(env))
        self._channels = []
        try:
            self.ready_line = self._read_ready_line()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        text = re.search(r"grpc (\S+) +metrics (\S+)$", self.ready_line)
        if text:
            self.address, self.metrics_address = text.groups()
        else:
            ready = json.loads(self.ready_line)
            self.address, self.metrics_address = ready["grpc"], ready["metrics"]

    def _read_ready_line(self):
        readable, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline().decode().strip() if readable else ""
        if not line:
            raise AssertionError(f"attnd is not ready: exit code {self.process.poll()}\n{self.logged()}")
        return line

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        for channel in self._channels:
            channel.close()
        try:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "none: it did not stop within 30 s"
        self.process.stdout.close()
        logged = self.logged()
        self.log.close()
        if kind is None and code != 0:
            raise AssertionError(f"attnd ended with exit code {code}\n{logged}")

    @property
    def pid(self):
        return self.process.pid

    def logged(self):
        """What it has written to standard error so far."""
        # Not by seeking: the server writes at the same file position.
        return os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0).decode()

    def logged_calls(self, count, mark="call"):
        """The log's lines that hold the word `mark`, once there are `count`: a line may follow its call's answer."""
        lines = []

        def enough():
            lines[:] = [line for line in self.logged().splitlines(keepends=True) if re.search(rf"\b{mark}\b", line)]
            return len(lines) >= count and lines[-1].endswith("\n")

        until(enough, f"{count} log lines with {mark}")
        return lines

    def channel(self, *options):
        """A connection of its own, closed with the server."""
        channel = grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1),
                                                               ("grpc.max_receive_message_length", -1), *options])
        self._channels.append(channel)
        return channel

    def stub(self):
        return attnd_pb2_grpc.AttndStub(self.channel())

    def scrape(self):
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics", timeout=10) as reply:
            return reply.read().decode()

    def metric(self, name, **labels):
        """The sum of the samples of `name` that carry `labels`."""
        total = 0.0
        for line in self.scrape().splitlines():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and found[1] == name:
                has = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
                if all(has.get(key) == value for key, value in labels.items()):
                    total += float(found[3])
        return total

    def memory_kib(self, field):
        """`field` of /proc/PID/status: VmRSS, or VmHWM, the most there ever was."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)[1])


class ServerTest(unittest.TestCase):
    """One server for the tests of a class; after each of them it must still answer."""

    MODELS = (BERT,)
    FLAGS = ()

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(*cls.FLAGS, models=cls.MODELS))
        cls.stub = cls.server.stub()

    def tearDown(self):
        assert_alive(self.server)

    def refused(self, code, call, field=None, words=()):
        """`call` fails with `code`, naming `field` in google.rpc.BadRequest and `words` in the message."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error = caught.exception
        self.assertEqual(error.code(), code, error.details())
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, error.details())
        self.assertLess(len(error.details()), 1100)
        if field is not None:
            self.assertEqual(violations(error), [field], error.details())
        return error


def details(error, kind):
    """The details of type `kind` that came with an error."""
    found = []
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for packed in status_pb2.Status.FromString(value).details:
                if packed.Is(kind.DESCRIPTOR):
                    found.append(kind.FromString(packed.value))
    return found


def violations(error):
    """The fields that google.rpc.BadRequest names."""
    return [violation.field for detail in details(error, error_details_pb2.BadRequest) for violation in detail.field_violations]


def assert_alive(server):
    """A new connection is served."""
    channel = server.channel()
    try:
        request = attnd_pb2.EmbedRequest(model=server.models[0], texts=["still there?"])
        vectors_of(attnd_pb2_grpc.AttndStub(channel).Embed(request, timeout=20))
    finally:
        channel.close()


def vectors_of(reply):
    """[texts, dimensions]"""
    vectors = np.frombuffer(reply.vectors, "<f4").reshape(len(reply.texts), reply.dimensions)
    if not np.isfinite(vectors).all():
        raise AssertionError("vectors that are not finite")
    return vectors


def golden(stem):
    """The cases of golden.json and the tensors of golden.safetensors by name."""
    bytes_ = pathlib.Path(f"{GOLDEN / stem}.safetensors").read_bytes()
    length = int.from_bytes(bytes_[:8], "little")
    types = {"F32": "<f4", "I32": "<i4", "I64": "<i8"}
    tensors = {}
    for name, info in json.loads(bytes_[8:8 + length]).items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in info["data_offsets"])
            tensors[name] = np.frombuffer(bytes_[begin:end], types[info["dtype"]]).reshape(info["shape"])
    return json.loads(pathlib.Path(f"{GOLDEN / stem}.json").read_text())["cases"], tensors


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
