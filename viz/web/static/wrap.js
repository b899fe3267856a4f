// Tall groups in columns beside each other, as a text is set, so that more of the drawing can be read at once.

const COLUMN = { gap: 40, margin: 14, lane: 6, tries: 12 };

let wrapped = false;

/** The layouts, by group, that are shown largest. layOutUpTo: lays out with columns of at most a height. */
function largestInColumns(layOutUpTo) {
  const flat = layOutUpTo(Infinity);
  const scale = (layouts) => {
    const { width, height } = layouts.get("g0");
    const margins = 2 * MARGIN;
    return Math.min((scene.clientWidth - margins) / width, (scene.clientHeight - margins) / height);
  };
  const heights = Array.from({ length: COLUMN.tries }, (_, i) => flat.get("g0").height * 0.8 ** (i + 1));
  return heights.map(layOutUpTo).reduce((best, each) => (scale(each) > scale(best) ? each : best), flat);
}

/** The layout of a group in columns of about this height, cut between its layers only. */
function setInColumns(layout, columnHeight, group) {
  const { boxes, ports, ways, height, rows } = layout;
  const cuts = cutsOf(rows, height, Math.round(height / columnHeight));
  if (!cuts.length) return layout;
  const starts = [0, ...cuts];
  const columnOf = (y) => cuts.filter((cut) => cut <= y).length;
  const lanes = lanesOf(ways, cuts);
  const room = COLUMN.lane * Math.max(...lanes.map(({ size }) => size));
  const top = COLUMN.margin + room + (group === "g0" ? 0 : SPACE.title);
  const down = (y, column) => (column ? y - starts[column] + top : y);
  const ends = [...cuts, height].map(down);
  const tall = Math.max(ends.at(-1), ...ends.slice(0, -1).map((end) => end + room + COLUMN.margin));
  if (tall > 0.8 * height) return layout; // one layer is nearly all of it

  const sides = sidesOf(layout, group, starts.length, columnOf);
  const shifts = [0];
  for (let column = 1; column < starts.length; column++) {
    const end = shifts[column - 1] + sides[column - 1].right;
    shifts.push(end + COLUMN.gap + room - sides[column].left);
  }
  const place = ([x, y], column = columnOf(y)) => [x + shifts[column], down(y, column)];

  /** Down from a column's last layer, up between the columns, and down to the next one's first layer. */
  const over = (column, lane, [fromX], [toX]) => {
    const aside = COLUMN.lane * (1 + lane);
    const between = shifts[column] + sides[column].right + COLUMN.gap / 2 + aside;
    return [
      [fromX, ends[column] + aside],
      [between, ends[column] + aside],
      [between, top - aside],
      [toX, top - aside],
    ];
  };
  const wayOf = ([key, points]) => {
    const placed = [];
    points.forEach((point, i) => {
      const before = columnOf(points[i - 1]?.[1] ?? point[1]);
      for (let column = before; column < columnOf(point[1]); column++) {
        const lane = lanes[column].get(startOf(key));
        placed.push(...over(column, lane, placed.at(-1), place(point, column + 1)));
      }
      placed.push(place(point));
    });
    if (points.at(-1)[1] === height) placed.push([placed.at(-1)[0], tall]); // it leaves the group
    return [key, placed];
  };

  const placedBox = ([item, box]) => {
    const [x, y] = place([box.x, box.y]);
    return [item, { ...box, x, y }];
  };
  return {
    width: shifts.at(-1) + sides.at(-1).right,
    height: tall,
    boxes: new Map([...boxes].map(placedBox)),
    ports: { in: ports.in, out: new Map([...ports.out].map(([value, x]) => [value, x + shifts.at(-1)])) },
    ways: new Map([...ways].map(wayOf)),
  };
}

/** For each column of a group, between which x its boxes and its ways are; the title stands over the first. */
function sidesOf({ boxes, ways }, group, count, columnOf) {
  const sides = Array.from({ length: count }, () => ({ left: Infinity, right: 0 }));
  const hold = (y, left, right) => {
    const side = sides[columnOf(y)];
    side.left = Math.min(side.left, left - SPACE.pad);
    side.right = Math.max(side.right, right + SPACE.pad);
  };
  for (const box of boxes.values()) hold(box.y, box.x, box.x + box.width);
  for (const points of ways.values()) for (const [x, y] of points) hold(y, x, x);
  Object.assign(sides[0], { left: 0, right: Math.max(sides[0].right, titleWidth(group)) });
  return sides;
}

/** Where a way begins. */
const startOf = (key) => key.split("|").slice(0, 3).join("|");

/** For each cut a lane for each place from which ways cross it: those that begin at one place share theirs. */
function lanesOf(ways, cuts) {
  const lanes = cuts.map(() => new Map());
  for (const [key, points] of ways) {
    cuts.forEach((cut, i) => {
      const crosses = points[0][1] < cut && cut <= points.at(-1)[1];
      if (crosses && !lanes[i].has(startOf(key))) lanes[i].set(startOf(key), lanes[i].size);
    });
  }
  return lanes;
}

/** Where a drawing of these rows is cut into so many columns of about one height: in the middle of gaps. */
function cutsOf(rows, height, count) {
  if (count < 2) return [];
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
