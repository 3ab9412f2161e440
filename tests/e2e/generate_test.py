"""Generate, Chat and Score of the real attnd: SmolLM2 from its GGUF file, against what transformers made of the same prompts."""

import concurrent.futures
import time
import unittest

import grpc
import harness
import numpy as np
from harness import attnd_pb2, generation_pb2

SMOLLM2 = harness.MINILM.parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
Options = generation_pb2.GenerationOptions


class Answer:
    """What came of one call of Generate or Chat."""

    def __init__(self, events):
        self.start, self.summary, self.deltas, self.ends = None, None, {}, {}
        for event in events:
            kind = event.WhichOneof("event")
            if kind == "delta":
                self.deltas.setdefault(event.delta.answer, []).append(event.delta)
            elif kind == "end":
                self.ends[event.end.answer] = event.end
            else:
                setattr(self, kind, getattr(event, kind))

    def ids(self, answer=0):
        return [delta.id for delta in self.deltas[answer]]

    def text(self, answer=0):
        return "".join(delta.text for delta in self.deltas.get(answer, []))


class GenerateTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(harness.Server(models=(harness.BERT, f"smollm2={SMOLLM2}")))
        cls.stub = cls.server.stub()
        cls.cases, cls.tensors = harness.golden("real/smollm2")

    def tearDown(self):
        harness.assert_alive(self.server)
        harness.until(lambda: self.server.metric("attnd_kv_pages_used") == 0, "all pages free")

    def generate(self, text, **options):
        request = generation_pb2.GenerateRequest(model="smollm2", text=text, options=Options(**options))
        return Answer(self.stub.Generate(request, timeout=90))

    def chat(self, *messages, **options):
        request = generation_pb2.ChatRequest(model="smollm2", options=Options(**options))
        for role, content in messages:
            request.messages.add(role=role, content=content)
        return Answer(self.stub.Chat(request, timeout=90))

    def test_the_references_tokens_all_prompts_at_once(self):
        def ask(case):
            return self.generate(case["text"], temperature=0, max_tokens=48, min_tokens=48, prompt_logprobs=True)

        def finished():
            return self.server.metric("attnd_generations_finished_total", model="smollm2", reason="length")

        before = finished()
        with concurrent.futures.ThreadPoolExecutor(len(self.cases)) as pool:
            answers = list(pool.map(ask, self.cases))
        for i, (case, answer) in enumerate(zip(self.cases, answers)):
            with self.subTest(text=case["text"][:40]):
                self.assertEqual([token.id for token in answer.start.prompt], self.tensors[f"{i}.ids"].tolist())
                self.assertEqual(answer.ids(), self.tensors[f"{i}.greedy"].tolist())
                np.testing.assert_allclose(answer.summary.prompt_logprobs, self.tensors[f"{i}.prompt_logprobs"], atol=1e-3)
                self.assertEqual(answer.ends[0].reason, generation_pb2.FINISH_REASON_LENGTH)
        harness.until(lambda: finished() == before + len(answers), "all are counted")
        self.assertGreaterEqual(self.server.metric("attnd_generation_tokens_total", model="smollm2"), 48 * len(answers))

    def test_tokens_come_as_they_are_made(self):
        request = generation_pb2.GenerateRequest(model="smollm2", text="Once upon a time", options=Options(seed=1, max_tokens=40))
        times = [time.monotonic() for _ in self.stub.Generate(request, timeout=90)]
        # The first delta comes long before the last one.
        self.assertGreater(times[-1] - times[1], 4 * (times[2] - times[1]))

    def test_chat_answers_and_ends_by_itself(self):
        answer = self.chat(("user", "What is the capital of France?"), temperature=0)
        self.assertIn("Paris", answer.text())
        self.assertEqual(answer.ends[0].reason, generation_pb2.FINISH_REASON_STOP)
        self.assertNotIn("<|im_end|>", answer.text())
        spelled = [token.text for token in answer.start.prompt]
        self.assertEqual(spelled.count("<|im_start|>"), 3)  # system, user, assistant

        # The conversation goes on: what was said is not computed again.
        more = self.chat(("user", "What is the capital of France?"), ("assistant", answer.text()),
                         ("user", "And of Italy?"), temperature=0)
        self.assertGreaterEqual(more.summary.shared_tokens, 32)

    def test_stop_strings_and_seeds(self):
        text = self.generate("The cat sat on the mat because it", temperature=0, max_tokens=24).text()
        word = text.split()[3]
        stopped = self.generate("The cat sat on the mat because it", temperature=0, max_tokens=24, stop=[word])
        self.assertEqual(stopped.text(), text[:text.index(word)])
        self.assertEqual(stopped.ends[0].reason, generation_pb2.FINISH_REASON_STOP)
        first, second = (self.generate("Water", seed=42, n=2, max_tokens=12) for _ in range(2))
        self.assertEqual([first.ids(0), first.ids(1)], [second.ids(0), second.ids(1)])
        self.assertNotEqual(first.ids(0), first.ids(1))
        self.assertEqual(self.generate("Water", seed=43, max_tokens=12).ids(), first.ids(1))

    def test_drafts_change_nothing_but_the_steps(self):
        def metric(server, kind):
            return server.metric(f"attnd_generation_{kind}_tokens_total", model="smollm2")

        line = "The quick brown fox jumps over the lazy dog. "
        with harness.Server("--lookup-tokens", "0", models=(f"smollm2={SMOLLM2}",)) as without:
            for sampling in ({"temperature": 0}, {"temperature": 0.3, "seed": 3, "logprobs": 2}):
                request = generation_pb2.GenerateRequest(text=line * 4, options=Options(max_tokens=40, ignore_eos=True, **sampling))
                before = metric(self.server, "accepted_draft")
                alone = Answer(without.stub().Generate(request, timeout=90))
                request.model = "smollm2"
                drafted = Answer(self.stub.Generate(request, timeout=90))
                self.assertEqual((drafted.ids(), drafted.text()), (alone.ids(), alone.text()))
                np.testing.assert_allclose([delta.logprob for delta in drafted.deltas[0]],
                                           [delta.logprob for delta in alone.deltas[0]], atol=1e-3)
                if sampling["temperature"] == 0:  # quotes its prompt
                    self.assertGreater(metric(self.server, "accepted_draft"), before)
            self.assertEqual(metric(without, "drafted"), 0)
        self.assertGreaterEqual(metric(self.server, "drafted"), metric(self.server, "accepted_draft"))

    def test_score(self):
        request = generation_pb2.ScoreRequest(model="smollm2", text="The capital of France is",
                                              continuations=[" Paris", " London", " a banana split"])
        reply = self.stub.Score(request, timeout=30)
        scores = [scored.logprob for scored in reply.continuations]
        self.assertEqual(scores, sorted(scores, reverse=True))
        for scored, text in zip(reply.continuations, request.continuations):
            self.assertAlmostEqual(sum(scored.logprobs), scored.logprob, places=4)
            self.assertEqual(len(scored.logprobs), len(scored.tokens))
            self.assertEqual(scored.tokens[-1].end, len(text))
        # The same numbers as prompt_logprobs of the whole.
        whole = self.generate("The capital of France is a banana split", max_tokens=0, prompt_logprobs=True)
        count = len(reply.continuations[2].logprobs)
        np.testing.assert_allclose(reply.continuations[2].logprobs, whole.summary.prompt_logprobs[-count:], atol=2e-4)

    def test_a_client_that_leaves_and_one_that_does_not_read(self):
        request = generation_pb2.GenerateRequest(model="smollm2", text="Count: 1, 2, 3",
                                                 options=Options(max_tokens=2000, ignore_eos=True, logprobs=20))
        call = self.stub.Generate(request, timeout=90)
        next(call)
        call.cancel()
        harness.until(lambda: self.server.metric("attnd_kv_pages_used") == 0, "pages of the one who left are free")

        narrow = harness.attnd_pb2_grpc.AttndStub(self.server.channel(("grpc.http2.bdp_probe", 0),
                                                                      ("grpc.http2.lookahead_bytes", 16384)))
        idle = narrow.Generate(request, timeout=90)
        self.addCleanup(idle.cancel)
        next(idle)
        counts = []

        def held_back():
            counts.append((self.server.metric("attnd_generation_tokens_total"), self.server.metric("attnd_generations_running")))
            return len(counts) > 20 and counts[-20:] == [(counts[-1][0], 0)] * 20

        harness.until(held_back, "the one who does not read is held back", 60)
        made = counts[-1][0]
        self.assertEqual(len(self.generate("Hello", max_tokens=3, ignore_eos=True).ids()), 3)
        harness.until(lambda: self.server.metric("attnd_generation_tokens_total") == made + 3, "the tokens of one alone are counted")
        idle.cancel()

    def test_a_flood_does_not_keep_another_connection_waiting(self):
        def finished():
            return self.server.metric("attnd_generations_finished_total", model="smollm2")

        def request(text, **options):
            return generation_pb2.GenerateRequest(model="smollm2", text=text, options=Options(ignore_eos=True, **options))

        flood, other = self.server.stub(), self.server.stub()
        calls = [flood.Generate(request(f"{i} stories about rain in Spain: ", max_tokens=100, n=2), timeout=300) for i in range(95)]
        for call in calls:
            self.addCleanup(call.cancel)
        harness.until(lambda: self.server.metric("attnd_generations_waiting") >= 90, "most of the flood waits")
        before = finished()
        self.assertEqual(len(Answer(other.Generate(request("Hello", max_tokens=4), timeout=300)).ids()), 4)
        # First come, first served, it would have come after those of the 95 that are not among the 64 that run at once.
        self.assertLess(finished() - before, 20)
        self.assertGreater(self.server.metric("attnd_generations_waiting"), 50)
        for call in calls:
            call.cancel()

    def test_refusals(self):
        def refused(call, code, words):
            with self.assertRaises(grpc.RpcError) as caught:
                call()
            self.assertEqual(caught.exception.code(), code, caught.exception.details())
            self.assertIn(words, caught.exception.details())

        invalid = grpc.StatusCode.INVALID_ARGUMENT
        refused(lambda: self.generate("word " * 9000), invalid, "the model's context is 8192")
        refused(lambda: self.generate("x", temperature=-1), invalid, "options.temperature: -1")
        refused(lambda: self.chat(), invalid, "messages: 0 messages")
        refused(lambda: self.stub.Generate(generation_pb2.GenerateRequest(model="bert", text="x")).next(),
                grpc.StatusCode.FAILED_PRECONDITION, "call Embed")
        refused(lambda: self.stub.Classify(harness.tasks_pb2.ClassifyRequest(model="smollm2", texts=["x"])),
                grpc.StatusCode.FAILED_PRECONDITION, "call Generate")
        refused(lambda: self.stub.Score(generation_pb2.ScoreRequest(model="smollm2", text="", continuations=["x"])), invalid,
                "text: has no tokens")

    def test_the_models_say_what_they_are(self):
        models = {model.name: model for model in self.stub.ListModels(attnd_pb2.ListModelsRequest()).models}
        self.assertEqual(models["smollm2"].task, "generate")
        self.assertEqual(models["smollm2"].max_tokens, 8192)
        self.assertIn("Chat", models["smollm2"].calls)
        self.assertIn("smollm2 f32", self.server.ready_line)


if __name__ == "__main__":
    unittest.main()
