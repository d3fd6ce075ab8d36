// Settings, versions and data of runs; what differs comes first.
"use strict";

(() => {
  const shown = (value) => {
    if (value === undefined) return report.make("span", { class: "soft" }, "–");
    if (value === null) return report.make("span", { class: "soft" }, "not set");
    return report.text(typeof value === "string" ? value : JSON.stringify(value), { class: "mono" });
  };

  const table = (rows, title) =>
    report.make(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": title },
      report.make(
        "table",
        { class: "wide settings" },
        report.make("thead", {}, report.make("tr", {}, report.make("th", { scope: "col" }, "Setting"), report.summary.runs.map((run) => report.make("th", { scope: "col" }, report.text(run.name))))),
        report.make("tbody", {}, rows.map(([name, values]) => report.make("tr", {}, report.make("th", { scope: "row", class: "mono" }, name), values.map((value) => report.make("td", {}, shown(value)))))),
      ),
    );

  report.settingRows = () => {
    const { runs } = report.summary;
    const sources = [
      ["", (run) => run.config],
      ["version of ", (run) => run.versions],
      ["data ", (run) => Object.fromEntries(run.data.map((data, place) => [String(place + 1), `${data.address} (${data.sha256.slice(0, 12)})`]))],
    ];
    const rows = [];
    for (const [prefix, of] of sources) {
      const names = [...new Set(runs.flatMap((run) => Object.keys(of(run))))];
      rows.push(...names.map((name) => [`${prefix}${name}`, runs.map((run) => of(run)[name])]));
    }
    const differs = ([, values]) => values.some((value) => JSON.stringify(value) !== JSON.stringify(values[0]));
    return { different: rows.filter(differs), equal: rows.filter((row) => !differs(row)) };
  };

  report.differences = () => {
    const { different } = report.settingRows();
    return different.length ? table(different, "Settings that differ") : report.make("p", { class: "note" }, "All settings are equal.");
  };

  report.views.settings = async () => {
    const { equal } = report.settingRows();
    const several = report.summary.runs.length > 1;
    return [
      report.heading("Settings"),
      several ? report.section("What differs", null, report.differences()) : null,
      report.section(several ? "What is equal" : "All settings", null, table(equal, "Settings")),
    ].filter(Boolean);
  };
})();
