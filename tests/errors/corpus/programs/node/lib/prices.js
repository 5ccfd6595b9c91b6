// Prices and carts.
"use strict";

const PRICES = new Map([["mug", { net: 7 }], ["shirt", { net: 19 }]]);

function unitPrice(sku) {
  const found = PRICES.get(sku);
  return found.net;
}

function cartTotal(cart) {
  return cart.lines.reduce((sum, line) => sum + unitPrice(line.sku) * line.quantity, 0);
}

class Cart {
  constructor(lines) { this.lines = lines; }

  get total() { return cartTotal(this); }

  static fromJson(text) { return new Cart(JSON.parse(text).lines); }

  apply(coupon) {
    return coupon.rules.map((rule) => rule.factor * this.total);
  }
}

function average(values) {
  if (values.length === 0) throw new RangeError(`no values to average for product ${values.name}`);
  return values.reduce((a, b) => a + b) / values.length;
}

module.exports = { unitPrice, cartTotal, Cart, average };
