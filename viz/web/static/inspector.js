// The panel beside the graph: all there is to know of what is selected.

/** A button that leads to an item. */
function linkTo(item, text = called(item)) {
  return html(
    "button",
    {
      class: "link",
      type: "button",
      onclick: () => {
        goTo(item);
      },
    },
    text,
  );
}

/** Select an item wherever it is hidden. */
function goTo(item) {
  if (shown(item) !== item) {
    reveal(item);
    draw(selected);
  }
  select(item, true);
}

function section(title, ...children) {
  return html("section", {}, html("h3", {}, title), children);
}

/** Tell about an item. */
function inspect(item) {
  const panel = byId("inspector");
  panel.replaceChildren(...(isGroup(item) ? groupView(item) : valueView(item)));
  panel.scrollTop = 0;
  fitFormulas(panel);
}

const SMALLEST = 0.7; // of the usual size of a formula

/** Make formulas that are too wide for the box that they are in smaller; beyond that they are scrolled. */
function fitFormulas(box) {
  const measured = [...box.querySelectorAll(".formula:not([style])")].map((each) => ({
    each,
    room: (0.96 * each.clientWidth) / each.scrollWidth, // the shapes in it do not shrink as much
    size: parseFloat(getComputedStyle(each).fontSize),
  }));
  for (const { each, room, size } of measured)
    if (room < 1) each.style.fontSize = `${size * Math.max(room, SMALLEST)}px`;
}

// -- groups --------------------------------------------------------------------------------------------------

function groupView(group) {
  const inside = contentOf(group).values.filter(
    (value) => values[value].name || values[value].kind === "leaf",
  );
  const open = opened.has(group);
  return [
    html("h2", {}, called(group)),
    html("p", { class: "about" }, amountOf(group)),
    html(
      "section",
      {},
      html("button", { type: "button", onclick: () => toggle(group) }, open ? "Fold" : "Unfold"),
    ),
    inside.length &&
      section(
        "In it",
        html(
          "ul",
          { class: "list" },
          inside
            .slice(0, 60)
            .map((value) =>
              html(
                "li",
                {},
                linkTo(idOf(value)),
                html("span", { class: "tag" }, ` ${shapeText(values[value].shape)}`),
              ),
            ),
          inside.length > 60 && html("li", {}, `and ${(inside.length - 60).toLocaleString("en")} more`),
        ),
      ),
  ].filter(Boolean);
}

// -- values --------------------------------------------------------------------------------------------------

const KINDS = { leaf: "leaf that requires a gradient", constant: "constant", result: "result" };

function valueView(item) {
  const value = valueOf(item);
  const step = steps[value.maker];
  const made = step ? (value.name ? `= ${step.code}` : "computed") : KINDS[value.kind];
  const shape = value.shape.length ? shapeText(value.shape) : "a single number";
  return [
    html("h2", {}, called(item)),
    html("p", { class: "about" }, `${made} · ${shape} · ${value.dtype}`),
    html(
      "section",
      { id: "data" },
      html("h3", {}, "Value"),
      arrayView(graph.arrays[value.data], value.shape, "data"),
      canNudge && value.kind === "leaf" && nudgeView(item),
    ),
    value.gradient !== undefined && html("section", { id: "slope" }, slopeView(item)),
    step && section("How it is computed", forwardOf(step)),
    step &&
      step.inputs.some((_, slot) => graph.formulas[step.formula].rules[slot]) &&
      section(
        "Its local backward rule",
        step.inputs.map((_, slot) => ruleOf(step, slot)),
      ),
    section("Its life", lifeOf(item)),
  ].filter(Boolean);
}

