// Tabs: one for each camera and one for the wall; the arrow keys go from one to the next.

import {element} from './desk_list.js';

export class Tabs {
  #root;
  #onChosen;
  #chosen = null;
  #tabs = new Map();

  constructor(root, onChosen) {
    this.#root = root;
    this.#onChosen = onChosen;
    root.addEventListener('keydown', (event) => this.#steer(event));
  }

  // Shows tabs {id, text, mark}; who steers through them goes on from the same one.
  show(items) {
    const [focused] = [...this.#tabs].find(([, tab]) => tab === document.activeElement) ?? [];
    this.#tabs = new Map(items.map(({id, text, mark}) => {
      const tab = element('button', 'tab');
      tab.type = 'button';
      tab.setAttribute('role', 'tab');
      tab.setAttribute('aria-controls', id === '*' ? 'wall' : 'one');
      tab.append(element('span', 'name', text), element('span', 'tab-mark', mark));
      tab.addEventListener('click', () => this.#onChosen(id));
      return [id, tab];
    }));
    this.#root.replaceChildren(...this.#tabs.values());
    this.#tabs.get(focused)?.focus();
    this.choose(this.#chosen);
  }

  mark(id, text) {
    const mark = this.#tabs.get(id)?.querySelector('.tab-mark');
    if (mark) mark.textContent = text;
  }

  choose(id) {
    this.#chosen = id;
    for (const [each, tab] of this.#tabs) {
      tab.setAttribute('aria-selected', String(each === id));
      tab.tabIndex = each === id ? 0 : -1;
    }
  }

  #steer(event) {
    const ids = [...this.#tabs.keys()];
    const index = ids.indexOf(this.#chosen);
    const target = {
      ArrowRight: (index + 1) % ids.length, ArrowLeft: (index + ids.length - 1) % ids.length,
      Home: 0, End: ids.length - 1}[event.key];
    if (target === undefined) return;
    event.preventDefault();
    this.#onChosen(ids[target]);
    this.#tabs.get(ids[target]).focus();
  }
}
