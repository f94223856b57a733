// A camera's picture on a canvas: JPEGs in; the desk is told when one was drawn, and sends the next.

export class PictureView {
  #canvas;
  #onShown;
  #number = 0;
  #drawn = 0;

  constructor(canvas, onShown) {
    this.#canvas = canvas;
    this.#onShown = onShown;
  }

  // Draws a JPEG; one that comes after a newer one is left out.
  async show(jpeg) {
    const number = ++this.#number;
    let bitmap = null;
    try {
      bitmap = await createImageBitmap(new Blob([jpeg], {type: 'image/jpeg'}));
    } catch {
      this.#onShown(); // damaged: the next one may come all the same
      return;
    }
    // Not while the page is hidden: then no more come either.
    requestAnimationFrame(() => {
      if (number > this.#drawn) {
        this.#drawn = number;
        if (this.#canvas.width !== bitmap.width) this.#canvas.width = bitmap.width;
        if (this.#canvas.height !== bitmap.height) this.#canvas.height = bitmap.height;
        this.#canvas.getContext('2d').drawImage(bitmap, 0, 0);
        this.#canvas.dataset.drawn = number;
      }
      bitmap.close();
      this.#onShown();
    });
  }

  // Shows nothing.
  clear() {
    this.#drawn = this.#number;
    this.#canvas.getContext('2d').clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }
}
