// Orders, through promises, callbacks and events.
"use strict";

const fs = require("node:fs");
const fsp = require("node:fs/promises");
const { EventEmitter } = require("node:events");
const guard = require("./guard");
const prices = require("./prices");

class OrderError extends Error {
  constructor(message, options) { super(message, options); this.name = "OrderError"; }
}

async function loadOrder(id, store) {
  await Promise.resolve();
  if (!store.has(id)) throw new OrderError(`order ${id} does not exist`);
  return store.get(id);
}

async function ship(id, store) {
  const order = await loadOrder(id, store);
  return order.address.city.toUpperCase();
}

async function shipMany(ids, store) {
  return Promise.all(ids.map((id) => ship(id, store)));
}

async function* orders(ids, store) {
  for (const id of ids) yield await ship(id, store);
}

async function exportAll(ids, store) {
  const lines = [];
  for await (const city of orders(ids, store)) lines.push(city);
  return lines;
}

async function pay(order, dial) {
  try {
    await dial(order);
  } catch (error) {
    throw new OrderError(`order ${order} was not paid`, { cause: error });
  }
}

async function readInvoice(path) {
  return fsp.readFile(path, "utf8");
}

function readTemplate(path, done) {
  fs.readFile(path, (error, data) => {
    if (error) return done(error);
    return done(null, data);
  });
}

function countChildren(node) {
  return 1 + countChildren(node.next);
}

function walk(node, path) {
  if (!node.name) throw new OrderError(`node ${path} has no name`);
  return walkChildren(node, path + "/" + node.name);
}

function walkChildren(node, path) {
  return (node.children || []).map((child, at) => walk(child, `${path}[${at}]`));
}

function onPaid(bus) {
  bus.on("paid", (order) => { order.customer.points += 1; });
}

function emitPaid(order) {
  const bus = new EventEmitter();
  onPaid(bus);
  bus.emit("paid", order);
}

function later(order) {
  return new Promise((resolve, reject) => {
    setTimeout(() => {
      try { emitPaid(order); resolve(); } catch (error) { reject(error); }
    }, 1);
  });
}

const setQuantity = (n) => { guard.invariant(n < 100, "at most 99 pieces"); return n; };
const setCountry = (code) => { guard.invariant(code.length === 2, `country ${code} has not two letters`); return code; };
const needStreet = (form) => guard.must(form.street, "street");
const needCity = (form) => guard.must(form.city, "city");

module.exports = { loadOrder, ship, shipMany, exportAll, pay, readInvoice, readTemplate, countChildren, walk, emitPaid, later, setQuantity, setCountry, needStreet, needCity, OrderError, prices };
