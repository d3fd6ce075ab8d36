// Which records are shown, and in which order: filters, search, sorting and groups.
"use strict";

(() => {
  const range = (first, count) => Array.from({ length: count }, (_, at) => first + at);

  const ofSplit = (split) => {
    if (!split) return range(0, report.total());
    const found = report.summary.splits.find((each) => each.name === split);
    return found ? range(report.firstOf(split), found.records) : [];
  };

  const ofRule = async (rule) => {
    const place = report.summary.rules.findIndex((each) => each.rule === rule);
    return new Set(place < 0 ? [] : await report.numbers(`rules/${place}`));
  };

  const says = (record, wanted) => {
    const shown = record.spans.filter(([kind]) => kind !== "image").map(([, at]) => record.chunk.texts[at]);
    const parts = [record.id, record.label ?? "", ...shown, ...record.images.map(([path]) => path), ...record.answers.flat()];
    return parts.some((part) => String(part).toLowerCase().includes(wanted));
  };

  // Read chunk after chunk for a text; chunks read on the way are not kept.
  const search = async (numbers, query, isCurrent) => {
    const wanted = query.toLowerCase();
    const found = [];
    let [name, chunk] = ["", null];
    for (let at = 0; at < numbers.length; at++) {
      const next = report.chunkName(numbers[at]);
      if (next !== name) {
        if (name) report.forget(name);
        [name, chunk] = [next, await report.load(next)];
        if (!isCurrent()) return found;
        report.announce(`${report.number(at)} of ${report.number(numbers.length)} searched`);
      }
      const { within } = report.locate(numbers[at]);
      if (says({ chunk, ...chunk.records[within % report.summary.chunk] }, wanted)) found.push(numbers[at]);
    }
    return found;
  };

  // Return {groups, total, numbers} for the parameters of an address.
  report.select = async (parameters, isCurrent) => {
    const { split = "", label = "", rule = "", q = "", sort = "", order = "", group = "" } = parameters;
    let numbers = ofSplit(split);
    if (label) {
      const codes = await report.numbers("columns/label");
      const code = report.summary.labels.indexOf(label) + 1;
      numbers = code ? numbers.filter((number) => codes[number] === code) : [];
    }
    if (rule) {
      const broken = await ofRule(rule);
      numbers = numbers.filter((number) => broken.has(number));
    }
    if (q) numbers = await search(numbers, q, isCurrent);
    let column = null;
    if (sort) {
      column = await report.numbers(`columns/${sort}`);
      const sign = order === "asc" ? 1 : -1;
      numbers = [...numbers].sort((a, b) => sign * (column[a] - column[b]) || a - b);
    }
    const groups = await grouped(numbers, group);
    return { groups, total: numbers.length, numbers: groups.flatMap((each) => each.numbers), column };
  };

  const grouped = async (numbers, group) => {
    if (!group || !numbers.length) return [{ title: null, note: "", numbers }];
    const codes = group === "label" ? await report.numbers("columns/label") : null;
    const boxes = new Map();
    for (const number of numbers) {
      const { place } = report.locate(number);
      const key = codes ? place * 100000 + codes[number] : place;
      if (!boxes.has(key)) boxes.set(key, []);
      boxes.get(key).push(number);
    }
    return [...boxes.entries()].sort(([a], [b]) => a - b).map(([key, inside]) => {
      const { split } = report.locate(inside[0]);
      const code = key % 100000;
      const label = codes ? (code ? (report.summary.labels[code - 1] ?? "other labels") : "no label") : null;
      return { title: label === null ? split : [split, report.make("span", { class: "arrow", "aria-hidden": "true" }, "/"), report.text(label)], note: report.counted(inside.length, "record"), numbers: inside };
    });
  };

  const choice = (name, label, options, value, change) => {
    const select = report.make("select", { id: `by-${name}`, on: { change: () => change(name, select.value) } }, options.map(([of, text]) => report.make("option", { value: of, selected: of === value }, text)));
    return report.make("div", { class: "choice" }, report.make("label", { for: `by-${name}` }, label), select);
  };

  // The row of choices over a contact sheet.
  report.choices = (parameters, change) => {
    const { splits, labels, rules } = report.summary;
    const shorter = (text) => (text.length > 40 ? `${text.slice(0, 39)}…` : text);
    const sorts = [["", "dataset order"], ["tokens", "tokens"], ["pixels", "image size"], ["images", "number of images"], ["turns", "number of turns"]];
    const made = [choice("split", "Split", [["", "all"], ...splits.filter((each) => each.records).map((each) => [each.name, `${each.name} (${report.number(each.records)})`])], parameters.split ?? "", change)];
    if (labels.length) made.push(choice("label", "Label", [["", "all"], ...labels.map((label) => [label, shorter(label)])], parameters.label ?? "", change));
    if (rules.some((rule) => rule.records)) made.push(choice("rule", "Finding", [["", "any or none"], ...rules.filter((rule) => rule.records).map((rule) => [rule.rule, `${rule.rule} ${rule.name} (${report.number(rule.records)})`])], parameters.rule ?? "", change));
    made.push(choice("sort", "Sort", sorts, parameters.sort ?? "", change));
    if (parameters.sort) made.push(choice("order", "Order", [["", "largest first"], ["asc", "smallest first"]], parameters.order ?? "", change));
    made.push(choice("group", "Group", [["", "none"], ["split", "by split"], ...(labels.length ? [["label", "by split and label"]] : [])], parameters.group ?? "", change));
    return report.make("form", { class: "choices", "aria-label": "Which records", on: { submit: (event) => event.preventDefault() } }, made);
  };
})();
