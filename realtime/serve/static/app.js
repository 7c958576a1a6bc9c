// Entry of the page: the connection to the server, keys and buttons, and who draws what.

import { Charts } from "./charts.js";
import { Circle } from "./circle.js";
import { Microphone } from "./microphone.js";
import { Panel } from "./panel.js";
import { Speaker } from "./speaker.js";
import { startTheme } from "./theme.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15000;
const SHORTEST_SILENCE_MS = 1000;

const byId = (id) => document.getElementById(id);
const panel = new Panel(byId);
const circle = new Circle(byId("breath"), byId("stage"));
const charts = new Charts(byId("trace"), byId("wave"), byId("spectrum"));
const speaker = new Speaker(byId("polite"), byId("urgent"), byId("speak-on"));
const switchTheme = startTheme(byId("theme"));

let token = takeToken();
let socket = null;
let microphone = null;
let pauseMs = FIRST_PAUSE_MS;
let isPaused = false;
let hasEnded = false;
let greeting = null;
let session = null;
let silence = 0;

// The token leaves the address bar, and with it the history and what is copied from there.
function takeToken() {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    address.searchParams.delete("token");
    history.replaceState(null, "", address);
  }
  return given ?? sessionStorage.getItem("token") ?? "";
}

function authorization() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

async function connect() {
  let answer;
  try {
    answer = await fetch("api/status", { headers: authorization() });
  } catch {
    again("the server does not answer");
    return;
  }
  if (answer.status === 401) {
    askForToken();
    return;
  }
  if (!answer.ok) {
    again(`the server refused (${answer.status})`);
    return;
  }
  byId("token-form").hidden = true;
  const address = new URL("ws", location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  if (token) address.searchParams.set("token", token);
  socket = new WebSocket(address);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (received) => take(JSON.parse(received.data));
  socket.onclose = (closing) => {
    microphone?.stop();
    rest();
    if (!hasEnded) again(closing.reason || "the connection was lost");
  };
}

function again(reason) {
  const seconds = Math.round(pauseMs / 1000);
  panel.connection("lost", `Not connected: ${reason}; trying again in ${seconds} s`);
  if (pauseMs === FIRST_PAUSE_MS) speaker.alarm(`Not connected: ${reason}`);
  setTimeout(connect, pauseMs);
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
  notice(notice) {
    panel.note(notice.text);
  },
  dropped(dropped) {
    panel.dropped(dropped.total);
  },
  microphone(answer) {
    if (answer.state === "refused") {
      panel.note(`Your microphone was refused: ${answer.reason}`);
      speaker.alarm(`Your microphone was refused: ${answer.reason}`);
    }
    if (answer.state !== "open") microphone?.stop();
  },
  end(end) {
    hasEnded = true;
    rest();
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

async function switchMicrophone() {
  if (microphone) {
    microphone.stop();
    return;
  }
  if (socket?.readyState !== WebSocket.OPEN) return;
  const own = new Microphone(socket, () => {
    microphone = null;
    showMicrophone("Use my microphone", false);
  });
  microphone = own;
  showMicrophone("Stop my microphone", true);
  try {
    await own.start();
  } catch (error) {
    microphone = null;
    showMicrophone("Use my microphone", false);
    panel.note(`Microphone: ${error.message}`);
    speaker.alarm(`Microphone: ${error.message}`);
  }
}

const keys = {
  " ": () => setPause(!isPaused),
  m: mark,
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
byId("table-switch").addEventListener("click", switchTable);
byId("theme").addEventListener("click", switchTheme);
byId("theme").addEventListener("themechange", () => charts.redraw());
byId("help").addEventListener("click", () => byId("keys").showModal());
byId("microphone").addEventListener("click", switchMicrophone);
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value.trim();
  sessionStorage.setItem("token", token);
  connect();
});

connect();
