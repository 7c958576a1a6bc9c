// Runs the page's own script on a document that is made up, and prints what it shows after each step.
// node page.mjs FOLDER-OF-THE-PAGE, with the steps as JSON on standard input: a message, {"wait_ms": N} or
// {"close": true}.

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
    prepend: nothing, setAttribute: nothing, addEventListener: nothing, dispatchEvent: nothing,
    deleteRow: nothing, insertCell: made, getBoundingClientRect: () => ({ width: 300, height: 100 }),
    getContext: () => new Proxy({}, { get: () => nothing, set: () => true }),
  };
}

const byId = (id) => (elements[id] ??= made());
let socket = null;
class PretendedSocket {
  static OPEN = 1;
  readyState = 1;
  constructor() { socket = this; }
  send() {}
}
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
  fetch: async () => ({ ok: true, status: 200 }),
};
for (const [name, value] of Object.entries({ ...browser, window: globalThis })) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

await import(pathToFileURL(`${process.argv[2]}/app.js`));
while (!socket) await later(1);
for (const step of JSON.parse(readFileSync(0, "utf-8"))) {
  if (step.wait_ms) await later(step.wait_ms);
  else if (step.close) socket.onclose({ reason: "" });
  else socket.onmessage({ data: JSON.stringify(step) });
  const texts = SHOWN.map((id) => [id, byId(id).textContent]);
  const health = byId("health").children.map((item) => item.textContent);
  console.log(JSON.stringify({ ...Object.fromEntries(texts), stage: byId("stage").dataset.phase, health }));
}
process.exit(0);
