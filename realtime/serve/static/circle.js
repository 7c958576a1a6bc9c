// The breathing circle: grows while breath is drawn in, shrinks while it is let out, rests without breath.

const SMALL = 0.5;
const LARGE = 1;
const REST = 0.56;
const FULL_RADIUS = 94;
const USUAL_S = 1.8;

export class Circle {
  constructor(shape, stage) {
    this.shape = shape;
    this.stage = stage;
    this.size = REST;
    this.from = REST;
    this.to = REST;
    this.sinceMs = 0;
    this.lastsS = 1;
    this.phase = "none";
    this.typical = { inhale: USUAL_S, exhale: USUAL_S };
    this.isRunning = false;
    this.still = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.still.addEventListener("change", () => this.begin());
    this.draw();
  }

  // A breath was complete: the next one is expected to last about as long.
  learn(breath) {
    for (const phase of ["inhale", "exhale"]) {
      const seconds = breath[`${phase}_s`];
      if (seconds > 0.2 && seconds < 20) this.typical[phase] += 0.4 * (seconds - this.typical[phase]);
    }
  }

  show(phase) {
    if (phase === this.phase) return;
    this.phase = phase;
    this.stage.dataset.phase = phase;
    this.begin();
  }

  begin() {
    this.from = this.size;
    this.to = { inhale: LARGE, exhale: SMALL, none: REST }[this.phase];
    this.lastsS = this.typical[this.phase] ?? 1.2;
    this.sinceMs = performance.now();
    if (this.still.matches) {
      // Nothing moves: word, colour and figures tell the phase.
      this.size = 0.8;
      this.draw();
    } else if (!this.isRunning) {
      this.isRunning = true;
      requestAnimationFrame((now) => this.step(now));
    }
  }

  step(nowMs) {
    if (this.still.matches) {
      this.isRunning = false;
      return;
    }
    const part = Math.min(1, Math.max(0, (nowMs - this.sinceMs) / 1000 / this.lastsS));
    this.size = this.from + (this.to - this.from) * Math.sin((part * Math.PI) / 2);
    this.draw();
    this.isRunning = part < 1;
    if (this.isRunning) requestAnimationFrame((now) => this.step(now));
  }

  draw() {
    this.shape.setAttribute("r", (FULL_RADIUS * this.size).toFixed(2));
  }
}
