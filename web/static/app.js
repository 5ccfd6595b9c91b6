// Small things every page needs: local times, keyboard, theme, confirmation, live-connection state.
(() => {
  "use strict";
  // The browser's own flavour of the page's language: 24/11/2026 for en-GB, 11/24/2026 for en-US.
  const spoken = document.documentElement.lang || "en";
  const lang = navigator.languages.find((one) => one.split("-")[0] === spoken) || spoken;
  const full = new Intl.DateTimeFormat(lang, { dateStyle: "short", timeStyle: "medium", hourCycle: "h23" });
  const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });

  const hms = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const day = new Intl.DateTimeFormat(lang, { day: "2-digit", month: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  const today = new Date().toDateString();
  // A clock of another day would mislead, so it shows its day instead of its milliseconds.
  const form = (at, name) => (name === "time" ? hms : name !== "clock" ? full : at.toDateString() === today ? clock : day);

  // <time data-t="epoch seconds"> is UTC text without JavaScript and local time with it.
  function localTimes(root) {
    for (const node of root.querySelectorAll("time[data-t]:not([data-done])")) {
      const at = new Date(Number(node.dataset.t) * 1000);
      node.textContent = form(at, node.dataset.form).format(at);
      node.title = node.dataset.form ? full.format(at) : at.toISOString();
      node.dataset.done = "1";
    }
  }

  // A further project has its pages under a prefix.
  const root = document.documentElement.dataset.root || "";
  const go = { o: "/", i: "/incidents", a: "/alerts", l: "/logs", m: "/graph", e: "/errors", v: "/events", c: "/checks", d: "/dashboards", x: "/explore", s: "/settings" };
  let pending = "";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (pending === "g" && go[event.key]) { pending = ""; location.href = root + go[event.key]; return; }
    pending = event.key === "g" ? "g" : "";
    if (event.key === "/") {
      const box = document.querySelector("input.q, input[type=search]");
      if (box) { event.preventDefault(); box.focus(); box.select(); }
    } else if (event.key === "?") {
      const help = document.getElementById("keys");
      if (help) { if (help.open) help.close(); else help.showModal(); }
    } else if (event.key === "t") {
      const pick = document.querySelector("select[name=since]");
      if (pick) { event.preventDefault(); pick.focus(); }
    }
  });

  document.addEventListener("submit", (event) => {
    const ask = event.target.dataset.confirm;
    if (ask && !window.confirm(ask)) event.preventDefault();
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("select[data-submit]")) event.target.form.requestSubmit();
  });
  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (!copy) return;
    await navigator.clipboard.writeText(copy.dataset.copy);
    copy.setAttribute("data-copied", "");
  });

  const state = document.getElementById("live-state");
  const heardNow = () => { if (state) state.dataset.at = hms.format(new Date()); };
  const mark = (value) => { if (!state) return; if (value === "live") heardNow(); state.dataset.state = value; };
  if (state && !state.hidden) heardNow();
  // board.js says it of its answers.
  document.addEventListener("mamimon:state", (event) => mark(event.detail));
  document.addEventListener("htmx:sseOpen", () => mark("live"));
  document.addEventListener("htmx:sseError", () => mark("lost"));

  // The one stream of a page, as htmx's extension uses it. It is let go while nobody looks, because a browser
  // has six connections to a server for all its tabs; it comes back with doubled pauses, a minute at most; and
  // a server that says nothing for half a minute counts as lost, as a pulled cable closes nothing.
  const SILENT_MS = 30000;
  class Stream {
    constructor(url) {
      this.url = url; this.listeners = []; this.failures = 0; this.readyState = 0;
      this.look = () => (document.hidden ? this.drop() : this.source || this.open());
      document.addEventListener("visibilitychange", this.look);
      this.look();
    }
    open() {
      clearTimeout(this.again);
      this.source = new EventSource(this.url, { withCredentials: true });
      this.source.onopen = (event) => { this.heard(); this.readyState = 1; this.onopen?.(event); };
      this.source.onerror = (event) => this.lost(event);
      for (const [type, work] of this.listeners) this.source.addEventListener(type, work);
      this.wait();
    }
    heard() { this.failures = 0; this.wait(); mark("live"); }
    wait() { clearTimeout(this.silence); this.silence = setTimeout(() => this.lost(new Event("error")), SILENT_MS); }
    drop() { clearTimeout(this.silence); clearTimeout(this.again); this.source?.close(); this.source = null; }
    lost(event) {
      this.drop();
      this.readyState = 0;
      this.failures += 1;
      this.again = setTimeout(() => this.open(), Math.min(60, 2 ** this.failures) * 500 * (1 + Math.random()));
      this.onerror?.(event);
    }
    addEventListener(type, work) {
      const heard = (event) => { this.heard(); work(event); };
      this.listeners.push([type, heard, work]);
      this.source?.addEventListener(type, heard);
    }
    removeEventListener(type, work) {
      for (const one of this.listeners) if (one[0] === type && one[2] === work) this.source?.removeEventListener(type, one[1]);
      this.listeners = this.listeners.filter((one) => one[0] !== type || one[2] !== work);
    }
    close() { this.drop(); this.readyState = 2; document.removeEventListener("visibilitychange", this.look); }
  }
  htmx.createEventSource = (url) => new Stream(url);
  // A page nobody looks at does not poll; a part that got no answer says so and asks with doubled pauses.
  const polls = (node) => (node.getAttribute("hx-trigger") || "").startsWith("every");
  const failed = new WeakMap();
  document.addEventListener("htmx:beforeRequest", (event) => {
    const node = event.detail.elt;
    if (polls(node) && (document.hidden || Date.now() < (failed.get(node)?.until || 0))) event.preventDefault();
  });
  let answered = new Date();
  document.addEventListener("htmx:afterRequest", (event) => {
    const node = event.detail.elt;
    if (!polls(node)) return;
    if (event.detail.successful) { answered = new Date(); failed.delete(node); delete node.dataset.away; return; }
    const count = (failed.get(node)?.count || 0) + 1;
    failed.set(node, { count, until: Date.now() + Math.min(300, 5 * 2 ** Math.min(6, count)) * 1000 });
    node.dataset.away = (document.body.dataset.away || "") + " " + hms.format(answered);
  });
  document.addEventListener("htmx:afterSwap", (event) => localTimes(event.target));
  document.addEventListener("htmx:sseMessage", (event) => localTimes(event.target));
  document.addEventListener("mamimon:rows", (event) => localTimes(event.target));
  localTimes(document);
  // On a phone the bar of pages scrolls sideways; the current one must be in view.
  for (const here of document.querySelectorAll(".nav [aria-current], .tabs [aria-current]")) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.clientWidth / 2 + here.clientWidth / 2;
})();
