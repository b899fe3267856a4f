// The backward pass, one contribution after another, in the order in which the engine takes them; and how either
// pass is walked through.

/** The contributions: step, slot of its input, the value that it goes to, the numbers of two arrays (itself and
 * the sum so far), and which of the value's contributions it is. */
const events = graph.walk.map(([step, slot, contribution, total]) => ({
  step: steps[step],
  slot,
  contribution,
  total,
  value: steps[step].inputs[slot],
}));

/** Of each value, the numbers of its events. */
const arrivals = new Map();
events.forEach((event, i) => {
  if (!arrivals.has(event.value)) arrivals.set(event.value, []);
  event.nth = arrivals.get(event.value).push(i);
});

/** The event of each use, by its step's output and slot. */
const eventOf = new Map(events.map(({ step, slot }, i) => [`${step.output} ${slot}`, i]));

let position = events.length; // how many events have happened
let begun = false; // before the first move the page shows where the walk ends
let timer = null;

/** The gradient of a value after so many events: the number of its array or null, and how many have arrived. */
function gradientAt(value, when) {
  const all = arrivals.get(value) ?? [];
  if (when < 0) return { array: null, arrived: 0, of: all.length };
  if (value === graph.root) return { array: values[value].gradient ?? null, arrived: 0, of: 0 };
  let arrived = 0;
  while (arrived < all.length && all[arrived] < when) arrived++;
  // A hook may have changed the whole sum, but not a part of it.
  const array =
    arrived === all.length ? values[value].gradient : arrived ? events[all[arrived - 1]].total : null;
  return { array: array ?? null, arrived, of: all.length };
}

// -- on the screen -------------------------------------------------------------------------------------------

/** Show the state of the walk in every node, and where it is. */
function showWalk() {
  for (const [item, element] of elements) {
    if (!isGroup(item)) showGradient(item, element);
    else if (!opened.has(item)) showProgress(item, element);
  }
  document.querySelectorAll(".flow").forEach((path) => path.classList.remove("flow"));
  showComputed();
  const last = lastEvent();
  if (last) {
    elements.get(shown(idOf(last.value)))?.classList.add("current");
    elements.get(shown(idOf(last.step.output)))?.classList.add("giving");
    pathOf(last)?.classList.add("flow");
  }
  const step = lastStep();
  markMap(...[last?.value, (last?.step ?? step)?.output].filter((value) => value !== undefined).map(idOf).map(shown));
  if (step) byId("rule").replaceChildren(forwardOf(step)[0]);
  else showRule(last);
  fitFormulas(byId("rule"));
  byId("position").value = position;
  byId("count").textContent = `${position.toLocaleString("en")} / ${passLength().toLocaleString("en")}`;
  for (const id of ["reset", "previous"]) byId(id).disabled = !position;
  for (const id of ["next", "end"]) byId(id).disabled = position === passLength();
}

const lastEvent = () => (pass === "backward" && begun ? events[position - 1] : undefined);

/** Under the drawing, the rule that runs at an event, and what it gives where that is one number. */
function showRule(event) {
  const box = byId("rule");
  if (!event) return box.replaceChildren();
  const { step, slot, contribution, total, nth } = event;
  const [share, sum] = [contribution, total].map((array) => graph.arrays[array]);
  const numbers =
    isSingle(share) && `= ${short(share.rows[0][0])}${nth > 1 ? `, together ${short(sum.rows[0][0])}` : ""}`;
  const [math] = ruleOf(step, slot, nth > 1);
  if (numbers) math.append(html("span", { class: "number" }, numbers));
  box.replaceChildren(math);
}

function showGradient(item, element) {
  const value = valueOf(item);
  element.classList.remove("current", "giving");
  if (value.gradient === undefined) return;
  const { array, arrived, of } = gradientAt(Number(item.slice(1)), arrivedBy());
  const width = layout.boxes.get(item).width / 2 - GLANCE.margin;
  const whole = arrivedBy() === events.length;
  const state = `${array} ${arrived} ${whole}`;
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  element.classList.toggle("partial", array !== null && arrived < of);
  element.classList.toggle("arrived", array !== null && arrived === of && !whole);
  element
    .querySelector(".gradient")
    .replaceChildren(
      ...(array === null
        ? [svg("rect", { class: "waiting", y: 0.5, width, height: 13, rx: 3 })]
        : glance(graph.arrays[array], width, "slope")),
    );
  element.querySelector(".uses").textContent =
    of > 1 && arrived ? `${arrived > 1 ? "+= " : ""}${arrived}/${of}` : "";
}

