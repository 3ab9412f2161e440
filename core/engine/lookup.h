// TokenLookup: a draft of what may follow a text, out of the text itself ("Inference with Reference", Yang et al.,
// 2023; "Prompt Lookup Decoding", Saxena, 2023). DraftPolicy: how much of it is worth a try.
#ifndef ATTND_CORE_ENGINE_LOOKUP_H_
#define ATTND_CORE_ENGINE_LOOKUP_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"

namespace attnd {

// Knows where the last tokens of a growing text stood before. Takes the same time for each token, however long the text
// is. Used by one thread at a time.
class TokenLookup {
 public:
  static constexpr int kShortest = 3, kLongest = 4;  // tokens that are looked for

  // Replaces `draft` by up to `most` tokens that may follow `ids`: those that followed the latest earlier place where
  // the last 4 tokens stood, or else the last 3; none unless `agreement` tokens at least are the same there. Where the
  // earlier text runs into the end, the draft goes on as a loop. `ids` begin with those of the call before.
  void Draft(absl::Span<const int32_t> ids, int most, int agreement, std::vector<int32_t>& draft);

 private:
  void Read(absl::Span<const int32_t> ids);
  int Find(absl::Span<const int32_t> ids) const;  // index of what followed; -1: nothing

  // By the last 3 and 4 tokens before: the latest index of what followed them. 0: none. Keys may collide.
  absl::flat_hash_map<uint64_t, int32_t> after_[kLongest - kShortest + 1];
  int read_ = kShortest;  // ids[0, read_) were read
};

// Of one sequence. A step that computes drafts takes longer, so they must be right often enough: each refusal makes
// drafts short, and asks for a longer agreement before the next one, which new text seldom has and a loop or a
// quotation soon has. Both come back with what is accepted.
class DraftPolicy {
 public:
  explicit DraftPolicy(int limit) : limit_(limit), most_(limit < kFirst ? limit : kFirst) {}

  int most() const { return most_; }            // tokens of the next draft; 0: drafts are off
  int agreement() const { return agreement_; }  // tokens that the text must have in common with the earlier place
  // A step computed `drafted` tokens, at least 1, of which `accepted` were right.
  void Verified(int drafted, int accepted);

 private:
  static constexpr int kFirst = 4;
  static constexpr int kAgreementMax = 64;

  const int limit_;
  int most_;
  int agreement_ = TokenLookup::kShortest;
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_LOOKUP_H_
