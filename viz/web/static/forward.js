// The forward pass, one step after another: it hides what is not computed yet, and shows no gradient.

let pass = "backward"; // which pass is walked through: "forward" or "backward"

const passLength = () => (pass === "forward" ? steps.length : events.length);

/** How many contributions have arrived; in the forward pass none, not even at the root. */
const arrivedBy = () => (pass === "forward" ? -1 : position);

/** The step of the forward pass that was the last, if it is the one that is walked through. */
const lastStep = () => (pass === "forward" && begun ? steps[position - 1] : undefined);

/** Hide the number of each value that is not computed yet, and show which step computes. */
function showComputed() {
  for (const [item, element] of elements) {
    const made = isGroup(item) ? undefined : valueOf(item).maker;
    const later = pass === "forward" && begun && made >= position;
    element.classList.toggle("later", later);
    element.classList.remove("computing", "read");
  }
  document.querySelectorAll(".flow-on").forEach((path) => path.classList.remove("flow-on"));
  const step = lastStep();
  if (!step) return;
  elements.get(shown(idOf(step.output)))?.classList.add("computing");
  step.inputs.forEach((value, slot) => {
    if (typeof value !== "number") return;
    elements.get(shown(idOf(value)))?.classList.add("read");
    pathElements
      .get(linkKey({ source: idOf(value), target: idOf(step.output), slot }))
      ?.classList.add("flow-on");
  });
}

/** What a step of the forward pass does, in words. */
function describeStep(step) {
  const item = idOf(step.output);
  const name = values[step.output].name ? `${values[step.output].name} = ` : "";
  const count = uses.get(step.output)?.length ?? 0;
  const used = count ? `It is used ${count === 1 ? "once" : count === 2 ? "twice" : `${count} times`}.` : "It is the result.";
  return `${placeIn(item)}${name}${step.code}. ${used}`;
}

/** Walk through that pass, from its beginning. */
function choosePass(chosen) {
  if (timer) pause();
  pass = chosen;
  byId("pass").value = chosen;
  document.body.dataset.pass = chosen;
  byId("position").max = passLength();
  byId("play").disabled = !passLength();
  moveTo(0);
}
