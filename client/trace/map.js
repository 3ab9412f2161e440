// The map of the selected heads, large: a row for each token of the answer, a column for each key.
const kMapLabel = 96;

function mapLayout(data) {
  const width = document.getElementById('map').parentElement.clientWidth - kMapLabel;
  const line = Math.min(Math.max(Math.floor(420 / data.count), 3), 18);
  return {cell: Math.min(width / data.tokens.length, 30), line, height: line * data.count};
}

function drawMap(data) {
  const canvas = document.getElementById('map'), context = canvas.getContext('2d'), layout = mapLayout(data);
  const style = getComputedStyle(document.documentElement), color = name => style.getPropertyValue(name).trim();
  const scale = window.devicePixelRatio || 1, width = kMapLabel + layout.cell * data.tokens.length;
  canvas.width = Math.ceil(width * scale);
  canvas.height = Math.ceil(layout.height * scale);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${layout.height}px`;
  context.scale(scale, scale);
  const heads = selectedHeads(data), key = heads.join();
  if (data.mapKey !== key) {
    data.mapRows = Array.from({length: data.count}, (_, t) => data.meanRow(t, heads));
    data.mapKey = key;
  }
  const shown = c => state.special || !data.isSink(c);
  const maximum = Math.max(...data.mapRows.map(row => row.reduce((most, weight, c) => shown(c) ? Math.max(most, weight) : most, 0)));
  context.font = `${Math.min(layout.line - 1, 12)}px ui-sans-serif, system-ui, sans-serif`;
  context.textAlign = 'right';
  context.textBaseline = 'middle';
  const every = Math.ceil(9 / layout.line);  // rows a label
  data.mapRows.forEach((row, t) => {
    const y = t * layout.line, now = t === state.token;
    row.forEach((weight, c) => {
      context.fillStyle = shown(c) ? css(colorOf(levelOf(weight, maximum))) : color('--hatch');
      context.fillRect(kMapLabel + c * layout.cell, y, Math.ceil(layout.cell), layout.line);
    });
    if (!now && (t % every !== 0 || Math.abs(t - state.token) < every)) return;
    context.fillStyle = color(now ? '--text' : '--soft');
    context.font = `${now ? '600 ' : ''}${Math.min(Math.max(layout.line - 1, 9), 12)}px ui-sans-serif, system-ui, sans-serif`;
    const label = visible(data.tokens[data.prompt + t].text);
    context.fillText(label.length > 13 ? `${label.slice(0, 12)}…` : label, kMapLabel - 8, y + layout.line / 2);
  });
  context.strokeStyle = color('--accent');
  context.lineWidth = 1.5;
  context.strokeRect(kMapLabel - 1, state.token * layout.line - 0.5, data.columns(state.token) * layout.cell + 2, layout.line + 1);
  context.setLineDash([3, 3]);
  context.lineWidth = 1;
  context.strokeStyle = color('--soft');
  context.beginPath();  // where the answer begins
  context.moveTo(kMapLabel + data.prompt * layout.cell, 0);
  context.lineTo(kMapLabel + data.prompt * layout.cell, layout.height);
  context.stroke();
  document.getElementById('map-note').textContent =
      `tokens of the answer down, keys across; the dashed line is where the answer begins; largest ${maximum.toFixed(3)}`;
}

function mapHit(data, event) {
  const layout = mapLayout(data);
  const t = Math.floor(event.offsetY / layout.line), column = Math.floor((event.offsetX - kMapLabel) / layout.cell);
  return {t: Math.min(Math.max(t, 0), data.count - 1), column: column >= 0 && column < data.columns(t) ? column : -1};
}
