"""Seeds of the fuzzers out of the golden models. usage: seeds.py GOLDEN_FOLDER OUT"""
import json
import pathlib
import shutil
import struct
import sys

golden, out = map(pathlib.Path, sys.argv[1:])


def write(fuzzer, name, content):
    (out / fuzzer).mkdir(parents=True, exist_ok=True)
    (out / fuzzer / name).write_bytes(content)


def safetensors(folder):
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = file.read(struct.unpack("<Q", file.read(8))[0])
        data_bytes = path.stat().st_size - 8 - len(header)
        write("safetensors", f"{folder.name}-{path.stem}", b"\0" + struct.pack("<Q", 2 * data_bytes) + header)


def small_safetensors():
    """A whole file, with data: one tensor a type."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for dtype, size in {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}.items():
        begin = len(data)
        data += bytes(range(6 * size))
        header[dtype.lower()] = {"dtype": dtype, "shape": [2, 3], "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    write("safetensors", "small", b"\1" + struct.pack("<Q", len(text)) + text + data)


def long_names():
    """An unknown key, and an unknown type, in a tensor: both names as long as errors get, four characters a byte."""
    name = "\x7f" * 200
    for case, entry in {"key": {name: 1}, "dtype": {"dtype": name}}.items():
        text = json.dumps({name: entry}).encode()
        write("safetensors", "long-" + case, b"\0" + struct.pack("<Q", 0) + text)


def gguf():
    for path in (golden / "gguf").glob("*.gguf"):
        write("gguf", path.name, path.read_bytes())


def config(folder):
    """The JSON files of a model's folder in config_fuzz.cc's order, parted by a 0x1e byte."""
    modules = [{"idx": i, "name": str(i), "path": p, "type": "sentence_transformers.models." + t}
               for i, (p, t) in enumerate([("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")])]
    pooling = {f"pooling_mode_{mode}": mode == "mean_tokens" for mode in ("cls_token", "mean_tokens", "max_tokens")}
    config = json.loads((folder / "config.json").read_bytes())
    dense = {"in_features": config.get("hidden_size", config.get("dim")), "out_features": 32, "bias": True,
             "activation_function": "torch.nn.modules.activation.Tanh"}
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    parts = [json.dumps(config).encode()]
    parts += [json.dumps(x).encode() for x in (modules, pooling, {"max_seq_length": 64}, dense, prompts, {"model_max_length": 48})]
    write("config", folder.name, b"\x1e".join(parts))


def tokenizer(folder):
    text = (folder / "tokenizer.json").read_bytes()
    write("tokenizer", folder.name, text)
    small = json.loads(text)
    vocabulary = small["model"]["vocab"]
    small["model"]["vocab"] = {token: id for token, id in vocabulary.items() if id < 64}
    write("tokenizer", folder.name + "-small", json.dumps(small).encode())


shutil.rmtree(out, ignore_errors=True)
for folder in sorted(golden.glob("bert*")):
    safetensors(folder)
for folder in sorted([*golden.glob("*bert*"), golden / "mpnet", golden / "electra"]):
    config(folder)
small_safetensors()
long_names()
gguf()
tokenizer(golden / "bert")
