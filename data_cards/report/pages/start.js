// Load the summary, then show what the address names.
"use strict";

(async () => {
  report.startKeys();
  const main = document.getElementById("view");
  try {
    report.summary = await report.load("summary");
  } catch (error) {
    main.replaceChildren(report.make("p", { class: "empty", role: "alert" }, error.message));
    return;
  }
  if (report.search) document.getElementById("search").hidden = false;
  window.addEventListener("hashchange", () => {
    window.scrollTo(0, 0);
    report.show();
  });
  await report.show();
  document.documentElement.dataset.ready = "";
})();
