// A camera as it is looked at: its picture, the mark of its narrator, and the caption over it.

import {element} from './desk_list.js';
import {PictureView} from './desk_picture.js';
import {MARKS} from './desk_text.js';

export class StreamView {
  #mark;
  #caption;
  #question;

  // root holds a canvas, a .mark and a .caption. onShown(name): a picture was drawn.
  constructor(root, onShown) {
    this.root = root;
    this.name = '';
    this.picture = new PictureView(root.querySelector('canvas'), () => onShown(this.name));
    this.#mark = root.querySelector('.mark');
    this.#caption = root.querySelector('.caption');
    this.#question = element('span', 'asked');
  }

  // Returns a view for the wall.
  static tile(text, onChosen, onShown) {
    const tile = element('button', 'tile view');
    tile.type = 'button';
    const canvas = element('canvas');
    canvas.setAttribute('aria-hidden', 'true');
    Object.assign(canvas, {width: 320, height: 240});
    const caption = element('span', 'caption');
    caption.dir = 'auto';
    tile.append(canvas, element('span', 'name', text), element('span', 'mark'), caption);
    tile.addEventListener('click', onChosen);
    return new StreamView(tile, onShown);
  }

  showMark({mark}) {
    const text = MARKS[mark] ?? mark;
    this.root.dataset.mark = mark;
    if (this.#mark.textContent !== text) this.#mark.textContent = text;
    this.#mark.className = `mark ${mark}`;
  }

  // The overlay has its caption in the picture.
  showCaption(caption, source) {
    this.#caption.hidden = !caption || source === 'overlay';
    if (this.#caption.hidden) {
      this.#caption.textContent = '';
      return;
    }
    const isCut = caption.hasEnded && caption.reason === 'interrupted';
    const text = caption.text + (isCut ? ' \u2026' : '');
    this.#question.textContent = caption.question;
    this.#caption.classList.toggle('ended', caption.hasEnded);
    this.#caption.replaceChildren(
      ...(caption.question ? [this.#question] : []), element('span', 'words', text));
  }
}
