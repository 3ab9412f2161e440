"""Models with a head: attnd.v1, tritonclient and attn against the logits that transformers made of the same texts."""

import json
import subprocess
import unittest

import grpc
import harness
import numpy as np
import tritonclient.grpc as triton
from harness import attention_pb2, tasks_pb2
from tritonclient.utils import InferenceServerException

NAMES = ("bert-classify", "albert-classify", "bert-token", "bert-mlm", "roberta-rerank")


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def bytes_input(name, texts):
    tensor = triton.InferInput(name, [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=np.object_))
    return tensor


class TasksTest(harness.ServerTest):
    MODELS = tuple(f"{name}={harness.GOLDEN / name}" for name in NAMES)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.golden = {name: harness.golden(f"{name}/golden") for name in NAMES}
        cls.triton = triton.InferenceServerClient(cls.server.address)
        cls.addClassCleanup(cls.triton.close)

    def cases(self, name, pairs=None):
        """(text, pair, logits) of the golden cases that were not cut; `pairs`: only those with, or without, a second text."""
        cases, tensors = self.golden[name]
        return [(case["text"], case["pair"], tensors[f"{i}.logits"]) for i, case in enumerate(cases)
                if len(tensors[f"{i}.ids"]) < 96 and (pairs is None or pairs == (case["pair"] is not None))]

    def infer(self, model, inputs, outputs=None, **parameters):
        asked = outputs and [triton.InferRequestedOutput(name) for name in outputs]
        return self.triton.infer(model, inputs, outputs=asked, parameters=parameters)

    def test_classify(self):
        # One of a single label, one of several. The pairs of bert-classify were run without segments.
        for model, pairs, scores_of in (("bert-classify", False, softmax), ("albert-classify", False, sigmoid),
                                        ("albert-classify", True, sigmoid)):
            cases = self.cases(model, pairs)
            request = tasks_pb2.ClassifyRequest(model=model, texts=[text for text, _, _ in cases],
                                                text_pairs=[pair for _, pair, _ in cases] if pairs else [])
            expected = scores_of(np.stack([logits.reshape(-1) for _, _, logits in cases]))
            reply = self.stub.Classify(request, timeout=30)
            for text, row in zip(reply.texts, expected):
                self.assertEqual([label.id for label in text.labels], list(np.argsort(-row)))
                np.testing.assert_allclose([label.score for label in text.labels], np.sort(row)[::-1], atol=1e-4)
            inputs = [bytes_input("text", request.texts)]
            if pairs:
                inputs.append(bytes_input("text_pair", request.text_pairs))
            np.testing.assert_allclose(self.infer(model, inputs).as_numpy("scores"), expected, atol=1e-4)
            raw = self.infer(model, inputs, ["scores", "embedding", "attention"], raw_scores=True)
            np.testing.assert_allclose(scores_of(raw.as_numpy("scores")), expected, atol=1e-4)
            self.assertEqual(raw.as_numpy("attention").shape[0], len(cases))

    def test_classify_with_attention(self):
        request = tasks_pb2.ClassifyRequest(model="bert-classify", texts=["one two"], text_pairs=["three"], top_k=1,
                                            attention=attention_pb2.AttentionSpec(select="L0"))
        text = self.stub.Classify(request, timeout=30).texts[0]
        rows = np.frombuffer(text.attention.data, "<f4").reshape(-1, text.tokens)
        np.testing.assert_allclose(rows.sum(1), 1, atol=1e-4)
        self.assertEqual(len(text.labels), 1)
        self.assertEqual({token.part for token in text.attention.tokens}, {0, 1})

    def test_rerank(self):
        for query, document, logits in self.cases("roberta-rerank", True):
            documents = ["Speak softly.", document, "The universe is made of stories."]
            reply = self.stub.Rerank(tasks_pb2.RerankRequest(model="roberta-rerank", query=query, documents=documents), timeout=30)
            scores = {result.index: result.score for result in reply.results}
            self.assertAlmostEqual(scores[1], float(sigmoid(logits.reshape(-1)[0])), delta=1e-4)
            self.assertEqual([result.score for result in reply.results], sorted(scores.values(), reverse=True))
            result = self.infer("roberta-rerank", [bytes_input("query", [query]), bytes_input("text", documents)])
            np.testing.assert_allclose(result.as_numpy("scores"), [scores[i] for i in range(3)], atol=1e-5)

    def test_token_classify(self):
        cases = self.cases("bert-token")
        texts = [text for text, _, _ in cases]
        reply = self.stub.TokenClassify(tasks_pb2.TokenClassifyRequest(model="bert-token", texts=texts, token_scores=True), timeout=30)
        padded = self.infer("bert-token", [bytes_input("text", texts)]).as_numpy("scores")
        for i, (text, _, logits) in enumerate(cases):
            expected = softmax(logits.reshape(-1, 5))
            scores = np.frombuffer(reply.texts[i].scores, "<f4").reshape(-1, 5)
            np.testing.assert_allclose(scores, expected, atol=1e-4)
            np.testing.assert_allclose(padded[i, :len(expected)], expected, atol=1e-4)
            self.assertFalse(padded[i, len(expected):].any())
            for entity in reply.texts[i].entities:
                self.assertEqual(text[entity.begin_char:entity.end_char], entity.text)
                self.assertEqual(text.encode()[entity.begin:entity.end].decode(), entity.text)
                # Neighbours of one label, each with its own share.
                best = expected[entity.begin_token:entity.end_token]
                self.assertEqual({f"LABEL_{label}" for label in best.argmax(1)}, {entity.label})
                self.assertAlmostEqual(entity.score, float(best.max(1).mean()), delta=1e-4)

    def test_fill_mask(self):
        cases, tensors = self.golden["bert-mlm"]
        for i in range(len(cases)):  # by their tokens, of which one was made a mask
            ids = triton.InferInput("input_ids", [1, len(tensors[f"{i}.ids"])], "INT32")
            ids.set_data_from_numpy(tensors[f"{i}.ids"].astype(np.int32)[None])
            result = self.infer("bert-mlm", [ids], ["scores"])
            np.testing.assert_allclose(result.as_numpy("scores")[0], softmax(tensors[f"{i}.logits"]), atol=1e-4)
        text = cases[0]["text"]
        # The default output stays the embedding.
        self.assertIsNotNone(self.infer("bert-mlm", [bytes_input("text", [text])]).as_numpy("embedding"))
        masked = "Having no [MASK] is no longer [MASK]."
        reply = self.stub.FillMask(tasks_pb2.FillMaskRequest(model="bert-mlm", texts=[masked], top_k=4), timeout=30)
        scores = self.infer("bert-mlm", [bytes_input("text", [masked])], ["scores"]).as_numpy("scores")[0]
        self.assertEqual(len(reply.texts[0].masks), 2)
        for mask in reply.texts[0].masks:
            self.assertEqual([candidate.id for candidate in mask.candidates], list(np.argsort(-scores[mask.token])[:4]))
            for candidate in mask.candidates:
                self.assertAlmostEqual(candidate.score, float(scores[mask.token][candidate.id]), delta=1e-4)
                self.assertEqual(candidate.text.count("[MASK]"), 1)

    def test_metadata(self):
        for name, shape in (("bert-classify", [-1, 3]), ("roberta-rerank", [-1, 1]), ("bert-token", [-1, -1, 5]), ("bert-mlm", [-1, -1, 800])):
            metadata = self.triton.get_model_metadata(name)
            scores = next(output for output in metadata.outputs if output.name == "scores")
            self.assertEqual(list(scores.shape), shape)
            self.assertEqual("query" in [tensor.name for tensor in metadata.inputs], name == "roberta-rerank")
        config = self.triton.get_model_config("roberta-rerank").config
        self.assertEqual(config.parameters["task"].string_value, "rerank")

    def test_the_wrong_head(self):
        self.refused(grpc.StatusCode.FAILED_PRECONDITION,
                     lambda: self.stub.Classify(tasks_pb2.ClassifyRequest(model="bert-token", texts=["a"]), timeout=30),
                     words=["token-classify", "TokenClassify"])
        with self.assertRaisesRegex(InferenceServerException, "no such input"):
            self.infer("bert-classify", [bytes_input("query", ["a"]), bytes_input("text", ["b"])])

    def test_command_line(self):
        def attn(*arguments, **options):
            done = subprocess.run([harness.BIN / "attn", "--address", self.server.address, *arguments], capture_output=True,
                                  text=True, timeout=60, env=harness.environment(), **options)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return done.stdout
        cases = self.cases("albert-classify", True)
        lines = "".join(f"{text}\t{pair}\n" for text, pair, _ in cases)
        out = attn("classify", "--model", "albert-classify", "--pairs", "--json", input=lines)
        for line, (_, _, logits) in zip(out.splitlines(), cases, strict=True):
            best = json.loads(line)["labels"][0]
            self.assertEqual(best["id"], int(logits.argmax()))
            self.assertAlmostEqual(best["score"], float(sigmoid(logits.reshape(-1)).max()), delta=1e-4)
        self.assertIn("entailment", attn("classify", "--model", "bert-classify", "one text"))
        out = attn("rerank", "--model", "roberta-rerank", "a query", "first document", "second document", "--top-n", "1")
        self.assertRegex(out, r"^ *0\.\d{4} +[01] (first|second) document\n$")
        out = json.loads(attn("token-classify", "--model", "bert-token", "--json", "--aggregation", "none", "Ada lived"))
        self.assertEqual(out["entities"][0]["begin"], 0)
        self.assertIn("LABEL_", attn("token-classify", "--model", "bert-token", "Ada lived"))
        out = json.loads(attn("fill-mask", "--model", "bert-mlm", "--json", "--top-k", "2", "[MASK] it is."))
        self.assertEqual(len(out["masks"][0]["candidates"]), 2)


if __name__ == "__main__":
    unittest.main()
