#include "client/maps.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "client/format.h"

namespace attnd {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{16} << 30;

// Each row or column by the tokens [begin, end) it stands for: a token's own spelling, or the text of several.
std::vector<std::string> Labels(const google::protobuf::RepeatedField<int32_t>& begins,
                                const google::protobuf::RepeatedField<int32_t>& ends, bool word_level, int count,
                                const std::vector<v1::Token>& tokens, const std::string& text) {
  std::vector<std::string> labels(std::max(0, count), "?");
  for (int i = 0; i < std::min({count, begins.size(), ends.size()}); ++i) {
    if (begins[i] < 0 || begins[i] >= ends[i] || ends[i] > static_cast<int>(tokens.size())) continue;
    const v1::Token &first = tokens[begins[i]], &last = tokens[ends[i] - 1];
    const bool spelled = word_level && !first.special() && first.begin() < last.end() && last.end() <= text.size();
    labels[i] = spelled ? text.substr(first.begin(), last.end() - first.begin()) : TokenLabel(first);
  }
  return labels;
}

}  // namespace

float Matrix::Maximum() const {
  return values.empty() ? 0 : std::max(0.0F, *std::max_element(values.begin(), values.end()));
}

const HeadStatistics* AttentionMaps::Statistics(int layer, int head) const {
  for (const auto& statistic : statistics) {
    if (statistic.layer == layer && statistic.head == head) return &statistic;
  }
  return nullptr;
}

std::string MapName(int layer, int head, v1::AttentionReduce reduce) {
  const char* how = reduce == v1::ATTENTION_REDUCE_HEAD_MAX ? "max" : "mean";
  if (reduce == v1::ATTENTION_REDUCE_ROLLOUT) return "rollout";
  if (layer < 0 && head < 0) return "mean";
  if (head < 0) return absl::StrCat("L", layer, " ", how);
  if (layer < 0) return absl::StrCat("H", head, " ", how);
  return absl::StrCat("L", layer, "H", head);
}

std::string TokenLabel(const v1::Token& token) {
  absl::string_view text = token.text();
  if (!token.special()) {
    for (absl::string_view mark : {"Ġ", "▁"}) {
      if (text.size() > mark.size() && absl::ConsumePrefix(&text, mark)) break;
    }
  }
  return std::string(text);
}

std::vector<Word> WordsOf(const std::vector<v1::Token>& tokens, const std::string& text) {
  std::vector<Word> words;
  for (int i = 0; i < static_cast<int>(tokens.size()); ++i) {
    const auto& token = tokens[i];
    const bool continues = i > 0 && !token.special() && token.word() >= 0 && !tokens[i - 1].special() &&
                           tokens[i - 1].word() == token.word();
    if (!continues) words.push_back({TokenLabel(token), i, i});
    Word& word = words.back();
    word.end_token = i + 1;
    const size_t begin = tokens[word.begin_token].begin();
    if (!token.special() && begin < token.end() && token.end() <= text.size()) {
      // A decoder's tokens begin with their space.
      word.text = std::string(absl::StripAsciiWhitespace(absl::string_view(text).substr(begin, token.end() - begin)));
    }
  }
  return words;
}

absl::StatusOr<Word> FindWord(const std::vector<Word>& words, const std::string& wanted) {
  int number = 0;
  if (wanted.size() > 1 && wanted[0] == '#' && absl::SimpleAtoi(wanted.substr(1), &number)) {
    for (const Word& word : words) {
      if (number >= word.begin_token && number < word.end_token) return Word{word.text, number, number + 1};
    }
  }
  for (const Word& word : words) {
    if (absl::EqualsIgnoreCase(word.text, wanted)) return word;
  }
  std::vector<std::string> known;
  for (const Word& word : words) {
    if (known.size() == 20) {
      known.push_back("…");
      break;
    }
    known.push_back(Fit(word.text, 24));
  }
  return absl::NotFoundError(
      absl::StrCat("no word '", Fit(wanted, 40), "' in the text; there are: ", absl::StrJoin(known, " ")));
}