/** The gradient as far as the walk has come. */
function slopeView(item) {
  const value = valueOf(item);
  const root = called(idOf(graph.root));
  const { array, arrived, of } = gradientAt(Number(item.slice(1)), arrivedBy());
  const parts = of > 1 ? ` · ${arrived} of ${of} contributions` : "";
  // Before anything has arrived, the room is kept that it will take.
  const view = arrayView(graph.arrays[array ?? value.gradient], value.shape, "gradient");
  if (array === null) view.style.visibility = "hidden";
  const held =
    value.held !== undefined && value.held !== value.gradient
      ? [
          html("p", { class: "where" }, "What its .grad holds now:"),
          arrayView(graph.arrays[value.held], value.shape, "gradient"),
        ]
      : [];
  const box = html(
    "div",
    { class: "kept" },
    view,
    array === null && html("p", { class: "pending" }, "nothing has arrived yet"),
  );
  return [
    html("h3", {}, `Gradient of ${root}${parts}`),
    box,
    value.hooked && html("p", { class: "where" }, "A hook may change the sum before it is passed on."),
    ...held,
  ].filter(Boolean);
}

/** Show once more what depends on how far the walk has come. */
function refreshSlope() {
  byId("slope")?.replaceChildren(...slopeView(selected));
  document.querySelectorAll("#inspector [data-event]").forEach(showShare);
  fitFormulas(byId("inspector"));
}

// -- formulas and lines --------------------------------------------------------------------------------------

/** The line of the program that made a step. */
function originOf(step) {
  if (!step.line) return null;
  return html(
    "div",
    {},
    html("p", { class: "where" }, `${step.line.file}:${step.line.number}`),
    html("code", {}, step.line.code || "…"),
  );
}

const FIRST_PLACEHOLDER = 0xe000;

/** A formula of a step, with the names of its values, as the drawing has them, in the place of the placeholders;
 * what has no name is called as the operation calls it, and said below. adds: with "+=" for "=". */
function formula(step, mathml, adds = false) {
  if (!mathml) return null;
  const { letters } = graph.formulas[step.formula];
  const parts = [step.output, ...step.inputs, ...step.reads];
  const unnamed = new Map();
  const nameOf = (i) => {
    if (values[parts[i]]?.name) return nameIn(idOf(parts[i]));
    unnamed.set(letters[i], idOf(parts[i]));
    return letters[i];
  };
  const box = html("div", { class: "formula" });
  box.innerHTML = mathml; // of the page's own making, without any name in it yet
  if (adds) box.querySelector("mo").textContent = "+="; // of the operators the first
  const texts = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    texts.currentNode.data = texts.currentNode.data.replace(/[\ue000-\uf8ff]/g, (mark) =>
      nameOf(mark.charCodeAt(0) - FIRST_PLACEHOLDER),
    );
  }
  const said = [...unnamed].flatMap(([letter, item], i) => [
    i ? ", " : "Here ",
    letter,
    " is ",
    whatIs(item),
  ]);
  return [box, said.length ? html("p", { class: "where" }, said, ".") : null];
}

function whatIs(item) {
  if (item === selected) return "this value";
  if (valueOf(item).maker === undefined) return `a ${valueOf(item).kind}`;
  return ["the result of ", linkTo(item)];
}

const forwardOf = (step) => formula(step, graph.formulas[step.formula].forward);

/** What a sentence calls a part of a step, 0 its output, then its inputs: by its name, or as the formulas do. */
const partName = (step, i) =>
  values[[step.output, ...step.inputs][i]].name || graph.formulas[step.formula].letters[i];

/** Why a step sends back to an input what it does, with placeholders for the parts of the step. */
const reasonIn = (step, slot) => graph.formulas[step.formula].reasons[slot];

const reasonOf = (step, slot) =>
  reasonIn(step, slot).replace(/[\ue000-\uf8ff]/g, (mark) => partName(step, mark.charCodeAt(0) - FIRST_PLACEHOLDER));

/** What the inputs without a name are that a sentence about a use of input number `slot` speaks of. */
function hereOf(step, slot) {
  const spoken = (i) => i === slot || reasonIn(step, slot).includes(String.fromCharCode(FIRST_PLACEHOLDER + i + 1));
  const said = step.inputs.flatMap((value, i) => {
    if (typeof value !== "number" || values[value].name || !spoken(i)) return [];
    const made = values[value].maker !== undefined;
    return `${partName(step, i + 1)} is ${made ? called(idOf(value)) : `a ${values[value].kind}`}`;
  });
  return said.length ? ` Here ${said.join(", ")}.` : "";
}

