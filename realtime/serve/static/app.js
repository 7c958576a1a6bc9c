// Entry of the page: the connection to the server, keys and buttons, and who draws what.

import { Charts } from "./charts.js";
import { Circle } from "./circle.js";
import { Microphone } from "./microphone.js";
import { Panel } from "./panel.js";
import { Speaker } from "./speaker.js";
import { recall, remember } from "./memory.js";
import { startTheme } from "./theme.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15000;
const SHORTEST_SILENCE_MS = 1000;
const LONGEST_ANSWER_MS = 10000;
// The server says something every ten seconds at least.
const LONGEST_QUIET_MS = 25000;
// The server takes half a minute to see that a connection which vanished is gone, and its microphone with it.
const MICROPHONE_PAUSE_MS = 5000;
const MOST_MICROPHONE_TRIES = 8;
// A calibration takes ten seconds; what is told meanwhile is for whoever began it.
const CALIBRATION_MS = 14000;

const byId = (id) => document.getElementById(id);
const panel = new Panel(byId);
const circle = new Circle(byId("breath"), byId("stage"));
const charts = new Charts(byId("trace"), byId("wave"), byId("spectrum"));
const speaker = new Speaker(byId("polite"), byId("urgent"), byId("speak-on"));
const switchTheme = startTheme(byId("theme"));

let token = takeToken();
let socket = null;
let microphone = null;
let isMicrophoneWanted = false;
let nMicrophoneTries = 0;
let nUnanswered = 0;
let attempt = 0;
let trying = 0;
let quiet = 0;
let pauseMs = FIRST_PAUSE_MS;
let isPaused = false;
let hasEnded = false;
let greeting = null;
let session = null;
let silence = 0;
let guidedUntilMs = 0;
let guiding = 0;

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

function authorization() {
  return token ? { Authorization: `Bearer ${token}` } : {};
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

// One attempt at a time: what an earlier one still brings is passed over.
async function connect() {
  clearTimeout(trying);
  const own = (attempt += 1);
  if (socket) lose(socket);
  let answer;
  try {
    answer = await ask("api/status", { headers: authorization() });
  } catch {
    if (own === attempt) again("the server does not answer");
    return;
  }
  if (own !== attempt) return;
  if (answer.status === 401) {
    askForToken();
    return;
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    if (own === attempt) again(said.error ?? `the server refused (${answer.status})`);
    return;
  }
  byId("token-form").hidden = true;
  const address = new URL("ws", location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  if (token) address.searchParams.set("token", token);
  const opening = new WebSocket(address);
  let wasOpen = false;
  socket = opening;
  socket.binaryType = "arraybuffer";
  expectMore(opening);
  socket.onopen = () => {
    wasOpen = true;
    expectMore(opening);
  };
  socket.onmessage = (received) => {
    wasOpen = true;
    expectMore(opening);
    take(JSON.parse(received.data));
  };
  socket.onclose = async (closing) => {
    lose(opening);
    if (hasEnded) return;
    panel.connection("lost", "Not connected: the connection was lost");
    // A browser does not tell a page why a WebSocket was not let in; to a plain request the server says it.
    const why = wasOpen ? "" : await refusal(address);
    if (own === attempt) again(closing.reason || why || "the connection was lost");
  };
}

async function refusal(address) {
  try {
    const plain = new URL(address);
    plain.protocol = location.protocol;
    // Unlike others to the page's own server, this one tells where the page is from, as a WebSocket does.
    const answer = await ask(plain, { method: "POST" });
    const said = answer.status === 403 || answer.status === 503 ? (await answer.json()).error : "";
    return said || "a WebSocket does not get through; does a proxy lie in between?";
  } catch {
    return "";
  }
}

// A connection that vanishes without a word is found out by its silence.
function expectMore(own) {
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    lose(own);
    again("the server has fallen silent");
  }, LONGEST_QUIET_MS);
}

function lose(own) {
  if (own !== socket) return;
  clearTimeout(quiet);
  socket = null;
  own.onopen = own.onmessage = own.onclose = null;
  own.close();
  const isWanted = isMicrophoneWanted;
  microphone?.stop();
  isMicrophoneWanted = isWanted;
  rest();
}

