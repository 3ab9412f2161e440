// Colours of levels from 0 to 1: magma on dark pages, its reverse from white on light ones.
const kDark = [[21, 22, 31], [28, 16, 68], [79, 18, 123], [129, 37, 129], [181, 54, 122], [229, 80, 100], [251, 135, 97],
  [254, 194, 135], [252, 253, 191]];
const kLight = [[255, 255, 255], [254, 240, 210], [254, 204, 150], [251, 150, 105], [229, 88, 100], [181, 54, 122], [129, 37, 129],
  [79, 18, 123], [28, 16, 68]];

// As attn does in a terminal: small weights show, too.
function levelOf(weight, maximum) {
  return maximum > 0 && weight > 0 ? Math.sqrt(Math.min(1, weight / maximum)) : 0;
}

function colorOf(level) {
  const anchors = state.light ? kLight : kDark;
  const position = Math.min(Math.max(level, 0), 1) * 8, i = Math.min(Math.floor(position), 7), part = position - i;
  return anchors[i].map((from, k) => Math.round(from + (anchors[i + 1][k] - from) * part));
}
function css([red, green, blue]) { return `rgb(${red},${green},${blue})`; }
// Black or white, whichever reads better on a level's colour.
function inkOf(level) {
  const [red, green, blue] = colorOf(level);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? '#14141a' : '#f6f4ff';
}
function scaleGradient() {
  const stops = Array.from({length: 9}, (_, i) => css(colorOf(i / 8)));
  return `linear-gradient(90deg, ${stops.join(',')})`;
}
