// The page: two recordings, one answer, nothing leaves the machine.

import { load } from "./audio.js";
import { decide } from "./calibration.js";
import { encode } from "./encoder.js";
import { holdsSpeech, measure, risksOf } from "./quality.js";
import { Slot } from "./recorder.js";
import { comparison, element, percent, verdict } from "./results.js";

const $ = (selector) => document.querySelector(selector);
const site = await (await fetch(new URL("encoder.json", import.meta.url))).json();

async function understand(slot) {
  const name = slot.box.dataset.title;
  const { samples, prepared, channels, correlation } = await load(slot.blob, site.preprocessing, site.longest_seconds, name);
  if (samples.every((value) => value === 0)) throw new Error(`${name}: it is silent.`);
  if (prepared.length < site.min_samples) {
    throw new Error(`${name}: ${site.min_samples / site.sample_rate} s of audio are needed at least.`);
  }
  const measured = measure(samples, site.quality, channels);
  const risks = risksOf(measured, site.quality);
  if (correlation !== null && correlation < site.quality.risks.channel_correlation) {
    risks.push("its channels differ like the two sides of a call: their mean may mix two voices");
  }
  return { measured: { ...measured, risks: risks.map((message) => ({ kind: "risk", message })) }, vector: await encode(prepared) };
}

export async function compare(slots, asked = {}) {
  const sides = [];
  for (const slot of slots) sides.push(await understand(slot));
  const decision = decide(sides.map((side) => side.vector), sides.map((side) => side.measured), site.calibration, asked);
  if (decision.probability !== null && sides.some((side) => !holdsSpeech(side.measured, site.quality))) {
    Object.assign(decision, { same: null, llr: null, probability: null });
  }
  return { ...decision, why: reason(decision), first: sides[0].measured, second: sides[1].measured, vectors: sides.map((side) => side.vector) };
}

function reason(decision) {
  if (decision.threshold === null) return `Cosine ${decision.score.toFixed(3)}; this encoder has no calibration.`;
  if (decision.same === null) {
    return `Cosine ${decision.score.toFixed(3)}. No speech was found in one of the recordings, so there is no decision.`;
  }
  const promised = decision.bound === null ? "; no false accept rate can be promised for such recordings"
    : decision.bound < 1 ? `, where false accepts stay below ${percent(decision.bound)}` : "";
  return `Cosine ${decision.score.toFixed(3)}; the threshold is ${decision.threshold.toFixed(3)}${promised}. `
    + `The calibration was fitted on ${site.calibration.fitted_on.num_speakers} speakers: ${site.calibration.fitted_on.description}.`;
}

async function submit(event) {
  event.preventDefault();
  const result = $(".result");
  const button = $("button.main");
  button.disabled = true;
  result.replaceChildren(verdict("working", "Listening …"));
  await new Promise(requestAnimationFrame); // so that it is seen
  try {
    if (!slots.every((slot) => slot.blob)) throw new Error("Record or choose both recordings first.");
    const rate = $("#rate").value;
    const answer = await compare(slots, { falseAccept: rate ? Number(rate) : null });
    window.timbralAnswer = answer; // for whoever wants the numbers, and for tests
    result.replaceChildren(...comparison({ ...answer, timeline: null }));
  } catch (error) {
    result.replaceChildren(verdict("failed", "That did not work", error.message));
  } finally {
    button.disabled = false;
  }
}

// Only rates that the data can promise are offered.
function offerRates() {
  const least = Math.min(...(site.calibration?.points ?? []).map((point) => point.false_accept_bound));
  for (const rate of [0.05, 0.02, 0.01, 0.005].filter((each) => each >= least)) {
    const option = element("option", `accept at most ${percent(rate)} of other speakers`);
    option.value = String(rate);
    $("#rate").append(option);
  }
  $("#promise").hidden = !site.calibration;
}

const slots = [...document.querySelectorAll(".slot")].map((box) => new Slot(box));
$("#encoder").textContent = `${site.encoder}${site.license ? `, ${site.license}` : ""}`;
offerRates();
$("form").addEventListener("submit", submit);
document.body.dataset.ready = "yes";
