"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const read = name => JSON.parse(document.getElementById(name)?.textContent ?? "{}");
  const figures = read("figures"), setting = read("setting");

  // --- theme -------------------------------------------------------------------------------------------------------
  const choices = document.querySelector(".theme");
  choices.hidden = false;
  for (const choice of all("input", choices)) {
    choice.checked = choice.value === (document.documentElement.dataset.theme ?? "auto");
    choice.addEventListener("change", () => {
      if (choice.value === "auto") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = choice.value;
      try { localStorage.setItem("rnnbench-theme", choice.value); } catch { /* kept for this visit alone */ }
    });
  }

  // --- tables: a click on a heading sorts, numbers by size, texts by alphabet, what is not known last --------------
  for (const table of all("table")) {
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

  // --- filters -----------------------------------------------------------------------------------------------------
  const kinds = ["cell", "task", "engine"];
  const chosen = {};  // kind -> Set of names; a kind that is not narrowed is not in it
  const passes = (kind, name) => !chosen[kind] || chosen[kind].has(name);
  const stays = element => kinds.every(kind => !(kind in element.dataset) || passes(kind, element.dataset[kind]));
  const baseName = cell => String(cell).split(" (")[0];
  const stands = row => Object.entries(setting.columns).every(([field, kind]) =>
    !(field in row) || row[field] === null || passes(kind, kind === "cell" ? baseName(row[field]) : String(row[field])));

  const form = document.querySelector(".filters");
  const boxes = kind => all("input[type=checkbox]", form).filter(box => box.name === kind);

  function narrow() {
    for (const output of all("[data-chosen]", form)) {
      const kind = output.dataset.chosen, held = boxes(kind), on = held.filter(box => box.checked);
      if (on.length === held.length) delete chosen[kind];
      else chosen[kind] = new Set(on.map(box => box.value));
      output.value = on.length === held.length ? `all ${held.length}`
        : on.length === 1 ? on[0].value : `${on.length} of ${held.length}`;
    }
    let shown = 0, count = 0;
    for (const table of all("table")) {
      const columns = [...table.tHead.rows[0].cells].map(stays);
      let left = 0;
      for (const row of table.rows) {
        [...row.cells].forEach((cell, place) => { cell.hidden = !columns[place]; });
        if (row.parentElement === table.tHead) continue;
        row.hidden = !stays(row);
        left += !row.hidden;
        count += 1;
      }
      shown += left;
      table.closest(".table").classList.toggle("nothing", left === 0);
    }
    for (const element of all("figure, details.cell")) element.hidden = !stays(element);
    form.querySelector(".left").value = Object.keys(chosen).length ? `${shown} of ${count} rows of all tables shown` : "";
    form.classList.toggle("narrowed", Object.keys(chosen).length > 0);
    for (const place of all("[data-figure]")) stale.add(place);
    pump();
  }

  function setUpFilters() {
    form.hidden = false;
    form.addEventListener("change", event => { if (event.target.type === "checkbox") narrow(); });
    form.addEventListener("submit", event => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(() => {
      for (const label of all("label", form)) label.hidden = false;
      narrow();
    }));
    for (const button of all("[data-every]", form)) button.addEventListener("click", () => {
      for (const box of boxes(button.dataset.every)) {
        if (!box.parentElement.hidden) box.checked = button.value === "all";
      }
      narrow();
    });
    for (const field of all("[data-search]", form)) field.addEventListener("input", () => {
      for (const box of boxes(field.dataset.search)) {
        box.parentElement.hidden = !box.value.toLowerCase().includes(field.value.trim().toLowerCase());
      }
    });
    const panels = all("details", form);
    const close = except => panels.forEach(panel => { if (panel !== except) panel.open = false; });
    document.addEventListener("click", event => close(event.target.closest(".filters details")));
    form.addEventListener("keydown", event => {
      if (event.key !== "Escape") return;
      event.target.closest("details")?.querySelector("summary").focus();
      close(null);
    });
  }

  // --- figures -----------------------------------------------------------------------------------------------------
  const stale = new Set();  // places of figures that are to be drawn, or drawn again
  const near = new Set();  // those that the reader sees or soon will
  const views = new Map();
  let drawing = false;

  // Calls `visit` on every object in a specification, but not on the data.
  function walk(part, visit) {
    if (Array.isArray(part)) part.forEach(one => walk(one, visit));
    else if (part && typeof part === "object") {
      visit(part);
      for (const [name, one] of Object.entries(part)) if (name !== "datasets") walk(one, visit);
    }
  }

  // Returns the specification with what the filters leave of its data, or null where they leave nothing.
  function narrowed(figure) {
    const spec = structuredClone(figure.spec);
    let any = false, cells = false;
    for (const [name, rows] of Object.entries(spec.datasets ?? {})) {
      spec.datasets[name] = rows.filter(stands);
      if (rows.length && "cell" in rows[0]) {
        cells = true;
        any ||= spec.datasets[name].length > 0;
      }
    }
    walk(spec, part => {
      if (part.field === "cell" && part.legend?.values) {
        part.legend.values = part.legend.values.filter(name => passes("cell", baseName(name)));
      }
    });
    if (figure.rows) {
      const rows = Object.values(spec.datasets).flat();
      const count = field => new Set(rows.filter(row => field in row).map(row => row[field])).size;
      spec.height = figure.rows.fields.reduce((height, field) => height * count(field), figure.rows.pixels);
    }
    return any || !cells ? spec : null;
  }

  // Gives a figure of a cell's own page that cell in the foreground.
  function highlight(spec, cell) {
    const rows = Object.values(spec.datasets ?? {}).flat();
    const names = new Set(rows.map(row => row.cell).filter(name => name !== undefined && baseName(name) === cell));
    walk(spec, part => {
      for (const param of part.params ?? []) if (param.name === "pick") param.value = [...names].map(name => ({ cell: name }));
      if (part.field === "cell" && part.legend) part.legend = null;
    });
    if (spec.height > 200) spec.height = 200;
  }

  // Returns the look of a figure at this width: as many columns of the legend as its longest entry leaves room for.
  function fitted(spec, width) {
    const config = structuredClone(setting.theme);
    let longest = 8;
    walk(spec, part => {
      for (const name of part.legend?.values ?? []) longest = Math.max(longest, String(name).length);
    });
    config.legend.labelLimit = Math.max(120, width - 90);
    const entry = Math.min(config.legend.labelLimit, 7 * longest) + 40;
    config.legend.columns = Math.max(1, Math.floor((width - 50) / entry));
    if (width < 480) config.axis.labelLimit = 130;
    return config;
  }

  async function draw(place) {
    const spec = narrowed(figures[place.dataset.figure]);
    views.get(place)?.finalize();
    views.delete(place);
    if (spec === null) {
      place.textContent = "The filters leave nothing of this figure.";
      return;
    }
    if (place.dataset.highlight !== undefined) highlight(spec, place.dataset.highlight);
    const options = { config: fitted(spec, place.clientWidth), renderer: "svg", actions: false };
    views.set(place, (await vegaEmbed(place, spec, options)).view);
  }

  // Draws what is stale, first what is near; the rest follows while nothing else happens, so that all of it prints.
  async function pump() {
    if (drawing || !window.vegaEmbed) return;
    drawing = true;
    for (;;) {
      const ready = [...stale].filter(place => !place.closest("details:not([open]), [hidden]"));
      const next = ready.find(place => near.has(place)) ?? ready[0];
      if (!next) break;
      stale.delete(next);
      if (!near.has(next)) await new Promise(resolve => setTimeout(resolve, 10));
      await draw(next);
    }
    drawing = false;
    document.documentElement.dataset.drawn = String(views.size);
  }

  function setUpFigures() {
    const watcher = new IntersectionObserver(entries => {
      for (const { target, isIntersecting } of entries) near[isIntersecting ? "add" : "delete"](target);
      pump();
    }, { rootMargin: "400px" });
    for (const place of all("[data-figure]")) {
      stale.add(place);
      watcher.observe(place);
    }
    // A width that changes between phone and desk takes another legend; lesser changes Vega follows by itself.
    let columns = Math.floor(innerWidth / 300);
    addEventListener("resize", () => {
      if (columns === (columns = Math.floor(innerWidth / 300))) return;
      for (const place of all("[data-figure]")) stale.add(place);
      pump();
    });
  }

  // --- files -------------------------------------------------------------------------------------------------------
  function offer(name, address) {
    const link = document.createElement("a");
    link.download = name;
    link.href = address;
    document.body.append(link);
    link.click();
    link.remove();
  }

  function offerText(name, text, type) {
    const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
    offer(name, address);
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
  }

  // A text that a spreadsheet would take for a formula is kept a text.
  const quoted = value => {
    const text = value === null || value === undefined ? "" : String(value);
    const safe = typeof value === "string" && /^[=+@\t\r-]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const csv = rows => rows.map(row => `${row.map(quoted).join(",")}\r\n`).join("");

  function figureCsv(figure) {
    const held = Object.values(narrowed(figure)?.datasets ?? {}).filter(rows => rows.length);
    // Beside what is measured a chart has data of its own, such as the place of a dashed line.
    const about = held.filter(rows => "cell" in rows[0] || "benchmark" in rows[0]);
    const rows = (about.length ? about : held).flat();
    const fields = [...new Set(rows.flatMap(row => Object.keys(row)))].filter(field => field !== "told");
    return csv([fields.map(field => figure.headings[field] ?? field), ...rows.map(row => fields.map(field => row[field]))]);
  }

  function tableCsv(table) {
    const rows = [...table.rows].filter(row => !row.hidden).map(row => [...row.cells].filter(cell => !cell.hidden));
    const [head, ...body] = rows;
    // Where what is read is no plain number, the number that it is sorted by stands beside it.
    const twice = head.map((heading, place) => heading.classList.contains("number")
      && body.some(row => row[place].dataset.sort !== "" && Number.isNaN(Number(row[place].textContent.replaceAll(",", "")))));
    const line = (row, heading) => row.flatMap((cell, place) => {
      const text = cell.textContent.trim();
      const plain = cell.classList.contains("number") && !twice[place] && !heading && text !== "\u2014";
      const shown = plain ? text.replaceAll(",", "") : text === "\u2014" ? "" : text;
      return twice[place] ? [shown, heading ? `${text} (number)` : cell.dataset.sort] : [shown];
    });
    return csv([line(head, true), ...body.map(row => line(row, false))]);
  }

  // Returns the figure for use elsewhere: on white, in the light colours, with its title, always of the same width.
  async function picture(figure) {
    const named = { ...narrowed(figure), width: 760, title: figure.title };
    const solid = text => text.replace(/var\(--([a-z0-9-]+)\)/g, (whole, name) => setting.light[name] ?? whole);
    const config = { ...fitted(named, 760), background: "white" };
    const [spec, look] = [named, config].map(one => JSON.parse(solid(JSON.stringify(one))));
    const options = { config: look, renderer: "svg", actions: false };
    return (await vegaEmbed(document.createElement("div"), spec, options)).view;
  }

  async function save(button) {
    if (button.dataset.save === "table") {
      const table = button.closest(".table").querySelector("table");
      offerText(`${table.dataset.name}.csv`, tableCsv(table), "text/csv");
      return;
    }
    const name = button.closest("figure").querySelector("[data-figure]").dataset.figure, figure = figures[name];
    if (button.dataset.save === "csv") offerText(`${name}.csv`, figureCsv(figure), "text/csv");
    else {
      const view = await picture(figure);
      if (button.dataset.save === "svg") offerText(`${name}.svg`, await view.toSVG(), "image/svg+xml");
      else offer(`${name}.png`, await view.toImageURL("png", 2));
      view.finalize();
    }
  }
  for (const button of all("[data-save]")) button.addEventListener("click", () => save(button));

  // --- pages of cells ----------------------------------------------------------------------------------------------
  const pages = all("details.cell");
  for (const page of pages) page.addEventListener("toggle", pump);
  document.querySelector("[data-open]")?.addEventListener("click", event => {
    const open = !pages.every(page => page.open);
    for (const page of pages) page.open = open;
    event.target.textContent = open ? "Close all" : "Open all";
  });
  function reveal() {
    const target = document.getElementById(location.hash.slice(1));
    if (target?.matches("details.cell")) {
      target.open = true;
      target.scrollIntoView();
    }
  }
  addEventListener("hashchange", reveal);

  if (window.vegaEmbed) setUpFigures();
  if (form) setUpFilters();
  reveal();
})();
