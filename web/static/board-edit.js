// Editing a dashboard in its place. The document is JSON in #document; every change is drawn by the server
// (`/preview`), can be undone, and is stored by Save (PUT with the version that it was made from).
(() => {
  "use strict";
  const host = document.getElementById("editor"), dialog = document.getElementById("panel-dialog"), settings = document.getElementById("settings-dialog");
  const root = document.documentElement.dataset.root || "", slug = host.dataset.slug, say = (text) => { document.getElementById("edit-state").textContent = text; };
  let version = host.dataset.version, current = JSON.parse(document.getElementById("document").value), saved = JSON.stringify(current);
  let past = [], future = [], editing = -1, turn = 0;
  current.panels ||= []; current.variables ||= []; current.links ||= [];
  const copy = (value) => JSON.parse(JSON.stringify(value));
  const board = () => host.querySelector(".board");

  // ---- drawing ----
  async function draw(focus) {
    const mine = (turn += 1);
    document.getElementById("undo").disabled = !past.length;
    document.getElementById("redo").disabled = !future.length;
    document.getElementById("save").disabled = JSON.stringify(current) === saved;
    const answer = await fetch(`${root}/dashboards/${slug}/preview${location.search}`, { method: "POST", body: JSON.stringify(current) });
    if (mine !== turn) return;
    if (!answer.ok) { say((await answer.json()).error); return; }
    host.innerHTML = await answer.text();
    host.dispatchEvent(new CustomEvent("mamimon:board", { bubbles: true }));
    host.querySelectorAll("section[data-index]").forEach((one) => { one.tabIndex = 0; });
    if (focus !== undefined) host.querySelector(`section[data-index="${focus}"]`)?.focus();
  }
  function change(work, focus) {
    past.push(copy(current));
    if (past.length > 100) past.shift();
    future = [];
    work(current);
    say(host.dataset.unsaved);
    return draw(focus);
  }
  function step(from, to) {
    if (!from.length) return;
    to.push(copy(current));
    current = from.pop();
    say(host.dataset.unsaved);
    draw();
  }
  async function save() {
    const body = JSON.stringify(current);
    const answer = await fetch(`${root}/api/mamimon/dashboards/${slug}`, { method: "PUT", body, headers: { "If-Match": `"${version}"`, "Content-Type": "application/json" } });
    if (!answer.ok) { const told = await answer.json(); say(told.error + (told.hint ? " – " + told.hint : "")); return false; }
    version = answer.headers.get("ETag").replaceAll('"', "");
    saved = body;
    document.getElementById("save").disabled = true;
    say(host.dataset.saved);
    return true;
  }

  // ---- moving and sizing ----
  const bound = (value, low, high) => Math.max(low, Math.min(high, value));
  function move(from, to) {
    to = bound(to, 0, current.panels.length - 1);
    if (from === to) return;
    change((one) => one.panels.splice(to, 0, one.panels.splice(from, 1)[0]), to);
  }
  function size(index, width, height) {
    const panel = current.panels[index], wide = bound(width, 1, 12), high = height === undefined ? undefined : bound(height, 2, 30);
    if (wide === (panel.width || 6) && (high === undefined || high === panel.height)) return;
    change((one) => { one.panels[index].width = wide; if (high !== undefined) one.panels[index].height = high; }, index);
  }
  const units = (section) => Number([...section.classList].find((name) => /^t\d+$/.test(name)).slice(1));
  const acts = {
    narrower: (i) => size(i, (current.panels[i].width || 6) - 1),
    wider: (i) => size(i, (current.panels[i].width || 6) + 1),
    earlier: (i) => move(i, i - 1),
    later: (i) => move(i, i + 1),
    edit: (i) => open(i),
    copy: (i) => change((one) => one.panels.splice(i + 1, 0, copy(one.panels[i])), i + 1),
    remove: (i) => change((one) => one.panels.splice(i, 1), Math.max(0, i - 1)),
  };
  host.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) acts[button.dataset.do](Number(button.closest("section").dataset.index));
  });
  host.addEventListener("dblclick", (event) => {
    const section = event.target.closest("section[data-index]");
    if (section && !event.target.closest("button")) open(Number(section.dataset.index));
  });
  host.addEventListener("keydown", (event) => {
    const section = event.target;
    if (!section.matches("section[data-index]")) return;
    const i = Number(section.dataset.index), wide = current.panels[i].width || 6, high = units(section);
    const keys = event.shiftKey
      ? { ArrowLeft: () => size(i, wide - 1), ArrowRight: () => size(i, wide + 1), ArrowUp: () => size(i, wide, high - 1), ArrowDown: () => size(i, wide, high + 1) }
      : { ArrowLeft: () => move(i, i - 1), ArrowRight: () => move(i, i + 1), ArrowUp: () => move(i, i - 1), ArrowDown: () => move(i, i + 1), Enter: () => open(i), Delete: () => acts.remove(i) };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });

  let dragged = -1;
  host.addEventListener("dragstart", (event) => {
    const section = event.target.closest("section[data-index]");
    if (!section) return;
    dragged = Number(section.dataset.index);
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", String(dragged));
    section.classList.add("dragged");
  });
  host.addEventListener("dragover", (event) => {
    const over = event.target.closest("section[data-index]");
    if (dragged < 0 || !over) return;
    event.preventDefault();
    host.querySelectorAll(".over").forEach((one) => one.classList.toggle("over", one === over));
    over.classList.add("over");
  });
  host.addEventListener("drop", (event) => {
    const over = event.target.closest("section[data-index]");
    if (dragged < 0 || !over) return;
    event.preventDefault();
    move(dragged, Number(over.dataset.index));
  });
  host.addEventListener("dragend", () => { dragged = -1; host.querySelectorAll(".over,.dragged").forEach((one) => one.classList.remove("over", "dragged")); });

  host.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest("[data-grip]");
    if (!grip) return;
    event.preventDefault();
    const section = grip.closest("section"), start = section.getBoundingClientRect(), twelfth = (board().clientWidth + 12) / 12;
    let width = 0, height = 0;
    grip.setPointerCapture(event.pointerId);
    const drag = (at) => {
      width = bound(Math.round((at.clientX - start.left) / twelfth), 1, 12);
      height = bound(Math.round((at.clientY - start.top + 12) / 36), 2, 30);
      section.className = section.className.replace(/\bw\d+\b/, "w" + width).replace(/\bt\d+\b/, "t" + height);
    };
    grip.addEventListener("pointermove", drag);
    grip.addEventListener("pointerup", () => { grip.removeEventListener("pointermove", drag); if (width) size(Number(section.dataset.index), width, height); }, { once: true });
  });

  // ---- one panel ----
  const form = dialog.querySelector("form"), look = dialog.querySelector(".look");
  const lines = (panel) => (panel.queries || []).map((one) => one.expr + (one.legend ? " | " + one.legend : "")).join("\n");
  // "name | unit | colour | right | as another name": words after the first may come in any order.
  const UNITS = [...form.elements.unit.options].map((one) => one.value).filter(Boolean);
  function written(one) {
    const of = one.match === "regex" ? `/${one.of}/` : one.match === "query" ? `#${one.of}` : one.of;
    return [of, one.unit, one.colour, ...["right", "negative", "hidden"].filter((flag) => one[flag]), one.name && "as " + one.name].filter(Boolean).join(" | ");
  }
  function override(line) {
    const [of, ...words] = line.split(" | ").map((one) => one.trim()), made = { of };
    if (/^\/.+\/$/.test(of)) Object.assign(made, { of: of.slice(1, -1), match: "regex" });
    if (/^#\d+$/.test(of)) Object.assign(made, { of: of.slice(1), match: "query" });
    for (const word of words) {
      if (word.startsWith("as ")) made.name = word.slice(3);
      else if (["right", "negative", "hidden"].includes(word)) made[word] = true;
      else if (UNITS.includes(word)) made.unit = word;
      else if (word) made.colour = word;
    }
    return made;
  }
  function read() {
    const given = new FormData(form), old = editing >= 0 ? copy(current.panels[editing]) : {};
    const panel = { ...old, title: given.get("title").trim(), kind: given.get("kind"), unit: given.get("unit"), width: Number(given.get("width")), calc: given.get("calc"), field: given.get("field").trim(), text: given.get("text"), repeat: given.get("repeat"), about: given.get("about").trim(), log_scale: given.has("log_scale"), exemplars: given.has("exemplars"), below: given.has("below") };
    for (const name of ["warn", "crit", "low", "high"]) { const text = given.get(name).trim().replace(",", "."); if (text === "") delete panel[name]; else panel[name] = Number(text); }
    panel.overrides = given.get("overrides").split("\n").filter((line) => line.trim()).map(override);
    panel.queries = given.get("queries").split("\n").filter((line) => line.trim()).map((line) => { const at = line.lastIndexOf(" | "); return at < 0 ? { expr: line.trim() } : { expr: line.slice(0, at).trim(), legend: line.slice(at + 3).trim() }; });
    return panel;
  }
  // Only the fields that a kind of panel uses are shown.
  function fields() {
    const kind = form.elements.kind.value;
    for (const node of form.querySelectorAll("[data-for]")) node.hidden = !node.dataset.for.split(" ").includes(kind);
  }
  let wait = null;
  async function preview() {
    fields();
    const panel = { ...read(), width: 12, height: 7, repeat: "" };
    const answer = await fetch(`${root}/dashboards/${slug}/preview${location.search}`, { method: "POST", body: JSON.stringify({ ...current, panels: [panel] }) });
    if (!answer.ok) { look.textContent = (await answer.json()).error; return; }
    look.innerHTML = await answer.text();
    look.querySelectorAll(".tools,.grip").forEach((one) => one.remove());
    look.querySelectorAll("section").forEach((one) => { one.removeAttribute("id"); delete one.dataset.index; });
    look.dispatchEvent(new CustomEvent("mamimon:board", { bubbles: true }));
  }
  function open(index) {
    editing = index;
    const panel = index >= 0 ? current.panels[index] : { title: "", kind: "timeseries" };
    const repeat = form.elements.repeat;
    repeat.replaceChildren(new Option("–", ""), ...current.variables.map((one) => new Option(one.label || one.name, one.name)));
    for (const name of ["title", "kind", "unit", "calc", "field", "text", "about"]) form.elements[name].value = panel[name] ?? (name === "calc" ? "last" : "");
    for (const name of ["warn", "crit", "low", "high"]) form.elements[name].value = panel[name] ?? "";
    form.elements.width.value = panel.width || 6;
    repeat.value = panel.repeat || "";
    form.elements.log_scale.checked = Boolean(panel.log_scale);
    form.elements.exemplars.checked = Boolean(panel.exemplars);
    form.elements.overrides.value = (panel.overrides || []).map(written).join("\n");
    form.elements.below.checked = Boolean(panel.below);
    form.elements.queries.value = lines(panel);
    dialog.showModal();
    preview();
  }
  form.addEventListener("input", () => { clearTimeout(wait); wait = setTimeout(preview, 300); });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const panel = read(), at = editing >= 0 ? editing : current.panels.length;
    dialog.close();
    change((one) => { if (editing >= 0) one.panels[at] = panel; else one.panels.push(panel); }, at);
  });

  // ---- the dashboard itself ----
  const about = settings.querySelector("form"), rows = settings.querySelector("#variables");
  function variable(one) {
    const row = document.getElementById("variable-row").content.firstElementChild.cloneNode(true);
    const field = (name) => row.querySelector(`[name=${name}]`);
    for (const name of ["name", "label", "kind", "metric", "value_of", "regex", "default"]) field(name).value = one[name] ?? (name === "kind" ? "labels" : "");
    field("values").value = (one.values || []).join(", ");
    field("multi").checked = Boolean(one.multi);
    field("all").checked = one.all !== false;
    row.dataset.rest = JSON.stringify(one);
    const show = () => { for (const node of row.querySelectorAll("[data-for]")) node.hidden = !node.dataset.for.split(" ").includes(field("kind").value); };
    field("kind").addEventListener("change", show);
    row.querySelector("[data-drop]").addEventListener("click", () => row.remove());
    show();
    rows.append(row);
  }
  document.getElementById("open-settings").addEventListener("click", () => {
    for (const name of ["title", "about", "since", "refresh_s"]) about.elements[name].value = current[name] ?? { since: "1h", refresh_s: 15 }[name] ?? "";
    for (const name of ["viewers", "editors"]) about.elements[name].value = (current[name] || []).join(", ");
    about.elements.marks.checked = current.marks !== false;
    rows.replaceChildren();
    current.variables.forEach(variable);
    settings.showModal();
  });
  document.getElementById("add-variable").addEventListener("click", () => { variable({}); rows.lastElementChild.querySelector("[name=name]").focus(); });
  const listed = (text) => text.split(",").map((one) => one.trim()).filter(Boolean);
  about.addEventListener("submit", (event) => {
    event.preventDefault();
    settings.close();
    change((one) => {
      for (const name of ["title", "about", "since"]) one[name] = about.elements[name].value.trim();
      one.refresh_s = Number(about.elements.refresh_s.value) || 0;
      for (const name of ["viewers", "editors"]) one[name] = listed(about.elements[name].value);
      one.marks = about.elements.marks.checked;
      one.variables = [...rows.children].map((row) => {
        const field = (name) => row.querySelector(`[name=${name}]`), made = JSON.parse(row.dataset.rest);
        for (const name of ["name", "label", "kind", "metric", "value_of", "regex", "default"]) made[name] = field(name).value.trim();
        made.values = listed(field("values").value);
        made.multi = field("multi").checked;
        made.all = field("all").checked;
        return made;
      });
      document.querySelector("h1").textContent = one.title;
    });
  });

  document.getElementById("add-panel").addEventListener("click", () => open(-1));
  document.getElementById("undo").addEventListener("click", () => step(past, future));
  document.getElementById("redo").addEventListener("click", () => step(future, past));
  document.getElementById("save").addEventListener("click", save);
  document.getElementById("done").addEventListener("click", async (event) => {
    event.preventDefault();
    if (JSON.stringify(current) === saved || await save()) location.href = event.target.href;
  });
  dialog.addEventListener("close", () => { look.replaceChildren(); });
  document.querySelectorAll("dialog [data-close]").forEach((one) => one.addEventListener("click", () => one.closest("dialog").close()));
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || dialog.open || settings.open) return;
    const key = event.key.toLowerCase();
    if (key === "s") { event.preventDefault(); save(); }
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    if (key === "z") { event.preventDefault(); if (event.shiftKey) step(future, past); else step(past, future); }
    if (key === "y") { event.preventDefault(); step(future, past); }
  });
  window.addEventListener("beforeunload", (event) => { if (JSON.stringify(current) !== saved) event.preventDefault(); });
  saved = JSON.stringify(current);
  host.querySelectorAll("section[data-index]").forEach((one) => { one.tabIndex = 0; });
})();
