"""The end: SIGTERM drains, a second signal does not wait; and the start: ready at once."""

import re
import signal
import time
import unittest

import grpc
import harness
from grpc_health.v1 import health_pb2, health_pb2_grpc
from harness import attnd_pb2, attnd_pb2_grpc

# A batch waits 1 s for more: a call that is in flight for as long, and no sleep in the test.
SLOW = ("--max-queue-delay-us", "1000000", "--max-batch-tokens", "4096")
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class ShutdownTest(unittest.TestCase):
    def in_flight(self, server):
        """A call that waits in the queue."""
        call = server.stub().Embed.future(attnd_pb2.EmbedRequest(texts=["a", "b"]), timeout=30)
        harness.until(lambda: server.metric("attnd_queue_requests") == 2, "the texts wait")
        return call

    def test_drain(self):
        with harness.Server(*SLOW) as server:
            health = health_pb2_grpc.HealthStub(server.channel())
            watch = health.Watch(health_pb2.HealthCheckRequest(service="bert"))
            self.assertEqual(next(watch).status, SERVING)
            late = server.stub()
            late.ListModels(attnd_pb2.ListModelsRequest(), timeout=20)
            call = self.in_flight(server)
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(next(watch).status, NOT_SERVING)

            def refused():
                try:
                    late.Tokenize(attnd_pb2.TokenizeRequest(texts=["late"]), timeout=20)
                except grpc.RpcError as error:
                    # gRPC itself cancels what is on its way as it says goodbye (docs/scaling.md): the next is refused.
                    return error if error.code() != grpc.StatusCode.CANCELLED else None
            error = harness.until(refused, "new work is refused")
            self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
            self.assertEqual(len(harness.vectors_of(call.result())), 2)
            self.assertEqual(server.process.wait(timeout=10), 0)

    def test_streams_end(self):
        with harness.Server() as server:
            release = []

            def requests():
                yield attnd_pb2.EmbedStreamRequest(id=1, request=attnd_pb2.EmbedRequest(texts=["a"]))
                harness.until(lambda: release, "the test lets go")

            replies = server.stub().EmbedStream(requests())
            self.assertEqual(next(replies).id, 1)
            started = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            try:
                with self.assertRaises(grpc.RpcError) as caught:
                    next(replies)
                self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
            finally:
                release.append(True)
            self.assertEqual(server.process.wait(timeout=10), 0)
            self.assertLess(time.monotonic() - started, 5)

    def test_grace_goes_on_serving(self):
        with harness.Server("--drain-grace-ms", "1500") as server:
            health = health_pb2_grpc.HealthStub(server.channel())
            watch = health.Watch(health_pb2.HealthCheckRequest())
            self.assertEqual(next(watch).status, SERVING)
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(next(watch).status, NOT_SERVING)
            harness.assert_alive(server)
            self.assertEqual(server.process.wait(timeout=10), 0)

    def test_second_signal(self):
        server = harness.Server("--drain-grace-ms", "60000")
        try:
            watch = health_pb2_grpc.HealthStub(server.channel()).Watch(health_pb2.HealthCheckRequest())
            self.assertEqual(next(watch).status, SERVING)
            server.process.send_signal(signal.SIGINT)
            self.assertEqual(next(watch).status, NOT_SERVING)
            self.assertIsNone(server.process.poll())
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(timeout=5), 128 + signal.SIGTERM)
        finally:
            with self.assertRaisesRegex(AssertionError, "exit code 143"):
                server.__exit__(None, None, None)

    def test_second_signal_under_load(self):
        server = harness.Server("--max-queue-tokens", "10000000", "--max-queue-requests", "1000000")
        try:
            texts = ["word " * 100] * 4000
            calls = [server.stub().Embed.future(attnd_pb2.EmbedRequest(texts=texts), timeout=60) for _ in range(8)]
            harness.until(lambda: server.metric("attnd_queue_requests") > 1000, "the texts wait")
            watch = health_pb2_grpc.HealthStub(server.channel()).Watch(health_pb2.HealthCheckRequest())
            self.assertEqual(next(watch).status, SERVING)
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(next(watch).status, NOT_SERVING)
            self.assertIsNone(server.process.poll())
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(timeout=5), 128 + signal.SIGTERM)
            self.assertLess(time.monotonic() - began, 2)
            for call in calls:
                self.assertEqual(call.code(), grpc.StatusCode.UNAVAILABLE)
        finally:
            with self.assertRaisesRegex(AssertionError, "exit code 143"):
                server.__exit__(None, None, None)

    def test_drain_time_runs_out(self):
        with harness.Server("--drain-timeout-ms", "100") as server:
            # A reply larger than what HTTP/2 lets through unread, which nobody reads: the call cannot finish by itself.
            stub = attnd_pb2_grpc.AttndStub(server.channel(("grpc.http2.bdp_probe", 0)))
            request = attnd_pb2.EmbedRequest(texts=["a"] * 1000)
            call = stub.EmbedStream(iter([attnd_pb2.EmbedStreamRequest(id=1, request=request)]), timeout=30)
            harness.until(lambda: server.metric("grpc_server_msg_sent_total", grpc_method="EmbedStream") == 1, "it replies")
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(timeout=10), 0)
            self.assertIn("drain timed out", server.logged())
            with self.assertRaises(grpc.RpcError):
                next(call)
            self.assertIn(call.code(), (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED))

    def test_minilm_is_ready_soon(self):
        def seconds():
            with harness.Server(models=[f"minilm={harness.MINILM}"]) as server:
                self.assertRegex(server.ready_line, r"minilm f32 (avx2|avx512|avx512 \(f32 amx\)|baseline)   grpc 127\.0\.0\.1:\d+   metrics 127")
                return float(re.search(r"ready in ([\d.]+) s", server.ready_line)[1])
        self.assertLess(min(seconds() for _ in range(3)), 0.5)


if __name__ == "__main__":
    unittest.main()
