(() => {
  "use strict";
  const byId = id => document.getElementById(id);
  const viewer = byId("viewer"), { parameters, keep, stepper } = pages, { copies, command } = copying;
  const steps = stepper(viewer);
  let opener = null, replay = "";

  const open = (article, from) => {
    opener = from;
    const copy = article.cloneNode(true);
    replay = article.dataset.replay;
    byId("viewer-title").replaceChildren(...copy.querySelector("h3").childNodes);
    // A case may have several kinds of failure; the title names the requested one.
    if (from) byId("viewer-title").lastChild.textContent = ": " + from.dataset.title;
    byId("viewer-about").textContent = copy.querySelector(".about").textContent;
    byId("viewer-rest").replaceChildren(...["ul", ".steps", "details"].map(what => copy.querySelector(what)));
    viewer.querySelector(".copies [role=status]").textContent = "";
    steps.load([{ stage: viewer.querySelector(".stage"), table: byId("viewer-rest").querySelector("table") }]);
    if (!viewer.open) viewer.showModal();
    viewer.scrollTop = 0;
    steps.slider.focus();
  };

  // The address names the cell's finding, so that whoever is sent it sees the same thing open.
  const follow = () => {
    const found = byId(decodeURIComponent(location.hash.slice(1)));
    if (!found) return;
    if (found.matches("a.chip")) open(byId(found.getAttribute("href").slice(1)), found);
    else if (found.matches(".case")) open(found, document.querySelector(`a.chip[href="#${CSS.escape(found.id)}"]`));
  };

  document.addEventListener("click", event => {
    const chip = event.target.closest("a.chip");
    if (!chip || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    keep({}, "#" + chip.id);
    open(byId(chip.getAttribute("href").slice(1)), chip);
  });
  document.querySelectorAll("a.chip").forEach(chip => {
    chip.setAttribute("role", "button");
    chip.setAttribute("aria-haspopup", "dialog");
    chip.addEventListener("keydown", event => {
      if (event.key === " ") { event.preventDefault(); chip.click(); }
    });
  });
  // Wherever the focus is: a browser that followed an address here may have put it nowhere. The slider knows these keys itself.
  document.addEventListener("keydown", event => { if (viewer.open) steps.press(event, "input"); });
  byId("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", event => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => {
    keep({}, "");
    opener?.focus();
  });
  const text = () => byId("viewer-rest").querySelector("pre").textContent;
  copies(viewer, { link: () => location.href, case: text, command: () => command(replay, text()) });
  window.addEventListener("hashchange", follow);

  // Filters: what is chosen is in the address, and nothing chosen is everything.
  const filters = byId("filters"), table = document.querySelector("table.matrix");
  const rows = [...table.querySelectorAll("tr[data-target]")], groups = [...table.tBodies];
  const columns = [...table.querySelectorAll("th[data-column]")].map(title => title.dataset.column);
  const menus = ["scheme", "hazard", "kind"];
  const boxes = name => [...filters.elements].filter(element => element.name === name);
  const chosen = name => boxes(name).filter(box => box.checked).map(box => box.value);

  const ranges = [...byId("ranges").rows].map(row => row.dataset);
  const walks = [...new Set(ranges.map(range => range.walk))];
  const numbers = release => release.split(".").map(Number);
  const compare = (one, other) => {
    for (let nth = 0; nth < 3; nth++) if ((one[nth] || 0) !== (other[nth] || 0)) return (one[nth] || 0) - (other[nth] || 0);
    return 0;
  };
  // What the table of ranges knows of a release: for each walk its scheme, and the first release of the same stable branch that
  // has another, which counts where the patch level is not given. A range of a stable branch overrules mainline.
  const knownOf = release => walks.map(walk => {
    const of = ranges.filter(range => range.walk === walk), mainline = release.slice(0, 2);
    const isBranch = range => numbers(range.first || range.last).length > 2;
    const branches = of.filter(range => isBranch(range) && compare(numbers(range.first).slice(0, 2), mainline) === 0);
    const within = (range, at) => compare(numbers(range.first || "0"), at) <= 0 && (!range.last || compare(at, numbers(range.last)) <= 0);
    const found = branches.find(range => within(range, release)) || of.find(range => !isBranch(range) && within(range, mainline));
    const later = release.length < 3 ? branches.find(range => range !== found) : undefined;
    return { walk, found, later };
  });

  const kernel = () => {
    const value = byId("kernel").value.trim(), says = byId("kernel-says");
    const release = /^(\d+)\.(\d+)(?:\.(\d+))?(?![\d])/.exec(value)?.slice(1).filter(Boolean).map(Number);
    byId("kernel").setAttribute("aria-invalid", String(Boolean(value && !release)));
    says.hidden = !value;
    if (!value) { says.textContent = ""; return null; }
    if (!release) { says.textContent = "Expected a release as uname -r prints it: 6.12.94, or 6.12."; return null; }
    const known = knownOf(release), there = new Set(rows.map(row => row.dataset.target)), schemes = new Set();
    const named = range => {
      if (!range.scheme) return "no known scheme";
      schemes.add(range.scheme);
      return range.scheme + (there.has(range.scheme) ? "" : " (not on this page)");
    };
    const parts = known.map(({ walk, found, later }) =>
      `${walk}: ${found ? named(found) : "not known"}${later ? `, from ${later.first} on ${named(later)}` : ""}`);
    const decides = document.createElement("code");
    decides.textContent = "sockiter targets";
    says.replaceChildren(`Linux ${release.join(".")}, by the known ranges of releases: ${parts.join("; ")}. Stable branches and `
      + "distributions change this by backport: detection decides, not the version. ", decides, " on that kernel says which schemes it uses.");
    return schemes;
  };

  // A folded group shows only its title, with what it hides. The address has the numbers of folded groups.
  const folds = groups.map(group => group.querySelector(".fold"));
  const isFolded = group => folds[groups.indexOf(group)].getAttribute("aria-expanded") === "false";
  const folded = () => groups.map((group, nth) => isFolded(group) ? nth + 1 : 0).filter(Boolean);
  folds.forEach(fold => fold.addEventListener("click", () => {
    fold.setAttribute("aria-expanded", String(fold.getAttribute("aria-expanded") === "false"));
    apply();
    remember();
  }));

  const plural = (count, all, noun) => `${count === all ? "All" : `${count} of`} ${all} ${noun}`;
  const apply = () => {
    const [targets, hazards, kinds] = menus.map(name => new Set(chosen(name)));
    const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean), schemes = kernel();
    const isHidden = { column: column => hazards.size > 0 && !hazards.has(column), kind: kind => kinds.size > 0 && !kinds.has(kind) };
    table.querySelectorAll("[data-column]").forEach(cell => { cell.hidden = isHidden.column(cell.dataset.column); });
    let findings = 0;
    for (const row of rows) {
      const { target } = row.dataset, text = row.cells[0].textContent.toLowerCase();
      row.hidden = (targets.size > 0 && !targets.has(target)) || (schemes !== null && !schemes.has(target)) || !words.every(word => text.includes(word));
      for (const cell of row.querySelectorAll("td")) {
        const chips = [...cell.querySelectorAll("a.chip")];
        chips.forEach(chip => { chip.hidden = isHidden.kind(chip.dataset.kind); });
        const left = chips.filter(chip => !chip.hidden).length;
        if (!row.hidden && !cell.hidden) findings += left;
        cell.querySelector(".rest")?.remove();
        if (!chips.length || left || cell.querySelector(".unknown")) continue;
        // Of the kinds that were asked for, the cell has none; of the others it has.
        const rest = document.createElement("span");
        rest.className = "mark rest";
        rest.textContent = "measured" in row.dataset ? `${[...kinds].join(", ")} not seen` : `no ${[...kinds].join(", ")}`;
        cell.append(rest);
      }
    }
    const visible = columns.filter(column => !isHidden.column(column)).length;
    const shown = rows.filter(row => !row.hidden).length;
    for (const group of groups) {
      const left = [...group.querySelectorAll("tr[data-target]")].filter(row => !row.hidden);
      group.hidden = !left.length;
      group.querySelector(".group th").colSpan = visible + 1;
      const chips = left.flatMap(row => [...row.querySelectorAll("td:not([hidden]) a.chip:not([hidden])")]).length;
      group.querySelector("small").textContent = isFolded(group)
        ? `${left.length} target${left.length === 1 ? "" : "s"}, ${chips} finding${chips === 1 ? "" : "s"}` : "";
      if (isFolded(group)) left.forEach(row => { row.hidden = true; });
    }
    byId("shown").textContent = `${plural(shown, rows.length, "targets")}, ${plural(visible, columns.length, "columns").toLowerCase()}, `
      + `${findings} finding${findings === 1 ? "" : "s"}${kinds.size ? ` of ${[...kinds].join(", ")}` : ""}.`;
    for (const name of menus) document.querySelector(`[data-count=${name}]`).textContent = chosen(name).length || "";
  };
  const remember = () => keep({
    search: byId("search").value.trim(), kernel: byId("kernel").value.trim(),
    ...Object.fromEntries(menus.map(name => [name, chosen(name).join(",")])), fold: folded().join(","),
  });
  const recall = () => {
    const query = parameters();
    for (const name of ["search", "kernel"]) byId(name).value = query.get(name) || "";
    for (const name of menus) {
      const values = (query.get(name) || "").split(",");
      boxes(name).forEach(box => { box.checked = values.includes(box.value); });
    }
    const numbers = (query.get("fold") || "").split(",");
    folds.forEach((fold, nth) => fold.setAttribute("aria-expanded", String(!numbers.includes(String(nth + 1)))));
    apply();
  };
  filters.addEventListener("input", () => { apply(); remember(); });
  filters.addEventListener("submit", event => event.preventDefault());
  filters.addEventListener("reset", event => {
    // A reset goes back to what the page began with, which the browser may have filled in.
    event.preventDefault();
    for (const name of ["search", "kernel"]) byId(name).value = "";
    menus.forEach(name => boxes(name).forEach(box => { box.checked = false; }));
    folds.forEach(fold => fold.setAttribute("aria-expanded", "true"));
    apply();
    remember();
  });
  const isOpen = () => filters.querySelector(".menu[open]");
  filters.querySelectorAll(".menu").forEach(menu => menu.addEventListener("toggle", () => {
    if (menu.open) filters.querySelectorAll(".menu[open]").forEach(other => { other.open = other === menu; });
  }));
  document.addEventListener("click", event => { if (isOpen() && !isOpen().contains(event.target)) isOpen().open = false; });
  filters.addEventListener("keydown", event => {
    const menu = isOpen();
    if (event.key !== "Escape" || !menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  window.addEventListener("popstate", recall);

  recall();
  follow();
})();
