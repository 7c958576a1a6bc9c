// Runs the page's own script on a document that is made up, and prints what it shows after each step.
// node page.mjs FOLDER-OF-THE-PAGE OPTIONS, with the steps as JSON on standard input: a message,
// {"wait_ms": N}, {"press": ID}, {"submit": ID}, {"close": true}. Options, in JSON: `speed`, of the page's
// clock; `refusal`, of the WebSocket; `is_storage_blocked`; `is_wiring_broken`, of the microphone.
// {"unplug": true} ends the sound of the microphone. `is_full`: the server has no room.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const SHOWN = ["word", "confidence", "rate", "level", "ratio", "connection", "guide"];
const elements = {};
const options = JSON.parse(process.argv[3] ?? "{}");

function made() {
  const nothing = () => undefined;
  return {
    textContent: "", value: "", dataset: {}, hidden: false, checked: true, children: [], rows: [],
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
const realTimeout = setTimeout;
const later = (ms) => new Promise((resolve) => realTimeout(resolve, ms));
const sent = [];
const sockets = [];
let socket = null;
class PretendedSocket {
  static OPEN = 1;
  readyState = 1;
  constructor() { sockets.push((socket = this)); }
  close() { this.readyState = 3; }
  send(content) { sent.push(typeof content === "string" ? JSON.parse(content).type : "sound"); }
}
// A microphone whose owner takes a tenth of a second to permit it.
const track = {
  isStopped: false, stop() { this.isStopped = true; }, addEventListener(name, take) { this[`on${name}`] = take; },
};
class PretendedContext {
  sampleRate = 48000;
  state = "running";
  audioWorklet = { addModule: async () => undefined };
  async resume() {}
  close() { this.state = "closed"; }
  createMediaStreamSource() {
    if (options.is_wiring_broken) throw new Error("differing rates");
    return { connect() {} };
  }
  addEventListener() {}
}
const stream = { getTracks: () => [track], getAudioTracks: () => [track] };
const mediaDevices = { getUserMedia: () => later(100).then(() => stream) };
const browser = {
  document: {
    getElementById: byId, createElement: made, addEventListener() {}, removeEventListener() {}, documentElement: made(), body: made(),
    visibilityState: "visible",
  },
  location: new URL("http://127.0.0.1:1/"),
  sessionStorage: { getItem: () => null, setItem() {} },
  localStorage: { getItem: () => null, setItem() {} },
  setTimeout: (act, ms) => realTimeout(act, ms / (options.speed ?? 1)),
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
  fetch: async (address, how) => {
    const isOfSocket = options.refusal && new URL(address, "http://127.0.0.1:1/").pathname === "/ws";
    if (!isOfSocket) return { ok: true, status: 200 };
    // To a plain request for it the page of the server itself tells no origin, and is told something else.
    const isPost = how.method === "POST";
    if (options.is_full && isPost) return { ok: false, status: 405 };
    if (!options.is_full && !isPost) return { ok: false, status: 400, json: async () => ({}) };
    if (options.is_full) return { ok: false, status: 503, json: async () => ({ error: options.refusal }) };
    return { ok: false, status: 403, json: async () => ({ error: options.refusal }) };
  },
};
if (options.is_storage_blocked) {
  const blocked = { get() { throw new Error("SecurityError"); }, configurable: true };
  for (const name of ["sessionStorage", "localStorage"]) {
    delete browser[name];
    Object.defineProperty(globalThis, name, blocked);
  }
}
for (const [name, value] of Object.entries({ ...browser, window: globalThis })) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

await import(pathToFileURL(`${process.argv[2]}/app.js`));
while (!socket) await later(1);
for (const step of JSON.parse(readFileSync(0, "utf-8"))) {
  if (step.wait_ms) await later(step.wait_ms);
  else if (step.press) byId(step.press).onclick();
  else if (step.unplug) track.onended();
  else if (step.submit) byId(step.submit).onsubmit({ preventDefault() {} });
  else if (step.close) socket.onclose?.({ reason: "" });
  else socket.onmessage({ data: JSON.stringify(step) });
  const texts = SHOWN.map((id) => [id, byId(id).textContent]);
  const health = byId("health").children.map((item) => item.textContent);
  console.log(JSON.stringify({ ...Object.fromEntries(texts), stage: byId("stage").dataset.phase, health,
    isGuided: Boolean(byId("guide").textContent) && !byId("guide").hidden, sent, isStopped: track.isStopped, nOpen: sockets.filter((one) => one.readyState === 1).length }));
}
process.exit(0);
