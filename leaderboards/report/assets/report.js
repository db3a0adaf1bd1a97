// Sorting, filtering and the gallery. Text from outside enters the page through textContent alone.
"use strict";

const find = (id) => document.getElementById(id);

// An element with properties and children, for example make("td", { className: "value" }, "0.5").
function make(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// ---- tables -------------------------------------------------------------------------------------------------------

// What a cell is sorted by: its number, its text, or null where there is none. Those without come last either way.
function worth(cell) {
  const value = cell.dataset.value ?? cell.textContent;
  if (value === "") return null;
  const number = Number(value);
  return Number.isNaN(number) ? value.toLowerCase() : number;
}

function sortBy(heading) {
  const table = heading.closest("table");
  const column = [...heading.parentElement.children].indexOf(heading);
  const first = heading.querySelector("button").dataset.first;
  const other = first === "ascending" ? "descending" : "ascending";
  const order = heading.getAttribute("aria-sort") === first ? other : first;
  for (const each of table.querySelectorAll("[aria-sort]")) each.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const measured = table.classList.contains("board") && column > 0;
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => {
    const cell = row.cells[column];
    return { row, worth: measured && cell.dataset.value === undefined ? null : worth(cell) };
  });
  rows.sort((a, b) => {
    if (a.worth === null || b.worth === null) return (a.worth === null) - (b.worth === null);
    if (typeof a.worth !== typeof b.worth) return typeof a.worth === "number" ? -1 : 1;
    return sign * (a.worth < b.worth ? -1 : a.worth > b.worth ? 1 : 0);
  });
  body.append(...rows.map((each) => each.row));
}

function filterNumbers() {
  const board = find("choose-table").value;
  const measure = find("choose-measure").value;
  const kind = find("choose-kind")?.value ?? "";
  const who = find("choose-generator").value.trim().toLowerCase();
  let shown = 0;
  let all = 0;
  for (const table of document.querySelectorAll("table.board")) {
    const panel = table.closest(".panel");
    const heads = [...table.tHead.rows[0].cells];
    const wanted = heads.map((head, i) => i === 0 || ((!measure || head.dataset.family === measure) &&
      !(kind === "measured" && head.classList.contains("reported"))));
    // a table that has nothing of the chosen measure would be a list of names
    panel.hidden = (board !== "" && panel.id !== board) || !wanted.includes(true, 1);
    for (const row of [table.tHead.rows[0], ...table.tBodies[0].rows]) {
      [...row.cells].forEach((cell, i) => { cell.hidden = !wanted[i]; });
    }
    for (const row of table.tBodies[0].rows) {
      const stated = [...row.cells].some((cell, i) => i > 0 && wanted[i] && cell.dataset.stated !== undefined);
      row.hidden = !stated || !row.cells[0].textContent.toLowerCase().includes(who);
      if (panel.hidden || !stated) continue;
      all += 1;
      shown += row.hidden ? 0 : 1;
    }
  }
  for (const row of document.querySelectorAll("table.long tbody tr")) {
    row.hidden = (board !== "" && row.dataset.table !== board) || (measure !== "" && row.dataset.family !== measure) ||
      (kind !== "" && row.dataset.kind !== kind) || !row.cells[0].textContent.toLowerCase().includes(who);
  }
  find("shown").textContent = shown === all ? `${all} rows` : `${shown} of ${all} rows`;
}

for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}
for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
for (const id of ["choose-table", "choose-measure", "choose-kind"]) find(id)?.addEventListener("change", filterNumbers);
find("choose-generator").addEventListener("input", filterNumbers);
filterNumbers();

// ---- gallery ------------------------------------------------------------------------------------------------------

const gallery = JSON.parse(find("gallery").textContent);
const NAMES = { generated: "generated", real: "real", map: "map", prompt: "prompt", nearest: "nearest" };
const ALTS = {
  generated: "generated patch", real: "real patch", map: "class map", prompt: "prompt crops", nearest: "nearest training patch",
};
const CRISP = 200; // patches with fewer pixels a side are enlarged without smoothing: a pixel stays a pixel
let chosen = [];
let page = 0;
let open = 0;

function orders(exhibit) {
  const ends = exhibit.measures.flatMap((name) => [[`farthest from ${name}`, name, -1], [`closest to ${name}`, name, 1]]);
  return [["as they come, over slides", "", 0], ...ends];
}

