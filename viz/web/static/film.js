// A training, frame by frame: the loss, the parameters, and which class each place belongs to.

const film = JSON.parse(document.getElementById("graph").textContent);
const { losses, captions, parameters, scores } = film;
const CURVE = { left: 44, right: 392, top: 10, bottom: 180 };

/** The largest magnitude that a map has in any frame, so that a colour means one number throughout. */
const scaleOf = (map) =>
  cellsOf(map).reduce((most, cell) => (Number.isFinite(cell) ? Math.max(most, Math.abs(cell)) : most), 0);

// -- the loss ------------------------------------------------------------------------------------------------

const finite = losses.filter((loss) => loss !== null);
const [least, most] = [Math.min(0, ...finite), Math.max(...finite, 1e-12)];
const along = (frame) =>
  CURVE.left + ((CURVE.right - CURVE.left) * frame) / Math.max(1, losses.length - 1);
const up = (loss) => CURVE.bottom - ((CURVE.bottom - CURVE.top) * (loss - least)) / (most - least);

function drawCurve() {
  const points = losses.map((loss, frame) => (loss === null ? "" : `${along(frame).toFixed(1)} ${up(loss).toFixed(1)}`));
  const line = points.map((point, i) => point && (points[i - 1] ? "L" : "M") + point).join("");
  const label = (x, y, anchor, text) => svg("text", { x, y, "text-anchor": anchor }, text);
  byId("curve").replaceChildren(
    svg("path", { d: line }),
    svg("circle", { r: 4 }),
    label(CURVE.left - 4, CURVE.top + 6, "end", short(most)),
    label(CURVE.left - 4, CURVE.bottom, "end", short(least)),
    label(CURVE.left, CURVE.bottom + 14, "start", "1"),
    label(CURVE.right, CURVE.bottom + 14, "end", losses.length.toLocaleString("en")),
  );
}

// -- the classes ---------------------------------------------------------------------------------------------

function drawPoints() {
  if (!scores) return;
  byId("classes").hidden = false;
  const [[left, right], [bottom, top]] = film.box;
  const circles = film.points.map(([x, y], i) =>
    svg("circle", {
      cx: (100 * (x - left)) / (right - left),
      cy: (100 * (top - y)) / (top - bottom),
      r: 1.2,
      class: film.labels[i] ? "above" : "below",
    }),
  );
  document.querySelector(".square svg").replaceChildren(svg("path", { id: "border" }), ...circles);
}

/** The line where the score is 0, in pieces between the cells of the grid: where it changes its sign. */
function borderOf(cells, size) {
  const step = 100 / size;
  let line = "";
  for (let row = 0; row < size; row++)
    for (let column = 0; column < size; column++) {
      const above = cells[row * size + column] > 0;
      if (column + 1 < size && above !== cells[row * size + column + 1] > 0)
        line += `M${(column + 1) * step} ${row * step}v${step}`;
      if (row + 1 < size && above !== cells[(row + 1) * size + column] > 0)
        line += `M${column * step} ${(row + 1) * step}h${step}`;
    }
  return line;
}

// -- the frames ----------------------------------------------------------------------------------------------

const maps = parameters.map((map) => ({ map, canvas: html("canvas", { width: map.width, height: map.height }) }));
let frame = losses.length - 1;
let timer = null;

function drawParameters() {
  for (const { map, canvas } of maps) {
    const across = Math.min(14, 340 / map.width);
    canvas.style.width = `${map.width * across}px`;
    canvas.style.height = `${Math.min(200, map.height * Math.max(across, 4))}px`;
    const size = `${map.name} · ${map.height}×${map.width}, within ±${short(Number(scaleOf(map).toPrecision(3)))}`;
    byId("parameters").append(html("div", { class: "map" }, html("div", { class: "under" }, size), canvas));
  }
}

function show(to) {
  frame = clamp(to, 0, losses.length - 1);
  const colours = mapColours();
  for (const { map, canvas } of maps) paint(canvas, map, frame * map.width * map.height, scaleOf(map), colours);
  if (scores) {
    const canvas = document.querySelector(".square canvas");
    const size = scores.width;
    [canvas.width, canvas.height] = [size, size];
    paint(canvas, scores, frame * size * size, scaleOf(scores), colours);
    byId("border").setAttribute("d", borderOf(cellsOf(scores).subarray(frame * size * size), size));
  }
  const loss = losses[frame];
  byId("loss").textContent = loss === null ? "not finite" : short(loss);
  byId("caption").textContent = captions[frame];
  const dot = byId("curve").querySelector("circle");
  dot.setAttribute("cx", along(frame));
  dot.setAttribute("cy", up(loss ?? most));
  byId("position").value = frame;
  byId("count").textContent = `${frame + 1} / ${losses.length}`;
  byId("previous").disabled = !frame;
  byId("next").disabled = frame === losses.length - 1;
}

function play() {
  if (timer) return pause();
  if (frame === losses.length - 1) show(0);
  timer = setInterval(() => (frame === losses.length - 1 ? pause() : show(frame + 1)), 100);
  byId("play").classList.add("playing");
}

function pause() {
  clearInterval(timer);
  timer = null;
  byId("play").classList.remove("playing");
}

const byHand = (to) => {
  pause();
  show(to);
};
const keys = { " ": play, n: () => byHand(frame + 1), b: () => byHand(frame - 1) };
byId("play").addEventListener("click", play);
byId("next").addEventListener("click", keys.n);
byId("previous").addEventListener("click", keys.b);
byId("position").max = losses.length - 1;
byId("position").addEventListener("input", ({ target }) => byHand(Number(target.value)));
document.addEventListener("keydown", (event) => {
  const act = keys[event.key.toLowerCase()];
  if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("button")) return;
  event.preventDefault();
  act();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show(frame));
drawCurve();
drawPoints();
drawParameters();
show(frame);
