// What runs answer, wrong answers first.
"use strict";

(() => {
  const page = 40;

  report.normal = (text) => text.trim().replace(/^\.+|\.+$/g, "").trim().toLowerCase();

  report.columnName = (column) => {
    const several = report.summary.runs.length > 1;
    const when = column.name === "before" || column.name === "after" ? (several ? column.name : `${column.name} training`) : `on ${column.name}`;
    return several ? `${report.summary.runs[column.run].name}, ${when}` : when;
  };

  // The column whose scores are looked at unless another is named: the last of the first run's before later ones.
  report.mainColumn = () => {
    const { columns } = report.summary;
    const after = columns.findIndex((column) => column.name === "after");
    return after >= 0 ? after : columns.length - 1;
  };

  const isRight = (answer) => (answer === null ? null : answer[1]);

  const beside = (column, name) => report.summary.columns.findIndex((each) => each.run === report.summary.columns[column].run && each.name === name);

  const kinds = {
    all: ["all", () => true],
    wrong: ["wrong", ([, , , , answers], column) => isRight(answers[column]) === false],
    right: ["right", ([, , , , answers], column) => isRight(answers[column]) === true],
    learned: ["learned: wrong before, right after", ([, , , , answers], column) => isRight(answers[beside(column, "before")] ?? null) === false && isRight(answers[column]) === true],
    lost: ["lost: right before, wrong after", ([, , , , answers], column) => isRight(answers[beside(column, "before")] ?? null) === true && isRight(answers[column]) === false],
    disagree: ["runs disagree", ([, , , , answers]) => new Set(report.summary.columns.map((each, place) => (each.name === "before" ? null : isRight(answers[place]))).filter((each) => each !== null)).size > 1],
  };

  const matcher = (parameters) => {
    const column = Number(parameters.column ?? report.mainColumn());
    const [, fits] = kinds[parameters.show] ?? kinds.all;
    const labels = report.summary.confusion[column]?.labels.map(report.normal) ?? [];
    const wanted = (parameters.q ?? "").toLowerCase();
    return ([row, question]) => {
      const [, id, , expected, answers] = row;
      if (!fits(row, column)) return false;
      if (parameters.expected !== undefined && report.normal(expected) !== report.normal(parameters.expected)) return false;
      if (parameters.given !== undefined && (answers[column] === null || report.normal(answers[column][0]) !== report.normal(parameters.given))) return false;
      if (parameters.other !== undefined && (answers[column] === null || labels.includes(report.normal(answers[column][0])))) return false;
      if (!wanted) return true;
      return [id, expected, question[0], ...answers.map((answer) => (answer ? answer[0] : ""))].some((text) => text.toLowerCase().includes(wanted));
    };
  };

  // Numbers of the questions that fit, found chunk by chunk as far as they are asked for.
  report.matching = async function* (parameters) {
    const { questions, chunk } = report.summary;
    const fits = matcher(parameters);
    for (let first = 0; first < questions; first += chunk) {
      const rows = await report.load(`predictions/${first / chunk}`);
      for (const [at, row] of rows.entries()) if (fits(row)) yield first + at;
    }
  };

  report.prediction = async (number) => (await report.load(`predictions/${Math.floor(number / report.summary.chunk)}`))[number % report.summary.chunk];

  report.questionThumb = (number, properties = {}) => {
    const { sprite, questions } = report.summary;
    const thumb = report.make("span", { class: "thumb", "aria-hidden": "true", ...properties });
    const chunkFirst = Math.floor(number / sprite) * sprite;
    report.placeInSprite(thumb, `data/sprites/${Math.floor(number / sprite)}.webp`, number % sprite, Math.ceil(Math.min(sprite, questions - chunkFirst) / 8));
    return thumb;
  };

  report.answerLine = (answer, name) => {
    if (answer === null) return null;
    const [given, right] = answer;
    const mark = right === null ? "not scored" : right ? "right" : "wrong";
    return report.make(
      "div",
      { class: `answer ${right === null ? "" : right ? "good" : "bad"}` },
      name ? report.make("dt", {}, name) : null,
      report.make("dd", {}, report.make("span", { class: "mark", role: "img", "aria-label": mark }, right === null ? "·" : right ? "✓" : "✗"), given ? report.text(given) : report.make("span", { class: "soft" }, "nothing")),
    );
  };

  const line = async (number, parameters) => {
    const [[split, id, turn, expected, answers], question] = await report.prediction(number);
    const address = report.address("prediction", [String(number), id], parameters);
    return report.make(
      "li",
      { class: "predicted" },
      report.make("a", { href: address, tabindex: "-1", "aria-hidden": "true" }, report.questionThumb(number)),
      report.make("div", { class: "predicted-text" },
        report.make("p", { class: "predicted-question" }, report.text(question[0] || "(the question is not at hand)")),
        report.make("dl", { class: "answers" }, report.make("div", { class: "answer" }, report.make("dt", {}, "expected"), report.make("dd", {}, report.make("span", { class: "mark" }), expected ? report.text(expected) : report.make("span", { class: "soft" }, "no answer"))), answers.map((answer, place) => report.answerLine(answer, report.columnName(report.summary.columns[place])))),
        report.make("p", { class: "soft" }, report.make("a", { href: address, class: "mono" }, report.text(id)), ` · ${split}`, turn ? ` · turn ${turn + 1}` : "")),
    );
  };

  const select = (id, label, options, value, change) => {
    const element = report.make("select", { id: `by-${id}`, on: { change: () => change(id, element.value) } }, options.map(([of, text]) => report.make("option", { value: of, selected: of === value }, text)));
    return report.make("div", { class: "choice" }, report.make("label", { for: `by-${id}` }, label), element);
  };

  report.search = (query) => {
    location.hash = report.address("predictions", [], { q: query });
  };

  report.views.predictions = async ({ parameters, isCurrent }) => {
    const { columns, questions, data_missing: missing } = report.summary;
    document.getElementById("query").value = parameters.q ?? "";
    if (!questions) return [report.heading("Predictions"), report.make("p", { class: "empty" }, "No run was evaluated. Evaluate one with: phi3v-data evaluate --checkpoint RUN")];
    const change = (name, value) => (location.hash = report.address("predictions", [], { ...parameters, [name]: value }));
    const found = report.matching(parameters);
    const list = report.make("ol", { class: "predictions" });
    const more = report.make("button", { type: "button", class: "more" }, "Show more");
    const count = report.make("p", { class: "soft", id: "count" });
    let done = 0;
    const extend = async () => {
      for (let added = 0; added < page; added++) {
        const { value, done: ended } = await found.next();
        if (!isCurrent()) return;
        if (ended) {
          more.hidden = true;
          break;
        }
        list.append(await line(value, parameters));
        done += 1;
      }
      count.textContent = more.hidden ? report.number(done) : `first ${report.number(done)}`;
    };
    more.addEventListener("click", extend);
    await extend();
    const chips = ["expected", "given", "q", "other"].filter((name) => parameters[name] !== undefined).map((name) =>
      report.make("button", { type: "button", class: "clear", on: { click: () => change(name, undefined) } }, name === "other" ? "given: none of the labels" : [`${name === "q" ? "search" : name}: `, report.text(parameters[name])], " ✕"));
    return [
      report.heading("Predictions", count, chips),
      missing ? report.make("p", { class: "banner" }, "The dataset of these runs is not where run.json says: questions and images are missing.") : null,
      report.make("form", { class: "choices", "aria-label": "Which predictions" },
        select("show", "Show", Object.entries(kinds).filter(([kind]) => kind !== "disagree" || report.summary.runs.length > 1).map(([kind, [name]]) => [kind, name]), parameters.show ?? "all", change),
        select("column", "By the answers of", columns.map((column, place) => [String(place), report.columnName(column)]), String(parameters.column ?? report.mainColumn()), change)),
      done ? list : report.make("p", { class: "empty" }, "No prediction matches."),
      more,
    ].filter(Boolean);
  };
})();
