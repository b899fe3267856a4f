// Where everything stands. Each open group is laid out by itself, in layers from its inputs down to its results
// (after Sugiyama, Tagawa and Toda, 1981): layers by the longest way, order by the middle of the neighbours,
// places by least squares. An open group is a box in the layout of the group around it, with a port in its upper
// edge for each value that enters it, and in its lower edge for each that leaves.

const SPACE = { nodes: 26, lanes: 14, layers: 34, pad: 16, title: 30 };

/**
 * The layout of what is shown. boxes: by item {x, y, width, height}, the upper left corner; paths: by key
 * {points, links}, the way of the links that run there; width, height: of it all.
 */
function layOut() {
  const open = openGroups();
  const edges = new Map(open.map((group) => [group, new Map()]));
  const paths = new Map();
  for (const link of links) {
    const pieces = piecesOf(link);
    const key = pieces.map((piece) => piece.key).join(" ");
    if (!pieces.length) continue;
    if (!paths.has(key)) paths.set(key, { pieces, links: [] });
    paths.get(key).links.push(link);
    for (const piece of pieces) edges.get(piece.group).set(piece.key, piece);
  }
  const arranged = new Map(); // by group and the sizes of the open groups in it
  const layOutUpTo = (columnHeight) => {
    const layouts = new Map();
    for (const group of [...open].reverse()) {
      const inside = groupOf(group).items.filter((item) => layouts.has(item));
      const key = [group, ...inside.map((item) => layouts.get(item)).flatMap(({ width, height }) => [width, height])].join();
      if (!arranged.has(key)) arranged.set(key, arrange(group, [...edges.get(group).values()], layouts));
      layouts.set(group, setInColumns(arranged.get(key), columnHeight, group));
    }
    return layouts;
  };
  const layouts = wrapped ? largestInColumns(layOutUpTo) : layOutUpTo(Infinity);
  const { width, height } = layouts.get("g0");
  const boxes = new Map([["g0", { x: 0, y: 0, width, height }]]);
  for (const group of open) {
    const corner = boxes.get(group);
    for (const [item, box] of layouts.get(group).boxes) {
      boxes.set(item, { ...box, x: corner.x + box.x, y: corner.y + box.y });
    }
  }
  for (const path of paths.values()) {
    path.points = path.pieces.flatMap((piece) => {
      const corner = boxes.get(piece.group);
      return layouts
        .get(piece.group)
        .ways.get(piece.key)
        .map(([x, y]) => [corner.x + x, corner.y + y]);
    });
  }
  return { boxes, paths, width, height };
}

/** The way of a link through the open groups: out of those around its source, into those around its target. */
function piecesOf({ source, target, value, slot }) {
  const [from, to] = [shown(source), shown(target)];
  if (from === to) return [];
  const [outward, inward] = [around(from), around(to)];
  const common = outward.find((group) => inward.includes(group));
  const pieces = [];
  const add = (group, a, portA, b, portB) =>
    pieces.push({ group, a, portA, b, portB, key: `${group}|${a}|${portA}|${b}|${portB}` });
  const port = (item) => (opened.has(item) ? value : "");
  let item = from;
  for (const group of outward.slice(0, outward.indexOf(common))) {
    add(group, item, port(item), `out${value}`, "");
    item = group;
  }
  const down = [to, ...inward.slice(0, inward.indexOf(common))].reverse();
  const arriving = (end) => (isGroup(end) ? port(end) : slot);
  add(common, item, port(item), down[0], arriving(down[0]));
  for (let i = 1; i < down.length; i++) add(down[i - 1], `in${value}`, "", down[i], arriving(down[i]));
  return pieces;
}

/** The layout of one group: its size, the boxes in it, the ways of the edges, and its ports by their values. */
function arrange(group, edges, layouts) {
  const nodes = nodesOf(group, edges, layouts);
  rank(nodes, edges);
  const { layers, chains } = layered(nodes, edges);
  sortLayers(layers);
  placeAcross(layers);
  const bounds = placeDown(layers, group);
  const boxes = new Map();
  const ports = { in: new Map(), out: new Map() };
  for (const node of nodes.values()) {
    if (node.port) ports[node.port].set(node.value, node.x);
    else
      boxes.set(node.key, { x: node.x - node.width / 2, y: node.y, width: node.width, height: node.height });
  }
  return { ...bounds, boxes, ports, ways: waysOf(chains) };
}

function nodesOf(group, edges, layouts) {
  const nodes = new Map();
  const add = (key, width, height, more) => nodes.set(key, { key, width, height, up: [], down: [], ...more });
  const ends = new Set(edges.flatMap(({ a, b }) => [a, b]));
  const ports = (kind) => {
    for (const key of ends)
      if (key.startsWith(kind)) add(key, 2, 0, { port: kind, value: Number(key.slice(kind.length)) });
  };
  ports("in");
  for (const item of groupOf(group).items) {
    if (layouts.has(item))
      add(item, layouts.get(item).width, layouts.get(item).height, { ports: layouts.get(item).ports });
    else
      add(item, sizeOf(item).width, sizeOf(item).height, {
        cap: sizeOf(item).cap,
        leaf: !isGroup(item) && valueOf(item).maker === undefined,
      });
  }
  ports("out");
  return nodes;
}

