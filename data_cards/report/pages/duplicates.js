// Records of different splits whose first images look the same, side by side.
"use strict";

(() => {
  const half = async (number) => {
    const record = await report.record(number);
    const thumb = report.make("span", { class: "thumb" });
    report.showThumbnail(thumb, number);
    return report.make(
      "a",
      { class: "half", href: report.address("record", [record.id], { n: number }) },
      thumb,
      report.make("span", { class: "tile-name" }, report.text(report.locate(number).split), record.label === null ? null : [" · ", report.text(record.label)]),
      report.make("span", { class: "tile-note mono" }, report.text(record.id)),
    );
  };

  const pair = async ([first, second, difference]) =>
    report.make("li", { class: "pair" }, await half(first), report.make("span", { class: "difference", title: "mean difference of grey values, of 255" }, difference === 0 ? "same" : difference.toFixed(1)), await half(second));

  report.views.duplicates = async () => {
    const { pairs, shown } = report.summary.near_duplicates;
    const head = report.heading("Near-duplicates across splits", report.make("p", { class: "soft" }, pairs ? report.number(pairs) : ""));
    if (!pairs) return [head, report.make("p", { class: "empty good" }, "No two records of different splits have first images that look the same.")];
    const found = await report.load("duplicates");
    const list = report.make("ol", { class: "pairs" });
    const more = report.make("button", { type: "button", class: "more" });
    let done = 0;
    const extend = async () => {
      list.append(...(await Promise.all(found.slice(done, done + 24).map(pair))));
      done = Math.min(found.length, done + 24);
      more.textContent = `Show more (${done} of ${found.length})`;
      more.hidden = done >= found.length;
    };
    more.addEventListener("click", extend);
    await extend();
    const note = "What is in train and in test at once makes a model look better than it is. The number between two images is the mean difference of their grey values, of 255.";
    return [head, report.make("p", { class: "note" }, note, shown < pairs ? ` The closest ${report.number(shown)} are shown.` : ""), list, more];
  };
})();
