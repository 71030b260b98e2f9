const pages = (() => {
  // What the pages of a matrix and of a case share: stepping, and the address.
  "use strict";
  // The parameters of the address. A file that is opened from the disk has them, too.
  const parameters = () => new URLSearchParams(location.search);
  const keep = (values, hash = location.hash) => {
    const query = parameters();
    for (const [name, value] of Object.entries(values)) value ? query.set(name, value) : query.delete(name);
    // A comma needs no escape, and a link with some is shorter to read.
    const text = query.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
    history.replaceState(null, "", location.pathname + (text && "?" + text) + hash);
  };

  // The rows of each table that belong to every moment: those of the same operation side by side, the last of it again where
  // a table has fewer. Rows without operations are moments by themselves.
  const momentsOf = tables => {
    const of = tables.map(rows => {
      const groups = new Map();
      rows.forEach((row, nth) => {
        const operation = Number(row.dataset.operation ?? nth);
        groups.set(operation, [...(groups.get(operation) || []), nth]);
      });
      return groups;
    });
    const operations = [...new Set(of.flatMap(groups => [...groups.keys()]))].sort((one, other) => one - other);
    const last = tables.map(() => 0), moments = [];
    for (const operation of operations) {
      const length = Math.max(...of.map(groups => (groups.get(operation) || []).length));
      for (let nth = 0; nth < length; nth++) {
        of.forEach((groups, table) => {
          const rows = groups.get(operation) || [];
          if (nth < rows.length) last[table] = rows[nth];
        });
        moments.push([...last]);
      }
    }
    return moments;
  };

  // Steps through tables, each with a stage on which the row of the moment stands as well, only larger.
  const stepper = (root, { whenShown = () => {} } = {}) => {
    const slider = root.querySelector("input[type=range]"), output = root.querySelector(".controls output");
    const go = Object.fromEntries([...root.querySelectorAll("[data-go]")].map(button => [button.dataset.go, button]));
    let shown = [], moments = [[]], at = 0;
    const part = (stage, name) => stage.querySelector(`[data-part=${name}]`);

    const draw = ({ stage, rows }, row) => {
      rows.forEach(other => other === row ? other.setAttribute("aria-current", "step") : other.removeAttribute("aria-current"));
      const of = name => row.querySelector("." + name);
      part(stage, "event").textContent = of("event").textContent;
      part(stage, "state").replaceChildren(...[...of("state").childNodes].map(node => node.cloneNode(true)));
      part(stage, "seen").textContent = of("seen").textContent;
      part(stage, "place-of").hidden = !of("place");
      part(stage, "place").textContent = of("place") ? of("place").textContent : "";
      stage.className = "stage " + row.className;
      return of("event").textContent;
    };
    const show = step => {
      at = Math.min(Math.max(step, 0), moments.length - 1);
      const events = shown.map((one, nth) => draw(one, one.rows[moments[at][nth]]));
      slider.value = at;
      const text = `Step ${at + 1} of ${moments.length}`;
      slider.setAttribute("aria-valuetext", `${text}: ${[...new Set(events)].join("; beside it: ")}`);
      output.textContent = text;
      go.first.disabled = go.back.disabled = at === 0;
      go.on.disabled = go.last.disabled = at === moments.length - 1;
      whenShown(at);
    };
    const load = (pairs, first = 0) => {
      shown = pairs.map(({ stage, table }) => {
        const rows = [...table.querySelectorAll("tbody tr")], titles = table.querySelectorAll("thead th");
        part(stage, "progress").textContent = titles.length > 4 ? titles[3].textContent : "";
        // As high as the longest event, so that nothing below it moves from step to step.
        const lines = rows.map(row => row.querySelector(".event").textContent.split("\n").length);
        part(stage, "event").style.minHeight = `${1.5 * Math.max(...lines)}em`;
        return { stage, rows };
      });
      moments = momentsOf(shown.map(one => one.rows));
      shown.forEach(({ rows }, nth) => rows.forEach((row, number) => {
        row.onclick = () => show(moments.findIndex(moment => moment[nth] === number));
      }));
      slider.max = moments.length - 1;
      root.querySelectorAll("[data-mark]").forEach(mark => {
        mark.hidden = !pairs.some(({ table }) => table.querySelector(".s." + mark.dataset.mark));
      });
      show(first);
    };
    slider.addEventListener("input", () => show(slider.valueAsNumber));
    const steps = { first: () => 0, back: () => at - 1, on: () => at + 1, last: () => moments.length - 1 };
    for (const [name, button] of Object.entries(go)) button.addEventListener("click", () => {
      show(steps[name]());
      if (button.disabled) slider.focus();
    });
    const keys = { ArrowLeft: "back", ArrowRight: "on", Home: "first", End: "last" };
    // Where the focus is on something that knows these keys itself, they are left to it.
    const press = (event, own) => {
      if (!(event.key in keys) || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.target.closest?.(own)) return;
      event.preventDefault();
      show(steps[keys[event.key]]());
    };
    return { load, show, press, slider, get at() { return at; } };
  };
  return { parameters, keep, stepper };
})();
