#include "client/render/embeddings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "client/format.h"
#include "client/npy.h"
#include "client/render/palette.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

class JsonlWriter : public EmbeddingWriter {
 public:
  explicit JsonlWriter(std::ostream& out) : out_(out) {}

  void Add(const Embedded& embedded) override {
    if (!embedded.status.ok()) {
      const nlohmann::json line = {
          {"id", embedded.source.number},
          {"error", StatusMessage(embedded.status.error_code(), embedded.status.error_message())}};
      out_ << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
      return;
    }
    line_ = absl::StrCat("{\"id\":", embedded.source.number, ",\"tokens\":", embedded.tokens,
                         embedded.truncated ? ",\"truncated\":true" : "", ",\"embedding\":[");
    for (size_t i = 0; i < embedded.vector.size(); ++i) {
      char digits[32];  // the shortest that reads back to the same float
      const auto end = std::to_chars(digits, digits + sizeof(digits), embedded.vector[i]).ptr;
      absl::StrAppend(&line_, i == 0 ? "" : ",", absl::string_view(digits, end - digits));
    }
    out_ << line_ << "]}\n";
  }
  void Finish(const EmbedTotals& /*totals*/) override {}

 private:
  std::ostream& out_;
  std::string line_;
};

class TableWriter : public EmbeddingWriter {
 public:
  TableWriter(std::ostream& out, const Io& io) : out_(out), io_(io) {}

  void Add(const Embedded& embedded) override {
    if (embedded.source.number == 1) {
      out_ << Bold("    #  tokens  vector                              text", io_.colors) << "\n";
    }
    if (!embedded.status.ok()) {
      out_ << absl::StrFormat("%5d  %6s  %-36s", embedded.source.number, "-", "failed");
    } else {
      std::string values;
      for (size_t i = 0; i < std::min<size_t>(4, embedded.vector.size()); ++i) {
        absl::StrAppendFormat(&values, "%7.3f ", embedded.vector[i]);
      }
      absl::StrAppend(&values, "… (", embedded.vector.size(), ")");
      out_ << absl::StrFormat("%5d  %6d  %s", embedded.source.number, embedded.tokens, PadRight(values, 40).substr(1));
    }
    out_ << Fit(embedded.source.text, std::max(10, io_.columns - 54)) << "\n";
  }
  void Finish(const EmbedTotals& /*totals*/) override {}

 private:
  std::ostream& out_;
  const Io& io_;
};

class NpyWriter : public EmbeddingWriter {
 public:
  NpyWriter(std::ostream& out, bool seekable) : out_(out), seekable_(seekable) {}

  void Add(const Embedded& embedded) override {
    ++rows_;
    if (!embedded.status.ok() && dimensions_ == 0) {
      ++failed_first_;  // how long its row is shows later
      return;
    }
    if (dimensions_ == 0) {
      dimensions_ = embedded.vector.size();
      if (seekable_) out_ << NpyHeader({0, static_cast<int64_t>(dimensions_)});
      for (; failed_first_ > 0; --failed_first_) Row({});
    }
    Row(embedded.vector);
  }

  void Finish(const EmbedTotals& /*totals*/) override {
    const std::string header = NpyHeader({dimensions_ == 0 ? 0 : rows_, static_cast<int64_t>(dimensions_)});
    if (seekable_) out_.seekp(0);
    out_ << header << kept_;
  }

 private:
  void Row(std::vector<float> values) {
    values.resize(dimensions_, std::numeric_limits<float>::quiet_NaN());
    const auto* bytes = reinterpret_cast<const char*>(values.data());
    const auto size = static_cast<std::streamsize>(values.size() * sizeof(float));
    seekable_ ? static_cast<void>(out_.write(bytes, size)) : static_cast<void>(kept_.append(bytes, size));
  }

  std::ostream& out_;
  const bool seekable_;
  std::string kept_;
  size_t dimensions_ = 0;
  int64_t rows_ = 0;
  int failed_first_ = 0;
};

class SimilarityWriter : public EmbeddingWriter {
 public:
  SimilarityWriter(std::ostream& out, const Io& io) : out_(out), io_(io) {}

  void Add(const Embedded& embedded) override {
    if (!embedded.status.ok()) return;
    texts_.push_back(embedded.source.text);
    vectors_.push_back(embedded.vector);
  }
  void Finish(const EmbedTotals& /*totals*/) override { out_ << SimilarityTable(texts_, Cosines(vectors_), io_); }

 private:
  std::ostream& out_;
  const Io& io_;
  std::vector<std::string> texts_;
  std::vector<std::vector<float>> vectors_;
};

}  // namespace

std::unique_ptr<EmbeddingWriter> MakeJsonlWriter(std::ostream& out) { return std::make_unique<JsonlWriter>(out); }
std::unique_ptr<EmbeddingWriter> MakeTableWriter(std::ostream& out, const Io& io) {
  return std::make_unique<TableWriter>(out, io);
}
std::unique_ptr<EmbeddingWriter> MakeNpyWriter(std::ostream& out, bool seekable) {
  return std::make_unique<NpyWriter>(out, seekable);
}
std::unique_ptr<EmbeddingWriter> MakeSimilarityWriter(std::ostream& out, const Io& io) {
  return std::make_unique<SimilarityWriter>(out, io);
}

std::vector<std::vector<double>> Cosines(const std::vector<std::vector<float>>& rows) {
  std::vector<double> lengths;
  const auto dot = [](const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) sum += static_cast<double>(a[i]) * b[i];
    return sum;
  };
  for (const auto& row : rows) lengths.push_back(std::sqrt(dot(row, row)));
  std::vector<std::vector<double>> cosines(rows.size(), std::vector<double>(rows.size()));
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < rows.size(); ++j) {
      const double lengths_product = lengths[i] * lengths[j];
      cosines[i][j] = lengths_product > 0 ? dot(rows[i], rows[j]) / lengths_product : 0;
    }
  }
  return cosines;
}

std::string SimilarityTable(const std::vector<std::string>& texts, const std::vector<std::vector<double>>& cosines,
                            const Io& io) {
  constexpr int kCell = 7;
  const int count = static_cast<int>(texts.size());
  const int digits = static_cast<int>(absl::StrCat(count).size());
  int longest = 0;
  for (const auto& text : texts) longest = std::max(longest, Width(Fit(text, 60)));
  const int label = std::clamp(io.columns - digits - 2 - count * kCell, 10, std::max(10, std::min(longest, 40)));
  std::string out(digits + 1 + label + 1, ' ');
  for (int i = 0; i < count; ++i) absl::StrAppend(&out, PadLeft(absl::StrCat(i + 1), kCell - 1), " ");
  out.resize(out.find_last_not_of(' ') + 1);
  out += "\n";
  for (int i = 0; i < count; ++i) {
    absl::StrAppendFormat(&out, "%*d %s ", digits, i + 1, PadRight(texts[i], label));
    for (int j = 0; j < count; ++j) {
      const std::string cell = absl::StrFormat("%6.3f", cosines[i][j]);
      // Coloured, cells touch: the picture is a matrix. Otherwise a space parts them.
      if (io.colors == Colors::kNone) {
        absl::StrAppend(&out, cell, j + 1 == count ? "" : " ");
      } else {
        absl::StrAppend(&out, OnLevel(cell + " ", std::max(0.0, cosines[i][j]) * 0.9, io.colors));
      }
    }
    out += "\n";
  }
  return out;
}

}  // namespace attnd
