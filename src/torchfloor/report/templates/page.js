"use strict";
// Everything a record says is set as text, never as markup.
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, text, attributes = {}) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

// What is looked for is the beginning of words, or it would find compatible in incompatible.
const plain = (text) => ` ${text.toLowerCase().replace(/[^\p{L}\p{N}.+×]+/gu, " ").trim()}`;

function textOf(cell, release) {
  const texts = [release, cell.id, cell.textContent, cell.dataset.more || ""];
  let next = cell.nextElementSibling;
  for (; next && !next.classList.contains("first"); next = next.nextElementSibling) {
    texts.push(next.textContent);
  }
  return plain(texts.join(" "));
}

// The matrix: a row is shown if one of its cells is; the first of very many are shown first.
const LIMIT = 100;
const rows = all(".matrix tbody tr:not(.part)").map((element) => ({
  element,
  cells: all("td[data-stories]", element).map((cell) => ({
    outcome: cell.dataset.outcome,
    path: cell.dataset.path,
    text: textOf(cell, element.firstElementChild.textContent),
  })),
}));
const parts = all(".matrix tbody");
const filters = document.querySelector(".filters");
const find = filters.querySelector("input");
const path = filters.querySelector("select");
const buttons = all("button.count");
const more = document.querySelector(".more");
const status = document.querySelector(".shown");
let limit = LIMIT;

function filter() {
  const words = find.value.split(/\s+/).map(plain).filter((word) => word.trim());
  const outcomes = buttons.filter((b) => b.ariaPressed === "true").map((b) => b.dataset.outcome);
  const fits = (cell) =>
    (!outcomes.length || outcomes.includes(cell.outcome)) &&
    (!path || !path.value || path.value === cell.path) &&
    words.every((word) => cell.text.includes(word));
  let cells = 0, total = 0, found = 0;
  for (const row of rows) {
    const fitting = row.cells.filter(fits).length;
    total += row.cells.length;
    cells += fitting;
    found += fitting > 0;
    const hide = !fitting || found > limit;
    if (row.element.hidden !== hide) row.element.hidden = hide;
  }
  for (const part of parts) part.hidden = !part.querySelector("tr:not(.part):not([hidden])");
  more.hidden = found <= limit;
  const rest = found > limit ? `; the first ${limit} of ${found} releases are shown` : "";
  status.textContent = `${cells === total ? "All" : `${cells} of`} ${total} cells${rest}`;
}

filters.hidden = false;
filters.addEventListener("submit", (event) => event.preventDefault());
find.addEventListener("input", () => { limit = LIMIT; filter(); });
if (path) path.addEventListener("change", () => { limit = LIMIT; filter(); });
for (const button of buttons) {
  button.addEventListener("click", () => {
    button.ariaPressed = String(button.ariaPressed !== "true");
    limit = LIMIT;
    filter();
  });
}
more.querySelector("button").addEventListener("click", () => { limit = Infinity; filter(); });

// A cell's story.
const dialog = document.querySelector("dialog");
const title = document.getElementById("cell-title");
const story = dialog.querySelector(".story");
const unpacked = new Map();

async function unpack(packed) {
  if (!unpacked.has(packed)) {
    const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    unpacked.set(packed, new Response(stream).json());
  }
  return unpacked.get(packed);
}

// A section as it was told: what cells share stands once, column by column.
function section(lists, [title, text, places]) {
  const [columns, ...sides] = places.map((place, n) => lists[title][n][place]);
  const rows = sides.length ? sides[0].map((_, n) => sides.map((side) => side[n])) : [];
  return { title, columns, rows, text };
}

