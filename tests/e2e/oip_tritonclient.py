"""Drives a running attnd with NVIDIA's tritonclient, raw and typed, and holds the results against NumPy.

    python tests/e2e/oip_tritonclient.py 127.0.0.1:50051 [MODEL]

MODEL is an encoder that the server serves; without it the first one of its index. Needs tritonclient[grpc] and numpy.
"""

import queue
import sys
import unittest

import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

ADDRESS = "127.0.0.1:50051"
MODEL = ""
TEXTS = ["The cat sat on the mat.", "A kitten rests on a rug.", "Stock markets fell sharply on Monday morning."]


def text_input(texts, shape=None):
    tensor = triton.InferInput("text", shape or [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([t.encode() for t in texts], dtype=np.object_).reshape(shape or [len(texts)]))
    return tensor


def numpy_input(name, array, datatype):
    tensor = triton.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array)
    return tensor


def outputs(*names):
    return [triton.InferRequestedOutput(name) for name in names]


def reference_attention(query, key, value, visible, scale):
    """softmax(scale Q K^T) V in double; rows that see nothing are zero."""
    group = query.shape[1] // key.shape[1]
    key, value = np.repeat(key, group, axis=1).astype(np.float64), np.repeat(value, group, axis=1).astype(np.float64)
    scores = np.where(visible, query.astype(np.float64) @ key.swapaxes(2, 3) * scale, -np.inf)
    largest = np.where(np.isfinite(scores.max(-1, keepdims=True)), scores.max(-1, keepdims=True), 0)
    weights = np.exp(scores - largest)
    total = weights.sum(-1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    entropy = -(weights * np.log(np.where(weights > 0, weights, 1))).sum(-1)
    return weights @ value, weights, entropy


class Tritonclient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.client = triton.InferenceServerClient(ADDRESS)
        index = [entry.name for entry in cls.client.get_model_repository_index().models]
        cls.model = MODEL or next(name for name in index if name != "attention")

    @classmethod
    def tearDownClass(cls):
        cls.client.close()

    def test_server(self):
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready(self.model))
        self.assertTrue(self.client.is_model_ready("attention", "1"))
        self.assertFalse(self.client.is_model_ready("no-such-model"))
        metadata = self.client.get_server_metadata()
        self.assertEqual(metadata.name, "attnd")
        self.assertIn("statistics", metadata.extensions)
        index = {entry.name: entry.state for entry in self.client.get_model_repository_index().models}
        self.assertEqual(index[self.model], "READY")
        self.assertEqual(index["attention"], "READY")

    def test_metadata_and_config(self):
        metadata = self.client.get_model_metadata(self.model)
        config = self.client.get_model_config(self.model).config
        self.assertEqual([tensor.name for tensor in metadata.inputs],
                         ["text", "text_pair", "input_ids", "attention_mask", "token_type_ids"])
        self.assertEqual([tensor.name for tensor in metadata.outputs], [tensor.name for tensor in config.output])
        self.assertGreater(config.max_batch_size, 0)
        hidden = list(metadata.outputs[0].shape)[1]
        self.assertEqual(self.client.infer(self.model, [text_input(TEXTS)]).as_numpy("embedding").shape, (3, hidden))
        self.assertEqual(len(self.client.get_model_metadata("attention").inputs), 4)

    def test_embedding(self):
        for shape in ([3], [3, 1]):
            result = self.client.infer(self.model, [text_input(TEXTS, shape)], request_id="42")
            vectors = result.as_numpy("embedding")
            self.assertEqual(result.get_response().id, "42")
            self.assertEqual(vectors.dtype, np.float32)
            self.assertTrue(np.isfinite(vectors).all())
        unit = self.client.infer(self.model, [text_input(TEXTS)], parameters={"normalize": True}).as_numpy("embedding")
        np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
        single = [self.client.infer(self.model, [text_input([text])]).as_numpy("embedding")[0] for text in TEXTS]
        np.testing.assert_allclose(vectors, single, atol=1e-5)

    def test_typed_contents(self):
        with triton.InferenceServerClient(ADDRESS) as client:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(client._channel)
            request = service_pb2.ModelInferRequest(model_name=self.model, id="typed")
            tensor = request.inputs.add(name="text", datatype="BYTES", shape=[len(TEXTS)])
            tensor.contents.bytes_contents.extend(text.encode() for text in TEXTS)
            response = stub.ModelInfer(request)
        vectors = np.frombuffer(response.raw_output_contents[0], np.float32).reshape(list(response.outputs[0].shape))
        raw = self.client.infer(self.model, [text_input(TEXTS)]).as_numpy("embedding")
        np.testing.assert_array_equal(vectors, raw)

    def test_attention_maps(self):
        names = ["embedding", "last_hidden_state", "attention", "attention_entropy", "token_ids", "token_count"]
        result = self.client.infer(self.model, [text_input(TEXTS)], outputs=outputs(*names))
        counts, maps = result.as_numpy("token_count"), result.as_numpy("attention")
        entropy, ids = result.as_numpy("attention_entropy"), result.as_numpy("token_ids")
        self.assertEqual(maps.shape[0], 3)
        self.assertEqual(maps.shape[3:], (counts.max(), counts.max()))
        for i, tokens in enumerate(counts):
            real = maps[i, :, :, :tokens, :tokens].astype(np.float64)
            np.testing.assert_allclose(real.sum(-1), 1, atol=1e-4)
            expected = -(real * np.log(np.where(real > 0, real, 1))).sum(-1)
            np.testing.assert_allclose(entropy[i, :, :, :tokens], expected, atol=1e-3)
            self.assertFalse(maps[i, :, :, tokens:, :].any() or maps[i, :, :, :, tokens:].any())
            self.assertFalse(ids[i, tokens:].any() or result.as_numpy("last_hidden_state")[i, tokens:].any())
        last, head = maps.shape[1] - 1, maps.shape[2] - 1
        some = self.client.infer(self.model, [text_input(TEXTS)], outputs=outputs("attention"),
                                 parameters={"layers": f"0,{last}", "heads": str(head)}).as_numpy("attention")
        np.testing.assert_allclose(some, maps[:, [0, last]][:, :, [head]], atol=1e-6)

    def test_ids(self):
        from_text = self.client.infer(self.model, [text_input(TEXTS)],
                                      outputs=outputs("embedding", "token_ids", "token_count"))
        ids, counts = from_text.as_numpy("token_ids"), from_text.as_numpy("token_count")
        mask = (np.arange(ids.shape[1]) < counts[:, None]).astype(np.int64)
        from_ids = self.client.infer(self.model, [numpy_input("input_ids", ids, "INT32"),
                                                  numpy_input("attention_mask", mask, "INT64")])
        np.testing.assert_allclose(from_ids.as_numpy("embedding"), from_text.as_numpy("embedding"), atol=1e-6)

    def test_tokens(self):
        result = self.client.infer(self.model, [text_input(TEXTS)],
                                   outputs=outputs("tokens", "token_spans", "token_count"))
        tokens, spans, counts = (result.as_numpy(name) for name in ("tokens", "token_spans", "token_count"))
        self.assertEqual(tokens.shape, (3, counts.max()))
        for i, text in enumerate(TEXTS):
            self.assertEqual(b"".join(tokens[i, counts[i]:]), b"")
            for token, (begin, end) in zip(tokens[i, 1:counts[i] - 1], spans[i, 1:]):
                self.assertEqual(token.decode().removeprefix("##"), text[begin:end].lower())

    def test_attention_operator(self):
        random = np.random.default_rng(1)
        query = random.standard_normal((2, 4, 9, 16), np.float32)
        key, value = (random.standard_normal((2, 2, 11, 16), np.float32) for _ in range(2))
        mask = random.random((9, 11)) < 0.6
        mask[3] = False
        causal = np.arange(11)[None, :] <= np.arange(9)[:, None] + 2
        inputs = [numpy_input("query", query, "FP32"), numpy_input("key", key, "FP32"),
                  numpy_input("value", value, "FP32")]
        for parameters, extra, visible in (({}, [], np.ones((9, 11), bool)),
                                           ({"causal": True}, [], causal),
                                           ({"causal": True}, [numpy_input("mask", mask, "BOOL")], causal & mask)):
            result = self.client.infer("attention", inputs + extra, parameters=parameters,
                                       outputs=outputs("output", "weights", "entropy"))
            expected = reference_attention(query, key, value, visible, 1 / 4)
            for name, array in zip(("output", "weights", "entropy"), expected):
                np.testing.assert_allclose(result.as_numpy(name), array, atol=1e-5)

    def test_statistics(self):
        def count():
            stats = self.client.get_inference_statistics(self.model).model_stats[0]
            return stats.inference_count, stats.inference_stats.success.count, stats.inference_stats.compute_infer.ns

        before = count()
        self.client.infer(self.model, [text_input(TEXTS)])
        after = count()
        self.assertEqual((after[0] - before[0], after[1] - before[1]), (3, 1))
        self.assertGreater(after[2], before[2])

    def test_async(self):
        results = queue.Queue()
        for i in range(20):
            self.client.async_infer(self.model, [text_input([TEXTS[i % 3]])],
                                    lambda result, error: results.put((result, error)), request_id=str(i))
        seen = {}
        for _ in range(20):
            result, error = results.get(timeout=30)
            self.assertIsNone(error)
            seen[int(result.get_response().id)] = result.as_numpy("embedding")
        self.assertEqual(sorted(seen), list(range(20)))

    def test_stream(self):
        results = queue.Queue()
        with triton.InferenceServerClient(ADDRESS) as client:
            client.start_stream(lambda result, error: results.put((result, error)))
            for i in range(20):
                client.async_stream_infer(self.model if i != 7 else "no-such-model", [text_input([TEXTS[i % 3]])],
                                          request_id=str(i), enable_empty_final_response=True)
            for i in range(20):
                result, error = results.get(timeout=30)
                if i == 7:
                    self.assertIn("no such model", str(error))
                    continue
                self.assertIsNone(error)
                response = result.get_response()
                self.assertEqual(response.id, str(i))
                self.assertTrue(response.parameters["triton_final_response"].bool_param)
                self.assertEqual(result.as_numpy("embedding").shape[0], 1)
            client.stop_stream()

    def test_errors(self):
        def refused(code, words, *arguments, **options):
            with self.assertRaises(InferenceServerException) as caught:
                self.client.infer(*arguments, **options)
            self.assertIn(code, caught.exception.status())
            self.assertIn(words, caught.exception.message())

        refused("NOT_FOUND", "served are", "no-such-model", [text_input(TEXTS)])
        refused("NOT_FOUND", "version 1", self.model, [text_input(TEXTS)], model_version="9")
        refused("INVALID_ARGUMENT", "token_count", self.model, [text_input(TEXTS)], outputs=outputs("logits"))
        refused("INVALID_ARGUMENT", "layers", self.model, [text_input(TEXTS)], parameters={"layers": "99"})
        refused("INVALID_ARGUMENT", "heads", self.model, [text_input(TEXTS)], parameters={"heads": "x"})
        refused("INVALID_ARGUMENT", "text takes BYTES", self.model,
                [numpy_input("text", np.zeros(3, np.float32), "FP32")])
        refused("INVALID_ARGUMENT", "value is missing", "attention",
                [numpy_input(name, np.zeros((1, 1, 2, 4), np.float32), "FP32") for name in ("query", "key")])
        with self.assertRaises(InferenceServerException) as caught:
            self.client.unload_model("attention")
        self.assertIn("FAILED_PRECONDITION", caught.exception.status())
        self.assertTrue(self.client.is_server_live())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    ADDRESS, MODEL = sys.argv[1], (sys.argv[2:] or [""])[0]
    unittest.main(argv=sys.argv[:1], verbosity=2)
