"""tests/golden/gguf/tokenizers.json: vocabularies as GGUF metadata holds them, and the ids that the libraries they come from give.
Byte-level ones are trained and encoded by Hugging Face tokenizers with the pre-tokenizers that the models of that name publish; the
llama kind by sentencepiece. usage: make_gguf_tokenizers.py OUT"""
import io
import json
import re
import sys

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

CORPUS = []
for name in ("science", "wisdom", "work", "people", "literature"):
    text = open("/usr/share/games/fortunes/" + name, encoding="utf8", errors="replace").read()
    CORPUS += [re.sub(r"\s+", " ", x).strip() for x in text.split("\n%\n") if len(x) > 20]
TEXTS = ["Hello, world!", "The cat sat on the mat because it was tired.", "Zażółć gęślą jaźń – naïve café", "東京は日本の首都です。", "🙂🚀 emoji  and   spaces",
         "line one\nline two\n\n\ttab", "I'LL don't can't we've THEY'RE", "1234567890 3.14159 -42 1e-9 2024-11-25", "def f(x):\n    return x**2  # comment\n",
         " leading and trailing ", "", "a", "x<|end|>y", "...!!!???", "ÀÉÎÕÜ e\u0301 ﬁ"] + CORPUS[:20]

B = pre_tokenizers.ByteLevel
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PRE = {
    "gpt-2": B(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), B(add_prefix_space=False)]),
    "llama-bpe": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), B(add_prefix_space=False, use_regex=False)]),
    "qwen2": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")), "isolated"),
                                      B(add_prefix_space=False, use_regex=False)]),
}
out = []
for pre, splitter in PRE.items():
    t = Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    t.pre_tokenizer, t.decoder = splitter, decoders.ByteLevel()
    t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, special_tokens=["<|end|>"], initial_alphabet=B.alphabet()))
    model = json.loads(t.to_str())["model"]
    tokens = [token for token, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
    out.append({"model": "gpt2", "pre": pre, "tokens": tokens, "merges": [" ".join(m) if isinstance(m, list) else m for m in model["merges"]],
                "types": [3 if token == "<|end|>" else 1 for token in tokens], "cases": [[text, t.encode(text).ids] for text in TEXTS]})
for prefix in (True, False):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=model, vocab_size=600, model_type="bpe", byte_fallback=True,
                                             normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=prefix,
                                             user_defined_symbols=["<|end|>"], minloglevel=2)
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    n = sp.get_piece_size()
    types = [2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 4 if sp.id_to_piece(i) == "<|end|>" else 1 for i in range(n)]
    # After a token of its own the rest of a text is no new beginning for sentencepiece, but is for the others: left out.
    out.append({"model": "llama", "pre": "", "tokens": [sp.id_to_piece(i) for i in range(n)], "scores": [sp.get_score(i) for i in range(n)], "types": types,
                "add_space_prefix": prefix, "bos": sp.bos_id(), "cases": [[text, sp.encode(text)] for text in TEXTS if "<|" not in text]})
json.dump(out, open(sys.argv[1] + "/tokenizers.json", "w"), ensure_ascii=False, separators=(",", ":"))
print([(k["pre"] or "llama", len(k["tokens"]), len(k["cases"])) for k in out])
