#include "core/ops/precision.h"

#include "core/base/cpu.h"
#include "core/ops/packed_weights.h"
#include "core/ops/tile_kernel.h"
#include "core/ops/ukernel.h"

namespace attnd {

std::string_view PrecisionName(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      return "f32";
    case Precision::kBf16:
      return "bf16";
    case Precision::kInt8:
      return "int8";
  }
  return "";
}

std::optional<Precision> ParsePrecision(std::string_view name) {
  for (const Precision precision : {Precision::kF32, Precision::kBf16, Precision::kInt8}) {
    if (name == PrecisionName(precision)) return precision;
  }
  if (name == "auto") {
    const bool tuned =
        HasTileKernel(HalvesData()) || HalvesData() == UkernelData::kF16 || UkernelBackend(HalvesData()) == "brgemm";
    return tuned ? Precision::kBf16 : Precision::kF32;
  }
  return std::nullopt;
}

std::string_view PrecisionPath(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      return HasTileKernel(UkernelData::kF32Slices) ? "f32 amx" : "f32";
    case Precision::kBf16:
      switch (HalvesData()) {
        case UkernelData::kBf16:
          return HasTileKernel(UkernelData::kBf16) ? "bf16 amx" : "bf16";
        case UkernelData::kF16:
          return "f16";
        default:
          return "f32 x bf16";
      }
    case Precision::kInt8:
      return HasTileKernel(UkernelData::kU8S8) ? "int8 amx"
             : CpuHasVnni()                    ? "int8 vnni"
             : GetCpuPath() == CpuPath::kAvx2  ? "int8 quads"
                                               : "int8 pairs";
  }
  return "f32";
}

}  // namespace attnd
