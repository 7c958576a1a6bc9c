// Everything on the page that is text: phase, figures, breath table, health, messages.

const WORDS = { inhale: "▲\nInhale", exhale: "▼\nExhale", none: "No\nbreath" };
const MOST_ROWS = 60;
const MOST_NOTES = 40;
const CONDITIONS = {
  stalled: "No sound is coming",
  overruns: "Sound was lost",
  clipping: "Too loud",
  too_quiet: "Too quiet",
  dc_offset: "Off its zero line",
  hum_50_hz: "Mains hum, 50 Hz",
  hum_60_hz: "Mains hum, 60 Hz",
};

export class Panel {
  constructor(byId) {
    this.byId = byId;
    this.clear();
  }

  clear() {
    this.wrong = new Map();
    this.nDropped = 0;
    this.byId("breaths").replaceChildren();
    this.byId("no-breaths").hidden = false;
    this.byId("log").replaceChildren();
    for (const id of ["variability", "latency"]) this.set(id, "");
    this.set("ratio", "–");
    this.unknown();
    this.showHealth();
  }

  // What holds of now alone.
  unknown() {
    for (const id of ["word", "confidence", "rate", "level"]) this.set(id, "–");
  }

  set(id, text) {
    const place = this.byId(id);
    if (place.textContent !== text) place.textContent = text;
  }

  connection(state, text) {
    this.byId("connection").dataset.state = state;
    this.set("connection", text);
  }

  facts(session, hello) {
    if (session) {
      // Why this engine was chosen is for the terminal.
      this.set("facts", `${session.source} · ${session.engine} · pack ${session.pack} · hop ${session.hop_s} s`);
    } else if (hello.source_kind === "browser") {
      this.set("facts", `Waiting for ${hello.listens_to}`);
    }
  }

  frame(frame) {
    this.set("word", WORDS[frame.phase]);
    this.set("confidence", frame.phase === "none" ? "–" : `${Math.round(100 * frame.confidence)} %`);
    this.set("rate", frame.rate_per_min === null ? "–" : frame.rate_per_min.toFixed(1));
    this.set("level", frame.level_dbfs.toFixed(0));
    const parts = [`Latency ${frame.latency_p50_ms.toFixed(1)} ms, 99 % within ${frame.latency_p99_ms.toFixed(1)} ms`];
    if (frame.skipped_windows) parts.push(`${frame.skipped_windows} windows skipped`);
    if (frame.lost_samples) parts.push(`${frame.lost_samples} samples lost`);
    if (this.nDropped) parts.push(`${this.nDropped} messages missed by this page`);
    parts.push(`at ${clock(frame.time_s)}`);
    this.set("latency", parts.join(" · "));
  }

  breath(breath) {
    const row = document.createElement("tr");
    const pause = breath.inhale_pause_s + breath.exhale_pause_s;
    const cells = [
      String(breath.number),
      clock(breath.inhale_onset_s),
      breath.inhale_s.toFixed(2),
      breath.exhale_s.toFixed(2),
      pause.toFixed(2),
      ratio(breath.ie_ratio),
      breath.rate_per_min.toFixed(1),
    ];
    for (const text of cells) row.insertCell().textContent = text;
    const rows = this.byId("breaths");
    rows.prepend(row);
    while (rows.rows.length > MOST_ROWS) rows.deleteRow(-1);
    this.byId("no-breaths").hidden = true;
    this.set("ratio", ratio(breath.ie_ratio));
    const spread = [];
    if (breath.sdbb_s !== null) spread.push(`SD ${breath.sdbb_s.toFixed(2)} s`);
    if (breath.rmssd_s !== null) spread.push(`RMSSD ${breath.rmssd_s.toFixed(2)} s`);
    this.set("variability", spread.length ? `Variability of the cycle: ${spread.join(", ")}` : "");
  }

  health(health) {
    if (health.state === "ends") this.wrong.delete(health.condition);
    else this.wrong.set(health.condition, CONDITIONS[health.condition] ?? health.condition);
    this.showHealth();
  }

  // Every condition that is wrong now, with its advice.
  allWrong(advice) {
    this.wrong = new Map(Object.entries(advice));
    this.showHealth();
  }

  advice(advice) {
    if (this.wrong.has(advice.condition)) this.wrong.set(advice.condition, advice.text);
    this.showHealth();
  }

  showHealth() {
    const texts = [...this.wrong.values()];
    const items = (texts.length ? texts : ["Nothing to complain of."]).map((text) => {
      const item = document.createElement("li");
      item.className = texts.length ? "bad" : "fine";
      item.textContent = text;
      return item;
    });
    this.byId("health").replaceChildren(...items);
  }

  note(text, timeS, kind = "") {
    const item = document.createElement("li");
    item.className = kind;
    item.textContent = timeS === undefined ? text : `${clock(timeS)}  ${text}`;
    const log = this.byId("log");
    log.prepend(item);
    while (log.children.length > MOST_NOTES) log.lastElementChild.remove();
  }

  dropped(total) {
    this.nDropped = total;
  }
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const rest = `${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

// As it is said: the shorter part is one.
function ratio(value) {
  return value >= 1 ? `${value.toFixed(1)} : 1` : `1 : ${(1 / value).toFixed(1)}`;
}
