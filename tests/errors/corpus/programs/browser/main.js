// Runs each mistake in several ways and sends it with @sentry/browser; the tag `corpus` is its label.
import * as Sentry from "@sentry/browser";
import * as shop from "./cart.js";
import { padding } from "./padding.js";

const { dsn, release, round: N, base } = window.CORPUS;
let sent = () => {};
let label = "";
Sentry.init({ dsn, release, beforeSend(event) { event.tags = { corpus: label }; sent(); return event; } });

// One mistake at a time: the next begins when the SDK has sent this one, or dropped it as a repetition.
async function one(name, run) {
  label = name;
  const done = new Promise((resolve) => { sent = resolve; setTimeout(resolve, 1500); });
  await run();
  await done;
}

const caught = (name, run) => one(name, async () => {
  try {
    await run();
  } catch (error) {
    Sentry.captureException(error);
    return;
  }
  console.error(`${name} did not fail`);
});

// Not caught by anybody: the global handlers see it.
const handler = (name, run) => one(name, () => {
  const button = document.createElement("button");
  button.addEventListener("click", run);
  document.body.append(button);
  button.click();
});

const rejected = (name, run) => one(name, () => { setTimeout(() => { run(); }, 0); });

async function main() {
  const view = () => new shop.CartView(document.getElementById("cart"));
  await caught("web-variant", () => view().addItem({ id: N }, 1));
  await handler("web-variant", () => view().addItem({ id: N, name: "x" }, 2));
  await caught("web-price-amount", () => view().addItem({ variant: { sku: "mug" + N } }, 1));
  await handler("web-price-amount", () => { const one = view(); one.items.push({ sku: "a" }); one.renderTotal(); });
  await caught("web-remove", () => view().removeItem(N));
  await handler("web-remove", () => view().removeItem(0));
  await caught("web-coupon", () => view().applyCoupon({ code: "A" + N }));
  await caught("web-currency", () => shop.formatPrice(N, "EURO" + N));
  await caught("web-settings", () => shop.parseSettings("{".repeat(N + 1)));
  await caught("web-settings", () => shop.parseSettings("<p>" + N));
  await caught("web-product-404", () => shop.fetchProduct(400 + N, base));
  await caught("web-product-404", () => shop.showProduct(500 + N, base, () => {}));
  await caught("web-product-404", () => shop.prefetch([600 + N], base));
  await rejected("web-product-404", () => shop.showProduct(700 + N, base, () => {}));
  await caught("web-offline", () => shop.fetchProduct(1 + N, "http://127.0.0.1:9"));
  const loop = {}; loop.next = loop;
  await caught("web-recursion", () => shop.countNodes(loop));
  await caught("web-lines", () => shop.sumLines([{ net: { value: N } }, {}]));
  await handler("web-lines", () => shop.sumLines([{}]));
  await caught("web-dialog", () => shop.openDialog("dialog-" + N));
  await handler("web-dialog", () => shop.openDialog("other"));
  await caught("web-analytics", () => shop.track("view" + N));
  await caught("web-hash", () => shop.decodeHash("#%E0%A4%" + N));
  await caught("web-image", () => shop.firstImage({ images: [] }));
  await handler("web-image", () => shop.firstImage({ images: [] }));
  await caught("web-storage", () => shop.readStorage("missing" + N));
  await caught("web-not-a-function", () => padding.list.forEachItem((item) => item + N));
  await caught("web-undefined-name", () => notDeclaredAnywhere(N));
  await one("web-msg-quota", () => Sentry.captureMessage(`quota of ${N + 3} MB exceeded`));
  await rejected("web-reject-object", () => Promise.reject({ code: 40 + N, reason: "denied" }));
  await rejected("web-reject-text", () => Promise.reject("token 12" + N + " expired"));
  if (!(await Sentry.flush(20000))) console.error("not all was sent");
  document.title = "done";
}

main();
