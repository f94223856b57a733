// The connection with the desk: messages and pictures come out, orders go in.
// It connects again by itself, asks for what it has missed, and says when it is cut off and why.

const QUIET_MS = 6000; // the desk sends a pulse each second
const CONNECT_MS = 8000;
const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 5000;
const ENDED = 1001;

export class Link {
  #socket = null;
  #heardMs = 0;
  #waitMs = FIRST_WAIT_MS;
  #timer = 0;
  #boot = '';
  #after = 0;
  #isOpen = false;
  #reason = '';

  // onMessage(message), onPicture(head, jpeg), onState(isOpen, reason)
  constructor({onMessage, onPicture, onState}) {
    Object.assign(this, {onMessage, onPicture, onState});
    setInterval(() => this.#watch(), 1000);
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.#watch(true);
    });
    window.addEventListener('online', () => this.#watch(true));
    this.#open();
  }

  // Sends an order; returns whether it is on its way.
  send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  #open() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const url = new URL('socket', document.baseURI);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.search = url.hash = '';
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#heardMs = performance.now();
    socket.onopen = () => {
      this.#heardMs = performance.now();
      this.send({type: 'hello', boot: this.#boot, after: this.#after});
    };
    socket.onmessage = ({data}) => {
      if (socket !== this.#socket) return;
      this.#heardMs = performance.now();
      if (typeof data === 'string') JSON.parse(data).forEach((message) => this.#take(message));
      else this.#show(data);
    };
    socket.onclose = ({code, reason}) => {
      if (socket === this.#socket) this.#cut(code === ENDED ? 'the desk has ended' : reason);
    };
  }

  #take(message) {
    if (message.type === 'welcome') {
      if (message.boot !== this.#boot) this.#after = 0;
      this.#boot = message.boot;
      this.#isOpen = true;
      this.#waitMs = FIRST_WAIT_MS;
      this.onState(true, '');
    } else if (message.type === 'entry') {
      if (message.n <= this.#after) return; // it is there already
      this.#after = message.n;
    }
    this.onMessage(message);
  }

  #show(data) {
    const length = new DataView(data).getUint32(0);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    this.onPicture(head, new Uint8Array(data, 4 + length));
  }

  #cut(reason) {
    this.#socket.onclose = this.#socket.onmessage = null;
    this.#socket.close();
    this.#socket = null;
    if (this.#isOpen || !this.#reason) this.#reason = reason;
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    this.onState(false, this.#reason);
    if (!wasOpen) this.#askWhy();
    this.#timer = setTimeout(() => this.#open(), this.#waitMs);
    this.#waitMs = Math.min(2 * this.#waitMs, MAX_WAIT_MS);
  }

  // A browser does not tell a script why a WebSocket was refused, but tells of this.
  async #askWhy() {
    try {
      const response = await fetch('socket', {method: 'POST'});
      this.#reason = response.status === 426 ? '' : (await response.text()).trim();
    } catch {
      this.#reason = '';
    }
    if (!this.#isOpen) this.onState(false, this.#reason);
  }

  #watch(isNow = false) {
    if (this.#socket === null) {
      if (isNow) this.#open();
      return;
    }
    const quietMs = performance.now() - this.#heardMs;
    if (quietMs > (this.#isOpen ? QUIET_MS : CONNECT_MS)) this.#cut('nothing was heard of it');
  }
}
