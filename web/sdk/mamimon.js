// @ts-check
/**
 * @mamimon/browser: errors, failing requests and product events of a page, sent to mamimon.
 *
 * Plain ES2018 without dependencies. The server gives this file out as `/sdk/mamimon.js` (classic
 * script or ES module, by how the page asks), `/sdk/mamimon.mjs` and `/sdk/mamimon.classic.js`, with
 * the next constant filled in, so `initializeErrorTracking()` needs no arguments there.
 * Errors go as Sentry envelopes to `/api/<project>/envelope/`, events to `/batch/`.
 */
/** `<key>/<project>` of the server that gave the file out. */
const SERVED = /** @type {string} */ ("");
const HERE = import.meta.url;
// @ts-ignore Vite and its like put the build's variables there, and look for exactly these words.
const ENV = import.meta.env || {};

const win = /** @type {any} */ (globalThis);
const doc = win.document;
const QUEUE = "mamimon.queue";
const realFetch = win.fetch && win.fetch.bind(win);

/** @type {import("./mamimon").Options} */
let options = {};
let started = false;
let base = "";
let key = "";
let project = "";
/** @type {any} */
let user = null;
/** @type {Record<string, string>} */
let tags = {};
/** @type {any[]} */
let crumbs = [];
/** @type {any[]} */
let events = [];
/** @type {any} */
let timer = 0;
let quietUntil = 0;
let sent = 0;
let minute = 0;
const seen = new WeakSet();

const hex = (length = 32) => {
  let text = "";
  while (text.length < length) text += Math.random().toString(16).slice(2);
  return text.slice(0, length);
};
const now = () => Date.now() / 1000;
/** @param {() => any} work */
const tried = (work) => { try { return work(); } catch (_) { /* storage and exotic objects may refuse */ } };
/** @param {string} name */
const recall = (name) => tried(() => win.localStorage.getItem(name));
/** @param {string} name @param {string} value */
const store = (name, value) => tried(() => win.localStorage.setItem(name, value));

/** The user's id, else a random one that stays with this browser. */
function distinctId() {
  if (user && user.id) return String(user.id);
  let id = recall("mamimon.id");
  if (!id) store("mamimon.id", id = "anon-" + hex(16));
  return id;
}

/** @param {string} [given] */
function findDsn(given) {
  const tag = doc && doc.querySelector("script[data-dsn]");
  const [mine, number] = SERVED.split("/");
  const served = number && HERE && new URL("..", HERE).href.replace("//", `//${mine}@`) + number;
  return given || ENV.VITE_SENTRY_DSN || (tag && tag.dataset.dsn) || served;
}

/** Starts catching errors; a second call only changes the options. @param {import("./mamimon").Options} [given] */
function initializeErrorTracking(given) {
  options = Object.assign(options, given);
  const dsn = tried(() => new URL(findDsn(options.dsn)));
  if (!dsn || !dsn.username) { console.warn("mamimon: no usable DSN"); return false; }
  const path = dsn.pathname.replace(/\/$/, "").split("/");
  key = dsn.username;
  project = /** @type {string} */ (path.pop());
  base = dsn.origin + path.join("/");
  if (!started && doc) listen();
  started = true;
  resend();
  return true;
}

