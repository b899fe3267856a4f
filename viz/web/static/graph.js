// What the page knows: the graph as it was written, how its parts hang together, and which groups are open.
// An item is a value, "v" and its number, or a group, "g" and its number; "g0" holds everything.

const graph = JSON.parse(document.getElementById("graph").textContent);
const { values, steps, groups } = graph;

const isGroup = (item) => item[0] === "g";
const valueOf = (item) => values[item.slice(1)];
const groupOf = (item) => groups[item.slice(1)];
const idOf = (value) => `v${value}`;

/** The group that each item is in. */
const parents = new Map();
groups.forEach((group, i) => group.items.forEach((item) => parents.set(item, `g${i}`)));

/** What goes into what: of a step's input, or of an array that it reads and that has a name, to its output. */
const links = [];
for (const step of steps) {
  const given = [...step.inputs, ...step.reads.filter((value) => values[value].name)];
  given.forEach((value, slot) => {
    if (typeof value === "number") {
      links.push({ source: idOf(value), target: idOf(step.output), value, step, slot });
    }
  });
}

/** The links that begin at each value. */
const uses = new Map();
for (const link of links) {
  if (!uses.has(link.value)) uses.set(link.value, []);
  uses.get(link.value).push(link);
}

// -- folding -------------------------------------------------------------------------------------------------

const opened = new Set(["g0"]);

/** The groups around an item, the innermost first. */
function around(item) {
  const found = [];
  for (let group = parents.get(item); group; group = parents.get(group)) found.push(group);
  return found;
}

/** What stands for an item on the screen: itself, or the outermost group around it that is shut. */
function shown(item) {
  let found = item;
  for (const group of around(item)) if (!opened.has(group)) found = group;
  return found;
}

/** The groups that are open and not inside one that is shut, the outer first. */
function openGroups() {
  const found = ["g0"];
  for (const group of found)
    found.push(...groupOf(group).items.filter((item) => isGroup(item) && opened.has(item)));
  return found;
}

/** The groups that could be opened now. */
const shutGroups = () =>
  openGroups().flatMap((group) => groupOf(group).items.filter((item) => isGroup(item) && !opened.has(item)));

/** How many items are on the screen. */
const countShown = () => openGroups().reduce((sum, group) => sum + groupOf(group).items.length, 0);

/** Open all groups that are shut now, unless more than `most` items would then be shown. Whether it did. */
function openLevel(most) {
  const level = shutGroups();
  const more = level.reduce((sum, group) => sum + groupOf(group).items.length, 0);
  if (!level.length || countShown() + more > most) return false;
  level.forEach((group) => opened.add(group));
  return true;
}

/** Shut the innermost groups that are open. Whether there were any. */
function shutLevel() {
  const open = openGroups().slice(1);
  const inner = open.filter((group) => !groupOf(group).items.some((item) => opened.has(item)));
  inner.forEach((group) => opened.delete(group));
  return inner.length > 0;
}

/** Open what an item is hidden in. */
const reveal = (item) => around(item).forEach((group) => opened.add(group));

// -- words ---------------------------------------------------------------------------------------------------

const shapeText = (shape) => shape.join("×");

/** What an item is called: its name, or the code that computed it. */
function called(item) {
  if (isGroup(item)) return [groupOf(item).name, groupOf(item).title].filter(Boolean).join(": ") || "all";
  const value = valueOf(item);
  if (value.name) return value.name;
  return value.maker === undefined ? value.kind : steps[value.maker].code;
}

const gradientOf = (item) =>
  valueOf(item).name ? `d${valueOf(item).name}` : `the gradient of ${called(item)}`;

/** The words that point at the group in which an item is hidden; none where it is on the screen. */
const placeIn = (item) => (shown(item) === item ? "" : `Inside ${called(shown(item))}: `);

/** Of a group, how many steps and how many numbers of a module's parameters are in it, at whatever depth. */
const contents = new Map();
function contentOf(group) {
  if (!contents.has(group)) {
    const sum = { steps: 0, learnt: 0, values: [] };
    for (const item of groupOf(group).items) {
      if (isGroup(item)) {
        const inner = contentOf(item);
        sum.steps += inner.steps;
        sum.learnt += inner.learnt;
        sum.values.push(...inner.values);
      } else {
        const value = valueOf(item);
        sum.steps += value.maker !== undefined;
        sum.learnt += value.parameter ? value.shape.reduce((a, b) => a * b, 1) : 0;
        sum.values.push(Number(item.slice(1)));
      }
    }
    contents.set(group, sum);
  }
  return contents.get(group);
}