function table(section) {
  const made = make("table", undefined, section.columns.length ? {} : { class: "facts-table" });
  made.append(make("caption", section.title, { class: "unseen" }));
  if (section.columns.length) {
    const head = make("tr");
    head.append(...section.columns.map((name) => make("th", name, { scope: "col" })));
    const top = make("thead");
    top.append(head);
    made.append(top);
  }
  const body = make("tbody");
  for (const row of section.rows) {
    const line = make("tr");
    line.append(...row.map((text, n) => make(n ? "td" : "th", text, n ? {} : { scope: "row" })));
    if (row.includes("failed") || row.includes("wrong")) line.className = "bad";
    body.append(line);
  }
  made.append(body);
  const scroll = make("div", undefined, { class: "scroll", tabindex: "0", role: "region", "aria-label": section.title });
  scroll.append(made);
  return scroll;
}

const LONG = 14;
function part(section) {
  const long = section.rows.length > LONG;
  const made = make(long ? "details" : "section");
  const count = long ? ` (${section.rows.length})` : "";
  made.append(make(long ? "summary" : "h3", section.title + count));
  if (section.rows.length) made.append(table(section));
  if (section.text) made.append(make("pre", section.text, { tabindex: "0" }));
  return made;
}

function summary(row) {
  const pill = document.getElementById(row.cell).querySelector(".pill").cloneNode(true);
  const told = make("p", undefined, { class: "told" });
  told.append(pill);
  const reason = row.reason || (row.promised ? "" : "below the declared minimum");
  if (reason) told.append(" ", reason);
  const facts = make("dl", undefined, { class: "facts" });
  const known = [["Path", row.path], ["Largest error", row.error], ["Time", row.speed],
    ["Python", row.python], ["Build", row.build], ["Unguarded operator", row.trouble],
    ["Verified", row.verified]];
  for (const [name, text] of known.filter(([, text]) => text)) {
    const fact = make("div");
    fact.append(make("dt", name), make("dd", text));
    facts.append(fact);
  }
  return [told, facts];
}

function asked() {
  try {
    return document.getElementById(decodeURIComponent(location.hash.slice(1)));
  } catch {
    return null; // a % that begins no letter
  }
}

async function show() {
  const cell = asked();
  if (!cell || !cell.dataset.stories) {
    if (dialog.open) dialog.close();
    return;
  }
  title.textContent = cell.id;
  try {
    const told = await unpack(document.querySelector("script.rows"));
    const packed = document.querySelectorAll("script.stories")[Number(cell.dataset.stories)];
    const { lists, stories } = await unpack(packed);
    const sections = stories[cell.id].map((each) => part(section(lists, each)));
    story.replaceChildren(...summary(told[cell.id]), ...sections);
  } catch {
    const hint = `This browser cannot unpack it; in a terminal: torchfloor explain ${cell.id}`;
    story.replaceChildren(make("p", hint));
  }
  if (!dialog.open) dialog.showModal();
  story.scrollTop = 0;
  title.focus();
}

addEventListener("hashchange", show);
document.querySelector(".matrix").addEventListener("click", (event) => {
  const cell = event.target.closest("td[data-stories]");
  if (cell && !event.target.closest("a")) location.hash = cell.id;
});
dialog.querySelector(".close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("close", () => {
  const link = document.getElementById(title.textContent)?.querySelector("a");
  history.replaceState(null, "", "#");
  link?.focus({ preventScroll: true });
});

// On paper: everything that fits the filter, and the tables that are folded away; or the cell that
// is open, as a part of the page: what stands above the page would end with the first sheet.
let folded = [];
const paper = make("article", undefined, { class: "paper" });
addEventListener("beforeprint", () => {
  if (dialog.open) {
    paper.replaceChildren(make("h2", title.textContent), story.cloneNode(true));
    document.body.append(paper);
  }
  folded = all("main details:not([open]), .paper details:not([open])");
  for (const each of folded) each.open = true;
  if (limit !== Infinity) { limit = Infinity; filter(); }
});
addEventListener("afterprint", () => {
  paper.remove();
  for (const each of folded) each.open = false;
  limit = LIMIT;
  filter();
});

filter();
show();
