// One question: its images, and everybody's answer.
"use strict";

(() => {
  report.views.prediction = async ({ parts, parameters }) => {
    const { questions, columns } = report.summary;
    const given = Number(parts[0]);
    let number = Number.isInteger(given) && given >= 0 && given < questions ? given : -1;
    if (parts[1] !== undefined && (number < 0 || (await report.prediction(number))[0][1] !== parts[1])) {
      number = -1;
      for await (const other of report.matching({})) {
        if ((await report.prediction(other))[0][1] !== parts[1]) continue;
        number = other;
        break;
      }
    }
    if (number < 0) return report.make("p", { class: "empty" }, "There is no such question. ", report.make("a", { href: "#/predictions" }, "Show all"));
    const [[split, id, turn, expected, answers], [text, accepted, images]] = await report.prediction(number);
    const back = report.address("predictions", [], parameters);
    const go = async (step) => {
      let before = null;
      let passed = false;
      for await (const other of report.matching(parameters)) {
        if (passed) return (location.hash = report.address("prediction", [String(other), (await report.prediction(other))[0][1]], parameters));
        if (other === number) {
          if (step < 0) break;
          passed = true;
        } else before = other;
      }
      if (step < 0 && before !== null) location.hash = report.address("prediction", [String(before), (await report.prediction(before))[0][1]], parameters);
      return undefined;
    };
    const shown = images.map(([path, address]) => {
      const escaped = address.startsWith("data/") ? address : address.split("/").map(encodeURIComponent).join("/");
      const image = report.make("img", { src: escaped, alt: `The image ${path}`, loading: "lazy" });
      image.addEventListener("error", () => image.replaceWith(report.make("p", { class: "soft" }, "The image ", report.text(path, { class: "mono" }), " cannot be shown.")));
      return address ? image : null;
    });
    const step = (label, arrow, by) => report.make("button", { type: "button", class: "tool", "aria-label": label, on: { click: () => go(by) } }, arrow);
    const content = [
      report.make("div", { class: "record-head" },
        report.make("div", {}, report.make("a", { class: "back", href: back }, "← Predictions"), report.make("h1", { class: "mono" }, report.text(id))),
        report.make("div", { class: "record-step" }, step("Previous", "←", -1), step("Next", "→", 1))),
      report.make("div", { class: "record" },
        report.make("section", { class: `shown${images.length > 2 ? " many" : ""}`, "aria-label": "Images" }, shown.some(Boolean) ? shown : report.questionThumb(number)),
        report.make("section", { class: "record-text", "aria-label": "Question and answers" },
          report.make("h2", {}, "Question"),
          report.make("p", { class: "prompt", tabindex: "0", role: "region", "aria-label": "The question" }, report.text(text || "(not at hand)")),
          report.make("h2", {}, "Answers"),
          report.make("dl", { class: "answers large" },
            report.make("div", { class: "answer" }, report.make("dt", {}, "expected"), report.make("dd", {}, report.make("span", { class: "mark" }), expected ? report.text(expected) : report.make("span", { class: "soft" }, "no answer"))),
            accepted.length ? report.make("div", { class: "answer" }, report.make("dt", {}, "accepted"), report.make("dd", {}, report.make("span", { class: "mark" }), report.value(accepted))) : null,
            answers.map((answer, place) => report.answerLine(answer, report.columnName(columns[place])))),
          report.make("p", { class: "note" }, `Split ${split}`, turn ? `, turn ${turn + 1}` : "", `, question ${report.number(number + 1)} of ${report.number(questions)}`))),
    ];
    content.whenShown = () => {
      report.onKey = (key) => {
        const does = { j: () => go(1), ArrowRight: () => go(1), k: () => go(-1), ArrowLeft: () => go(-1), Escape: () => (location.hash = back) }[key];
        if (does) does();
        return Boolean(does);
      };
    };
    return content;
  };
  report.views.prediction.tab = "predictions";
})();
