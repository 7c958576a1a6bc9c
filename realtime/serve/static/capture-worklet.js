// Collects the microphone's samples on the audio thread and hands them over in blocks of about 40 ms.

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.block = new Float32Array(Math.max(128, Math.round(sampleRate * 0.04)));
    this.filled = 0;
  }

  process(inputs) {
    const channels = inputs[0];
    // Without an input there is nothing to hear yet, or no longer.
    if (channels.length === 0) return true;
    const length = channels[0].length;
    for (let i = 0; i < length; i += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.block[this.filled] = sum / channels.length;
      this.filled += 1;
      if (this.filled === this.block.length) {
        const whole = this.block.slice();
        this.port.postMessage(whole, [whole.buffer]);
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
