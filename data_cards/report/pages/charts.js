// Charts, drawn as SVG: shares of each split side by side, over one axis.
"use strict";

(() => {
  report.colour = (place) => `series-${place % 6}`;

  const short = (value) => {
    if (Math.abs(value) >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
    if (Math.abs(value) >= 1e4) return `${+(value / 1e3).toPrecision(3)}k`;
    if (value !== 0 && Math.abs(value) < 0.01) return (+value.toPrecision(3)).toExponential();
    return Math.abs(value) < 1 && value !== 0 ? String(+value.toPrecision(3)) : report.number(+value.toPrecision(4));
  };
  report.short = short;

  const named = (distribution, bin) => {
    if (!distribution.edges.length) return report.number(distribution.values[bin]);
    const [from, to] = [distribution.edges[bin], distribution.edges[bin + 1] - 1];
    return from === to ? report.number(from) : `${report.number(from)} to ${report.number(to)}`;
  };

  // One row of bars a split; bars are shares of the split's records, so that splits of any size compare.
  report.histogram = (distribution) => {
    const splits = Object.keys(distribution.counts);
    const bins = distribution.edges.length ? distribution.edges.length - 1 : distribution.values.length;
    const shares = splits.map((split) => {
      const counts = distribution.counts[split];
      const whole = counts.reduce((sum, count) => sum + count, 0);
      return counts.map((count) => (whole ? count / whole : 0));
    });
    const tallest = Math.max(...shares.flat(), 1e-9);
    const width = 480;
    const height = 52;
    const step = width / bins;
    const bar = Math.min(step, 64);
    const rows = splits.map((split, place) => {
      const bars = shares[place].map((share, bin) => {
        if (!share) return null;
        const tall = Math.max(1.5, (share / tallest) * (height - 4));
        const x = bin * step + (step - bar) / 2;
        const rect = report.draw("rect", { x: x + 0.5, y: height - tall, width: Math.max(1, bar - 1), height: tall, rx: 1 });
        rect.append(report.draw("title", {}, `${split}: ${named(distribution, bin)} – ${report.counted(distribution.counts[split][bin], "record")} (${(100 * share).toFixed(1)} %)`));
        return rect;
      });
      const chart = report.draw(
        "svg",
        { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: `bars ${report.colour(place)}`, role: "img", "aria-label": `${distribution.name}, split ${split}` },
        report.draw("line", { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5, class: "axis" }),
        bars.filter(Boolean),
      );
      const median = distribution.median[split];
      return report.make(
        "div",
        { class: "histogram-row" },
        report.make("span", { class: "histogram-split" }, report.text(split)),
        chart,
        report.make("span", { class: "histogram-median", title: "median" }, median === null ? "–" : short(median)),
      );
    });
    const ticks = distribution.edges.length
      ? [0, 0.5, 1].map((share) => short(distribution.edges[Math.round(share * bins)]))
      : distribution.values.length <= 8
        ? distribution.values.map(short)
        : [distribution.values[0], distribution.values[Math.floor(bins / 2)], distribution.values[bins - 1]].map(short);
    const centred = !distribution.edges.length && distribution.values.length <= 8;
    return report.make(
      "figure",
      { class: "card histogram" },
      report.make("figcaption", {}, report.make("h3", {}, distribution.name), report.make("span", { class: "soft" }, "median")),
      rows,
      report.make("div", { class: `ticks${centred ? " centred" : ""}`, "aria-hidden": "true" }, ticks.map((tick) => report.make("span", {}, tick))),
      report.table(distribution, splits, bins),
    );
  };

  // The same numbers, for who cannot see the bars or wants them exact.
  report.table = (distribution, splits, bins) => {
    const rows = [];
    for (let bin = 0; bin < bins; bin++)
      rows.push(report.make("tr", {}, report.make("th", { scope: "row" }, named(distribution, bin)), splits.map((split) => report.make("td", {}, report.number(distribution.counts[split][bin])))));
    return report.make(
      "details",
      { class: "numbers" },
      report.make("summary", {}, "Numbers"),
      report.make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Numbers of ${distribution.name}` },
        report.make("table", {}, report.make("thead", {}, report.make("tr", {}, report.make("th", { scope: "col" }, distribution.unit), splits.map((split) => report.make("th", { scope: "col" }, report.text(split))))), report.make("tbody", {}, rows))),
    );
  };

  // Curves over steps: `series` are {name, points: [[x, y], ...]}.
  report.lines = (title, series, labelX) => {
    const points = series.flatMap((each) => each.points).filter(([, y]) => Number.isFinite(y));
    if (!points.length) return null;
    const width = 640;
    const height = 240;
    const [left, right, above, below] = [64, 12, 12, 34];
    const [x0, x1] = [Math.min(...points.map(([x]) => x)), Math.max(...points.map(([x]) => x))];
    let [y0, y1] = [Math.min(...points.map(([, y]) => y)), Math.max(...points.map(([, y]) => y))];
    if (y0 === y1) [y0, y1] = [y0 - Math.abs(y0 || 1) / 2, y1 + Math.abs(y1 || 1) / 2];
    // From one round number to another: four or five steps of 1, 2 or 5 times a power of ten.
    const rough = (y1 - y0) / 4;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
    [y0, y1] = [Math.floor(y0 / step) * step, Math.ceil(y1 / step) * step];
    const atX = (x) => left + (x1 > x0 ? (x - x0) / (x1 - x0) : 0.5) * (width - left - right);
    const atY = (y) => above + (1 - (y - y0) / (y1 - y0)) * (height - above - below);
    const lines = [];
    for (let tick = 0; tick <= Math.round((y1 - y0) / step); tick++) {
      const y = y0 + step * tick;
      lines.push(report.draw("line", { x1: left, x2: width - right, y1: atY(y), y2: atY(y), class: "rule" }));
      lines.push(report.draw("text", { x: left - 8, y: atY(y) + 4, "text-anchor": "end" }, short(y)));
    }
    // Steps are whole numbers: of few, each has one tick.
    const ticks = [...new Set([0, 1, 2, 3, 4].map((tick) => Math.round(x0 + ((x1 - x0) * tick) / 4)))];
    for (const x of ticks) lines.push(report.draw("text", { x: atX(x), y: height - 8, "text-anchor": x === x1 && x1 > x0 ? "end" : x === x0 && x1 > x0 ? "start" : "middle" }, report.number(x)));
    const paths = series.map((each, place) => {
      const drawn = each.points.filter(([, y]) => Number.isFinite(y));
      const path = drawn.map(([x, y], at) => `${at ? "L" : "M"}${atX(x).toFixed(1)} ${atY(y).toFixed(1)}`).join("");
      const dots = drawn.length <= 60 ? drawn.map(([x, y]) => report.draw("circle", { cx: atX(x), cy: atY(y), r: 2.5 }, report.draw("title", {}, `${each.name}: ${labelX} ${report.number(x)}, ${+y.toPrecision(5)}`))) : [];
      return report.draw("g", { class: `line ${report.colour(each.place ?? place)}` }, report.draw("path", { d: path }), dots);
    });
    return report.make(
      "figure",
      { class: "card curve" },
      report.make("figcaption", {}, report.make("h3", {}, title), report.make("span", { class: "soft" }, `by ${labelX}`)),
      report.draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title} by ${labelX}` }, lines, paths),
      report.make("p", { class: "legend" }, series.map((each, place) => {
        const last = each.points[each.points.length - 1];
        return report.make("span", { class: `key ${report.colour(each.place ?? place)}` }, report.text(each.name), last ? report.make("span", { class: "soft" }, `last ${short(last[1])}`) : null);
      })),
    );
  };
})();
