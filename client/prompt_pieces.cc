#include "client/prompt_pieces.h"

#include <algorithm>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/input.h"

namespace attnd {
namespace {

using Tokens = google::protobuf::RepeatedPtrField<v1::Token>;

// How many bytes at the end of `text` begin a character and do not end it.
size_t OpenBytes(absl::string_view text) {
  for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (byte < 0x80) return 0;
    if (byte < 0xC0) continue;
    return back < (byte >= 0xF0 ? 4U : byte >= 0xE0 ? 3U : 2U) ? back : 0;
  }
  return 0;
}

std::string Utf8(uint32_t code) {
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))};
}

// GPT-2's table: bytes that print stand for themselves, the others for the characters from U+0100 on. By character.
const std::map<std::string, char>& ByteOfCharacter() {
  static const std::map<std::string, char> table = [] {
    std::map<std::string, char> map;
    uint32_t next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const bool prints = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      map.emplace(Utf8(prints ? byte : next++), static_cast<char>(byte));
    }
    return map;
  }();
  return table;
}

// A byte-level token's bytes; its spelling where that is of another kind.
std::string FromByteLevel(const std::string& spelling) {
  std::string bytes;
  for (size_t i = 0; i < spelling.size();) {
    const size_t length = static_cast<unsigned char>(spelling[i]) < 0x80 ? 1 : 2;
    const auto found = ByteOfCharacter().find(spelling.substr(i, length));
    if (found == ByteOfCharacter().end()) return spelling;
    bytes.push_back(found->second);
    i += length;
  }
  return bytes;
}

// SentencePiece: "▁" is a space, "<0x0A>" a byte.
std::string FromSentencePiece(const std::string& spelling) {
  int byte = 0;
  if (spelling.size() == 6 && absl::StartsWith(spelling, "<0x") && absl::SimpleHexAtoi(spelling.substr(3, 2), &byte)) {
    return {static_cast<char>(byte)};
  }
  std::string text;
  for (size_t i = 0; i < spelling.size();) {
    const bool mark = spelling.compare(i, 3, "▁") == 0;
    absl::StrAppend(&text, mark ? " " : spelling.substr(i, 1));
    i += mark ? 3 : 1;
  }
  return text;
}

std::vector<std::string> BySpelling(const Tokens& tokens) {
  const auto any = [&](absl::string_view mark) {
    return std::any_of(tokens.begin(), tokens.end(), [&](const v1::Token& token) {
      return !token.special() && absl::StrContains(token.text(), mark);
    });
  };
  const bool pieces = any("▁"), byte_level = !pieces && (any("Ġ") || any("Ċ"));
  std::vector<std::string> texts;
  for (const v1::Token& token : tokens) {
    texts.push_back(token.special() ? token.text()
                    : pieces        ? FromSentencePiece(token.text())
                    : byte_level    ? FromByteLevel(token.text())
                                    : token.text());
  }
  return texts;
}

// A token's bytes, with those before it that belong to no token.
std::vector<std::string> ByText(const Tokens& tokens, const std::string& text) {
  std::vector<std::string> texts;
  size_t done = 0;
  for (const v1::Token& token : tokens) {
    const size_t end = std::min<size_t>(token.end(), text.size());
    if (token.special() && token.begin() == token.end()) {
      texts.push_back(token.text());
    } else {
      texts.push_back(end > done ? text.substr(done, end - done) : "");
      done = std::max(done, end);
    }
  }
  if (!texts.empty() && done < text.size()) texts.back() += text.substr(done);
  return texts;
}

}  // namespace

std::vector<std::string> PromptPieces(const Tokens& tokens, const std::string* text) {
  std::vector<std::string> pieces = text != nullptr ? ByText(tokens, *text) : BySpelling(tokens);
  // A character that several tokens share goes to the last of them.
  std::string open;
  for (std::string& piece : pieces) {
    piece = open + piece;
    const size_t held = OpenBytes(piece);
    open = piece.substr(piece.size() - held);
    piece.resize(piece.size() - held);
    if (!IsUtf8(piece)) piece = "�";
  }
  return pieces;
}

}  // namespace attnd
