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
        self.assertEqual(config.parameters["task"].string_value, "generate")
        self.assertTrue(self.client.is_model_ready("smollm2"))

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
