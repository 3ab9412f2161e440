// AttentionMaps: what an Attend call brought, decoded, with the words its rows and columns stand for.
#ifndef ATTND_CLIENT_MAPS_H_
#define ATTND_CLIENT_MAPS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/attention.pb.h"
#include "client/channel.h"

namespace attnd {

struct Matrix {
  int rows = 0;
  int columns = 0;
  std::vector<float> values;  // [rows, columns]

  float at(int row, int column) const { return values[static_cast<size_t>(row) * columns + column]; }
  float& at(int row, int column) { return values[static_cast<size_t>(row) * columns + column]; }
  float Maximum() const;  // 0 when empty
};

struct HeadMap {
  int layer = 0;  // -1: reduced over the layers
  int head = 0;   // -1: reduced over the heads
  Matrix weights;
};

// Of one head over all rows of the text.
struct HeadStatistics {
  int layer = 0;
  int head = 0;
  float entropy = 0;             // nats
  float normalized_entropy = 0;  // entropy / ln(tokens): 0 to 1
  float confidence = 0;          // the largest weight of a row
  float distance = 0;            // tokens between query and key
  float self = 0;                // weight on the token itself, the ones beside it, special tokens
  float previous = 0;
  float next = 0;
  float special_mass = 0;
  float induction = 0;  // weight on what followed earlier occurrences of the token, on those occurrences
  float duplicate = 0;
  std::vector<float> received_mass;  // [tokens]
};

struct AttentionMaps {
  std::string model;
  std::vector<v1::Token> tokens;
  bool truncated = false;
  std::vector<int> row_begins;             // [rows], first token that the row stands for
  std::vector<std::string> row_labels;     // [rows]
  std::vector<std::string> column_labels;  // [columns]
  std::vector<HeadMap> maps;               // all of the same shape
  std::vector<HeadStatistics> statistics;
  v1::Timings timings;

  // Of that head, or null.
  const HeadStatistics* Statistics(int layer, int head) const;
};

// "L3H5"; "L3 mean", "H5 mean", "rollout" for reduced maps.
std::string MapName(int layer, int head, v1::AttentionReduce reduce);

// A token as people read it: without the marks that vocabularies put for a space.
std::string TokenLabel(const v1::Token& token);

// The words of a text: what the request's spans say, by Token.word.
struct Word {
  std::string text;
  int begin_token = 0;
  int end_token = 0;
};
// Special tokens are words of their own; space around a word is not part of it. Token.begin and .end count bytes of
// `text`.
std::vector<Word> WordsOf(const std::vector<v1::Token>& tokens, const std::string& text);
// The first word equal to `wanted`, ASCII case aside, or the token number "#4"; kNotFound lists the words there are.
absl::StatusOr<Word> FindWord(const std::vector<Word>& words, const std::string& wanted);

// One call, all frames. The request is expected to ask for dense f32; kDataLoss where the frames do not fit together.
// `status` is the call's.
absl::StatusOr<AttentionMaps> Attend(const Client& client, const v1::AttendRequest& request, grpc::Status& status);

// Decodes dense f32 maps and their labels into `maps`, whose tokens are set; exposed for tests.
absl::Status DecodeMaps(const v1::AttentionHeader& header, const std::string& data, const std::string& text,
                        AttentionMaps& maps);

// One entry a head; lists that were not asked for leave zeros.
std::vector<HeadStatistics> DecodeStatistics(const v1::AttentionStatistics& statistics);
// Asks for all statistics that HeadStatistics holds.
void AddStatistics(v1::AttentionSpec& spec);

}  // namespace attnd

#endif  // ATTND_CLIENT_MAPS_H_
