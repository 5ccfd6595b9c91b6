// The logs pages: what a person can do with a line that is open, and the live tail.
(() => {
  "use strict";
  const rows = document.getElementById("rows");
  if (!rows) return;
  const words = rows.dataset, lang = document.documentElement.lang || "en";
  const root = document.documentElement.dataset.root || "";
  const columns = (words.columns || "").split(",").filter(Boolean);

  function node(tag, name, text) {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  }
  const quoted = (text) => '"' + text.replace(/\\/g, "\\\\").replace(/"/g, '\\"') + '"';

  // Another search from here: this page's own address with some of it changed.
  function search(change) {
    const page = new URL(location.href), next = new URL(root + "/logs", location.href);
    for (const name of ["q", "level", "dataset", "since", "start", "end", "cols"]) {
      const value = page.pathname === root + "/logs" ? page.searchParams.get(name) : null;
      if (value) next.searchParams.set(name, value);
    }
    change(next.searchParams);
    return next.pathname + next.search;
  }
  function narrowed(name, value, without) {
    return search((query) => {
      const old = query.get("q"), one = (without ? "NOT " : "") + name + ":" + quoted(value);
      query.set("q", !old ? one : /\s(OR|\|\|)\s/.test(" " + old + " ") ? "(" + old + ") AND " + one : old + " AND " + one);
    });
  }
  function asColumn(name) {
    return search((query) => query.set("cols", [...columns.filter((one) => one !== name), name].slice(-6).join(",")));
  }

  // Drawn, as not every font has signs for them.
  const ICONS = { column: "M2 3h12v10H2zM6 3v10M10 3v10", copy: "M5 2h8v9H5zM5 5H3v9h7v-3" };
  function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS(svg.namespaceURI, "path");
    svg.setAttribute("viewBox", "0 0 16 16");
    path.setAttribute("d", ICONS[name]);
    svg.append(path);
    return svg;
  }
  function action(kind, label, sign, href) {
    const made = node(href ? "a" : "button", "act");
    made.append(ICONS[sign] ? icon(sign) : sign);
    if (href) made.href = href; else made.type = "button";
    made.dataset.act = kind;
    made.title = label;
    made.setAttribute("aria-label", label);
    return made;
  }
  // Long values are looked for by their first words; a query has no room for a stack trace.
  function dress(line) {
    if (line.dataset.dressed) return;
    line.dataset.dressed = "1";
    for (const row of line.querySelectorAll(".fields tr")) {
      const name = row.cells[0].textContent, value = row.cells[1].textContent;
      const box = node("td", "acts"), short = value.length <= 200 && !value.includes("\n");
      if (short && name !== "@timestamp") box.append(
        action("for", words.filterFor + ": " + name, "+", narrowed(name, value, false)),
        action("out", words.filterOut + ": " + name, "−", narrowed(name, value, true)));
      box.append(action("column", words.asColumn + ": " + name, "column", asColumn(name)), action("copy", words.copyValue + ": " + name, "copy"));
      row.append(box);
    }
    const bar = line.querySelector(".row-actions"), copy = node("button", "link", words.copyLine);
    copy.type = "button";
    copy.dataset.act = "json";
    bar.insertBefore(copy, bar.lastElementChild);
  }
  rows.addEventListener("toggle", (event) => {
    if (event.target.matches("details.line") && event.target.open) open(event.target);
  }, true);
  async function open(line) {
    fill(line);
    if (!line.querySelector(".fields")) {
      if (line.dataset.asked) return;
      line.dataset.asked = "1";
      const box = node("template");
      try {
        const answer = await fetch(root + "/logs/line/" + encodeURIComponent(line.dataset.id) + "/fields");
        if (!answer.ok) throw new Error(answer.statusText);
        box.innerHTML = await answer.text();
      } catch (error) {
        // Closed and opened again, it is asked once more.
        delete line.dataset.asked;
        box.content.append(node("p", "error-box", String(error.message || error)));
        line.addEventListener("toggle", () => line.querySelector(".error-box")?.remove(), { once: true });
      }
      line.append(box.content);
      line.dispatchEvent(new CustomEvent("mamimon:rows", { bubbles: true }));
    }
    if (line.querySelector(".fields")) dress(line);
  }
  for (const line of rows.querySelectorAll("details.line[open]")) dress(line);

  async function copied(button, text) {
    await navigator.clipboard.writeText(text);
    const old = [...button.childNodes];
    button.replaceChildren("✓");
    button.dataset.copied = "1";
    setTimeout(() => button.replaceChildren(...old), 1200);
  }
  rows.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-act]");
    if (!button) return;
    if (button.dataset.act === "copy") copied(button, button.closest("tr").cells[1].textContent);
    if (button.dataset.act === "json") {
      const answer = await fetch(root + "/api/mamimon/logs/lines/" + encodeURIComponent(button.closest("details.line").dataset.id));
      if (answer.ok) copied(button, JSON.stringify((await answer.json()).document, null, 2));
    }
  });

  // ---- A line that the live tail brought, 500 at most.
  const most = 500, hits = new WeakMap();
  function flat(value, path, into) {
    if (value && typeof value === "object") { for (const [key, inner] of Object.entries(value)) flat(inner, Array.isArray(value) ? path : path ? path + "." + key : key, into); }
    else if (value !== null) into.push([path, String(value)]);
    return into;
  }
  function fill(line) {
    const hit = hits.get(line);
    if (!hit || line.querySelector(".fields")) return;
    const box = node("div", "fields"), bar = node("p", "row-actions"), table = node("table");
    const link = (text, href) => { const made = node("a", "", text); made.href = href; bar.append(made, " "); };
    link(words.context, root + "/logs/line/" + encodeURIComponent(hit.id) + "#here");
    const request = hit.document.request_id || hit.document.trace_id;
    if (request) link(words.request, root + "/requests/" + encodeURIComponent(request));
    if (hit.pattern) link(words.pattern, root + "/logs/patterns/" + hit.pattern);
    bar.append(node("span", "faint", hit.dataset));
    for (const [name, value] of flat(hit.document, "", [])) {
      const row = table.insertRow(), head = node("th", "mono muted", name);
      head.scope = "row";
      row.append(head, node("td", "mono break", value));
    }
    box.append(bar, table);
    line.append(box);
  }
  function draw(hit) {
    const line = node("details", "line " + hit.level), head = node("summary", "row " + hit.level), when = node("span", "faint"), at = node("time");
    line.dataset.id = hit.id;
    at.dataset.t = String(Date.parse(hit.time) / 1000);
    at.dataset.form = "clock";
    when.append(at);
    head.append(when, node("span", "lv", hit.level || "–"));
    if (columns.length) {
      const values = flat(hit.document, "", []);
      for (const name of columns) head.append(node("span", "muted cell", values.filter((one) => one[0] === name).map((one) => one[1]).join(", ") || "–"));
    } else head.append(node("span", "muted cell", hit.logger));
    head.append(node("span", "text", hit.message));
    line.append(head);
    hits.set(line, hit);
    return line;
  }

  const number = new Intl.NumberFormat(lang, { maximumFractionDigits: 1 });

  // A time that is picked is the reader's own; the address has it in seconds, the same for everybody.
  const times = document.getElementById("times");
  if (times) {
    const local = (at) => new Date(at * 1000 - new Date(at * 1000).getTimezoneOffset() * 60000).toISOString().slice(0, 19);
    document.querySelector(".times").hidden = false;
    for (const input of times.elements) if (input.dataset.at) input.value = local(Number(input.dataset.at));
    times.addEventListener("submit", (event) => {
      event.preventDefault();
      location.href = search((query) => {
        query.delete("since");
        for (const name of ["start", "end"]) {
          const value = times.elements[name].value;
          if (value) query.set(name, String(Date.parse(value) / 1000)); else query.delete(name);
        }
      });
    });
  }

  // How many lines there are stands beside those that are shown, once the chart has counted them.
  const total = document.getElementById("total");
  if (total) document.addEventListener("mamimon:answer", (event) => {
    const { total: count, partial, counting } = event.detail;
    if (count === undefined) return;
    total.textContent = total.dataset[counting ? "counting" : partial ? "least" : "all"].replace("{}", number.format(count));
    total.classList.toggle("warn-text", Boolean(partial) && !counting);
  });

  // ---- Live tail: lines come by server-sent events and are put on top.
  const button = document.getElementById("live"), pause = document.getElementById("pause");
  const state = document.getElementById("live-state"), rate = document.getElementById("live-rate");
  if (!button || !state) return;
  let source = null, waiting = [], drawing = false, paused = false, unseen = 0, lost = 0, seen = [], timer = 0;
  // A stream faster than anybody reads is drawn four times a second, the newest lines of each time.
  const EVERY_MS = 250, AT_ONCE = 100;
  let filling = false, gap = false, drawn = 0, full = false, other = false;
  // By the server's clock; what came since then and is not here came while nobody listened.
  const now = () => Number(button.dataset.now) + performance.now() / 1000;
  let heard = Number(button.dataset.now);
  button.hidden = false;

  function flush() {
    drawing = false;
    if (paused || filling) return;
    const empty = rows.querySelector(".empty");
    if (empty) empty.remove();
    const fresh = document.createDocumentFragment(), top = scrollY > 0 ? document.documentElement.scrollHeight : 0;
    const hits = waiting.splice(0);
    if (full) { lost += Math.max(0, hits.length - AT_ONCE); hits.splice(0, hits.length - AT_ONCE); }
    full = true;
    for (const hit of hits) { const line = draw(hit); line.classList.toggle("alt", other = !other); fresh.prepend(line); }
    rows.prepend(fresh);
    const lines = rows.querySelectorAll("details.line");
    for (let i = most; i < lines.length; i += 1) if (!lines[i].open) lines[i].remove();
    drawn = performance.now();
    rows.dispatchEvent(new CustomEvent("mamimon:rows", { bubbles: true }));
    if (top) scrollBy(0, document.documentElement.scrollHeight - top);  // who reads further down is not moved
  }
  function tell() {
    const at = performance.now();
    seen = seen.filter((one) => at - one[0] < 5000);
    const second = seen.reduce((sum, one) => sum + one[1], 0) / 5;
    const parts = [number.format(second) + " " + rate.dataset.rate];
    if (paused && unseen) parts.push(number.format(unseen) + " " + rate.dataset.waiting);
    if (lost) parts.push(number.format(lost) + " " + rate.dataset.lost);
    if (gap) parts.push(rate.dataset.gap);
    rate.textContent = parts.join(" · ");
  }
  function stop() {
    if (source) source.close();
    source = null;
    clearInterval(timer);
    button.setAttribute("aria-pressed", "false");
    button.textContent = button.dataset.live;
    delete button.dataset.open;
    state.hidden = true;
    pause.hidden = true;
  }
  function hold(value) {
    paused = value;
    pause.setAttribute("aria-pressed", String(value));
    pause.textContent = value ? pause.dataset.resume : pause.dataset.pause;
    if (!value) { unseen = 0; full = false; if (waiting.length) flush(); }
    tell();
  }
  function keep(hits) {
    const here = new Set([...waiting.map((one) => one.id), ...[...rows.querySelectorAll("details.line")].map((one) => one.dataset.id)]);
    const missed = hits.filter((one) => !here.has(one.id));
    if (!missed.length) return;
    if (paused) unseen += missed.length;
    waiting = [...missed, ...waiting].sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0)).slice(-most);
  }
  // What came between the page and its stream, or while the connection was lost, is asked for.
  async function fill_gap() {
    const url = new URL(root + "/api/mamimon/logs/search" + new URL(button.dataset.src, location.href).search, location.href);
    for (const name of ["since", "end", "cols"]) url.searchParams.delete(name);
    url.searchParams.set("start", (heard - 2).toFixed(3));
    url.searchParams.set("size", String(most));
    filling = true;
    try {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(answer.statusText);
      const found = await answer.json();
      gap = found.more || found.partial;
      keep(found.hits.reverse());
    } catch { gap = true; }
    filling = full = false;
    tell();
    if (waiting.length) flush();
  }
  function begin() {
    source = htmx.createEventSource(button.dataset.src);  // app.js: comes back by itself, also after a silence
    waiting = []; seen = []; lost = 0; unseen = 0; gap = false;
    button.setAttribute("aria-pressed", "true");
    button.textContent = button.dataset.stop;
    state.hidden = false;
    pause.hidden = false;
    // Every second line is told by its class: by its place, all would be styled anew with each that comes.
    rows.querySelectorAll("details.line").forEach((line, i) => line.classList.toggle("alt", i % 2 === 1));
    rows.classList.add("live");
    hold(false);
    timer = setInterval(tell, 1000);
    source.onopen = async () => { await fill_gap(); heard = now(); button.dataset.open = "1"; };
    source.addEventListener("beat", () => { heard = now(); });
    source.addEventListener("lost", (event) => { const n = Number(event.data); lost += n; seen.push([performance.now(), n]); });
    source.addEventListener("line", (event) => {
      heard = now();
      waiting.push(JSON.parse(event.data));
      seen.push([performance.now(), 1]);
      if (waiting.length > most) { waiting.shift(); if (!paused) lost += 1; }
      if (paused) { unseen += 1; return; }
      if (!drawing) { drawing = true; setTimeout(() => requestAnimationFrame(flush), Math.max(0, drawn + EVERY_MS - performance.now())); }
    });
  }
  button.addEventListener("click", () => { if (source) stop(); else begin(); });
  pause.addEventListener("click", () => hold(!paused));
  addEventListener("pagehide", stop);
})();
