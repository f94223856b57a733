// The list of what was said: rows of a Stream in, elements out. Texts stay texts.

import {durationText, endText, noAnswerText, timeText} from './desk_text.js';

const NEAR_PX = 48;

export function element(tag, className = '', text = '') {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export class NarrationList {
  #list;
  #newest;
  #stream = null;
  #items = new Map();
  #running = null;
  #numUnseen = 0;

  // list: an ol that scrolls. newest: a button that leads to its end.
  constructor(list, newest) {
    this.#list = list;
    this.#newest = newest;
    newest.addEventListener('click', () => this.toNewest());
    list.addEventListener('scroll', () => this.#followScroll(), {passive: true});
    new ResizeObserver(() => {
      if (!this.#numUnseen && this.newestIsWanted) this.#list.scrollTop = this.#list.scrollHeight;
    }).observe(list);
    this.newestIsWanted = true;
  }

  // Shows all rows of a stream.
  open(stream, nowMs) {
    this.#stream = stream;
    this.#items.clear();
    this.#running = null;
    this.#list.replaceChildren(...stream.rows.map((row) => this.#item(row, nowMs)));
    this.showRunning();
    this.toNewest();
  }

  // Shows rows that are new or changed.
  update(rows, nowMs) {
    const isAtEnd = this.newestIsWanted;
    for (const row of rows) {
      const known = this.#items.get(row.key);
      if (row.replaces) {
        this.#items.get(row.replaces)?.remove();
        this.#items.delete(row.replaces);
      }
      const item = this.#item(row, nowMs);
      if (known) known.replaceWith(item);
      else {
        this.#list.insertBefore(item, this.#running);
        if (!isAtEnd) this.#numUnseen += 1;
      }
    }
    while (this.#items.size > this.#stream.rows.length) {
      const [key, item] = this.#items.entries().next().value;
      item.remove();
      this.#items.delete(key);
    }
    this.#settle(isAtEnd);
  }

  // Shows what is being said and answers no question.
  showRunning() {
    const running = this.#stream.running;
    const isWanted = running && running.text.trim()
      && !this.#stream.rows.some((row) => row.running && !row.answer);
    const isAtEnd = this.newestIsWanted;
    if (!isWanted) {
      this.#running?.remove();
      this.#running = null;
      return;
    }
    if (!this.#running) {
      this.#running = element('li', 'narration running');
      this.#running.append(
        element('span', 'time', timeText(running.stamp_s, Date.now())),
        element('div', 'picture no-picture', '\u2026'), element('p', 'said'));
      this.#running.querySelector('.said').dir = 'auto';
      this.#list.append(this.#running);
    }
    this.#running.querySelector('.said').textContent = running.text.trim();
    this.#settle(isAtEnd);
  }

  // The waiting times of open questions go on.
  tick(nowMs) {
    for (const row of this.#stream?.open ?? []) {
      const wait = this.#items.get(row.key)?.querySelector('.wait');
      if (wait) wait.textContent = waitText(row, nowMs);
    }
  }

  toNewest() {
    this.newestIsWanted = true;
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#tellUnseen(0);
  }

  #settle(isAtEnd) {
    if (isAtEnd) this.toNewest();
    else this.#tellUnseen(this.#numUnseen);
  }

  #followScroll() {
    const {scrollTop, scrollHeight, clientHeight} = this.#list;
    this.newestIsWanted = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    if (this.newestIsWanted) this.#tellUnseen(0);
  }

  #tellUnseen(number) {
    this.#numUnseen = number;
    this.#newest.hidden = number === 0;
    this.#newest.textContent = `${number} newer below`;
  }

  #item(row, nowMs) {
    const item = element('li', `narration ${row.kind}`);
    this.#items.set(row.key, item);
    const time = timeText(row.stampS, row.timeMs);
    if (row.kind === 'question') this.#fillQuestion(item, row, time, nowMs);
    else if (row.kind === 'narration') fillNarration(item, row, time);
    else {
      const label = {
        error: 'Error', truth: 'In the scene', note: 'Note', camera: 'Camera'}[row.kind];
      const line = element('p', 'line');
      line.dir = 'auto';
      line.append(element('b', '', `${label}: `), row.text);
      item.append(element('span', 'time', time), line);
    }
    return item;
  }

  #fillQuestion(item, row, time, nowMs) {
    const asked = element('p', 'question');
    asked.dir = 'auto';
    asked.append(element('span', 'unseen', 'Asked: '), row.text);
    item.append(element('span', 'time', time), asked);
    if (row.answer?.text) {
      const answer = element('div', 'answer');
      fillNarration(answer, row.answer, timeText(row.answer.stampS, row.answer.timeMs));
      const waited = waitedS(row);
      if (waited !== null) {
        const after = waited < 0.05 ? 'at once' : `after ${durationText(waited)}`;
        answer.querySelector('.note').textContent = [after, endText(row.answer.end)].filter(
          Boolean).join(', ');
      }
      item.append(answer);
    } else if (row.answer) {
      item.append(element('p', 'note', noAnswerText(row.answer.end)));
    } else if (row.end !== undefined) {
      item.append(element('p', 'note bad', row.end));
    } else if (row.running) {
      const said = element('p', 'said', row.running);
      said.dir = 'auto';
      item.append(said);
    } else {
      item.append(element('p', 'note wait', waitText(row, nowMs)));
    }
  }
}

function fillNarration(item, row, time) {
  const picture = element('div', 'picture');
  if (row.thumbnail) {
    const image = element('img');
    Object.assign(image, {alt: '', loading: 'lazy', decoding: 'async'});
    image.src = `thumbnail/${encodeURIComponent(row.thumbnail)}.jpg`;
    image.addEventListener('error', () => {
      picture.classList.add('no-picture');
      picture.replaceChildren('no picture');
    });
    picture.append(image);
  } else {
    picture.classList.add('no-picture');
    picture.textContent = 'no picture';
  }
  const words = element('div', 'words');
  const said = element('p', 'said', row.text);
  said.dir = 'auto';
  words.append(said, element('p', 'note', endText(row.end)));
  item.append(element('span', 'time', time), picture, words);
}

function waitedS(row) {
  const {answer} = row;
  const seconds = row.stampS !== null && answer.stampS !== null ? answer.stampS - row.stampS
    : (answer.timeMs - row.timeMs) / 1000;
  return seconds >= 0 ? seconds : null;
}

function waitText(row, nowMs) {
  const seconds = Math.max(0, Math.floor((nowMs - row.timeMs) / 1000));
  return row.isPending ? `waits to be taken in, ${seconds} s` : `waits for its answer, ${seconds} s`;
}
