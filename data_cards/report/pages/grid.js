// A contact sheet of any length: groups of records, of which only the rows in sight are in the page.
"use strict";

(() => {
  const headHeight = 52;
  const gap = 12;
  const captionHeight = 42;

  const layOut = (groups, width) => {
    const least = width < 560 ? 140 : 164;
    const columns = Math.max(2, Math.floor((width + gap) / (least + gap)));
    const cellWidth = (width - gap * (columns - 1)) / columns;
    const rowHeight = (cellWidth * 3) / 4 + captionHeight + gap;
    let top = 0;
    const placed = groups.map((group) => {
      const head = group.title === null ? 0 : headHeight;
      const rows = Math.ceil(group.numbers.length / columns);
      const here = { group, top, head, rows };
      top += head + rows * rowHeight;
      return here;
    });
    return { columns, cellWidth, rowHeight, placed, height: top };
  };

  // `cell(number)` makes what stands for a record; `groups` are {title, note, numbers}.
  report.grid = (groups, cell) => {
    const box = report.make("div", { class: "sheet" });
    let plan = null;
    let present = new Map();
    let asked = false;

    const draw = () => {
      asked = false;
      if (!box.isConnected) return stop();
      const width = box.clientWidth;
      if (!width) return undefined;
      if (!plan || plan.width !== width) {
        plan = { width, ...layOut(groups, width) };
        box.style.height = `${plan.height}px`;
        box.replaceChildren();
        present = new Map();
      }
      const offset = -box.getBoundingClientRect().top;
      const first = offset - plan.rowHeight;
      const last = offset + window.innerHeight + plan.rowHeight;
      const wanted = new Map();
      for (const placed of plan.placed) {
        const end = placed.top + placed.head + placed.rows * plan.rowHeight;
        if (end < first || placed.top > last) continue;
        if (placed.head) wanted.set(`head ${placed.top}`, () => heading(placed));
        const from = Math.max(0, Math.floor((first - placed.top - placed.head) / plan.rowHeight));
        const to = Math.min(placed.rows, Math.ceil((last - placed.top - placed.head) / plan.rowHeight));
        for (let at = from * plan.columns; at < Math.min(to * plan.columns, placed.group.numbers.length); at++)
          wanted.set(`${placed.top} ${at}`, () => tile(placed, at));
      }
      for (const [key, element] of present) {
        if (!wanted.has(key) && !element.contains(document.activeElement)) {
          element.remove();
          present.delete(key);
        }
      }
      for (const [key, make] of wanted) {
        if (present.has(key)) continue;
        const element = make();
        present.set(key, element);
        box.append(element);
      }
      return undefined;
    };

    const heading = (placed) =>
      report.make(
        "div",
        { class: "sheet-head", style: { top: `${placed.top}px` } },
        report.make("h2", {}, placed.group.title),
        report.make("span", { class: "soft" }, placed.group.note),
      );

    const tile = (placed, at) => {
      const element = cell(placed.group.numbers[at]);
      Object.assign(element.style, {
        left: `${(at % plan.columns) * (plan.cellWidth + gap)}px`,
        top: `${placed.top + placed.head + Math.floor(at / plan.columns) * plan.rowHeight}px`,
        width: `${plan.cellWidth}px`,
        height: `${plan.rowHeight - gap}px`,
      });
      return element;
    };

    const ask = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(draw);
    };
    const stop = () => {
      window.removeEventListener("scroll", ask);
      window.removeEventListener("resize", ask);
    };
    window.addEventListener("scroll", ask, { passive: true });
    window.addEventListener("resize", ask);
    box.start = draw;
    return box;
  };

  // A record in a contact sheet: its thumbnail, then its label or id once that is known; `value` is what it is sorted by.
  report.tile = (number, value = null) => {
    const thumb = report.make("span", { class: "thumb", "aria-hidden": "true" });
    report.showThumbnail(thumb, number);
    const name = report.make("span", { class: "tile-name" }, "…");
    const note = report.make("span", { class: "tile-note" });
    const link = report.make("a", { class: "tile", href: report.address("record", [], { n: number }) }, thumb, name, note);
    report.record(number).then((record) => {
      link.href = report.address("record", [record.id], { n: number });
      name.replaceChildren(report.text(record.label ?? record.id));
      note.replaceChildren(report.text(value ?? (record.label === null ? report.locate(number).split : record.id)));
      if (record.images.length > 1) thumb.append(report.make("span", { class: "badge" }, `${record.images.length} images`));
      if (!record.images.length) thumb.append(report.make("span", { class: "thumb-note" }, "no image"));
      if (record.failure) {
        thumb.append(report.make("span", { class: "badge error" }, "broken"));
        link.title = record.failure;
      }
    }, () => name.replaceChildren("missing"));
    return link;
  };
})();
