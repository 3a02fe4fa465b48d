// The page of the service: compare, identify, enroll, list.

import { Slot } from "./recorder.js";
import { comparison, element, keepInMind, percent, recording, table, verdict } from "./results.js";

const $ = (selector) => document.querySelector(selector);

async function ask(path, options = {}) {
  const token = $("#token").value.trim();
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The service cannot be reached.");
  }
  const answer = await response.json().catch(() => ({ message: `status ${response.status}` }));
  if (response.status === 401) {
    $("#access").open = true;
    $("#token").focus();
  }
  if (!response.ok) throw new Error(answer.message);
  return answer;
}

async function show(section, work, said = "Working …") {
  const result = section.querySelector(".result");
  const button = section.querySelector("button.main");
  if (button) button.disabled = true;
  result.replaceChildren(verdict("working", said));
  try {
    result.replaceChildren(...(await work()));
  } catch (error) {
    result.replaceChildren(verdict("failed", "That did not work", error.message));
  } finally {
    if (button) button.disabled = false;
  }
}

function form(name, submit) {
  const section = $(`#${name}`);
  const slots = [...section.querySelectorAll(".slot")].map((box) => new Slot(box));
  section.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const fields = new FormData(event.target);
    fields.delete("");
    show(section, () => submit(fields, slots, section));
  });
}

function addRecordings(fields, slots, least) {
  const filled = slots.filter((slot) => slot.blob);
  if (filled.length < least) {
    throw new Error(least > 1 ? "Record or choose both recordings first." : "Record or choose a recording first.");
  }
  for (const slot of filled) fields.append(slot.field, slot.blob, "recording");
}

async function compare(fields, slots) {
  addRecordings(fields, slots, 2);
  fields.set("check_speakers", "true");
  const wanted = fields.has("timeline");
  fields.delete("timeline");
  const [first, second] = slots.map((slot) => slot.player.duration);
  if (wanted) fields.set("timeline", second >= first || !Number.isFinite(first) ? "second" : "first");
  return comparison(await ask("verify", { method: "POST", body: fields }));
}

async function identify(fields, slots) {
  addRecordings(fields, slots, 1);
  const answer = await ask("identify", { method: "POST", body: fields });
  const open = answer.name === null && answer.nobody === null && answer.threshold === null;
  const kind = open ? "open" : answer.name === null ? "no" : "yes";
  const probability = answer.name === null ? answer.nobody : answer.candidates[0].probability;
  const shown = [verdict(
    kind, answer.name ?? (open ? "Not decided" : "Not an enrolled speaker"),
    ...(probability === null ? [] : [`Probability: ${percent(probability)}`]), answer.why)];
  const rows = answer.candidates.map((each) => [
    each.name,
    each.probability === null ? "–" : percent(each.probability),
    each.score.toFixed(3),
  ]);
  const card = element("div", "", "card candidates");
  card.append(element("h3", "Nearest voices"), table(["name", "probability", "cosine"], rows));
  shown.push(card, recording("Recording", answer.recording), ...keepInMind(answer.warnings));
  return shown;
}

async function enroll(fields, slots, section) {
  addRecordings(fields, slots, 1);
  const answer = await ask("enroll", { method: "POST", body: fields });
  section.querySelector("form").reset();
  for (const slot of slots) slot.clear(); // the next voice is somebody else's
  const count = answer.num_recordings === 1 ? "1 recording" : `${answer.num_recordings} recordings`;
  const lines = [`${count}, ${answer.speech_seconds.toFixed(1)} s of speech`];
  return [verdict("yes", `Enrolled: ${answer.name}`, ...lines, ...(answer.warnings ?? []))];
}

async function listVoices() {
  const { voices } = await ask("voices");
  $("#voice-list").replaceChildren(...voices.map(voiceLine));
  return voices.length ? [] : [verdict("working", "No voices are enrolled yet")];
}

function voiceLine(voice) {
  const line = document.createElement("li");
  const remove = element("button", "Delete");
  remove.type = "button";
  remove.setAttribute("aria-label", `Delete ${voice.name}`);
  remove.addEventListener("click", () => {
    if (!confirm(`Delete the voice ${voice.name} with all its recordings?`)) return;
    show($("#voices"), async () => {
      await ask(`voices/${encodeURIComponent(voice.name)}`, { method: "DELETE" });
      await listVoices();
      $("#voices-title").focus();
      return [verdict("yes", `Deleted: ${voice.name}`)];
    });
  });
  const count = `${voice.num_recordings} ${voice.num_recordings === 1 ? "recording" : "recordings"}, ${voice.speech_seconds.toFixed(0)} s of speech`;
  line.append(element("span", voice.name, "name"), element("span", count, "soft"), remove);
  return line;
}

function open(task) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== task;
  for (const button of document.querySelectorAll("nav button")) {
    if (button.dataset.task === task) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  if (task === "voices") show($("#voices"), listVoices);
}

$("#token-form").addEventListener("submit", (event) => event.preventDefault());
form("compare", compare);
form("identify", identify);
form("enroll", enroll);
$("#voices-title").tabIndex = -1;
for (const button of document.querySelectorAll("nav button")) {
  button.addEventListener("click", () => open(button.dataset.task));
}
const health = await ask("health").catch(() => null);
if (health) {
  $("#encoder").textContent = health.encoder + (health.calibrated ? "" : ", without a calibration: no probabilities");
  $("#tasks").hidden = !health.gallery;
}
