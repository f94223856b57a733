// Figures and warnings of a narrator: the statuses of /diagnostics in, elements out.

import {element} from './desk_list.js';
import {LEVELS} from './desk_text.js';

const number = (text, unit = '') => (text === '' ? '\u2013' : `${text}${unit}`);
const whole = (text, unit) => number(text === '' ? '' : String(Math.round(Number(text))), unit);
// The names of the values are those of moss_ros/nodes/diagnostics.py.
const FIGURES = [
  ['Camera', ({figure}) => number(figure('camera', 'input rate (images/s)'), ' fps')],
  ['Latency', ({figure}) => whole(figure('model', 'latency frame to text p50 (ms)'), ' ms')],
  ['Latency, p95', ({figure}) => whole(figure('model', 'latency frame to text p95 (ms)'), ' ms')],
  ['Dropped', ({figure}) => number(figure('camera', 'frames dropped'))],
  ['Context', ({figure}) => whole(figure('model', 'context fill (%)'), ' %')],
];

// Shows children in a parent, unless the same are shown already: what is selected stays so.
function replace(parent, children) {
  const before = parent.dataset.shown;
  const now = JSON.stringify(children.map((child) => child.textContent));
  if (before === now) return;
  parent.dataset.shown = now;
  parent.replaceChildren(...children);
}

function pair(name, value) {
  const group = element('div');
  group.append(element('dt', '', name), element('dd', '', value));
  return group;
}

export function showFigures(parent, stream) {
  const figure = (task, key) => stream.figure(task, key);
  replace(parent, FIGURES.map(([name, text]) => pair(name, text({figure}))));
}

export function showWarnings(parent, stream) {
  replace(parent, stream.statuses.filter(({level}) => level > 0).map((status) => {
    const item = element('li', 'warning');
    item.dir = 'auto';
    item.append(
      element('b', '', `${LEVELS[status.level] ?? 'ERROR'}, ${status.name}: `), status.message);
    return item;
  }));
}

export function showFacts(parent, stream) {
  replace(parent, stream.statuses.map((status) => {
    const group = element('section');
    const pairs = element('dl');
    pairs.append(...status.values.flatMap(
      ([key, value]) => [element('dt', '', key), element('dd', '', value || '\u2013')]));
    group.append(element('h2', '', `${status.name}: ${LEVELS[status.level] ?? ''}`), pairs);
    return group;
  }));
}
