// The drawing: nodes, groups and links as SVG; what is selected, and what is folded.

const CAP = { height: 20, overlap: 6 };
const BODY = 46;
const WIDTHS = [116, 250];

const canvasContext = document.createElement("canvas").getContext("2d");

function textWidth(text, font) {
  canvasContext.font = `${font} ${getComputedStyle(document.body).fontFamily}`;
  return canvasContext.measureText(text).width;
}

/** The text, cut with an ellipsis where it would be wider. */
function cut(text, font, width) {
  if (textWidth(text, font) <= width) return text;
  let [low, high] = [0, text.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (textWidth(`${text.slice(0, middle)}…`, font) <= width) low = middle;
    else high = middle - 1;
  }
  return `${text.slice(0, low)}…`;
}

const NAME = "650 13px";
const SMALL = "600 12px";
const capText = (value) => steps[value.maker].text;
const titleOf = (group) => `▾ ${nameIn(group)}`;
const titleWidth = (group) => (group === "g0" ? 0 : textWidth(titleOf(group), SMALL) + 26);
const amountOf = (group) => {
  const { steps: count, learnt } = contentOf(group);
  return [plural(count, "operation"), ...(learnt ? [plural(learnt, "parameter")] : [])].join(", ");
};

/** Width and height of the node of an item, and the width of its cap, where the operation stands. */
const sizes = new Map();
function sizeOf(item) {
  if (!sizes.has(item)) sizes.set(item, isGroup(item) ? groupSize(item) : valueSize(item));
  return sizes.get(item);
}

function groupSize(group) {
  const text = Math.max(textWidth(nameIn(group), NAME), textWidth(amountOf(group), "12px"));
  return { width: clamp(text + 44, 150, 330), height: 60 };
}

function valueSize(item) {
  const value = valueOf(item);
  const line = textWidth(nameIn(item), NAME) + textWidth(shapeText(value.shape), "12px") + 34;
  const cap = value.maker === undefined ? 0 : textWidth(capText(value), SMALL) + 18;
  const sums = (arrivals.get(Number(item.slice(1))) ?? []).map((event) => events[event].total);
  const arrays = [value.data, value.gradient, ...sums].filter((i) => i !== undefined);
  const half = Math.max(...arrays.map((i) => glanceWidth(graph.arrays[i])));
  return {
    width: clamp(Math.max(line, cap + 10, 2 * (half + GLANCE.margin), canNudge ? 164 : 0), ...WIDTHS),
    height: value.maker === undefined ? BODY : BODY + CAP.height - CAP.overlap,
    cap: Math.min(cap, WIDTHS[1] - 10),
  };
}

/** What an item is called inside its module: without the path that stands there. */
function nameIn(item) {
  const name = isGroup(item) ? called(item) : valueOf(item).name;
  const module = around(item)
    .map(groupOf)
    .find((group) => group.kind === "module" && group.name);
  return module ? name.replaceAll(`${module.name}.`, "") : name;
}

// -- drawing -------------------------------------------------------------------------------------------------

let layout = { boxes: new Map(), paths: new Map(), width: 0, height: 0 };
const elements = new Map(); // of every item on the screen
const pathElements = new Map(); // of every link on the screen, by "source>target>slot"
const linkKey = (link) => `${link.source}>${link.target}>${link.slot}`;

/** Lay out and draw what is shown. anchor: an item that stays where it is on the screen. */
function draw(anchor) {
  const before = anchor && layout.boxes.get(shown(anchor)) ? placeOf(anchor) : null;
  const old = anchor && layout.boxes.get(anchor) ? placeOf(anchor) : before;
  layout = layOut();
  const kept = new Map();
  for (const [item, box] of layout.boxes) {
    if (item !== "g0") kept.set(item, elementOf(item, box));
  }
  for (const [item, element] of elements) if (kept.get(item) !== element) element.remove();
  elements.clear();
  kept.forEach((element, item) => elements.set(item, element));
  const open = (item) => isGroup(item) && opened.has(item);
  byId("groups").replaceChildren(...[...kept].filter(([item]) => open(item)).map(([, element]) => element));
  byId("nodes").append(
    ...[...kept]
      .filter(([item, element]) => !open(item) && !element.isConnected)
      .map(([, element]) => element),
  );
  drawPaths();
  drawMap();
  if (old) {
    const now = placeOf(anchor);
    view.x += old.x - now.x;
    view.y += old.y - now.y;
    applyView();
  }
  markSelected();
  showWalk();
}

