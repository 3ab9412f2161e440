// Palette: the one colour scale of attn, from 0 (nearly black) to 1 (pale yellow), and how cells are written with it.
#ifndef ATTND_CLIENT_RENDER_PALETTE_H_
#define ATTND_CLIENT_RENDER_PALETTE_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "client/io.h"

namespace attnd {

struct Rgb {
  uint8_t red = 0, green = 0, blue = 0;
  bool operator==(const Rgb&) const = default;
};

// `level` in [0, 1], clamped. Even in lightness, as matplotlib's magma.
Rgb PaletteColor(double level);
// How strongly a weight shows beside the largest of its map: sqrt(weight / maximum), so that small ones are seen.
double Level(double weight, double maximum);
// "#0a1b2c".
std::string Hex(Rgb color);
// The nearest of the 256 colours of a terminal: its 6 x 6 x 6 cube or its 24 greys.
int Nearest256(Rgb color);
// One of " .:-=+*#%@" for terminals without colours.
char Shade(double level);

// The escape sequence that sets the foreground, the background, or ends both; empty without colours.
std::string Foreground(Rgb color, Colors colors);
std::string Background(Rgb color, Colors colors);
std::string Reset(Colors colors);
// `text` on the colour of `level`, in black or white, whichever reads better; `text` alone without colours.
std::string OnLevel(absl::string_view text, double level, Colors colors);
// `text` in bold or dimmed; alone without colours.
std::string Bold(absl::string_view text, Colors colors);
std::string Dim(absl::string_view text, Colors colors);

}  // namespace attnd

#endif  // ATTND_CLIENT_RENDER_PALETTE_H_