function again(reason) {
  const seconds = Math.round(pauseMs / 1000);
  const loss = isMicrophoneWanted ? `${reason}; your microphone is not heard meanwhile` : reason;
  panel.connection("lost", `Not connected: ${loss}; trying again in ${seconds} s`);
  if (pauseMs === FIRST_PAUSE_MS) speaker.alarm(`Not connected: ${loss}`);
  clearTimeout(trying);
  trying = setTimeout(connect, pauseMs);
  pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * pauseMs);
}

function askForToken() {
  panel.connection("lost", "A token is needed");
  byId("token-why").textContent = token
    ? "This one is not right. The server printed it when it started."
    : "The server printed it when it started.";
  byId("token-form").hidden = false;
  byId("token").focus();
}

const takers = {
  hello(hello) {
    greeting = hello;
    pauseMs = FIRST_PAUSE_MS;
    showConnected();
    panel.clear();
    charts.clear();
    charts.hopS = hello.settings.hop_s;
    byId("microphone").hidden = hello.source_kind !== "browser";
    nMicrophoneTries = nUnanswered = 0;
    if (hello.source_kind === "browser") openMicrophoneAgain();
    session = hello.session;
    panel.facts(session, hello);
    for (const past of hello.history) take(past, true);
    // What is wrong may have begun before all of them.
    panel.allWrong(hello.health);
  },
  session(news, isPast) {
    session = news.state === "begins" ? news : null;
    if (session) {
      if (!isPast) panel.clear();
      charts.clear();
      charts.hopS = session.hop_s;
      panel.facts(session);
    } else {
      rest();
      panel.note(`${news.source}: the session has ended`);
      panel.facts(null, greeting);
      if (!isPast) speaker.say("The session has ended.");
    }
  },
  frame(frame) {
    clearTimeout(silence);
    // Of a recording nothing is missed: it may wait.
    if (session?.is_live) silence = setTimeout(rest, Math.max(SHORTEST_SILENCE_MS, 3000 * session.hop_s));
    if (isPaused) return;
    circle.show(frame.phase);
    charts.add(frame);
    panel.frame(frame);
    speaker.hear(frame);
  },
  breath(breath) {
    circle.learn(breath);
    panel.breath(breath);
  },
  health(health, isPast) {
    panel.health(health);
    if (health.state === "ends" && !isPast) speaker.say("The sound is right again.");
  },
  advice(advice, isPast) {
    panel.advice(advice);
    if (!isPast) speaker.say(advice.text);
  },
  apnoea(apnoea, isPast) {
    const text =
      apnoea.state === "begins"
        ? `No breath heard for ${apnoea.duration_s.toFixed(0)} s`
        : `Pause over after ${apnoea.duration_s.toFixed(0)} s`;
    panel.note(text, apnoea.time_s);
    if (!isPast) speaker.say(text);
  },
  gap(gap) {
    panel.note(`${(gap.to_s - gap.from_s).toFixed(2)} s of sound missing: ${gap.reason}`, gap.from_s);
  },
  mark(mark, isPast) {
    charts.mark(mark.time_s);
    panel.note(`Mark ${mark.number}`, mark.time_s, "mark");
    if (!isPast) speaker.say(`Mark ${mark.number}`);
  },
  notice(notice, isPast) {
    panel.note(notice.text);
    if (!isPast && performance.now() < guidedUntilMs) guide(notice.text);
  },
  dropped(dropped) {
    panel.dropped(dropped.total);
  },
  microphone(answer) {
    if (answer.state !== "closed") nUnanswered -= 1;
    if (answer.state === "open" && nMicrophoneTries > 0) {
      nMicrophoneTries = 0;
      speaker.say("Your microphone is heard again.");
    }
    // What the server says of the one before comes while the next one has not been answered.
    if (answer.state === "open" || nUnanswered > 0) return;
    if (answer.state === "refused" && nMicrophoneTries > 0 && nMicrophoneTries < MOST_MICROPHONE_TRIES) {
      microphone?.stop();
      isMicrophoneWanted = true;
      setTimeout(openMicrophoneAgain, MICROPHONE_PAUSE_MS);
      return;
    }
    if (answer.state === "refused") {
      panel.note(`Your microphone was refused: ${answer.reason}`);
      speaker.alarm(`Your microphone was refused: ${answer.reason}`);
    }
    if (microphone?.isOpen) stopMicrophone();
  },
  end(end) {
    hasEnded = true;
    rest();
    if (microphone) stopMicrophone();
    panel.connection("lost", `The server has ended: ${end.reason}`);
    speaker.alarm(`The server has ended: ${end.reason}`);
  },
};