/** Where the middle of an item's upper edge is on the screen. */
function placeOf(item) {
  const box = layout.boxes.get(item) ?? layout.boxes.get(shown(item));
  return { x: view.x + view.scale * (box.x + box.width / 2), y: view.y + view.scale * box.y };
}

function elementOf(item, box) {
  const open = isGroup(item) && opened.has(item);
  let element = elements.get(item);
  const fits =
    element &&
    (open ? element.dataset.size === `${box.width} ${box.height}` : !element.classList.contains("group"));
  if (!fits) {
    element = open
      ? groupElement(item, box)
      : isGroup(item)
        ? foldedElement(item, box)
        : valueElement(item, box);
    element.id = item;
    element.dataset.size = `${box.width} ${box.height}`;
  }
  element.style.transform = `translate(${box.x}px, ${box.y}px)`;
  return element;
}

const halo = ({ width, height }) =>
  svg("rect", { class: "halo", x: -5, y: -5, width: width + 10, height: height + 10, rx: 11 });

function groupElement(group, box) {
  const title = svg(
    "text",
    { class: "title", x: 12, y: 19, onclick: () => toggle(group) },
    titleOf(group),
    svg("title", {}, "Fold"),
  );
  const area = svg("rect", { class: "area", width: box.width, height: box.height, rx: 10 });
  return svg(
    "g",
    {
      class: "group",
      tabindex: -1,
      role: "button",
      "aria-expanded": "true",
      "aria-label": `${called(group)}, unfolded`,
    },
    halo(box),
    area,
    title,
  );
}

function foldedElement(group, box) {
  const { width, height } = box;
  const rect = (shift, kind) =>
    svg("rect", { class: kind, x: shift, y: shift, width: width - 5, height: height - 5, rx: 8 });
  return svg(
    "g",
    {
      class: "node folded",
      tabindex: -1,
      role: "button",
      "aria-expanded": "false",
      "aria-label": `${called(group)}, ${amountOf(group)}, folded`,
    },
    halo(box),
    rect(5, "behind"),
    rect(0, "body"),
    svg("text", { class: "name", x: 12, y: 21 }, `▸ ${cut(nameIn(group), NAME, width - 44)}`),
    svg("text", { class: "amount", x: 12, y: 39 }, cut(amountOf(group), "11.5px", width - 26)),
    svg("rect", { class: "progress", x: 12, y: 46, width: 0, height: 4, rx: 2 }),
  );
}

function valueElement(item, box) {
  const value = valueOf(item);
  const top = value.maker === undefined ? 0 : CAP.height - CAP.overlap;
  const shape = shapeText(value.shape);
  const room = box.width - 30 - textWidth(shape, "12px");
  const root = item === idOf(graph.root) ? " root" : "";
  const parts = [svg("rect", { class: "body", y: top, width: box.width, height: BODY, rx: 8 })];
  if (top) {
    const width = sizeOf(item).cap;
    const text = cut(capText(value), SMALL, width - 16);
    parts.push(svg("rect", { class: "cap", x: (box.width - width) / 2, width, height: CAP.height, rx: 10 }));
    parts.push(svg("text", { class: "cap-text", x: box.width / 2, y: 14.5 }, text));
  }
  const first = top + (top ? 23 : 19);
  const second = value.name || shape ? first + 6 : first - 6;
  const named = svg("text", { class: "name", x: 12, y: first }, cut(nameIn(item), NAME, room));
  const shaped = svg("text", { class: "shape", x: box.width - 12, y: first }, shape);
  const numbers = svg(
    "g",
    { class: "numbers", transform: `translate(12, ${second})` },
    glance(graph.arrays[value.data], box.width / 2 - GLANCE.margin, "value"),
  );
  const slope = svg("g", { class: "gradient", transform: `translate(${box.width / 2 + 6}, ${second})` });
  const count = svg("text", { class: "uses", x: box.width + 4, y: top + BODY + 12 });
  const label = [called(item), value.kind === "leaf" ? "requires a gradient" : value.kind, shape, value.dtype]
    .filter(Boolean)
    .join(", ");
  return svg(
    "g",
    { class: `node ${value.kind}${root}`, tabindex: -1, role: "button", "aria-label": label },
    halo(box),
    parts,
    named,
    shaped,
    numbers,
    slope,
    count,
  );
}

