#include "core/engine/lookup.h"

#include <algorithm>

namespace attnd {
namespace {

// Of the `count` tokens before ids[end].
uint64_t KeyOf(absl::Span<const int32_t> ids, int end, int count) {
  uint64_t key = 0;
  for (int i = end - count; i < end; ++i) key = (key ^ static_cast<uint32_t>(ids[i])) * 0x9e3779b97f4a7c15u;
  return key ^ (key >> 32);
}

// How many tokens before ids[at] are those at the end, up to `most`.
int Agreement(absl::Span<const int32_t> ids, int at, int most) {
  const int end = static_cast<int>(ids.size());
  int count = 0;
  while (count < std::min(most, at) && ids[at - 1 - count] == ids[end - 1 - count]) ++count;
  return count;
}

}  // namespace

void TokenLookup::Read(absl::Span<const int32_t> ids) {
  for (; read_ < static_cast<int>(ids.size()); ++read_) {
    for (int count = kShortest; count <= std::min(kLongest, read_); ++count) {
      after_[count - kShortest][KeyOf(ids, read_, count)] = read_;
    }
  }
}

int TokenLookup::Find(absl::Span<const int32_t> ids) const {
  const int end = static_cast<int>(ids.size());
  for (int count = std::min(kLongest, end); count >= kShortest; --count) {
    const auto found = after_[count - kShortest].find(KeyOf(ids, end, count));
    if (found != after_[count - kShortest].end() && Agreement(ids, found->second, count) == count) return found->second;
  }
  return -1;
}

void TokenLookup::Draft(absl::Span<const int32_t> ids, int most, int agreement, std::vector<int32_t>& draft) {
  draft.clear();
  Read(ids);
  const int at = Find(ids);
  if (at < 0 || Agreement(ids, at, agreement) < agreement) return;
  const int end = static_cast<int>(ids.size());
  for (int i = 0; i < most; ++i) draft.push_back(at + i < end ? ids[at + i] : draft[at + i - end]);
}

void DraftPolicy::Verified(int drafted, int accepted) {
  if (accepted == drafted) {
    most_ = std::min(limit_, 2 * most_);
    agreement_ = std::max(TokenLookup::kShortest, agreement_ / 2);
    return;
  }
  most_ = std::min(limit_, accepted + 1);
  if (accepted < 2) agreement_ = std::min(kAgreementMax, 2 * agreement_);
}

}  // namespace attnd
