// Runs the page's own script on a document that is made up, and prints what it shows after each step.
// node page.mjs FOLDER-OF-THE-PAGE, with the steps as JSON on standard input: a message, {"wait_ms": N},
// {"press": ID} or {"close": true}.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const SHOWN = ["word", "confidence", "rate", "level", "ratio", "connection"];
const elements = {};

function made() {
  const nothing = () => undefined;
  return {
    textContent: "", dataset: {}, hidden: false, checked: true, children: [], rows: [],
    width: 300, height: 100, clientWidth: 300, clientHeight: 100, lastElementChild: null,
    parentElement: { classList: { toggle: nothing } },
    replaceChildren(...children) { this.children = children; },
    prepend: nothing, setAttribute: nothing, dispatchEvent: nothing,
    addEventListener(name, take) { this[`on${name}`] = take; },
    deleteRow: nothing, insertCell: made, getBoundingClientRect: () => ({ width: 300, height: 100 }),
    getContext: () => new Proxy({}, { get: () => nothing, set: () => true }),
  };
}

const byId = (id) => (elements[id] ??= made());
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const sent = [];
let socket = null;
class PretendedSocket {
  static OPEN = 1;
  readyState = 1;
  constructor() { socket = this; }
  send(content) { sent.push(typeof content === "string" ? JSON.parse(content).type : "sound"); }
}
// A microphone whose owner takes a tenth of a second to permit it.
const track = { isStopped: false, stop() { this.isStopped = true; }, addEventListener() {} };
class PretendedContext {
  sampleRate = 48000;
  state = "running";
  audioWorklet = { addModule: async () => undefined };
  async resume() {}
  close() { this.state = "closed"; }
  createMediaStreamSource() { return { connect() {} }; }
  addEventListener() {}
}
const stream = { getTracks: () => [track], getAudioTracks: () => [track] };
const mediaDevices = { getUserMedia: () => later(100).then(() => stream) };
const browser = {
  document: {
    getElementById: byId, createElement: made, addEventListener() {}, documentElement: made(), body: made(),
  },
  location: new URL("http://127.0.0.1:1/"),
  sessionStorage: { getItem: () => null, setItem() {} },
  localStorage: { getItem: () => null, setItem() {} },
  matchMedia: () => ({ matches: true, addEventListener() {} }),
  requestAnimationFrame: () => 0,
  getComputedStyle: () => ({ getPropertyValue: () => "#000", color: "#000" }),
  ResizeObserver: class { observe() {} },
  devicePixelRatio: 1,
  addEventListener() {},
  WebSocket: PretendedSocket,
  navigator: { mediaDevices },
  AudioContext: PretendedContext,
  AudioWorkletNode: class { port = {}; },
  fetch: async () => ({ ok: true, status: 200 }),
};
for (const [name, value] of Object.entries({ ...browser, window: globalThis })) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

await import(pathToFileURL(`${process.argv[2]}/app.js`));
while (!socket) await later(1);
for (const step of JSON.parse(readFileSync(0, "utf-8"))) {
  if (step.wait_ms) await later(step.wait_ms);
  else if (step.press) byId(step.press).onclick();
  else if (step.close) socket.onclose({ reason: "" });
  else socket.onmessage({ data: JSON.stringify(step) });
  const texts = SHOWN.map((id) => [id, byId(id).textContent]);
  const health = byId("health").children.map((item) => item.textContent);
  console.log(JSON.stringify({ ...Object.fromEntries(texts), stage: byId("stage").dataset.phase, health,
    sent, isStopped: track.isStopped }));
}
process.exit(0);