const GLANCE = { margin: 18, bars: 26, gap: 4, height: 14 };

/** What is written in a node of an array: its number; beside a histogram, how large its numbers are. */
function glanceText(array) {
  if (isSingle(array)) return short(array.rows[0][0]);
  return array.bins ? magnitude(array) : array.odd ? "inf or nan" : "empty";
}

const hasBars = (array) => array.bins && !isSingle(array);
const glanceWidth = (array) =>
  textWidth(glanceText(array), "12px") + (hasBars(array) ? GLANCE.bars + GLANCE.gap : 0);

/** An array in a node: its number, or its histogram and how large its numbers are. */
function glance(array, width, kind) {
  const text = glanceText(array);
  const right = hasBars(array) || kind === "slope";
  const anchor = right ? "end" : "start";
  const written = svg("text", { class: kind, x: right ? width : 0, y: 12, "text-anchor": anchor }, text);
  if (!hasBars(array)) return [written];
  const room = width - textWidth(text, "12px") - GLANCE.gap;
  return [svg("path", { class: kind, d: bars(array.bins, room, GLANCE.height) }), written];
}

function drawPaths() {
  pathElements.clear();
  const drawn = [...layout.paths.values()].map(({ points, links: passing }) => {
    const constant = passing.every((link) => values[link.value].kind === "constant");
    const path = svg("path", {
      d: curve(points),
      "marker-end": "url(#tip)",
      class: constant ? "constant" : null,
    });
    for (const link of passing) pathElements.set(linkKey(link), path);
    return path;
  });
  byId("edges").replaceChildren(...drawn);
}

/** A line through the points: straight down, and from layer to layer in a curve. */
function curve(points) {
  const at = ([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  let text = `M${at(points[0])}`;
  for (let i = 1; i < points.length; i++) {
    const [[x0, y0], [x1, y1]] = [points[i - 1], points[i]];
    if (Math.abs(y0 - y1) < 0.1 && Math.abs(x0 - x1) < 0.1) continue; // an arrow needs a direction
    if (Math.abs(x0 - x1) < 0.1 || Math.abs(y0 - y1) < 0.1) text += `L${at(points[i])}`;
    else text += `C${at([x0, (y0 + y1) / 2])} ${at([x1, (y0 + y1) / 2])} ${at(points[i])}`;
  }
  return text;
}

// -- selection and folding -----------------------------------------------------------------------------------

let selected = idOf(graph.root);

function markSelected() {
  for (const [item, element] of elements) {
    const is = item === selected;
    element.classList.toggle("selected", is);
    element.setAttribute("tabindex", is ? 0 : -1);
  }
  if (!elements.has(selected)) elements.get(shown(selected))?.setAttribute("tabindex", 0);
  for (const [key, path] of pathElements) {
    const [source, target] = key.split(">");
    if (source === selected || target === selected) path.classList.add("near");
  }
}

/** Select an item and tell about it; look: also bring it into view. */
function select(item, look = false) {
  selected = item;
  document.querySelectorAll("#edges path.near").forEach((path) => path.classList.remove("near"));
  markSelected();
  inspect(item);
  if (look) bringIntoView(item);
}

/** Open or shut a group. */
function toggle(group) {
  if (opened.has(group)) opened.delete(group);
  else opened.add(group);
  draw(group);
  select(group);
  elements.get(group).focus({ preventScroll: true });
  say(`${called(group)} is ${opened.has(group) ? "unfolded" : "folded"}.`);
}

const MOST = 1500;

function foldLevel() {
  if (!shutLevel()) return say("Everything is folded.");
  draw(shown(selected));
  say(`Folded to ${plural(countShown(), "node")}.`);
}

function unfoldLevel() {
  if (!shutGroups().length) return say("Everything is unfolded.");
  if (!openLevel(MOST)) return say(`That would be more than ${plural(MOST, "node")}: unfold a group by itself.`);
  draw(shown(selected));
  say(`Unfolded to ${plural(countShown(), "node")}.`);
}
