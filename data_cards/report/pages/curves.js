// Every number that runs logged, by step.
"use strict";

(() => {
  const names = {
    loss: "Loss",
    learning_rate: "Learning rate",
    grad_norm: "Gradient norm before clipping",
    images_per_second: "Images a second",
    tokens_per_second: "Tokens a second",
    tflops_per_second: "TFLOP/s a process",
    utilisation: "Share of the device's peak (MFU)",
    data_wait: "Share of time waiting for data",
    memory_gb: "Memory, GB",
  };

  report.curve = (metric) => {
    const series = report.summary.runs.map((run, place) => ({ name: run.name, place, points: run.rows[metric] ?? [] })).filter((each) => each.points.length);
    return report.lines(names[metric] ?? metric, series, "step");
  };

  report.views.curves = async () => {
    const logged = new Set(report.summary.runs.flatMap((run) => Object.keys(run.rows)));
    const ordered = [...Object.keys(names).filter((name) => logged.has(name)), ...[...logged].filter((name) => !(name in names))];
    const charts = ordered.map(report.curve).filter(Boolean);
    return [report.heading("Curves"), charts.length ? report.make("div", { class: "cards" }, charts) : report.make("p", { class: "empty" }, "Nothing was logged.")];
  };
})();
