// The browser's own microphone as the server's source: samples leave through the WebSocket as float32.

// More than this many waiting bytes means that the way to the server is too slow: about five seconds.
const MOST_WAITING_BYTES = 1_000_000;

export class Microphone {
  constructor(socket, onEnd) {
    this.socket = socket;
    this.onEnd = onEnd;
    this.nLost = 0;
    this.isOpen = false;
    this.isStopped = false;
  }

  // Asks for permission, and begins, unless it is stopped before. Throws an Error whose message is for people.
  async start() {
    if (!navigator.mediaDevices || !window.AudioWorkletNode) {
      throw new Error(
        window.isSecureContext
          ? "this browser cannot capture sound"
          : "browsers lend their microphone only to https and to this machine itself; open the page as localhost",
      );
    }
    try {
      // What is made for speech would take breath for noise.
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
      });
    } catch (error) {
      if (this.isStopped) return;
      const words = {
        NotAllowedError: "it was not permitted; allow it in the browser's settings for this page",
        NotFoundError: "there is none; plug one in",
        NotReadableError: "another program holds it",
      };
      throw new Error(words[error.name] ?? error.message);
    }
    if (this.isStopped) {
      this.release();
      return;
    }
    try {
      this.context = new AudioContext({ latencyHint: "interactive" });
      await this.context.audioWorklet.addModule("capture-worklet.js");
      await this.context.resume();
      this.node = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
      this.node.port.onmessage = (event) => this.pass(event.data);
      this.context.createMediaStreamSource(this.stream).connect(this.node);
    } catch (error) {
      this.release();
      if (this.isStopped) return;
      throw new Error(`the sound system of the browser refused (${error.message})`);
    }
    if (this.isStopped) return;
    this.send({ type: "microphone_open", rate_hz: this.context.sampleRate, format: "float32" });
    this.isOpen = true;
    this.stayAwake();
    this.seen = () => this.stayAwake();
    document.addEventListener("visibilitychange", this.seen);
    this.stream.getAudioTracks()[0].addEventListener("ended", () => this.stop());
    this.context.addEventListener("statechange", () => this.follow());
  }

  // A phone that sleeps stops the sound without a word: what is missing is told when it goes on.
  follow() {
    if (this.context.state === "running") {
      if (this.stoppedMs !== undefined) {
        this.nLost += Math.round(((performance.now() - this.stoppedMs) / 1000) * this.context.sampleRate);
      }
      this.stoppedMs = undefined;
    } else if (this.context.state !== "closed") {
      this.stoppedMs ??= performance.now();
      this.context.resume();
    }
  }

  // A screen that goes dark takes the microphone with it. Hidden pages give their lock back by themselves.
  async stayAwake() {
    if (!this.isOpen || document.visibilityState !== "visible") return;
    try {
      this.lock = await navigator.wakeLock?.request("screen");
    } catch {
      // Without battery for it, or where it is not permitted: then it goes dark.
    }
    if (this.isStopped) this.lock?.release();
  }

  pass(samples) {
    if (!this.isOpen) return;
    // The page stops it when it knows that the connection is lost.
    if (this.socket.readyState !== WebSocket.OPEN) return;
    if (this.socket.bufferedAmount > MOST_WAITING_BYTES) {
      this.nLost += samples.length;
      return;
    }
    if (this.nLost > 0) {
      this.send({ type: "microphone_lost", samples: this.nLost });
      this.nLost = 0;
    }
    this.socket.send(samples.buffer);
  }

  stop() {
    if (this.isStopped) return;
    this.isStopped = true;
    if (this.isOpen && this.socket.readyState === WebSocket.OPEN) this.send({ type: "microphone_close" });
    this.isOpen = false;
    this.release();
    this.onEnd();
  }

  release() {
    this.lock?.release();
    if (this.seen) document.removeEventListener("visibilitychange", this.seen);
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    if (this.context && this.context.state !== "closed") this.context.close();
  }

  send(content) {
    this.socket.send(JSON.stringify(content));
  }
}
