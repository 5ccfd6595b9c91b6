// The graph page: completion of metric names, functions and labels at the caret, and more query boxes.
(() => {
  "use strict";
  const list = document.getElementById("metric-names");
  let words = [];
  const ask = async () => {
    try {
      const [names, language] = await Promise.all([
        fetch("/api/v1/label/__name__/values").then((answer) => answer.json()),
        fetch("/api/mamimon/promql/words").then((answer) => answer.json()),
      ]);
      words = [...names.data, ...language.functions.map((one) => one.name), ...language.aggregators];
    } catch (error) { words = []; }
  };
  const complete = (box) => {
    const head = box.value.slice(0, box.selectionStart), found = /[a-zA-Z_:][\w:]*$/.exec(head);
    if (!found || found[0].length < 2) { list.replaceChildren(); return; }
    const before = head.slice(0, found.index), after = box.value.slice(box.selectionStart);
    const hits = words.filter((word) => word.includes(found[0]) && word !== found[0]).slice(0, 20);
    list.replaceChildren(...hits.map((word) => { const option = document.createElement("option"); option.value = before + word + after; option.label = word; return option; }));
  };
  document.addEventListener("input", (event) => { if (event.target.matches(".query .q")) complete(event.target); });
  document.addEventListener("focusin", (event) => { if (event.target.matches(".query .q") && !words.length) ask(); });
  document.addEventListener("click", (event) => {
    if (!event.target.matches("[data-add-query]")) return;
    const last = [...document.querySelectorAll(".query")].pop(), copy = last.cloneNode(true);
    copy.querySelector("input").value = "";
    last.after(copy);
    copy.querySelector("input").focus();
  });
})();
