// The page of an issue: copy an event as Markdown. The list: tick all, and bulk actions by keyboard.
(() => {
  "use strict";
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("[data-copy-from]");
    if (!link || !navigator.clipboard || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    try {
      const answer = await fetch(link.dataset.copyFrom);
      if (!answer.ok) throw new Error(answer.statusText);
      await navigator.clipboard.writeText(await answer.text());
      link.textContent = link.dataset.copied;
    } catch { location.href = link.href; }
  });
  const form = document.querySelector("form[data-issues]");
  if (!form) return;
  const rows = [...form.querySelectorAll("[data-issue]")];
  const box = (row) => row.querySelector("input[type=checkbox]");
  const ACTIONS = { e: "resolved", i: "ignored", m: "merge", a: "assign" };
  let at = -1;
  form.querySelector("[data-all]").addEventListener("change", (event) => {
    for (const row of rows) box(row).checked = event.target.checked;
  });
  // Enter in a form presses its first button, which resolves.
  form.querySelector("input[name=assignee]").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    form.querySelector("button[value=assign]").click();
  });
  function move(to) {
    if (at >= 0) rows[at].classList.remove("at");
    at = Math.max(0, Math.min(rows.length - 1, to));
    rows[at].classList.add("at");
    rows[at].scrollIntoView({ block: "nearest" });
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "checkbox") return;
    if (event.key === "j") move(at + 1);
    else if (event.key === "k") move(at - 1);
    else if (event.key === "x" && at >= 0) box(rows[at]).checked = !box(rows[at]).checked;
    else if (event.key === "Enter" && at >= 0 && !/^(A|BUTTON)$/.test(event.target.tagName)) { event.preventDefault(); rows[at].querySelector("a").click(); }
    else if (event.key in ACTIONS) {
      if (at >= 0 && !rows.some((row) => box(row).checked)) box(rows[at]).checked = true;
      if (!rows.some((row) => box(row).checked)) return;
      if (event.key === "a") {
        event.preventDefault();
        form.querySelector(".menu").open = true;
        form.querySelector("input[name=assignee]").focus();
      } else form.querySelector(`button[value=${ACTIONS[event.key]}]`).click();
    }
  });
})();
