// Runs each mistake in several ways and sends it with @sentry/node; the tag `corpus` is its label.
"use strict";

const net = require("node:net");
const crypto = require("node:crypto");
const Sentry = require("@sentry/node");

const N = Number(process.env.ROUND);
Sentry.init({ dsn: process.env.DSN, release: process.env.RELEASE, tracesSampleRate: 0 });

const express = require("express");
const { z } = require("zod");
const orders = require("./lib/orders");
const prices = require("./lib/prices");

async function caught(label, run) {
  await Sentry.withScope(async (scope) => {
    scope.setTag("corpus", label);
    try {
      await run();
    } catch (error) {
      Sentry.captureException(error);
      return;
    }
    throw new Error(`${label} did not fail`);
  });
}

function dial(port) {
  return new Promise((resolve, reject) => {
    net.connect(port, "127.0.0.1", resolve).on("error", reject);
  });
}

function nested(levels, leaf) {
  let node = leaf;
  for (let level = 0; level < levels; level++) node = { name: "n" + level, children: [{ name: "ok" }, node] };
  return node;
}

const Order = z.object({ id: z.number(), lines: z.array(z.object({ sku: z.string() })) });
const parseOrder = (body) => Order.parse(body);

async function pages() {
  const app = express();
  app.use((req, res, next) => { Sentry.getIsolationScope().setTag("corpus", req.headers["x-corpus"]); next(); });
  app.use(express.json());
  app.get("/price/:sku", (req, res) => { res.json(prices.unitPrice(req.params.sku)); });
  app.get("/orders/:id", async (req, res) => { res.json(await orders.loadOrder(req.params.id, new Map())); });
  app.post("/orders", (req, res) => { res.json(parseOrder(req.body)); });
  app.get("/report", function report(req, res) { res.json(res.locals.account.owner.name); });
  app.use((error, req, res, next) => {
    Sentry.captureException(error);
    res.status(500).end();
  });
  const server = app.listen(0);
  const base = `http://127.0.0.1:${server.address().port}`;
  const ask = (label, path, body) => fetch(base + path, {
    method: body === undefined ? "GET" : "POST", body,
    headers: { "x-corpus": label, "content-type": "application/json" },
  });
  await ask("node-price-missing", "/price/gadget" + N);
  await ask("node-order-unknown", "/orders/" + (500 + N));
  await ask("node-zod", "/orders", JSON.stringify({ id: "x".repeat(N + 1), lines: [] }));
  await ask("node-report", "/report?round=" + N);
  await ask("node-body", "/orders", "{" + " ".repeat(N) + "oops");
  server.close();
}

async function main() {
  const sku = "gadget-" + crypto.randomUUID();
  await caught("node-price-missing", () => prices.unitPrice(sku));
  await caught("node-price-missing", () => prices.cartTotal({ lines: [{ sku: "mug", quantity: 1 }, { sku, quantity: N }] }));
  await caught("node-price-missing", () => new prices.Cart([{ sku, quantity: 1 }]).total);
  await caught("node-cart-json", () => prices.Cart.fromJson("{".repeat(N + 1)));
  await caught("node-cart-json", () => prices.Cart.fromJson("<html>" + N));
  await caught("node-coupon", () => new prices.Cart([]).apply({ code: "SPRING" + N }));
  await caught("node-average", () => prices.average(Object.assign([], { name: "p" + N })));
  const store = new Map([[1, { address: {} }], [2, { address: {} }]]);
  await caught("node-ship-city", () => orders.ship(1 + (N % 2), store));
  await caught("node-ship-city", () => orders.shipMany([1, 2], store));
  await caught("node-ship-city", () => orders.exportAll([2], store));
  await caught("node-order-unknown", () => orders.ship(900 + N, store));
  await caught("node-order-unknown", () => orders.shipMany([77 + N], store));
  await caught("node-pay-refused", () => orders.pay(3000 + N, () => dial(9)));
  await caught("node-pay-type", () => orders.pay(3000 + N, (order) => order.card.number));
  await caught("node-invoice", () => orders.readInvoice(`/srv/invoices/${sku}.pdf`));
  await caught("node-template", () => new Promise((resolve, reject) => {
    orders.readTemplate(`/srv/templates/mail-${N}.html`, (error) => (error ? reject(error) : resolve()));
  }));
  const loop = {}; loop.next = loop;
  Error.stackTraceLimit = 10 + 8 * N;
  await caught("node-recursion", () => orders.countChildren(loop));
  await caught("node-walk", () => orders.walk(nested(1 + 2 * N, { id: N }), ""));
  Error.stackTraceLimit = 50;
  await caught("node-points", () => orders.emitPaid({ id: N }));
  await caught("node-points", () => orders.later({ id: N }));
  await caught("node-guard-quantity", () => orders.setQuantity(100 + N));
  await caught("node-guard-country", () => orders.setCountry("D" + "E".repeat(N + 1)));
  await caught("node-guard-street", () => orders.needStreet({ n: N }));
  await caught("node-guard-city", () => orders.needCity({ n: N }));
  await caught("node-zod", () => parseOrder({ id: String(N), lines: [] }));
  await caught("node-any", () => Promise.any([dial(9), dial(10 + N)]));
  await caught("node-text", () => { throw `quota of tenant ${N} is used up`; });
  for (const [label, text] of [
    ["node-msg-slow", `query took ${N * 317 + 1000} ms`],
    ["node-msg-lost", `lost connection to 127.0.0.1:${7000 + N}`],
    ["node-msg-session", `session ${crypto.randomUUID()} expired`],
    ["node-msg-token", `session ${crypto.randomUUID()} was revoked`],
  ]) {
    Sentry.withScope((scope) => { scope.setTag("corpus", label); Sentry.captureMessage(text); });
  }
  await pages();
  await Sentry.close(5000);
}

main();
