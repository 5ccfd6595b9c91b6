// A dashboard's life: asks for all its panels at once, again every refresh, and with longer pauses while it fails.
// <div class="board" data-live="address" data-refresh="seconds">; answer: {panels: {key: {chart} | {html}}, marks}.
(() => {
  "use strict";
  const board = () => document.querySelector(".board");
  const paper = document.querySelector(".paper") !== null;
  if (paper) document.documentElement.dataset.theme = "light";  // before anything is drawn
  const wanted = new Set(), drawn = new Set();
  let soon = null, timer = null, failures = 0, marks = [];

  // An answer that does not come is a failure too: a server that hangs refuses nothing.
  const PATIENCE_MS = 30000;
  const say = (value) => document.dispatchEvent(new CustomEvent("mamimon:state", { detail: value }));

  async function ask(keys) {
    const root = board();
    if (!root || !root.dataset.live || !keys.length) return;
    const stop = new AbortController(), patience = setTimeout(() => stop.abort(new Error(root.dataset.lost)), PATIENCE_MS);
    try {
      const address = new URL(root.dataset.live, location.href);
      address.searchParams.set("keys", keys.join(","));
      const answer = await fetch(address, { headers: { Accept: "application/json" }, signal: stop.signal });
      const data = await answer.json();
      if (!answer.ok) throw new Error(data.error || answer.statusText);
      failures = 0;
      say("live");
      marks = data.marks;
      for (const [key, panel] of Object.entries(data.panels)) give(root, key, panel);
    } catch (error) {
      failures += 1;
      say("lost");
      // Without a first answer there is nothing to look at, so the panels say why.
      for (const figure of root.querySelectorAll("figure.chart.loading")) figure.dispatchEvent(new CustomEvent("mamimon:data", { detail: { error: error.message || String(error) } }));
    } finally { clearTimeout(patience); }
  }
  function give(root, key, panel) {
    const box = root.querySelector(`section[data-key="${key}"]`);
    if (!box) return;
    if (panel.chart) {
      panel.chart.marks = [...(panel.chart.marks || []), ...marks];
      box.querySelector("figure.chart").dispatchEvent(new CustomEvent("mamimon:data", { detail: panel.chart }));
      return;
    }
    const body = box.querySelector(".body");
    // A panel that somebody works in is not taken away from under them.
    if (!body || (body !== document.activeElement && body.contains(document.activeElement))) return;
    const place = body.scrollTop;
    body.innerHTML = panel.html;
    body.scrollTop = place;
    delete body.dataset.pending;
    body.dispatchEvent(new CustomEvent("mamimon:rows", { bubbles: true }));
  }
  const visible = (node) => { if (paper) return true; const box = node.getBoundingClientRect(); return box.bottom > -200 && box.top < innerHeight + 200; };
  function due() {
    const found = [];
    for (const box of board()?.querySelectorAll("section[data-key]") || []) {
      const figure = box.querySelector("figure.chart");
      if (!visible(box)) continue;
      if (figure ? drawn.has(box.dataset.key) : box.querySelector(".body") && !box.classList.contains("kind-text")) found.push(box.dataset.key);
    }
    return found;
  }
  function next() {
    clearTimeout(timer);
    const every = Number(board()?.dataset.refresh || 0);
    if (every <= 0 || !board()?.dataset.live) return;
    // Doubled for each failure, five minutes at most.
    timer = setTimeout(async () => { if (!document.hidden) await ask(due()); next(); }, Math.min(300, every * 2 ** Math.min(6, failures)) * 1000);
  }
  function want(figure) {
    const key = figure.closest("section[data-key]")?.dataset.key;
    if (!key) return;
    wanted.add(key);
    drawn.add(key);
    if (soon === null) soon = setTimeout(() => { soon = null; const keys = [...wanted]; wanted.clear(); ask(keys); }, 10);
  }
  document.addEventListener("mamimon:want", (event) => want(event.target));
  // Charts that were seen before this script came.
  document.querySelectorAll(".board figure.chart.loading[data-key]").forEach(want);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !paper) { ask(due()); next(); } });

  document.addEventListener("click", (event) => {
    const full = event.target.closest("[data-full]"), png = event.target.closest("[data-png]");
    if (full) { full.closest("section").classList.toggle("full"); full.closest("details").open = false; }
    if (png) {
      const detail = { title: png.dataset.png, canvas: null };
      png.closest("section").querySelector("figure.chart").dispatchEvent(new CustomEvent("mamimon:picture", { detail }));
      if (detail.canvas) detail.canvas.toBlob((blob) => {
        const link = document.createElement("a");
        link.href = URL.createObjectURL(blob);
        link.download = png.dataset.png.replace(/[^\p{L}\p{N}]+/gu, "-") + ".png";
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 10000);
      });
      png.closest("details").open = false;
    }
    if (event.target.closest("[data-print]")) window.print();
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target) || event.target.closest(".menu a")) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const one of document.querySelectorAll("section.full")) one.classList.remove("full");
    for (const menu of document.querySelectorAll("details.menu[open]")) { menu.open = false; menu.querySelector("summary").focus(); }
  });

  for (const one of document.querySelectorAll("[data-zone]")) one.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const late = [...document.querySelectorAll(".board .body[data-pending]")].map((body) => body.closest("section").dataset.key);
  if (late.length) ask(late);
  if (!paper) next();
  else {
    // Printed once everything is there; what fails or takes a minute is printed as it is.
    const until = Date.now() + 60000;
    const wait = () => { if (Date.now() < until && document.querySelector(".board .chart.loading, .board [data-pending]")) setTimeout(wait, 100); else requestAnimationFrame(() => { document.documentElement.dataset.ready = "1"; window.print(); }); };
    setTimeout(wait, 200);
  }
})();
