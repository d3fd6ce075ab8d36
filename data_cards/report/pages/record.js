// One record, as the model sees it.
"use strict";

(() => {
  const numberOf = async (parts, parameters) => {
    const given = Number(parameters.n);
    const id = parts[0];
    if (parameters.n !== undefined && Number.isInteger(given) && given >= 0 && given < report.total()) {
      const found = await report.record(given);
      // A number from an address made for an earlier report may be another record's by now.
      if (id === undefined || found.id === id) return given;
    }
    return id === undefined ? null : report.find(id);
  };

  const filmstrip = (images, choose) => {
    const buttons = images.map((image, place) =>
      report.make(
        "button",
        { type: "button", class: "frame", "aria-label": `Image ${place + 1} of ${images.length}`, on: { click: () => choose(place) } },
        image[3] ? report.make("img", { src: report.imageAddress(image), alt: "", loading: "lazy" }) : "?",
        report.make("span", {}, String(place + 1)),
      ),
    );
    return { buttons, box: images.length > 1 ? report.make("div", { class: "filmstrip", role: "group", "aria-label": "Images of the record" }, buttons) : null };
  };

  const findings = async (number) => {
    const found = [];
    for (const [place, rule] of report.summary.rules.entries()) {
      if (!rule.records || !(await report.numbers(`rules/${place}`)).includes(number)) continue;
      const { list } = report.summary;
      for (let chunk = Math.floor(rule.first / list); chunk <= Math.floor((rule.first + rule.findings - 1) / list); chunk++)
        found.push(...(await report.load(`findings/${chunk}`)).filter((each) => each.rule === rule.rule && each.number === number));
    }
    return found;
  };

  const facts = (record, number, split) => {
    const { address } = report.summary;
    const rows = [["Split", report.make("a", { href: report.address("records", [], { split }) }, report.text(split))]];
    if (record.label !== null) rows.push(["Label", report.make("a", { href: report.address("records", [], { label: record.label }) }, report.text(record.label))]);
    rows.push(["Place", `${report.number(report.locate(number).within + 1)} of ${report.number(report.summary.splits[report.locate(number).place].records)} in ${address}`]);
    const accepted = record.answers.flat();
    if (accepted.length) rows.push(["Accepted answers", report.value(accepted)]);
    return report.make("dl", { class: "facts" }, rows.map(([name, value]) => report.make("div", {}, report.make("dt", {}, name), report.make("dd", {}, value))));
  };

  report.views.record = async ({ parts, parameters }) => {
    const number = await numberOf(parts, parameters);
    if (number === null) return report.make("p", { class: "empty" }, "No record has the id ", report.text(parts[0] ?? "", { class: "mono" }), ". ", report.make("a", { href: "#/records" }, "Show all"));
    const record = await report.record(number);
    const { split } = report.locate(number);
    const list = report.list ?? { numbers: null, address: "#/records" };
    const at = list.numbers ? list.numbers.indexOf(number) : number;
    const length = list.numbers ? list.numbers.length : report.total();
    const go = async (step) => {
      const next = at + step;
      if (at < 0 || next < 0 || next >= length) return;
      const there = list.numbers ? list.numbers[next] : next;
      location.hash = report.address("record", [(await report.record(there)).id], { n: there });
    };
    let which = 0;
    const stage = report.make("div", { class: "stage-box" });
    const film = filmstrip(record.images, (place) => choose(place));
    const choose = (place) => {
      if (!record.images.length) return;
      which = (place + record.images.length) % record.images.length;
      film.buttons.forEach((button, each) => button.setAttribute("aria-pressed", String(each === which)));
      const image = record.images[which];
      stage.replaceChildren(report.make("p", { class: "image-name" }, report.text(image[0], { class: "mono" })), report.viewer(image));
    };
    choose(0);
    const step = (label, text, by) => report.make("button", { type: "button", class: "tool", "aria-label": label, disabled: at < 0 || at + by < 0 || at + by >= length, on: { click: () => go(by) } }, text);
    const broken = await findings(number);
    const content = [
      report.make("div", { class: "record-head" },
        report.make("div", {}, report.make("a", { class: "back", href: list.address }, "← Records"), report.make("h1", { class: "mono" }, report.text(record.id))),
        report.make("div", { class: "record-step" }, at >= 0 ? report.make("span", { class: "soft" }, `${report.number(at + 1)} of ${report.number(length)}`) : null, step("Previous record", "←", -1), step("Next record", "→", 1))),
      record.failure ? report.make("p", { class: "banner error", role: "note" }, report.text(record.failure)) : null,
      ...broken.map((each) => report.make("p", { class: `banner ${each.severity}`, role: "note" }, report.make("strong", {}, each.rule), " ", report.text(each.message))),
      report.make("div", { class: "record" },
        report.make("section", { class: "record-images", "aria-label": "Images" }, film.box, record.images.length ? stage : report.make("p", { class: "empty" }, "This record shows no image.")),
        report.make("section", { class: "record-text", "aria-label": "Prompt and facts" },
          report.make("div", { class: "section-head" }, report.make("h2", {}, "Prompt"), report.make("p", { class: "legend" }, report.make("span", { class: "swatch masked" }, "masked"), report.make("mark", { class: "supervised" }, "supervised"))),
          report.prompt(record, choose),
          report.tokenCounts(record),
          report.make("h2", {}, "Facts"),
          facts(record, number, split),
          record.meta === null ? null : [report.make("h2", {}, "Meta"), report.value(record.meta)])),
    ].filter((each) => each !== null);
    content.whenShown = () => {
      report.onKey = (key) => {
        const does = { j: () => go(1), ArrowRight: () => go(1), k: () => go(-1), ArrowLeft: () => go(-1), "[": () => choose(which - 1), "]": () => choose(which + 1), "+": () => report.zoom(1.5), "=": () => report.zoom(1.5), "-": () => report.zoom(1 / 1.5), 0: () => report.zoom(0), c: () => document.getElementById("crops")?.click(), Escape: () => (location.hash = list.address) }[key];
        if (does) does();
        return Boolean(does);
      };
    };
    return content;
  };
  report.views.record.tab = "records";
})();
