// Numbers as a reader wants to see them: short, in tables, as bars, and as heat maps.

const MAP_WIDTH = 372;
const MAP_HEIGHT = 200;

/** Four significant digits; of an integer, all. What is not finite was written as text. */
function short(number) {
  if (typeof number === "boolean") return number ? "True" : "False";
  if (typeof number !== "number") return String(number).replace("-", "−");
  if (Number.isInteger(number) && Math.abs(number) < 1e7) return String(number).replace("-", "−");
  const size = Math.abs(number);
  const text =
    size < 1e-3 || size >= 1e6
      ? number
          .toExponential(3)
          .replace(/\.?0+e/, "e")
          .replace("e+", "e")
      : String(Number(number.toPrecision(4)));
  return text.replaceAll("-", "−");
}

/** The cells of a heat map, as they were packed; looked at once they are needed. */
function cellsOf(map) {
  if (typeof map.cells === "string") {
    const bytes = Uint8Array.from(atob(map.cells), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    map.cells = Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  }
  return map.cells;
}

/** Whether all there is of the array is one number. */
const isSingle = (array) => array.rows?.length === 1 && array.rows[0].length === 1;

/** The outline of a histogram in a box of that size, as the path of an SVG. */
function bars(bins, width, height) {
  const most = Math.max(...bins);
  const step = width / bins.length;
  return bins
    .map((count, i) => {
      const tall = count && Math.max(1.5, (height * count) / most);
      return `M${(i * step).toFixed(1)} ${height}v${(-tall).toFixed(1)}h${(step - 1).toFixed(1)}v${tall.toFixed(1)}z`;
    })
    .join("");
}

/** All that is shown of an array: what it looks like, and its statistics. what: "data" or "gradient". */
function arrayView(array, shape, what) {
  return html(
    "div",
    { class: `array ${what}` },
    numbersView(array, shape, what),
    array.stats && !isSingle(array) && statistics(array),
  );
}

/** The numbers: one by itself, a table, or a heat map. */
function numbersView(array, shape, what) {
  if (array.map) return heatMap(array, shape);
  if (isSingle(array)) return html("p", { class: "number" }, short(array.rows[0][0]));
  return array.rows.length
    ? table(array.rows, shape, what)
    : html("p", { class: "about" }, "It has no numbers.");
}

function statistics(array) {
  const { stats, bins, odd } = array;
  const [mean, deviation, minimum, maximum] = stats.map(short);
  const pairs = { mean, "std. dev.": deviation, minimum, maximum, ...(odd && { "inf or nan": short(odd) }) };
  const terms = Object.entries(pairs).map(([name, number]) =>
    html("div", {}, html("dt", {}, name), html("dd", {}, number)),
  );
  const label = `Histogram from ${minimum} to ${maximum}: ${bins.join(", ")}`;
  const histogram = svg(
    "svg",
    { viewBox: "0 0 96 34", class: "histogram", role: "img", "aria-label": label },
    svg("path", { d: bars(bins, 96, 34) }),
  );
  return html("div", { class: "statistics" }, html("dl", {}, terms), histogram);
}

/** The place of a line among the dimensions but the last, as an index is written. */
function lineIndex(line, shape) {
  const index = [];
  for (const size of shape.slice(0, -1).reverse()) {
    index.unshift(line % size);
    line = Math.floor(line / size);
  }
  return index.join(", ");
}

function table(rows, shape, what) {
  const named = shape.length > 1;
  const head = html(
    "tr",
    {},
    named && html("td"),
    rows[0].map((_, j) => html("th", { scope: "col" }, String(j))),
  );
  const body = rows.map((row, i) =>
    html(
      "tr",
      {},
      named && html("th", { scope: "row" }, lineIndex(i, shape)),
      row.map((each) => html("td", {}, short(each))),
    ),
  );
  return html(
    "div",
    { class: "scrolled", tabindex: 0, role: "region", "aria-label": `The numbers of the ${what}` },
    html("table", {}, head, body),
  );
}

// -- heat maps -----------------------------------------------------------------------------------------------

/** The colours of the page now: of negative numbers, of zero, of positive ones, of what is no number. */
function mapColours() {
  const style = getComputedStyle(document.documentElement);
  const parse = (name) =>
    style
      .getPropertyValue(name)
      .trim()
      .match(/[0-9a-f]{2}/gi)
      .map((part) => parseInt(part, 16));
  return {
    negative: parse("--negative"),
    zero: parse("--zero"),
    positive: parse("--positive"),
    odd: parse("--odd"),
  };
}

function colour(number, scale, colours) {
  if (!Number.isFinite(number)) return colours.odd;
  const strength = scale ? Math.min(1, Math.abs(number) / scale) ** 0.8 : 0;
  const end = number < 0 ? colours.negative : colours.positive;
  return colours.zero.map((part, i) => Math.round(part + strength * (end[i] - part)));
}

function paint(canvas, map, colours = mapColours()) {
  const cells = cellsOf(map);
  const scale = cells.reduce(
    (most, each) => (Number.isFinite(each) ? Math.max(most, Math.abs(each)) : most),
    0,
  );
  const image = new ImageData(map.width, map.height);
  cells.forEach((cell, i) => image.data.set([...colour(cell, scale, colours), 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return scale;
}

/** The heat map of a matrix; of more dimensions, of its lines. The pointer, or the arrow keys, read a cell. */
function heatMap({ map, stats }, shape) {
  const { width, height } = map;
  const lines = shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const across = Math.min(14, MAP_WIDTH / width);
  const down = Math.min(height === 1 ? 24 : Math.max(across, 3), MAP_HEIGHT / height);
  const canvas = html("canvas", {
    width,
    height,
    tabindex: 0,
    role: "img",
    "aria-label": `Heat map, ${lines} by ${shape.at(-1)}; the arrow keys read its cells`,
  });
  canvas.style.width = `${width * across}px`;
  canvas.style.height = `${height * down}px`;
  const scale = paint(canvas, map);
  const whole = width === shape.at(-1) && height === lines;
  const size = whole
    ? ""
    : `a cell: mean of ${(lines / height).toPrecision(2)} × ${(shape.at(-1) / width).toPrecision(2)}`;
  const readout = html("output", { class: "readout" }, size);
  const read = (row, column) => {
    const index = whole
      ? [lineIndex(row, shape), column].filter((part) => part !== "").join(", ")
      : `row ${row}, column ${column}`;
    readout.textContent = `[${index}]  ${short(cellsOf(map)[row * width + column])}`;
  };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const at = (part, size, count) => Math.min(count - 1, Math.max(0, Math.floor((part / size) * count)));
    read(at(event.clientY - box.top, box.height, height), at(event.clientX - box.left, box.width, width));
  });
  canvas.addEventListener("pointerleave", () => (readout.textContent = size));
  let [row, column] = [0, 0];
  canvas.addEventListener("keydown", (event) => {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!moves[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    row = Math.min(height - 1, Math.max(0, row + moves[event.key][0]));
    column = Math.min(width - 1, Math.max(0, column + moves[event.key][1]));
    read(row, column);
  });
  const key = html(
    "div",
    { class: "key" },
    html("span", {}, short(-scale)),
    html("span", { class: "ramp" }),
    html("span", {}, short(scale)),
  );
  return html(
    "div",
    { class: "map" },
    canvas,
    html("div", { class: "under" }, key, readout),
    stats ? null : html("p", {}, "No finite number."),
  );
}
