// WeightMemory: where weights lie, in huge pages that many of them share.
#ifndef ATTND_CORE_BASE_WEIGHT_MEMORY_H_
#define ATTND_CORE_BASE_WEIGHT_MEMORY_H_

#include <cstddef>
#include <memory>

namespace attnd {

// `size` bytes, aligned to 64, not initialised; their memory goes back to the system with the last pointer.
// Thread-safe.
//
// A step reads every weight once. In pages of 4 KiB that is a miss of the TLB every 64 lines, and the processor's own
// prefetching ends with each page; but a layer's weights are often smaller than a huge page of 2 MiB. So they are cut
// from chunks of such pages, in the order in which they are asked for.
std::shared_ptr<std::byte> AllocateWeights(size_t size);

}  // namespace attnd

#endif  // ATTND_CORE_BASE_WEIGHT_MEMORY_H_