absl::Status DecodeMaps(const v1::AttentionHeader& header, const std::string& data, const std::string& text,
                        AttentionMaps& maps) {
  const int count = header.map_layers_size();
  const uint64_t rows = std::max(0, header.rows()), columns = std::max(0, header.columns());
  const uint64_t map_bytes = rows * columns * sizeof(float);
  uint64_t offset = 0, bytes = 0;
  for (const auto& part : header.parts()) {
    if (part.kind() != v1::AttentionPart::KIND_VALUES) continue;
    offset = part.offset();
    bytes = part.bytes();
  }
  if (header.layout() != v1::ATTENTION_LAYOUT_DENSE || header.dtype() != v1::ATTENTION_DTYPE_F32 ||
      header.map_heads_size() != count || bytes != map_bytes * count || data.size() != header.total_bytes() ||
      offset > data.size() || bytes > data.size() - offset) {
    return absl::DataLossError(
        absl::StrCat("the server sent ", data.size(), " bytes for ", count, " maps of ", rows, " x ", columns, " f32"));
  }
  for (int m = 0; m < count; ++m) {
    HeadMap map{header.map_layers(m), header.map_heads(m), {}};
    map.weights = {static_cast<int>(rows), static_cast<int>(columns), std::vector<float>(rows * columns)};
    std::memcpy(map.weights.values.data(), data.data() + offset + m * map_bytes, map_bytes);
    maps.maps.push_back(std::move(map));
  }
  maps.row_begins.assign(header.row_begins().begin(), header.row_begins().end());
  maps.row_begins.resize(rows, -1);
  maps.row_labels =
      Labels(header.row_begins(), header.row_ends(), header.word_level(), header.rows(), maps.tokens, text);
  maps.column_labels =
      Labels(header.column_begins(), header.column_ends(), header.word_level(), header.columns(), maps.tokens, text);
  return absl::OkStatus();
}

std::vector<HeadStatistics> DecodeStatistics(const v1::AttentionStatistics& s) {
  const int count = std::min(s.layers_size(), s.heads_size());
  const double most = s.tokens() > 1 ? std::log(static_cast<double>(s.tokens())) : 0;
  const auto value = [](const google::protobuf::RepeatedField<float>& list, int i) {
    return i < list.size() ? list[i] : 0.0F;
  };
  std::vector<HeadStatistics> heads(count);
  for (int i = 0; i < count; ++i) {
    HeadStatistics& head = heads[i];
    head.layer = s.layers(i);
    head.head = s.heads(i);
    head.entropy = value(s.entropy(), i);
    head.normalized_entropy = most > 0 ? static_cast<float>(head.entropy / most) : 0;
    head.confidence = value(s.confidence(), i);
    head.distance = value(s.distance(), i);
    head.self = value(s.self(), i);
    head.previous = value(s.previous(), i);
    head.next = value(s.next(), i);
    head.special_mass = value(s.special_mass(), i);
    head.induction = value(s.induction(), i);
    head.duplicate = value(s.duplicate(), i);
    const int64_t begin = static_cast<int64_t>(i) * s.tokens(), end = begin + s.tokens();
    if (end <= s.received_mass_size()) {
      head.received_mass.assign(s.received_mass().begin() + begin, s.received_mass().begin() + end);
    }
  }
  return heads;
}

void AddStatistics(v1::AttentionSpec& spec) {
  for (const auto statistic :
       {v1::ATTENTION_STATISTIC_ENTROPY, v1::ATTENTION_STATISTIC_CONFIDENCE, v1::ATTENTION_STATISTIC_DISTANCE,
        v1::ATTENTION_STATISTIC_SELF, v1::ATTENTION_STATISTIC_PREVIOUS, v1::ATTENTION_STATISTIC_NEXT,
        v1::ATTENTION_STATISTIC_SPECIAL_MASS, v1::ATTENTION_STATISTIC_RECEIVED_MASS, v1::ATTENTION_STATISTIC_INDUCTION,
        v1::ATTENTION_STATISTIC_DUPLICATE}) {
    spec.add_statistics(statistic);
  }
  spec.set_statistics_select(spec.select());
}

absl::StatusOr<AttentionMaps> Attend(const Client& client, const v1::AttendRequest& request, grpc::Status& status) {
  grpc::ClientContext context;
  client.Prepare(context);
  auto reader = client.stub().Attend(&context, request);
  AttentionMaps maps;
  v1::AttentionHeader header;
  std::string data;
  v1::AttendFrame frame;
  while (reader->Read(&frame)) {
    if (frame.has_header()) {
      header = frame.header().attention();
      maps.model = frame.header().model();
      maps.truncated = frame.header().truncated();
      maps.tokens.assign(frame.header().tokens().begin(), frame.header().tokens().end());
      data.reserve(std::min(header.total_bytes(), kMaxBytes));
    } else if (frame.has_data()) {
      if (frame.data().offset() != data.size()) return absl::DataLossError("a frame of the maps is missing");
      data.append(frame.data().data());
    } else if (frame.has_trailer()) {
      maps.statistics = DecodeStatistics(frame.trailer().statistics());
      maps.timings = frame.trailer().timings();
    }
  }
  status = reader->Finish();
  if (!status.ok()) {
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  }
  if (const absl::Status decoded = DecodeMaps(header, data, request.text(), maps); !decoded.ok()) return decoded;
  return maps;
}

}  // namespace attnd
