(() => {
  "use strict";
  const byId = id => document.getElementById(id);
  const { parameters, keep, stepper } = pages, { copies, command } = copying;
  const panels = [...document.querySelectorAll(".panel")], tabs = [...document.querySelectorAll("#tabs a")], beside = byId("beside");
  // The one that is shown, and the one beside it, if any.
  let shown = [panels[0]];
  const steps = stepper(byId("stepper"), { whenShown: at => remember(at) });
  const remember = at => keep({
    on: shown[0] === panels[0] ? "" : shown[0].dataset.target, beside: shown[1]?.dataset.target, step: at ? String(at + 1) : "",
  }, "");

  const show = (panel, other, at = steps.at) => {
    shown = [panel, other].filter(Boolean);
    panels.forEach(one => { one.hidden = !shown.includes(one); });
    byId("panels").classList.toggle("two", shown.length > 1);
    // The one beside stands behind it, whichever comes first in the page.
    panels.forEach(one => { one.style.order = one === other ? 1 : 0; });
    tabs.forEach((tab, nth) => {
      const isChosen = panels[nth] === panel;
      tab.setAttribute("aria-selected", String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
    });
    if (beside) {
      [...beside.options].forEach(option => { option.disabled = option.value === panel.id; });
      beside.value = other ? other.id : "";
    }
    steps.load(shown.map(one => ({ stage: one.querySelector(".stage"), table: one.querySelector(".steps table") })), at);
  };
  const tell = () => { byId("shown").textContent = shown.map(one => one.querySelector("h2").textContent).join("; beside it "); };
  const choose = panel => { show(panel, shown[1] === panel ? null : shown[1]); tell(); };

  if (tabs.length) byId("tabs").setAttribute("role", "tablist");
  tabs.forEach((tab, nth) => {
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panels[nth].id);
    panels[nth].setAttribute("role", "tabpanel");
    tab.addEventListener("click", event => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      choose(panels[nth]);
    });
    tab.addEventListener("keydown", event => {
      const to = { ArrowLeft: nth - 1, ArrowRight: nth + 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (event.key === " ") choose(panels[nth]);
      else if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
      else {
        const next = (to + tabs.length) % tabs.length;
        choose(panels[next]);
        tabs[next].focus();
      }
      event.preventDefault();
    });
  });
  beside?.addEventListener("change", () => { show(shown[0], byId(beside.value)); tell(); });
  document.addEventListener("keydown", event => steps.press(event, "input, select, [role=tab], .scroll, pre"));
  copies(byId("copy"), { link: () => location.href, case: () => byId("text").textContent, command: () => command(shown[0].dataset.replay, byId("text").textContent) });

  const recall = () => {
    const query = parameters(), named = name => panels.find(one => one.dataset.target === query.get(name));
    const linked = panels.find(one => one.id === decodeURIComponent(location.hash.slice(1)));
    const panel = linked || named("on") || panels[0], other = named("beside");
    show(panel, other === panel ? null : other, Number.parseInt(query.get("step"), 10) - 1 || 0);
  };
  window.addEventListener("hashchange", recall);
  recall();
})();
