"""attnd.v1 through grpcio: vectors and maps against the golden ones, streams, health, reflection."""

import unittest

import harness
import grpc
import numpy as np
from harness import attention_pb2, attnd_pb2, types_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from google.protobuf.descriptor_pool import DescriptorPool

TEXTS = ["The cat sat on the mat.", "", "A kitten rests on a rug because it is tired.", "naïve café 東京"]


def attend(stub, **request):
    """The frames of Attend, checked for their order: header, data, trailer."""
    frames = list(stub.Attend(attention_pb2.AttendRequest(**request), timeout=30))
    kinds = [frame.WhichOneof("frame") for frame in frames]
    assert kinds == ["header", *["data"] * (len(kinds) - 2), "trailer"], kinds
    header, data = frames[0].header, b""
    for frame in frames[1:-1]:
        assert frame.data.offset == len(data)
        assert 0 < len(frame.data.data) <= header.chunk_bytes
        data += frame.data.data
    assert len(data) == header.attention.total_bytes
    return header, data, frames[-1].trailer


def part(header, data, kind):
    found = next(p for p in header.attention.parts if p.kind == kind)
    types = {"f32": "<f4", "f16": "<f2", "u8": "u1", "u16": "<u2", "u32": "<u4"}
    return np.frombuffer(data[found.offset:found.offset + found.bytes], types[found.dtype]).reshape(found.shape)