function take(message, isPast = false) {
  // Kinds that a later server adds are passed over.
  takers[message.event]?.(message, isPast);
}

// Nothing is heard any more: nobody should breathe along with what was.
function rest() {
  clearTimeout(silence);
  speaker.forget();
  circle.show("none");
  panel.unknown();
}

function showConnected() {
  panel.connection(isPaused ? "paused" : "open", isPaused ? "Paused" : "Connected");
}

function setPause(isWanted) {
  isPaused = isWanted;
  byId("pause").setAttribute("aria-pressed", String(isPaused));
  if (!hasEnded && socket?.readyState === WebSocket.OPEN) showConnected();
  if (isPaused) circle.show("none");
  else charts.clear();
  speaker.say(isPaused ? "Paused" : "Going on");
}

function mark() {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "mark" }));
}

function calibrate() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  socket.send(JSON.stringify({ type: "calibrate" }));
  guidedUntilMs = performance.now() + CALIBRATION_MS;
}

function guide(text) {
  byId("guide").textContent = text;
  byId("guide").hidden = false;
  speaker.say(text);
  clearTimeout(guiding);
  guiding = setTimeout(() => (byId("guide").hidden = true), CALIBRATION_MS);
}

function switchTable() {
  const card = byId("table-card");
  card.hidden = !card.hidden;
  card.parentElement.classList.toggle("no-table", card.hidden);
  byId("table-switch").setAttribute("aria-pressed", String(!card.hidden));
}

function showMicrophone(text, isOn) {
  byId("microphone").textContent = text;
  byId("microphone").setAttribute("aria-pressed", String(isOn));
}

function switchMicrophone() {
  if (microphone) stopMicrophone();
  else startMicrophone();
}

function stopMicrophone() {
  isMicrophoneWanted = false;
  microphone.stop();
}

// After a lost connection, if it was open before.
function openMicrophoneAgain() {
  if (!isMicrophoneWanted || microphone || socket?.readyState !== WebSocket.OPEN) return;
  nMicrophoneTries += 1;
  startMicrophone();
}

async function startMicrophone() {
  if (socket?.readyState !== WebSocket.OPEN) return;
  const own = new Microphone(socket, () => {
    if (own !== microphone) return;
    microphone = null;
    isMicrophoneWanted = false;
    showMicrophone("Use my microphone", false);
  });
  microphone = own;
  isMicrophoneWanted = true;
  showMicrophone("Stop my microphone", true);
  try {
    await own.start();
    if (own.isOpen) nUnanswered += 1;
  } catch (error) {
    isMicrophoneWanted = false;
    own.stop();
    panel.note(`Microphone: ${error.message}`);
    speaker.alarm(`Microphone: ${error.message}`);
  }
}

const keys = {
  " ": () => setPause(!isPaused),
  m: mark,
  c: calibrate,
  t: switchTable,
  d: switchTheme,
  s: () => speaker.sayNow(),
  "?": () => byId("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, dialog");
  const isPressing = event.key === " " && event.target.closest("button, a");
  if (isTyping || isPressing || event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  const act = keys[event.key.toLowerCase()];
  if (!act || !byId("keys-on").checked) return;
  event.preventDefault();
  act();
});

byId("pause").addEventListener("click", () => setPause(!isPaused));
byId("mark").addEventListener("click", mark);
byId("calibrate").addEventListener("click", calibrate);
byId("table-switch").addEventListener("click", switchTable);
byId("theme").addEventListener("click", switchTheme);
byId("theme").addEventListener("themechange", () => charts.redraw());
byId("help").addEventListener("click", () => byId("keys").showModal());
byId("microphone").addEventListener("click", switchMicrophone);
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  remember(() => sessionStorage, "token", token);
  connect();
});

connect();
