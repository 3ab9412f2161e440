"""Two replicas behind one name: clients balance, and a replica that stops and comes back fails no call."""

import json
import signal
import subprocess
import threading
import unittest

import grpc
import harness
from harness import attnd_pb2, attnd_pb2_grpc

ROUND_ROBIN = {"loadBalancingConfig": [{"round_robin": {}}]}
# What attn sets, too: with the health check a client leaves a replica before that refuses calls.
WATCHING = {**ROUND_ROBIN, "healthCheckConfig": {"serviceName": ""}}
# A batch waits 0.5 s for more: calls are in flight when the drain begins, whatever the machine does.
SLOW = ("--max-queue-delay-us", "500000", "--max-batch-tokens", "4096")
LINES = [f"This is line {i}, and none is like another." for i in range(60)]


def attn(*arguments, text=None):
    done = subprocess.run([harness.BIN / "attn", *arguments], input=text, capture_output=True, text=True, timeout=120,
                          env=harness.environment())
    if done.returncode != 0:
        raise AssertionError(f"attn {arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def calls(server, method="Embed"):
    return server.metric("grpc_server_started_total", grpc_method=method)


def stop(server):
    server.process.send_signal(signal.SIGTERM)
    if server.process.wait(timeout=30) != 0:
        raise AssertionError(server.logged())


class Callers:
    """Threads that call one after the other, over one channel, until the end of the context."""

    COUNT = 8

    def __init__(self, channel):
        self.stub = attnd_pb2_grpc.AttndStub(channel)
        self.answers, self.errors = [], []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(self.COUNT)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _call(self):
        while not self._end.is_set():
            try:
                reply = self.stub.Embed(attnd_pb2.EmbedRequest(texts=LINES[:2]), timeout=30)
                self.answers.append(reply.vectors)
            except grpc.RpcError as error:
                self.errors.append((error.code(), error.details()))

    def wait_for_more(self, count=100):
        goal = len(self.answers) + count
        harness.until(lambda: len(self.answers) >= goal, f"{count} more answers", seconds=60)


class ReplicasTest(unittest.TestCase):
    def replicas(self, *flags):
        """Two, and the address of both. The flags are the second one's."""
        first = self.enterContext(harness.Server())
        second = self.enterContext(harness.Server(*flags))
        return first, second, f"{first.address},{second.address}"

    def channel(self, addresses, config):
        options = [("grpc.service_config", json.dumps(config)), ("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.insecure_channel(f"ipv4:{addresses}", options)
        self.addCleanup(channel.close)
        return channel

    def test_attn_balances(self):
        first, second, both = self.replicas()
        for address in (both, f"ipv4:{both}"):
            before = [calls(first), calls(second)]
            attn("--address", address, "bench", "--concurrency", "4", "--warmup", "0", "--duration", "1")
            for server, count in zip((first, second), before):
                self.assertGreater(calls(server), count + 5)

    def test_attn_embed_is_the_same_anywhere(self):
        first, second, both = self.replicas()
        lines = "\n".join(LINES) + "\n"
        expected = attn("--address", first.address, "embed", text=lines)
        self.assertEqual(attn("--address", second.address, "embed", text=lines), expected)

        def both_were_asked():  # a run of attn embed is one call
            self.assertEqual(attn("--address", both, "embed", text=lines), expected)
            return calls(first, "EmbedStream") > 1 and calls(second, "EmbedStream") > 1
        harness.until(both_were_asked, "both replicas are asked", seconds=60)

    def test_python_balances(self):
        first, second, both = self.replicas()
        stub = attnd_pb2_grpc.AttndStub(self.channel(both, WATCHING))

        def call():
            return stub.Embed(attnd_pb2.EmbedRequest(texts=LINES[:2]), timeout=30, wait_for_ready=True).vectors

        def both_are_connected():
            call()
            return calls(first) > 0 and calls(second) > 0
        harness.until(both_are_connected, "both replicas answer")
        before = [calls(first), calls(second)]
        self.assertEqual(len({call() for _ in range(20)}), 1)
        self.assertEqual([calls(first) - before[0], calls(second) - before[1]], [10, 10])

    def test_a_replica_stops_and_comes_back(self):
        first, second, both = self.replicas(*SLOW)
        with Callers(self.channel(both, WATCHING)) as callers:
            harness.until(lambda: calls(first) > 10 and calls(second) > 0, "both replicas answer")
            stop(second)
            callers.wait_for_more()
            with harness.Server("--listen", second.address) as again:
                harness.until(lambda: calls(again) > 10, "it is called again", seconds=60)
                callers.wait_for_more()
                stop(again)
            callers.wait_for_more()
        self.assertEqual(callers.errors, [])
        self.assertEqual(len(set(callers.answers)), 1)

    def test_clients_that_do_not_watch_health_are_told_to_go(self):
        first, second, both = self.replicas(*SLOW)
        with Callers(self.channel(both, ROUND_ROBIN)) as callers:
            harness.until(lambda: calls(first) > 10 and calls(second) > 0, "both replicas answer")
            held = second.stub().Embed.future(attnd_pb2.EmbedRequest(texts=["held"]), timeout=30)
            harness.until(lambda: second.metric("attnd_queue_requests") > 0, "calls wait")
            stop(second)
            callers.wait_for_more()
        self.assertEqual(len(harness.vectors_of(held.result())), 1)
        # Only what was on its way when the GOAWAY was.
        self.assertLessEqual(len(callers.errors), 2 * callers.COUNT, callers.errors)

    def test_attn_bench_goes_on(self):
        first, second, both = self.replicas(*SLOW)
        bench = subprocess.Popen([harness.BIN / "attn", "--address", both, "bench", "--concurrency", "8", "--warmup", "0",
                                  "--duration", "6"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                 env=harness.environment())
        try:
            harness.until(lambda: calls(first) > 10 and calls(second) > 0, "both replicas answer")
            stop(second)
            before = calls(first)
            harness.until(lambda: calls(first) > before + 20, "the other goes on")
            with harness.Server("--listen", second.address) as again:
                output, _ = bench.communicate(timeout=60)
                self.assertEqual(bench.returncode, 0, output)
                self.assertGreater(calls(again), 0)
        finally:
            bench.kill()
            bench.communicate()

    def test_attn_embed_goes_on(self):
        first, second, both = self.replicas()
        expected = attn("--address", first.address, "embed", "--batch", "1", text="\n".join(LINES) + "\n")
        before = calls(first, "EmbedStream")
        embed = subprocess.Popen([harness.BIN / "attn", "--address", both, "embed", "--batch", "1"], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=harness.environment())
        try:
            read = []

            def exchange(lines):
                for line in lines:
                    embed.stdin.write(line + "\n")
                    embed.stdin.flush()
                    read.append(embed.stdout.readline())

            exchange(LINES[:20])
            used, other = (first, second) if calls(first, "EmbedStream") > before else (second, first)
            stop(used)
            exchange(LINES[20:])
            rest, errors = embed.communicate(timeout=30)
            self.assertEqual((embed.returncode, rest, errors), (0, "", ""))
            self.assertEqual("".join(read), expected)
            self.assertGreater(calls(other, "EmbedStream"), 0)
        finally:
            embed.kill()
            embed.communicate()


if __name__ == "__main__":
    unittest.main()
