"""Generation in the Open Inference Protocol, by tritonclient, on the real attnd with SmolLM2."""

import json
import queue
import re
import unittest

import harness
import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

SMOLLM2 = harness.MINILM.parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPT = "The capital of France is"


def text_input(text):
    tensor = triton.InferInput("text", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode()], dtype=np.object_))
    return tensor


def outputs(*names):
    return [triton.InferRequestedOutput(name) for name in names]


class Generate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        server = cls.enterClassContext(harness.Server(models=[f"smollm2={SMOLLM2}"]))
        cls.client = cls.enterClassContext(triton.InferenceServerClient(server.address))

    def infer(self, text=PROMPT, names=(), **parameters):
        parameters = {"max_tokens": 8, "temperature": 0} | parameters
        return self.client.infer("smollm2", [text_input(text)], outputs=outputs(*names) or None, parameters=parameters)

    def stream(self, requests, **options):
        """The responses of all requests, in the order they came."""
        came = queue.Queue()
        self.client.start_stream(lambda result, error: came.put((result, error)))
        for number, (text, parameters) in enumerate(requests):
            self.client.async_stream_infer("smollm2", [text_input(text)], request_id=str(number), parameters=parameters,
                                           **options)
        ended, responses = 0, []
        while ended < len(requests):
            result, error = came.get(timeout=60)
            self.assertIsNone(error)
            responses.append(result)
            ended += "finish_reason" in result.get_response().parameters
        self.client.stop_stream()
        return responses

    def test_describes_itself(self):
        config = self.client.get_model_config("smollm2").config
        self.assertTrue(config.model_transaction_policy.decoupled)
        metadata = self.client.get_model_metadata("smollm2")
        self.assertEqual([tensor.name for tensor in metadata.inputs], ["text", "input_ids"])
        self.assertEqual(config.max_batch_size, 0)
        for of_metadata, of_config in ((metadata.inputs, config.input), (metadata.outputs, config.output)):
            self.assertEqual([(tensor.name, list(tensor.shape)) for tensor in of_metadata],
                             [(tensor.name, list(tensor.dims)) for tensor in of_config])
        # What is described is what comes.
        result = self.infer(names=[tensor.name for tensor in metadata.outputs])
        for tensor in metadata.outputs:
            output = result.get_output(tensor.name)
            self.assertEqual(output.datatype, tensor.datatype)
            self.assertEqual(len(output.shape), len(tensor.shape), tensor.name)
            for came, described in zip(output.shape, tensor.shape):
                self.assertIn(described, (came, -1), tensor.name)
        self.assertEqual(config.parameters["task"].string_value, "generate")
        self.assertTrue(self.client.is_model_ready("smollm2"))

    def test_statistics(self):
        def statistics():
            return self.client.get_inference_statistics("smollm2").model_stats[0]

        before = statistics()
        self.infer()
        self.stream([(PROMPT, {"max_tokens": 8, "temperature": 0})] * 2)
        with self.assertRaises(InferenceServerException):
            self.infer(temperature=-1.0)
        after = statistics()
        self.assertEqual(after.inference_count - before.inference_count, 3)  # answers
        # Steps: a stream's answers run beside each other.
        self.assertGreaterEqual(after.execution_count - before.execution_count, 16)
        self.assertLess(after.execution_count - before.execution_count, 3 * 8 + 3)
        self.assertEqual(after.inference_stats.success.count - before.inference_stats.success.count, 3)
        self.assertGreaterEqual(after.last_inference, before.last_inference)
        self.assertEqual(after.inference_stats.fail.count - before.inference_stats.fail.count, 1)
        for stage in ("queue", "compute_input", "compute_infer", "compute_output"):
            of_before, of_after = getattr(before.inference_stats, stage), getattr(after.inference_stats, stage)
            self.assertEqual(of_after.count - of_before.count, 3, stage)
            self.assertGreater(of_after.ns, of_before.ns, stage)
        self.assertEqual(sum(batch.compute_infer.count for batch in after.batch_stats), after.execution_count)
        self.assertGreater(after.memory_usage[0].byte_size, 1 << 20)

    def test_whole(self):
        result = self.infer()
        self.assertIn("Paris", result.as_numpy("text")[0].decode())
        self.assertEqual(result.as_numpy("token_ids").shape, (8,))
        self.assertEqual(result.get_response().parameters["finish_reason"].string_param, "length")
        ids = triton.InferInput("input_ids", [1, 3], "INT64")
        ids.set_data_from_numpy(np.array([[504, 3575, 282]], dtype=np.int64))
        by_ids = self.client.infer("smollm2", [ids], parameters={"max_tokens": 4, "temperature": 0})
        self.assertEqual(by_ids.as_numpy("token_ids").shape, (4,))

    def test_logprobs_and_attention(self):
        result = self.infer(names=["token_ids", "logprobs", "prompt_logprobs", "attention"], layers="-1", heads="0,3")
        prompt = result.get_response().parameters["prompt_tokens"].int64_param
        self.assertEqual(result.as_numpy("prompt_logprobs").shape, (prompt - 1,))
        self.assertTrue((result.as_numpy("logprobs") <= 0).all())
        maps, tokens = result.as_numpy("attention"), prompt + 8 - 1
        self.assertEqual(maps.shape, (1, 2, tokens, tokens))
        np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-4)
        self.assertEqual(np.triu(maps[0, 0], 1).max(), 0)

    def test_streams_are_the_whole_answers_in_order(self):
        prompts = [PROMPT, "Once upon a time", "def add(a, b):"]
        parameters = {"max_tokens": 24, "temperature": 0}
        whole = [self.infer(text, max_tokens=24).as_numpy("text")[0].decode() for text in prompts]
        for asks_final in (False, True):
            responses = self.stream([(text, parameters) for text in prompts],
                                    enable_empty_final_response=asks_final)
            self.assertGreater(len(responses), 3)
            numbers = [int(result.get_response().id) for result in responses]
            self.assertEqual(numbers, sorted(numbers))
            texts = ["", "", ""]
            for number, result in zip(numbers, responses):
                texts[number] += result.as_numpy("text")[0].decode()
                final = result.get_response().parameters.get("triton_final_response")
                self.assertEqual(final is not None, asks_final)
                if asks_final:
                    self.assertEqual(final.bool_param, "finish_reason" in result.get_response().parameters)
            self.assertEqual(texts, whole)

    def test_grammars(self):
        schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20},
                                                   "age": {"type": "integer", "minimum": 0, "maximum": 30}},
                  "required": ["name", "age"], "additionalProperties": False}
        for seed in range(3):
            result = self.infer("A pet as JSON: ", max_tokens=80, temperature=1, seed=seed,
                                json_schema=json.dumps(schema))
            pet = json.loads(result.as_numpy("text")[0])
            self.assertEqual(sorted(pet), ["age", "name"])
            self.assertTrue(0 <= pet["age"] <= 30 and isinstance(pet["name"], str))
            date = self.infer("Today is ", max_tokens=40, temperature=1, seed=seed, regex=r"20[0-9]{2}-[01][0-9]")
            self.assertTrue(re.fullmatch(r"20[0-9]{2}-[01][0-9]", date.as_numpy("text")[0].decode()))

    def test_refusals(self):
        for name, value in (("temperature", -1.0), ("n", 2), ("nonsense", 1), ("regex", "(a"), ("json_schema", "{")):
            with self.assertRaisesRegex(InferenceServerException, name):
                self.infer(**{name: value})
        self.test_whole()


if __name__ == "__main__":
    unittest.main()
