// The text, coloured by the row behind the token at hand, with lines to its strongest keys.
const kLines = 5;

// The weights behind the token at hand, what of them is hidden, and the largest of the rest.
function currentRow(data) {
  const weights = data.meanRow(state.token, selectedHeads(data));
  let maximum = 0, hidden = 0;
  weights.forEach((weight, c) => {
    if (!state.special && data.isSink(c)) hidden += weight;
    else maximum = Math.max(maximum, weight);
  });
  const shown = c => state.special || !data.isSink(c);
  const order = [...weights.keys()].filter(shown).sort((a, b) => weights[b] - weights[a]);
  return {weights, maximum, hidden, shown, order};
}

function buildText(data) {
  const box = document.getElementById('text');
  data.spans = data.tokens.map((token, i) => {
    const span = document.createElement('span');
    span.className = `token ${token.answer ? 'answer' : 'prompt'}${token.special ? ' special' : ''}`;
    span.dataset.column = i;
    // A line break is seen and still breaks.
    const parts = token.text === '' ? ['·'] : token.text.split('\n');
    parts.forEach((part, k) => {
      if (k > 0) {
        const mark = document.createElement('span');
        mark.className = 'mark';
        mark.textContent = '↵\n';
        span.append(mark);
      }
      span.append(part);
    });
    box.append(span);
    return span;
  });
}

function drawText(data, row) {
  const now = data.prompt + state.token;
  data.spans.forEach((span, c) => {
    const seen = c < row.weights.length, shown = seen && row.shown(c);
    const level = shown ? levelOf(row.weights[c], row.maximum) : 0;
    span.style.backgroundColor = shown ? css(colorOf(level)) : '';
    span.style.color = shown ? inkOf(level) : '';
    span.classList.toggle('hidden-key', seen && !shown);
    span.classList.toggle('now', c === now);
    span.classList.toggle('later', c > now);
    span.classList.toggle('pinned', c === state.key);
  });
  const text = document.getElementById('text'), span = data.spans[now];
  if (span.offsetTop < text.scrollTop || span.offsetTop + span.offsetHeight > text.scrollTop + text.clientHeight) {
    text.scrollTop = span.offsetTop - text.clientHeight / 2;
  }
  drawWires(data, row);
  drawLegend(data, row);
}

// Where a token stands in the box, by its first line.
function placeOf(span, box) {
  const rect = span.getClientRects()[0];
  if (!rect) return null;
  return {x: rect.left - box.left + rect.width / 2, top: rect.top - box.top, bottom: rect.bottom - box.top};
}

// Arcs above the line where both ends are on one, else curves from line to line.
function wirePaths(data, row) {
  if (!state.lines) return [];
  const box = document.getElementById('text-box').getBoundingClientRect();
  const from = placeOf(data.spans[data.prompt + state.token], box);
  if (!from) return [];
  return row.order.slice(0, kLines).filter(c => row.weights[c] > 0).flatMap(c => {
    const to = placeOf(data.spans[c], box);
    if (!to) return [];
    const share = row.weights[c] / (row.maximum || 1);
    const sameLine = Math.abs(from.top - to.top) < 4;
    const lift = sameLine ? Math.min(30, 10 + Math.abs(from.x - to.x) / 12) : 0;
    const d = sameLine ? `M${from.x.toFixed(1)} ${from.top.toFixed(1)} C${from.x.toFixed(1)} ${(from.top - lift).toFixed(1)} ` +
                             `${to.x.toFixed(1)} ${(to.top - lift).toFixed(1)} ${to.x.toFixed(1)} ${to.top.toFixed(1)}`
                       : `M${from.x.toFixed(1)} ${from.top.toFixed(1)} C${from.x.toFixed(1)} ${((from.top + to.bottom) / 2).toFixed(1)} ` +
                             `${to.x.toFixed(1)} ${((from.top + to.bottom) / 2).toFixed(1)} ${to.x.toFixed(1)} ${to.bottom.toFixed(1)}`;
    return [{d, width: 1 + 3.5 * share, opacity: 0.25 + 0.6 * share}];
  });
}

function drawWires(data, row) {
  document.getElementById('wires').innerHTML =
      wirePaths(data, row).map(w => `<path d="${w.d}" stroke-width="${w.width.toFixed(2)}" opacity="${w.opacity.toFixed(2)}"/>`).join('');
}

function drawLegend(data, row) {
  const hidden = state.special ? '' : `<span>first and special tokens, hatched: <b>${row.hidden.toFixed(2)}</b></span>`;
  document.getElementById('legend').innerHTML =
      `<span>0<span class="scale" style="background:${scaleGradient()}"></span><b>${row.maximum.toFixed(3)}</b></span>` +
      `<span>weight, by its square root</span>${hidden}<span>underlined: the answer</span>`;
}

function drawBars(data, row) {
  const box = document.getElementById('bars');
  box.replaceChildren();
  for (const c of row.order.slice(0, 10)) {
    const label = document.createElement('span'), value = document.createElement('span'), bar = document.createElement('span');
    label.className = 'label';
    const place = document.createElement('small');
    place.textContent = c;
    label.append(place, visible(data.tokens[c].text));
    value.className = 'value';
    value.textContent = row.weights[c].toFixed(3);
    bar.className = 'bar';
    bar.style.width = `${100 * row.weights[c] / (row.maximum || 1)}%`;
    bar.style.background = css(colorOf(Math.max(0.25, levelOf(row.weights[c], row.maximum))));
    for (const part of [label, value, bar]) {
      part.onmouseenter = () => data.spans[c].classList.add('lit');
      part.onmouseleave = () => data.spans[c].classList.remove('lit');
      box.append(part);
    }
  }
  const rest = row.order.slice(10).reduce((sum, c) => sum + row.weights[c], 0);
  document.getElementById('bars-note').textContent =
      `behind ‘${visible(data.tokens[data.prompt + state.token].text)}’; the ${Math.max(0, row.order.length - 10)} others ${rest.toFixed(2)}`;
}
