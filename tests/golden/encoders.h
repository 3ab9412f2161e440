// The encoders among the golden models.
#ifndef ATTND_TESTS_GOLDEN_ENCODERS_H_
#define ATTND_TESTS_GOLDEN_ENCODERS_H_

namespace attnd::golden {

inline constexpr const char* kEncoders[] = {
    "albert",         "albert-classify",     "albert-mlm",     "bert",           "bert-classify", "bert-mlm",
    "bert-token",     "camembert",           "distilbert",     "distilbert-mlm", "electra",       "electra-mlm",
    "modernbert",     "modernbert-classify", "modernbert-mlm", "mpnet",          "mpnet-mlm",     "roberta",
    "roberta-rerank", "xlm-roberta",
};

}  // namespace attnd::golden

#endif  // ATTND_TESTS_GOLDEN_ENCODERS_H_
