// The desk's page: cameras as tabs and as a wall, questions, calls, figures, keys.
// Messages of the desk come from a Link and are kept in Streams; texts never become markup.

import {Link} from './desk_link.js';
import {NarrationList} from './desk_list.js';
import {showFacts, showFigures, showWarnings} from './desk_figures.js';
import {keepSwitches} from './desk_switches.js';
import {QuestionLine} from './desk_question.js';
import {Stream} from './desk_streams.js';
import {StreamView} from './desk_view.js';
import {cameraName, MARKS, timeText} from './desk_text.js';
import {Tabs} from './desk_tabs.js';
import {Voice} from './desk_voice.js';

const byId = (id) => document.getElementById(id);
const WALL = '*';
const TICK_MS = 500;

const streams = new Map(); // by name, in the order in which they were found
const tiles = new Map(); // views of the wall, by name
const orders = new Map(); // what to do with the result of an order, by its number
const voice = new Voice();
const list = new NarrationList(byId('list'), byId('newest'));
const tabs = new Tabs(byId('tabs'), choose);
let chosen = null; // the name of a narrator, WALL, or null
let numOrders = 0;
let clockOffsetMs = 0;
let isCatchingUp = true;
let runningAtStart = {}; // what narrators were saying when the page connected

const link = new Link({onMessage: take, onPicture: showPicture, onState: showConnection});
const view = new StreamView(byId('one'), (name) => link.send(
  {type: 'shown', picture: [name, switches.source]}));
const switches = keepSwitches({
  onSource: watch, onTruth: showTruth, onAloud: (isOn) => voice.turn(isOn)});
const line = new QuestionLine(byId('ask'), byId('question'), ask);
voice.turn(switches.isAloud);

function nowMs() {
  return Date.now() + clockOffsetMs;
}

// What the desk sends

function take(message) {
  const taker = {
    welcome, pulse: takePulse, mark: takeMark, token: takeToken, entry: takeEntry,
    result: takeResult, refused: ({text}) => tell(text, true),
  }[message.type];
  taker?.(message);
}

function welcome(message) {
  isCatchingUp = true;
  if (message.is_new) {
    for (const stream of streams.values()) {
      Object.assign(stream, {rows: [], running: null, caption: null, truth: null});
    }
    if (streams.has(chosen)) list.open(streams.get(chosen), nowMs());
  }
  if (message.lost) tell(`${message.lost} events were missed and are forgotten by the desk.`, true);
  for (const [name, stream] of streams) stream.resume(message.running[name]);
  runningAtStart = message.running;
  // What follows in this batch is from the memory: it is shown, but neither read nor announced.
  setTimeout(() => { isCatchingUp = false; }, 0);
  watch();
}

function streamOf(name) {
  let stream = streams.get(name);
  if (!stream) {
    stream = new Stream(name);
    streams.set(name, stream);
    stream.resume(runningAtStart[name]);
    showTabs();
  }
  return stream;
}

function takePulse(message) {
  clockOffsetMs = message.now_ms - Date.now();
  for (const narrator of message.narrators) {
    const stream = streamOf(narrator.narrator);
    stream.statuses = narrator.statuses;
    takeMark(narrator);
    if (stream.name === chosen) showHealth(stream);
  }
  const known = new Set(message.narrators.map(({narrator}) => narrator));
  for (const stream of streams.values()) {
    if (!known.has(stream.name)) forget(stream);
  }
}

// The desk does not know it, as after a new start of the desk: what was known is not true any more.
function forget(stream) {
  stream.statuses = [];
  takeMark({narrator: stream.name, mark: 'gone', reason: 'The desk has not found it since it was started.'});
  if (stream.name === chosen) showHealth(stream);
}

function takeMark(message) {
  const stream = streamOf(message.narrator);
  const isNew = stream.mark !== message.mark;
  Object.assign(stream, {mark: message.mark, reason: message.reason});
  if (isNew) tabs.mark(stream.name, MARKS[stream.mark]);
  viewOf(stream)?.showMark(stream);
  if (stream.name === chosen) showReason(stream);
}

function takeToken(message) {
  const stream = streamOf(message.narrator);
  const question = stream.take(message);
  viewOf(stream)?.showCaption(stream.captionAt(nowMs()), switches.source);
  if (stream.name !== chosen) return;
  if (question) list.update([question], nowMs());
  else list.showRunning();
}

function takeEntry(message) {
  const stream = streamOf(message.narrator);
  const rows = stream.add(message, nowMs());
  if (stream.name === chosen) {
    list.update(rows, nowMs());
    list.showRunning();
  }
  if (message.kind === 'truth') showTruth();
  viewOf(stream)?.showCaption(stream.captionAt(nowMs()), switches.source);
  if (isCatchingUp || message.kind !== 'narration' || !message.text) return;
  if (stream.name === chosen || chosen === WALL) {
    const name = chosen === WALL ? `${cameraName(stream.name)}: ` : '';
    byId('live').textContent = name + message.text;
    voice.say(name + message.text);
  }
}

function takeResult(message) {
  const order = orders.get(message.id);
  orders.delete(message.id);
  order?.(message.ok, message.text);
}

function showPicture(head, jpeg) {
  const stream = streams.get(head.narrator);
  const target = stream && viewOf(stream);
  if (target && head.source === switches.source) target.picture.show(jpeg);
  else link.send({type: 'shown', picture: [head.narrator, head.source]});
}

function showConnection(isOpen, reason) {
  document.body.classList.toggle('offline', !isOpen);
  const why = reason ? `: ${reason}` : '';
  byId('connection').textContent = isOpen ? 'connected'
    : `disconnected${why.replace(/\.$/, '')}. Trying again.`;
  if (!isOpen) {
    voice.stop();
    for (const give of orders.values()) give(false, 'The desk was cut off before it answered.');
    orders.clear();
  }
}

