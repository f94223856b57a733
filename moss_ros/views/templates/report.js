// The page of one bag: search, filter by prompt, and a timeline that leads to what was said.
// Works on the elements of the page alone; texts are read and compared, never made into markup.
// The address keeps the search (#q=red+ball&prompt=0), so a search can be sent as a link.
'use strict';
(() => {
  const byId = (id) => document.getElementById(id);
  const list = byId('narrations');
  if (!list) return; // nothing was said

  const [search, prompt, hits, nothing] = ['search', 'prompt', 'hits', 'no-hits'].map(byId);
  const [bar, viewport, strip, cursor] = ['bar', 'window', 'strip', 'cursor'].map(byId);
  const durationS = Number(strip.dataset.durationS);
  const REM_PER_ROW = 7.1; // what a row is about as high as, before it is laid out
  const chunks = Array.from(list.querySelectorAll('.chunk'), (element, number) => ({
    element,
    number,
    num: element.querySelectorAll('.narration').length,
    first: 0, // index of the first that is shown, and behind the last
    end: 0,
    hasPictures: number === 0,
  }));
  const chunkOf = new Map(chunks.map((chunk) => [chunk.element, chunk]));
  const rows = Array.from(list.querySelectorAll('.narration'), (element) => {
    const texts = Array.from(
      element.querySelectorAll('.question, .said:not(.empty)'), (p) => p.lastChild);
    const beginS = Number(element.dataset.beginS);
    const askedS = Number(element.dataset.askedS ?? beginS);
    const isSaid = !element.querySelector('.said.empty');
    return {
      element,
      chunk: chunkOf.get(element.parentElement),
      texts,
      text: texts.map((node) => node.data).join('\n'),
      prompt: element.dataset.prompt ?? '',
      isSaid,
      fromS: askedS, // where it stands among others
      atS: isSaid ? beginS : askedS, // where the cursor stands for it
      beginS,
      endS: Number(element.dataset.endS),
    };
  });
  let shown = rows;
  let current = null;
  let isFiltered = false;
  let highlighted = []; // the words that are marked where they are seen
  let zoom = 1;

  function clock(seconds) {
    const whole = Math.floor(seconds);
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    const two = (number) => String(number).padStart(2, '0');
    return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
  }

  // Search and filter

  function isChosen(row) {
    if (prompt.value === '') return true;
    if (prompt.value === 'unasked') return row.prompt === '';
    if (prompt.value === 'answers') return row.prompt !== '' && row.isSaid;
    if (prompt.value === 'unanswered') return row.prompt !== '' && !row.isSaid;
    return row.prompt === prompt.value;
  }

  function patterns() {
    return search.value.split(/\s+/).filter(Boolean).map(
      (word) => new RegExp(word.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&'), 'gi'));
  }

  function filter() {
    const words = patterns();
    // What is being read stays where it is.
    const top = shown.length && isScrolled() ? topRow() : null;
    const chosen = !top && current && isInSight(current) ? current : null;
    const chosenTop = chosen?.element.getBoundingClientRect().top;
    shown = rows.filter((row) => {
      const isHit = isChosen(row) && words.every((word) => row.text.search(word) >= 0);
      if (row.element.hidden === isHit) row.element.hidden = !isHit;
      return isHit;
    });
    isFiltered = words.length > 0 || prompt.value !== '';
    layOut();
    document.body.classList.toggle('filtered', isFiltered);
    hits.value = isFiltered ? `${shown.length} of ${rows.length}` : `${rows.length} narrations`;
    nothing.hidden = shown.length > 0;
    highlighted = words;
    drawStretches();
    if (top && !top.element.hidden) {
      top.element.scrollIntoView({block: 'start', behavior: 'instant'});
    } else if (chosen && !chosen.element.hidden) {
      const movedPx = chosen.element.getBoundingClientRect().top - chosenTop;
      window.scrollBy({top: movedPx, behavior: 'instant'});
    }
    followScroll();
  }

  function layOut() {
    for (const chunk of chunks) chunk.first = chunk.end = -1;
    shown.forEach(({chunk}, index) => {
      if (chunk.first < 0) chunk.first = index;
      chunk.end = index + 1;
    });
    for (const {element, num, first, end} of chunks) {
      element.hidden = first < 0;
      // As high as it was when it was seen, or as it may be with so many rows.
      element.style.containIntrinsicBlockSize = end - first === num && !isFiltered ? ''
        : `${REM_PER_ROW * (end - first)}rem`;
    }
  }

  function shownChunks() {
    return chunks.filter(({first}) => first >= 0);
  }

  // What is about to be seen gets its pictures, and its hits are marked.
  function prepareNear() {
    const near = shownChunks().filter(({element}) => {
      const {top, bottom} = element.getBoundingClientRect();
      return bottom > -window.innerHeight && top < 2 * window.innerHeight;
    });
    near.forEach(showPictures);
    highlight(highlighted, near.flatMap(({first, end}) => shown.slice(first, end)));
  }

  function showPictures(chunk) {
    if (chunk.hasPictures) return;
    const data = byId(`pictures-${chunk.number}`);
    if (!data) return; // still to be read
    chunk.hasPictures = true;
    const pictures = JSON.parse(data.textContent);
    chunk.element.querySelectorAll('.narration .no-picture').forEach((place, index) => {
      if (!pictures[index]) return; // as its text says
      const image = new Image();
      image.alt = '';
      image.decoding = 'async';
      image.src = `data:image/jpeg;base64,${pictures[index]}`;
      place.replaceWith(image);
    });
    data.remove();
  }

  function drawStretches() {
    byId('wide-stretches').setAttribute('d', stretches(rows));
    byId('hit-stretches').setAttribute('d', isFiltered ? stretches(shown) : '');
  }

  function stretches(some) {
    const leastS = 1.5 * durationS / strip.clientWidth; // wide enough to be seen
    const apart = []; // those that meet are drawn as one
    for (const {beginS, endS} of some.filter(({isSaid}) => isSaid)) {
      const last = apart[apart.length - 1];
      const untilS = Math.max(endS, beginS + leastS);
      if (last && beginS <= last[1]) last[1] = Math.max(last[1], untilS);
      else apart.push([beginS, untilS]);
    }
    return apart.map(([fromS, untilS]) => {
      const widthS = (untilS - fromS).toFixed(3);
      return `M${fromS.toFixed(3)} 0h${widthS}v1h${-widthS}z`;
    }).join('');
  }

  function highlight(words, some) {
    if (!window.Highlight) return; // an older browser finds as well, but paints nothing
    const ranges = [];
    for (const word of words) {
      for (const node of some.flatMap((row) => row.texts)) {
        for (const match of node.data.matchAll(word)) {
          const range = new Range();
          range.setStart(node, match.index);
          range.setEnd(node, match.index + match[0].length);
          ranges.push(range);
        }
      }
    }
    CSS.highlights.set('hit', new Highlight(...ranges));
  }

  // The address

  let addressTimer = 0;
  function keepInAddress() {
    clearTimeout(addressTimer);
    addressTimer = setTimeout(() => { // browsers limit how often an address may change
      const kept = new URLSearchParams();
      if (search.value) kept.set('q', search.value);
      if (prompt.value) kept.set('prompt', prompt.value);
      history.replaceState(null, '', `#${kept}`);
    }, 300);
  }

  function takeFromAddress() {
    const kept = new URLSearchParams(location.hash.slice(1));
    if (!kept.has('q') && !kept.has('prompt')) return;
    search.value = kept.get('q') ?? '';
    prompt.value = kept.get('prompt') ?? '';
    if (prompt.selectedIndex < 0) prompt.value = '';
    filter();
  }

  // The timeline

  function nearest(seconds) {
    let low = 0;
    let high = shown.length;
    while (low < high) { // the first that comes later
      const middle = (low + high) >> 1;
      if (shown[middle].fromS <= seconds) low = middle + 1; else high = middle;
    }
    const before = shown[low - 1];
    const after = shown[low];
    if (!before || !after) return before ?? after;
    return seconds - before.endS <= after.fromS - seconds ? before : after;
  }

  function go(row) {
    if (!row) return;
    mark(row);
    const {top} = row.chunk.element.getBoundingClientRect();
    const isFar = Math.abs(top) > 5 * window.innerHeight && chunks.length > 1;
    row.element.scrollIntoView({block: 'start', behavior: isFar ? 'instant' : 'auto'});
    // What comes into sight is laid out only now, and may be higher than it was taken for.
    if (isFar) settle(row, 3);
  }

  function settle(row, numTimes) {
    requestAnimationFrame(() => {
      if (row !== current) return;
      row.element.scrollIntoView({block: 'start', behavior: 'instant'});
      if (numTimes > 1) settle(row, numTimes - 1);
    });
  }

  function mark(row) {
    current?.element.classList.remove('current');
    current = row;
    row.element.classList.add('current');
    point(row);
  }

  function point(row) {
    cursor.hidden = false;
    cursor.style.left = `${100 * row.atS / durationS}%`;
    strip.setAttribute('aria-valuenow', row.atS.toFixed(1));
    strip.setAttribute('aria-valuetext', `${clock(row.atS)}: ${spoken(row)}`);
    const x = strip.clientWidth * row.atS / durationS;
    if (x < viewport.scrollLeft || x > viewport.scrollLeft + viewport.clientWidth) {
      viewport.scrollLeft = x - viewport.clientWidth / 2;
    }
  }

  function spoken(row) {
    const silence = row.element.querySelector('.said.empty');
    return silence ? [row.text, silence.textContent].filter(Boolean).join('\n') : row.text;
  }

  function isScrolled() {
    return bar.getBoundingClientRect().top <= 0;
  }

  function topRow() {
    const chunk = firstBelow(shownChunks());
    return firstBelow(shown.slice(chunk.first, chunk.end));
  }

  function firstBelow(some) { // the first that is not above the edge
    const edge = bar.getBoundingClientRect().bottom;
    let low = 0;
    let high = some.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (some[middle].element.getBoundingClientRect().bottom <= edge) low = middle + 1;
      else high = middle;
    }
    return some[low];
  }

  function followScroll() {
    prepareNear();
    if (shown.length && !(current && isInSight(current))) point(topRow());
  }

  function isInSight(row) {
    const {top, bottom} = row.element.getBoundingClientRect();
    const edge = bar.getBoundingClientRect().bottom;
    return !row.element.hidden && bottom > edge && top < window.innerHeight;
  }

  function drawTicks() {
    const widthPx = strip.clientWidth;
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
    const step = steps.find((some) => widthPx * some / durationS >= 70) ?? 86400;
    strip.querySelectorAll('.tick').forEach((tick) => tick.remove());
    for (let seconds = 0; seconds < durationS; seconds += step) {
      const left = widthPx * seconds / durationS;
      if (left > widthPx - 50) break; // its label would be cut off
      const tick = document.createElement('span');
      tick.className = 'tick';
      tick.style.left = `${100 * seconds / durationS}%`;
      tick.textContent = clock(seconds);
      strip.append(tick);
    }
  }

  function setZoom(wanted, centreS) {
    // Down to a hundredth of a second a pixel, within what browsers can lay out.
    const most = Math.max(1, Math.min(100 * durationS, 200000) / viewport.clientWidth);
    zoom = Math.min(Math.max(wanted, 1), most);
    strip.style.width = `${100 * zoom}%`;
    viewport.scrollLeft = strip.clientWidth * centreS / durationS - viewport.clientWidth / 2;
    byId('zoom-in').disabled = zoom >= most;
    byId('zoom-out').disabled = zoom <= 1;
    drawTicks();
    drawStretches();
  }

  function secondsAt(clientX) {
    const {left, width} = strip.getBoundingClientRect();
    return durationS * (clientX - left) / width;
  }

  function zoomAround(factor) {
    const centre = viewport.getBoundingClientRect();
    setZoom(zoom * factor, secondsAt(centre.left + centre.width / 2));
  }

  function steer(event) {
    const index = shown.indexOf(current ?? nearest(0));
    const target = {
      ArrowRight: index + 1, ArrowDown: index + 1, ArrowLeft: index - 1, ArrowUp: index - 1,
      PageDown: index + 10, PageUp: index - 10, Home: 0, End: shown.length - 1,
    }[event.key];
    if (target === undefined || !shown.length) return;
    event.preventDefault();
    go(shown[Math.min(Math.max(current ? target : index, 0), shown.length - 1)]);
  }

  function onKey(event) {
    if (event.key === '/' && document.activeElement !== search) {
      event.preventDefault();
      search.focus();
    } else if (event.key === 'Escape' && (search.value || prompt.value)) {
      search.value = prompt.value = '';
      filter();
      keepInAddress();
    }
  }

  let isScrollPending = false;
  window.addEventListener('scroll', () => {
    if (isScrollPending) return;
    isScrollPending = true;
    requestAnimationFrame(() => {
      isScrollPending = false;
      followScroll();
    });
  }, {passive: true});
  for (const field of [search, prompt]) {
    field.addEventListener('input', () => {
      filter();
      keepInAddress();
    });
  }
  byId('search-form').addEventListener('submit', (event) => {
    event.preventDefault();
    go(shown[0]);
  });
  strip.addEventListener('click', (event) => go(nearest(secondsAt(event.clientX))));
  strip.addEventListener('keydown', steer);
  viewport.addEventListener('wheel', (event) => {
    if (!event.ctrlKey) return; // also what a pinch on a touchpad sends
    event.preventDefault();
    setZoom(zoom * Math.exp(-event.deltaY / 200), secondsAt(event.clientX));
  }, {passive: false});
  byId('zoom-in').addEventListener('click', () => zoomAround(2));
  byId('zoom-out').addEventListener('click', () => zoomAround(0.5));
  document.addEventListener('keydown', onKey);
  window.addEventListener('hashchange', takeFromAddress);
  new ResizeObserver(() => {
    document.documentElement.style.setProperty('--bar-px', `${bar.offsetHeight}px`);
    drawTicks();
    drawStretches();
  }).observe(bar);

  document.addEventListener('DOMContentLoaded', prepareNear); // all pictures are there
  window.addEventListener('beforeprint', () => chunks.forEach(showPictures));

  setZoom(1, 0);
  filter();
  takeFromAddress();
})();