/** How far from the middle of a node an edge meets it. */
const offset = (node, kind, port) => (node.ports ? node.ports[kind].get(port) - node.width / 2 : 0);

/** Give each node its layer. The nodes are in the order of the computation, so sources come before targets. */
function rank(nodes, edges) {
  const into = new Map([...nodes.keys()].map((key) => [key, []]));
  const outOf = new Map([...nodes.keys()].map((key) => [key, []]));
  for (const edge of edges) {
    into.get(edge.b).push(nodes.get(edge.a));
    outOf.get(edge.a).push(nodes.get(edge.b));
  }
  const first = [...nodes.values()].some((node) => node.port === "in") ? 1 : 0;
  for (const node of nodes.values()) {
    node.rank = node.port === "in" ? 0 : Math.max(first, ...into.get(node.key).map((each) => each.rank + 1));
  }
  const last =
    Math.max(...[...nodes.values()].filter((node) => node.port !== "out").map((node) => node.rank)) + 1;
  for (const node of nodes.values()) {
    const after = outOf.get(node.key).map((each) => each.rank);
    if (node.port === "out") node.rank = last;
    else if (node.leaf && after.length) node.rank = Math.max(first, Math.min(...after) - 1);
  }
}

/** Nodes by layer, with the lanes in which edges pass a layer; those that begin at one place share them. */
function layered(nodes, edges) {
  const layers = [];
  const put = (node) => {
    (layers[node.rank] ??= []).push(node);
    return node;
  };
  nodes.forEach(put);
  const lanes = new Map();
  const chains = edges.map((edge) => {
    const [source, target] = [nodes.get(edge.a), nodes.get(edge.b)];
    const chain = [source];
    for (let at = source.rank + 1; at < target.rank; at++) {
      const key = `${edge.a}|${edge.portA}|${at}`;
      if (!lanes.has(key)) {
        const lane = put({ key, lane: true, width: 2, height: 0, rank: at, up: [], down: [] });
        join(chain.at(-1), lane, chain.length === 1 ? offset(source, "out", edge.portA) : 0, 0);
        lanes.set(key, lane);
      }
      chain.push(lanes.get(key));
    }
    const start = chain.length === 1 ? offset(source, "out", edge.portA) : 0;
    const end = offset(target, "in", edge.portB);
    join(chain.at(-1), target, start, end);
    chain.push(target);
    return { edge, chain, start: offset(source, "out", edge.portA), end };
  });
  return { layers: Array.from(layers, (layer) => layer ?? []), chains };
}

function join(upper, lower, offsetUp, offsetDown) {
  upper.down.push({ node: lower, here: offsetUp, there: offsetDown });
  lower.up.push({ node: upper, here: offsetDown, there: offsetUp });
}

// -- order ---------------------------------------------------------------------------------------------------

/** Order each layer by the middle of the neighbours above, then below, as long as fewer edges cross. */
function sortLayers(layers) {
  const number = (layer) => layer.forEach((node, i) => (node.place = i));
  layers.forEach(number);
  let best = { crossings: crossings(layers), orders: layers.map((layer) => [...layer]) };
  for (let sweep = 0; sweep < 12 && best.crossings; sweep++) {
    const side = sweep % 2 ? "down" : "up";
    for (const layer of sweep % 2 ? [...layers].reverse() : layers) {
      for (const node of layer) {
        const places = node[side].map(({ node: other, there }) => other.place + there / (other.width + 1));
        node.wish = places.length ? places.reduce((a, b) => a + b, 0) / places.length : node.place;
      }
      layer.sort((a, b) => a.wish - b.wish || a.place - b.place);
      number(layer);
    }
    const found = crossings(layers);
    if (found < best.crossings) best = { crossings: found, orders: layers.map((layer) => [...layer]) };
  }
  best.orders.forEach((order, i) => layers[i].splice(0, order.length, ...order));
  layers.forEach(number);
}

/** How many pairs of edges cross: the inversions among their lower ends, counted in a binary indexed tree. */
function crossings(layers) {
  let total = 0;
  for (const layer of layers) {
    const ends = layer.flatMap((node) => node.down.map((each) => each.node.place).sort((a, b) => a - b));
    const tree = new Array(Math.max(0, ...ends) + 2).fill(0);
    ends.forEach((end, seen) => {
      let notAfter = 0;
      for (let i = end + 1; i > 0; i -= i & -i) notAfter += tree[i];
      total += seen - notAfter;
      for (let i = end + 1; i < tree.length; i += i & -i) tree[i]++;
    });
  }
  return total;
}

// -- places --------------------------------------------------------------------------------------------------

