// What the tests ask of a page that is open: ({ contrasts, misplaced, overlaps }).
({
  /** The contrast, by WCAG 2.2, of every text with what is behind it. */
  contrasts: () => {
    const parts = (text) => text.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) =>
      [r, g, b]
        .map((x) => x / 255)
        .map((x) => (x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
        .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (e) => {
      const node = e.closest(".node");
      if (node)
        return getComputedStyle(
          node.querySelector(e.matches(".cap-text") ? ".cap" : e.matches(".uses") ? ".halo" : ".body"),
        ).fill;
      for (let at = e; at; at = at.parentElement) {
        const colour = getComputedStyle(at).backgroundColor;
        if ((parts(colour)[3] ?? 1) === 1) return colour;
      }
    };
    const found = {};
    for (const e of document.querySelectorAll("body *:not(script):not(:disabled)")) {
      const text = [...e.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
      if (!text || !e.getClientRects().length || e.closest("noscript, defs")) continue;
      const inScene = e.closest("#scene");
      let back = ground(e);
      if (back === "none") back = getComputedStyle(document.body).backgroundColor;
      const [a, b] = [
        light(parts(inScene ? getComputedStyle(e).fill : getComputedStyle(e).color)),
        light(parts(back)),
      ].sort((x, y) => y - x);
      found[`${e.tagName}.${e.getAttribute("class")} ${e.textContent.trim().slice(0, 20)}`] =
        (a + 0.05) / (b + 0.05);
    }
    return found;
  },

  /** What of the page around the drawing is cut off at the sides, or covers something else of it. */
  misplaced: () => {
    const found = [];
    const parts = [...document.querySelectorAll("h1, button, input, select, #legend li, #count, #message, #scene, aside")]
      .filter((e) => e.getClientRects().length && !e.parentElement.closest("aside, dialog"))
      .map((e) => ({ name: e.id || e.textContent.trim(), box: e.getBoundingClientRect() }));
    for (const { name, box } of parts)
      if (box.left < 0 || box.right > innerWidth) found.push(`${name} leaves the page`);
    parts.forEach((a, i) =>
      parts.slice(i + 1).forEach((b) => {
        const [p, q] = [a.box, b.box];
        if (p.left < q.right && q.left < p.right && p.top < q.bottom && q.top < p.bottom)
          found.push(`${a.name} and ${b.name}`);
      }),
    );
    if (document.documentElement.scrollWidth > innerWidth) found.push("the page is wider than its window");
    const panel = document.querySelector("aside");
    const edge = panel.getBoundingClientRect().right;
    for (const e of panel.querySelectorAll("*"))
      if (e.getBoundingClientRect().right > edge && !e.closest(".scrolled, code, .formula"))
        found.push(`${e.tagName}.${e.getAttribute("class")} leaves the panel`);
    return found;
  },

  /** What covers something else: nodes, texts in them, links, titles of groups. In the drawing's own units, whatever the zoom. */
  overlaps: () => {
    const found = [];
    const nodes = [...document.querySelectorAll(".node")];
    const place = (node) => node.style.transform.match(/-?[\d.]+/g).map(Number);
    const boxes = nodes.map((node) => {
      const [[x, y], box] = [place(node), node.querySelector(".body").getBBox()];
      const top = node.querySelector(".cap") ? y : y + box.y;
      return {
        name: node.getAttribute("aria-label"),
        left: x,
        right: x + box.width,
        top,
        bottom: y + box.y + box.height,
      };
    });
    boxes.forEach((a, i) =>
      boxes.slice(i + 1).forEach((b) => {
        if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
          found.push(`${a.name} and ${b.name}`);
      }),
    );
    nodes.forEach((node, i) => {
      const width = boxes[i].right - boxes[i].left;
      const texts = [...node.querySelectorAll("text:not(.uses)")]
        .map((text) => {
          const [box, shift] = [
            text.getBBox(),
            text.parentNode === node
              ? [0, 0]
              : text.parentNode
                  .getAttribute("transform")
                  .match(/[\d.]+/g)
                  .map(Number),
          ];
          return {
            text: text.textContent,
            left: box.x + shift[0],
            right: box.x + shift[0] + box.width,
            top: box.y + shift[1] + 3,
            bottom: box.y + shift[1] + box.height - 3,
          };
        })
        .filter((text) => text.right > text.left);
      for (const text of texts)
        if (text.left < 0 || text.right > width) found.push(`${text.text} leaves ${boxes[i].name}`);
      texts.forEach((a, j) =>
        texts.slice(j + 1).forEach((b) => {
          if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
            found.push(`${a.text} and ${b.text} in ${boxes[i].name}`);
        }),
      );
    });
    const titles = [...document.querySelectorAll(".group .title")].map((title) => {
      const [[x, y], box] = [place(title.parentNode), title.getBBox()];
      return {
        name: title.textContent,
        left: x + box.x,
        right: x + box.x + box.width,
        top: y + box.y,
        bottom: y + box.y + box.height,
      };
    });
    for (const path of document.querySelectorAll("#edges path")) {
      for (let way = 20; way < path.getTotalLength() - 24; way += 8) {
        const { x, y } = path.getPointAtLength(way);
        for (const box of [...boxes, ...titles])
          if (x > box.left + 2 && x < box.right - 2 && y > box.top + 2 && y < box.bottom - 2)
            found.push(`a link crosses ${box.name}`);
      }
    }
    return found;
  },
});
