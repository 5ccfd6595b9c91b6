// The graph page: completion at the caret (metrics, functions, labels and their values), more query boxes.
(() => {
  "use strict";
  const MOST = 30;
  let language = null;
  const cache = new Map();

  async function data(path) {
    if (!cache.has(path)) cache.set(path, fetch(path).then((answer) => answer.json()).then((body) => body.data || []).catch(() => []));
    return cache.get(path);
  }

  async function words() {
    if (!language) {
      const [names, metadata, spoken] = await Promise.all([
        data("/api/v1/label/__name__/values"),
        data("/api/v1/metadata"),
        fetch("/api/mamimon/promql/words").then((answer) => answer.json()),
      ]);
      const help = (name) => {
        const found = metadata[name] || metadata[name.replace(/_(bucket|sum|count|total)$/, "")];
        return found ? found[0].type + ": " + found[0].help : "";
      };
      language = [
        ...names.map((name) => ({ text: name, note: help(name) })),
        ...spoken.functions.map((one) => ({ text: one.name, note: one.help, after: "(" })),
        ...spoken.aggregators.map((name) => ({ text: name, note: spoken.help[name] || "", after: "(" })),
      ];
    }
    return language;
  }

  // What is being typed at the caret: a label's value, a label's name, or a word.
  async function candidates(head) {
    const open = head.lastIndexOf("{"), inside = open > head.lastIndexOf("}");
    const value = /([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*"([^"]*)$/.exec(head);
    if (inside && value) {
      const all = await data("/api/v1/label/" + encodeURIComponent(value[1]) + "/values");
      return { typed: value[2], from: all.map((text) => ({ text, note: "", after: '"' })) };
    }
    const grouping = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)$/.exec(head);
    if (inside || grouping) {
      const typed = /[a-zA-Z_]?\w*$/.exec(head)[0];
      const metric = inside && /([a-zA-Z_:][\w:]*)\s*$/.exec(head.slice(0, open));
      const all = await data("/api/v1/labels" + (metric ? "?match[]=" + encodeURIComponent(metric[1]) : ""));
      return { typed, from: all.filter((text) => text !== "__name__").map((text) => ({ text, note: "", after: inside ? '="' : "" })) };
    }
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
  const close = (box) => { const list = listOf(box); if (list) list.remove(); box.setAttribute("aria-expanded", "false"); };

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
    hits.forEach((one, i) => {
      const item = document.createElement("li"), note = document.createElement("small");
      item.setAttribute("role", "option");
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
  }

  function take(box, typed, one) {
    const at = box.selectionStart, after = box.value.slice(at), ending = one.after && !after.startsWith(one.after) ? one.after : "";
    box.setRangeText(one.text + ending, at - typed.length, at, "end");
    close(box);
    box.focus();
    if (ending === '="' || ending === "(") complete(box);
  }

  document.addEventListener("input", (event) => { if (event.target.matches(".query .q")) complete(event.target); });
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
      list.dataset.moved = "1";
    } else if (event.key === "Tab" || (event.key === "Enter" && list.dataset.moved)) {
      event.preventDefault();
      items[here].take();
    } else if (event.key === "Escape" || event.key === "Enter") {
      close(box);
      event.stopPropagation();
    }
  }, true);
  document.addEventListener("click", (event) => {
    if (!event.target.matches("[data-add-query]")) return;
    const last = [...document.querySelectorAll(".query")].pop(), copy = last.cloneNode(true), box = copy.querySelector("input");
    copy.querySelectorAll(".complete").forEach((list) => list.remove());
    box.value = "";
    last.after(copy);
    box.focus();
  });
})();
