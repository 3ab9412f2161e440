"""Models that are loaded and unloaded while attnd serves others, by tritonclient."""

import pathlib
import shutil
import subprocess
import tempfile
import threading
import unittest

import grpc
import harness
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from harness import attnd_pb2
from tritonclient.utils import InferenceServerException


class RepositoryTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="attnd-repository-")))
        self.add("one", "bert")
        self.add("two", "distilbert")
        (self.folder / "broken").mkdir()
        (self.folder / "broken" / "config.json").write_text("{}")

    def add(self, name, model):
        shutil.copytree(harness.GOLDEN / model, self.folder / name)

    def start(self, *flags, models=()):
        server = self.enterContext(harness.Server("--model-repository", str(self.folder), *flags, models=models))
        server.models = ["one"]
        client = triton.InferenceServerClient(server.address)
        self.addCleanup(client.close)
        return server, client

    def index(self, client):
        return {model.name: (model.state, model.reason) for model in client.get_model_repository_index().models}

    def test_what_is_there_is_served(self):
        server, client = self.start()
        index = self.index(client)
        self.assertEqual([index[name][0] for name in ("one", "two", "broken")], ["READY", "READY", "UNAVAILABLE"])
        self.assertIn("config.json", index["broken"][1])
        self.assertTrue(client.is_model_ready("two"))
        self.assertFalse(client.is_model_ready("broken"))
        self.assertIn("one f32", server.ready_line)
        harness.assert_alive(server)

    def test_load_and_unload(self):
        server, client = self.start()
        health = health_pb2_grpc.HealthStub(server.channel())
        client.unload_model("two")
        self.assertEqual(self.index(client)["two"], ("UNAVAILABLE", "unloaded"))
        self.assertEqual(health.Check(health_pb2.HealthCheckRequest(service="two")).status, health_pb2.HealthCheckResponse.NOT_SERVING)
        with self.assertRaises(grpc.RpcError) as caught:
            server.stub().Embed(attnd_pb2.EmbedRequest(model="two", texts=["a"]), timeout=30)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(server.metric("attnd_model_info", model="two"), 0)
        self.add("three", "bert-classify")
        client.load_model("three")
        client.load_model("two")
        self.assertEqual(server.metric("attnd_model_info", model="three"), 1)
        for model in ("two", "three"):
            harness.vectors_of(server.stub().Embed(attnd_pb2.EmbedRequest(model=model, texts=["a"]), timeout=30))
        for name in ("../one", "", ".", "no-such"):
            with self.assertRaises(InferenceServerException):
                client.load_model(name)
        harness.assert_alive(server)

    def test_by_the_command_line(self):
        server, client = self.start()

        def attn(*arguments):
            done = subprocess.run([harness.BIN / "attn", "--address", server.address, *arguments], capture_output=True, text=True,
                                  timeout=60, env=harness.environment())
            return done.returncode, done.stdout + done.stderr
        self.assertEqual(attn("unload", "two"), (0, "two is served no longer\n"))
        self.assertFalse(client.is_model_ready("two"))
        self.assertEqual(attn("load", "two"), (0, "two is served\n"))
        self.assertTrue(client.is_model_ready("two"))
        code, said = attn("load", "broken")
        self.assertEqual(code, 1)
        self.assertIn("config.json", said)

    def test_a_model_that_was_given_stays(self):
        server, client = self.start(models=(f"fixed={harness.GOLDEN / 'bert'}",))
        with self.assertRaisesRegex(InferenceServerException, "--model"):
            client.unload_model("fixed")
        self.assertTrue(client.is_model_ready("fixed"))
        harness.assert_alive(server)

    def test_traffic_goes_on(self):
        server, client = self.start()
        stop, faults, answered = threading.Event(), [], []

        def call():
            stub = server.stub()
            while not stop.is_set():
                try:
                    stub.Embed(attnd_pb2.EmbedRequest(model="one", texts=["a", "b c"]), timeout=30)
                    answered.append(1)
                except grpc.RpcError as error:
                    faults.append(error)
        callers = [threading.Thread(target=call) for _ in range(3)]
        for caller in callers:
            caller.start()
        try:
            for _ in range(8):
                client.load_model("one")
                client.unload_model("two")
                client.load_model("two")
        finally:
            stop.set()
            for caller in callers:
                caller.join()
        self.assertEqual(faults, [])
        self.assertGreater(len(answered), 10)


if __name__ == "__main__":
    unittest.main()
