#include "core/model/decoder_names.h"

namespace attnd {
namespace {

constexpr DecoderNames kLlama = {"model.embed_tokens",
                                 "",
                                 "model.norm",
                                 "lm_head",
                                 "model.layers.#.input_layernorm",
                                 "model.layers.#.self_attn.q_proj",
                                 "model.layers.#.self_attn.k_proj",
                                 "model.layers.#.self_attn.v_proj",
                                 "model.layers.#.self_attn.qkv_proj",
                                 "model.layers.#.self_attn.q_norm",
                                 "model.layers.#.self_attn.k_norm",
                                 "model.layers.#.self_attn.o_proj",
                                 "",
                                 "model.layers.#.post_attention_layernorm",
                                 "model.layers.#.mlp.gate_proj",
                                 "model.layers.#.mlp.up_proj",
                                 "model.layers.#.mlp.gate_up_proj",
                                 "model.layers.#.mlp.down_proj",
                                 ""};
constexpr DecoderNames kGemma3 = {"model.embed_tokens",
                                  "",
                                  "model.norm",
                                  "lm_head",
                                  "model.layers.#.input_layernorm",
                                  "model.layers.#.self_attn.q_proj",
                                  "model.layers.#.self_attn.k_proj",
                                  "model.layers.#.self_attn.v_proj",
                                  "",
                                  "model.layers.#.self_attn.q_norm",
                                  "model.layers.#.self_attn.k_norm",
                                  "model.layers.#.self_attn.o_proj",
                                  "model.layers.#.post_attention_layernorm",
                                  "model.layers.#.pre_feedforward_layernorm",
                                  "model.layers.#.mlp.gate_proj",
                                  "model.layers.#.mlp.up_proj",
                                  "",
                                  "model.layers.#.mlp.down_proj",
                                  "model.layers.#.post_feedforward_layernorm"};
constexpr DecoderNames kGpt2 = {"transformer.wte",
                                "transformer.wpe",
                                "transformer.ln_f",
                                "lm_head",
                                "transformer.h.#.ln_1",
                                "",
                                "",
                                "",
                                "transformer.h.#.attn.c_attn",
                                "",
                                "",
                                "transformer.h.#.attn.c_proj",
                                "",
                                "transformer.h.#.ln_2",
                                "",
                                "transformer.h.#.mlp.c_fc",
                                "",
                                "transformer.h.#.mlp.c_proj",
                                ""};
constexpr DecoderNames kGptNeoX = {"gpt_neox.embed_in",
                                   "",
                                   "gpt_neox.final_layer_norm",
                                   "embed_out",
                                   "gpt_neox.layers.#.input_layernorm",
                                   "",
                                   "",
                                   "",
                                   "gpt_neox.layers.#.attention.query_key_value",
                                   "",
                                   "",
                                   "gpt_neox.layers.#.attention.dense",
                                   "",
                                   "gpt_neox.layers.#.post_attention_layernorm",
                                   "",
                                   "gpt_neox.layers.#.mlp.dense_h_to_4h",
                                   "",
                                   "gpt_neox.layers.#.mlp.dense_4h_to_h",
                                   ""};
constexpr DecoderNames kGguf = {"token_embd",
                                "position_embd",
                                "output_norm",
                                "output",
                                "blk.#.attn_norm",
                                "blk.#.attn_q",
                                "blk.#.attn_k",
                                "blk.#.attn_v",
                                "blk.#.attn_qkv",
                                "blk.#.attn_q_norm",
                                "blk.#.attn_k_norm",
                                "blk.#.attn_output",
                                "blk.#.post_attention_norm",
                                "blk.#.ffn_norm",
                                "blk.#.ffn_gate",
                                "blk.#.ffn_up",
                                "blk.#.ffn_up",
                                "blk.#.ffn_down",
                                "blk.#.post_ffw_norm"};

}  // namespace

const DecoderNames& DecoderNamesOf(const std::string& model_type, CheckpointNames names) {
  if (names == CheckpointNames::kGguf) return kGguf;
  if (model_type == "gpt2") return kGpt2;
  if (model_type == "gpt_neox") return kGptNeoX;
  if (model_type == "gemma3_text") return kGemma3;
  return kLlama;
}

}  // namespace attnd
