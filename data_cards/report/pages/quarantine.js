// What could not be converted, and why.
"use strict";

(() => {
  const row = (item) =>
    report.make(
      "li",
      { class: "finding warning" },
      report.make("div", {},
        report.make("p", {}, report.text(item.message ?? "")),
        report.make("p", { class: "soft" }, report.text(item.id ?? "", { class: "mono" }), item.path ? [" · ", report.text(item.path, { class: "mono" })] : null),
        report.make("p", { class: "soft" }, [item.split, item.stage && `stage ${item.stage}`, item.exception].filter(Boolean).join(" · "))),
    );

  report.views.quarantine = async () => {
    const { items, stages } = report.summary.quarantine;
    const head = report.heading("Quarantine", report.make("p", { class: "soft" }, items ? report.counted(items, "item") : ""));
    if (!items) return [head, report.make("p", { class: "empty good" }, "Every item was converted.")];
    const long = report.longList(0, items, report.summary.list, "quarantine", row);
    await long.extend();
    const by = Object.entries(stages).sort(([, a], [, b]) => b - a);
    return [head, report.make("p", { class: "note" }, "Items that could not be converted; each is in quarantine.jsonl. Fix them and rerun with --retry-quarantined."), report.make("p", { class: "chips" }, by.map(([stage, count]) => report.make("span", { class: "chip" }, `${stage} ${report.number(count)}`))), long.element];
  };
})();
