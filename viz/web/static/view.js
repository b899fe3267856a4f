// The view of the drawing: how it is moved and zoomed, by hand and by what happens.

const scene = byId("scene");
const view = { x: 0, y: 0, scale: 1 };
const MARGIN = 28;

function applyView() {
  byId("view").setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
  showSeen();
}

/** Zoom about a point of the screen, by default the middle. */
function zoom(factor, x = scene.clientWidth / 2, y = scene.clientHeight / 2) {
  const scale = clamp(view.scale * factor, 0.04, 4);
  view.x = x - ((x - view.x) * scale) / view.scale;
  view.y = y - ((y - view.y) * scale) / view.scale;
  view.scale = scale;
  applyView();
}

/** Show all of it, or of a group that is unfolded and selected; least: but no smaller than so, the result of the
 * graph then being in view. */
function fit(least = 0.04) {
  const [width, height] = [scene.clientWidth - 2 * MARGIN, scene.clientHeight - 2 * MARGIN];
  const box = layout.boxes.get(opened.has(selected) ? selected : "g0");
  view.scale = clamp(Math.min(width / box.width, height / box.height), least, 1.25);
  if (opened.has(selected)) {
    view.x = scene.clientWidth / 2 - (box.x + box.width / 2) * view.scale;
    view.y = scene.clientHeight / 2 - (box.y + box.height / 2) * view.scale;
    return applyView();
  }
  const [wide, tall] = [layout.width * view.scale, layout.height * view.scale];
  const root = layout.boxes.get(shown(idOf(graph.root)));
  const middle = wide > width + 1 ? (root.x + root.width / 2) * view.scale : wide / 2;
  view.x = scene.clientWidth / 2 - middle;
  view.y = MARGIN + Math.min((height - tall) / 2, height - tall);
  applyView();
}

/** Move an item to the middle unless it is well in view. */
function bringIntoView(item) {
  const box = layout.boxes.get(shown(item));
  const [x, y] = [view.x + view.scale * box.x, view.y + view.scale * box.y];
  const [width, height] = [view.scale * box.width, view.scale * box.height];
  const inside =
    x > MARGIN &&
    y > MARGIN &&
    x + width < scene.clientWidth - MARGIN &&
    y + height < scene.clientHeight - MARGIN;
  if (inside) return;
  view.x += scene.clientWidth / 2 - x - width / 2;
  view.y += scene.clientHeight / 2 - y - height / 2;
  applyView();
}

function followPointer() {
  let held = null;
  const pointers = new Map();
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { distance: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  };
  scene.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    held =
      pointers.size === 2 ? spread() : { x: event.offsetX, y: event.offsetY, moved: 0, target: event.target };
  });
  scene.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    const now = pointers.size === 2 ? spread() : pointers.get(event.pointerId);
    if (pointers.size === 2) zoom(now.distance / held.distance, now.x, now.y);
    held.moved += Math.hypot(now.x - held.x, now.y - held.y);
    if (held.moved > 4 && !scene.hasPointerCapture(event.pointerId)) scene.setPointerCapture(event.pointerId);
    scene.classList.toggle("dragged", held.moved > 4);
    view.x += now.x - held.x;
    view.y += now.y - held.y;
    held = { ...held, ...now };
    applyView();
  });
  const release = (event) => {
    pointers.delete(event.pointerId);
    scene.classList.remove("dragged");
  };
  scene.addEventListener("pointerup", release);
  scene.addEventListener("pointercancel", release);
  scene.addEventListener("click", (event) => {
    const element = event.target.closest(".node, .group");
    if (!element || held?.moved > 4) return;
    select(element.id);
    element.focus({ preventScroll: true });
  });
  scene.addEventListener("dblclick", (event) => {
    const element = event.target.closest(".node.folded");
    if (element) toggle(element.id);
  });
  scene.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.offsetX, event.offsetY);
    },
    { passive: false },
  );
}
