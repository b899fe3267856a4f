// Elements of the page, and words.

const byId = (id) => document.getElementById(id);

function made(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child || child === ""));
  return element;
}

/** An element of HTML: its attributes (those that begin with "on" are listeners), and what is in it. */
const html = (tag, attributes = {}, ...children) => made(document.createElement(tag), attributes, children);

/** An element of SVG, likewise. */
const svg = (tag, attributes = {}, ...children) =>
  made(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const clamp = (number, low, high) => Math.min(high, Math.max(low, number));
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
