// Entry of the page: keys and buttons, what the server says, and who draws it.

import { Charts } from "./charts.js";
import { Circle } from "./circle.js";
import { Connection } from "./connection.js";
import { OwnMicrophone } from "./own-microphone.js";
import { Panel } from "./panel.js";
import { Speaker } from "./speaker.js";
import { startTheme } from "./theme.js";

const SHORTEST_SILENCE_MS = 1000;
// A calibration takes ten seconds; what is told meanwhile is for whoever began it.
const CALIBRATION_MS = 14000;

const byId = (id) => document.getElementById(id);
const panel = new Panel(byId);
const circle = new Circle(byId("breath"), byId("stage"));
const charts = new Charts(byId("trace"), byId("wave"), byId("spectrum"));
const speaker = new Speaker(byId("polite"), byId("urgent"), byId("speak-on"));
const switchTheme = startTheme(byId("theme"));

let isPaused = false;
let greeting = null;
let session = null;
let silence = 0;
let guidedUntilMs = 0;
let guiding = 0;

const connection = new Connection({
  open: () => (byId("token-form").hidden = true),
  message: take,
  lost() {
    microphone.lose();
    rest();
    stopGuiding();
    if (!connection.hasEnded) panel.connection("lost", "Not connected: the connection was lost");
  },
  waiting(reason, seconds, isFirst) {
    const loss = microphone.isWanted ? `${reason}; your microphone is not heard meanwhile` : reason;
    panel.connection("lost", `Not connected: ${loss}; trying again in ${seconds} s`);
    if (isFirst) speaker.alarm(`Not connected: ${loss}`);
  },
  tokenNeeded(isWrong) {
    panel.connection("lost", "A token is needed");
    const where = "The server printed it when it started.";
    byId("token-why").textContent = isWrong ? `This one is not right. ${where}` : where;
    byId("token-form").hidden = false;
    byId("token").focus();
  },
});

const microphone = new OwnMicrophone(connection, {
  show(isOn) {
    byId("microphone").textContent = isOn ? "Stop my microphone" : "Use my microphone";
    byId("microphone").setAttribute("aria-pressed", String(isOn));
  },
  heardAgain: () => speaker.say("Your microphone is heard again."),
  failed(reason) {
    panel.note(reason);
    speaker.alarm(reason);
  },
});

const takers = {
  hello(hello) {
    greeting = hello;
    connection.settle();
    showConnected();
    panel.clear();
    charts.clear();
    charts.hopS = hello.settings.hop_s;
    byId("microphone").hidden = hello.source_kind !== "browser";
    if (hello.source_kind === "browser") microphone.greet();
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
      stopGuiding();
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
    microphone.answered(answer.state, answer.reason);
  },
  end(end) {
    connection.end();
    rest();
    microphone.stop();
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
  if (!connection.hasEnded && connection.isOpen) showConnected();
  if (isPaused) circle.show("none");
  else charts.clear();
  speaker.say(isPaused ? "Paused" : "Going on");
}

function mark() {
  connection.send({ type: "mark" });
}

function calibrate() {
  if (!connection.isOpen) return;
  connection.send({ type: "calibrate" });
  guidedUntilMs = performance.now() + CALIBRATION_MS;
}

function guide(text) {
  byId("guide").textContent = text;
  byId("guide").hidden = false;
  speaker.say(text);
  clearTimeout(guiding);
  guiding = setTimeout(stopGuiding, CALIBRATION_MS);
}

function stopGuiding() {
  guidedUntilMs = 0;
  byId("guide").hidden = true;
}

function switchTable() {
  const card = byId("table-card");
  card.hidden = !card.hidden;
  card.parentElement.classList.toggle("no-table", card.hidden);
  byId("table-switch").setAttribute("aria-pressed", String(!card.hidden));
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
byId("microphone").addEventListener("click", () => microphone.switch());
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  connection.useToken(byId("token").value.trim());
});

connection.connect();
