// Reading: one image at a time, its questions, zoom, regions; kept in this browser after every answer, exported as one file.
// Text from outside enters the page through textContent alone. Nothing is requested from any network.
"use strict";

const find = (id) => document.getElementById(id);
const data = JSON.parse(find("data").textContent);
const items = data.items;
const place = `histobench-study:${data.study}:${data.page}`;
const regional = data.questions.find((question) => question.regions);
const ZOOMS = [1, 1.5, 2, 3, 4, 6, 8];

let state = null; // { reader, started, at, answers: { item: { values, regions, milliseconds } } }
let zoom = 1;
let marking = false;
let box = null; // the region that is being marked, in pixels of the image
let shownAt = 0; // when the clock of the image on the screen began; 0 while it stands still

// An element with properties and children, for example make("td", { className: "value" }, "0.5").
function make(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// ---- digest -----------------------------------------------------------------------------------------------------

// JSON with names in order and without blanks, as canonical() of schema.py writes it.
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
}

// SHA-256 (FIPS 180-4) of a text in UTF-8. Browsers offer crypto.subtle to pages of a file only in part.
function sha256(text) {
  const bytes = new TextEncoder().encode(text);
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime)) primes.push(n);
  const fraction = (x) => Math.floor((x - Math.floor(x)) * 2 ** 32) | 0;
  const k = primes.map((prime) => fraction(Math.cbrt(prime)));
  const h = primes.slice(0, 8).map((prime) => fraction(Math.sqrt(prime)));
  const length = Math.ceil((bytes.length + 9) / 64) * 64;
  const padded = new Uint8Array(length);
  padded.set(bytes);
  padded[bytes.length] = 128;
  const view = new DataView(padded.buffer);
  view.setUint32(length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(length - 4, bytes.length * 8);
  const turn = (x, n) => (x >>> n) | (x << (32 - n));
  const w = new Int32Array(64);
  for (let start = 0; start < length; start += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(start + 4 * i);
    for (let i = 16; i < 64; i++) {
      const s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    let [a, b, c, d, e, f, g, last] = h;
    for (let i = 0; i < 64; i++) {
      const one = (last + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
      const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [last, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, last].forEach((value, i) => { h[i] = (h[i] + value) | 0; });
  }
  return h.map((value) => (value >>> 0).toString(16).padStart(8, "0")).join("");
}

// ---- keeping ----------------------------------------------------------------------------------------------------

function keep() {
  try {
    localStorage.setItem(place, JSON.stringify(state));
  } catch {
    find("storage").hidden = false;
  }
}

function recall() {
  try {
    localStorage.setItem(`${place}:test`, "1");
    localStorage.removeItem(`${place}:test`);
    return JSON.parse(localStorage.getItem(place));
  } catch {
    find("storage").hidden = false;
    return null;
  }
}

const answerOf = (i) => state.answers[items[i].item];
const isAnswered = (i) => data.questions.every((question) => question.id in (answerOf(i)?.values ?? {}));
const countAnswered = () => items.filter((_, i) => isAnswered(i)).length;

function firstOpen() {
  const found = items.findIndex((_, i) => !isAnswered(i));
  return found < 0 ? items.length : found;
}

// The answer file. Answers that are not finished are left out.
function exported() {
  const answers = items.flatMap((one, i) => !isAnswered(i) ? [] : [{
    item: one.item, values: answerOf(i).values, regions: answerOf(i).regions,
    milliseconds: Math.round(answerOf(i).milliseconds),
  }]);
  const held = {
    format: data.format, study: data.study, commitment: data.commitment, page: data.page, reader: state.reader,
    started: state.started, exported: new Date().toISOString(), answers,
  };
  return { ...held, digest: sha256(canonical(held)) };
}

function download(name) {
  const link = make("a", { href: URL.createObjectURL(new Blob([JSON.stringify(exported(), null, 1)], { type: "application/json" })),
    download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

const fileName = (what) => `${what}-${data.study}-${data.page}.json`;

// Continues from a saved copy.
async function restore(file) {
  try {
    const held = JSON.parse(await file.text());
    const { digest, ...rest } = held;
    if (held.format !== data.format) throw new Error("This is no file that a page of a study saved.");
    if (held.study !== data.study || held.page !== data.page) throw new Error("This file is of another study or page.");
    if (digest !== sha256(canonical(rest))) throw new Error("This file was changed after it was saved.");
    const answers = Object.fromEntries(held.answers.map(({ item, ...answer }) => [item, answer]));
    state = { reader: held.reader, started: held.started, at: 0, answers };
    keep();
    enter();
  } catch (error) {
    find("start-message").textContent = error instanceof SyntaxError ? "This is no file that a page of a study saved." : error.message;
  }
}

// ---- the clock: time with the image on the screen and the window in front ------------------------------------------

function stopClock() {
  if (shownAt && state && state.at < items.length) {
    const held = (state.answers[items[state.at].item] ??= { values: {}, regions: [], milliseconds: 0 });
    held.milliseconds = Math.round(held.milliseconds + performance.now() - shownAt);
  }
  shownAt = 0;
}

function startClock() {
  shownAt = document.hidden || find("reading").hidden ? 0 : performance.now();
}

// ---- pages ------------------------------------------------------------------------------------------------------

function show(id) {
  for (const each of ["start", "reading", "end"]) find(each).hidden = each !== id;
}

function enter() {
  state.at = Math.min(firstOpen(), items.length);
  go(state.at);
}

function go(i) {
  stopClock();
  setMarking(false);
  state.at = i;
  keep();
  if (i >= items.length) {
    show("end");
    find("end-title").focus();
    return;
  }
  show("reading");
  const one = items[i];
  state.answers[one.item] ??= { values: {}, regions: [], milliseconds: 0 };
  const where = `Image ${i + 1} of ${items.length}${one.practice ? ", for practice" : ""}`;
  find("where").textContent = where;
  find("image").src = `data:image/png;base64,${one.image}`;
  find("image").alt = where;
  if (find("over") && one.outlines) find("over").src = `data:image/png;base64,${one.outlines}`;
  find("back").disabled = i === 0;
  find("next").textContent = i + 1 < items.length ? "Next image" : "Finish";
  find("message").textContent = "";
  setZoom(1);
  fillForm();
  drawBoxes();
  find("where").focus({ preventScroll: true });
  window.scrollTo(0, 0);
  startClock();
}

function next() {
  const open = data.questions.find((question) => !(question.id in answerOf(state.at).values));
  if (open) {
    find("message").textContent = `Please answer: ${open.text}`;
    find(`q-${open.id}`).querySelector("input").focus();
    return;
  }
  const i = state.at + 1 < items.length ? state.at + 1 : firstOpen();
  go(i);
}

// ---- questions ----------------------------------------------------------------------------------------------------

function buildForm() {
  for (const question of data.questions) {
    const choices = make("div", { className: "choices" });
    for (const [value, label] of Object.entries(question.labels)) {
      const input = make("input", { type: "radio", name: question.id, value });
      input.addEventListener("change", () => answer(question, Number(value)));
      choices.append(make("label", {}, input, make("b", {}, value), label));
    }
    find("questions").append(make("fieldset", { id: `q-${question.id}` }, make("legend", {}, question.text), choices));
  }
}

function fillForm() {
  const values = answerOf(state.at).values;
  for (const input of find("questions").querySelectorAll("input")) input.checked = String(values[input.name]) === input.value;
  find("bar").max = items.length;
  find("bar").value = countAnswered();
  pointAt(data.questions.find((question) => !(question.id in values)));
}

// The question that a digit answers.
function pointAt(question) {
  for (const each of find("questions").children) each.classList.toggle("current", each.id === `q-${question?.id}`);
}

function answer(question, value) {
  const held = answerOf(state.at);
  held.values[question.id] = value;
  if (question.regions && value === 0) held.regions = [];
  find("message").textContent = "";
  keep();
  fillForm();
  drawBoxes();
}

function answerByDigit(digit) {
  const focused = document.activeElement?.closest?.("fieldset");
  const question = data.questions.find((each) => focused ? focused.id === `q-${each.id}`
    : find(`q-${each.id}`).classList.contains("current"));
  if (!question || !(digit in question.labels)) return false;
  answer(question, Number(digit));
  find("live").textContent = `${question.text} ${question.labels[digit]}`;
  if (focused) {
    const after = data.questions.find((each) => !(each.id in answerOf(state.at).values));
    (after ? find(`q-${after.id}`).querySelector("input") : find("next")).focus();
  }
  return true;
}

// ---- zoom and scale -----------------------------------------------------------------------------------------------

function setZoom(value) {
  const viewer = find("viewer");
  const middle = [(viewer.scrollLeft + viewer.clientWidth / 2) / zoom, (viewer.scrollTop + viewer.clientHeight / 2) / zoom];
  zoom = value;
  find("stage").style.width = `${100 * zoom}%`;
  viewer.scrollLeft = middle[0] * zoom - viewer.clientWidth / 2;
  viewer.scrollTop = middle[1] * zoom - viewer.clientHeight / 2;
  find("zoom-in").disabled = zoom === ZOOMS.at(-1);
  find("zoom-out").disabled = zoom === ZOOMS[0];
  find("fit").disabled = zoom === 1;
  drawScale();
}

function stepZoom(step) {
  setZoom(ZOOMS[Math.max(0, Math.min(ZOOMS.length - 1, ZOOMS.indexOf(zoom) + step))]);
  find("live").textContent = find("zoom-text").textContent;
}

// A bar of a round number of microns, between a tenth and a quarter of the view.
function drawScale() {
  const width = find("viewer").clientWidth;
  const pixel = width * zoom / data.size; // pixels of the screen for one of the image
  find("zoom-text").textContent = `Zoom ${zoom}, ${pixel.toFixed(1)} screen pixels a pixel`;
  find("scale-bar").hidden = data.mpp === null;
  if (data.mpp === null) {
    find("scale-text").textContent = "Resolution unknown";
    return;
  }
  const most = width / 4 / pixel * data.mpp;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = [5, 2, 1].map((each) => each * power).find((each) => each <= most);
  find("scale-bar").style.width = `${length / data.mpp * pixel}px`;
  find("scale-text").textContent = `${Number(length.toPrecision(2))} µm`;
}

// ---- regions --------------------------------------------------------------------------------------------------------

function setMarking(on) {
  if (!find("mark")) return;
  marking = on;
  const quarter = Math.max(1, Math.round(data.size / 4));
  box = null;
  if (on) box = { x: Math.round((data.size - quarter) / 2), y: Math.round((data.size - quarter) / 2), width: quarter, height: quarter };
  find("mark").setAttribute("aria-pressed", String(on));
  find("viewer").classList.toggle("marking", on);
  find("mark-help").hidden = !on;
  if (on) find("viewer").focus({ preventScroll: true });
  if (state && state.at < items.length) drawBoxes();
}

function describeBox(each) {
  const unit = data.mpp === null ? [1, "px"] : [data.mpp, "µm"];
  const [w, h] = [each.width, each.height].map((side) => Number((side * unit[0]).toPrecision(3)));
  return `${w} by ${h} ${unit[1]}, ${each.x} px from the left, ${each.y} px from the top`;
}

function addBox(each) {
  const held = answerOf(state.at);
  held.regions.push(each);
  held.values[regional.id] = 1;
  keep();
  setMarking(false);
  fillForm();
  drawBoxes();
  find("live").textContent = `Marked: ${describeBox(each)}`;
}

function drawBoxes() {
  const svg = find("boxes");
  svg.setAttribute("viewBox", `0 0 ${data.size} ${data.size}`);
  svg.replaceChildren();
  const regions = answerOf(state.at)?.regions ?? [];
  for (const each of box ? [...regions, box] : regions) {
    for (const name of ["under", each === box ? "open" : "over"]) {
      const rectangle = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const part of ["x", "y", "width", "height"]) rectangle.setAttribute(part, each[part]);
      rectangle.setAttribute("class", name);
      svg.append(rectangle);
    }
  }
  if (!find("marked")) return;
  find("marked").hidden = regions.length === 0;
  find("regions").replaceChildren(...regions.map((each, i) => {
    const remove = make("button", { type: "button" }, "Remove");
    remove.setAttribute("aria-label", `Remove region ${i + 1}`);
    remove.addEventListener("click", () => {
      regions.splice(i, 1);
      keep();
      drawBoxes();
      (find("regions").querySelector("button") ?? find("mark")).focus();
    });
    return make("li", {}, describeBox(each), remove);
  }));
}

const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

function pointOf(event) {
  const around = find("stage").getBoundingClientRect();
  const to = (at, start, side) => clamp(Math.round((at - start) / side * data.size), 0, data.size);
  return [to(event.clientX, around.left, around.width), to(event.clientY, around.top, around.height)];
}

function listenToPointer() {
  let from = null;
  const stage = find("stage");
  const between = ([x, y], [u, v]) => ({ x: Math.min(x, u), y: Math.min(y, v), width: Math.abs(x - u), height: Math.abs(y - v) });
  stage.addEventListener("pointerdown", (event) => {
    if (!marking || event.button !== 0) return;
    event.preventDefault();
    from = pointOf(event);
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!from) return;
    box = between(from, pointOf(event));
    drawBoxes();
  });
  stage.addEventListener("pointerup", (event) => {
    if (!from) return;
    const made = between(from, pointOf(event));
    from = null;
    if (made.width > 0 && made.height > 0) addBox(made);
  });
  stage.addEventListener("pointercancel", () => { from = null; });
}

// Keys of the region that is being marked; true if the key was one of them.
function moveBox(event) {
  const step = Math.max(1, Math.round(data.size / (event.altKey ? data.size : 32)));
  const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
  if (event.key === "Escape") setMarking(false);
  else if (event.key === "Enter") addBox({ ...box });
  else if (by && event.shiftKey) {
    box.width = clamp(box.width + by[0], 1, data.size - box.x);
    box.height = clamp(box.height + by[1], 1, data.size - box.y);
  } else if (by) {
    box.x = clamp(box.x + by[0], 0, data.size - box.width);
    box.y = clamp(box.y + by[1], 0, data.size - box.height);
  } else return false;
  if (by) {
    drawBoxes();
    find("live").textContent = describeBox(box);
  }
  return true;
}

// ---- keyboard -------------------------------------------------------------------------------------------------------

function toggleOutlines() {
  const hidden = find("over").toggleAttribute("hidden");
  find("outlines").setAttribute("aria-pressed", String(!hidden));
}

function press(event) {
  if (find("reading").hidden || event.ctrlKey || event.metaKey) return;
  if (marking && moveBox(event)) {
    event.preventDefault();
    return;
  }
  if (event.altKey || !find("shortcuts").checked) return;
  const onButton = event.target.closest("button, summary, input[type=checkbox]");
  const actions = { "+": () => stepZoom(1), "=": () => stepZoom(1), "-": () => stepZoom(-1), f: () => setZoom(1), Backspace: () => {
    if (state.at > 0) go(state.at - 1);
  } };
  if (find("mark")) actions.m = () => setMarking(!marking);
  if (find("outlines")) actions.o = toggleOutlines;
  if (!onButton) actions.Enter = next;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (/^[0-9]$/.test(key)) {
    if (answerByDigit(key)) event.preventDefault();
  } else if (actions[key]) {
    event.preventDefault();
    actions[key]();
  }
}

// ---- start ----------------------------------------------------------------------------------------------------------

function begin() {
  buildForm();
  if (data.legend.length) {
    find("legend").hidden = false;
    for (const [name, colour] of data.legend) {
      const swatch = make("i", {});
      swatch.style.background = colour;
      find("legend").append(make("li", {}, swatch, name));
    }
  }
  const kept = recall();
  if (kept) {
    state = kept;
    find("reader").value = kept.reader;
    find("begin").textContent = countAnswered() < items.length
      ? `Continue at image ${firstOpen() + 1} of ${items.length}` : "Continue: all images are answered";
  }
  find("who").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = find("reader").value.trim();
    if (!name) {
      find("start-message").textContent = "Please give a name or code.";
      return;
    }
    state ??= { started: new Date().toISOString(), at: 0, answers: {} };
    state.reader = name;
    enter();
  });
  find("copy").addEventListener("change", (event) => { if (event.target.files[0]) restore(event.target.files[0]); });
  find("form").addEventListener("submit", (event) => { event.preventDefault(); next(); });
  find("back").addEventListener("click", () => go(state.at - 1));
  find("again").addEventListener("click", () => go(items.length - 1));
  find("zoom-in").addEventListener("click", () => stepZoom(1));
  find("zoom-out").addEventListener("click", () => stepZoom(-1));
  find("fit").addEventListener("click", () => setZoom(1));
  find("outlines")?.addEventListener("click", toggleOutlines);
  find("mark")?.addEventListener("click", () => setMarking(!marking));
  find("save").addEventListener("click", () => {
    download(fileName("answers"));
    find("saved").textContent = `Saved as ${fileName("answers")}, with the answers of ${state.reader} about ${countAnswered()} images.`;
  });
  find("save-copy").addEventListener("click", () => download(fileName("copy")));
  listenToPointer();
  document.addEventListener("keydown", press);
  document.addEventListener("visibilitychange", () => {
    stopClock();
    if (state) keep();
    startClock();
  });
  addEventListener("pagehide", () => {
    stopClock();
    if (state) keep();
  });
  addEventListener("resize", () => { if (!find("reading").hidden) drawScale(); });
}

begin();
