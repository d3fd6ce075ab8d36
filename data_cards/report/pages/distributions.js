// How labels, tokens and sizes are spread, split beside split.
"use strict";

(() => {
  // A row a label: its share of each split, as bars side by side.
  report.labelBars = (most) => {
    const { labels, label_counts: counts, splits, more_labels: more } = report.summary;
    const named = splits.filter((split) => split.records);
    const wholes = named.map((split) => split.records);
    const tallest = Math.max(...named.map((split, place) => Math.max(...counts[split.name], 0) / wholes[place]), 1e-9);
    const row = (label, at) =>
      report.make(
        "tr",
        {},
        report.make("th", { scope: "row" }, report.make("a", { href: report.address("records", [], { label }) }, report.text(label))),
        named.map((split, place) => {
          const count = counts[split.name][at];
          const share = count / wholes[place];
          return report.make(
            "td",
            { class: "bar-cell" },
            report.draw("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", class: `bars ${report.colour(place)}`, "aria-hidden": "true" }, report.draw("rect", { width: (100 * share) / tallest, height: 8, rx: 1 })),
            report.make("span", {}, `${report.number(count)}`),
            report.make("span", { class: "soft" }, report.percent(count, wholes[place])),
          );
        }),
      );
    const shown = labels.slice(0, most);
    const body = report.make("tbody", {}, shown.map(row));
    const rest = labels.length - shown.length;
    const all = rest
      ? report.make("button", { type: "button", class: "more", on: { click: () => { body.replaceChildren(...labels.map(row)); all.remove(); } } }, `Show all ${report.number(labels.length)} labels`)
      : null;
    return report.make(
      "div",
      {},
      report.make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Labels" },
        report.make("table", { class: "wide labels" }, report.make("thead", {}, report.make("tr", {}, report.make("th", { scope: "col" }, "Label"), named.map((split) => report.make("th", { scope: "col" }, report.text(split.name))))), body)),
      all,
      more ? report.make("p", { class: "note" }, `and ${report.number(more)} rarer labels`) : null,
    );
  };

  report.views.distributions = async () => {
    const { distributions, labels, labels_are: are } = report.summary;
    const same = distributions.filter((each) => each.least === each.most);
    const constant = same.length
      ? report.make("dl", { class: "constants" }, same.map((each) => report.make("div", {}, report.make("dt", {}, each.name), report.make("dd", {}, `always ${report.number(each.most)}`))))
      : null;
    return [
      report.heading("Distributions", report.make("p", { class: "soft" }, "Bars are shares of each split, over one axis")),
      constant,
      report.make("div", { class: "cards" }, distributions.filter((each) => each.least !== each.most).map(report.histogram)),
      labels.length ? report.section("Labels", are === "answer" ? "labels are the answers" : `from ${are}`, report.labelBars(40)) : null,
    ].filter(Boolean);
  };
})();
