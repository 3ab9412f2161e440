// What the page shows now. All of it is in the address after #, so that a view can be linked to.
const state = {
  token: 0,        // of the answer
  locked: [],      // indices of data.heads; empty: all
  special: false,  // whether first and special tokens are coloured
  lines: true,
  light: false,
  key: -1,         // the column followed in the chart; -1: none
  playing: false,
};

function selectedHeads(data) {
  return state.locked.length > 0 ? state.locked : data.heads.map((_, i) => i);
}

function selectionName(data) {
  if (data.heads.length === 1) return data.heads[0].name;
  if (state.locked.length === 0) return `mean of all ${data.heads.length} heads`;
  if (state.locked.length === 1) return data.heads[state.locked[0]].name;
  const names = state.locked.map(i => data.heads[i].name);
  return `mean of ${names.length > 6 ? `${names.length} heads` : names.join(', ')}`;
}

function readHash(data) {
  const hash = new URLSearchParams(location.hash.slice(1));
  const number = (name, most) => Math.min(Math.max(parseInt(hash.get(name), 10) || 0, 0), most);
  if (hash.has('t')) state.token = number('t', data.count - 1);
  if (hash.has('heads')) {
    const wanted = hash.get('heads').split(',');
    state.locked = data.heads.flatMap((head, i) => wanted.includes(head.name) ? [i] : []);
  }
  if (hash.has('special')) state.special = hash.get('special') === '1';
  if (hash.has('lines')) state.lines = hash.get('lines') === '1';
  if (hash.has('theme')) state.light = hash.get('theme') === 'light';
  if (hash.has('key')) state.key = number('key', data.tokens.length - 1);
}

function writeHash(data) {
  const hash = new URLSearchParams({t: state.token, special: state.special ? 1 : 0, lines: state.lines ? 1 : 0,
    theme: state.light ? 'light' : 'dark'});
  if (state.locked.length > 0) hash.set('heads', state.locked.map(i => data.heads[i].name).join(','));
  if (state.key >= 0) hash.set('key', state.key);
  history.replaceState(null, '', `#${hash.toString().replace(/%2C/g, ',')}`);
}
