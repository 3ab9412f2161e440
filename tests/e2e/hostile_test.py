"""Clients that mean no good, or vanish: floods, bombs, connections without end. The server stays up and small."""

import contextlib
import resource
import socket
import threading
import unittest

import grpc
import harness
from harness import attention_pb2, attnd_pb2, error_details_pb2

MIB = 1 << 20
# What an HTTP/2 client says first, and an empty SETTINGS frame.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"


def connect(address, data=b""):
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=10)
    with contextlib.suppress(OSError):  # refused connections may be closed by now
        connection.sendall(data)
    return connection


class Vanishing(harness.ServerTest):
    MODELS = (f"minilm={harness.MINILM}",)

    def handled(self, code):
        return self.server.metric("grpc_server_handled_total", grpc_method="Attend", grpc_code=code)

    def test_client_gone_between_frames(self):
        request = attention_pb2.AttendRequest(text="word " * 250, truncate="TRUNCATION_END", chunk_bytes=4096)
        frames = self.stub.Attend(request, timeout=30)
        self.assertEqual(next(frames).WhichOneof("frame"), "header")
        frames.cancel()
        harness.until(lambda: self.handled("Canceled") == 1, "the server gives the cancelled call up")
        # Now without a word: the connection breaks.
        channel = self.server.channel()
        frames = harness.attnd_pb2_grpc.AttndStub(channel).Attend(request, timeout=30)
        self.assertEqual(next(frames).WhichOneof("frame"), "header")
        channel.close()
        harness.until(lambda: self.handled("Canceled") == 2, "the server gives the broken call up")
        self.assertEqual(self.handled("OK"), 0)

    def test_client_gone_from_a_stream(self):
        channel = self.server.channel()
        stop = threading.Event()

        def requests():
            for i in range(1000):
                yield attnd_pb2.EmbedStreamRequest(id=i, request=attnd_pb2.EmbedRequest(texts=["some words"] * 50))
                if stop.is_set():
                    return

        replies = harness.attnd_pb2_grpc.AttndStub(channel).EmbedStream(requests())
        self.assertEqual(next(replies).id, 0)
        stop.set()
        channel.close()
        started = lambda: self.server.metric("grpc_server_started_total", grpc_method="EmbedStream")
        harness.until(lambda: self.server.metric("grpc_server_handled_total", grpc_method="EmbedStream") == started() == 1,
                      "the stream ends")


class Flood(harness.ServerTest):
    # A batch waits 1 s for more, so that what the queue holds is known.
    FLAGS = ("--max-queue-requests", "8", "--max-queue-delay-us", "1000000")

    def test_full_queue(self):
        waiting = self.stub.Embed.future(attnd_pb2.EmbedRequest(texts=["first"] * 8), timeout=30)
        harness.until(lambda: self.server.metric("attnd_queue_requests") == 8, "8 texts wait")
        error = self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED,
                             lambda: self.stub.Embed(attnd_pb2.EmbedRequest(texts=["one more"]), timeout=30), words="8")
        self.assertEqual(len(harness.details(error, error_details_pb2.RetryInfo)), 1)
        self.assertGreater(int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"]), 0)
        self.assertEqual(len(harness.vectors_of(waiting.result())), 8)
        self.assertEqual(self.server.metric("attnd_rejected_total", reason="queue_full"), 1)
        # What can never be admitted is not told to try again.
        self.refused(grpc.StatusCode.INVALID_ARGUMENT,
                     lambda: self.stub.Embed(attnd_pb2.EmbedRequest(texts=["a"] * 9), timeout=30), "texts", "8")


class Bombs(harness.ServerTest):
    def test_gzip_bomb_is_not_unpacked(self):
        channel = self.server.channel()
        call = channel.unary_unary("/attnd.v1.Attnd/Embed")
        harness.assert_alive(self.server)
        before = self.server.memory_kib("VmHWM")
        bomb = bytes(64 * MIB)  # 64 KiB on the wire
        for _ in range(3):
            self.refused(grpc.StatusCode.UNIMPLEMENTED, lambda: call(bomb, timeout=30, compression=grpc.Compression.Gzip))
        self.assertLess(self.server.memory_kib("VmHWM") - before, 16 * 1024)

    def test_headers_without_end(self):
        # 8 KiB of metadata is the limit.
        self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED,
                     lambda: self.stub.ListModels(attnd_pb2.ListModelsRequest(), timeout=30, metadata=[("x", "y" * 30000)]))

    def test_noise(self):
        for noise in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0", bytes(range(256)) * 64,
                      PREFACE + b"\xff\xff\xff\x01\x25\0\0\0\x01" + b"\x80" * 4096):
            with connect(self.server.address, noise) as connection:
                connection.settimeout(15)
                with contextlib.suppress(ConnectionError):
                    while connection.recv(65536):
                        pass


class Connections(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def test_2000_idle_connections(self):
        with harness.Server() as server, contextlib.ExitStack() as stack:
            harness.assert_alive(server)
            for i in range(2000):
                stack.enter_context(connect(server.address, PREFACE))
            harness.until(lambda: server.metric("attnd_connections") >= 2000, "2,000 connections are open")
            harness.assert_alive(server)
            stack.close()
            harness.until(lambda: server.metric("attnd_connections") < 10, "they are gone")
            harness.assert_alive(server)

    def test_descriptors_run_out(self):
        with harness.Server(files=160) as server, contextlib.ExitStack() as stack:
            early = server.stub()
            early.ListModels(attnd_pb2.ListModelsRequest(), timeout=20)
            for i in range(400):
                stack.enter_context(connect(server.address, PREFACE))
            harness.until(lambda: "connection refused" in server.logged(), "connections are refused, with a line in the log")
            early.ListModels(attnd_pb2.ListModelsRequest(), timeout=20)  # who was there first is served
            self.assertLess(server.logged().count("\n"), 50, "the log is not flooded")
            stack.close()
            harness.until(lambda: server.metric("attnd_connections") < 10, "they are gone")
            harness.assert_alive(server)

    def test_connection_limit(self):
        with harness.Server("--max-connections", "20") as server, contextlib.ExitStack() as stack:
            for i in range(60):
                stack.enter_context(connect(server.address, PREFACE))
            harness.until(lambda: "max_connections" in server.logged(), "connections are refused")
            self.assertLessEqual(server.metric("attnd_connections"), 20)
            stack.close()
            harness.until(lambda: server.metric("attnd_connections") < 10, "they are gone")
            harness.assert_alive(server)


if __name__ == "__main__":
    unittest.main()
