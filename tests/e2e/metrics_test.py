"""What the server says of itself: metrics, the access log; and what it never says: request text."""

import json
import re
import subprocess
import unittest

import grpc
import harness
from harness import attention_pb2, attnd_pb2

SECRET = "confidential marzipan"
STAGES = ("validate", "tokenise", "queue", "compute", "respond")


def exercise(server):
    """One call of each kind, and some that fail; all hold the secret."""
    stub = server.stub()
    stub.Embed(attnd_pb2.EmbedRequest(texts=[SECRET, SECRET + " twice"]))
    list(stub.Attend(attention_pb2.AttendRequest(text=SECRET, attention={"content": "ATTENTION_CONTENT_MAPS_AND_STATISTICS"})))
    list(stub.EmbedStream(iter([attnd_pb2.EmbedStreamRequest(id=1, request=attnd_pb2.EmbedRequest(texts=[SECRET])),
                                attnd_pb2.EmbedStreamRequest(id=2, request=attnd_pb2.EmbedRequest(texts=[SECRET * 99]))])))
    for request in (attnd_pb2.EmbedRequest(model=SECRET, texts=[SECRET]), attnd_pb2.EmbedRequest(texts=[SECRET * 99]),
                    attnd_pb2.EmbedRequest(texts=[SECRET], attention={"select": SECRET})):
        try:
            stub.Embed(request)
            raise AssertionError("a call that should fail did not")
        except grpc.RpcError as error:
            assert SECRET not in error.details(), error.details()
    harness.until(lambda: server.metric("grpc_server_started_total") == server.metric("grpc_server_handled_total"),
                  "every call has ended")


class MetricsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(harness.Server("--access-log"))
        exercise(cls.server)

    def test_promtool_is_silent(self):
        done = subprocess.run(["promtool", "check", "metrics"], input=self.server.scrape(), capture_output=True, text=True,
                              timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_names(self):
        families = set(re.findall(r"^# TYPE (\S+)", self.server.scrape(), re.MULTILINE))
        expected = {"grpc_server_started_total", "grpc_server_handled_total", "grpc_server_handling_seconds",
                    "grpc_server_msg_received_total", "grpc_server_msg_sent_total", "attnd_batch_tokens",
                    "attnd_batch_sequences", "attnd_tokens_total", "attnd_queue_tokens", "attnd_queue_requests",
                    "attnd_rejected_total", "attnd_attention_bytes_total", "attnd_attention_seconds", "attnd_model_info",
                    "attnd_build_info", "attnd_connections", "process_cpu_seconds_total", "process_resident_memory_bytes",
                    "process_open_fds", "process_max_fds", "process_start_time_seconds",
                    *(f"attnd_request_{stage}_seconds" for stage in STAGES)}
        self.assertLessEqual(expected, families)

    def test_figures(self):
        metric = self.server.metric
        self.assertEqual(metric("grpc_server_handled_total", grpc_method="Embed", grpc_code="OK"), 1)
        self.assertEqual(metric("grpc_server_handled_total", grpc_method="Embed", grpc_code="NotFound"), 1)
        self.assertEqual(metric("grpc_server_handled_total", grpc_method="Embed", grpc_code="InvalidArgument"), 2)
        self.assertEqual(metric("grpc_server_msg_received_total", grpc_method="EmbedStream"), 2)
        self.assertEqual(metric("grpc_server_msg_sent_total", grpc_method="EmbedStream"), 2)
        self.assertEqual(metric("attnd_rejected_total", reason="unknown_model"), 1)
        self.assertEqual(metric("attnd_batch_sequences_sum", model="bert"), 4)
        self.assertGreater(metric("attnd_attention_bytes_total", layout="dense"), 0)
        self.assertEqual(metric("attnd_queue_requests"), 0)
        for stage in STAGES:
            self.assertGreaterEqual(metric(f"attnd_request_{stage}_seconds_count", method="Embed"), 1, stage)
            self.assertEqual(metric(f"attnd_request_{stage}_seconds_count", method="Attend"), 1, stage)
        first = re.search(r'^grpc_server_handling_seconds_bucket\{.*?le="([^"]+)"', self.server.scrape(), re.MULTILINE)
        self.assertEqual(float(first[1]), 0.0001)
        info = next(line for line in self.server.scrape().splitlines() if line.startswith("attnd_model_info") and "bert" in line)
        self.assertIn('precision="f32"', info)
        self.assertRegex(info, r'cpu_path="\w+( \(f32 amx\))?"')

    def test_no_text_in_metrics_and_logs(self):
        for word in SECRET.split():
            self.assertNotIn(word, self.server.scrape())
            self.assertNotIn(word, self.server.logged())

    def test_access_log(self):
        lines = self.server.logged_calls(6)
        self.assertEqual(len(lines), 6)  # Embed 4, Attend, EmbedStream
        ok = next(line for line in lines if "Embed " in line and "OK" in line)
        for word in ("model=bert", "texts=2", "tokens=", "queue_ms=", "compute_ms="):
            self.assertIn(word, ok)
        self.assertEqual(len(self.server.logged_calls(4, "refused")), 4)

    def test_json_log(self):
        with harness.Server("--access-log", "--log-format", "json") as server:
            exercise(server)
            server.logged_calls(6)
            events = [json.loads(line) for line in server.logged().splitlines()]
            self.assertEqual(json.loads(server.ready_line)["models"], ["bert"])
            calls = [event for event in events if event["event"] == "call"]
            self.assertEqual(len(calls), 6)
            self.assertEqual(sum(event["code"] == "OK" for event in calls), 3)
            self.assertTrue(all(event["total_ms"] > 0 for event in calls))
            self.assertNotIn("marzipan", server.logged())

    def test_silent_without_access_log(self):
        with harness.Server("--metrics-listen", "off", models=()) as server:
            server.stub().ListModels(attnd_pb2.ListModelsRequest(), timeout=20)
            self.assertEqual(server.metrics_address, "off")
            self.assertEqual(server.logged(), "")


if __name__ == "__main__":
    unittest.main()
