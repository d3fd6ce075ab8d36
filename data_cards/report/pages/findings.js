// What validate found, with the images it is about.
"use strict";

(() => {
  report.findingRows = (rules) =>
    report.make(
      "ul",
      { class: "rules" },
      rules.map((rule) =>
        report.make(
          "li",
          { class: rule.severity },
          report.make("span", { class: "severity" }, rule.severity),
          report.make("a", { href: report.address("findings", [], { rule: rule.rule }) }, report.make("span", { class: "mono" }, rule.rule), ` ${rule.name}`),
          report.make("span", { class: "rule-sentence" }, report.sentence(rule.sentence)),
          report.make("span", { class: "soft rule-counts" }, report.counted(rule.findings, "finding"), rule.records ? `, ${report.counted(rule.records, "record")}` : ""),
        ),
      ),
    );

  const row = (finding) => {
    const thumb = finding.number === null ? null : report.make("span", { class: "thumb small", "aria-hidden": "true" });
    if (thumb) report.showThumbnail(thumb, finding.number);
    const name = finding.number !== null
      ? report.make("a", { href: report.address("record", [finding.id], { n: finding.number }), class: "mono" }, report.text(finding.id))
      : report.make("span", { class: "mono" }, report.text(finding.place || "the dataset"));
    return report.make("li", { class: `finding ${finding.severity}` }, thumb, report.make("div", {}, report.make("p", {}, report.text(finding.message)), report.make("p", { class: "soft" }, name, finding.number !== null && finding.place ? [" · ", report.text(finding.place)] : null)));
  };

  // A list that is loaded as it is read: `load(chunk)` gives rows, `make(row)` an element.
  report.longList = (first, count, size, name, make) => {
    const list = report.make("ol", { class: "list" });
    let done = 0;
    const more = report.make("button", { type: "button", class: "more" }, "Show more");
    const extend = async () => {
      const chunk = Math.floor((first + done) / size);
      const from = (first + done) % size;
      const rows = (await report.load(`${name}/${chunk}`)).slice(from, from + Math.min(50, count - done));
      list.append(...rows.map(make));
      done += rows.length;
      more.textContent = `Show more (${report.number(done)} of ${report.number(count)})`;
      more.hidden = done >= count;
    };
    more.addEventListener("click", extend);
    return { element: report.make("div", {}, list, more), extend };
  };

  report.views.findings = async ({ parameters }) => {
    const { rules, list } = report.summary;
    const total = rules.reduce((sum, rule) => sum + rule.findings, 0);
    const head = report.heading("Findings", report.make("p", { class: "soft" }, total ? report.number(total) : ""));
    if (!total) return [head, report.make("p", { class: "empty good" }, "validate found nothing wrong.")];
    const chosen = rules.filter((rule) => !parameters.rule || rule.rule === parameters.rule);
    const sections = await Promise.all(chosen.map(async (rule) => {
      const long = report.longList(rule.first, rule.findings, list, "findings", row);
      await long.extend();
      const link = rule.records ? report.make("a", { href: report.address("records", [], { rule: rule.rule }) }, `${report.counted(rule.records, "record")} in a contact sheet`) : null;
      return report.section([report.make("span", { class: "mono" }, rule.rule), ` ${rule.name}`], null, rule.sentence ? report.make("p", { class: "rule-sentence" }, report.sentence(`${rule.sentence} ${rule.remedy}`)) : null, report.make("p", { class: "note" }, rule.severity, " · ", report.counted(rule.findings, "finding"), link ? " · " : "", link), long.element);
    }));
    const all = parameters.rule ? report.make("a", { href: "#/findings" }, "All rules") : null;
    return [head, all, ...sections].filter(Boolean);
  };
})();
