// The contact sheet.
"use strict";

(() => {
  report.search = (query) => {
    const { view, parameters } = report.parse(location.hash);
    const kept = view === "records" ? parameters : {};
    location.hash = report.address("records", [], { ...kept, q: query });
  };

  report.views.records = async ({ parameters, isCurrent }) => {
    const chosen = { ...parameters };
    document.getElementById("query").value = chosen.q ?? "";
    const change = (name, value) => {
      location.hash = report.address("records", [], { ...chosen, [name]: value, ...(name === "sort" && !value ? { order: "" } : {}) });
    };
    const { groups, total, numbers, column } = await report.select(chosen, isCurrent);
    if (!isCurrent()) return null;
    report.list = { numbers, address: location.hash || "#/records" };
    report.announce(`${report.counted(total, "record")} shown`);
    const of = total === report.total() ? "" : ` of ${report.number(report.total())}`;
    const clear = chosen.q
      ? report.make("button", { type: "button", class: "clear", on: { click: () => change("q", "") } }, "search: ", report.text(chosen.q), " ✕")
      : null;
    const head = report.heading("Records", report.make("p", { class: "soft", id: "count" }, `${report.number(total)}${of}`), clear);
    const sheet = report.grid(groups, (number) => report.tile(number, column ? `${report.number(column[number])} ${chosen.sort}` : null));
    const content = [head, report.choices(chosen, change), total ? sheet : report.make("p", { class: "empty" }, "No record matches. ", report.make("a", { href: "#/records" }, "Show all"))];
    content.whenShown = () => {
      if (total) sheet.start();
    };
    return content;
  };
})();
