(() => {
  "use strict";
  const byId = id => document.getElementById(id);
  const graph = JSON.parse(byId("graph").textContent);
  const [IS_OPEN, ENDED, IS_CUT, IS_STUCK, MAY_REFUSE, LEFT] = [1, 2, 4, 8, 16, 32];
  const [OVER, STOPS, FRESH, IS_REFUSED, HANDED, FAIL, BEGINS] = [1, 2, 4, 8, 16, 32, 64];
  const [FREE, OWED, ONCE] = [0, 1, 2], [DELIVERED, SKIPPED, REPEATED] = [1, 2, 4];
  const states = graph.states.map(([layout, flags, letters, place, before, step, lines, steps], number) =>
    ({ number, layout: graph.layouts[layout], flags, letters, place: graph.places[place], before, step, lines, steps }));
  const count = state => state.steps.length / 3;
  const move = (state, step) => graph.moves[state.steps[3 * step + 1]];
  const nameOf = number => number < 26 ? String.fromCharCode(65 + number) : `S${number}`;
  const fate = (state, position) => {
    const code = state.letters.charCodeAt(position) - 97;
    return { status: code % 3, can: Math.floor(code / 3) };
  };
  const isLost = (state, position) => {
    const { status, can } = fate(state, position);
    return status === OWED && !(can & DELIVERED);
  };

  // A way through the graph: where it has come to, and what has happened. `read`: the operation under way, with what is inside
  // it and how far its points are counted.
  const start = () => ({ state: states[0], names: [], added: 0, delivered: [], records: [], repeats: [], happened: [],
    ended: false, isEnd: false, operations: [], read: null, entries: [], here: null });
  const copy = way => ({ ...way, names: [...way.names], delivered: [...way.delivered], records: [...way.records],
    repeats: [...way.repeats], happened: [...way.happened], operations: [...way.operations],
    read: way.read && { ...way.read, inside: [...way.read.inside] }, entries: way.entries.map(entry => ({ ...entry })), here: null });
  const happen = (list, one) => { if (!list.includes(one)) list.push(one); };

  // One step of the graph. `all`: as a part of a `read all`, "first" for its first.
  const take = (way, step, all) => {
    const from = way.state, [line, ...of] = move(from, step);
    const names = way.names, to = states[from.steps[3 * step]];
    const found = graph.violations[from.steps[3 * step + 2]].map(([kind, position]) => position < 0 ? kind : `${kind} ${names[position]}`);
    const here = { now: [], added: "", moved: "", out: null, before: names, from };
    for (const one of found) happen(one.startsWith("repeat") ? way.repeats : way.happened, one);
    if (line === undefined) {
      way.operations.push(["open"]);
      way.entries.push({ text: "open" });
    } else if (typeof line === "string") {
      const [position, target, at, moved] = of;
      const name = position < 0 ? nameOf(way.added++) : names[position];
      const text = line.replace("*", name);
      way.names = [];
      target.forEach((after, nth) => { if (after >= 0) way.names[after] = names[nth]; });
      if (at >= 0) way.names[at] = here.added = name;
      if (moved >= 0) here.moved = name;
      if (at < 0 && target[position] < 0) here.out = position;
      if (way.read) point(way, from, text);
      else { way.operations.push([text]); way.entries.push({ text }); }
    } else {
      const [turns, looks, allocations, flags] = of, shown = line.map(position => names[position]);
      if (all === "first" || (flags & BEGINS && !all)) {
        way.read = { inside: [], turns: 0, looks: 0, allocations: 0, all: Boolean(all) };
        way.entries.push({ text: all ? "read all" : "read …", result: "" });
        way.read.entry = way.entries.length - 1;
      }
      if (flags & FAIL) point(way, from, "fail");
      const { read } = way;
      read.turns += turns; read.looks += looks; read.allocations += allocations;
      here.now = shown;
      if (!(flags & (BEGINS | FAIL)) && !all) way.entries.push({ text: "go on", inner: true, result: shown.join(", ") });
      const left = way.records.length;
      way.records.push(...shown);
      way.isEnd = false;
      if (flags & OVER) {
        way.isEnd = !(way.records.length || flags & (IS_REFUSED | HANDED));
        way.ended ||= way.isEnd;
        const records = flags & HANDED ? left : flags & FRESH ? way.records.length : way.records.length + 1;
        const result = flags & IS_REFUSED ? "an error" : way.isEnd ? "the end" : way.records.join(", ");
        if (flags & HANDED) here.now = way.records;
        if (!(flags & IS_REFUSED)) {
          way.delivered.push(...way.records);
          way.repeats.forEach(one => happen(way.happened, one));
          way.records = [];
          way.repeats = [];
        }
        const entry = way.entries[read.entry];
        entry.result = [entry.result, result].filter(Boolean).join(", then ");
        if (!read.all || way.isEnd) {
          entry.text = read.all ? "read all" : `read ${records}`;
          way.operations.push([entry.text, ...read.inside]);
          way.read = null;
        }
      }
    }
    way.state = to;
    way.here = here;
    if (found.length) way.entries.at(-1).found = [...(way.entries.at(-1).found || []), ...found];
  };

  // Something inside the read under way, at the point where it waits.
  const point = (way, from, text) => {
    const where = from.layout[1], { read } = way;
    const nth = { show: read.turns, bucket: read.looks, realloc: read.allocations }[where] + 1;
    const line = `at ${where} ${nth}: ${text}`;
    read.inside.push(`  ${line}`);
    way.entries.push({ text: line, inner: true });
  };

  // Reads to the end with nothing in between; whether the graph goes so far.
  const readAll = way => {
    const shown = [];
    for (let reads = 0, all = "first"; reads < graph.readsMax; reads++) {
      let isOver = false;
      while (!isOver) {
        if (!way.state.steps.length) return false;
        const last = count(way.state) - 1;
        isOver = Boolean(move(way.state, last)[4] & OVER);
        take(way, last, all);
        shown.push(...way.here.now);
        all = "on";
      }
      if (way.isEnd) { way.here.now = shown; return true; }
    }
    way.operations.push(["read all"]);
    way.entries.at(-1).result = "no end";
    way.read = null;
    happen(way.happened, "stuck");
    way.here.now = [];
    return true;
  };
  const mayReadAll = state => state.flags & IS_OPEN && !state.layout[1] && state.steps.length;

  const extend = (way, token) => {
    const after = copy(way);
    if (token === "a") return mayReadAll(way.state) && readAll(after) ? after : null;
    if (!(token >= 0 && token < count(way.state))) return null;
    take(after, token);
    return after;
  };
  // The read under way, as far as it goes with nothing in its way.
  const finish = way => {
    const after = copy(way);
    while (after.read) take(after, count(after.state) - 1);
    return after;
  };
  const walk = tokens => tokens.reduce((way, token) => way && extend(way, token), start());

  // What happens if only reads follow; null where the graph does not go so far.
  const alone = way => {
    if (!(way.state.flags & IS_OPEN)) return [];
    const after = finish(way);
    return mayReadAll(after.state) && readAll(after) ? after.happened.filter(one => !way.happened.includes(one)) : null;
  };
  const certain = way => [...way.repeats.filter(one => !way.happened.includes(one)),
    ...way.names.flatMap((name, position) => way.state.letters && isLost(way.state, position) ? [`skip ${name}`] : [])];
  const possible = way => {
    const found = { skip: [], repeat: [] };
    way.names.forEach((name, position) => {
      if (!way.state.letters) return;
      const { can } = fate(way.state, position);
      if (can & SKIPPED) found.skip.push(name);
      if (can & REPEATED) found.repeat.push(name);
    });
    return { ...found, refused: way.state.flags & MAY_REFUSE };
  };
  // As the oracle has it: an iteration that has not come to its end, and of which nothing worse is to be said.
  const verdict = way => way.ended || way.happened.some(one => one !== "refused") ? way.happened : ["incomplete", ...way.happened];

  const caseOf = way => {
    const after = finish(way);
    const lines = ["# sockiter case v1", `# ${graph.scheme}: from the page of sockiter explore.`];
    if (graph.batch) lines.push(`batch ${graph.batch}`);
    lines.push(...verdict(after).map(one => `expect ${graph.scheme} ${one}`), "", ...after.operations.flat());
    return lines.join("\n") + "\n";
  };

  // The address: a state by the shortest way to it, and what was taken from there.
  const shortest = number => {
    const tokens = [];
    for (let state = states[number]; state.before >= 0; state = states[state.before]) tokens.unshift(state.step);
    return tokens;
  };
  const encode = tokens => {
    let number = 0, taken = 0;
    for (const token of tokens) {
      if (token === "a") break;
      const to = states[number].steps[3 * token];
      if (states[to].before !== number || states[to].step !== token) break;
      number = to;
      taken++;
    }
    const rest = tokens.slice(taken);
    return `#state-${number}${rest.length ? "+" + rest.join(".") : ""}`;
  };
  const decode = hash => {
    const found = /^#state-(\d+)(?:\+([\d.a]+))?$/.exec(hash);
    if (!found || !(found[1] in states)) return null;
    const rest = found[2] ? found[2].split(".").map(token => token === "a" ? token : token === "" ? NaN : Number(token)) : [];
    const tokens = [...shortest(Number(found[1])), ...rest];
    return walk(tokens) ? tokens : null;
  };

  // What is shown.
  let tokens = [], trail = [], way = start();
  const status = byId("copy").querySelector("[role=status]");

  const element = (tag, { className, text, ...of } = {}, ...children) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    for (const [name, value] of Object.entries(of)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const chip = (found, how = "", word = "") =>
    element("span", { className: `chip ${found.split(" ")[0]} ${how}`, text: (word ? word + ": " : "") + found });
  const bucketsOf = way => {
    const { state, names, here } = way, [lengths] = state.layout;
    const now = new Map();
    (here?.now || []).forEach((name, nth) => now.set(name, [...(now.get(name) || []), nth + 1]));
    const words = { skipped: "skipped", repeated: "repeated", lost: "lost", added: "added", moved: "moved", new: "not owed", delivered: "delivered", unseen: state.letters ? "owed" : "in the table" };
    const box = (name, marks) => {
      const tag = ["skipped", "repeated", "lost", "gone", "moved", "added"].find(mark => marks.includes(mark));
      const made = element("span", { className: ["s", ...marks].join(" "), text: name, "data-name": name });
      const order = now.get(name);
      if (order && here.now.length > 1) made.append(element("i", { text: order.join(",") }));
      if (tag) made.append(element("small", { text: tag === "gone" ? "closed" : tag }));
      return made;
    };
    let position = 0;
    return lengths.map((length, bucket) => {
      const boxes = [], told = [];
      for (const end = position + length; position < end; position++) {
        const name = names[position], marks = [];
        const { status } = state.letters ? fate(state, position) : { status: OWED };
        const isSkipped = way.happened.includes(`skip ${name}`);
        marks.push(status === ONCE || way.delivered.includes(name) ? "delivered" : status === FREE && !isSkipped ? "new" : "unseen");
        if (now.has(name)) marks.push("now");
        if (here?.added === name) marks.push("added");
        if (here?.moved === name) marks.push("moved");
        if (state.letters && isLost(state, position)) marks.push("lost");
        if (isSkipped) marks.push("skipped");
        if (way.happened.includes(`repeat ${name}`) || way.repeats.includes(`repeat ${name}`)) marks.push("repeated");
        if (state.layout[1] === "show" && state.layout[2] === position) marks.push("turn");
        boxes.push(box(name, marks));
        told.push(`${name} ${marks.filter(mark => words[mark]).map(mark => words[mark]).join(" and ")}`);
      }
      // A socket that this step took out, where it was.
      if (here && here.out !== null) {
        let at = here.out, nth = 0;
        while (at >= here.from.layout[0][nth]) at -= here.from.layout[0][nth++];
        if (nth === bucket) {
          boxes.splice(at, 0, box(here.before[here.out], ["unseen", "gone"]));
          told.splice(at, 0, `${here.before[here.out]} closed`);
        }
      }
      return element("div", { className: "bucket" },
        ...(graph.buckets[bucket] ? [element("b", { className: "no", text: graph.buckets[bucket] })] : []),
        boxes.length ? element("span", { className: "list", role: "img", "aria-label": told.join(", ") }, ...boxes)
          : element("span", { className: "nothing", text: "empty" }));
    });
  };
  const waits = ({ state, names }) => {
    const [, where, what] = state.layout;
    if (where === "show") return `Inside a read, about to show ${what < 0 ? "a socket that has closed" : names[what]}`;
    if (where === "bucket") return "Inside a read, about to lock the next bucket that is not empty";
    if (where === "realloc") return `Inside a read, while a batch of ${what} slots is allocated`;
    if (!(state.flags & IS_OPEN)) return "Before open: nothing is owed yet";
    if (state.flags & LEFT) return "Between two reads; the next one hands out what the failed one had";
    return state.flags & ENDED ? "A read has returned the end" : "Between two reads";
  };
  const placeOf = way => {
    const exact = encode(tokens) === `#state-${way.state.number}`;
    return { text: way.state.place.map(part => typeof part === "number" ? way.names[part] : part).join(""), exact };
  };
  const list = names => names.join(", ") || "-";
  const owed = way => way.names.filter((name, position) => way.state.letters && fate(way.state, position).status === OWED);

  const said = way => {
    const items = [], sentence = { skip: "is skipped", repeat: "is repeated" };
    const say = (found, how, text) => items.push(element("li", { className: `${found.split(" ")[0]} ${how}`, "data-how": how, "data-found": found }, chip(found, how === "happened" ? "" : how === "certain" ? "moved" : "alone"), " ", text));
    const what = found => {
      const [kind, name] = found.split(" ");
      return name ? `${name} ${sentence[kind]}` : kind === "stuck" ? "the walk does not end" : "a read returned an error";
    };
    for (const found of way.happened) say(found, "happened", "has happened.");
    const sure = certain(way), quiet = alone(way);
    for (const found of sure) say(found, "certain", found.startsWith("skip")
      ? "is certain: no continuation in the scope delivers it. It is skipped at the end, unless it closes before."
      : "is certain: the record is made, and a read is going to hand it out.");
    for (const found of quiet || []) if (!sure.includes(found)) say(found, "alone", `by reads alone: ${what(found)} if nothing changes any more.`);
    if (quiet === null) items.push(element("li", { className: "none", text: "The graph is cut off here: how reads go on is not in it." }));
    const may = possible(way);
    const parts = [may.skip.length && `skip of ${list(may.skip)}`, may.repeat.length && `repeat of ${list(may.repeat)}`, may.refused && "a refused read"].filter(Boolean);
    if (way.state.flags & IS_OPEN) items.push(element("li", { className: parts.length ? "possible" : "none", "data-how": "possible", text: parts.length ? `Possible from here: ${parts.join("; ")}.` : "Nothing can go wrong any more from here." }));
    else items.push(element("li", { className: "none", text: "The iterator is not open." }));
    return items;
  };

  const described = (token, after) => {
    if (token === "a") return ["Reads", "read all", after.delivered.slice(way.delivered.length).join(", ") || (after.happened.includes("stuck") ? "no end" : "the end")];
    const [line] = move(way.state, token), of = move(way.state, token), entry = after.entries.at(-1);
    if (line === undefined) return ["Reads", "open", ""];
    if (typeof line === "string") return [way.read ? "Inside the read" : "Changes", entry.text, ""];
    const flags = of[4], isOver = flags & OVER, got = after.here.now.join(", ");
    if (flags & FAIL) return ["Inside the read", `at realloc ${way.read.allocations + 1}: fail`, isOver ? "an error" : ""];
    const text = isOver ? after.operations.at(-1)[0] : "read …";
    const result = isOver ? (flags & IS_REFUSED ? "an error" : after.isEnd ? "the end" : after.delivered.slice(way.delivered.length).join(", ")) : [got, "stops inside"].filter(Boolean).join(", then ");
    if (flags & BEGINS) return ["Reads", text, result];
    return ["The read goes on", isOver ? `${flags & STOPS ? "it is full" : "to its end"}: ${text}` : "to the next point", isOver ? result : got];
  };
  const ORDER = ["The read goes on", "Inside the read", "Reads", "Changes"];
  const renderSteps = () => {
    const groups = new Map(ORDER.map(title => [title, []]));
    const choices = [...Array(count(way.state)).keys()];
    if (mayReadAll(way.state)) choices.push("a");
    const lost = certain(way), quiet = alone(way);
    for (const token of choices) {
      const after = extend(way, token);
      if (!after) continue;
      const [group, text, result] = described(token, after);
      const button = element("button", { type: "button", className: "step", "data-step": token }, element("code", { text }));
      if (result) button.append(element("span", { className: "result", text: `→ ${result}` }));
      const happened = after.happened.filter(one => !way.happened.includes(one));
      const sure = certain(after).filter(one => !lost.includes(one) && !happened.includes(one));
      const then = quiet && (alone(after) || []).filter(one => !quiet.includes(one) && !sure.includes(one) && !happened.includes(one));
      button.append(...happened.map(one => chip(one)), ...sure.map(one => chip(one, "moved", "certain")), ...(then || []).map(one => chip(one, "alone", "by reads alone")));
      button.addEventListener("click", () => go([...tokens, token], true));
      groups.get(group).push(button);
    }
    const parts = [];
    for (const [title, buttons] of groups) if (buttons.length) parts.push(element("h3", { text: title }), element("div", { role: "group", "aria-label": title }, ...buttons));
    if (way.state.flags & IS_CUT) parts.push(element("p", { className: "about bad", text: "The graph is cut off here." }));
    byId("steps").replaceChildren(...parts);
  };
  const renderOperations = () => {
    const items = [];
    let at = start();
    trail.forEach((token, nth) => {
      const shown = at.entries.length;
      at = extend(at, token);
      const added = at.entries.slice(shown), isAfter = nth >= tokens.length;
      // A read that goes on to its end says how it ends.
      const texts = added.length ? added : [{ text: "go on", inner: true }];
      for (const entry of texts) {
        const link = element("a", { href: encode(trail.slice(0, nth + 1)), text: entry.text });
        if (nth === tokens.length - 1) link.setAttribute("aria-current", "step");
        items.push({ entry, item: element("li", { className: `${entry.inner ? "inner" : ""} ${isAfter ? "later" : ""}` }, link), link });
      }
    });
    // What a read has come to is known when it is over.
    at.entries.forEach((entry, nth) => {
      const { item, link } = items[nth];
      link.textContent = entry.text;
      if (entry.result) item.append(element("span", { className: "result", text: `→ ${entry.result}` }));
      for (const found of entry.found || []) item.append(chip(found));
    });
    byId("operations").replaceChildren(...items.map(({ item }) => item));
  };

  const render = isFocused => {
    const last = way.entries.at(-1);
    const { state } = way;
    byId("event").textContent = last ? last.text + (last.result ? ` → ${last.result}` : "") : "The table is empty";
    byId("point").textContent = waits(way);
    byId("buckets").replaceChildren(...bucketsOf(way));
    const place = placeOf(way);
    byId("place-of").hidden = !(graph.progress && state.flags & IS_OPEN && !state.layout[1]);
    byId("place").textContent = place.text || "-";
    byId("place-note").hidden = place.exact;
    byId("delivered").textContent = list(way.delivered) + (way.records.length ? ` (made, not handed out: ${way.records.join(", ")})` : "");
    byId("owed").textContent = list(owed(way));
    byId("said").replaceChildren(...said(way));
    const kinds = { skip: "skipped", repeat: "repeated" };
    const fresh = (last?.found || []).map(found => kinds[found.split(" ")[0]]).find(Boolean);
    byId("stage").className = `stage${fresh ? ` ${fresh}-here` : ""}`;
    byId("link").textContent = `State ${state.number}`;
    byId("link").href = `#state-${state.number}`;
    const lines = way.operations.flat().length + (way.read ? 1 + way.read.inside.length : 0);
    byId("number").textContent = `of ${states.length}, after ${lines} operation${lines === 1 ? "" : "s"}`;
    const isOpen = state.flags & IS_OPEN;
    byId("copy").querySelectorAll("#save, [data-copy=case], [data-copy=command]").forEach(button => { button.disabled = !isOpen; });
    byId("save-note").textContent = !isOpen ? "A case needs `open`." : way.read ? "The case ends with the read that is under way." : "";
    byId("case").textContent = isOpen ? caseOf(way) : "";
    status.textContent = "";
    document.querySelectorAll("[data-go]").forEach(button => {
      button.disabled = ["first", "back"].includes(button.dataset.go) ? !tokens.length : tokens.length === trail.length;
    });
    renderSteps();
    renderOperations();
    if (isFocused) {
      (byId("steps").querySelector("button") || byId("next")).focus({ preventScroll: true });
      // Whoever picks something far below the state is taken back to it.
      const { top, bottom } = byId("stage").getBoundingClientRect();
      if (top < 0 || bottom > innerHeight) byId("where").scrollIntoView();
    }
  };

  let focusNext = false;
  const go = (to, isFocused = false) => {
    focusNext = isFocused;
    const hash = encode(to);
    if (!to.every((token, nth) => trail[nth] === token)) trail = to;
    if (location.hash === hash) follow();
    else location.hash = hash;
  };
  const follow = () => {
    const found = location.hash ? decode(location.hash) : [];
    tokens = found || [];
    if (!tokens.every((token, nth) => trail[nth] === token)) trail = tokens;
    way = walk(tokens);
    render(focusNext);
    focusNext = false;
    if (!found) byId("event").textContent = `No state of this page has the address ${location.hash}`;
  };

  const goes = { first: () => [], back: () => tokens.slice(0, -1), on: () => trail.slice(0, tokens.length + 1), last: () => trail };
  document.querySelectorAll("[data-go]").forEach(button => button.addEventListener("click", () => go(goes[button.dataset.go]())));
  document.addEventListener("click", event => {
    const link = event.target.closest("#rows a, .findings a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    go(decode(link.hash), true);
  });
  document.querySelector("[data-jump]").addEventListener("click", event => {
    event.preventDefault();
    (byId("steps").querySelector("button") || byId("next")).focus();
  });
  document.addEventListener("keydown", event => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.target.closest("select, pre, .scroll")) return;
    const keys = { ArrowLeft: "back", ArrowRight: "on", Home: "first", End: "last" };
    if (event.key in keys) {
      event.preventDefault();
      go(goes[keys[event.key]](), Boolean(document.activeElement.closest("#steps")));
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const buttons = [...byId("steps").querySelectorAll("button")], at = buttons.indexOf(document.activeElement);
      if (!buttons.length) return;
      event.preventDefault();
      const nth = at < 0 ? (event.key === "ArrowDown" ? 0 : buttons.length - 1) : at + (event.key === "ArrowDown" ? 1 : -1);
      buttons[Math.min(Math.max(nth, 0), buttons.length - 1)].focus();
    }
  });
  byId("save").addEventListener("click", () => {
    const url = URL.createObjectURL(new Blob([byId("case").textContent], { type: "text/plain" }));
    const link = element("a", { href: url, download: `${graph.scheme.replace(/[^\w-]/g, "-")}-${encode(tokens).slice(1).replace(/[^\w-]/g, "-")}.case` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    status.textContent = `Saved as ${link.download}.`;
  });
  const text = () => byId("case").textContent;
  copying.copies(byId("copy"), { link: () => location.href, case: text, command: () => copying.command(byId("copy").dataset.replay, text()) });

  // The list of states, a page at a time.
  const PAGE = 50;
  let first = 0, listed = states;
  const violating = new Map();
  const hasViolation = number => {
    const path = [];
    let at = number;
    while (at >= 0 && !violating.has(at)) { path.push(at); at = states[at].before; }
    let value = at >= 0 && violating.get(at);
    for (const one of path.reverse()) {
      const { before, step } = states[one];
      value ||= before >= 0 && states[before].steps[3 * step + 2] > 0;
      violating.set(one, value);
    }
    return value;
  };
  const filters = { all: () => true, lost: state => [...state.letters].some((_, position) => isLost(state, position)),
    violation: state => hasViolation(state.number), cut: state => state.flags & IS_CUT };
  const renderRows = () => {
    byId("rows").replaceChildren(...listed.slice(first, first + PAGE).map(state => {
      const at = walk(shortest(state.number)), last = at.entries.at(-1);
      let position = 0;
      const buckets = state.layout[0].map((length, nth) => (graph.buckets[nth] ? graph.buckets[nth] + " " : "") + `[${at.names.slice(position, position += length).join(" ")}]`);
      const place = state.flags & IS_OPEN && !state.layout[1] ? state.place.map(part => typeof part === "number" ? at.names[part] : part).join("") : "";
      return element("tr", {}, element("th", { scope: "row" }, element("a", { href: `#state-${state.number}`, text: state.number })),
        ...[state.lines, last ? last.text : "", buckets.join(" "), place || "-", list(owed(at))].map(text => element("td", { text })));
    }));
    byId("range").textContent = listed.length ? `${first + 1} to ${Math.min(first + PAGE, listed.length)} of ${listed.length}` : "none";
    byId("less").disabled = first === 0;
    byId("more").disabled = first + PAGE >= listed.length;
  };
  const renderList = () => {
    listed = states.filter(filters[byId("which").value]);
    first = 0;
    renderRows();
  };
  byId("which").addEventListener("change", renderList);
  byId("less").addEventListener("click", () => { first -= PAGE; renderRows(); });
  byId("more").addEventListener("click", () => { first += PAGE; renderRows(); });
  byId("browse").addEventListener("toggle", () => { if (byId("browse").open && !byId("rows").children.length) renderList(); });

  window.addEventListener("hashchange", follow);
  follow();
})();
