// The line in which questions are typed, with its history by the arrow keys.

import {keep, kept} from './desk_switches.js';

const MAX_KEPT = 50;

export class QuestionLine {
  #line;
  #history = kept('asked', []).filter((text) => typeof text === 'string');
  #index = this.#history.length;
  #draft = '';

  constructor(form, line, onAsk) {
    this.#line = line;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = line.value.trim();
      if (!text) return;
      this.#remember(text);
      line.value = '';
      onAsk(text);
    });
    line.addEventListener('keydown', (event) => this.#steer(event));
  }

  // Puts a question back that was not taken, unless another one is being typed.
  giveBack(text) {
    if (!this.#line.value) this.#line.value = text;
  }

  #remember(text) {
    this.#history = [...this.#history.filter((each) => each !== text), text].slice(-MAX_KEPT);
    this.#index = this.#history.length;
    keep({asked: this.#history});
  }

  #steer(event) {
    const step = {ArrowUp: -1, ArrowDown: 1}[event.key];
    if (!step || event.isComposing) return;
    const index = this.#index + step;
    if (index < 0 || index > this.#history.length) return;
    event.preventDefault();
    if (this.#index === this.#history.length) this.#draft = this.#line.value;
    this.#index = index;
    this.#line.value = this.#history[index] ?? this.#draft;
  }
}
