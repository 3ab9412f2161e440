// Task: what a checkpoint was trained to answer, beside its hidden states.
#ifndef ATTND_CORE_MODEL_TASK_H_
#define ATTND_CORE_MODEL_TASK_H_

namespace attnd {

// kEmbed: no head. kClassify: one row of labels a text; with one label the model is a reranker. kTokenClassify: one row
// of labels a token. kFillMask: one row of the vocabulary a token. kGenerate: a decoder.
enum class Task { kEmbed, kClassify, kTokenClassify, kFillMask, kGenerate };

// What makes scores of a classifier's logits. kSingleLabel: softmax. kMultiLabel: sigmoid. kRegression: nothing.
enum class ProblemType { kSingleLabel, kMultiLabel, kRegression };

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_TASK_H_
