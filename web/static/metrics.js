// The graph page: completion at the caret (metrics, functions, labels and their values), more query boxes.
(() => {
  "use strict";
  const MOST = 30;
  const root = document.documentElement.dataset.root || "";
  const KEYWORDS = ["by", "without", "on", "ignoring", "group_left", "group_right", "offset", "bool", "and", "or", "unless"];
  const PLAIN = new Set(["offset", "bool", "and", "or", "unless"]);
  const DURATIONS = ["1m", "5m", "15m", "30m", "1h", "6h", "1d", "7d"];
  let lists = 0;
  let language = null;
  const cache = new Map();

  async function data(path) {
    if (!cache.has(path)) cache.set(path, fetch(path).then((answer) => answer.json()).then((body) => body.data || []).catch(() => []));
    return cache.get(path);
  }

  async function words() {
    if (!language) {
      const [names, metadata, spoken] = await Promise.all([
        data(root + "/api/v1/label/__name__/values"),
        data(root + "/api/v1/metadata"),
        fetch(root + "/api/mamimon/promql/words").then((answer) => answer.json()),
      ]);
      const help = (name) => {
        const found = metadata[name] || metadata[name.replace(/_(bucket|sum|count|total)$/, "")];
        return found ? found[0].type + ": " + found[0].help : "";
      };
      language = [
        ...names.map((name) => ({ text: name, note: help(name) })),
        ...spoken.functions.map((one) => ({ text: one.name, note: one.signature + " · " + one.help, after: "(" })),
        ...spoken.aggregators.map((name) => ({ text: name, note: spoken.help[name] || "", after: "(" })),
        ...KEYWORDS.map((text) => ({ text, note: "", after: PLAIN.has(text) ? "" : " (" })),
      ];
    }
    return language;
  }

  // What is being typed at the caret: a label's value, a label's name, or a word.
  async function candidates(head) {
    const open = head.lastIndexOf("{"), inside = open > head.lastIndexOf("}");
    const value = /([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*"([^"]*)$/.exec(head);
    if (inside && value) {
      const all = await data(root + "/api/v1/label/" + encodeURIComponent(value[1]) + "/values");
      return { typed: value[2], from: all.map((text) => ({ text, note: "", after: '"' })) };
    }
    const grouping = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)$/.exec(head);
    if (inside || grouping) {
      const typed = /[a-zA-Z_]?\w*$/.exec(head)[0];
      const metric = inside && /([a-zA-Z_:][\w:]*)\s*$/.exec(head.slice(0, open));
      const all = await data(root + "/api/v1/labels" + (metric ? "?match[]=" + encodeURIComponent(metric[1]) : ""));
      return { typed, from: all.filter((text) => text !== "__name__").map((text) => ({ text, note: "", after: inside ? '="' : "" })) };
    }
    const span = /(?:\[|offset\s+)([0-9a-z]*)$/.exec(head);
    if (span) return { typed: span[1], from: DURATIONS.map((text) => ({ text, note: "", after: head[head.length - span[1].length - 1] === "[" ? "]" : "" })) };
    const typed = /[a-zA-Z_:][\w:]*$/.exec(head);
    return typed ? { typed: typed[0], from: await words() } : null;
  }

  function rank(typed, from) {
    const low = typed.toLowerCase();
    const hits = from.filter((one) => one.text.toLowerCase().includes(low) && one.text !== typed);
    hits.sort((a, b) => Number(b.text.toLowerCase().startsWith(low)) - Number(a.text.toLowerCase().startsWith(low)));
    return hits.slice(0, MOST);
  }

  const listOf = (box) => box.parentElement.querySelector(".complete");
  const close = (box) => { const list = listOf(box); if (list) list.remove(); box.setAttribute("aria-expanded", "false"); box.removeAttribute("aria-activedescendant"); box.removeAttribute("aria-controls"); };
  const point = (box, item) => box.setAttribute("aria-activedescendant", item.id);

  async function complete(box) {
    const head = box.value.slice(0, box.selectionStart);
    const found = await candidates(head);
    if (head !== box.value.slice(0, box.selectionStart) || document.activeElement !== box) return;
    close(box);
    const hits = found ? rank(found.typed, found.from) : [];
    if (!hits.length) return;
    const list = document.createElement("ul");
    list.className = "complete";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", box.getAttribute("aria-label"));
    list.id = "complete-" + (lists += 1);
    hits.forEach((one, i) => {
      const item = document.createElement("li"), note = document.createElement("small");
      item.setAttribute("role", "option");
      item.id = list.id + "-" + i;
      item.setAttribute("aria-selected", String(i === 0));
      item.textContent = one.text;
      note.textContent = one.note;
      item.append(note);
      item.addEventListener("mousedown", (event) => { event.preventDefault(); take(box, found.typed, one); });
      item.take = () => take(box, found.typed, one);
      list.append(item);
    });
    box.parentElement.append(list);
    box.setAttribute("aria-expanded", "true");
    box.setAttribute("aria-controls", list.id);
    point(box, list.firstChild);
  }

  function take(box, typed, one) {
    const at = box.selectionStart, after = box.value.slice(at), ending = one.after && !after.startsWith(one.after) ? one.after : "";
    box.setRangeText(one.text + ending, at - typed.length, at, "end");
    close(box);
    box.focus();
    if (ending === '="' || ending === "(") complete(box);
  }

  document.addEventListener("input", (event) => { if (event.target.matches(".query .q")) complete(event.target); });
  // The field has one line: a query of several becomes one, without its comments, which end with theirs.
  document.addEventListener("paste", (event) => {
    const box = event.target, text = event.clipboardData ? event.clipboardData.getData("text/plain") : "";
    if (!box.matches(".query .q") || !/[\r\n]/.test(text)) return;
    event.preventDefault();
    const bare = text.replace(/("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|#[^\n]*/g, "$1").replace(/\s*\n\s*/g, " ").trim();
    box.setRangeText(bare, box.selectionStart, box.selectionEnd, "end");
  });
  document.addEventListener("focusout", (event) => { if (event.target.matches(".query .q")) close(event.target); });
  document.addEventListener("keydown", (event) => {
    const box = event.target;
    if (!box.matches(".query .q")) return;
    const list = listOf(box);
    if (!list) { if (event.key === " " && event.ctrlKey) { event.preventDefault(); complete(box); } return; }
    const items = [...list.children], here = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves) {
      event.preventDefault();
      const next = (here + moves[event.key] + items.length) % items.length;
      items[here].setAttribute("aria-selected", "false");
      items[next].setAttribute("aria-selected", "true");
      items[next].scrollIntoView({ block: "nearest" });
      point(box, items[next]);
      list.dataset.moved = "1";
    } else if (event.key === "Tab" || (event.key === "Enter" && list.dataset.moved)) {
      event.preventDefault();
      items[here].take();
    } else if (event.key === "Escape" || event.key === "Enter") {
      close(box);
      event.stopPropagation();
    }
  }, true);
  document.addEventListener("change", (event) => { if (event.target.matches(".check input[data-submit]")) event.target.form.requestSubmit(); });
  document.addEventListener("submit", (event) => {
    // An empty box is no query and would only lengthen the link.
    if (event.target.matches(".queries")) for (const one of event.target.querySelectorAll(".query")) {
      const empty = one.querySelector(".q").value.trim() === "";
      for (const field of one.querySelectorAll("[name]")) field.disabled = empty;
    }
  });
  addEventListener("pageshow", () => { for (const field of document.querySelectorAll(".query [name]")) field.disabled = false; });

  function addQuery() {
    const last = [...document.querySelectorAll(".query")].pop(), copy = last.cloneNode(true), box = copy.querySelector("input");
    copy.querySelectorAll(".complete").forEach((list) => list.remove());
    copy.querySelector("select").value = "line";
    box.value = "";
    last.after(copy);
    box.focus();
  }

  function picture(button) {
    const panel = button.closest(".panel"), from = panel.querySelector("canvas");
    if (!from) return;
    const style = getComputedStyle(document.documentElement), ratio = devicePixelRatio, head = 24 * ratio;
    const to = document.createElement("canvas"), ctx = to.getContext("2d");
    to.width = from.width;
    to.height = from.height + head;
    ctx.fillStyle = style.getPropertyValue("--panel");
    ctx.fillRect(0, 0, to.width, to.height);
    ctx.fillStyle = style.getPropertyValue("--text");
    ctx.font = 12 * ratio + "px system-ui";
    ctx.fillText(panel.querySelector("h2").textContent, 8 * ratio, 16 * ratio);
    ctx.drawImage(from, 0, head);
    to.toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = "query.png";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }

  document.addEventListener("click", async (event) => {
    const at = event.target;
    if (at.matches("[data-add-query]")) addQuery();
    else if (at.matches("[data-png]")) picture(at);
    else if (at.matches("[data-copy-link]") && navigator.clipboard && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      try { await navigator.clipboard.writeText(at.href); at.textContent = at.dataset.copied; } catch { location.href = at.href; }
    }
  });
})();
