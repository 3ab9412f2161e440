"""What clients must not send, by value: each is refused by name, and the server goes on."""

import unittest

import grpc
import harness
from harness import attention_pb2, attnd_pb2, error_details_pb2
from tritonclient.grpc import service_pb2, service_pb2_grpc

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
MIB = 1 << 20


class Texts(harness.ServerTest):
    def embed(self, *texts, timeout=30, **request):
        return self.stub.Embed(attnd_pb2.EmbedRequest(texts=texts, **request), timeout=timeout)

    def raw(self, method, message):
        """Bytes as they are: a message class would not hold them."""
        return self.server.channel().unary_unary(f"/attnd.v1.Attnd/{method}")(message, timeout=30)

    def test_texts_that_are_fine(self):
        for text in ("", "a\0b", "\0", " ", "\u202e\ufeff", "🙂" * 20):
            harness.vectors_of(self.embed(text))

    def test_a_megabyte(self):
        self.refused(INVALID, lambda: self.embed("fine", "a" * MIB), "texts[1]", ["1048576", "131072"])

    def test_more_tokens_than_the_model_takes(self):
        error = self.refused(INVALID, lambda: self.embed("secret word " * 200), "texts[0]", "130")
        self.assertNotIn("secret", error.details())
        self.assertTrue(self.embed("word " * 200, truncate="TRUNCATION_END").texts[0].truncated)

    def test_invalid_utf8(self):
        for method in ("Embed", "Attend", "Tokenize"):
            call = self.server.channel().unary_stream if method == "Attend" else self.server.channel().unary_unary
            self.refused(INVALID, lambda: list(call(f"/attnd.v1.Attnd/{method}")(b"\x12\x02\xff\xfe", timeout=30)),
                         "request", "UTF-8")

    def test_bytes_that_are_no_message(self):
        self.refused(INVALID, lambda: self.raw("Embed", b"\x12\x7fab"), "request")
        self.refused(INVALID, lambda: self.raw("ListModels", b"\xff" * 8), "request")

    def test_too_many_and_too_few(self):
        self.refused(INVALID, lambda: self.embed(*["a"] * 10000), "texts", ["10000", "4096"])
        self.refused(INVALID, lambda: self.embed(), "texts", "at least 1")

    def test_unknown_model_and_method(self):
        self.refused(grpc.StatusCode.NOT_FOUND, lambda: self.embed("a", model="nobody"), words="bert")
        self.refused(grpc.StatusCode.UNIMPLEMENTED, lambda: self.raw("Nothing", b""))

    def test_more_than_a_message_may_have(self):
        self.refused(EXHAUSTED, lambda: self.embed("a" * (17 * MIB)))

    def test_deadline(self):
        self.refused(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: self.embed("a", timeout=-1))
        # One that the server sees pass, and its end of the call, too: nothing is left behind.
        self.refused(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: self.embed(*["some words " * 40] * 2000, timeout=0.05))
        harness.until(lambda: self.server.metric("grpc_server_started_total") == self.server.metric("grpc_server_handled_total"),
                      "every call has ended")
        self.assertGreaterEqual(self.server.metric("grpc_server_handled_total", grpc_code="DeadlineExceeded") +
                                self.server.metric("grpc_server_handled_total", grpc_code="Canceled"), 1)


class Maps(harness.ServerTest):
    def attend(self, text="some text to look at", chunk_bytes=0, **spec):
        return list(self.stub.Attend(attention_pb2.AttendRequest(
            text=text, chunk_bytes=chunk_bytes, attention=attention_pb2.AttentionSpec(**spec)), timeout=30))

    def test_selections(self):
        self.refused(INVALID, lambda: self.attend(select="L99"), "attention.select", ["99", "0 to 2"])
        self.refused(INVALID, lambda: self.attend(select="L0H6"), "attention.select", "0 to 5")
        for text in ("L0Hx", "x", "L1H", "9-:", ",", "L" * 5000):
            self.refused(INVALID, lambda: self.attend(select=text), "attention.select")
        self.refused(INVALID, lambda: self.attend(content="ATTENTION_CONTENT_STATISTICS", statistics_select="L99"),
                     "attention.statistics_select", "0 to 2")

    def test_top_k(self):
        self.refused(INVALID, lambda: self.attend(layout="ATTENTION_LAYOUT_TOP_K"), "attention.top_k", "at least 1")
        self.assertGreaterEqual(len(self.attend(layout="ATTENTION_LAYOUT_TOP_K", top_k=2**32 - 1)), 3)

    def test_ranges_enums_and_chunks(self):
        empty = attention_pb2.AttentionSpec(queries={"begin": 4, "end": 2}).queries
        self.refused(INVALID, lambda: self.attend(queries=empty), "attention.queries")
        self.refused(INVALID, lambda: self.attend(dtype=9), "attention.dtype")
        self.refused(INVALID, lambda: self.attend(chunk_bytes=10), "chunk_bytes", "1024")

    def test_the_cap(self):
        # 18 maps of f32; the estimate is in the message.
        error = self.refused(EXHAUSTED, lambda: self.attend(max_bytes=1000), words=["5.7 KiB", "1.0 KiB"])
        self.assertEqual(harness.details(error, error_details_pb2.RetryInfo), [], "trying again would not help")
        self.assertGreater(self.server.metric("attnd_rejected_total", reason="attention_cap"), 0)


