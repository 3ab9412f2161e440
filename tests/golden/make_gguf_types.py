"""tests/golden/gguf/types.*: one tensor of each GGUF type, and what the numpy dequantisers of the Python package gguf make of
it. usage: make_gguf_types.py OUT SEED"""
import sys

import gguf
import numpy as np
from safetensors.numpy import save_file

out, rng = sys.argv[1], np.random.default_rng(int(sys.argv[2]))
ROWS, COLUMNS = 2, 512
T = gguf.GGMLQuantizationType


def with_scales(raw, block, places):
    """Random bytes as blocks, with sane f16 scales where the type has them."""
    blocks = raw.reshape(-1, block)
    for place in places:
        blocks[:, place:place + 2] = rng.normal(0, 0.1, len(blocks)).astype(np.float16).view(np.uint8).reshape(-1, 2)
    return blocks.reshape(raw.shape)


SCALES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
writer = gguf.GGUFWriter(out + "/types.gguf", "llama")
writer.add_uint8("test.u8", 200)
writer.add_int8("test.i8", -100)
writer.add_uint16("test.u16", 60000)
writer.add_int16("test.i16", -30000)
writer.add_uint32("test.u32", 4000000000)
writer.add_int32("test.i32", -2000000000)
writer.add_uint64("test.u64", 1 << 40)
writer.add_int64("test.i64", -(1 << 40))
writer.add_float32("test.f32", 0.5)
writer.add_float64("test.f64", -0.25)
writer.add_bool("test.bool", True)
writer.add_string("test.string", "zażółć")
writer.add_array("test.strings", ["a", "", "łódź"])
writer.add_array("test.ints", [1, -2, 3])
writer.add_array("test.floats", [0.5, -1.5])
expected = {}
for kind in [T.F32, T.F16, T.BF16, *SCALES]:
    block, size = gguf.GGML_QUANT_SIZES[kind]
    if kind in SCALES:
        raw = with_scales(rng.integers(0, 256, (ROWS, COLUMNS // block * size), dtype=np.uint8), size, SCALES[kind])
    else:
        raw = gguf.quants.quantize(rng.normal(0, 1, (ROWS, COLUMNS)).astype(np.float32), kind)
    expected[kind.name] = gguf.quants.dequantize(raw, kind).astype(np.float32).reshape(ROWS, COLUMNS).copy()
    writer.add_tensor(kind.name, raw, raw_dtype=kind)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
save_file(expected, out + "/types.safetensors")
