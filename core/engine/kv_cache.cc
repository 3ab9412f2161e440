#include "core/engine/kv_cache.h"

#include <algorithm>
#include <cassert>

namespace attnd {

KvCache::KvCache(int pages) : holders_(pages, 0), place_(pages), keys_(pages), known_(pages, false) {
  for (int32_t page = pages; page-- > 0;) free_.push_back(page);  // the first one is taken first
}

KvCache::Key KvCache::KeyOf(int64_t parent, const int32_t* ids) {
  Key key{parent, {}};
  std::copy_n(ids, kTokens, key.second.begin());
  return key;
}

void KvCache::Hold(int32_t page) {
  if (holders_[page]++ == 0 && known_[page]) waiting_.erase(place_[page]);
}

void KvCache::Drop(int32_t page) {
  assert(holders_[page] > 0);
  if (--holders_[page] > 0) return;
  if (known_[page]) {
    place_[page] = waiting_.insert(waiting_.end(), page);
  } else {
    free_.push_back(page);
  }
}

int32_t KvCache::Take() {
  if (free_.empty()) {
    const int32_t oldest = waiting_.front();
    waiting_.pop_front();
    index_.erase(keys_[oldest]);
    known_[oldest] = false;
    holders_[oldest] = 1;
    return oldest;
  }
  const int32_t page = free_.back();
  free_.pop_back();
  holders_[page] = 1;
  return page;
}

int KvCache::Share(absl::Span<const int32_t> ids, Sequence& sequence) {
  assert(sequence.table.empty());
  int64_t parent = kRoot;
  for (size_t begin = 0; begin + kTokens < ids.size(); begin += kTokens) {
    const auto found = index_.find(KeyOf(parent, ids.data() + begin));
    if (found == index_.end()) break;
    Hold(found->second.page);
    sequence.table.push_back(found->second.page);
    sequence.nodes.push_back(parent = found->second.node);
  }
  sequence.stored = static_cast<int>(sequence.table.size()) * kTokens;
  shared_tokens_ += sequence.stored;
  return sequence.stored;
}

bool KvCache::Reserve(int tokens, Sequence& sequence) {
  const int more = PagesFor(tokens) - static_cast<int>(sequence.table.size());
  if (more > available()) return false;
  for (int i = 0; i < more; ++i) sequence.table.push_back(Take());
  return true;
}

void KvCache::Store(absl::Span<const int32_t> ids, Sequence& sequence) {
  assert(PagesFor(static_cast<int>(ids.size())) <= static_cast<int>(sequence.table.size()));
  sequence.stored = static_cast<int>(ids.size());
  for (size_t i = sequence.nodes.size(); i < ids.size() / kTokens; ++i) {
    const int64_t parent = i == 0 ? kRoot : sequence.nodes[i - 1];
    const int32_t page = sequence.table[i];
    const Key key = KeyOf(parent, ids.data() + i * kTokens);
    // Where another sequence stored the same first, this page stays unknown; what follows it is still found.
    const auto [entry, added] = index_.try_emplace(key, Known{page, next_node_});
    if (added) {
      ++next_node_;
      keys_[page] = key;
      known_[page] = true;
    }
    sequence.nodes.push_back(entry->second.node);
  }
}

void KvCache::Shrink(int tokens, Sequence& sequence) {
  assert(tokens >= sequence.stored);
  while (static_cast<int>(sequence.table.size()) > PagesFor(tokens)) {
    Drop(sequence.table.back());
    sequence.table.pop_back();
  }
}

void KvCache::Release(Sequence& sequence) {
  // The end of a text is taken for something else before its beginning, without which it cannot be found.
  for (size_t i = sequence.table.size(); i-- > 0;) Drop(sequence.table[i]);
  sequence = Sequence();
}

bool KvCache::Consistent(absl::Span<const Sequence* const> sequences) const {
  std::vector<int> holders(holders_.size(), 0);
  for (const Sequence* sequence : sequences) {
    for (const int32_t page : sequence->table) ++holders[page];
  }
  if (holders != holders_) return false;
  std::vector<int> seen(holders_.size(), 0);
  for (const int32_t page : free_) {
    if (holders_[page] != 0 || known_[page] || seen[page]++ != 0) return false;
  }
  for (const int32_t page : waiting_) {
    if (holders_[page] != 0 || !known_[page] || seen[page]++ != 0) return false;
  }
  size_t known = 0;
  for (size_t page = 0; page < holders_.size(); ++page) {
    if ((holders_[page] > 0) == (seen[page] > 0)) return false;
    if (!known_[page]) continue;
    ++known;
    const auto found = index_.find(keys_[page]);
    if (found == index_.end() || found->second.page != static_cast<int32_t>(page)) return false;
  }
  return known == index_.size();
}

}  // namespace attnd
