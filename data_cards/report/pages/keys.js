// Keys, the search box, and light or dark.
"use strict";

(() => {
  const shortcuts = [
    ["/", "Search"],
    ["g then r", "All records, or predictions"],
    ["g then o", "Overview"],
    ["j, →", "Next record"],
    ["k, ←", "Previous record"],
    ["[ and ]", "Previous and next image of a record"],
    ["+, −, 0", "Zoom in, out, whole image"],
    ["c", "Crops on or off"],
    ["Esc", "Back to the list"],
    ["t", "Light or dark"],
    ["?", "This list"],
  ];

  const themes = () => {
    const stored = (() => {
      try {
        return localStorage.getItem("phi3v-report-theme");
      } catch {
        return null;
      }
    })();
    if (stored) document.documentElement.dataset.theme = stored;
  };

  const turnTheme = () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try {
      localStorage.setItem("phi3v-report-theme", root.dataset.theme);
    } catch {
      // Some browsers keep nothing for file://.
    }
  };

  const help = () => {
    const dialog = document.getElementById("keys");
    if (dialog.open) return dialog.close();
    const rows = shortcuts.map(([keys, does]) => report.make("div", {}, report.make("dt", {}, keys.split(/(, | and | then )/).map((part, place) => (place % 2 ? part : report.make("kbd", {}, part)))), report.make("dd", {}, does)));
    dialog.replaceChildren(
      report.make("div", { class: "dialog-head" }, report.make("h2", {}, "Keyboard"), report.make("button", { type: "button", class: "tool", "aria-label": "Close", on: { click: () => dialog.close() } }, "✕")),
      report.make("dl", { class: "shortcuts" }, rows),
    );
    return dialog.showModal();
  };

  let before = "";

  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select, textarea");
    if (typing) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const key = event.key;
    const both = `${before}${key}`;
    before = key === "g" ? "g" : "";
    if (key === "/" && !document.getElementById("search").hidden) {
      event.preventDefault();
      document.getElementById("query").focus();
    } else if (key === "?") help();
    else if (key === "t") turnTheme();
    else if (both === "gr") location.hash = report.views.records ? "#/records" : "#/predictions";
    else if (both === "go") location.hash = "#/";
    else if (report.onKey && report.onKey(key)) event.preventDefault();
  };

  report.startKeys = () => {
    themes();
    document.addEventListener("keydown", onKey);
    document.getElementById("theme").addEventListener("click", turnTheme);
    document.getElementById("help").addEventListener("click", help);
    const form = document.getElementById("search");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      report.search(document.getElementById("query").value.trim());
    });
  };
})();
