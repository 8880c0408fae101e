"use strict";
// Without this script everything stands but the conveniences: sorting, enlarging, pointing at points.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
}

// A folded card opens where a link leads into it.
function unfold() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.closest("details")) target.closest("details").open = true;
}
addEventListener("hashchange", unfold);
unfold();

// What a reader of the paper needs to know and to repeat is printed, folded or not.
const kept = () => document.querySelectorAll("#findings, #reproduce");
addEventListener("beforeprint", () => { for (const card of kept()) { card.dataset.was = card.open; card.open = true; } });
addEventListener("afterprint", () => { for (const card of kept()) card.open = card.dataset.was === "true"; });

// Images: sorted, folded to the first few, and enlarged where one is chosen.
for (const tool of document.querySelectorAll(".tools")) tool.hidden = false;
const many = document.getElementById("images");
if (many) images(many);

function images(list) {
  const rows = list.tBodies ? list.tBodies[0] : list;
  const more = document.getElementById("more");
  const sort = document.getElementById("sort");
  const least = list.tBodies ? 6 : 12;
  if (rows.children.length > least) {
    list.classList.add("short");
    more.addEventListener("click", () => { list.classList.remove("short"); more.hidden = true; });
  } else if (more) more.hidden = true;
  if (sort) sort.addEventListener("change", () => {
    const down = sort.value.startsWith("-");
    const key = down ? sort.value.slice(1) : sort.value;
    const text = (row) => row.querySelector(".caption") ? row.querySelector(".caption").textContent : "";
    const order = [...rows.children].sort((a, b) => key === "caption"
      ? text(a).localeCompare(text(b))
      : (down ? -1 : 1) * (Number(a.getAttribute(`data-${key}`)) - Number(b.getAttribute(`data-${key}`))));
    rows.append(...order);
  });

  const dialog = document.body.appendChild(document.createElement("dialog"));
  dialog.addEventListener("click", () => dialog.close());
  for (const image of list.querySelectorAll("img")) {
    image.classList.add("open");
    image.tabIndex = 0;
    image.addEventListener("click", () => enlarge(image));
    image.addEventListener("keydown", (event) => { if (event.key === "Enter") enlarge(image); });
  }

  // All images of one caption side by side, with what stands below them.
  function enlarge(image) {
    const row = image.closest("li, tr");
    const side = document.createElement("div");
    side.className = "duo";
    for (const other of row.querySelectorAll("img")) {
      const figure = side.appendChild(document.createElement("figure"));
      const copy = figure.appendChild(new Image());
      copy.src = other.src;
      copy.alt = other.alt;
      figure.appendChild(document.createElement("figcaption")).textContent = other.dataset.name || (other.nextElementSibling || {}).textContent || "";
    }
    const text = row.querySelector(".caption");
    const below = document.createElement("p");
    below.dir = "auto";
    below.textContent = text ? text.textContent : "";
    const close = document.createElement("button");
    close.type = "button";
    close.textContent = "Close";
    dialog.replaceChildren(side, below, close);
    dialog.showModal();
  }
}

const store = document.getElementById("points");
if (store) clouds(JSON.parse(store.textContent));

function clouds({ points, names }) {
  const panel = document.getElementById("panel");
  const hint = [...panel.childNodes];
  const stage = document.getElementById("stage");
  const groups = new Map();
  points.forEach((point, i) => groups.set(point.group, [...(groups.get(point.group) || []), i]));

  for (const box of document.querySelectorAll("[data-side]")) {
    box.addEventListener("change", () => stage.classList.toggle(`hide-${box.dataset.side}`, !box.checked));
  }
  for (const canvas of document.querySelectorAll(".canvas")) start(canvas);

  function start(canvas) {
    const svg = canvas.querySelector("svg");
    const places = [];
    for (const side of ["f", "r", "l"]) {
      for (const mark of canvas.querySelectorAll(`[id$="-${side}"] use`)) {
        places.push([Number(mark.getAttribute("x")), Number(mark.getAttribute("y"))]);
      }
    }
    const layer = svg.appendChild(document.createElementNS(svg.namespaceURI, "g"));
    let current = -1;

    const visible = (i) => !stage.classList.contains(`hide-${points[i].side}`);

    function draw(tag, attributes) {
      const shape = layer.appendChild(document.createElementNS(svg.namespaceURI, tag));
      for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
    }

    function choose(i) {
      if (i === current || i < 0) return;
      current = i;
      const together = groups.get(points[i].group).filter(visible);
      layer.replaceChildren();
      const [x1, y1] = places[i];
      for (const j of together) {
        const [x, y] = places[j];
        if (j !== i) draw("line", { class: "tie", x1, y1, x2: x, y2: y });
        draw("circle", { class: "halo", cx: x, cy: y, r: j === i ? 6.5 : 4.5 });
      }
      show(i, groups.get(points[i].group));
    }

    function clear() {
      current = -1;
      layer.replaceChildren();
      panel.replaceChildren(...hint);
    }

    function nearest(event) {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      let best = -1, least = 14 ** 2;
      places.forEach(([x, y], i) => {
        const square = (x - at.x) ** 2 + (y - at.y) ** 2;
        if (square < least && visible(i)) [best, least] = [i, square];
      });
      return best;
    }

    canvas.addEventListener("pointermove", (event) => choose(nearest(event)));
    canvas.addEventListener("pointerdown", (event) => choose(nearest(event)));
    canvas.addEventListener("focus", () => { if (current < 0) choose(points.findIndex((_, i) => visible(i))); });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (event.key === "Escape") return clear();
      if (!step) return;
      event.preventDefault();
      const [x, y] = places[Math.max(current, 0)];
      let best = -1, least = Infinity;
      places.forEach(([px, py], i) => {
        const along = (px - x) * step[0] + (py - y) * step[1];
        const across = Math.abs((px - x) * step[1]) + Math.abs((py - y) * step[0]);
        const cost = along + 2 * across;
        if (i !== current && along > 0.01 && cost < least && visible(i)) [best, least] = [i, cost];
      });
      choose(best);
    });
  }

  // Names and captions are the user's text: they go in as text, never as markup.
  function element(tag, text, parent) {
    const made = parent.appendChild(document.createElement(tag));
    if (text) { made.textContent = text; made.dir = "auto"; }
    return made;
  }

  function show(i, group) {
    panel.replaceChildren();
    element("h3", names[points[i].side], panel);
    for (const j of group.filter((k) => points[k].side === "l")) {
      element("blockquote", `“${points[j].label}”`, panel).className = j === i ? "own" : "";
    }
    const pair = element("div", "", panel);
    pair.className = "pair";
    for (const j of group.filter((k) => points[k].side !== "l")) {
      const { side, label, image } = points[j];
      const figure = element("figure", "", pair);
      if (image) {
        const picture = element("img", "", figure);
        picture.src = image;
        picture.alt = `${names[side]}: ${label}`;
        if (j === i) picture.className = "now";
      }
      element("figcaption", `${names[side]}: ${label}`, figure);
    }
  }
}
