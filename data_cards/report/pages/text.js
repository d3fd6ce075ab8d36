// Texts of the data, shown as they are: characters that would be invisible, or turn the line around, are named.
"use strict";

(() => {
  const unseen = /[\u0000-\u0008\u000b-\u001f\u007f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/u;

  const code = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

  // A text as nodes, in isolation: right-to-left text stays inside its own box.
  report.text = (text, properties = {}) => {
    const box = report.make("bdi", { dir: "auto", ...properties });
    let plain = "";
    for (const character of String(text)) {
      if (!unseen.test(character)) {
        plain += character;
        continue;
      }
      box.append(plain, report.make("span", { class: "unseen", title: "A character that is not seen" }, code(character)));
      plain = "";
    }
    box.append(plain);
    return box;
  };

  // A sentence of ours, in which `backticks` mark code.
  report.sentence = (text) => text.split("`").map((part, place) => (place % 2 ? report.make("code", { class: "mono" }, part) : part));

  // Any JSON value, as a list of names and values.
  report.value = (value, depth = 0) => {
    if (value === null || typeof value !== "object") return report.text(value === null ? "null" : value, { class: "mono" });
    const entries = Array.isArray(value) ? value.map((each, place) => [String(place), each]) : Object.entries(value);
    if (!entries.length) return report.make("span", { class: "mono soft" }, Array.isArray(value) ? "[]" : "{}");
    const plain = Array.isArray(value) && value.every((each) => each === null || typeof each !== "object");
    if (plain) {
      const shown = value.slice(0, 40).map((each) => report.text(each === null ? "null" : each, { class: "chip mono" }));
      return report.make("span", { class: "chips" }, shown, value.length > 40 ? `and ${value.length - 40} more` : null);
    }
    if (depth > 4) return report.text(JSON.stringify(value), { class: "mono" });
    return report.make(
      "dl",
      { class: "facts" },
      entries.slice(0, 200).map(([name, each]) =>
        report.make("div", {}, report.make("dt", {}, report.text(name)), report.make("dd", {}, report.value(each, depth + 1))),
      ),
    );
  };
})();
