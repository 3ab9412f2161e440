// TileRegisters: AMX's registers of the calling thread.
#ifndef ATTND_CORE_OPS_TILE_REGISTERS_H_
#define ATTND_CORE_OPS_TILE_REGISTERS_H_

namespace attnd {

// Of a row of a tile, and rows of a tile at most.
inline constexpr int kTileBytes = 64, kRegisterRows = 16;

// Rows go into as few tiles as hold them, all of one height.
constexpr int TileCount(int rows) { return (rows + kRegisterRows - 1) / kRegisterRows; }
constexpr int TileHeight(int rows) { return (rows + TileCount(rows) - 1) / TileCount(rows); }

// The calling thread's tile registers: configured when first used, given back by the destructor. A thread that holds
// them takes longer to be switched, so they are held while tiles are multiplied and not between. One object of a thread
// at a time.
class TileRegisters {
 public:
  TileRegisters() = default;
  ~TileRegisters();
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;

  // Rows of A and C; B's are 16, and every row has 64 bytes.
  void Configure(int rows);

 private:
  int rows_ = 0;
};

}  // namespace attnd

#endif  // ATTND_CORE_OPS_TILE_REGISTERS_H_