// The patches of one exhibit in the order that was asked for; as many as were picked for it.
function picked() {
  const exhibit = gallery.exhibits[Number(find("choose-exhibit").value)];
  const [, name, sign] = orders(exhibit)[Number(find("choose-order").value)];
  if (!sign) return exhibit.patches.filter((patch) => patch.spread);
  return [...exhibit.patches].sort((a, b) => sign * (a.values[name] - b.values[name])).slice(0, gallery.ends);
}

function image(patch, kind, lazy) {
  const exhibit = gallery.exhibits[Number(find("choose-exhibit").value)];
  const made = make("img", { alt: ALTS[kind], className: exhibit.size < CRISP ? "crisp" : "" });
  made.width = made.height = exhibit.size;
  if (lazy) made.loading = "lazy"; // before src, or the browser has begun already
  made.decoding = "async";
  made.src = patch.images[kind];
  return made;
}

function captioned(patch, kind) {
  return make("span", {}, image(patch, kind, true), make("span", { className: "tag" }, NAMES[kind]));
}

function card(patch, index) {
  const has = (kind) => kind in patch.images;
  const row = (name, ...kinds) => make("span", { className: name }, ...kinds.filter(has).map((kind) => captioned(patch, kind)));
  const says = Object.entries(patch.values).map(([name, value]) => `${value.toFixed(2)} from ${name}`);
  const named = make("span", { className: "says" }, patch.id);
  const lines = says.map((text) => make("span", { className: "tag says" }, text));
  const shown = [row("pair", "generated", "real"), row("trio", "map", "prompt", "nearest")];
  const button = make("button", { type: "button" }, ...shown, named, ...lines);
  button.setAttribute("aria-label", `Enlarge ${patch.id}: ${says.join(", ")}`);
  button.addEventListener("click", () => enlarge(index));
  return make("li", {}, button);
}

function drawGrid() {
  const perPage = Number(find("pager").dataset.page);
  const pages = Math.max(1, Math.ceil(chosen.length / perPage));
  page = Math.min(Math.max(page, 0), pages - 1);
  const start = page * perPage;
  find("grid").replaceChildren(...chosen.slice(start, start + perPage).map((patch, i) => card(patch, start + i)));
  const end = Math.min(start + perPage, chosen.length);
  const exhibit = gallery.exhibits[Number(find("choose-exhibit").value)];
  find("patches-shown").textContent = `${start + 1} to ${end} of ${chosen.length}; ${exhibit.all} were generated`;
  find("previous").disabled = page === 0;
  find("next").disabled = page === pages - 1;
  find("pager").hidden = pages === 1;
}

function drawGallery() {
  chosen = picked();
  page = 0;
  drawGrid();
}

function drawOrders() {
  const exhibit = gallery.exhibits[Number(find("choose-exhibit").value)];
  const before = find("choose-order").value || "0";
  const options = orders(exhibit).map(([text], i) => make("option", { value: String(i) }, text));
  find("choose-order").replaceChildren(...options);
  find("choose-order").value = Number(before) < options.length ? before : "0";
  drawGallery();
}

function enlarge(index) {
  open = index;
  const patch = chosen[index];
  find("enlarged-title").textContent = patch.id;
  const figures = Object.keys(NAMES).filter((kind) => kind in patch.images)
    .map((kind) => make("figure", {}, image(patch, kind, false), make("figcaption", { className: "tag" }, NAMES[kind])));
  find("enlarged-pictures").replaceChildren(...figures);
  const facts = { slide: patch.slide, "nearest training patch": patch.nearestId };
  for (const [name, value] of Object.entries(patch.values)) facts[`distance from ${name}`] = value.toFixed(3);
  const terms = Object.entries(facts).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
  find("enlarged-facts").replaceChildren(...terms);
  find("before").disabled = index === 0;
  find("after").disabled = index === chosen.length - 1;
  if (!find("enlarged").open) find("enlarged").showModal();
}

if (gallery.exhibits) {
  find("choose-exhibit").addEventListener("change", drawOrders);
  find("choose-order").addEventListener("change", drawGallery);
  find("previous").addEventListener("click", () => { page -= 1; drawGrid(); });
  find("next").addEventListener("click", () => { page += 1; drawGrid(); });
  find("before").addEventListener("click", () => enlarge(open - 1));
  find("after").addEventListener("click", () => enlarge(open + 1));
  find("close").addEventListener("click", () => find("enlarged").close());
  find("enlarged").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft" && open > 0) enlarge(open - 1);
    if (event.key === "ArrowRight" && open < chosen.length - 1) enlarge(open + 1);
  });
  drawOrders();
}
