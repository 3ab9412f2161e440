#include "core/ops/tile_registers.h"

#include <cstdint>

#include "hwy/base.h"

#if HWY_ARCH_X86_64
#include <immintrin.h>
#endif

namespace attnd {

#if HWY_ARCH_X86_64
HWY_PUSH_ATTRIBUTES("amx-tile")
namespace {

// As LDTILECFG reads it.
struct alignas(64) TileConfiguration {
  uint8_t palette = 1, first_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfiguration) == 64);

void LoadConfiguration(int rows) {
  TileConfiguration configuration;
  constexpr int kRegisters = 8, kFirstOfWeights = 6;
  for (int i = 0; i < kRegisters; ++i) {
    configuration.row_bytes[i] = kTileBytes;
    configuration.rows[i] = static_cast<uint8_t>(i < kFirstOfWeights ? rows : kRegisterRows);
  }
  asm volatile("" ::"r"(&configuration) : "memory");  // g++ 14 knows of the first 8 bytes only that they are read
  _tile_loadconfig(&configuration);
}

void Release() { _tile_release(); }

}  // namespace
HWY_POP_ATTRIBUTES

TileRegisters::~TileRegisters() {
  if (rows_ != 0) Release();
}

void TileRegisters::Configure(int rows) {
  if (rows == rows_) return;
  LoadConfiguration(rows);
  rows_ = rows;
}

#else

TileRegisters::~TileRegisters() = default;
void TileRegisters::Configure(int rows) { rows_ = rows; }

#endif

}  // namespace attnd
