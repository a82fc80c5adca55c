"use strict";
// Filters, and the way from a link to the run that it names. Nothing here asks a network.
(() => {
  const form = document.querySelector("form");
  const rows = [...document.querySelectorAll("[data-verdicts]")];
  const counter = document.querySelector("#shown");

  function filter() {
    const verdicts = new Set([...form.querySelectorAll("[name=verdict]:checked")].map((box) => box.value));
    const chapter = form.elements.chapter.value;
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const differing = form.elements.differs?.checked;
    let runs = 0;
    for (const row of rows) {
      const own = row.dataset.verdicts.split(" ").filter(Boolean);
      const text = row.dataset.text.toLowerCase();
      row.hidden = !(
        (own.length ? own.some((verdict) => verdicts.has(verdict)) : verdicts.size === 5) &&
        (!chapter || row.dataset.chapters.split(" ").includes(chapter)) &&
        words.every((word) => text.includes(word)) &&
        (!differing || row.dataset.differs !== "no")
      );
      if (row.matches("details.run") && !row.hidden) runs += 1;
    }
    counter.textContent = `${runs} ${runs === 1 ? "run" : "runs"} shown`;
  }

  function open() {
    const found = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!found) return;
    const run = found.closest("details.run");
    const hidden = found.closest("[hidden]");
    if (hidden) hidden.hidden = false; // what a link names is shown whatever the filter says
    if (run) run.open = true;
    found.scrollIntoView();
  }

  document.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-whole]");
    if (!row || getSelection().toString()) return;
    const cell = row.cells[2];
    [cell.textContent, row.dataset.whole] = [row.dataset.whole, cell.textContent];
    row.classList.toggle("open");
  });
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", open);
  filter();
  open();
})();
