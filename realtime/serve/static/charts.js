// Trace, waveform and spectrogram of the newest sound, all on one axis of stream time.

const SHOWN_S = 20;
const BANDS = 64;
const DYNAMIC_DB = 50;

// Dark to bright, each step lighter than the one before, so that it reads without colour too.
const RAMP = [
  [8, 12, 26], [28, 38, 92], [38, 92, 140], [52, 148, 140], [140, 196, 96], [252, 232, 140],
];

export class Charts {
  constructor(trace, wave, spectrum) {
    this.canvases = { trace, wave, spectrum };
    this.small = document.createElement("canvas");
    this.small.height = BANDS;
    this.isDue = false;
    this.clear();
    new ResizeObserver(() => this.redraw()).observe(trace.parentElement);
  }

  clear() {
    this.frames = [];
    this.marks = [];
    this.gaps = [];
    this.loudest = -50;
    this.hopS = 0.1;
    this.redraw();
  }

  add(frame) {
    const before = this.frames.at(-1);
    // Where answers were left out, one lasts until the next; over missing sound none does.
    const reach = before ? Math.min(frame.time_s - before.time_s, Math.max(frame.wave_s, this.hopS)) : this.hopS;
    this.frames.push({ ...frame, reach });
    const oldest = frame.time_s - SHOWN_S - 1;
    while (this.frames[0].time_s < oldest) this.frames.shift();
    this.marks = this.marks.filter((at) => at >= oldest);
    const peak = Math.max(...frame.spectrum);
    this.loudest = Math.max(peak, -80, this.loudest - 0.5 * this.hopS);
    this.redraw();
  }

  mark(timeS) {
    this.marks.push(timeS);
    this.redraw();
  }

  redraw() {
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.draw();
    });
  }

  draw() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const end = this.frames.at(-1)?.time_s ?? SHOWN_S;
    for (const [name, canvas] of Object.entries(this.canvases)) {
      const { context, width, height } = fitted(canvas);
      const x = (timeS) => width - ((end - timeS) / SHOWN_S) * width;
      context.fillStyle = name === "spectrum" ? `rgb(${RAMP[0]})` : colour("card");
      context.fillRect(0, 0, width, height);
      const view = { context, width, height, x, colour, scale: width / SHOWN_S };
      if (name === "trace") this.drawTrace(view);
      if (name === "wave") this.drawWave(view);
      if (name === "spectrum") this.drawSpectrum(view);
      this.drawMarks(view);
    }
  }

  drawTrace({ context, width, height, x, colour, scale }) {
    const y = (prob) => 2 + (1 - prob) * (height - 4);
    for (const frame of this.frames) {
      if (frame.phase === "none") continue;
      context.fillStyle = colour(`${frame.phase}-fill`);
      context.fillRect(x(frame.time_s - frame.reach), 0, frame.reach * scale + 1, height);
    }
    context.strokeStyle = colour("line");
    context.beginPath();
    context.moveTo(0, y(0.5));
    context.lineTo(width, y(0.5));
    context.stroke();
    context.strokeStyle = colour("ink");
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.beginPath();
    let before = -Infinity;
    for (const frame of this.frames) {
      const isApart = frame.time_s - before > Math.max(1, 2.5 * this.hopS);
      context[isApart ? "moveTo" : "lineTo"](x(frame.time_s), y(frame.prob_exhale));
      before = frame.time_s;
    }
    context.stroke();
  }

  drawWave({ context, height, x, colour, scale }) {
    let reach = 0.02;
    for (const frame of this.frames) for (const side of frame.wave) reach = Math.max(reach, Math.abs(side));
    const middle = height / 2;
    const gain = (0.95 * middle) / reach;
    for (const frame of this.frames) {
      context.fillStyle = colour(frame.phase === "none" ? "rest" : frame.phase);
      const n = frame.wave.length / 2;
      const left = x(frame.time_s - frame.wave_s);
      const step = (frame.wave_s * scale) / n;
      for (let i = 0; i < n; i += 1) {
        const top = middle - frame.wave[2 * i + 1] * gain;
        const bottom = middle - frame.wave[2 * i] * gain;
        context.fillRect(left + i * step, top, Math.max(1, step), Math.max(1, bottom - top));
      }
    }
  }

  drawSpectrum({ context, width, height }) {
    const n = Math.max(1, Math.round(SHOWN_S / this.hopS));
    if (!this.frames.length) return;
    this.small.width = n;
    const pixels = this.small.getContext("2d").createImageData(n, BANDS);
    const end = this.frames.at(-1).time_s;
    for (const frame of this.frames) {
      const last = n - 1 - Math.round((end - frame.time_s) / this.hopS);
      const first = Math.max(0, last + 1 - Math.round(frame.reach / this.hopS));
      for (let band = 0; band < BANDS; band += 1) {
        const colour = ramp(1 + (frame.spectrum[band] - this.loudest) / DYNAMIC_DB);
        for (let column = first; column <= last; column += 1) {
          const at = 4 * ((BANDS - 1 - band) * n + column);
          pixels.data.set(colour, at);
          pixels.data[at + 3] = 255;
        }
      }
    }
    this.small.getContext("2d").putImageData(pixels, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.small, 0, 0, width, height);
  }

  drawMarks({ context, height, x, colour }) {
    context.strokeStyle = colour("mark");
    context.lineWidth = 2;
    context.setLineDash([4, 3]);
    for (const at of this.marks) {
      context.beginPath();
      context.moveTo(x(at), 0);
      context.lineTo(x(at), height);
      context.stroke();
    }
    context.setLineDash([]);
  }
}

function fitted(canvas) {
  const sharpness = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const wide = Math.max(1, Math.round(width * sharpness));
  const high = Math.max(1, Math.round(height * sharpness));
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = canvas.getContext("2d");
  context.setTransform(sharpness, 0, 0, sharpness, 0, 0);
  return { context, width, height };
}

function ramp(part) {
  const at = Math.min(1, Math.max(0, part)) * (RAMP.length - 1);
  const below = Math.min(RAMP.length - 2, Math.floor(at));
  const rest = at - below;
  return RAMP[below].map((value, i) => value + rest * (RAMP[below + 1][i] - value));
}
