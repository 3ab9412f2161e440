// The text as it is drawn now, as one SVG file that needs nothing else.
function textSvg(data) {
  const row = currentRow(data), box = document.getElementById('text-box').getBoundingClientRect();
  const style = getComputedStyle(document.documentElement), color = name => style.getPropertyValue(name).trim();
  const margin = 20, top = 64, width = Math.ceil(box.width) + 2 * margin, height = Math.ceil(box.height) + top + 52;
  const heading = `${data.meta.model}  ${selectionName(data)}`;
  const behind = `behind ‘${visible(data.tokens[data.prompt + state.token].text)}’, token ${state.token + 1} of ${data.count}`;
  let rects = '', words = '';
  data.spans.forEach((span, c) => {
    const seen = c < row.weights.length && row.shown(c), level = seen ? levelOf(row.weights[c], row.maximum) : 0;
    const now = c === data.prompt + state.token, later = c > data.prompt + state.token;
    for (const rect of span.getClientRects()) {
      const x = rect.left - box.left, y = rect.top - box.top;
      if (y < -4 || rect.bottom - box.top > box.height + 4) continue;  // scrolled away
      if (seen) rects += `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${rect.width.toFixed(1)}" height="${rect.height.toFixed(1)}" rx="3" fill="${css(colorOf(level))}"><title>${escapeText(visible(data.tokens[c].text))} ${row.weights[c].toFixed(3)}</title></rect>\n`;
      if (now) rects += `<rect x="${(x - 1).toFixed(1)}" y="${(y - 1).toFixed(1)}" width="${(rect.width + 2).toFixed(1)}" height="${(rect.height + 2).toFixed(1)}" rx="3" fill="none" stroke="${color('--accent')}" stroke-width="2"/>\n`;
    }
    words += wordsOf(span, box, seen ? inkOf(level) : color(row.weights.length > c || now ? '--text' : '--soft'), later ? 0.4 : 1);
  });
  const wires = wirePaths(data, row).map(w => `<path d="${w.d}" fill="none" stroke="${color('--accent')}" stroke-width="${w.width.toFixed(2)}" opacity="${w.opacity.toFixed(2)}"/>`).join('\n');
  const stops = Array.from({length: 9}, (_, i) => `<stop offset="${i / 8}" stop-color="${css(colorOf(i / 8))}"/>`).join('');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="ui-sans-serif, system-ui, 'DejaVu Sans', sans-serif">
<rect width="100%" height="100%" rx="12" fill="${color('--panel')}"/>
<text x="${margin}" y="30" font-size="17" font-weight="600" fill="${color('--text')}">${escapeText(heading)}</text>
<text x="${margin}" y="49" font-size="12" fill="${color('--soft')}">${escapeText(behind)}</text>
<g transform="translate(${margin} ${top})">
${rects}${words}${wires}
</g>
<defs><linearGradient id="scale">${stops}</linearGradient></defs>
<g font-size="12" fill="${color('--soft')}" transform="translate(${margin} ${height - 24})"><text y="9">0</text>
<rect x="14" width="150" height="10" rx="3" fill="url(#scale)"/><text x="172" y="9">${row.maximum.toFixed(3)} weight, by its square root${state.special ? '' : `; first and special tokens ${row.hidden.toFixed(2)}, left out`}</text></g>
</svg>
`;
}

// The words of a token where the browser put them, line by line.
function wordsOf(span, box, ink, opacity) {
  let out = '';
  const walker = document.createTreeWalker(span, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const size = parseFloat(getComputedStyle(node.parentElement).fontSize), range = document.createRange();
    // One run of text for each line that the node takes part in.
    let run = '', left = 0, base = 0;
    const flush = () => {
      if (run.trim() !== '') out += `<text x="${left.toFixed(1)}" y="${base.toFixed(1)}" font-size="${size}" fill="${ink}" opacity="${opacity}" xml:space="preserve">${escapeText(run)}</text>\n`;
      run = '';
    };
    for (let i = 0; i < node.length; ++i) {
      range.setStart(node, i);
      range.setEnd(node, i + 1);
      const rect = range.getClientRects()[0];
      if (!rect || rect.width === 0) { run += run === '' ? '' : node.data[i]; continue; }
      const y = rect.bottom - box.top - rect.height * 0.26;
      if (run !== '' && Math.abs(y - base) > 4) flush();
      if (run === '') { left = rect.left - box.left; base = y; }
      run += node.data[i];
    }
    if (base > 0 && base < box.height + 8) flush();
  }
  return out;
}

function saveSvg(data) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([textSvg(data)], {type: 'image/svg+xml'}));
  link.download = `${selectionName(data).replace(/[^\w]+/g, '-')}-token-${state.token + 1}.svg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
