// Reads narrations aloud by the browser's own speech synthesis, where it has one.

const MAX_WAITING = 2; // what is said must not lag behind what is seen

export class Voice {
  #numWaiting = 0;
  isOn = false;

  get isThere() {
    return 'speechSynthesis' in window;
  }

  // Reads a text after those before it; where too many wait, they are left out.
  say(text) {
    if (!this.isOn || !this.isThere || !text) return;
    if (this.#numWaiting >= MAX_WAITING) this.stop();
    const utterance = new SpeechSynthesisUtterance(text);
    this.#numWaiting += 1;
    utterance.onend = utterance.onerror = () => {
      this.#numWaiting = Math.max(0, this.#numWaiting - 1);
    };
    window.speechSynthesis.speak(utterance);
  }

  // Says no more.
  stop() {
    if (this.isThere) window.speechSynthesis.cancel();
    this.#numWaiting = 0;
  }

  turn(isOn) {
    this.isOn = isOn;
    if (!isOn) this.stop();
  }
}
