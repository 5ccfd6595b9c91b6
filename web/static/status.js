// The status page's only script: its times, which are UTC text without it, in the reader's zone.
(() => {
  "use strict";
  const spoken = document.documentElement.lang || "en";
  const lang = navigator.languages.find((one) => one.split("-")[0] === spoken) || spoken;
  const full = new Intl.DateTimeFormat(lang, { dateStyle: "short", timeStyle: "medium", hourCycle: "h23" });
  for (const node of document.querySelectorAll("time[data-t]")) {
    const at = new Date(Number(node.dataset.t) * 1000);
    node.textContent = full.format(at);
    node.title = at.toISOString();
  }
})();
