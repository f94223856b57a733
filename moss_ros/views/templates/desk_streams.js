// What the page knows of each narrator: messages of the desk in, rows to show out. No elements.

const MAX_ROWS = 1000;
const LINGER_MS = 4000; // a caption stays so long after its end, as on the overlay

// A row is {key, kind, ...}: kind 'narration', 'question', 'error', 'truth', 'note' or 'camera'.
export class Stream {
  constructor(name) {
    this.name = name;
    this.mark = 'waiting';
    this.reason = '';
    this.statuses = [];
    this.rows = [];
    this.running = null; // {narration_id, text, prompt_id, stamp_s}
    this.caption = null; // {text, question, hasEnded}
    this.truth = null;
    this.endedMs = 0;
    this.numPending = 0;
  }

  // A question that was typed here, before the narrator has taken it in.
  addPending(text, timeMs) {
    const row = {key: `p${++this.numPending}`, kind: 'question', text, timeMs, isPending: true};
    this.rows.push(row);
    return row;
  }

  // The desk or the narrator refused it.
  refuse(row, reason) {
    Object.assign(row, {isPending: false, end: reason});
  }

  // Takes in a piece of text; returns the row that it belongs to, null where it has none.
  take(message) {
    if (this.running?.narration_id !== message.narration_id) {
      this.running = {...message, text: ''};
    }
    this.running.text += message.text;
    const question = this.#question(message.prompt_id);
    this.caption = {
      text: this.running.text.trim(), question: question?.text ?? '', hasEnded: false};
    this.endedMs = 0;
    if (question) question.running = this.running.text.trim();
    return question;
  }

  // Takes over what was being said when the page connected.
  resume(running) {
    this.running = null;
    if (running) this.take(running);
    else if (this.caption && !this.caption.hasEnded) this.caption = null;
  }

  // Takes in an entry; returns the rows that are new or changed.
  add(entry, nowMs) {
    const row = {
      key: `e${entry.n}`, kind: entry.kind, text: entry.text, stampS: entry.stamp_s ?? null,
      timeMs: entry.time_ms};
    if (entry.kind === 'prompt') return this.#addQuestion(entry, row);
    if (entry.kind === 'narration') return this.#addNarration(entry, row, nowMs);
    if (entry.kind === 'error' && entry.prompt_id !== null) return this.#addRefused(entry, row);
    if (entry.kind === 'truth') this.truth = row;
    if (entry.kind === 'note') {
      this.running = null; // it is told no further
      const lost = this.#openQuestions().filter((question) => !question.isPending);
      for (const question of lost) question.end = 'not known';
      return [...lost, ...this.#push(row)];
    }
    return this.#push(row);
  }

  // The caption to show now, null for none.
  captionAt(nowMs) {
    if (this.caption?.hasEnded && nowMs - this.endedMs > LINGER_MS) this.caption = null;
    return this.caption;
  }

  // Questions that wait.
  get open() {
    return this.#openQuestions();
  }

  figure(task, key) {
    const status = this.statuses.find(({name}) => name.endsWith(`: ${task}`));
    return status?.values.find(([each]) => each === key)?.[1] ?? '';
  }

  #addQuestion(entry, row) {
    Object.assign(row, {kind: 'question', promptId: entry.prompt_id});
    const pending = this.#pending(entry.text);
    if (pending) { // it is the one that was typed here
      this.rows.splice(this.rows.indexOf(pending), 1);
      row.replaces = pending.key;
    }
    return this.#push(row);
  }

  // A question that the narrator does not ask its model: no entry told of it before.
  #addRefused(entry, row) {
    const question = this.#openQuestions().find(({promptId}) => promptId === entry.prompt_id)
      ?? this.#pending(entry.prompt_text);
    if (question) {
      this.refuse(question, entry.text);
      return [question];
    }
    if (entry.prompt_text) { // it was typed elsewhere
      Object.assign(row, {kind: 'question', text: entry.prompt_text, end: entry.text});
    }
    return this.#push(row);
  }

  #addNarration(entry, row, nowMs) {
    const question = entry.prompt_id === null ? null : this.#question(entry.prompt_id);
    Object.assign(row, {
      narrationId: entry.narration_id, end: entry.reason, thumbnail: entry.thumbnail ?? '',
      stampS: entry.first_stamp_s ?? row.stampS});
    if (this.running?.narration_id === entry.narration_id || !entry.text) this.running = null;
    if (entry.text) {
      this.caption = {text: entry.text, question: question?.text ?? '', hasEnded: true,
        reason: entry.reason};
      this.endedMs = nowMs;
    }
    if (question) {
      question.answer = row;
      question.running = '';
      return [question];
    }
    return this.#push(row);
  }

  #push(row) {
    this.rows.push(row);
    while (this.rows.length > MAX_ROWS) this.rows.shift();
    return [row];
  }

  #pending(text) {
    return this.rows.find((row) => row.isPending && row.text === text);
  }

  #question(promptId) {
    if (promptId === null || promptId === undefined) return null;
    return this.rows.findLast((row) => row.kind === 'question' && row.promptId === promptId)
      ?? null;
  }

  #openQuestions() {
    return this.rows.filter(
      (row) => row.kind === 'question' && !row.answer && row.end === undefined);
  }
}
