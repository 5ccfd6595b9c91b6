// Completion of field names and values in a query box: a combobox with a list (WAI-ARIA APG).
// Asks the server for what recent lines have; the answer is short and speaks of a bounded number of lines.
(() => {
  "use strict";
  for (const input of document.querySelectorAll("input[data-complete]")) combobox(input);

  function combobox(input) {
    const list = document.createElement("ul");
    list.id = "offers-" + (input.name || "q");
    list.className = "offers";
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", input.getAttribute("aria-label"));
    list.hidden = true;
    input.after(list);
    for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id, "aria-haspopup": "listbox" })) input.setAttribute(name, value);
    let offers = [], chosen = -1, place = null, timer = 0, asking = new AbortController();

    // What stands before the caret: the beginning of a field's name, or a field and the beginning of a value.
    function under() {
      const before = input.value.slice(0, input.selectionStart);
      const word = /(?:^|[\s(!+-])([\w.@-]*)$/.exec(before);
      const pair = /(?:^|[\s(!+-])([\w.@-]+):("?)([^\s"()]*)$/.exec(before);
      if (pair) return { field: pair[1], prefix: pair[3], quote: pair[2], from: before.length - pair[3].length - pair[2].length, to: before.length };
      if (word && (before.match(/"/g) || []).length % 2 === 0) return { field: "", prefix: word[1], quote: "", from: before.length - word[1].length, to: before.length };
      return null;
    }
    function close() {
      list.hidden = true;
      chosen = -1;
      input.setAttribute("aria-expanded", "false");
      input.removeAttribute("aria-activedescendant");
    }
    function show() {
      list.replaceChildren(...offers.map((one, i) => {
        const item = document.createElement("li"), text = document.createElement("span"), note = document.createElement("span");
        item.id = list.id + "-" + i;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        text.className = "mono"; text.textContent = one.text;
        note.className = "muted"; note.textContent = one.note;
        item.append(text, note);
        return item;
      }));
      list.hidden = !offers.length;
      input.setAttribute("aria-expanded", String(!!offers.length));
      chosen = -1;
    }
    function mark(i) {
      const items = list.children;
      if (items[chosen]) items[chosen].setAttribute("aria-selected", "false");
      chosen = (i + items.length) % items.length;
      items[chosen].setAttribute("aria-selected", "true");
      items[chosen].scrollIntoView({ block: "nearest" });
      input.setAttribute("aria-activedescendant", items[chosen].id);
    }
    function take(i) {
      const text = offers[i].text, field = !place.field;
      const plain = /^[\w.@/][\w.@/-]*$/.test(text) && !/^(AND|OR|NOT)$/.test(text);
      const put = field ? text + ":" : (plain && !place.quote ? text : '"' + text.replace(/\\/g, "\\\\").replace(/"/g, '\\"') + '"') + " ";
      input.setRangeText(put, place.from, place.to, "end");
      close();
      if (field) ask(0);
    }
    function ask(delay) {
      clearTimeout(timer);
      timer = setTimeout(async () => {
        place = under();
        if (!place) { close(); return; }
        // What was asked for fewer letters is given up, here and in the server.
        asking.abort();
        asking = new AbortController();
        const { signal } = asking, url = new URL(input.dataset.complete, location.href);
        url.searchParams.set("field", place.field);
        url.searchParams.set("prefix", place.prefix);
        try {
          const answer = await fetch(url, { signal });
          const found = answer.ok ? (await answer.json()).offers : [];
          if (signal.aborted || document.activeElement !== input) return;
          offers = found.filter((one) => one.text !== place.prefix);
          show();
        } catch { if (!signal.aborted) close(); }
      }, delay);
    }
    input.addEventListener("input", () => ask(120));
    input.addEventListener("blur", () => setTimeout(close, 120));
    input.addEventListener("keydown", (event) => {
      const open = !list.hidden;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        if (open) mark(chosen + (event.key === "ArrowDown" ? 1 : chosen < 0 ? 0 : -1)); else ask(0);
      } else if (open && chosen >= 0 && (event.key === "Enter" || event.key === "Tab")) {
        event.preventDefault();
        take(chosen);
      } else if (open && event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        close();
      }
    });
    list.addEventListener("mousedown", (event) => {
      const item = event.target.closest("li");
      event.preventDefault();
      if (item) take([...list.children].indexOf(item));
    });
  }
})();
