// The first view of a run's report: how good, how different, and what is still wrong.
"use strict";

(() => {
  const named = (metric) => ({ accuracy: "accuracy", anls: "ANLS", recipe_anls: "ANLS of the recipe", roc_auc: "ROC AUC" })[metric] ?? metric.replaceAll("_", " ");

  const shownMetric = (metric) => {
    if (!metric) return "–";
    const interval = metric.low === null || metric.low === undefined ? null : report.make("span", { class: "interval" }, `${metric.low.toFixed(3)}–${metric.high.toFixed(3)}`);
    return [metric.value.toFixed(3), interval];
  };

  const results = () => {
    const { runs, columns } = report.summary;
    const metrics = [...new Set(columns.flatMap((column) => Object.keys(column.metrics)))];
    const facts = [["strategy", (run) => run.config.strategy], ["model", (run) => run.config["model.name"]], ["steps", (run) => run.result.steps], ["last loss", (run) => run.result.last_loss?.toPrecision?.(4)], ["trained parameters", (run) => run.result.parameters_trained]];
    const rows = [];
    for (const [place, run] of runs.entries()) {
      const of = columns.filter((column) => column.run === place);
      for (const [at, column] of (of.length ? of : [null]).entries()) {
        rows.push(
          report.make(
            "tr",
            {},
            report.make("th", { scope: "row" }, at ? "" : report.make("span", { class: `key ${report.colour(place)}` }, report.text(run.name))),
            report.make("td", { class: "left" }, column ? (column.name === "before" ? "before" : column.name === "after" ? "after" : column.name === column.split ? "later" : column.name) : "not evaluated"),
            report.make("td", { class: "left" }, column ? report.text(column.split) : "–"),
            metrics.map((metric) => report.make("td", { class: "metric" }, column ? shownMetric(column.metrics[metric]) : "–")),
            report.make("td", {}, column ? report.make("a", { href: report.address("predictions", [], { column: columns.indexOf(column), show: "wrong" }) }, report.number(column.wrong)) : "–"),
          ),
        );
      }
    }
    const table = report.make("table", { class: "wide results" }, report.make("thead", {}, report.make("tr", {}, ["Run", "When", "Split"].map((name, at) => report.make("th", { scope: "col", class: at ? "left" : null }, name)), metrics.map((metric) => report.make("th", { scope: "col" }, named(metric))), report.make("th", { scope: "col" }, "wrong"))), report.make("tbody", {}, rows));
    const list = report.make("div", { class: "run-facts" }, runs.map((run, place) => report.make("div", { class: "run-fact" }, runs.length > 1 ? report.make("span", { class: `key ${report.colour(place)}` }, report.text(run.name)) : null, report.make("dl", { class: "constants" }, facts.map(([name, of]) => [name, of(run)]).filter(([, value]) => value !== undefined && value !== null).map(([name, value]) => report.make("div", {}, report.make("dt", {}, name), report.make("dd", {}, typeof value === "number" ? report.number(value) : report.text(value)))), ), run.finished ? null : report.make("span", { class: "soft" }, "not finished"))));
    return [report.make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Results" }, table), list];
  };

  const changes = () =>
    report.summary.changes.map(({ run, learned, lost }) => {
      const column = report.summary.columns.findIndex((each) => each.run === run && each.name === "after");
      const name = report.summary.runs.length > 1 ? [report.text(report.summary.runs[run].name), ": "] : null;
      return report.make("p", { class: "change" }, name, report.make("a", { href: report.address("predictions", [], { column, show: "learned" }) }, `${report.number(learned)} learned`), " (wrong before, right after), ", report.make("a", { href: report.address("predictions", [], { column, show: "lost" }) }, `${report.number(lost)} lost`));
    });

  const wrong = async () => {
    const column = report.mainColumn();
    const tiles = [];
    for await (const number of report.matching({ column, show: "wrong" })) {
      const [[, id, , expected, answers]] = await report.prediction(number);
      tiles.push(report.make("a", { class: "wrong", href: report.address("prediction", [String(number), id], { column, show: "wrong" }) }, report.questionThumb(number), report.make("span", { class: "tile-name" }, report.text(answers[column][0] || "nothing")), report.make("span", { class: "tile-note" }, "expected ", report.text(expected))));
      if (tiles.length === 12) break;
    }
    return tiles.length ? report.section("Wrong answers", report.columnName(report.summary.columns[column]), report.make("div", { class: "wrongs" }, tiles)) : null;
  };

  report.views[""] = async () => {
    const { questions, runs } = report.summary;
    return [
      report.heading(runs.length > 1 ? "Runs" : "Run"),
      ...results(),
      ...changes(),
      report.make("div", { class: "cards section" }, ["loss", "images_per_second"].map(report.curve).filter(Boolean)),
      runs.length > 1 ? report.section("Settings that differ", null, report.differences()) : null,
      questions ? await wrong() : null,
    ].filter(Boolean);
  };
})();
