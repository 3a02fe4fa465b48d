"use strict";

/* Shapes of points: each draws its outline with a pen (a context of a canvas), around 0, 0. */
const SHAPES = {
  circle: (pen, r) => pen.arc(0, 0, r, 0, 2 * Math.PI),
  diamond: (pen, r) => polygon(pen, r, [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]]),
  square: (pen, r) => pen.rect(-0.9 * r, -0.9 * r, 1.8 * r, 1.8 * r),
  "triangle-up": (pen, r) => polygon(pen, r, [[0, -1.15], [1.15, 0.9], [-1.15, 0.9]]),
  cross: (pen, r) => polygon(pen, r, [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4],
    [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]]),
};

function polygon(pen, r, corners) {
  for (const [right, down] of corners) pen.lineTo(right * r, down * r);
  pen.closePath();
}

/* The context of a square canvas that is read. */
function readablePen(size) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  return canvas.getContext("2d", { willReadFrequently: true });
}

/* A color of CSS as a pixel of a frame. */
function pixelOf(color) {
  const pen = readablePen(1);
  pen.fillStyle = color;
  pen.fillRect(0, 0, 1, 1);
  return new Uint32Array(pen.getImageData(0, 0, 1, 1).data.buffer)[0];
}

/* Stamps: what points look like, painted once by the browser, then put into frames pixel by pixel.

A look is {shape, size, fill, line, opacity}: a name of SHAPES, pixels across, a color or null, [pixels,
color] of its edge or null, and 0 to 1. Drawing thousands of images or paths a frame takes a browser
without a graphics processor a tenth of a second and more; this takes some milliseconds anywhere. */
class Stamps {
  /* `ratio`: how many of the screen's pixels are one of CSS. */
  constructor(ratio) {
    this.ratio = ratio;
    this.looks = new Map();
  }

  /* The number of a look's stamp. */
  numberOf(look) {
    const key = `${look.shape} ${look.size} ${look.fill} ${look.line} ${look.opacity}`;
    if (!this.looks.has(key)) this.looks.set(key, [this.looks.size, look]);
    return this.looks.get(key)[0];
  }

  /* Paint all looks that were asked for, one below the other. */
  paint() {
    const looks = Array.from(this.looks.values(), ([, look]) => look);
    const extents = looks.map((look) => look.size * 1.3 + (look.line ? look.line[0] : 0));
    const cell = this.cell = Math.ceil(extents.reduce((a, b) => Math.max(a, b), 1) * this.ratio) + 2;
    const pen = readablePen(cell);
    this.colors = new Uint32Array(looks.length * cell * cell);  // times opacity, blue, green and red from above
    this.through = new Uint16Array(looks.length * cell * cell);  // how much of 256 shows through
    looks.forEach((look, at) => {
      pen.resetTransform();
      pen.clearRect(0, 0, cell, cell);
      pen.setTransform(this.ratio, 0, 0, this.ratio, cell / 2, cell / 2);
      pen.globalAlpha = look.opacity;
      pen.beginPath();
      SHAPES[look.shape](pen, look.size / 2);
      if (look.fill) { pen.fillStyle = look.fill; pen.fill(); }
      if (look.line) { [pen.lineWidth, pen.strokeStyle] = look.line; pen.stroke(); }
      this.keep(pen.getImageData(0, 0, cell, cell).data, at * cell * cell);
    });
  }

  keep(bytes, start) {
    for (let from = 0, to = start; from < bytes.length; from += 4, to++) {
      const solid = bytes[from + 3] / 255;
      const [red, green, blue] = [0, 1, 2].map((side) => Math.floor(bytes[from + side] * solid));
      this.colors[to] = blue << 16 | green << 8 | red;
      this.through[to] = 256 - Math.ceil(256 * solid);
    }
  }

  /* Put a stamp into the pixels of a frame, so many in a row; parts outside are left out. */
  put(number, left, top, pixels, across, down) {
    const { cell, colors, through } = this, start = number * cell * cell;
    const right = Math.min(cell, across - left), bottom = Math.min(cell, down - top);
    for (let row = Math.max(0, -top); row < bottom; row++) {
      for (let column = Math.max(0, -left); column < right; column++) {
        const from = start + row * cell + column, shown = through[from];
        if (shown === 256) continue;
        const to = (top + row) * across + left + column, under = pixels[to];
        pixels[to] = (Math.imul(under & 0xff00ff, shown) >>> 8 & 0xff00ff)
          + (Math.imul(under >>> 8 & 0xff, shown) & 0xff00) + colors[from] | 0xff000000;
      }
    }
  }
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/* A range scaled by a factor around a fraction of it, then moved by a fraction of what it is now.

Its middle stays in `whole`, so that nobody gets lost. */
function scaledRange([low, high], [start, end], factor, around, by) {
  const span = clamp((high - low) * factor, (end - start) * 1e-5, (end - start) * 4);
  const middle = clamp(low + (high - low) * around + span * (0.5 - around + by), start, end);
  return [middle - span / 2, middle + span / 2];
}

/* A scatter plot of thousands of points on one canvas, which is dragged, pinched and zoomed.

One frame is drawn for all that happens between two of the screen's. Points are named by their index.

  x, y              where the points lie
  range             {x: [low, high], y: [low, high]}, what is shown at first
  onClick(i)        a point was clicked
  onHover(i)        the pointer came to this point, or -1: to none
  onMove()          another part of the plane is shown now, or the plot has another size */
function scatterPlot(holder, { x, y, range, onClick, onHover, onMove }) {
  const REACH = 24;                  // pixels from which a point is clicked
  const STILL = 5;                   // pixels that the pointer of a click may move
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { alpha: false });
  canvas.style.cssText = "display: block; width: 100%; height: 100%; cursor: grab";
  holder.append(canvas);
  const first = { x: range.x.slice(), y: range.y.slice() };
  let view = first;
  let width = 1, height = 1, frame = 0;
  let layers = [], ground = pixelOf("white");
  let stamps = new Stamps(1), numbers = [];  // of each layer, those of its stamps
  let image = null, pixels = null;

