// Draws what `state` says and changes it by what the user does.
const data = readData();
const element = id => document.getElementById(id);
let timer = 0;

function draw() {
  const row = currentRow(data), token = data.tokens[data.prompt + state.token];
  document.documentElement.classList.toggle('light', state.light);
  element('theme').textContent = state.light ? 'Dark' : 'Light';
  element('slider').value = state.token;
  element('where').textContent = `token ${state.token + 1} of ${data.count}  ‘${visible(token.text)}’`;
  element('play').textContent = state.playing ? '‖ Pause' : '▶ Play';
  element('special').checked = state.special;
  element('lines').checked = state.lines;
  element('head-name').textContent = selectionName(data);
  element('head-note').textContent = `behind ‘${visible(token.text)}’`;
  drawText(data, row);
  drawBars(data, row);
  drawChart(data);
  drawMap(data);
  drawGrid(data);
  writeHash(data);
}
// After what changes the grid itself: its size, its colours, the special tokens.
function drawAll() {
  document.documentElement.classList.toggle('light', state.light);
  drawGridImage(data);
  draw();
}

function go(token) {
  state.token = Math.min(Math.max(token, 0), data.count - 1);
  draw();
}
function play(on) {
  clearInterval(timer);
  state.playing = on;
  if (on) {
    if (state.token === data.count - 1) state.token = -1;
    timer = setInterval(() => {
      if (state.token >= data.count - 1) play(false);
      else go(state.token + 1);
    }, 1000 / Number(element('speed').value));
    if (state.token < 0) go(0);
  }
  draw();
}
function lock(list) {
  state.locked = list;
  draw();
}
function stepHead(by) {
  const from = state.locked.length > 0 ? state.locked[0] : by > 0 ? -1 : 0;
  lock([(from + by + data.heads.length) % data.heads.length]);
}

function showTip(event, text) {
  const tip = element('tip');
  tip.textContent = text;
  tip.hidden = false;
  const rect = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - rect.width - 6))}px`;
  tip.style.top = `${event.clientY + rect.height + 26 > innerHeight ? event.clientY - rect.height - 10 : event.clientY + 18}px`;
}
function hideTip() { element('tip').hidden = true; }

function tokenTip(column) {
  const token = data.tokens[column], what = token.answer ? `answer ${column - data.prompt + 1}` : `prompt ${column}`;
  const weights = data.meanRow(state.token, selectedHeads(data));
  const weight = column < weights.length ? `weight ${weights[column].toFixed(4)}` : 'not seen by this row';
  return `‘${visible(token.text)}’  ${what}, id ${token.id}\n${weight}`;
}
function headTip(head) {
  const weights = data.meanRow(state.token, [head]);
  const shown = [...weights.keys()].filter(c => state.special || !data.isSink(c));
  const best = shown.reduce((a, c) => weights[c] > weights[a] ? c : a, shown[0] ?? 0);
  const statistic = kind => data.statistic(kind, state.token, [head]).toFixed(2);
  return `${data.heads[head].name} behind ‘${visible(data.tokens[data.prompt + state.token].text)}’\n` +
         `strongest ‘${visible(data.tokens[best].text)}’ ${weights[best].toFixed(3)}\n` +
         `entropy ${statistic(kEntropy)} nats, sink ${statistic(kSink)}, lookback ${statistic(kLookback)}, copy ${statistic(kCopy)}`;
}

function connect() {
  element('first').onclick = () => go(0);
  element('back').onclick = () => go(state.token - 1);
  element('next').onclick = () => go(state.token + 1);
  element('last').onclick = () => go(data.count - 1);
  element('play').onclick = () => play(!state.playing);
  element('speed').onchange = () => state.playing && play(true);
  element('slider').max = data.count - 1;
  element('slider').oninput = event => go(Number(event.target.value));
  element('special').onchange = event => { state.special = event.target.checked; drawAll(); };
  element('lines').onchange = event => { state.lines = event.target.checked; draw(); };
  element('theme').onclick = () => { state.light = !state.light; drawAll(); };
  element('save').onclick = () => saveSvg(data);

  const text = element('text');
  const columnOf = event => {
    const span = event.target.closest('.token');
    return span ? Number(span.dataset.column) : -1;
  };
  text.onclick = event => {
    const column = columnOf(event);
    if (column < 0) return;
    if (data.tokens[column].answer) return go(column - data.prompt);
    state.key = state.key === column ? -1 : column;
    draw();
  };
  text.onmousemove = event => columnOf(event) >= 0 ? showTip(event, tokenTip(columnOf(event))) : hideTip();
  text.onmouseleave = hideTip;
  text.onscroll = () => drawWires(data, currentRow(data));

  element('chart').onclick = event => {
    const width = element('chart').clientWidth;
    go(Math.round((event.offsetX - kChart.left) / (width - kChart.left - kChart.right) * (data.count - 1)));
  };
  element('map').onclick = event => go(mapHit(data, event).t);
  element('map').onmousemove = event => {
    const {t, column} = mapHit(data, event);
    if (column < 0) return hideTip();
    showTip(event, `behind ‘${visible(data.tokens[data.prompt + t].text)}’ on ‘${visible(data.tokens[column].text)}’\n` +
                   `weight ${data.mapRows[t][column].toFixed(4)}`);
  };
  element('map').onmouseleave = hideTip;
  const grid = element('grid');
  grid.onclick = event => {
    const hit = gridHit(data, event);
    const hits = hit.head >= 0 ? [hit.head] : data.heads.flatMap((head, i) => head.layer === hit.layer ? [i] : []);
    if (hits.length === 0) return;
    const rest = state.locked.filter(i => !hits.includes(i)), all = hits.every(i => state.locked.includes(i));
    if (event.shiftKey) lock(all ? rest : [...rest, ...hits].sort((a, b) => a - b));
    else lock(all && rest.length === 0 ? [] : hits);
  };
  grid.onmousemove = event => {
    const {head} = gridHit(data, event);
    head >= 0 ? showTip(event, headTip(head)) : hideTip();
  };
  grid.onmouseleave = hideTip;

  const keys = {
    ArrowLeft: () => go(state.token - 1), ArrowRight: () => go(state.token + 1), Home: () => go(0), End: () => go(data.count - 1),
    ' ': () => play(!state.playing), '[': () => stepHead(-1), ']': () => stepHead(1), Escape: () => { state.key = -1; lock([]); },
    s: () => { state.special = !state.special; drawAll(); }, l: () => { state.lines = !state.lines; draw(); },
    t: () => { state.light = !state.light; drawAll(); },
  };
  document.onkeydown = event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === 'SELECT') return;
    const action = keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };
  window.onresize = drawAll;
  window.onhashchange = () => { readHash(data); drawAll(); };
}

function start() {
  const answer = data.tokens.slice(data.prompt).map(token => token.text).join('');
  const prompt = data.tokens.slice(0, data.prompt).map(token => token.text).join('');
  element('title').textContent = `${data.meta.model}: attention behind ${data.count} tokens`;
  element('subtitle').textContent = `${prompt} → ${answer}`.replace(/\s+/g, ' ');
  document.title = `${data.meta.model} attention trace`;
  element('chart-note').textContent = 'means over the selected heads';
  state.light = window.matchMedia('(prefers-color-scheme: light)').matches;
  if (data.count === 0) {
    element('head-name').textContent = 'the answer has no tokens';
    return;
  }
  readHash(data);
  buildText(data);
  connect();
  drawAll();
}
start();
