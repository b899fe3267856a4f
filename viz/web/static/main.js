// What the keys and the buttons do, and the first picture.

/** Say what has happened, in the line at the foot. */
function say(text) {
  byId("message").textContent = text;
  byId("message").title = text;
}

/** The item on the screen that is nearest in a direction: above and below along the links, else beside. */
function neighbour(key) {
  const item = shown(selected);
  const box = layout.boxes.get(item);
  const middle = ({ x, width }) => x + width / 2;
  const across = (other) => Math.abs(middle(layout.boxes.get(other)) - middle(box));
  const linked = (from, to) =>
    links
      .filter((link) => shown(link[from]) === item && shown(link[to]) !== item)
      .map((link) => shown(link[to]));
  if (key === "ArrowUp") return linked("target", "source").sort((a, b) => across(a) - across(b))[0];
  if (key === "ArrowDown") return linked("source", "target").sort((a, b) => across(a) - across(b))[0];
  const side = key === "ArrowRight" ? 1 : -1;
  const level = (other) => Math.abs(other.y + other.height / 2 - box.y - box.height / 2);
  const beside = [...layout.boxes].filter(
    ([other, at]) => !opened.has(other) && side * (middle(at) - middle(box)) > 0 && level(at) < 90,
  );
  return beside.sort(
    ([, a], [, b]) =>
      Math.abs(middle(a) - middle(box)) + 3 * level(a) - Math.abs(middle(b) - middle(box)) - 3 * level(b),
  )[0]?.[0];
}

function goBeside(key) {
  const item = neighbour(key);
  if (!item) return;
  select(item, true);
  elements.get(item).focus({ preventScroll: true });
}

/** Fold the group around what is selected, or itself. */
function foldAround() {
  const group = opened.has(selected) ? selected : parents.get(shown(selected));
  if (group && group !== "g0") toggle(group);
}

const lookAtSelected = () => {
  view.scale = Math.max(view.scale, 0.9);
  applyView();
  bringIntoView(selected);
};

const buttons = {
  reset: byHand(() => moveTo(0)),
  previous: byHand(stepBack),
  play,
  next: byHand(stepForward),
  end: byHand(() => moveTo(passLength())),
  fold: foldLevel,
  unfold: unfoldLevel,
  wrap: toggleWrap,
  in: () => zoom(1.3),
  out: () => zoom(1 / 1.3),
  fit: () => fit(),
  help: () => byId("keys").showModal(),
};

const keys = {
  " ": play,
  n: buttons.next,
  b: buttons.previous,
  r: buttons.reset,
  e: buttons.end,
  p: () => choosePass(pass === "forward" ? "backward" : "forward"),
  "[": foldLevel,
  "]": unfoldLevel,
  "+": buttons.in,
  "=": buttons.in,
  "-": buttons.out,
  0: buttons.fit,
  f: lookAtSelected,
  w: toggleWrap,
  "/": () => byId("query").focus(),
  "?": buttons.help,
  Backspace: foldAround,
  Enter: () => isGroup(selected) && !opened.has(selected) && toggle(selected),
};

function onKey(event) {
  const inField = event.target.closest("input:not([type=range]), select, dialog");
  const ownKeys =
    (event.target.closest("button") && (event.key === " " || event.key === "Enter")) ||
    (event.target.closest("input") && event.key.startsWith("Arrow"));
  if (event.ctrlKey || event.metaKey || event.altKey || inField || ownKeys) return;
  const inPanel = event.target.closest("aside");
  if (event.key.startsWith("Arrow") && !inPanel) goBeside(event.key);
  else if (keys[event.key] ?? keys[event.key.toLowerCase()])
    (keys[event.key] ?? keys[event.key.toLowerCase()])();
  else return;
  event.preventDefault();
}

const FIRST_VIEW = 40;

function begin() {
  while (openLevel(FIRST_VIEW));
  for (const [id, act] of Object.entries(buttons)) byId(id).addEventListener("click", act);
  byId("position").max = events.length;
  byId("pass").addEventListener("change", (event) => choosePass(event.target.value));
  byId("position").addEventListener("input", (event) => byHand(() => moveTo(Number(event.target.value)))());
  byId("note").textContent = graph.note;
  byId("note").hidden = !graph.note;
  byId("play").disabled = !events.length;
  document.addEventListener("keydown", onKey);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => inspect(selected));
  followPointer();
  followMap();
  listenToSearch();
  draw();
  fit(0.85);
  select(selected);
  const more = groups.length > 1 ? ", in groups that unfold" : "";
  say(`${plural(steps.length, "operation")}${more}. Press Space to play the backward pass, P for the forward pass, ? for the keys.`);
}

begin();
