// A tall drawing in columns beside each other, as a text is set, so that more of it can be read at once.

const COLUMN = { gap: 70, margin: 44, most: 8, lane: 6 };

let wrapped = false;

/** The layout in as many columns as show it largest on the screen; cuts are made between layers only. */
function wrap({ boxes, paths, width, height, rows }) {
  const [wide, tall] = [scene.clientWidth, scene.clientHeight];
  const scale = (count) =>
    Math.min(wide / (count * (width + COLUMN.gap)), tall / (height / count + 2 * COLUMN.margin));
  const counts = Array.from({ length: COLUMN.most }, (_, i) => i + 1);
  const cuts = cutsOf(rows, height, counts.sort((a, b) => scale(b) - scale(a))[0]);
  const starts = [0, ...cuts];
  const columnOf = (y) => cuts.filter((cut) => cut <= y).length;
  const place = ([x, y], column = columnOf(y)) => [
    x + column * (width + COLUMN.gap),
    y - starts[column] + COLUMN.margin,
  ];
  const ends = [...cuts, height].map((end, i) => end - starts[i] + COLUMN.margin);
  const laid = new Map();
  for (const [item, box] of boxes) {
    const [x, y] = place([box.x, box.y]);
    laid.set(item, { ...box, x, y });
  }
  const crossing = new Map(); // of each cut, how many lines have passed it so far
  for (const path of paths.values()) {
    const points = [];
    path.points.forEach((point, i) => {
      const [before, now] = [columnOf(path.points[i - 1]?.[1] ?? point[1]), columnOf(point[1])];
      for (let column = before; column < now; column++) {
        const lane = crossing.get(column) ?? 0;
        crossing.set(column, lane + 1);
        const aside = COLUMN.lane * (1 + (lane % 5));
        const [fromX] = points.at(-1);
        const between = column * (width + COLUMN.gap) + width + COLUMN.gap / 2 - 15 + aside;
        const [toX] = place(point, column + 1);
        points.push([fromX, ends[column] + aside], [between, ends[column] + aside]);
        points.push([between, COLUMN.margin - 6 - aside], [toX, COLUMN.margin - 6 - aside]);
      }
      points.push(place(point));
    });
    path.points = points;
  }
  const size = {
    width: starts.length * (width + COLUMN.gap) - COLUMN.gap,
    height: Math.max(...ends) + COLUMN.margin,
  };
  laid.set("g0", { x: 0, y: 0, ...size });
  return { boxes: laid, paths, ...size };
}

/** Where a drawing of these rows is cut into so many columns of about one height: in the middle of gaps. */
function cutsOf(rows, height, count) {
  const gaps = rows.slice(1).map(([top], i) => (rows[i][1] + top) / 2);
  const wishes = Array.from({ length: count - 1 }, (_, i) => (height * (i + 1)) / count);
  const nearest = (wish) => gaps.reduce((best, gap) => (Math.abs(gap - wish) < Math.abs(best - wish) ? gap : best));
  return gaps.length ? [...new Set(wishes.map(nearest))] : [];
}

/** Set the drawing in columns, or in one. */
function toggleWrap() {
  wrapped = !wrapped;
  byId("wrap").setAttribute("aria-pressed", wrapped);
  draw();
  fit();
  say(wrapped ? "The drawing stands in columns." : "The drawing stands in one column.");
}
