// One recording on the page: recorded with the microphone, chosen, or dropped.

import { element } from "./results.js";

const RECORDING_TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];
// The browser's own processing changes voices: what it makes of them is not to be compared.
const MICROPHONE = {
  audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
};

export class Slot {
  constructor(box) {
    this.box = box;
    this.field = box.dataset.slot;
    this.blob = null;
    this.recorder = null;
    this.timer = 0;
    this.build();
  }

  build() {
    const title = element("h3", this.box.dataset.title);
    this.box.setAttribute("role", "group");
    this.box.setAttribute("aria-label", this.box.dataset.title);
    this.record = element("button", "Record");
    this.record.type = "button";
    this.record.addEventListener("click", () => this.toggle());
    this.input = document.createElement("input");
    this.input.type = "file";
    this.input.accept = "audio/*,video/mp4,video/webm";
    this.input.addEventListener("change", () => this.take(this.input.files[0]));
    const choose = document.createElement("label");
    choose.append(this.input, element("span", "Choose a file", "file"));
    const choices = element("div", "", "choices");
    choices.append(this.record, choose);
    this.state = element("p", "Or drop a file here.", "state soft");
    this.state.setAttribute("role", "status");
    this.player = document.createElement("audio");
    this.player.controls = true;
    this.player.hidden = true;
    this.box.append(title, choices, this.state, this.player);
    this.acceptDrops();
  }

  acceptDrops() {
    const over = (event) => {
      event.preventDefault();
      this.box.classList.toggle("over", event.type === "dragover");
    };
    this.box.addEventListener("dragover", over);
    this.box.addEventListener("dragleave", over);
    this.box.addEventListener("drop", (event) => {
      over(event);
      this.take(event.dataTransfer.files[0]);
    });
  }

  async toggle() {
    if (this.recorder) {
      this.recorder.stop();
      return;
    }
    if (!navigator.mediaDevices) {
      this.say("Browsers allow the microphone only over https or on localhost. Choose a file instead.");
      return;
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia(MICROPHONE);
    } catch (error) {
      this.say(`The microphone cannot be used (${error.name}). Allow it, or choose a file.`);
      return;
    }
    this.start(stream);
  }

  start(stream) {
    const type = RECORDING_TYPES.find((each) => MediaRecorder.isTypeSupported(each));
    const pieces = [];
    this.recorder = new MediaRecorder(stream, type ? { mimeType: type } : {});
    this.recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
    this.recorder.addEventListener("stop", () => {
      for (const track of stream.getTracks()) track.stop();
      clearInterval(this.timer);
      this.show(false);
      this.recorder = null;
      this.take(new Blob(pieces, { type: type ?? "" }), "Recorded");
    });
    const began = performance.now();
    this.timer = setInterval(() => {
      this.record.textContent = `Stop (${Math.floor((performance.now() - began) / 1000)} s)`;
    }, 250);
    this.recorder.start();
    this.show(true);
    this.say("Recording. Speak for 5 seconds or more, then stop.");
  }

  show(recording) {
    this.record.textContent = recording ? "Stop" : "Record again";
    this.record.classList.toggle("recording", recording);
    this.record.setAttribute("aria-pressed", String(recording));
  }

  take(blob, how) {
    if (!blob || !blob.size) return;
    URL.revokeObjectURL(this.player.src);
    this.blob = blob;
    this.player.src = URL.createObjectURL(blob);
    this.player.hidden = false;
    this.player.setAttribute("aria-label", `Play: ${this.box.dataset.title}`);
    this.box.classList.add("filled");
    this.say(`${how ?? blob.name ?? "A file"}, ${Math.max(1, Math.round(blob.size / 1000))} kB`);
  }

  clear() {
    URL.revokeObjectURL(this.player.src);
    this.blob = null;
    this.player.removeAttribute("src");
    this.player.hidden = true;
    this.input.value = "";
    this.record.textContent = "Record";
    this.box.classList.remove("filled");
    this.say("Or drop a file here.");
  }

  say(text) {
    this.state.textContent = text;
  }
}