class V1Test(harness.ServerTest):
    MODELS = (harness.BERT, f"minilm={harness.MINILM}")

    def embed(self, **request):
        return self.stub.Embed(attnd_pb2.EmbedRequest(**request), timeout=30)

    def test_minilm_is_the_golden_one(self):
        cases, tensors = harness.golden("real/minilm")
        texts = [case["text"] for case in cases]
        reply = self.embed(model="minilm", texts=texts, truncate=types_pb2.TRUNCATION_END)
        self.assertEqual(reply.dimensions, 384)
        for i, vector in enumerate(harness.vectors_of(reply)):
            self.assertGreaterEqual(harness.cosine(vector, tensors[f"{i}.embedding"]), 0.999999, texts[i])
            self.assertEqual(reply.texts[i].tokens, len(tensors[f"{i}.ids"]), texts[i])
        self.assertEqual(reply.tokens, sum(len(tensors[f"{i}.ids"]) for i in range(len(texts))))
        timings = reply.timings
        stages = (timings.validate_ns + timings.tokenise_ns + timings.queue_ns + timings.compute_ns + timings.respond_ns)
        self.assertGreater(timings.compute_ns, 0)
        self.assertGreaterEqual(timings.total_ns, stages)

    def test_attend_is_the_golden_one(self):
        cases, tensors = harness.golden("bert/golden")
        for i, case in enumerate(cases):
            if case["pair"] is not None:
                continue
            expected = tensors[f"{i}.attentions"]
            header, data, trailer = attend(self.stub, model="bert", text=case["text"])
            values = part(header, data, attention_pb2.AttentionPart.KIND_VALUES)
            np.testing.assert_allclose(values.reshape(expected.shape), expected, atol=1e-4)
            self.assertEqual([token.id for token in header.tokens], tensors[f"{i}.ids"].tolist())
            self.assertEqual(list(zip(header.attention.map_layers, header.attention.map_heads)),
                             [(layer, head) for layer in range(3) for head in range(6)])
            self.assertGreater(trailer.timings.compute_ns, 0)

    def test_attend_selects_and_packs(self):
        text = "The cat sat on the mat because it was tired. " * 8
        full = part(*attend(self.stub, model="minilm", text=text)[:2], attention_pb2.AttentionPart.KIND_VALUES)
        full = full.reshape(6, 12, *full.shape[1:])
        spec = dict(select="L3H5", layout=attention_pb2.ATTENTION_LAYOUT_TOP_K, top_k=4,
                    content=attention_pb2.ATTENTION_CONTENT_MAPS_AND_STATISTICS)
        header, data, trailer = attend(self.stub, model="minilm", text=text, chunk_bytes=1024,
                                       attention=attention_pb2.AttentionSpec(**spec))
        values = part(header, data, attention_pb2.AttentionPart.KIND_VALUES)
        columns = part(header, data, attention_pb2.AttentionPart.KIND_INDICES)
        np.testing.assert_allclose(values[0], -np.sort(-full[3, 5], axis=-1)[:, :4], atol=1e-5)
        np.testing.assert_allclose(np.take_along_axis(full[3, 5], columns[0].astype(int), -1), values[0], atol=1e-5)
        residual = part(header, data, attention_pb2.AttentionPart.KIND_RESIDUALS)
        np.testing.assert_allclose(values.sum(-1) + residual, 1, atol=1e-4)
        self.assertEqual(len(trailer.statistics.entropy), 72)
        mean = -(full * np.log(np.maximum(full, 1e-30))).sum(-1).mean(-1)
        np.testing.assert_allclose(np.reshape(trailer.statistics.entropy, (6, 12)), mean, atol=1e-3)
        estimate = self.stub.EstimateAttention(attention_pb2.EstimateAttentionRequest(
            model="minilm", text=text, attention=attention_pb2.AttentionSpec(**spec)))
        self.assertEqual(estimate.attention.total_bytes, len(data))
        self.assertTrue(estimate.allowed)

    def test_embed_alone_and_together(self):
        together = self.embed(model="bert", texts=TEXTS * 8)
        alone = [harness.vectors_of(self.embed(model="bert", texts=[text]))[0] for text in TEXTS]
        np.testing.assert_allclose(harness.vectors_of(together), np.tile(alone, (8, 1)), atol=1e-5)
        floats = self.embed(model="bert", texts=TEXTS, format=attnd_pb2.VECTOR_FORMAT_FLOATS)
        self.assertEqual(floats.vectors, b"")
        np.testing.assert_allclose([text.values for text in floats.texts], alone, atol=1e-5)
        unit = harness.vectors_of(self.embed(model="bert", texts=TEXTS, normalize=True))
        np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)

    def test_embed_brings_attention(self):
        reply = self.embed(model="bert", texts=TEXTS, attention=attention_pb2.AttentionSpec(select="L1H2"))
        for text, kept in zip(TEXTS, reply.texts):
            header, data, _ = attend(self.stub, model="bert", text=text,
                                     attention=attention_pb2.AttentionSpec(select="L1H2"))
            ours = np.frombuffer(kept.attention.data, "<f4")
            np.testing.assert_allclose(ours, np.frombuffer(data, "<f4"), atol=1e-5)
            self.assertEqual(kept.attention.header.rows, kept.tokens)

    def test_stream_keeps_the_order(self):
        def requests():
            for i in range(60):
                texts = [] if i == 17 else TEXTS * (1 if i % 3 else 20)
                yield attnd_pb2.EmbedStreamRequest(id=1000 - i, request=attnd_pb2.EmbedRequest(model="bert", texts=texts))

        replies = list(self.stub.EmbedStream(requests(), timeout=30))
        self.assertEqual([reply.id for reply in replies], [1000 - i for i in range(60)])
        for i, reply in enumerate(replies):
            if i == 17:
                self.assertEqual(reply.error.code, grpc.StatusCode.INVALID_ARGUMENT.value[0])
                self.assertIn("texts", reply.error.message)
            else:
                self.assertEqual(len(harness.vectors_of(reply.response)), 4 if i % 3 else 80)

    def test_tokenize_and_back(self):
        text = "The cat sat on the mat."
        tokens = self.stub.Tokenize(attnd_pb2.TokenizeRequest(model="minilm", texts=[text])).texts[0].tokens
        self.assertEqual([token.text for token in tokens], ["[CLS]", "the", "cat", "sat", "on", "the", "mat", ".", "[SEP]"])
        self.assertEqual([text[token.begin:token.end] for token in tokens[1:-1]], ["The", "cat", "sat", "on", "the", "mat", "."])
        back = self.stub.Detokenize(attnd_pb2.DetokenizeRequest(
            model="minilm", sequences=[types_pb2.TokenIds(ids=[token.id for token in tokens])], skip_special_tokens=True))
        self.assertEqual(back.texts[0], "the cat sat on the mat.")

    def test_attention_operator(self):
        random = np.random.default_rng(2)
        query, key, value = (random.standard_normal((1, 2, 5, 8)).astype("<f4") for _ in range(3))
        tensor = lambda array: types_pb2.FloatTensor(shape=array.shape, data=array.tobytes())
        reply = self.stub.ComputeAttention(attnd_pb2.ComputeAttentionRequest(
            query=tensor(query), key=tensor(key), value=tensor(value), causal=True, weights=True))
        scores = query.astype(float) @ key.astype(float).swapaxes(2, 3) / np.sqrt(8)
        weights = np.exp(scores) * np.tri(5)
        weights /= weights.sum(-1, keepdims=True)
        np.testing.assert_allclose(np.frombuffer(reply.output.data, "<f4").reshape(query.shape), weights @ value, atol=1e-5)
        np.testing.assert_allclose(np.frombuffer(reply.weights.data, "<f4").reshape(weights.shape), weights, atol=1e-5)

    def test_models_and_limits(self):
        reply = self.stub.ListModels(attnd_pb2.ListModelsRequest())
        models = {model.name: model for model in reply.models}
        self.assertEqual(sorted(models), ["attention", "bert", "minilm"])
        minilm = models["minilm"]
        self.assertEqual((minilm.layers, minilm.heads, minilm.dimensions, minilm.pooling, minilm.precision),
                         (6, 12, 384, "mean", "f32"))
        self.assertIn("Attend", minilm.calls)
        self.assertEqual(reply.limits.max_texts_per_call, 4096)
        self.assertEqual(self.stub.GetModel(attnd_pb2.GetModelRequest(model="minilm")), minilm)

    def test_health_of_services_and_models(self):
        health = health_pb2_grpc.HealthStub(self.server.channel())
        for name in ("", "attnd.v1.Attnd", "inference.GRPCInferenceService", "bert", "minilm"):
            reply = health.Check(health_pb2.HealthCheckRequest(service=name))
            self.assertEqual(reply.status, health_pb2.HealthCheckResponse.SERVING, name)
        self.refused(grpc.StatusCode.NOT_FOUND, lambda: health.Check(health_pb2.HealthCheckRequest(service="nobody")))

    def test_reflection_describes_every_call(self):
        reflection = ProtoReflectionDescriptorDatabase(self.server.channel())
        services = set(reflection.get_services())
        self.assertLessEqual({"attnd.v1.Attnd", "inference.GRPCInferenceService", "grpc.health.v1.Health"}, services)
        pool = DescriptorPool(reflection)
        methods = {method.name for method in pool.FindServiceByName("attnd.v1.Attnd").methods}
        self.assertEqual(methods, {"Embed", "EmbedStream", "Classify", "Rerank", "TokenClassify", "FillMask", "Generate", "Chat", "Score", "Attend",
                                   "EstimateAttention", "ComputeAttention", "Tokenize", "Detokenize", "ListModels", "GetModel"})
        self.assertEqual({m.name for m in pool.FindServiceByName("grpc.health.v1.Health").methods}, {"Check", "Watch"})
        self.assertIn("ModelInfer", {m.name for m in pool.FindServiceByName("inference.GRPCInferenceService").methods})


if __name__ == "__main__":
    unittest.main()
