// An image beside what the model sees of it: both on the model's canvas, so that they lie exactly alike.
"use strict";

(() => {
  const mostZoom = 12;

  // Crop borders over a canvas of rows x columns, the padding around the content shaded.
  const overlay = (rows, columns, side, content) => {
    const [width, height] = [columns * side, rows * side];
    const parts = [];
    // Readable where the panes are narrow, and no larger than need be where they have the whole width.
    const size = columns > rows * 2 ? width * 0.022 : width * 0.036;
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        parts.push(report.draw("rect", { x: column * side, y: row * side, width: side, height: side, class: "crop" }));
        if (rows * columns > 1)
          parts.push(report.draw("text", { x: column * side + size * 0.6, y: row * side + size * 1.3, "font-size": size }, String(row * columns + column + 1)));
      }
    if (content.height < height || content.width < width) {
      const edge = `M0 0H${width}V${height}H0Z M${content.left} ${content.top}V${content.top + content.height}H${content.left + content.width}V${content.top}Z`;
      parts.unshift(report.draw("path", { d: edge, class: "padding", "fill-rule": "evenodd" }));
    }
    return report.draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "crops", "aria-hidden": "true" }, parts);
  };

  // What a browser makes of the image at the model's size: near the model's own pixels, not equal to them.
  const approximation = (address, width, height) => {
    const canvas = report.make("canvas", { width, height });
    const image = new Image();
    image.addEventListener("load", () => {
      const context = canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(image, 0, 0, width, height);
    });
    image.src = address;
    return canvas;
  };

  const pane = (name, note, layer, marks) => {
    const stage = report.make("div", { class: "stage" }, report.make("div", { class: "layer" }, layer, marks));
    return { figure: report.make("figure", { class: "pane" }, report.make("figcaption", {}, report.make("span", { class: "pane-name" }, name), report.make("span", { class: "soft" }, note)), stage), stage };
  };

  const missing = (address, image) => {
    image.addEventListener("error", () => {
      const copied = address.startsWith("data/");
      const hint = copied ? "" : " The report refers to the dataset's own images: keep both where they are, or write it with --images copy.";
      image.replaceWith(report.make("p", { class: "pane-missing" }, `The image cannot be shown.${hint}`));
    });
    return image;
  };

  report.viewer = (image) => {
    const [path, width, height, grid, tokens, failure, , model] = image;
    if (!grid) return report.make("p", { class: "empty" }, "The image ", report.text(path, { class: "mono" }), ` ${failure}.`);
    const side = report.summary.crop_size;
    const [rows, columns, contentWidth, contentHeight] = grid;
    const canvas = [columns * side, rows * side];
    const content = { left: Math.floor((canvas[0] - contentWidth) / 2), top: Math.floor((canvas[1] - contentHeight) / 2), width: contentWidth, height: contentHeight };
    const place = {
      left: `${(100 * content.left) / canvas[0]}%`,
      top: `${(100 * content.top) / canvas[1]}%`,
      width: `${(100 * contentWidth) / canvas[0]}%`,
      height: `${(100 * contentHeight) / canvas[1]}%`,
    };
    const address = report.imageAddress(image);
    const original = missing(address, report.make("img", { src: address, alt: `The image ${path}`, style: place, draggable: "false" }));
    const seen = model
      ? report.make("img", { src: `${model}.canvas.webp`, alt: "The model's own pixels", class: "whole", draggable: "false" })
      : approximation(address, contentWidth, contentHeight);
    if (!model) Object.assign(seen.style, place);
    const scale = contentWidth / width;
    const how = Math.abs(scale - 1) < 0.005 ? "same size" : scale < 1 ? `scaled down to ${(100 * scale).toFixed(0)} %` : `scaled up to ${(100 * scale).toFixed(0)} %`;
    const exact = model ? "its own pixels" : "nearly its pixels, scaled by this browser";
    const first = pane("Original", `${report.number(width)} × ${report.number(height)}`, original, overlay(rows, columns, side, content));
    const second = pane("As the model sees it", `${report.number(contentWidth)} × ${report.number(contentHeight)}, ${how}; ${exact}`, seen, overlay(rows, columns, side, content));
    for (const each of [first, second]) each.stage.style.aspectRatio = `${canvas[0]} / ${canvas[1]}`;
    const whole = model
      ? report.make("img", { src: `${model}.global.webp`, alt: "The global crop", width: side, height: side })
      : approximation(address, side, side);
    const zoom = zooming([first.stage, second.stage]);
    const panes = report.make("div", { class: `panes${columns > rows * 2 ? " stacked" : ""}` }, first.figure, second.figure);
    const count = rows * columns;
    return report.make(
      "div",
      { class: "viewer" },
      panes,
      report.make(
        "div",
        { class: "viewer-foot" },
        report.make("figure", { class: "global" }, whole, report.make("figcaption", {}, report.make("strong", {}, "Global crop"), report.make("span", { class: "soft" }, `the whole, at ${side} × ${side}`))),
        report.make(
          "div",
          { class: "viewer-facts" },
          report.make("p", {}, report.make("strong", {}, `${rows} × ${columns}`), ` ${count === 1 ? "crop" : "crops"} and the global crop: `, report.make("strong", {}, report.counted(tokens, "token"))),
          report.make("p", { class: "soft" }, `At most ${report.summary.num_crops} crops an image. Crops are numbered as they follow one another in the prompt; what is shaded is padding.`),
        ),
        report.make("div", { class: "viewer-tools", role: "group", "aria-label": "Zoom and crops" }, zoom.buttons, cropsButton(panes)),
      ),
    );
  };

  const cropsButton = (panes) => {
    const button = report.make("button", { type: "button", class: "tool", "aria-pressed": "true", id: "crops" }, "Crops");
    button.addEventListener("click", () => {
      const hidden = panes.classList.toggle("bare");
      button.setAttribute("aria-pressed", String(!hidden));
    });
    return button;
  };

  // One zoom for both panes; what is under the pointer stays under it.
  const zooming = (stages) => {
    let [zoom, x, y] = [1, 0.5, 0.5];
    const apply = () => {
      const half = 0.5 / zoom;
      x = Math.min(1 - half, Math.max(half, x));
      y = Math.min(1 - half, Math.max(half, y));
      for (const stage of stages) {
        stage.firstChild.style.transform = `scale(${zoom}) translate(${(0.5 - x) * 100}%, ${(0.5 - y) * 100}%)`;
        stage.classList.toggle("near", zoom > 1);
      }
      reset.textContent = `${Math.round(zoom * 100)} %`;
    };
    const to = (next, atX = x, atY = y) => {
      const before = zoom;
      zoom = Math.min(mostZoom, Math.max(1, next));
      x = atX + ((x - atX) * before) / zoom;
      y = atY + ((y - atY) * before) / zoom;
      apply();
    };
    const button = (label, text, act) => report.make("button", { type: "button", class: "tool", "aria-label": label, on: { click: act } }, text);
    const reset = button("Whole image", "100 %", () => to(1));
    for (const stage of stages) {
      const where = (event) => {
        const box = stage.getBoundingClientRect();
        return [x + ((event.clientX - box.left) / box.width - 0.5) / zoom, y + ((event.clientY - box.top) / box.height - 0.5) / zoom];
      };
      stage.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey && zoom === 1) return;
        event.preventDefault();
        to(zoom * (event.deltaY < 0 ? 1.25 : 0.8), ...where(event));
      }, { passive: false });
      stage.addEventListener("dblclick", (event) => to(zoom > 1 ? 1 : 4, ...where(event)));
      stage.addEventListener("pointermove", (event) => {
        if (zoom === 1 || !(event.buttons & 1)) return;
        const box = stage.getBoundingClientRect();
        x -= event.movementX / box.width / zoom;
        y -= event.movementY / box.height / zoom;
        apply();
      });
    }
    report.zoom = (factor) => (factor ? to(zoom * factor) : to(1));
    apply();
    return { buttons: [button("Zoom out", "−", () => to(zoom / 1.5)), reset, button("Zoom in", "+", () => to(zoom * 1.5))] };
  };
})();
