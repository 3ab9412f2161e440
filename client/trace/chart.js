// Entropy, sink mass, lookback ratio and copying of the selected heads over the tokens of the answer.
const kSeries = [
  {kind: kEntropy, name: 'entropy', color: '--entropy', help: 'of the most that the visible tokens allow'},
  {kind: kSink, name: 'sink', color: '--sink', help: 'weight on the first token'},
  {kind: kLookback, name: 'lookback', color: '--lookback', help: 'mean weight on a prompt token, beside one of the answer'},
  {kind: kCopy, name: 'copy', color: '--copy', help: 'weight on earlier occurrences of the token that came out'},
];
const kChart = {left: 30, right: 8, top: 8, bottom: 20, height: 190};

// All between 0 and 1.
function seriesValues(data, series, heads) {
  return Array.from({length: data.count}, (_, t) => {
    if (series.key !== undefined) return series.key < data.columns(t) ? data.meanRow(t, heads)[series.key] : NaN;
    const value = data.statistic(series.kind, t, heads);
    return series.kind === kEntropy ? value / Math.max(Math.log(data.columns(t)), 1e-9) : value;
  });
}

function chartX(data, t, width) {
  return kChart.left + (data.count > 1 ? t / (data.count - 1) : 0.5) * (width - kChart.left - kChart.right);
}

function drawChart(data) {
  const svg = document.getElementById('chart'), width = svg.clientWidth || 400;
  const heads = selectedHeads(data), all = [...kSeries];
  if (state.key >= 0) all.push({key: state.key, name: `on ‘${visible(data.tokens[state.key].text)}’`, color: '--key', help: 'weight on the pinned token'});
  const y = value => kChart.top + (1 - Math.min(Math.max(value, 0), 1)) * (kChart.height - kChart.top - kChart.bottom);
  let out = '';
  for (const tick of [0, 0.5, 1]) {
    out += `<line x1="${kChart.left}" x2="${width - kChart.right}" y1="${y(tick)}" y2="${y(tick)}" stroke="var(--edge)"/>` +
           `<text x="${kChart.left - 6}" y="${y(tick) + 4}" text-anchor="end">${tick}</text>`;
  }
  const legend = [];
  for (const series of all) {
    const values = seriesValues(data, series, heads);
    let path = '';
    values.forEach((value, t) => {
      if (Number.isNaN(value)) return;
      path += `${path === '' ? 'M' : 'L'}${chartX(data, t, width).toFixed(1)} ${y(value).toFixed(1)}`;
    });
    const now = values[state.token];
    out += `<path d="${path}" fill="none" stroke="var(${series.color})" stroke-width="1.6" stroke-linejoin="round"/>`;
    if (!Number.isNaN(now)) out += `<circle cx="${chartX(data, state.token, width).toFixed(1)}" cy="${y(now).toFixed(1)}" r="3" fill="var(${series.color})"/>`;
    const text = series.kind === kEntropy ? `${data.statistic(kEntropy, state.token, heads).toFixed(2)} nats` : Number.isNaN(now) ? '–' : now.toFixed(2);
    legend.push(`<span title="${series.help}"><span class="dot" style="background:var(${series.color})"></span>${escapeText(series.name)} <b>${text}</b></span>`);
  }
  const x = chartX(data, state.token, width).toFixed(1);
  out += `<line x1="${x}" x2="${x}" y1="${kChart.top}" y2="${kChart.height - kChart.bottom}" stroke="var(--accent)" stroke-dasharray="3 3"/>` +
         `<text x="${kChart.left}" y="${kChart.height - 5}">first token</text>` +
         `<text x="${width - kChart.right}" y="${kChart.height - 5}" text-anchor="end">token ${data.count}</text>`;
  svg.innerHTML = out;
  document.getElementById('chart-legend').innerHTML = legend.join('');
}

function escapeText(text) {
  return text.replace(/[&<>"]/g, c => ({'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;'})[c]);
}
