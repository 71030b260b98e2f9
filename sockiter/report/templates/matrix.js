(() => {
  "use strict";
  const byId = id => document.getElementById(id);
  const viewer = byId("viewer"), slider = byId("slider"), stage = viewer.querySelector(".stage");
  const go = Object.fromEntries([...viewer.querySelectorAll("[data-go]")].map(button => [button.dataset.go, button]));
  let rows = [], at = 0, opener = null;

  // What stands in a row of the steps stands on the stage as well, only larger.
  const show = step => {
    at = Math.min(Math.max(step, 0), rows.length - 1);
    rows.forEach((row, nth) => nth === at ? row.setAttribute("aria-current", "step") : row.removeAttribute("aria-current"));
    const of = name => rows[at].querySelector("." + name);
    byId("viewer-event").textContent = of("event").textContent;
    byId("viewer-state").replaceChildren(...[...of("state").childNodes].map(node => node.cloneNode(true)));
    byId("viewer-seen").textContent = of("seen").textContent;
    byId("viewer-place-of").hidden = !of("place");
    byId("viewer-place").textContent = of("place") ? of("place").textContent : "";
    stage.className = "stage " + rows[at].className;
    slider.value = at;
    const told = `Step ${at + 1} of ${rows.length}`;
    slider.setAttribute("aria-valuetext", `${told}: ${of("event").textContent}`);
    byId("viewer-step").textContent = told;
    go.first.disabled = go.back.disabled = at === 0;
    go.on.disabled = go.last.disabled = at === rows.length - 1;
  };

  const open = (article, from) => {
    opener = from;
    const copy = article.cloneNode(true);
    byId("viewer-title").replaceChildren(...copy.querySelector("h3").childNodes);
    // One case may show more than one kind of harm; the title tells the one that was asked for.
    if (from) byId("viewer-title").lastChild.textContent = ": " + from.dataset.title;
    byId("viewer-about").textContent = copy.querySelector(".about").textContent;
    byId("viewer-rest").replaceChildren(...["ul", ".steps", "details"].map(what => copy.querySelector(what)));
    rows = [...byId("viewer-rest").querySelectorAll("tbody tr")];
    rows.forEach((row, nth) => row.addEventListener("click", () => show(nth)));
    const found = byId("viewer-rest").querySelectorAll("thead th");
    byId("viewer-progress").textContent = found.length > 4 ? found[3].textContent : "";
    slider.max = rows.length - 1;
    // As high as the longest event, so that nothing below it moves from step to step.
    const lines = rows.map(row => row.querySelector(".event").textContent.split("\n").length);
    byId("viewer-event").style.minHeight = `${1.5 * Math.max(...lines)}em`;
    viewer.querySelectorAll("[data-mark]").forEach(mark => {
      mark.hidden = !byId("viewer-rest").querySelector(".s." + mark.dataset.mark);
    });
    show(0);
    if (!viewer.open) viewer.showModal();
    viewer.scrollTop = 0;
    slider.focus();
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
    history.replaceState(null, "", "#" + chip.id);
    open(byId(chip.getAttribute("href").slice(1)), chip);
  });
  document.querySelectorAll("a.chip").forEach(chip => {
    chip.setAttribute("role", "button");
    chip.setAttribute("aria-haspopup", "dialog");
    chip.addEventListener("keydown", event => {
      if (event.key === " ") { event.preventDefault(); chip.click(); }
    });
  });
  slider.addEventListener("input", () => show(slider.valueAsNumber));
  const steps = { first: () => 0, back: () => at - 1, on: () => at + 1, last: () => rows.length - 1 };
  for (const [name, button] of Object.entries(go)) button.addEventListener("click", () => {
    show(steps[name]());
    if (button.disabled) slider.focus();
  });
  const keys = { ArrowLeft: "back", ArrowRight: "on", Home: "first", End: "last" };
  document.addEventListener("keydown", event => {
    // Wherever the focus is: a browser that followed an address here may have put it nowhere. The slider knows these keys itself.
    if (!viewer.open || event.target === slider || !(event.key in keys) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(steps[keys[event.key]]());
  });
  byId("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", event => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => {
    history.replaceState(null, "", location.pathname + location.search);
    opener?.focus();
  });
  window.addEventListener("hashchange", follow);
  follow();
})();
