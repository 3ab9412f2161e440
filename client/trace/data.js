'use strict';
// What the page holds: tokens, heads, weights and statistics, decoded from the base64 blocks that attn wrote.
//
// A weight is scale x (u / 255)^2 with the scale of its row: one byte each, at most 0.4 % of the row's largest off.
// Row t of a head is behind token t of the answer; its columns are the prompt and the answer before t.
function readBytes(id) {
  const text = atob(document.getElementById(id).textContent.trim());
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; ++i) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function readData() {
  const meta = JSON.parse(document.getElementById('meta').textContent);
  const heads = meta.heads.map(([layer, head]) => ({layer, head, name: layer < 0 ? 'mean' : `L${layer}H${head}`}));
  const tokens = [...meta.prompt.map(token => ({...token, answer: false})), ...meta.answer.map(token => ({...token, answer: true}))];
  const prompt = meta.prompt.length, count = meta.answer.length;
  const weights = readBytes('weights');                                // [count][heads][prompt + t]
  const scales = new Float32Array(readBytes('scales').buffer);         // [count][heads]
  const statistics = new Float32Array(readBytes('statistics').buffer); // [4][count][heads]
  const offsets = [];  // of each row block
  let total = 0;
  for (let t = 0; t < count; ++t) {
    offsets.push(total);
    total += heads.length * (prompt + t);
  }
  if (total !== weights.length || scales.length !== count * heads.length) throw new Error('the data of this page is not whole');

  const squares = Float32Array.from({length: 256}, (_, u) => (u / 255) ** 2);
  const data = {meta, heads, tokens, prompt, count};
  data.columns = t => prompt + t;
  // The row of one head behind token t, written to `out` from 0; adds where `add`.
  data.row = (t, head, out, add) => {
    const columns = prompt + t, begin = offsets[t] + head * columns, scale = scales[t * heads.length + head];
    for (let c = 0; c < columns; ++c) out[c] = (add ? out[c] : 0) + scale * squares[weights[begin + c]];
  };
  // The mean row of the heads listed.
  data.meanRow = (t, list) => {
    const out = new Float32Array(prompt + t);
    for (const head of list) data.row(t, head, out, true);
    for (let c = 0; c < out.length; ++c) out[c] /= list.length;
    return out;
  };
  data.statistic = (kind, t, list) => {
    let sum = 0;
    for (const head of list) sum += statistics[(kind * count + t) * heads.length + head];
    return sum / list.length;
  };
  // Keys that hide the others: the first token, on which idle heads rest, and special ones.
  data.isSink = column => column === 0 || tokens[column].special === true;
  return data;
}

const kEntropy = 0, kSink = 1, kLookback = 2, kCopy = 3;

// A token as one sees it: a dot for a leading space, an arrow for a line break.
function visible(text) {
  if (text === '') return '(part)';
  return text.replace(/^ /, '·').replace(/\n/g, '↵').replace(/\t/g, '→');
}
