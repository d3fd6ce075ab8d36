// The report's one global: elements, views, and addresses behind the #.
"use strict";

const report = { views: {}, summary: null, list: null };

// Make an element. Children are elements or text: nothing is ever parsed as markup.
report.make = (tag, properties = {}, ...children) => {
  const element = document.createElement(tag);
  report.set(element, properties);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

report.draw = (tag, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.flat(Infinity));
  return element;
};

report.set = (element, properties) => {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "style") Object.assign(element.style, value);
    else if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
};

report.number = (value) => Number(value).toLocaleString("en");
report.counted = (count, noun) => `${report.number(count)} ${noun}${count === 1 ? "" : "s"}`;
report.percent = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "–");

// An address such as #/records?split=val is a view, its further parts, and its parameters.
report.parse = (hash) => {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [view, ...parts] = path.split("/").map(decodeURIComponent);
  return { view, parts, parameters: Object.fromEntries(new URLSearchParams(query)) };
};

report.address = (view, parts = [], parameters = {}) => {
  const path = [view, ...parts].map(encodeURIComponent).join("/");
  const given = Object.entries(parameters).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  const query = new URLSearchParams(given).toString();
  return `#/${path}${query ? `?${query}` : ""}`;
};

report.announce = (message) => {
  document.getElementById("status").textContent = message;
};

// Which view is shown: a later one that is ready sooner is never overwritten by an earlier one.
let shown = 0;

report.show = async () => {
  const turn = ++shown;
  let { view, parts, parameters } = { view: "", parts: [], parameters: {} };
  try {
    ({ view, parts, parameters } = report.parse(location.hash));
  } catch {
    // An address with broken percent signs is the first view's.
  }
  const draw = report.views[view] || report.views[""];
  for (const tab of document.querySelectorAll(".tabs a")) {
    const current = tab.dataset.view === (draw.tab ?? view);
    if (current) {
      tab.setAttribute("aria-current", "page");
      // On a phone the tabs are wider than the screen.
      tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else tab.removeAttribute("aria-current");
  }
  const main = document.getElementById("view");
  let content;
  try {
    content = await draw({ parts, parameters, isCurrent: () => turn === shown });
  } catch (error) {
    content = report.make("p", { class: "empty", role: "alert" }, `${error.message}`);
  }
  if (turn !== shown || content === null) return;
  report.onKey = null;
  main.replaceChildren(...[content].flat());
  main.dataset.turn = turn;
  if (content.whenShown) content.whenShown();
  const heading = main.querySelector("h1");
  document.title = `${heading ? `${heading.textContent} · ` : ""}${report.summary.title} · phi3v-data report`;
};

report.heading = (title, ...beside) =>
  report.make("div", { class: "view-head" }, report.make("h1", {}, title), ...beside);

report.section = (title, note, ...content) =>
  report.make(
    "section",
    { class: "section" },
    report.make("div", { class: "section-head" }, report.make("h2", {}, title), note ? report.make("p", { class: "note" }, note) : null),
    ...content,
  );
