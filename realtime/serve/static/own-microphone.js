// The page's own microphone, as somebody wants it: on or off, and on again after a lost connection.

import { Microphone } from "./microphone.js";

// The server takes half a minute to see that a connection which vanished is gone, and its microphone with it.
const PAUSE_MS = 5000;
const MOST_TRIES = 8;

export class OwnMicrophone {
  // `show(isOn)` is called when it changes; `heardAgain()` and `failed(reason)` for people.
  constructor(connection, { show, heardAgain, failed }) {
    this.connection = connection;
    this.show = show;
    this.heardAgain = heardAgain;
    this.failed = failed;
    this.current = null;
    this.isWanted = false;
    this.nTries = 0;
    this.nUnanswered = 0;
  }

  switch() {
    this.nTries = 0;
    if (this.isWanted) this.stop();
    else this.start();
  }

  stop() {
    this.isWanted = false;
    this.current?.stop();
    this.show(false);
  }

  // The connection is gone, and the wish stays.
  lose() {
    const isWanted = this.isWanted;
    this.current?.stop();
    this.isWanted = isWanted;
    this.show(isWanted);
  }

  // A new connection is there.
  greet() {
    this.nTries = this.nUnanswered = 0;
    this.tryAgain();
  }

  tryAgain() {
    if (!this.isWanted || this.current || !this.connection.isOpen) return;
    this.nTries += 1;
    this.start();
  }

  async start() {
    if (!this.connection.isOpen) return;
    const own = new Microphone(this.connection.socket, () => {
      if (own !== this.current) return;
      this.current = null;
      this.isWanted = false;
      this.show(false);
    });
    this.current = own;
    this.isWanted = true;
    this.show(true);
    try {
      await own.start();
      if (own.isOpen) this.nUnanswered += 1;
    } catch (error) {
      own.stop();
      this.failed(`Microphone: ${error.message}`);
    }
  }

  // What the server says of it: open, closed or refused.
  answered(state, reason) {
    if (state !== "closed") this.nUnanswered -= 1;
    if (state === "open" && this.nTries > 0) {
      this.nTries = 0;
      this.heardAgain();
    }
    // What the server says of the one before comes while the next one has not been answered.
    if (state === "open" || this.nUnanswered > 0) return;
    if (state === "refused" && this.nTries > 0 && this.nTries < MOST_TRIES) {
      this.lose();
      setTimeout(() => this.tryAgain(), PAUSE_MS);
      return;
    }
    if (state === "refused") this.failed(`Your microphone was refused: ${reason}`);
    if (this.current?.isOpen) this.stop();
  }
}
