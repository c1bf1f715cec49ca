// What sticks out of the page, is cut off or lies over something else: texts, a line each.
() => {
  const faults = [];
  const root = document.documentElement;
  const wide = root.clientWidth;
  const name = (node) => {
    const e = node.nodeType === 1 ? node : node.parentElement;
    const own = typeof e.className === 'object' ? e.className.baseVal : e.className;
    return e.tagName.toLowerCase() + (e.id ? '#' + e.id : own ? '.' + own.split(' ')[0] : '');
  };
  const short = (text) => '«' + text.trim().replace(/\s+/g, ' ').slice(0, 40) + '»';
  const seen = (e) => e.checkVisibility({
    contentVisibilityAuto: true, opacityProperty: true, visibilityProperty: true});
  // Text for screen readers only: a box of a pixel, or clipped away.
  const forReaders = (e) => {
    for (let at = e; at && at !== document.body; at = at.parentElement) {
      const style = getComputedStyle(at);
      const box = at.getBoundingClientRect();
      if (style.clipPath === 'inset(50%)' || style.clip === 'rect(0px, 0px, 0px, 0px)') return true;
      if (style.position === 'absolute' && (box.right <= 0 || box.bottom + scrollY <= 0)) return true;
      if (style.overflow === 'hidden' && box.width <= 1.5 && box.height <= 1.5) return true;
    }
    return false;
  };
  const floats = (e) => {
    for (let at = e; at; at = at.parentElement) {
      if (['fixed', 'sticky'].includes(getComputedStyle(at).position)) return true;
    }
    return false;
  };
  // What of a rectangle can be seen: null when it is scrolled away; a fault when it is cut off.
  const shown = (rect, e, label) => {
    let {left, top, right, bottom} = rect;
    for (let at = e; at && at !== document.body && at !== root; at = at.parentElement) {
      const style = getComputedStyle(at);
      const vector = at instanceof SVGElement;
      if (vector ? at.tagName !== 'svg' : ['contents', 'inline'].includes(style.display)) continue;
      if (at === e && !label) continue;
      const box = at.getBoundingClientRect();
      for (const [axis, low, high] of [['overflowX', 'left', 'right'], ['overflowY', 'top', 'bottom']]) {
        const how = style[axis];
        if (how === 'visible') continue;
        const past = Math.max(box[low] - {left, top}[low], {right, bottom}[high] - box[high]);
        const room = axis === 'overflowX' ? 1.5 : 4;  // a line's box is taller than its letters
        if (past > room && (how === 'hidden' || how === 'clip') && label) {
          faults.push(`cut off by ${Math.round(past)} px in ${name(at)}: ${label}`);
          label = '';
        }
        if (axis === 'overflowX') { left = Math.max(left, box.left); right = Math.min(right, box.right); }
        else { top = Math.max(top, box.top); bottom = Math.min(bottom, box.bottom); }
      }
      if (right - left < 1 || bottom - top < 1) return null;
    }
    return {left, top, right, bottom};
  };

  // A line's letters, turned as they are: its box less the room above and below them.
  const corners = (box, matrix) => {
    const spare = 0.2 * box.height;
    const [top, bottom] = [box.y + spare, box.y + box.height - spare];
    return [[box.x, top], [box.x + box.width, top], [box.x + box.width, bottom], [box.x, bottom]]
      .map(([x, y]) => matrix ? [matrix.a * x + matrix.c * y + matrix.e,
                                 matrix.b * x + matrix.d * y + matrix.f] : [x, y]);
  };
  // How deep two convex shapes lie in each other: the separating axis theorem.
  const depth = (a, b) => {
    let least = Infinity;
    for (const shape of [a, b]) {
      for (const i of [0, 1]) {
        const [x, y] = [shape[i + 1][0] - shape[i][0], shape[i + 1][1] - shape[i][1]];
        const size = Math.hypot(x, y) || 1;
        const onto = (points) => points.map(([px, py]) => (py * x - px * y) / size);
        const [p, q] = [onto(a), onto(b)];
        least = Math.min(least, Math.max(...p) - Math.min(...q), Math.max(...q) - Math.min(...p));
      }
    }
    return least;
  };

  if (root.scrollWidth > wide + 1) faults.push(`the page is ${root.scrollWidth} px wide in ${wide}`);

  const BLOCKS = 'p,li,td,th,h1,h2,h3,dd,dt,button,a,label,summary,text';
  const lines = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, e = text.parentElement;
    if (!text.data.trim() || ['SCRIPT', 'STYLE', 'NOSCRIPT', 'TITLE', 'OPTION', 'desc', 'title']
        .includes(e.tagName)) continue;
    if (!seen(e) || forReaders(e)) continue;
    const vector = e instanceof SVGElement;
    const range = document.createRange();
    range.selectNodeContents(text);
    const rects = vector ? [e.getBoundingClientRect()] : [...range.getClientRects()];
    for (const rect of rects) {
      if (rect.width < 1 || rect.height < 1) continue;
      const part = shown(rect, e, short(text.data));
      if (!part) continue;
      if (part.right > wide + 1.5 || part.left < -1.5) {
        faults.push(`outside the window: ${name(e)} ${short(text.data)}`);
      }
      const [x, y, width, height] = [part.left, part.top, part.right - part.left, rect.height];
      const shape = vector ? corners(e.getBBox(), e.getScreenCTM()) : corners({x, y, width, height});
      lines.push({...part, e, shape, text: text.data, block: e.closest(BLOCKS) || e});
    }
  }
  for (const e of document.querySelectorAll('img,canvas,svg,select,input,button')) {
    const rect = e.getBoundingClientRect();
    if (!seen(e) || forReaders(e) || rect.width < 2 || rect.height < 2) continue;
    if (e.parentElement.closest('svg,button')) continue;
    const part = shown(rect, e, '');
    if (!part) continue;
    const shape = [[part.left, part.top], [part.right, part.top], [part.right, part.bottom],
                   [part.left, part.bottom]];
    lines.push({...part, e, shape, text: e.getAttribute('aria-label') || '', block: e, box: true});
  }
  const layered = (over, under) => over.box && over.e.tagName === 'svg'
    && under.e instanceof SVGElement && over.e.parentElement.contains(under.e);
  lines.sort((a, b) => a.top - b.top);
  for (let i = 0; i < lines.length; i++) {
    const a = lines[i];
    for (let k = i + 1; k < lines.length && lines[k].top < a.bottom; k++) {
      const b = lines[k];
      const together = a.e === b.e || a.block === b.block;
      if (together || a.block.contains(b.e) || b.block.contains(a.e)) continue;
      // Layers of one drawing lie over each other.
      if (layered(a, b) || layered(b, a)) continue;
      if (floats(a.e) === floats(b.e) && depth(a.shape, b.shape) > 2) {
        faults.push(`overlap: ${name(a.e)} ${short(a.text)} and ${name(b.e)} ${short(b.text)}`);
      }
    }
  }
  return [...new Set(faults)].slice(0, 20);
}
