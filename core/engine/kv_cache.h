// KvCache: which sequence owns which pages of keys and values, and which pages are shared because they hold the same
// beginning. Bookkeeping only: core/ops/kv_pages.h holds the numbers.
#ifndef ATTND_CORE_ENGINE_KV_CACHE_H_
#define ATTND_CORE_ENGINE_KV_CACHE_H_

#include <array>
#include <cstdint>
#include <list>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "core/ops/kv_pages.h"

namespace attnd {

// A page is free, or held by sequences (counted), or kept by nobody but still known by its content: then it waits,
// oldest first, to be taken for something else. A shared page is always full and never written again. Two pages are
// known as the same only when all their tokens from the first of the text on are equal: compared, not only hashed. Used
// by one thread.
class KvCache {
 public:
  static constexpr int kTokens = KvPages::kTokens;

  // What a sequence holds. Fields are the cache's to change.
  struct Sequence {
    std::vector<int32_t> table;  // pages, in the order of positions
    int stored = 0;              // tokens whose keys and values are in the pages
    std::vector<int64_t> nodes;  // [full pages known by content], identity of each
  };

  explicit KvCache(int pages);

  // Gives an empty `sequence` the pages that hold the beginning of `ids` already: as many as are known, but never all
  // tokens, so that one is left to compute. Returns the tokens shared.
  int Share(absl::Span<const int32_t> ids, Sequence& sequence);
  // Makes pages for `tokens` tokens in all. False, and nothing changed, when there are not enough.
  bool Reserve(int tokens, Sequence& sequence);
  // The keys and values of ids[0, ids.size()) are stored now: full pages become known by their content.
  void Store(absl::Span<const int32_t> ids, Sequence& sequence);
  // Gives the last pages back that are not for its first `tokens` tokens, `stored` of them at least.
  void Shrink(int tokens, Sequence& sequence);
  // Gives all pages back. What is known by content stays for others until its page is needed.
  void Release(Sequence& sequence);

  int pages() const { return static_cast<int>(holders_.size()); }
  int available() const { return static_cast<int>(free_.size() + waiting_.size()); }  // pages that can be had
  int used() const { return pages() - available(); }                                  // held by sequences
  int64_t shared_tokens() const { return shared_tokens_; }                            // since the start
  static int PagesFor(int tokens) { return (tokens + kTokens - 1) / kTokens; }

  // Whether everything adds up: each page in exactly one state, holders as counted. For tests; `sequences` are all that
  // hold pages.
  bool Consistent(absl::Span<const Sequence* const> sequences) const;

 private:
  // The content of a full page: its tokens after those of the page before.
  using Key = std::pair<int64_t, std::array<int32_t, kTokens>>;
  struct Known {
    int32_t page;
    int64_t node;  // identity, never used again
  };
  static constexpr int64_t kRoot = 0;

  static Key KeyOf(int64_t parent, const int32_t* ids);
  int32_t Take();  // a page for new content; there must be one
  void Hold(int32_t page);
  void Drop(int32_t page);

  std::vector<int> holders_;                         // [pages], sequences that hold each
  std::vector<int32_t> free_;                        // pages without content
  std::list<int32_t> waiting_;                       // known pages that nobody holds, oldest first
  std::vector<std::list<int32_t>::iterator> place_;  // [pages], in waiting_
  std::vector<Key> keys_;                            // [pages], content of known pages
  std::vector<bool> known_;                          // [pages]
  absl::flat_hash_map<Key, Known> index_;
  int64_t next_node_ = kRoot + 1;
  int64_t shared_tokens_ = 0;
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_KV_CACHE_H_