  /* Left and top, in pixels, of a place on the plane. */
  const place = (across, up) => [(across - view.x[0]) / (view.x[1] - view.x[0]) * width,
    (view.y[1] - up) / (view.y[1] - view.y[0]) * height];

  // ---- drawing
  function paint() {
    frame = 0;
    if (stamps.ratio !== devicePixelRatio) { stamp(); fit(); }
    const perX = canvas.width / (view.x[1] - view.x[0]), perY = canvas.height / (view.y[1] - view.y[0]);
    pixels.fill(ground);
    layers.forEach(({ points }, layer) => {
      for (let at = 0; at < points.length; at++) {
        const left = Math.round((x[points[at]] - view.x[0]) * perX - stamps.cell / 2);
        const top = Math.round((view.y[1] - y[points[at]]) * perY - stamps.cell / 2);
        stamps.put(numbers[layer][at], left, top, pixels, canvas.width, canvas.height);
      }
    });
    context.putImageData(image, 0, 0);
    onMove();
  }

  const paintSoon = () => { frame ||= requestAnimationFrame(paint); };

  function stamp() {
    stamps = new Stamps(devicePixelRatio);
    numbers = layers.map(({ points, look }) => Uint32Array.from(points, (i) => stamps.numberOf(look(i))));
    stamps.paint();
  }

  function fit() {
    width = holder.clientWidth || 1;
    height = holder.clientHeight || 1;
    canvas.width = Math.max(1, Math.round(width * stamps.ratio));
    canvas.height = Math.max(1, Math.round(height * stamps.ratio));
    image = context.createImageData(canvas.width, canvas.height);
    pixels = new Uint32Array(image.data.buffer);
  }

  /* Draw these layers of points, the first at the back, {points, look(i)}, on a ground of a color. */
  function show(given, color) {
    [layers, ground] = [given, pixelOf(color)];
    stamp();
    fit();
    paintSoon();
  }

  // ---- what is shown
  /* Scale what is shown around a place in pixels, then move it by so many of them. */
  function change(factor, [left, top], [right, down] = [0, 0]) {
    view = {
      x: scaledRange(view.x, first.x, factor, left / width, -right / width),
      y: scaledRange(view.y, first.y, factor, 1 - top / height, down / height),
    };
    paintSoon();
  }

  function reset() {
    view = first;
    paintSoon();
  }

  function resize() {
    fit();
    cancelAnimationFrame(frame);
    paint();  // at once: a canvas is empty in a new size
  }

  // ---- the pointer
  function nearest([left, top]) {
    let found = -1, least = REACH * REACH;
    for (let i = 0; i < x.length; i++) {
      const [across, down] = place(x[i], y[i]);
      const distance = (across - left) ** 2 + (down - top) ** 2;
      if (distance <= least) { found = i; least = distance; }
    }
    return found;
  }

  const pressed = new Map();  // where each pointer is that is down
  let travelled = 0, hovered = -1;

  function hover(i) {
    canvas.style.cursor = i >= 0 ? "pointer" : pressed.size ? "grabbing" : "grab";
    if (i !== hovered) onHover(hovered = i);
  }

  const spotOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const middleOf = (spots) => [0, 1].map((side) => spots.reduce((sum, spot) => sum + spot[side], 0) / spots.length);
  const spreadOf = ([one, other]) => (other ? Math.hypot(one[0] - other[0], one[1] - other[1]) : 0);

  function press(event) {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (!pressed.size) travelled = 0;
    pressed.set(event.pointerId, spotOf(event));
  }

  function move(event) {
    const spot = spotOf(event);
    if (!pressed.has(event.pointerId)) {
      if (event.pointerType === "mouse") hover(nearest(spot));
      return;
    }
    const before = Array.from(pressed.values()).slice(0, 2);
    const last = pressed.get(event.pointerId);
    travelled += Math.hypot(spot[0] - last[0], spot[1] - last[1]);
    pressed.set(event.pointerId, spot);
    if (travelled < STILL) return;
    hover(-1);
    const after = Array.from(pressed.values()).slice(0, 2);
    const from = middleOf(before), to = middleOf(after);
    const factor = spreadOf(after) ? spreadOf(before) / spreadOf(after) : 1;
    change(factor || 1, from, [to[0] - from[0], to[1] - from[1]]);
  }

  function release(event) {
    if (!pressed.delete(event.pointerId)) return;
    if (event.type === "pointerup" && !pressed.size && travelled < STILL) {
      const found = nearest(spotOf(event));
      if (found >= 0) onClick(found);
    }
    travelled = Infinity;  // what other fingers do is no click
  }

  function roll(event) {
    event.preventDefault();
    const pixels = event.deltaY * [1, 16, height][event.deltaMode];
    hover(-1);
    change(Math.exp(clamp(pixels, -300, 300) / 500), spotOf(event));
  }

  canvas.addEventListener("pointerdown", press);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => hover(-1));
  canvas.addEventListener("wheel", roll, { passive: false });
  canvas.addEventListener("dblclick", reset);
  new ResizeObserver(resize).observe(holder);

  return { show, reset, place, zoom: (factor) => change(factor, [width / 2, height / 2]) };
}
