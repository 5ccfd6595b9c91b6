// Live tail of the logs page: lines come by server-sent events and are put on top, 500 at most.
(() => {
  "use strict";
  const button = document.getElementById("live"), rows = document.getElementById("rows"), state = document.getElementById("live-state");
  if (!button || !rows) return;
  const most = 500;
  let source = null, waiting = [], drawing = false;
  button.hidden = false;

  function cell(text, name) {
    const span = document.createElement("span");
    span.textContent = text;
    if (name) span.className = name;
    return span;
  }
  function flat(value, path, into) {
    if (value && typeof value === "object") { for (const [key, inner] of Object.entries(value)) flat(inner, Array.isArray(value) ? path : path ? path + "." + key : key, into); }
    else if (value !== null) into.push([path, String(value)]);
    return into;
  }
  function draw(hit) {
    const line = document.createElement("details"), head = document.createElement("summary"), when = cell("", "faint"), at = document.createElement("time");
    line.className = "line fresh " + hit.level;
    head.className = "row " + hit.level;
    at.dataset.t = String(Date.parse(hit.time) / 1000);
    at.dataset.form = "clock";
    when.append(at);
    head.append(when, cell(hit.level || "–", "lv"), cell(hit.logger, "muted"), cell(hit.message));
    line.append(head);
    line.addEventListener("toggle", () => {
      if (line.childElementCount > 1) return;
      const box = document.createElement("div"), table = document.createElement("table"), link = document.createElement("a");
      box.className = "fields";
      link.href = "/logs/line/" + encodeURIComponent(hit.id);
      link.textContent = hit.id;
      for (const [name, value] of flat(hit.document, "", [])) {
        const row = table.insertRow(), first = row.insertCell(), second = row.insertCell();
        first.className = "mono muted"; second.className = "mono break";
        first.textContent = name; second.textContent = value;
      }
      box.append(link, table);
      line.append(box);
    }, { once: true });
    return line;
  }
  function flush() {
    drawing = false;
    const empty = rows.querySelector(".empty");
    if (empty) empty.remove();
    const fresh = document.createDocumentFragment();
    for (const hit of waiting.splice(0).slice(-most).reverse()) fresh.append(draw(hit));
    rows.prepend(fresh);
    while (rows.children.length > most) rows.lastElementChild.remove();
    rows.dispatchEvent(new CustomEvent("mamimon:rows", { bubbles: true }));
  }
  function stop() {
    if (source) source.close();
    source = null;
    button.setAttribute("aria-pressed", "false");
    button.textContent = button.dataset.live;
    state.hidden = true;
  }
  function begin() {
    source = new EventSource(button.dataset.src);
    button.setAttribute("aria-pressed", "true");
    button.textContent = button.dataset.pause;
    source.addEventListener("open", () => { state.dataset.state = "live"; button.dataset.open = "1"; });
    source.addEventListener("error", () => { state.hidden = false; state.dataset.state = "lost"; });
    source.addEventListener("line", (event) => {
      waiting.push(JSON.parse(event.data));
      if (waiting.length > most) waiting.shift();
      if (!drawing) { drawing = true; requestAnimationFrame(flush); }
    });
  }
  button.addEventListener("click", () => { if (source) stop(); else begin(); });
  addEventListener("pagehide", stop);
})();
