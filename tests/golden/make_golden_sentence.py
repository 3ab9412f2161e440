"""Reference embeddings from sentence-transformers (f32) for a tiny model with every module that is supported.
usage: make_golden_sentence.py OUT SEED MODEL_FOLDER ; writes OUT/sentence: MODEL_FOLDER's encoder, Pooling (cls), Dense, Dense, Normalize, prompts"""
import json, pathlib, shutil, sys
import torch, transformers, sentence_transformers as st
from safetensors.torch import save_file
from sentence_transformers import models

out, seed, source = pathlib.Path(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
torch.manual_seed(seed)
body = models.Transformer(str(source), max_seq_length=20, model_args={"attn_implementation": "eager"})
width = body.auto_model.config.hidden_size
pooling = models.Pooling(width, pooling_mode="cls")
dense = [models.Dense(width, 48, activation_function=torch.nn.Tanh()), models.Dense(48, 40, bias=False, activation_function=torch.nn.Identity())]
model = st.SentenceTransformer(modules=[body, pooling, *dense, models.Normalize()], device="cpu",
                               prompts={"query": "a question: ", "document": "a text: "}, default_prompt_name="document").eval()
folder = out / "sentence"
shutil.rmtree(folder, ignore_errors=True)
model.save(str(folder), create_model_card=False)
texts = [case["text"] for case in json.loads((source / "golden.json").read_text())["cases"]]
tensors, cases = {}, []
for i, text in enumerate(texts):
    name = "query" if i % 2 else None  # None: the default
    tensors[f"{i}.embedding"] = torch.tensor(model.encode(text, prompt_name=name)).contiguous()
    cases.append(dict(text=text, pair=None, prompt_name=name or "document"))
save_file(tensors, str(folder / "golden.safetensors"))
note = f"sentence-transformers {st.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, f32, eager attention"
(folder / "golden.json").write_text(json.dumps(dict(arch="sentence", cases=cases, source=note), indent=1, ensure_ascii=False))
print({k: tuple(v.shape) for k, v in tensors.items()})