// What is shown

function viewOf(stream) {
  if (chosen === WALL) return tiles.get(stream.name);
  return stream.name === chosen ? view : null;
}

function showTabs() {
  const names = [...streams.keys()].sort();
  byId('nobody').hidden = names.length > 0;
  tabs.show([
    ...names.map((name) => ({
      id: name, text: cameraName(name), mark: MARKS[streams.get(name).mark]})),
    ...(names.length > 1 ? [{id: WALL, text: 'Wall', mark: ''}] : [])]);
  if (chosen === null) choose(names[0]);
  else tabs.choose(chosen);
  if (chosen === WALL) {
    showWall();
    watch();
  }
}

function choose(name) {
  chosen = name;
  tabs.choose(name);
  byId('one').hidden = name === WALL;
  byId('wall').hidden = name !== WALL;
  tell('');
  if (name === WALL) showWall();
  else showOne(streams.get(name));
  showTruth();
  watch();
}

// From its tile, which is hidden then, into one camera: what is typed goes there.
function enter(name) {
  choose(name);
  byId('one').focus();
}

function showOne(stream) {
  const name = cameraName(stream.name);
  byId('one').setAttribute('aria-label', name);
  byId('picture').setAttribute('aria-label', `Picture of ${name}`);
  view.name = stream.name;
  view.picture.clear();
  view.showMark(stream);
  view.showCaption(stream.captionAt(nowMs()), switches.source);
  list.open(stream, nowMs());
  showHealth(stream);
  showReason(stream);
}

function showWall() {
  for (const name of [...streams.keys()].sort()) {
    if (tiles.has(name)) continue;
    const tile = StreamView.tile(
      cameraName(name), () => enter(name),
      () => link.send({type: 'shown', picture: [name, switches.source]}));
    tile.name = name;
    tiles.set(name, tile);
    byId('wall').append(tile.root);
  }
  for (const [name, tile] of tiles) {
    tile.showMark(streams.get(name));
    tile.showCaption(streams.get(name).captionAt(nowMs()), switches.source);
  }
}

function showHealth(stream) {
  showFigures(byId('figures'), stream);
  showWarnings(byId('warnings'), stream);
  showFacts(byId('facts'), stream);
}

function showReason(stream) {
  byId('reason').hidden = !stream.reason;
  if (byId('reason').textContent !== stream.reason) byId('reason').textContent = stream.reason;
  // For a screen reader: not whether it speaks, which changes all the time and is heard anyway.
  const isWell = stream.mark === 'speaking' || stream.mark === 'silent';
  const trouble = isWell ? '' : MARKS[stream.mark];
  if (byId('trouble').textContent !== trouble) byId('trouble').textContent = trouble;
  byId('pause-text').textContent = stream.mark === 'paused' ? 'Go on' : 'Pause';
}

function showTruth() {
  const truths = [...streams.values()].filter(({truth}) => truth);
  switches.showTruthSwitch(truths.length > 0);
  const truth = switches.hasTruth ? streams.get(chosen)?.truth : null;
  byId('truth-line').hidden = !truth;
  if (truth) {
    byId('truth-line').textContent =
      `In the scene, ${timeText(truth.stampS, truth.timeMs)}: ${truth.text}`;
  }
}

function tell(text, isBad = false) {
  byId('told').textContent = text;
  byId('told').classList.toggle('bad', isBad);
}

function watch() {
  const names = chosen === WALL ? [...streams.keys()] : [chosen].filter(Boolean);
  link.send({type: 'watch', pictures: names.map((name) => [name, switches.source])});
}

// Orders

function order(message, onResult) {
  numOrders += 1;
  if (link.send({...message, id: numOrders, narrator: chosen})) orders.set(numOrders, onResult);
  else onResult(false, 'The desk is cut off: nothing was sent.');
}

function ask(text) {
  const stream = streams.get(chosen);
  if (!stream) return;
  const row = stream.addPending(text, nowMs());
  list.update([row], nowMs());
  list.toNewest();
  tell('');
  order({type: 'ask', text}, (isDone, reason) => {
    if (isDone) return;
    stream.refuse(row, reason);
    if (stream.name === chosen) list.update([row], nowMs());
    line.giveBack(text);
    tell(reason, true);
  });
}

function call(service, doneText) {
  if (!streams.has(chosen)) return;
  order({type: 'call', service}, (isDone, reason) =>
    tell(isDone ? doneText : reason || 'It was refused.', !isDone));
  if (service === 'interrupt') voice.stop();
}

function interrupt() {
  call('interrupt', 'Interrupted.');
}

function togglePause() {
  if (streams.get(chosen)?.mark === 'paused') call('resume', 'It goes on.');
  else call('pause', 'Paused.');
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  const isTyping = event.target.matches('input:not([type=checkbox]), textarea, select');
  if (event.key === 'Escape') {
    event.preventDefault();
    interrupt();
  } else if (event.key === '/' && !isTyping) {
    event.preventDefault();
    byId('question').focus();
  } else if (event.key === ' ' && !isTyping
      && !event.target.matches('button, input, summary, a, [role=tab]')) {
    event.preventDefault();
    if (!event.repeat) togglePause();
  }
}

byId('interrupt').addEventListener('click', interrupt);
byId('pause').addEventListener('click', togglePause);
byId('reset').addEventListener('click', () => call('reset', 'The stream begins anew.'));
document.addEventListener('keydown', onKey);
setInterval(() => {
  list.tick(nowMs());
  for (const stream of streams.values()) {
    viewOf(stream)?.showCaption(stream.captionAt(nowMs()), switches.source);
  }
}, TICK_MS);