function listen() {
  win.addEventListener("error", (/** @type {any} */ event) => {
    if (event.error || event.message) report(event.error || event.message, "onerror", event);
  }, true);
  win.addEventListener("unhandledrejection", (/** @type {any} */ event) => report(event.reason, "onunhandledrejection"));
  win.addEventListener("online", resend);
  win.addEventListener("pagehide", () => flush(true));
  doc.addEventListener("visibilitychange", () => doc.visibilityState === "hidden" && flush(true));
  doc.addEventListener("click", (/** @type {any} */ event) => {
    const one = event.target;
    if (one && one.tagName) addBreadcrumb({ category: "ui.click", message: one.tagName.toLowerCase() + (one.id ? "#" + one.id : "") + (one.name ? `[name=${one.name}]` : "") });
  }, true);
  ["error", "warn", "log"].forEach((level) => {
    wrap(win.console, level, (real) => function (/** @type {any[]} */ ...args) {
      addBreadcrumb({ category: "console", level: level === "warn" ? "warning" : level, message: args.map((one) => tried(() => String(one))).join(" ").slice(0, 500) });
      return real.apply(win.console, args);
    });
  });
  let last = win.location.href;
  const moved = () => {
    if (last !== win.location.href) addBreadcrumb({ category: "navigation", data: { from: last, to: last = win.location.href } });
  };
  win.addEventListener("popstate", moved);
  ["pushState", "replaceState"].forEach((name) => wrap(win.history, name, (real) => function (/** @type {any[]} */ ...args) {
    const result = real.apply(win.history, args);
    moved();
    return result;
  }));
  watchFetch();
  watchXhr();
}

/** @param {any} target @param {string} name @param {(real: any) => any} make */
function wrap(target, name, make) {
  if (target && target[name]) target[name] = make(target[name]);
}

/** Whether a request is for the server of errors itself. @param {string} url */
const own = (url) => url.startsWith(base + "/api/" + project + "/") || url.startsWith(base + "/batch/");
/** @param {any} url */
const absolute = (url) => tried(() => new URL(String(url), doc.baseURI).href) || String(url);
/** @param {string} url */
const sameOrigin = (url) => options.propagate !== false && url.startsWith(win.location.origin + "/");

function watchFetch() {
  wrap(win, "fetch", (real) => function (/** @type {any} */ input, /** @type {any} */ init) {
    const request = typeof input === "object" && input.url ? input : null;
    const url = absolute(request ? request.url : input);
    if (own(url)) return real.call(win, input, init);
    const call = begin((init && init.method) || (request && request.method) || "GET", url);
    if (sameOrigin(url)) {
      const headers = new Headers((init && init.headers) || (request && request.headers) || {});
      carry(call, (name, value) => headers.has(name) || headers.set(name, value));
      call.id = headers.get("x-request-id") || "";
      init = { ...init, headers };
    }
    return real.call(win, input, init).then((/** @type {any} */ response) => {
      finish(call, response.status, response.headers.get("x-request-id"));
      return response;
    }, (/** @type {any} */ error) => {
      if (error && error.name === "AbortError") finish(call, -1);
      else {
        finish(call, 0, "", String((error && error.message) || error));
        if (error && typeof error === "object") seen.add(error);
      }
      throw error;
    });
  });
}

function watchXhr() {
  const proto = win.XMLHttpRequest && win.XMLHttpRequest.prototype;
  wrap(proto, "open", (real) => function (/** @type {any[]} */ ...args) {
    // @ts-ignore
    this.mamimon = [args[0], absolute(args[1])];
    // @ts-ignore
    return real.apply(this, args);
  });
  wrap(proto, "send", (real) => function (/** @type {any[]} */ ...args) {
    // @ts-ignore
    const xhr = this, [method, url] = xhr.mamimon || [];
    if (url && !own(url)) {
      const call = begin(method, url);
      if (sameOrigin(url)) tried(() => carry(call, (name, value) => xhr.setRequestHeader(name, value)));
      let state = 0, why = "";
      xhr.addEventListener("abort", () => { state = -1; });
      xhr.addEventListener("timeout", () => { why = "timed out"; });
      xhr.addEventListener("loadend", () => finish(call, state || xhr.status, "", why));
    }
    return real.apply(xhr, args);
  });
}

/** @param {string} method @param {string} url */
const begin = (method, url) => {
  const id = hex();
  return { method: String(method).toUpperCase(), url, at: now(), id, trace: id, error: new Error() };
};
/** Sends the ids on, as headers of a request. @param {any} call @param {(name: string, value: string) => void} set */
function carry(call, set) {
  set("x-request-id", call.id);
  set("traceparent", `00-${call.trace}-${hex(16)}-01`);
}

