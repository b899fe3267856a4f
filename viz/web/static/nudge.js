// Of a graph of single numbers: a leaf is given another number, and all data and gradients follow. The operations of
// a Value once more, in JavaScript; the engine's own are their judge in the tests.

/** What each operation computes, and its slopes by its inputs; the result is the last argument of a slope. */
const RULES = {
  add: [(a, b) => a + b, () => 1, () => 1],
  sub: [(a, b) => a - b, () => 1, () => -1],
  mul: [(a, b) => a * b, (a, b) => b, (a) => a],
  div: [(a, b) => a / b, (a, b) => 1 / b, (a, b) => -a / b / b],
  pow: [(a, b) => a ** b, (a, b) => (b ? b * a ** (b - 1) : 0), (a, b, y) => y && y * Math.log(a)],
  neg: [(x) => -x, () => -1],
  abs: [Math.abs, Math.sign],
  exp: [Math.exp, (x, y) => y],
  log: [Math.log, (x) => 1 / x],
  sqrt: [Math.sqrt, (x, y) => 0.5 / y],
  relu: [(x) => (x <= 0 ? 0 : x), (x) => (x <= 0 ? 0 : 1)],
  sigmoid: [(x) => 1 / (1 + Math.exp(-x)), (x, y) => y * (1 - y)],
  tanh: [Math.tanh, (x, y) => 1 - y * y],
  sin: [Math.sin, Math.cos],
  cos: [Math.cos, (x) => -Math.sin(x)],
};

const canNudge = graph.scalar && steps.every((step) => RULES[step.operation]);

/** A number as an array of the page; what is not finite is text there. */
const single = (x) => ({ rows: [[Number.isFinite(x) ? x : x > 0 ? "inf" : x < 0 ? "-inf" : "nan"]] });

/** The number of an array of the page. */
const numberOf = (array) => Number(String(graph.arrays[array].rows[0][0]).replace("inf", "Infinity"));

/** Give a leaf another number: compute all data forward, and all gradients backward. */
function nudge(leaf, number) {
  const data = values.map((value) => numberOf(value.data));
  data[leaf] = number;
  const inputs = (step) => step.inputs.map((input) => (typeof input === "number" ? data[input] : Number(input)));
  for (const step of steps) data[step.output] = RULES[step.operation][0](...inputs(step));
  const gradients = values.map(() => 0);
  gradients[graph.root] = 1;
  const put = (number) => graph.arrays.push(single(number)) - 1;
  graph.arrays.length = graph.given ??= graph.arrays.length; // those of the last nudge are not needed any more
  for (const event of events) {
    const { step, slot, value } = event;
    const slope = RULES[step.operation][slot + 1](...inputs(step), data[step.output]);
    const share = gradients[step.output] * slope;
    gradients[value] += share;
    [event.contribution, event.total] = [put(share), put(gradients[value])];
  }
  values.forEach((value, i) => {
    value.data = put(data[i]);
    if (value.gradient !== undefined) value.gradient = put(gradients[i]);
  });
  showNumbers();
}

/** Show all numbers anew. */
function showNumbers() {
  for (const [item, element] of elements) {
    if (isGroup(item)) continue;
    const array = graph.arrays[valueOf(item).data];
    const width = layout.boxes.get(item).width / 2 - GLANCE.margin;
    element.querySelector(".numbers").replaceChildren(...glance(array, width, "value"));
    delete element.dataset.state;
  }
  showWalk();
  for (const share of document.querySelectorAll("#inspector [data-event]")) delete share.dataset.arrived;
  refreshSlope();
  byId("data").querySelector(".number").textContent = short(graph.arrays[valueOf(selected).data].rows[0][0]);
}

/** A slider that nudges a leaf, and a button that gives it its number back. */
function nudgeView(item) {
  const value = Number(item.slice(1));
  const now = numberOf(values[value].data);
  values[value].given ??= now;
  const { given } = values[value];
  const reach = Math.max(2, 2 * Math.abs(given));
  const slider = html("input", {
    type: "range",
    min: given - reach,
    max: given + reach,
    step: "any",
    value: now,
    "aria-label": `Nudge ${called(item)}`,
    oninput: ({ target }) => nudge(value, Number(target.value)),
  });
  const back = () => {
    slider.value = given;
    nudge(value, given);
  };
  return html(
    "div",
    { class: "slider nudge" },
    slider,
    html("button", { type: "button", onclick: back }, `back to ${short(given)}`),
  );
}
