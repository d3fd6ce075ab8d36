// The first view: how much there is, what is wrong with it, and a look at each split.
"use strict";

(() => {
  const figure = (value, name, href, kind) =>
    report.make(href ? "a" : "div", { class: `figure${kind ? ` ${kind}` : ""}`, href }, report.make("span", { class: "figure-value" }, value), report.make("span", { class: "figure-name" }, name));

  const figures = () => {
    const { splits, rules, near_duplicates: near, quarantine, tokenizer } = report.summary;
    const sum = (column) => splits.reduce((total, split) => total + split[column], 0);
    const errors = rules.filter((rule) => rule.severity === "error").reduce((total, rule) => total + rule.findings, 0);
    const warnings = rules.reduce((total, rule) => total + rule.findings, 0) - errors;
    const problems = errors ? [report.number(errors), errors === 1 ? "error" : "errors", "bad"] : warnings ? [report.number(warnings), warnings === 1 ? "warning" : "warnings", "warn"] : ["0", "findings", "good"];
    return report.make(
      "div",
      { class: "figures" },
      figure(report.number(sum("records")), "records", "#/records"),
      figure(report.number(sum("images")), "images shown", null),
      figure(report.short(sum("tokens")), tokenizer ? "tokens" : "image tokens", "#/distributions"),
      figure(problems[0], problems[1], "#/findings", problems[2]),
      figure(report.number(near.pairs), "near-duplicates across splits", "#/duplicates", near.pairs ? "warn" : "good"),
      figure(report.number(quarantine.items), "quarantined", "#/quarantine", quarantine.items ? "warn" : "good"),
    );
  };

  const splitTable = () => {
    const { splits } = report.summary;
    const columns = [["records", "Records"], ["images", "Images"], ["tokens", report.summary.tokenizer ? "Tokens" : "Image tokens"], ["discovered", "Discovered"], ["quarantined", "Quarantined"], ["skipped", "Skipped"]].filter(([name]) => splits.some((split) => split[name] !== undefined));
    const whole = report.total();
    const row = (split, place) =>
      report.make(
        "tr",
        {},
        report.make("th", { scope: "row" }, split.records ? report.make("a", { href: report.address("records", [], { split: split.name }) }, report.text(split.name)) : report.text(split.name)),
        columns.map(([name]) => report.make("td", {}, split[name] === undefined ? "–" : report.number(split[name]))),
        report.make("td", { class: "share" }, report.draw("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", class: `bars ${report.colour(place)}`, "aria-hidden": "true" }, report.draw("rect", { width: (100 * split.records) / whole, height: 6, rx: 1 })), report.make("span", {}, report.percent(split.records, whole))),
      );
    return report.make(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Splits" },
      report.make("table", { class: "wide" }, report.make("thead", {}, report.make("tr", {}, report.make("th", { scope: "col" }, "Split"), columns.map(([, name]) => report.make("th", { scope: "col" }, name)), report.make("th", { scope: "col" }, "Share"))), report.make("tbody", {}, splits.map(row))),
    );
  };

  const samples = () => {
    let first = 0;
    return report.summary.splits.filter((split) => split.records).map((split) => {
      const shown = report.summary.samples[split.name];
      const start = first;
      first += shown.length;
      const rows = Math.ceil(report.summary.all_samples / 8);
      const tiles = shown.map((number, at) => {
        const thumb = report.make("span", { class: "thumb" });
        report.placeInSprite(thumb, "data/samples.webp", start + at, rows);
        const link = report.make("a", { class: "sample", href: report.address("record", [], { n: number }), "aria-label": `Record ${number + 1}, split ${split.name}` }, thumb);
        return link;
      });
      return report.make("div", { class: "strip-row" }, report.make("h3", {}, report.make("a", { href: report.address("records", [], { split: split.name }) }, report.text(split.name)), report.make("span", { class: "soft" }, report.counted(split.records, "record"))), report.make("div", { class: "strip" }, tiles));
    });
  };

  const origin = () => {
    const { address, source, options, decoders, tokenizer, num_crops: crops } = report.summary;
    const rows = [["Data", report.text(address, { class: "mono" })]];
    if (source) rows.push(["Source", report.text(source)]);
    rows.push(["Tokens by", tokenizer ? report.text(tokenizer, { class: "mono" }) : "images alone; --model counts texts, too"], ["Crops", `at most ${crops} an image`]);
    const list = report.make("dl", { class: "facts" }, rows.map(([name, value]) => report.make("div", {}, report.make("dt", {}, name), report.make("dd", {}, value))));
    const more = Object.keys(options).length
      ? report.make("details", { class: "numbers" }, report.make("summary", {}, "Options and versions of the conversion"), report.value({ ...options, versions: decoders }))
      : null;
    return report.make("div", {}, list, more);
  };

  report.views[""] = async () => {
    const { labels, labels_are: are, rules } = report.summary;
    return [
      report.heading("Overview"),
      figures(),
      rules.length ? report.findingRows(rules) : null,
      report.section("At a glance", "records spread evenly over each split", ...samples()),
      report.section("Splits", null, splitTable()),
      labels.length ? report.section("Labels", are === "answer" ? "labels are the answers" : `from ${are}`, report.labelBars(8)) : null,
      report.section("Where it comes from", null, origin()),
    ].filter(Boolean);
  };
})();