class OpenInference(harness.ServerTest):
    """Tensors whose type, shape or bytes do not fit."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.oip = service_pb2_grpc.GRPCInferenceServiceStub(cls.server.channel())

    def infer(self, *tensors, raw=(), model="bert", **parameters):
        request = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=raw)
        for name, datatype, shape in tensors:
            request.inputs.add(name=name, datatype=datatype, shape=shape)
        for name, value in parameters.items():
            kind = "int64_param" if isinstance(value, int) else "string_param"
            setattr(request.parameters[name], kind, value)
        return self.oip.ModelInfer(request, timeout=30)

    def test_types_shapes_and_bytes(self):
        one = (1).to_bytes(4, "little") + b"a"
        cases = [
            ("inputs[0].datatype", [("text", "FP32", [1])], [b"\0" * 4]),
            ("inputs[0].datatype", [("input_ids", "FP64", [1, 2])], [b"\0" * 16]),
            ("inputs[0].shape", [("text", "BYTES", [1, 1, 1])], [one]),
            ("inputs[0].shape", [("text", "BYTES", [0])], [b""]),
            ("inputs[0].shape", [("text", "BYTES", [-1])], [one]),
            ("inputs[0].shape", [("input_ids", "INT64", [2**62, 2**62])], [b"\0" * 8]),
            ("inputs[0].shape", [("input_ids", "INT32", [4])], [b"\0" * 16]),
            ("raw_input_contents[0]", [("input_ids", "INT32", [1, 4])], [b"\0" * 15]),
            ("raw_input_contents[0]", [("text", "BYTES", [2])], [one]),
            ("raw_input_contents[0]", [("text", "BYTES", [1])], [b"\xff\xff\xff\xff"]),
            ("raw_input_contents[0]", [("text", "BYTES", [1])], [one + b"more"]),
            ("raw_input_contents", [("text", "BYTES", [1])], [one, one]),
            ("inputs", [], []),
        ]
        for field, tensors, raw in cases:
            with self.subTest(field=field, tensors=tensors):
                self.refused(INVALID, lambda: self.infer(*tensors, raw=raw), field)
        self.refused(INVALID, lambda: self.infer(("query", "FP32", [1, 1, 2, 4]), raw=[b"\0" * 32], model="attention"),
                     words="key")

    def test_text_that_is_not_utf8(self):
        self.refused(INVALID, lambda: self.infer(("text", "BYTES", [1]), raw=[(2).to_bytes(4, "little") + b"\xff\xfe"]),
                     words="UTF-8")

    def test_parameters(self):
        text = ("text", "BYTES", [1])
        raw = [(1).to_bytes(4, "little") + b"a"]
        self.refused(INVALID, lambda: self.infer(text, raw=raw, layers="99"), words="layers")
        self.refused(INVALID, lambda: self.infer(text, raw=raw, heads="x"), words="heads")
        self.refused(INVALID, lambda: self.infer(text, raw=raw, no_such_parameter=1), "parameters.no_such_parameter", "the model takes")
        self.refused(grpc.StatusCode.NOT_FOUND, lambda: self.infer(text, raw=raw, model="nobody"))
        words = b"some words " * 40
        many = [(len(words).to_bytes(4, "little") + words) * 2000]
        self.refused(grpc.StatusCode.DEADLINE_EXCEEDED,
                     lambda: self.infer(("text", "BYTES", [2000]), raw=many, timeout=1000))


if __name__ == "__main__":
    unittest.main()
