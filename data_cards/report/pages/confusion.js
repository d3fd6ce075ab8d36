// Labels against answers; each cell leads to its predictions.
"use strict";

(() => {
  const cell = (column, label, given, count, whole, isRight) => {
    const share = whole ? count / whole : 0;
    const parameters = given === null ? { column, expected: label, other: "1" } : { column, expected: label, given };
    const level = count ? Math.max(1, Math.ceil(share * 5)) : 0;
    return report.make(
      "td",
      { class: `cell ${isRight ? "diagonal" : "off"} level-${level}` },
      count ? report.make("a", { href: report.address("predictions", [], parameters), title: `${label} answered by ${given ?? "none of the labels"}: ${count} (${(100 * share).toFixed(0)} %)` }, report.number(count)) : report.make("span", { class: "faint" }, "0"),
    );
  };

  const matrix = (column, { labels, matrix: rows }) =>
    report.make(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Confusion matrix" },
      report.make(
        "table",
        { class: "confusion" },
        report.make("thead", {}, report.make("tr", {}, report.make("th", { scope: "col" }, "expected ↓  given →"), labels.map((label) => report.make("th", { scope: "col" }, report.text(label))), report.make("th", { scope: "col" }, "none of these"), report.make("th", { scope: "col" }, "right"))),
        report.make("tbody", {}, labels.map((label, at) => {
          const whole = rows[at].reduce((sum, count) => sum + count, 0);
          return report.make("tr", {}, report.make("th", { scope: "row" }, report.text(label)), labels.map((given, to) => cell(column, label, given, rows[at][to], whole, at === to)), cell(column, label, null, rows[at][labels.length], whole, false), report.make("td", { class: "soft" }, report.percent(rows[at][at], whole)));
        })),
      ),
    );

  report.views.confusion = async ({ parameters }) => {
    const { confusion, columns } = report.summary;
    const there = Object.keys(confusion);
    if (!there.length) return [report.heading("Confusion"), report.make("p", { class: "empty" }, "The answers are not classes, so there is no confusion matrix.")];
    const main = String(report.mainColumn());
    const chosen = there.includes(parameters.column) ? parameters.column : there.includes(main) ? main : there[0];
    const tabs = report.make("p", { class: "chips" }, there.map((place) => report.make("a", { class: "chip link", href: report.address("confusion", [], { column: place }), "aria-current": place === chosen ? "true" : null }, report.columnName(columns[place]))));
    return [report.heading("Confusion", report.make("p", { class: "soft" }, "A cell leads to its predictions")), tabs, matrix(chosen, confusion[chosen])];
  };
})();