/**
 * Notes a finished request and reports a failed one; status 0 is a network failure, -1 an abort.
 * @param {any} call @param {number} status @param {string | null} [id] @param {string} [why]
 */
function finish(call, status, id, why) {
  const failed = status === 0 || (status > 0 && (options.isApiError || ((code) => code >= 400))(status, call.url));
  addBreadcrumb({ category: "fetch", type: "http", level: failed ? "error" : "info", data: { method: call.method, url: call.url, status_code: status, seconds: +(now() - call.at).toFixed(3) } });
  if (!failed) return;
  const { host, pathname, origin } = new URL(call.url, doc.baseURI);
  const place = (origin === win.location.origin ? "" : host) + pathname;
  const type = status ? "ApiError" : "NetworkError";
  send({
    exception: { values: [{
      type,
      value: `${call.method} ${place} ${status ? "answered " + status : why || "failed"}`,
      mechanism: { type: "fetch", handled: true },
      // The two calls above the page's own are ours.
      stacktrace: { frames: frames(call.error).slice(0, -2) },
    }] },
    fingerprint: [type, call.method, place.replace(/\d+|[0-9a-f-]{16,}/gi, "*"), String(status)],
    tags: { "http.status": String(status), request_id: id || call.id },
    contexts: { request: { method: call.method, url: call.url, status, reason: why }, trace: { trace_id: call.trace } },
  });
}

/**
 * Stack frames with the outermost first, from the stacks of Chromium, Firefox and Safari.
 * @param {any} error
 */
function frames(error) {
  /** @type {any[]} */
  const found = [];
  String(error.stack || "").split("\n").slice(0, 60).forEach((line) => {
    const at = /^\s*at (?:(?:async )?(.*?) \()?(.*?)(?::(\d+))?(?::(\d+))?\)?$/.exec(line) || /^(.*?)@(.*?)(?::(\d+))?(?::(\d+))?$/.exec(line);
    if (at && at[2]) found.unshift({ function: at[1] || "?", filename: at[2], lineno: +at[3] || undefined, colno: +at[4] || undefined });
  });
  return found;
}

/** @param {any} thrown @param {string} mechanism @param {any} [event] */
function exceptions(thrown, mechanism, event) {
  const values = [];
  for (let one = thrown, depth = 0; one != null && depth < 5; one = one.cause, depth += 1) {
    const real = typeof one === "object" && "message" in one;
    let stack = real ? frames(one) : [];
    if (!stack.length && event && event.filename) stack = [{ filename: event.filename, lineno: event.lineno, colno: event.colno, function: "?" }];
    values.unshift({
      type: real ? one.name : /rej/.test(mechanism) ? "UnhandledRejection" : "Error",
      value: real ? String(one.message) : typeof one === "object" ? tried(() => JSON.stringify(one)) || "[object]" : String(one),
      mechanism: { type: mechanism, handled: !/^on/.test(mechanism) },
      stacktrace: stack.length ? { frames: stack } : undefined,
    });
    if (!real) break;
  }
  return { values };
}

/** @param {any} thrown @param {string} mechanism @param {any} [event] @param {any} [extra] */
function report(thrown, mechanism, event, extra) {
  if (thrown && typeof thrown === "object") {
    if (seen.has(thrown)) return "";
    seen.add(thrown);
  }
  return send({ exception: exceptions(thrown, mechanism, event), ...extra });
}

/** Reports an error that was caught. @param {unknown} error @param {any} [extra] */
function captureException(error, extra) {
  return report(error, "generic", null, extra);
}

/** Reports a message. @param {string} message @param {string} [level] */
function captureMessage(message, level) {
  return send({ message: String(message), level: level || "info" });
}