function showProgress(group, element) {
  element.classList.remove("current", "giving");
  const inside = contentOf(group).values.flatMap((value) => arrivals.get(value) ?? []);
  const done = inside.filter((event) => event < arrivedBy()).length;
  const room = layout.boxes.get(group).width - 29;
  element.querySelector(".progress").setAttribute("width", inside.length ? (room * done) / inside.length : 0);
}

const pathOf = ({ step, slot, value }) =>
  pathElements.get(linkKey({ source: idOf(value), target: idOf(step.output), slot }));

/** What an event does, and why. */
function describe({ step, slot, value, nth }) {
  const all = arrivals.get(value).length;
  const through = `through ${partName(step, 0)} = ${step.code}`;
  const part = all > 1 ? `contribution ${nth} of ${all}, ${through}` : through;
  const gradient = `${placeIn(idOf(value))}d${partName(step, slot + 1)}`;
  return `${gradient}, ${part}. ${reasonOf(step, slot)}${hereOf(step, slot)}`;
}

// -- moving --------------------------------------------------------------------------------------------------

/** Whether an event can be seen: it passes between two nodes on the screen. */
const isSeen = ({ step, value }) => shown(idOf(step.output)) !== shown(idOf(value));

/** Whether what happens at a place of the pass can be seen. */
const isPlaceSeen = (place) =>
  pass === "forward" ? shown(idOf(steps[place - 1].output)) === idOf(steps[place - 1].output) : isSeen(events[place - 1]);

/** Go to a place in the walk, and select and show the value that the last event went to. */
function moveTo(place) {
  position = clamp(place, 0, passLength());
  begun = true;
  const [last, step] = [lastEvent(), lastStep()];
  const item = idOf(last?.value ?? step?.output ?? graph.root);
  const seen = shown(item);
  if (selected !== seen) select(seen);
  showWalk();
  refreshSlope();
  bringIntoView(seen);
  if (last) say(describe(last));
  else if (step) say(describeStep(step));
  else if (pass === "forward") say("The leaves and constants are given: nothing is computed yet.");
  else if (!events.length) say(graph.note || "There is no backward pass here.");
  else say(`The gradient of ${called(item)} with respect to itself is 1.`);
}

/** One step; what passes inside a group that is folded is passed over together. */
function stepForward() {
  let place = position + 1;
  while (place < passLength() && !isPlaceSeen(place)) place++;
  moveTo(place);
  if (lastEvent()) pulse(lastEvent());
}

function stepBack() {
  let place = position - 1;
  while (place > 0 && !isPlaceSeen(place)) place--;
  moveTo(place);
}

/** A point that runs along the link, from the result to the input. */
function pulse(event) {
  const path = pathOf(event);
  if (!path || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const [point, length] = [byId("pulse"), path.getTotalLength()];
  const [start, duration] = [performance.now(), Math.min(450, 0.7 * byId("speed").value)];
  const move = (now) => {
    const done = Math.min(1, Math.max(0, now - start) / duration);
    const { x, y } = path.getPointAtLength(length * (1 - done));
    point.setAttribute("cx", x);
    point.setAttribute("cy", y);
    point.style.visibility = done < 1 && path.isConnected ? "visible" : "hidden";
    if (done < 1 && path.isConnected) requestAnimationFrame(move);
  };
  requestAnimationFrame(move);
}

function play() {
  if (timer) return pause();
  if (position === passLength()) moveTo(0);
  const tick = () => {
    if (position === passLength()) return pause();
    timer = setTimeout(tick, byId("speed").value);
    stepForward();
  };
  timer = setTimeout(tick, byId("speed").value);
  byId("play").classList.add("playing");
  byId("play").setAttribute("aria-label", "Pause");
}

function pause() {
  clearTimeout(timer);
  timer = null;
  byId("play").classList.remove("playing");
  byId("play").setAttribute("aria-label", "Play");
  showWalk();
}

/** Move by hand, which ends what is playing. */
const byHand = (move) => () => {
  if (timer) pause();
  move();
};
