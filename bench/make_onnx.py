"""MiniLM as the fused f32 graph that onnxruntime's transformer optimiser makes of a BERT: EmbedLayerNormalization, Attention,
SkipLayerNormalization, BiasGelu. Built straight from model.safetensors, so that no PyTorch is needed.
usage: make_onnx.py MODEL_FOLDER OUT.onnx"""
import json
import struct
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def load(path):
    with open(path, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(size))
        data = f.read()
    return {
        name: np.frombuffer(data[t["data_offsets"][0]:t["data_offsets"][1]], np.float32).reshape(t["shape"])
        for name, t in header.items() if name != "__metadata__" and t["dtype"] == "F32"
    }


def build(folder):
    config = json.load(open(folder + "/config.json"))
    w = load(folder + "/model.safetensors")
    eps = config["layer_norm_eps"]
    nodes, constants = [], []

    def const(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(op, inputs, outputs, domain="", **attributes):
        nodes.append(helper.make_node(op, inputs, outputs, domain=domain, name=outputs[0], **attributes))
        return outputs[0]

    e = "embeddings."
    ms = "com.microsoft"
    node("EmbedLayerNormalization",
         ["input_ids", "token_type_ids", const("word", w[e + "word_embeddings.weight"]),
          const("position", w[e + "position_embeddings.weight"]), const("type", w[e + "token_type_embeddings.weight"]),
          const("e_gamma", w[e + "LayerNorm.weight"]), const("e_beta", w[e + "LayerNorm.bias"]), "attention_mask"],
         ["x0", "mask_index"], ms, epsilon=eps)
    x = "x0"
    for l in range(config["num_hidden_layers"]):
        p = f"encoder.layer.{l}."
        s = p + "attention.self."
        qkv = np.concatenate([w[s + n + ".weight"].T for n in ("query", "key", "value")], axis=1)
        bias = np.concatenate([w[s + n + ".bias"] for n in ("query", "key", "value")])
        a = node("Attention", [x, const(f"qkv{l}", qkv), const(f"qkv_b{l}", bias), "mask_index"], [f"a{l}"], ms,
                 num_heads=config["num_attention_heads"])
        a = node("MatMul", [a, const(f"ao{l}", w[p + "attention.output.dense.weight"].T)], [f"am{l}"])
        a = node("SkipLayerNormalization",
                 [a, x, const(f"an_g{l}", w[p + "attention.output.LayerNorm.weight"]),
                  const(f"an_b{l}", w[p + "attention.output.LayerNorm.bias"]),
                  const(f"ao_b{l}", w[p + "attention.output.dense.bias"])], [f"an{l}"], ms, epsilon=eps)
        h = node("MatMul", [a, const(f"w1{l}", w[p + "intermediate.dense.weight"].T)], [f"h{l}"])
        h = node("BiasGelu", [h, const(f"b1{l}", w[p + "intermediate.dense.bias"])], [f"g{l}"], ms)
        h = node("MatMul", [h, const(f"w2{l}", w[p + "output.dense.weight"].T)], [f"o{l}"])
        x = node("SkipLayerNormalization",
                 [h, a, const(f"on_g{l}", w[p + "output.LayerNorm.weight"]),
                  const(f"on_b{l}", w[p + "output.LayerNorm.bias"]), const(f"b2{l}", w[p + "output.dense.bias"])],
                 [f"x{l + 1}"], ms, epsilon=eps)
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT32, ["b", "s"])
              for n in ("input_ids", "token_type_ids", "attention_mask")]
    output = helper.make_tensor_value_info(x, TensorProto.FLOAT, ["b", "s", config["hidden_size"]])
    graph = helper.make_graph(nodes, "bert", inputs, [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(ms, 1)], ir_version=9)


if __name__ == "__main__":
    onnx.save(build(sys.argv[1]), sys.argv[2])