/** @param {any} event */
function send(event) {
  if (!started || Math.random() >= /** @type {number} */ (options.sampleRate)) return "";
  // A page in a loop of errors must not become a flood.
  if (now() - minute > 60) { minute = now(); sent = 0; }
  if (++sent > 60) return "";
  const { location, navigator } = win;
  event = { event_id: hex(), timestamp: now(), platform: "javascript", level: "error", release: options.release, environment: options.environment, breadcrumbs: crumbs.slice(), sdk: { name: "mamimon.browser", version: "0.1.0" }, ...event };
  event.user = { id: distinctId(), ...user };
  event.tags = { ...tags, ...event.tags };
  if (location) {
    event.request = { url: location.href, headers: { "User-Agent": navigator.userAgent, Referer: doc.referrer } };
    event.contexts = { page: {
      title: doc.title, viewport: win.innerWidth + "×" + win.innerHeight,
      language: navigator.language, referrer: doc.referrer, online: navigator.onLine,
    }, ...event.contexts };
  }
  if (options.beforeSend) event = options.beforeSend(event);
  if (!event) return "";
  post(`/api/${project}/envelope/?sentry_version=7&sentry_key=${key}`, [{ event_id: event.event_id, sent_at: new Date().toISOString() }, { type: "event" }, event].map((one) => JSON.stringify(one)).join("\n"));
  return event.event_id;
}

/**
 * Sends a body, or keeps it until the browser is online. Plain text, so no preflight is needed.
 * @param {string} path @param {string} body @param {boolean} [leaving]
 */
function post(path, body, leaving) {
  const url = base + path;
  if (leaving && win.navigator.sendBeacon && win.navigator.sendBeacon(url, body)) return;
  if (now() < quietUntil) { keep(path, body); return; }
  realFetch(url, { method: "POST", body, keepalive: body.length < 6e4, credentials: "omit", referrerPolicy: "origin" }).then((/** @type {any} */ response) => {
    if (response.status === 429 || response.status === 503) {
      quietUntil = now() + (+response.headers.get("retry-after") || 60);
      keep(path, body);
    }
  }, () => keep(path, body));
}

/** @param {string} path @param {string} body */
function keep(path, body) {
  const queue = (tried(() => JSON.parse(recall(QUEUE))) || []).concat([[path, body]]);
  while (queue.length > 30) queue.shift();
  // A full storage keeps what it has.
  store(QUEUE, JSON.stringify(queue));
}

function resend() {
  const queue = tried(() => JSON.parse(recall(QUEUE)));
  if (!queue || !queue.length) return;
  store(QUEUE, "[]");
  queue.forEach((/** @type {any} */ one) => post(one[0], one[1]));
}

/** Notes something that an error report should tell of. @param {any} crumb */
function addBreadcrumb(crumb) {
  crumbs.push({ timestamp: now(), level: "info", ...crumb });
  if (crumbs.length > 30) crumbs.shift();
}

/** Counts a product event; sent in batches. @param {string} type @param {Record<string, unknown>} [properties] */
function trackEvent(type, properties) {
  if (!started && !initializeErrorTracking()) return;
  events.push({ event: type, distinct_id: distinctId(), properties: { $current_url: doc && win.location.href, ...properties }, timestamp: new Date().toISOString() });
  if (events.length >= 20) flush();
  else timer = timer || setTimeout(flush, 2000);
}

/** Sends waiting product events now. @param {boolean} [leaving] */
function flush(leaving) {
  clearTimeout(timer);
  timer = 0;
  if (!events.length) return;
  const body = JSON.stringify({ api_key: key, batch: events });
  events = [];
  post("/batch/", body, leaving === true);
}

/** Says who the user is, for events and errors. @param {string} id @param {Record<string, unknown>} [traits] */
function identify(id, traits) {
  user = { ...traits, id };
}

/** Says who met the errors; null forgets. @param {any} value */
function setUser(value) {
  user = value;
}

/** Sets a tag of every later error. @param {string} name @param {string} value */
function setTag(name, value) {
  tags[name] = value;
}

export { initializeErrorTracking, captureException, captureMessage, trackEvent, identify, setUser, setTag, addBreadcrumb, flush };
