// An array as a heat map; of more than two dimensions, a matrix of it, with a slider for each of the others.

const MAP_HEIGHT = 200;
const MAP_WIDTH = 372;

/** The cells of a heat map, as they were packed; looked at once they are needed. */
function cellsOf(map) {
  if (typeof map.cells === "string") {
    const bytes = Uint8Array.from(atob(map.cells), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    map.cells = Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  }
  return map.cells;
}

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

/** Paint one matrix of the map on the canvas. */
function paint(canvas, map, first, scale, colours) {
  const image = new ImageData(map.width, map.height);
  const cells = cellsOf(map).subarray(first, first + map.width * map.height);
  cells.forEach((cell, i) => image.data.set([...colour(cell, scale, colours), 255], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** The heat map of an array. The pointer, or the arrow keys, read a cell. */
function heatMap({ map, stats }, shape) {
  const { width, height, shown = [] } = map;
  const [rows, columns] = [shape.at(-2) ?? 1, shape.at(-1)];
  const across = Math.min(14, MAP_WIDTH / width);
  const down = Math.min(height === 1 ? 24 : Math.max(across, 3), MAP_HEIGHT / height);
  const canvas = html("canvas", {
    width,
    height,
    tabindex: 0,
    role: "img",
    "aria-label": `Heat map, ${rows} by ${columns}; the arrow keys read its cells`,
  });
  canvas.style.width = `${width * across}px`;
  canvas.style.height = `${height * down}px`;
  const finite = cellsOf(map).filter(Number.isFinite);
  const scale = finite.reduce((most, cell) => Math.max(most, Math.abs(cell)), 0);
  const colours = mapColours();
  const places = shown.map(() => 0); // of the matrix that is shown
  const first = () => places.reduce((at, place, i) => at * shown[i] + place, 0) * width * height;
  const size =
    width === columns && height === rows
      ? ""
      : `a cell: mean of ${(rows / height).toPrecision(2)} × ${(columns / width).toPrecision(2)}`;
  const readout = html("output", { class: "readout" }, size);
  const read = (row, column) => {
    const index = size
      ? `row ${row}, column ${column}`
      : [...places, ...(shape.length > 1 ? [row] : []), column].join(", ");
    readout.textContent = `[${index}]  ${short(cellsOf(map)[first() + row * width + column])}`;
  };
  const show = () => paint(canvas, map, first(), scale, colours);
  show();
  readCells(canvas, width, height, read, () => (readout.textContent = size));
  const key = html(
    "div",
    { class: "key" },
    html("span", {}, short(-scale)),
    html("span", { class: "ramp" }),
    html("span", {}, short(scale)),
  );
  const sliders = shown.map((count, dim) =>
    sliderOf(dim, count, shape[dim], (place) => {
      places[dim] = place;
      show();
    }),
  );
  return html(
    "div",
    { class: "map" },
    sliders,
    canvas,
    html("div", { class: "under" }, key, readout),
    stats ? null : html("p", {}, "No finite number."),
  );
}

/** A slider for the place in a dimension, of whose `size` places the first `count` are in the page. */
function sliderOf(dim, count, size, move) {
  const said = (place) => `${place} of ${size}${count < size ? `, ${count} kept` : ""}`;
  const place = html("output", {}, said(0));
  const moved = ({ target }) => {
    place.textContent = said(target.value);
    move(Number(target.value));
  };
  const input = { type: "range", min: 0, max: count - 1, value: 0, oninput: moved, disabled: count === 1 };
  return html("label", { class: "slider" }, `dimension ${dim}`, html("input", input), place);
}

/** Let the pointer and the arrow keys read the cells of a canvas. */
function readCells(canvas, width, height, read, leave) {
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const at = (part, size, count) => Math.min(count - 1, Math.max(0, Math.floor((part / size) * count)));
    read(at(event.clientY - box.top, box.height, height), at(event.clientX - box.left, box.width, width));
  });
  canvas.addEventListener("pointerleave", leave);
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
}
