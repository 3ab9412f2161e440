// The maps of all heads, small: layers down, heads across; in each, tokens of the answer down and keys across.
const kGap = 3, kLabel = 30, kTop = 18;

function gridLayout(data) {
  const layers = [...new Set(data.heads.map(head => head.layer))], columns = [...new Set(data.heads.map(head => head.head))].sort((a, b) => a - b);
  const room = document.getElementById('grid-box').clientWidth - kLabel;
  const width = Math.min(Math.max(Math.floor(room / columns.length) - kGap, 10), 120);
  const height = Math.max(8, Math.round(width * 0.62));
  return {layers, columns, width, height, total: {width: kLabel + columns.length * (width + kGap), height: kTop + layers.length * (height + kGap)},
    place: data.heads.map(head => ({x: kLabel + columns.indexOf(head.head) * (width + kGap), y: kTop + layers.indexOf(head.layer) * (height + kGap)}))};
}

// The levels of one head's map in width x height cells, each the largest of what it covers, on the head's own scale.
function pooledMap(data, head, width, height) {
  const cells = new Float32Array(width * height), row = new Float32Array(data.tokens.length);
  let maximum = 0;
  for (let t = 0; t < data.count; ++t) {
    data.row(t, head, row, false);
    const y0 = Math.floor(t * height / data.count), y1 = Math.max(y0 + 1, Math.floor((t + 1) * height / data.count));
    for (let c = 0; c < data.columns(t); ++c) {
      if (!state.special && data.isSink(c)) continue;
      const weight = row[c], x0 = Math.floor(c * width / data.tokens.length);
      const x1 = Math.max(x0 + 1, Math.floor((c + 1) * width / data.tokens.length));
      maximum = Math.max(maximum, weight);
      for (let y = y0; y < y1; ++y) for (let x = x0; x < x1; ++x) cells[y * width + x] = Math.max(cells[y * width + x], weight);
    }
  }
  return cells.map(weight => levelOf(weight, maximum));
}

// Levels change with the toggle and the size alone, colours with the theme: both are kept.
function drawGridImage(data) {
  const layout = data.layout = gridLayout(data);
  const scale = window.devicePixelRatio || 1;
  const key = `${layout.width} ${state.special}`;
  if (data.pooledKey !== key) {
    data.pooled = data.heads.map((_, i) => pooledMap(data, i, layout.width, layout.height));
    data.pooledKey = key;
  }
  const image = document.createElement('canvas');
  image.width = layout.total.width;
  image.height = layout.total.height;
  const context = image.getContext('2d');
  const colors = Array.from({length: 256}, (_, i) => colorOf(i / 255));
  data.heads.forEach((_, i) => {
    const pixels = context.createImageData(layout.width, layout.height);
    data.pooled[i].forEach((level, k) => {
      const color = colors[Math.round(level * 255)];
      pixels.data.set([color[0], color[1], color[2], 255], k * 4);
    });
    context.putImageData(pixels, layout.place[i].x, layout.place[i].y);
  });
  data.gridImage = image;
  const canvas = document.getElementById('grid');
  canvas.width = layout.total.width * scale;
  canvas.height = layout.total.height * scale;
  canvas.style.width = `${layout.total.width}px`;
  canvas.style.height = `${layout.total.height}px`;
}

function drawGrid(data) {
  const canvas = document.getElementById('grid'), context = canvas.getContext('2d'), layout = data.layout;
  const style = getComputedStyle(document.documentElement), color = name => style.getPropertyValue(name).trim();
  const scale = window.devicePixelRatio || 1;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, layout.total.width, layout.total.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(data.gridImage, 0, 0);
  context.fillStyle = color('--soft');
  context.font = '11px ui-sans-serif, system-ui, sans-serif';
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  layout.layers.forEach((layer, i) => context.fillText(layer < 0 ? '' : `L${layer}`, kLabel - 5, kTop + i * (layout.height + kGap) + layout.height / 2));
  context.textAlign = 'center';
  layout.columns.forEach((head, i) => {
    const every = Math.ceil(24 / (layout.width + kGap));
    if (head >= 0 && i % every === 0) context.fillText(`H${head}`, kLabel + i * (layout.width + kGap) + layout.width / 2, kTop / 2);
  });
  const selected = new Set(state.locked), accent = color('--accent');
  const y = (state.token + 0.5) * layout.height / data.count;
  layout.place.forEach((place, i) => {
    context.strokeStyle = accent;
    // The row at hand: a notch at both sides, so that it covers nothing.
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(place.x - 2, place.y + y);
    context.lineTo(place.x + 2, place.y + y);
    context.moveTo(place.x + layout.width - 2, place.y + y);
    context.lineTo(place.x + layout.width + 2, place.y + y);
    context.stroke();
    if (!selected.has(i)) {
      context.lineWidth = 1;
      context.strokeStyle = color('--edge');
      context.strokeRect(place.x - 0.5, place.y - 0.5, layout.width + 1, layout.height + 1);
      return;
    }
    context.lineWidth = 2.5;
    context.strokeRect(place.x - 1, place.y - 1, layout.width + 2, layout.height + 2);
  });
  const note = state.locked.length === 0 ? 'each on its own scale; click locks one' : `${state.locked.length} locked; Esc frees`;
  document.getElementById('heads-note').textContent = note;
}

// The head at a point of the canvas; or the layer, where its label is.
function gridHit(data, event) {
  const layout = data.layout, x = event.offsetX, y = event.offsetY;
  const head = layout.place.findIndex(p => x >= p.x && x < p.x + layout.width + kGap && y >= p.y && y < p.y + layout.height + kGap);
  const line = Math.floor((y - kTop) / (layout.height + kGap));
  return {head, layer: x < kLabel && line >= 0 && line < layout.layers.length ? layout.layers[line] : undefined};
}
