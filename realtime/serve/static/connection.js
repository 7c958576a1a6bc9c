// The way to the server: found, missed when it falls silent, and found again.

import { recall, remember } from "./memory.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15000;
const LONGEST_ANSWER_MS = 10000;
// The server says something every ten seconds at least.
const LONGEST_QUIET_MS = 25000;

export class Connection {
  // Who uses it is told: `open()`, `message(content)`, `lost()` when it was there, `waiting(reason, seconds,
  // isFirst)` until the next attempt, and `tokenNeeded(isWrong)`.
  constructor(user) {
    this.user = user;
    this.token = takeToken();
    this.socket = null;
    this.attempt = 0;
    this.pauseMs = FIRST_PAUSE_MS;
    this.hasEnded = false;
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  send(content) {
    if (this.isOpen) this.socket.send(JSON.stringify(content));
  }

  useToken(token) {
    this.token = token;
    remember(() => sessionStorage, "token", token);
    this.connect();
  }

  // It is well: the next loss is a first one again.
  settle() {
    this.pauseMs = FIRST_PAUSE_MS;
  }

  // The server has said good-bye: it is not looked for again.
  end() {
    this.hasEnded = true;
  }

  // One attempt at a time: what an earlier one still brings is passed over.
  async connect() {
    clearTimeout(this.trying);
    const own = (this.attempt += 1);
    if (this.socket) this.lose(this.socket);
    let answer;
    try {
      const headers = this.token ? { Authorization: `Bearer ${this.token}` } : {};
      answer = await ask("api/status", { headers });
    } catch {
      if (own === this.attempt) this.again("the server does not answer");
      return;
    }
    if (own !== this.attempt) return;
    if (answer.status === 401) {
      this.user.tokenNeeded(Boolean(this.token));
      return;
    }
    if (!answer.ok) {
      const said = await answer.json().catch(() => ({}));
      if (own === this.attempt) this.again(said.error ?? `the server refused (${answer.status})`);
      return;
    }
    this.user.open();
    this.openSocket(own);
  }

  openSocket(own) {
    const address = new URL("ws", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    if (this.token) address.searchParams.set("token", this.token);
    const socket = new WebSocket(address);
    let wasOpen = false;
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    this.expectMore(socket);
    socket.onopen = () => {
      wasOpen = true;
      this.expectMore(socket);
    };
    socket.onmessage = (received) => {
      wasOpen = true;
      this.expectMore(socket);
      this.user.message(JSON.parse(received.data));
    };
    socket.onclose = async (closing) => {
      this.lose(socket);
      if (this.hasEnded) return;
      // A browser does not tell a page why a WebSocket was not let in; to a plain request the server says it.
      const why = wasOpen ? "" : await refusal(address);
      if (own === this.attempt) this.again(closing.reason || why || "the connection was lost");
    };
  }

  // A connection that vanishes without a word is found out by its silence.
  expectMore(socket) {
    clearTimeout(this.quiet);
    this.quiet = setTimeout(() => {
      this.lose(socket);
      this.again("the server has fallen silent");
    }, LONGEST_QUIET_MS);
  }

  lose(socket) {
    if (socket !== this.socket) return;
    clearTimeout(this.quiet);
    this.socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.user.lost();
  }

  again(reason) {
    if (this.hasEnded) return;
    this.user.waiting(reason, Math.round(this.pauseMs / 1000), this.pauseMs === FIRST_PAUSE_MS);
    clearTimeout(this.trying);
    this.trying = setTimeout(() => this.connect(), this.pauseMs);
    this.pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.pauseMs);
  }
}

// The token leaves the address bar, and with it the history and what is copied from there.
function takeToken() {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given) {
    remember(() => sessionStorage, "token", given);
    address.searchParams.delete("token");
    history.replaceState(null, "", address);
  }
  return given ?? recall(() => sessionStorage, "token") ?? "";
}

async function ask(address, how) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), LONGEST_ANSWER_MS);
  try {
    return await fetch(address, { ...how, signal: limit.signal });
  } finally {
    clearTimeout(timer);
  }
}

async function refusal(address) {
  try {
    const plain = new URL(address);
    plain.protocol = location.protocol;
    // Unlike others to the page's own server, this one tells where the page is from, as a WebSocket does; it is
    // answered 405 where that is no reason.
    let answer = await ask(plain, { method: "POST" });
    if (answer.status === 405) answer = await ask(plain, {});
    const said = answer.status === 403 || answer.status === 503 ? (await answer.json()).error : "";
    return said || "a WebSocket does not get through; does a proxy lie in between?";
  } catch {
    return "";
  }
}
