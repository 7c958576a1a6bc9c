// What screen readers are told: at a pace that can be listened to.

const PACE_MS = 15000;
const WORDS = { inhale: "Inhaling", exhale: "Exhaling", none: "No breath" };

export class Speaker {
  constructor(polite, urgent, isOn) {
    this.polite = polite;
    this.urgent = urgent;
    this.isOn = isOn;
    this.saidMs = -Infinity;
    this.said = "";
    this.newest = null;
  }

  hear(frame) {
    this.newest = frame;
    const now = performance.now();
    if (!this.isOn.checked || now - this.saidMs < PACE_MS) return;
    const sentence = this.sentence();
    // While nobody breathes, once is enough.
    if (frame.phase === "none" && sentence === this.said) return;
    this.saidMs = now;
    this.say(sentence);
    this.said = sentence;
  }

  // What was heard is over.
  forget() {
    this.newest = null;
  }

  say(text) {
    this.polite.textContent = text;
  }

  sayNow() {
    this.saidMs = performance.now();
    // A text that stays the same is not read again.
    this.polite.textContent = "";
    requestAnimationFrame(() => this.say(this.newest ? this.sentence() : "Nothing has been heard yet."));
  }

  alarm(text) {
    this.urgent.textContent = text;
  }

  sentence() {
    const { phase, rate_per_min: rate } = this.newest;
    const rateWords = rate === null ? "" : `, ${rate.toFixed(0)} breaths per minute`;
    return `${WORDS[phase]}${rateWords}.`;
  }
}
