"use strict";
(() => {
  // A table sorts by the heading that is clicked: numbers by size, texts by alphabet, what is not known last.
  for (const table of document.querySelectorAll("table")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => heading.firstElementChild.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach(other => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => row.cells[column].dataset.sort;
      const numeric = heading.classList.contains("number");
      const compare = (a, b) => (numeric ? a - b : a.localeCompare(b)) * (down ? -1 : 1);
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => (key(a) === "") - (key(b) === "") || compare(key(a), key(b)));
      table.tBodies[0].append(...rows);
    }));
  }
  if (!window.vegaEmbed) return;
  const read = name => JSON.parse(document.getElementById(name).textContent);
  const specs = read("specs"), themes = read("themes");
  const media = matchMedia("(prefers-color-scheme: dark)");
  const views = new Map();
  async function draw() {
    const dark = media.matches;
    for (const place of document.querySelectorAll("[data-figure]")) {
      const spec = structuredClone(specs[place.dataset.figure]);
      for (const param of spec.params) if (param.name === "dark") param.value = dark;
      const config = structuredClone(themes[dark ? "dark" : "light"]);
      config.background = "transparent";
      config.legend.columns = Math.max(1, Math.floor(place.clientWidth / 150));
      views.get(place)?.finalize();
      views.set(place, await vegaEmbed(place, spec, {
        config, renderer: "svg", tooltip: { theme: dark ? "dark" : "light" },
        actions: { export: true, source: false, compiled: false, editor: false },
      }));
    }
  }
  draw();
  media.addEventListener("change", draw);
})();
