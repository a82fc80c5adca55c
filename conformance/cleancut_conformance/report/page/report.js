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

  // The dialogues of a case, inflated: of each run its part of the page, and the whole messages.
  async function unpacked(number) {
    const text = atob(document.getElementById(`pack-${number}`).textContent);
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  function pretty(text) {
    try {
      return JSON.stringify(JSON.parse(text), null, 1);
    } catch {
      return text; // it was too long to be kept whole
    }
  }

  const filling = new Map(); // run -> when its part of the page is there
  function fill(run) {
    if (!filling.has(run)) {
      filling.set(run, unpacked(run.dataset.pack).then((runs) => {
        const [body, wholes] = runs[run.dataset.place];
        const part = document.createElement("div");
        part.innerHTML = body.replaceAll("RUN_ID", run.id);
        run.append(part);
        for (const row of part.querySelectorAll(".log tr")) {
          const whole = wholes[row.cells[0].textContent];
          if (whole) row.dataset.whole = pretty(whole);
        }
      }));
    }
    return filling.get(run);
  }

  async function open() {
    const name = decodeURIComponent(location.hash.slice(1));
    const run = document.getElementById(name.split("-").slice(0, 4).join("-"))?.closest("details.run");
    if (run) {
      await fill(run);
      run.open = true;
    }
    const found = name && document.getElementById(name);
    if (!found) return;
    const hidden = found.closest("[hidden]");
    if (hidden) hidden.hidden = false; // what a link names is shown whatever the filter says
    location.replace(location.hash); // it may not have been there when the link was followed
  }

  document.addEventListener("toggle", (event) => {
    if (event.target.matches("details.run") && event.target.open) fill(event.target);
  }, true);
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
