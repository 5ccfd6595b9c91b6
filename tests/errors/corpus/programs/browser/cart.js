// The shop in the browser.
export class CartView {
  constructor(root) { this.root = root; this.items = []; }
  addItem(product, quantity) {
    this.items.push({ sku: product.variant.sku, quantity });
    this.renderTotal();
  }
  renderTotal() {
    let total = 0;
    for (const item of this.items) total += item.price.amount * item.quantity;
    this.root.querySelector(".total").textContent = total.toFixed(2);
  }
  removeItem(index) {
    const [removed] = this.items.splice(index, 1);
    this.root.dataset.last = removed.sku;
  }
  applyCoupon(coupon) {
    return coupon.rules.map((rule) => rule.factor).reduce((a, b) => a * b, 1);
  }
}

export function formatPrice(value, currency) {
  return new Intl.NumberFormat("en", { style: "currency", currency }).format(value);
}

export function parseSettings(text) { return JSON.parse(text); }

export async function fetchProduct(id, base) {
  const answer = await fetch(`${base}/products/${id}`);
  if (!answer.ok) throw new Error(`product ${id} answered ${answer.status}`);
  return answer.json();
}

export async function showProduct(id, base, show) {
  const product = await fetchProduct(id, base);
  show(product.name);
}

export async function prefetch(ids, base) {
  return Promise.all(ids.map((id) => fetchProduct(id, base)));
}

export function countNodes(node) { return 1 + countNodes(node.next); }

export function sumLines(lines) { return lines.map((line) => line.net.value).reduce((a, b) => a + b, 0); }

export function openDialog(name) {
  const dialog = document.getElementById(name);
  dialog.showModal();
}

export function track(event) { window.analytics.push(event); }

export function decodeHash(hash) { return decodeURIComponent(hash); }

export function firstImage(product) { return product.images[0].url; }

export function readStorage(key) { return JSON.parse(localStorage.getItem(key)).theme.name; }
