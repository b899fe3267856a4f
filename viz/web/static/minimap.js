// A small picture of the whole drawing beside it, where it does not fit: the part in view, and the step.

const MAPPED = 0.6; // it is there if the drawing fits only at a smaller scale than this

/** Draw the small picture anew, after the layout has changed. */
function drawMap() {
  const fits = Math.min(byId("main").clientWidth / layout.width, byId("main").clientHeight / layout.height);
  byId("main").classList.toggle("mapped", fits < MAPPED);
  const map = byId("map");
  map.setAttribute("viewBox", `-40 -40 ${layout.width + 80} ${layout.height + 80}`);
  const rects = [...layout.boxes].map(([item, { x, y, width, height }]) => {
    const kind = isGroup(item) ? (opened.has(item) ? "open" : "shut") : valueOf(item).kind;
    return svg("rect", { x, y, width, height, rx: 8, class: kind, "data-item": item });
  });
  map.replaceChildren(...rects.slice(1), svg("rect", { id: "seen" }));
  showSeen();
}

/** Show which part is in view. */
function showSeen() {
  const seen = byId("seen");
  if (!seen) return;
  const { x, y, scale } = view;
  const box = { x: -x / scale, y: -y / scale, width: scene.clientWidth / scale, height: scene.clientHeight / scale };
  for (const [name, number] of Object.entries(box)) seen.setAttribute(name, number);
}

/** Show in it where the step is: what gives, and what gets. */
function markMap(...items) {
  for (const rect of byId("map").querySelectorAll("[data-item]"))
    rect.classList.toggle("current", items.includes(rect.dataset.item));
}

/** Let a press on it, or a drag, bring that place into view. */
function followMap() {
  const map = byId("map");
  const go = (event) => {
    if (!event.buttons) return;
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
    view.x = scene.clientWidth / 2 - x * view.scale;
    view.y = scene.clientHeight / 2 - y * view.scale;
    applyView();
  };
  map.addEventListener("pointerdown", go);
  map.addEventListener("pointermove", go);
}