/** The local rule of one input, and why it is so. */
function ruleOf(step, slot, adds) {
  const { rules } = graph.formulas[step.formula];
  if (!rules[slot]) return [];
  return [
    ...formula(step, rules[slot], adds).filter(Boolean),
    html("p", { class: "where" }, reasonOf(step, slot)),
  ];
}

// -- the life of a value -------------------------------------------------------------------------------------

const MOST_USES = 40;

/** The uses of a value as the backward pass meets them, the last one first; then those it never meets. */
function usesOf(value) {
  const met = ({ step, slot }) => eventOf.get(`${step.output} ${slot}`) ?? Infinity;
  return [...(uses.get(value) ?? [])].sort((a, b) => met(a) - met(b) || b.step.output - a.step.output);
}

/** Where a value was born, and its uses; of very many all only when asked for. */
function lifeOf(item, most = MOST_USES) {
  const value = valueOf(item);
  const number = Number(item.slice(1));
  const entries = [
    html(
      "li",
      {},
      html("p", { class: "what" }, "Born"),
      value.maker === undefined ? KINDS[value.kind] : bornOf(steps[value.maker]),
    ),
  ];
  const all = usesOf(number);
  entries.push(...all.slice(0, most).map((link, i) => useOf(link, i, all.length)));
  const showAll = ({ target }) => {
    target.closest(".life").replaceWith(lifeOf(item, all.length));
    fitFormulas(byId("inspector"));
  };
  if (all.length > most)
    entries.push(
      html("li", {}, html("button", { type: "button", onclick: showAll }, `Show all ${plural(all.length, "use")}`)),
    );
  if (number === graph.root)
    entries.push(
      html(
        "li",
        { class: "given" },
        html("p", { class: "what" }, "The backward pass begins here"),
        html("p", { class: "where" }, "with its own gradient, 1"),
      ),
    );
  return html("ol", { class: "life" }, entries);
}

function bornOf(step) {
  const given = step.inputs.filter((value) => typeof value === "number");
  const from = given.flatMap((value, i) => [
    i ? (i === given.length - 1 ? " and " : ", ") : "",
    linkTo(idOf(value)),
  ]);
  return [html("p", { class: "where" }, from.length ? ["of ", ...from] : "of plain numbers"), originOf(step)];
}

function useOf({ step, slot, value }, i, count) {
  const event = eventOf.get(`${step.output} ${slot}`);
  const which = count > 1 ? `Use ${i + 1} of ${count}: ` : "Used: ";
  const by = values[step.output].name && html("span", { class: "tag" }, ` = ${step.code}`);
  const entry = html(
    "li",
    {},
    html("p", { class: "what" }, which, linkTo(idOf(step.output)), by),
    originOf(step),
  );
  if (event !== undefined && typeof step.inputs[slot] === "number") {
    const share = html("div", { class: "share", "data-event": event, "data-value": value });
    entry.append(share);
    showShare(share);
  }
  return entry;
}

/** What a use contributes to the gradient, once the walk has come there. */
function showShare(box) {
  const event = Number(box.dataset.event);
  const arrived = event < arrivedBy();
  if (box.dataset.arrived === String(arrived)) return;
  box.dataset.arrived = arrived;
  const { step, slot, contribution, nth, value } = events[event];
  box.closest("li").classList.toggle("given", arrived);
  box.replaceChildren(
    html(
      "p",
      {},
      `${gradientOf(idOf(value))} ${nth > 1 ? "+=" : "="} this contribution${arrived ? "" : ", later"}`,
    ),
    ...ruleOf(step, slot, nth > 1),
  );
  const shape = values[value].shape;
  const view = arrayView(graph.arrays[contribution], shape, "gradient");
  if (!arrived) view.style.visibility = "hidden"; // so that the room is kept
  box.append(view);
}
