// What the service answered, as elements. Everything it says is text, never markup.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function percent(fraction) {
  let digits = 1;
  while (digits < 6 && ["0", "100"].includes(String(Number((100 * fraction).toFixed(digits))))) digits++;
  return `${(100 * fraction).toFixed(digits)} %`;
}

export function verdict(kind, answer, ...lines) {
  const box = element("div", "", `verdict ${kind}`);
  box.append(element("p", answer, "answer"), ...lines.map((line, row) => element("p", line, row ? "soft" : "")));
  return box;
}

export function comparison(answer) {
  const kind = answer.same === null ? "open" : answer.same ? "yes" : "no";
  const said = { yes: "Same speaker", no: "Different speakers", open: answer.threshold === null ? "No threshold is known" : "Not decided" }[kind];
  const lines = [];
  if (answer.probability !== null) {
    lines.push(`Probability of the same speaker: ${percent(answer.probability)}`);
  }
  lines.push(answer.why);
  const shown = [verdict(kind, said, ...lines)];
  const measured = element("div", "", "measured");
  measured.append(recording("First recording", answer.first), recording("Second recording", answer.second));
  shown.push(measured);
  shown.push(...keepInMind(answer.warnings));
  if (answer.timeline) shown.push(timeline(answer.timeline, answer.threshold));
  return shown;
}

// What speaks against the recordings themselves stands with their measures.
export function keepInMind(warnings) {
  const rest = warnings.filter((each) => !/^(first|second|audio): /.test(each));
  return rest.length ? [list("Keep in mind", rest, "risk")] : [];
}

export function recording(title, measures) {
  const facts = [
    `${measures.speech_seconds.toFixed(1)} s of speech in ${measures.seconds.toFixed(1)} s`,
    `speech level ${measures.speech_dbfs.toFixed(0)} dBFS`,
    measures.snr_db === null
      ? "no pause to measure noise in"
      : `speech ${measures.snr_db.toFixed(0)} dB above the pauses`,
    `bandwidth ${(measures.bandwidth_hz / 1000).toFixed(1)} kHz`,
  ];
  const card = list(title, facts);
  for (const risk of measures.risks) {
    card.querySelector("ul").append(element("li", `${risk.kind.replaceAll("-", " ")}: ${risk.message}`, "risk"));
  }
  if (!measures.risks.length) card.querySelector("ul").append(element("li", "no problems found"));
  return card;
}

function list(title, lines, className = "") {
  const card = element("div", "", "card");
  const items = document.createElement("ul");
  items.append(...lines.map((line) => element("li", line, className)));
  card.append(element("h3", title), items);
  return card;
}

function shape(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.textContent = text;
  return made;
}

// Cosines from -0.2 to 1 over the time of the recording; the dashed line is the threshold. Windows
// overlap: each bar reaches halfway to the middles of its neighbors.
function timeline(windows, threshold) {
  const card = element("div", "", "card");
  const end = windows.seconds.at(-1)[1];
  const above = windows.scores.filter((score) => threshold !== null && score >= threshold).length;
  const summary =
    `Windows of the ${windows.of} recording compared with the other one` +
    (threshold === null ? "" : `: ${above} of ${windows.scores.length} reach ${threshold.toFixed(2)}, the threshold for whole recordings (dashed)`);
  const details = document.createElement("details");
  const scroll = element("div", "", "scroll");
  scroll.append(table(["from", "to", "cosine"], windows.scores.map((score, row) =>
    [...windows.seconds[row].map((each) => `${each.toFixed(1)} s`), score.toFixed(2)])));
  details.append(element("summary", "As a table"), scroll);
  const axis = element("p", "", "axis soft");
  axis.append(element("span", "0 s"), element("span", `${end.toFixed(1)} s`));
  card.append(element("h3", "Timeline"), element("p", summary, "soft"),
    bars(windows, threshold, end, summary), axis, details);
  return card;
}

function bars(windows, threshold, end, summary) {
  const [low, width, height] = [-0.2, 1000, 100];
  const y = (score) => height - (Math.max(low, score) - low) / (1 - low) * height;
  const middles = windows.seconds.map(([start, stop]) => (start + stop) / 2);
  const edges = [0, ...middles.slice(1).map((middle, row) => (middle + middles[row]) / 2), end];
  const plot = shape("svg", {
    viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": summary,
  });
  windows.scores.forEach((score, row) => {
    const span = (edges[row + 1] - edges[row]) / end * width;
    plot.append(shape("rect", {
      x: edges[row] / end * width, width: Math.max(0.5, span - 1),
      y: y(score), height: Math.max(1, height - y(score)),
      class: threshold === null || score >= threshold ? "above" : "below",
    }));
  });
  if (threshold !== null) {
    plot.append(shape("line", { x1: 0, x2: width, y1: y(threshold), y2: y(threshold), class: "limit" }));
  }
  return plot;
}

export function table(head, rows) {
  const made = document.createElement("table");
  const titles = document.createElement("tr");
  for (const title of head) {
    const cell = element("th", title);
    cell.scope = "col";
    titles.append(cell);
  }
  made.append(titles);
  for (const row of rows) {
    const line = document.createElement("tr");
    line.append(...row.map((cell) => element("td", cell)));
    made.append(line);
  }
  return made;
}
