// Numbers as a reader wants to see them: short, in tables, and as bars.

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

/** How large the numbers of an array are: the largest magnitude, in two digits. */
function magnitude({ stats }) {
  const [, , minimum, maximum] = stats;
  return `≤${short(Number(Math.max(Math.abs(minimum), Math.abs(maximum)).toPrecision(2)))}`;
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
