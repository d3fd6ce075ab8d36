// The prompt of a record: masked and supervised text told apart, and where its images stand.
"use strict";

(() => {
  const control = /(<\|(?:user|assistant|system|end|endoftext)\|>)/;

  const pieces = (text) =>
    text.split(control).filter(Boolean).map((piece) => (control.test(piece) ? report.make("span", { class: "control" }, piece) : report.text(piece)));

  report.prompt = (record, chooseImage) => {
    const box = report.make("div", { class: "prompt", tabindex: "0", role: "region", "aria-label": "The prompt" });
    for (const [kind, at] of record.spans) {
      if (kind === "image") {
        const tokens = record.images[at] ? record.images[at][4] : 0;
        box.append(
          report.make("button", { type: "button", class: "image-chip", title: `Show image ${at + 1}`, on: { click: () => chooseImage(at) } }, `image ${at + 1}`, report.make("span", {}, report.counted(tokens, "token"))),
        );
      } else if (kind === "start") box.append(report.make("span", { class: "control faint" }, "<s>"));
      else if (kind === "supervised") box.append(report.make("mark", { class: "supervised" }, pieces(record.chunk.texts[at])));
      else if (kind === "unreadable") box.append(report.make("p", { class: "unreadable" }, report.text(record.chunk.texts[at])));
      else box.append(report.make("span", { class: "masked" }, pieces(record.chunk.texts[at])));
    }
    if (!record.spans.length) box.append(report.make("p", { class: "unreadable" }, report.text(record.failure)));
    return box;
  };

  report.tokenCounts = (record) => {
    const images = record.images.reduce((sum, image) => sum + image[4], 0);
    const counts = [];
    if (record.text_tokens === null) counts.push([images, "image tokens", ""], ["–", "text tokens: not counted", "write the report with --model to count them"]);
    else counts.push([record.tokens, "tokens", ""], [images, "of images", ""], [record.text_tokens, "of text", ""], [record.supervised, "supervised", ""]);
    return report.make("dl", { class: "counts" }, counts.map(([value, name, title]) => report.make("div", { title: title || null }, report.make("dt", {}, name), report.make("dd", {}, typeof value === "number" ? report.number(value) : value))));
  };
})();
