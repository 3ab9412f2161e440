"""Other runtimes as functions f(input_ids [b, s], mask [b, s]) -> last hidden state, for the benchmarks. What each needs is imported when
it is asked for; what is converted from the model's folder stays below the current folder.
usage: peers.py NAME|MODEL.onnx MODEL_FOLDER IDS.json BATCH
runs one over lists of token ids, in batches sorted by length, until it is stopped, and writes a line a batch for alternate.read_log."""
import itertools
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from importlib import metadata

import numpy as np
from tokenizers import Tokenizer


def tokenise(model, texts, longest):
    tokenizer = Tokenizer.from_file(model + "/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return [e.ids for e in tokenizer.encode_batch(texts)]


def pad(batch):
    length = max(map(len, batch))
    x = np.zeros((len(batch), length), np.int64)
    mask = np.zeros_like(x)
    for row, ids in enumerate(batch):
        x[row, :len(ids)] = ids
        mask[row, :len(ids)] = 1
    return x, mask


def random_bert(like, folder, hidden=768, layers=12, heads=12, wide=3072):
    """A BERT of BERT-base's shape with random weights and the vocabulary of `like`; the folder's path."""
    if os.path.exists(folder + "/model.safetensors"):
        return os.path.abspath(folder)
    os.makedirs(folder, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        if os.path.exists(f"{like}/{name}"):
            shutil.copy(f"{like}/{name}", folder)
    config = json.load(open(like + "/config.json"))
    config.update(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, intermediate_size=wide)
    json.dump(config, open(folder + "/config.json", "w"))
    rng = np.random.default_rng(7)
    shapes = {"embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
              "embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
              "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden), "embeddings.LayerNorm": (hidden,)}
    for layer in range(layers):
        p = f"encoder.layer.{layer}."
        for n in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes[p + n] = (hidden, hidden)
        shapes.update({p + "intermediate.dense": (wide, hidden), p + "output.dense": (hidden, wide),
                       p + "attention.output.LayerNorm": (hidden,), p + "output.LayerNorm": (hidden,)})
    tensors = {}
    for name, shape in shapes.items():
        if name.endswith(".weight"):
            tensors[name] = rng.normal(0, 0.02, shape)
        elif "LayerNorm" in name:
            tensors.update({name + ".weight": np.ones(shape), name + ".bias": np.zeros(shape)})
        else:
            tensors.update({name + ".weight": rng.normal(0, 0.04, shape), name + ".bias": np.zeros(shape[0])})
    header, offset = {}, 0
    for name, value in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [offset, offset + 4 * value.size]}
        offset += 4 * value.size
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(folder + "/partial", "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        for value in tensors.values():
            f.write(value.astype(np.float32).tobytes())
    os.rename(folder + "/partial", folder + "/model.safetensors")
    return os.path.abspath(folder)


def converted(model, suffix):
    return os.path.basename(model.rstrip("/")) + suffix


def onnx_f32(model):
    path = converted(model, ".onnx")
    if not os.path.exists(path):
        import make_onnx
        import onnx
        onnx.save(make_onnx.build(model), path, save_as_external_data=False)
    return path


def ort(path, cores):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    dtype = np.int64 if "int64" in session.get_inputs()[0].type else np.int32

    def call(x, mask):
        x, mask = x.astype(dtype), mask.astype(dtype)
        return session.run(None, {"input_ids": x, "attention_mask": mask, "token_type_ids": np.zeros_like(x)})[0]
    return call


def ort_int8(model, cores):
    path = converted(model, ".int8.onnx")
    if not os.path.exists(path):
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
        quantize_dynamic(onnx_f32(model), path, weight_type=QuantType.QInt8, per_channel=True,
                         extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
    return ort(path, cores)


def torch_model(model):
    from transformers import AutoModel
    return AutoModel.from_pretrained(model, attn_implementation="sdpa").eval()


def torch_f32(model, cores):
    import torch
    torch.set_num_threads(cores)
    loaded = torch_model(model)

    def call(x, mask):
        with torch.inference_mode():
            return loaded(input_ids=torch.from_numpy(x), attention_mask=torch.from_numpy(mask)).last_hidden_state.numpy()
    return call


def openvino(precision):
    return lambda model, cores: openvino_call(model, cores, precision)


def openvino_call(model, cores, precision):
    import openvino
    import torch
    loaded = torch_model(model)
    loaded.set_attn_implementation("eager")

    class Hidden(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.loaded = loaded

        def forward(self, ids, mask, types):
            return self.loaded(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state
    ids = torch.ones(2, 16, dtype=torch.long)
    network = openvino.convert_model(Hidden().eval(), example_input=(ids, ids, torch.zeros_like(ids)))
    request = openvino.Core().compile_model(network, "CPU", {"INFERENCE_NUM_THREADS": cores, "PERFORMANCE_HINT": "LATENCY",
                                                             "INFERENCE_PRECISION_HINT": precision}).create_infer_request()

    def call(x, mask):
        out = request.infer([x, mask, np.zeros_like(x)])
        return np.array(list(out.values())[0])
    return call


def ctranslate2(compute_type):
    def make(model, cores):
        import ctranslate2 as ct2
        folder = converted(model, "-ct2")
        if not os.path.exists(folder):
            subprocess.run([os.path.dirname(sys.executable) + "/ct2-transformers-converter", "--model", model, "--output_dir", folder],
                           check=True, capture_output=True)
        encoder = ct2.Encoder(folder, device="cpu", compute_type=compute_type, intra_threads=cores)
        return lambda x, mask: np.array(encoder.forward_batch([list(map(int, r[:n])) for r, n in zip(x, mask.sum(1))]).last_hidden_state)
    return make


PEERS = {"onnxruntime f32": lambda model, cores: ort(onnx_f32(model), cores), "onnxruntime int8": ort_int8, "pytorch f32": torch_f32,
         "openvino f32": openvino("f32"), "openvino bf16": openvino("bf16"), "ctranslate2 f32": ctranslate2("float32"), "ctranslate2 int8": ctranslate2("int8")}


def versions():
    found = []
    for package in ("onnxruntime", "torch", "openvino", "ctranslate2"):
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            pass
    return ", ".join(found)


def main(name, model, ids_file, size):
    ids = json.load(open(ids_file))
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    batches = [[ids[i] for i in order[b:b + int(size)]] for b in range(0, len(order), int(size))]
    cores = len(os.sched_getaffinity(0))
    call = ort(name, cores) if name.endswith(".onnx") else PEERS[name](model, cores)
    random.Random(1).shuffle(batches)  # so that any part of a round is like the whole
    for batch in itertools.cycle(batches):
        call(*pad(batch))
        print(f"{time.monotonic():.6f} {sum(map(len, batch))}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
