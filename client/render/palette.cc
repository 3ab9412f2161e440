#include "client/render/palette.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace attnd {
namespace {

// Magma at 0, 1/8, ... 1.
constexpr Rgb kAnchors[] = {{11, 9, 28},    {28, 16, 68},   {79, 18, 123},   {129, 37, 129}, {181, 54, 122},
                            {229, 80, 100}, {251, 135, 97}, {254, 194, 135}, {252, 253, 191}};
constexpr int kLast = 8;
constexpr char kShades[] = " .:-=+*#%@";

int Squared(Rgb a, Rgb b) {
  const int r = a.red - b.red, g = a.green - b.green, z = a.blue - b.blue;
  return r * r + g * g + z * z;
}

// The cube's steps: 0, 95, 135, 175, 215, 255.
int CubeStep(int value) { return value < 48 ? 0 : value < 115 ? 1 : (value - 35) / 40; }
uint8_t CubeValue(int step) { return static_cast<uint8_t>(step == 0 ? 0 : 55 + 40 * step); }

}  // namespace

Rgb PaletteColor(double level) {
  const double position = std::clamp(level, 0.0, 1.0) * kLast;
  const int i = std::min(static_cast<int>(position), kLast - 1);
  const double t = position - i;
  const auto mix = [t](uint8_t a, uint8_t b) { return static_cast<uint8_t>(std::lround(a + (b - a) * t)); };
  const Rgb &a = kAnchors[i], &b = kAnchors[i + 1];
  return {mix(a.red, b.red), mix(a.green, b.green), mix(a.blue, b.blue)};
}

double Level(double weight, double maximum) {
  return maximum > 0 && weight > 0 ? std::sqrt(std::min(1.0, weight / maximum)) : 0;
}

std::string Hex(Rgb color) { return absl::StrFormat("#%02x%02x%02x", color.red, color.green, color.blue); }

int Nearest256(Rgb color) {
  const int r = CubeStep(color.red), g = CubeStep(color.green), b = CubeStep(color.blue);
  const Rgb cube = {CubeValue(r), CubeValue(g), CubeValue(b)};
  const int mean = (color.red + color.green + color.blue) / 3;
  const int step = std::clamp((mean - 3) / 10, 0, 23);
  const auto grey_value = static_cast<uint8_t>(8 + 10 * step);
  const Rgb grey = {grey_value, grey_value, grey_value};
  return Squared(color, grey) < Squared(color, cube) ? 232 + step : 16 + 36 * r + 6 * g + b;
}

char Shade(double level) { return kShades[std::clamp(static_cast<int>(std::lround(level * 9)), 0, 9)]; }

std::string Foreground(Rgb color, Colors colors) {
  if (colors == Colors::kNone) return "";
  if (colors == Colors::k256) return absl::StrCat("\x1b[38;5;", Nearest256(color), "m");
  return absl::StrCat("\x1b[38;2;", color.red, ";", color.green, ";", color.blue, "m");
}

std::string Background(Rgb color, Colors colors) {
  if (colors == Colors::kNone) return "";
  if (colors == Colors::k256) return absl::StrCat("\x1b[48;5;", Nearest256(color), "m");
  return absl::StrCat("\x1b[48;2;", color.red, ";", color.green, ";", color.blue, "m");
}

std::string Reset(Colors colors) { return colors == Colors::kNone ? "" : "\x1b[0m"; }

std::string OnLevel(absl::string_view text, double level, Colors colors) {
  const Rgb text_color = level > 0.62 ? Rgb{16, 16, 16} : Rgb{240, 240, 240};
  return absl::StrCat(Background(PaletteColor(level), colors), Foreground(text_color, colors), text, Reset(colors));
}

std::string Bold(absl::string_view text, Colors colors) {
  return colors == Colors::kNone ? std::string(text) : absl::StrCat("\x1b[1m", text, "\x1b[0m");
}

std::string Dim(absl::string_view text, Colors colors) {
  return colors == Colors::kNone ? std::string(text) : absl::StrCat("\x1b[2m", text, "\x1b[0m");
}

}  // namespace attnd