/** Give each node its x: under and over its neighbours as nearly as the order and the distances allow. */
function placeAcross(layers) {
  layers.forEach((layer) =>
    settle(
      layer,
      layer.map(() => ({ x: 0, weight: 1 })),
    ),
  );
  for (let sweep = 0; sweep < 16; sweep++) {
    const sides = sweep > 11 ? ["up", "down"] : sweep % 2 ? ["down"] : ["up"];
    for (const layer of sweep % 2 ? [...layers].reverse() : layers) {
      settle(
        layer,
        layer.map((node) => wishOf(node, sides)),
      );
    }
  }
}

function wishOf(node, sides) {
  let sum = 0;
  let weight = 0;
  for (const { node: other, here, there } of sides.flatMap((side) => node[side])) {
    // Lanes are to be straight, and so is the way of the results: leaves stand beside it.
    const pull = node.lane && other.lane ? 8 : node.leaf || other.leaf ? 0.05 : 1;
    sum += pull * (other.x + there - here);
    weight += pull;
  }
  return weight ? { x: sum / weight, weight } : { x: node.x, weight: 0.1 };
}

/** The places nearest to those wished for, by least squares, that keep order and distances. */
function settle(layer, wishes) {
  // Less the distances, the places only have to rise; where they would not, neighbours get their mean.
  const blocks = [];
  let distance = 0;
  layer.forEach((node, i) => {
    if (i)
      distance +=
        (layer[i - 1].width + node.width) / 2 + (layer[i - 1].lane || node.lane ? SPACE.lanes : SPACE.nodes);
    node.distance = distance;
    let block = { sum: (wishes[i].x - distance) * wishes[i].weight, weight: wishes[i].weight, nodes: [node] };
    while (blocks.length && blocks.at(-1).sum / blocks.at(-1).weight >= block.sum / block.weight) {
      const before = blocks.pop();
      block = {
        sum: before.sum + block.sum,
        weight: before.weight + block.weight,
        nodes: before.nodes.concat(block.nodes),
      };
    }
    blocks.push(block);
  });
  for (const { sum, weight, nodes } of blocks)
    for (const node of nodes) node.x = sum / weight + node.distance;
}

/** Give each node its y, and move all into a box that begins at (0, 0). The size of the box. */
function placeDown(layers, group) {
  const left = Math.min(...layers.flat().map((node) => node.x - node.width / 2)) - SPACE.pad;
  const right = Math.max(...layers.flat().map((node) => node.x + node.width / 2)) + SPACE.pad;
  const title = titleWidth(group);
  const first = Math.min(...layers[0].filter((node) => node.port === "in").map((node) => node.x)) - left;
  const aside = Math.max(0, title - first); // so that what enters does not cross the title
  const width = Math.max(title, right - left + aside);
  for (const node of layers.flat()) node.x += aside - left;
  let y = group === "g0" ? 0 : SPACE.title;
  for (const layer of layers) {
    const entry = layer.some((node) => node.port === "in");
    const height = Math.max(0, ...layer.map((node) => node.height));
    for (const node of layer) {
      node.top = entry ? 0 : y;
      node.bottom = y + height;
      node.y = node.leaf ? node.bottom - node.height : node.top;
    }
    const farthest = Math.max(
      0,
      ...layer.flatMap((node) => node.down.map((d) => Math.abs(d.node.x + d.there - node.x - d.here))),
    );
    y += height + (entry ? SPACE.layers / 2 : SPACE.layers) + Math.min(60, farthest / 12);
  }
  const exits = layers.at(-1)?.some((node) => node.port === "out");
  const height = exits ? y - SPACE.layers : Math.max(...layers.flat().map((node) => node.bottom)) + SPACE.pad;
  for (const node of layers.flat()) if (node.port === "out") node.bottom = node.top = node.y = height;
  const rows = layers.map((layer) => [
    Math.min(...layer.map((node) => node.top)),
    Math.max(...layer.map((node) => node.bottom)),
  ]);
  return { width, height, rows };
}

/** The points of each edge, by its key. Edges that meet one node from above share out its width. */
function waysOf(chains) {
  const meeting = new Map();
  for (const chain of chains) {
    const target = chain.chain.at(-1);
    if (!target.ports && !target.port) meeting.set(target, [...(meeting.get(target) ?? []), chain]);
  }
  for (const [target, several] of meeting) {
    const room = Math.min(26, (target.width - 30) / several.length);
    several.sort((a, b) => a.chain.at(-2).x - b.chain.at(-2).x);
    several.forEach((each, i) => (each.end = (i - (several.length - 1) / 2) * room));
  }
  return new Map(chains.map(({ edge, chain, start, end }) => [edge.key, pointsOf(chain, start, end)]));
}

function pointsOf(chain, start, end) {
  const [source, target] = [chain[0], chain.at(-1)];
  const points = [
    [source.x + start, source.y + source.height],
    [source.x + start, source.bottom],
  ];
  for (const lane of chain.slice(1, -1)) points.push([lane.x, lane.top], [lane.x, lane.bottom]);
  const beside = target.cap && Math.abs(end) > target.cap / 2 - 6 ? CAP.height - CAP.overlap : 0;
  points.push([target.x + end, target.top], [target.x + end, target.y + beside]);
  return points;
}
