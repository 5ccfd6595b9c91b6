// Draws every <figure class="chart" data-src="…">: one JSON answer a chart, drawn by uPlot.
// Answer: {times:[epoch s], series:[{name, values:[number|null]}], marks:[{time,label,kind}], threshold:{value,label}, error}
// data-kind: line (default) | bars | stack | heat (answer: {times, lower, upper, counts}).
// A series may have its own unit, colour (c1…c6, ok, warn, crit, #rrggbb) and, with right, the axis on the right.
// exemplars:[{time, value, label, url}] of the answer are dots that lead somewhere.
// data-within: seconds for a first answer, which may be partial. data-unit: see units.py. data-refresh: seconds. data-key: a board (board.js) asks for it together with others.
// data-warn, data-limit: thresholds. data-low, data-high: ends of the axis. data-log: logarithmic.
(() => {
  "use strict";
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const spoken = document.documentElement.lang || "en";
  const lang = navigator.languages.find((one) => one.split("-")[0] === spoken) || spoken;
  const plain = new Intl.NumberFormat(lang, { maximumSignificantDigits: 4 });
  const short = new Intl.NumberFormat(lang, { notation: "compact", maximumSignificantDigits: 3 });

  // Log levels keep their colour in every chart of bars; the rest take the next of the six.
  const LEVELS = { DEBUG: "--c6", INFO: "--c1", NOTICE: "--c3", WARNING: "--warn", ERROR: "--crit", CRITICAL: "--crit" };

  const SECONDS = { ms: 1e-3, us: 1e-6, ns: 1e-9 };
  const SUFFIX = { rate: "/s", hertz: "Hz", celsius: "°C", volt: "V", amp: "A", watt: "W", bits: "bit", "bits/s": "bit/s" };
  function show(value, unit) {
    if (value == null) return "–";
    if (unit === "bytes" || unit === "bytes/s") {
      const units = ["B", "KiB", "MiB", "GiB", "TiB"];
      let i = 0;
      while (Math.abs(value) >= 1024 && i < units.length - 1) { value /= 1024; i += 1; }
      return plain.format(Number(value.toPrecision(3))) + " " + units[i] + unit.slice(5);
    }
    if (unit === "date") return new Date(value * 1000).toLocaleString(lang, { hourCycle: "h23" });
    if (SECONDS[unit]) { value *= SECONDS[unit]; unit = "s"; }
    if (unit === "s") return Math.abs(value) < 1 && value !== 0 ? plain.format(Number((value * 1000).toPrecision(3))) + " ms" : plain.format(Number(value.toPrecision(3))) + " s";
    if (unit === "percent") return plain.format(Number(value.toPrecision(3))) + " %";
    if (unit === "ratio") return plain.format(Number((value * 100).toPrecision(3))) + " %";
    if (SUFFIX[unit]) return short.format(value) + " " + SUFFIX[unit];
    return Math.abs(value) >= 10000 ? short.format(value) : plain.format(Number(value.toPrecision(4)));
  }

  // The axis of time in the page's language and on one line; a midnight shows its day.
  const axisDay = new Intl.DateTimeFormat(lang, { day: "numeric", month: "short" });
  const axisMinute = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const axisSecond = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
  function tick(at, step) {
    const when = new Date(at * 1000);
    if (step >= 86400 || (step >= 60 && when.getHours() === 0 && when.getMinutes() === 0)) return axisDay.format(when);
    return (step < 60 ? axisSecond : axisMinute).format(when);
  }

  // A tip says the day too where the chart shows more than one.
  const tipDay = new Intl.DateTimeFormat(lang, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const told = (at, times) => (times[times.length - 1] - times[0] > 86400 ? tipDay : axisSecond).format(new Date(at * 1000));

  const own = (colour) => (!colour || colour[0] === "#" ? colour : css("--" + colour));

  // A status or level that is a failure has the colour of one.
  const bad = (name) => /^5\d\d$|error|5xx|crit/i.test(name);

  function stacked(columns) {
    const sums = new Float64Array(columns[0] ? columns[0].length : 0);
    return columns.map((column) => Array.from(column, (value, i) => { sums[i] += value == null ? 0 : value; return sums[i]; }));
  }

  // The step between points: a bar stands from its time to the next.
  const width = (times) => { let least = Infinity; for (let i = 1; i < times.length; i += 1) least = Math.min(least, times[i] - times[i - 1]); return Number.isFinite(least) ? least : 60; };
  const BYTES = Array.from({ length: 46 }, (_, i) => 2 ** i);

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.plot = null;
      this.size = new ResizeObserver(() => this.fit());
      this.size.observe(figure);
      figure.addEventListener("mamimon:picture", (event) => { event.detail.canvas = this.picture(event.detail.title); });
      figure.addEventListener("mamimon:data", (event) => this.take(event.detail));
      this.took = 0;
      this.load();
      const every = Number(figure.dataset.refresh || 0);
      this.failures = 0;
      // Doubled for each failure, five minutes at most; what takes long is asked a tenth of the time.
      const next = () => { this.timer = setTimeout(async () => { if (!figure.isConnected) { this.end(); return; } if (!document.hidden) await this.load(); next(); }, Math.min(300, Math.max(10 * this.took, every * 2 ** Math.min(6, this.failures))) * 1000); };
      if (every > 0) next();
    }
    end() { clearTimeout(this.timer); this.size.disconnect(); if (this.plot) this.plot.destroy(); }
    fit() { if (this.plot && (this.plot.width !== this.figure.clientWidth || this.plot.height !== this.figure.clientHeight)) this.plot.setSize({ width: this.figure.clientWidth, height: this.figure.clientHeight }); }
    async load() {
      if (!this.plot) this.figure.classList.add("loading");
      // A board asks for all its charts at once and hands each its answer.
      if (this.figure.dataset.key) { this.figure.dispatchEvent(new CustomEvent("mamimon:want", { bubbles: true })); return; }
      const began = performance.now(), stop = new AbortController(), patience = setTimeout(() => stop.abort(new Error(this.figure.dataset.stale)), 30000);
      try {
        const { src, within } = this.figure.dataset;
        let data = await this.ask(within && !this.plot ? src + (src.includes("?") ? "&" : "?") + "within=" + within : src, stop.signal);
        if (data.partial && within && !this.plot) {
          // What was counted in a moment is shown while the rest is.
          this.take({ ...data, counting: true });
          this.figure.classList.add("loading");
          data = await this.ask(src, stop.signal);
        }
        this.failures = 0;
        this.figure.classList.remove("stale");
        this.take(data);
      } catch (error) {
        this.failures += 1;
        // What is drawn stays, and says that it is old.
        if (this.plot) this.figure.classList.add("stale"); else this.say(error.message || String(error), true);
      } finally { clearTimeout(patience); this.took = (performance.now() - began) / 1000; this.figure.classList.remove("loading"); }
    }
    async ask(url, signal) {
      const answer = await fetch(url, { headers: { Accept: "application/json" }, signal }), data = await answer.json();
      if (!answer.ok) throw new Error(data.error || answer.statusText);
      return data;
    }
    take(data) {
      this.figure.classList.remove("loading");
      if (data.error) this.say(data.error, true); else this.draw(data);
      this.figure.dispatchEvent(new CustomEvent("mamimon:answer", { bubbles: true, detail: data }));
    }
    say(text, wrong) {
      if (this.plot) { this.plot.destroy(); this.plot = null; }
      let box = this.figure.querySelector(".message");
      if (!box) { box = document.createElement("div"); box.className = "message"; this.figure.append(box); }
      box.textContent = text;
      box.classList.toggle("wrong", Boolean(wrong));
    }
    draw(data) {
      if (this.figure.dataset.kind === "heat") { this.heat(data); return; }
      if (!data.series || !data.series.length || !data.times.length) { this.say(this.figure.dataset.empty || "No data"); this.legend([]); return; }
      const old = this.figure.querySelector(".message");
      if (old) old.remove();
      const kind = this.figure.dataset.kind || "line", unit = this.figure.dataset.unit || "";
      const names = data.series.map((one) => one.name);
      let columns = data.series.map((one) => one.values);
      if (kind === "stack") columns = stacked(columns).reverse();
      const shape = [kind, ...data.series.map((one) => [one.name, one.colour, one.unit, one.right].join("\t"))].join("\n");
      const table = [data.times, ...columns];
      if (this.figure.dataset.limit && !data.threshold) data.threshold = { value: Number(this.figure.dataset.limit), label: "" };
      this.extra = data;
      if (this.plot && this.shape === shape) { this.plot.setData(table); }
      else { if (this.plot) this.plot.destroy(); this.shape = shape; this.plot = this.make(table, names, kind, unit); }
      this.legend(names);
      this.fit();  // the legend took its room, in the same frame as no observer sees
      this.figure.dataset.points = String(data.times.length);
      this.alternative(data, unit);
    }
    make(table, names, kind, unit) {
      const bars = kind === "bars" || kind === "stack";
      const given = this.extra.series, right = kind === "stack" ? undefined : given.find((one) => one.right);
      const colour = (i) => own(given[i].colour) || css(bars && LEVELS[names[i]] || "--c" + (i % 6 + 1));
      const order = names.map((_, i) => i), log = this.figure.dataset.log !== undefined;
      const series = [{}, ...order.map((i) => {
        const stroke = bad(names[i]) && bars && !given[i].colour ? css("--crit") : colour(i), scale = right && given[i].right ? "r" : "y";
        return bars
          ? { scale, label: names[i], stroke, fill: stroke, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.85, 40], align: 1 }), value: (u, v) => show(v, unit) }
          : { scale, label: names[i], stroke, width: 1.5, ...(i > 5 && !given[i].colour && { dash: i > 11 ? [2, 3] : [7, 3] }), points: { show: table[i + 1].filter((v) => v != null).length < 3 }, fill: names.length === 1 ? stroke + "1a" : undefined, value: (u, v) => show(v, unit) };
      })];
      // The highest sum is drawn first, so that the lower ones stand in front of it.
      if (kind === "stack") series.splice(1, order.length, ...series.slice(1).reverse());
      const axis = { stroke: css("--text-3"), grid: { stroke: css("--line-2"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
      const figure = this.figure;
      return new uPlot({
        width: figure.clientWidth || 300, height: figure.clientHeight || 160,
        cursor: { sync: { key: figure.closest("[data-sync]") ? "page" : undefined }, drag: { x: true, y: false, setScale: false } },
        legend: { show: false }, padding: [8, 18, 0, 0],
        scales: { x: { range: (u, min, max) => [min, max + (bars ? width(u.data[0]) : 0)] }, y: { distr: log ? 3 : 1, range: (u, min, max) => this.ends(min, max, log)}, ...(right && { r: { distr: log ? 3 : 1, range: (u, min, max) => this.free(min, max, log) } }) },
        axes: [{ ...axis, size: 28, space: 72, values: (u, ticks, _, __, step) => ticks.map((at) => tick(at, step)) }, { ...axis, size: (u, texts) => Math.max(58, 14 + 6.6 * Math.max(0, ...(texts || []).map((one) => one.length))), space: figure.clientHeight < 120 ? 16 : 30, ...(unit === "bytes" && { incrs: BYTES }), values: (u, ticks) => ticks.map((v) => (v == null ? "" : show(v, unit))) }, ...(right ? [{ ...axis, scale: "r", side: 1, grid: { show: false }, size: (u, texts) => Math.max(50, 14 + 6.6 * Math.max(0, ...(texts || []).map((one) => one.length))), values: (u, ticks) => ticks.map((v) => (v == null ? "" : show(v, right.unit ?? unit))) }] : [])],
        series,
        hooks: {
          draw: [(u) => this.marks(u), (u) => this.dots(u)],
          setSelect: [(u) => { if (u.select.width > 4) this.zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")); }],
        },
        plugins: [this.tip(unit), { hooks: { init: (u) => this.touch(u) } }],
      }, table, figure);
    }
    // A finger chooses a part of the time by moving sideways; up and down it scrolls the page (touch-action).
    touch(u) {
      let from = null;
      const at = (event) => Math.min(u.over.clientWidth, Math.max(0, event.clientX - u.over.getBoundingClientRect().left));
      const mark = (left, width) => u.setSelect({ left, width, top: 0, height: width ? u.over.clientHeight : 0 }, false);
      u.over.addEventListener("pointerdown", (event) => { if (event.pointerType !== "mouse") from = at(event); });
      u.over.addEventListener("pointermove", (event) => { if (from !== null) mark(Math.min(from, at(event)), Math.abs(at(event) - from)); });
      u.over.addEventListener("pointercancel", () => { if (from !== null) mark(0, 0); from = null; });
      u.over.addEventListener("pointerup", (event) => {
        if (from === null) return;
        const ends = [from, at(event)].sort((a, b) => a - b);
        from = null;
        if (ends[1] - ends[0] > 12) this.zoom(u.posToVal(ends[0], "x"), u.posToVal(ends[1], "x")); else mark(0, 0);
      });
    }
    tip(unit) {
      let box;
      return { hooks: {
        init: (u) => { box = document.createElement("div"); box.className = "tip"; box.hidden = true; u.over.append(box); },
        setCursor: (u) => {
          const i = u.cursor.idx;
          if (i == null || u.cursor.left < 0) { box.hidden = true; return; }
          const when = told(u.data[0][i], u.data[0]);
          const rows = this.extra.series.map((one) => [one.name, one.values[i], one.unit ?? unit]).filter((row) => row[1] != null).sort((a, b) => b[1] - a[1]).slice(0, 8);
          const near = (this.extra.marks || []).filter((one) => Math.abs(u.valToPos(one.time, "x") - u.cursor.left) < 6).map((one) => "◆ " + one.label);
          box.textContent = [when, ...near, ...rows.map((row) => row[0] + "  " + show(row[1], row[2]))].join("\n");
          box.hidden = false;
          const right = u.cursor.left > u.over.clientWidth / 2;
          box.style.left = right ? "" : u.cursor.left + 12 + "px";
          box.style.right = right ? u.over.clientWidth - u.cursor.left + 12 + "px" : "";
        },
      } };
    }
    // Exemplars: links, so that they can be reached by keyboard; those above the chart stand at its edge.
    dots(u) {
      u.over.querySelectorAll(".exemplar").forEach((one) => one.remove());
      const { min, max } = u.scales.x;
      for (const one of this.extra.exemplars || []) {
        if (one.time < min || one.time > max) continue;
        const dot = document.createElement(one.url ? "a" : "span");
        dot.className = "exemplar";
        if (one.url) { dot.href = (document.documentElement.dataset.root || "") + one.url; dot.addEventListener("mousedown", (event) => event.stopPropagation()); }
        dot.title = one.label + "\n" + show(one.value, this.figure.dataset.unit || "");
        dot.setAttribute("aria-label", dot.title);
        dot.style.left = u.valToPos(one.time, "x") + "px";
        dot.style.top = Math.min(u.over.clientHeight, Math.max(0, u.valToPos(one.value, "y"))) + "px";
        u.over.append(dot);
      }
    }
    heat(data) {
      const rows = data.counts || [];
      if (!rows.length || !data.times.length) { this.say(this.figure.dataset.empty || "No data"); return; }
      const old = this.figure.querySelector(".message");
      if (old) old.remove();
      if (this.plot) this.plot.destroy();
      const unit = this.figure.dataset.unit || "", most = Math.max(1e-12, ...rows.map((row) => Math.max(...row.map((v) => v || 0))));
      const wide = width(data.times), edge = (v, end) => (v == null ? end : show(v, unit));
      const axis = { stroke: css("--text-3"), grid: { show: false }, ticks: { show: false }, font: "11px system-ui" };
      const colour = css("--accent"), figure = this.figure;
      const paint = (u) => {
        const { ctx } = u, high = rows.length;
        ctx.save();
        ctx.fillStyle = colour;
        for (let x = 0; x < data.times.length; x += 1) {
          const left = Math.round(u.valToPos(data.times[x] - wide, "x", true)), right = Math.round(u.valToPos(data.times[x], "x", true));
          for (let y = 0; y < high; y += 1) {
            const value = rows[y][x];
            if (!value) continue;
            // By the square root, so that a few slow requests are seen beside many fast ones.
            ctx.globalAlpha = 0.08 + 0.92 * Math.sqrt(value / most);
            const top = Math.round(u.valToPos(y + 1, "y", true)), bottom = Math.round(u.valToPos(y, "y", true));
            ctx.fillRect(left, top, Math.max(1, right - left), Math.max(1, bottom - top));
          }
        }
        ctx.restore();
      };
      let box;
      const tip = {
        init: (u) => { box = document.createElement("div"); box.className = "tip"; box.hidden = true; u.over.append(box); },
        setCursor: (u) => {
          const at = u.posToVal(u.cursor.left, "x"), y = Math.floor(u.posToVal(u.cursor.top, "y")), x = data.times.findIndex((time) => time >= at);
          const value = rows[y] && x >= 0 ? rows[y][x] : null;
          box.hidden = u.cursor.left < 0 || value == null;
          if (box.hidden) return;
          box.textContent = [told(data.times[x], data.times), edge(data.lower[y], "−∞") + " – " + edge(data.upper[y], "+∞"), plain.format(value)].join("\n");
          const right = u.cursor.left > u.over.clientWidth / 2;
          box.style.left = right ? "" : u.cursor.left + 12 + "px";
          box.style.right = right ? u.over.clientWidth - u.cursor.left + 12 + "px" : "";
        },
      };
      this.plot = new uPlot({
        width: figure.clientWidth || 300, height: figure.clientHeight || 160, legend: { show: false }, padding: [8, 18, 0, 0],
        cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false } },
        scales: { x: { range: (u, min, max) => [min - wide, max] }, y: { range: () => [0, rows.length] } },
        axes: [{ ...axis, size: 28, space: 72, values: (u, ticks, _, __, step) => ticks.map((at) => tick(at, step)) }, { ...axis, size: 72, splits: () => { const every = Math.max(1, Math.ceil(rows.length / Math.max(2, figure.clientHeight / 26))); return rows.map((_, y) => y + 1).filter((y) => y % every === 0); }, values: (u, ticks) => ticks.map((y) => edge(data.upper[y - 1], "+∞")) }],
        series: [{}, { show: true, paths: () => null, points: { show: false } }],
        hooks: { draw: [paint], setSelect: [(u) => { if (u.select.width > 4) this.zoom(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")); }] },
        plugins: [{ hooks: tip }],
      }, [data.times, data.times.map(() => 0)], figure);
      figure.dataset.points = String(data.times.length);
      const last = rows.map((row, y) => ({ name: "≤ " + edge(data.upper[y], "+∞"), values: row.map((v) => v == null ? null : v) }));
      this.alternative({ series: last }, "");
    }
    // The axis on the right has no limits: it is as long as what is drawn by it.
    free(min, max, log) {
      if (min == null || max == null) { min = 0; max = 1; }
      if (log) return [Math.max(1e-12, min > 0 ? min / 1.5 : max / 1e4), max * 1.5 || 1];
      return [Math.min(0, min * 1.1), max > 0 ? max * 1.1 : min < 0 ? 0 : 1];
    }
    // The ends of the axis: what is drawn, the limits, and what the panel asks for.
    ends(min, max, log) {
      const given = this.figure.dataset, asked = (name) => (given[name] === undefined ? null : Number(given[name]));
      if (min == null || max == null) { min = 0; max = 1; }
      const low = asked("low"), high = asked("high");
      if (log) return [low > 0 ? low : Math.max(1e-12, min > 0 ? min / 1.5 : max / 1e4), (high ?? max * 1.5) || 1];
      const limit = this.extra.threshold ? this.extra.threshold.value : max;
      const top = high ?? Math.max(max, limit), bottom = low ?? Math.min(0, min);
      return [Math.min(bottom, min), top <= bottom ? bottom + 1 : high === null || max > high ? Math.max(top, max) * 1.1 : top];
    }
    marks(u) {
      const { ctx } = u, ratio = devicePixelRatio, box = u.bbox;
      ctx.save();
      ctx.font = 11 * ratio + "px system-ui";
      ctx.lineWidth = ratio;
      ctx.textBaseline = "alphabetic";
      // A name stands where there is room up to the next mark or the edge; else it is left to the tip.
      const marks = [...(this.extra.marks || [])].sort((a, b) => a.time - b.time), end = box.left + box.width;
      const places = marks.map((one) => u.valToPos(one.time, "x", true)).filter((x) => x >= box.left && x <= end);
      let free = box.left;
      for (const mark of marks) {
        const x = Math.round(u.valToPos(mark.time, "x", true)) + 0.5;  // on a pixel, not between two
        if (x < box.left || x > box.left + box.width) continue;
        ctx.strokeStyle = ctx.fillStyle = css(mark.kind === "alert" ? "--crit" : "--accent");
        ctx.setLineDash([3 * ratio, 3 * ratio]);
        ctx.beginPath(); ctx.moveTo(x, box.top); ctx.lineTo(x, box.top + box.height); ctx.stroke();
        const next = places.find((one) => one > x + 1) ?? end;
        const name = mark.label.length > 24 ? mark.label.slice(0, 23) + "…" : mark.label, room = ctx.measureText(name).width + 8 * ratio;
        if (x >= free && x + room <= next) { ctx.textAlign = "left"; ctx.fillText(name, x + 4 * ratio, box.top + 10 * ratio); free = x + room; }
        else if (x - room >= free) { ctx.textAlign = "right"; ctx.fillText(name, x - 4 * ratio, box.top + 10 * ratio); free = x; }
        else free = Math.max(free, x);
      }
      const warn = this.figure.dataset.warn;
      for (const limit of [warn && { value: Number(warn), label: "", colour: "--warn" }, this.extra.threshold]) {
        if (!limit) continue;
        const y = Math.round(u.valToPos(limit.value, "y", true)) + 0.5;
        if (y < box.top || y > box.top + box.height) continue;
        ctx.strokeStyle = ctx.fillStyle = css(limit.colour || "--crit");
        ctx.setLineDash([2 * ratio, 4 * ratio]);
        ctx.beginPath(); ctx.moveTo(box.left, y); ctx.lineTo(box.left + box.width, y); ctx.stroke();
        ctx.textAlign = "left";
        ctx.fillText(limit.label || "", box.left + 2 * ratio, y - 4 * ratio);
      }
      ctx.restore();
    }
    // The chart as a picture, on the page's own ground and under its title.
    picture(title) {
      const source = this.figure.querySelector("canvas");
      if (!source) return null;
      const ratio = devicePixelRatio, head = 26 * ratio, names = [...this.figure.parentElement.querySelectorAll(".legend span")].slice(0, 12);
      const canvas = document.createElement("canvas"), ctx = canvas.getContext("2d");
      canvas.width = source.width; canvas.height = source.height + head + (names.length ? 20 * ratio : 0);
      ctx.fillStyle = css("--panel"); ctx.fillRect(0, 0, canvas.width, canvas.height);
      ctx.fillStyle = css("--text"); ctx.font = "600 " + 13 * ratio + "px system-ui"; ctx.fillText(title, 8 * ratio, 17 * ratio);
      ctx.drawImage(source, 0, head);
      let left = 8 * ratio;
      ctx.font = 11 * ratio + "px system-ui";
      for (const one of names) {
        ctx.fillStyle = getComputedStyle(one, "::before").backgroundColor; ctx.fillRect(left, canvas.height - 14 * ratio, 8 * ratio, 8 * ratio);
        ctx.fillStyle = css("--text-2"); ctx.fillText(one.textContent, left + 12 * ratio, canvas.height - 6 * ratio);
        left += 24 * ratio + ctx.measureText(one.textContent).width;
      }
      return canvas;
    }
    zoom(from, to) {
      this.figure.dispatchEvent(new CustomEvent("mamimon:zoom", { bubbles: true, detail: { from, to } }));
      const page = new URL(location.href);
      if (!document.querySelector("[data-zoomable]")) return;
      page.searchParams.set("start", from.toFixed(0));
      page.searchParams.set("end", to.toFixed(0));
      page.searchParams.delete("since");
      location.href = page.href;
    }
    legend(names) {
      let box = this.figure.nextElementSibling;
      if (!box || !box.classList.contains("legend")) {
        if (names.length < 2 && !(names.length && this.figure.dataset.named !== undefined)) return;
        box = document.createElement("div");
        box.className = "legend";
        this.figure.after(box);
      }
      box.replaceChildren(...names.slice(0, 40).map((name, i) => { const item = document.createElement("span"); item.className = LEVELS[name] && this.figure.dataset.kind !== "line" ? "lv-" + name : bad(name) && this.figure.dataset.kind !== "line" ? "kc" : "k" + (i % 6 + 1); if (i > 5 && (this.figure.dataset.kind || "line") === "line") item.className += i > 11 ? " dots" : " dash"; item.textContent = name; const colour = this.extra?.series?.[i]?.colour; if (colour) item.style.setProperty("--k", own(colour)), item.className = "own"; return item; }));
      // What scrolls must be reached by keyboard.
      if (box.scrollHeight > box.clientHeight) box.tabIndex = 0; else box.removeAttribute("tabindex");
      if (names.length > 40) { const more = document.createElement("span"); more.textContent = "+" + (names.length - 40); box.append(more); }
    }
    alternative(data, unit) {
      // For screen readers: the last value of each series, as a table.
      let table = this.figure.querySelector("table");
      if (!table) {
        // A table ignores a width of one pixel and would widen the page, so a box hides it.
        const box = document.createElement("div");
        box.className = "visually-hidden";
        table = document.createElement("table");
        box.append(table);
        this.figure.append(box);
      }
      table.replaceChildren(...data.series.slice(0, 40).map((one) => {
        const row = table.ownerDocument.createElement("tr"), name = row.insertCell(), value = row.insertCell();
        name.textContent = one.name;
        value.textContent = show(one.values.findLast((v) => v != null), one.unit ?? unit);
        return row;
      }));
    }
  }

  const seen = new WeakSet();
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting && !seen.has(entry.target)) { seen.add(entry.target); watch.unobserve(entry.target); new Chart(entry.target); }
  }, { rootMargin: "200px" });
  // On paper there is no scrolling.
  const paper = document.querySelector(".paper") !== null;
  const find = (root) => { for (const figure of root.querySelectorAll("figure.chart[data-src]")) if (paper) new Chart(figure); else watch.observe(figure); };
  document.addEventListener("htmx:afterSwap", (event) => find(event.target));
  document.addEventListener("mamimon:board", (event) => find(event.target));
  find(document);
})();
