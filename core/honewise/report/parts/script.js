"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const show = (value) => {
    if (value === null) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    return (size < 0.001 || size >= 1e5 ? value.toExponential(1) : String(Number(value.toFixed(3)))).replace("-", "−");
  };
  const signed = (value) => (value > 0 ? "+" : "") + show(value);

  // Light or dark: the system's choice until the button is pressed.
  const keep = (value) => { try { if (value) localStorage.setItem("honewise-theme", value); return localStorage.getItem("honewise-theme"); } catch { return value; } };
  const chosen = keep();
  if (chosen) document.documentElement.dataset.theme = chosen;
  byId("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
    keep(document.documentElement.dataset.theme);
  });

  const tip = byId("tip");
  const point = (text, x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 12, innerWidth - box.width - 8)) + "px";
    tip.style.top = (y + 20 + box.height > innerHeight ? y - box.height - 10 : y + 18) + "px";
  };
  const leave = () => { tip.hidden = true; };
  addEventListener("scroll", leave, { passive: true });

  // Curves: the nearest step under the pointer.
  for (const svg of document.querySelectorAll("svg[data-points]")) {
    let points = null, dot = null;
    svg.addEventListener("pointermove", (event) => {
      points = points || JSON.parse(svg.dataset.points);
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      const near = points.reduce((best, each) => (Math.abs(each[0] - x) < Math.abs(best[0] - x) ? each : best));
      if (!dot) { dot = document.createElementNS("http://www.w3.org/2000/svg", "circle"); dot.setAttribute("class", "here"); dot.setAttribute("r", "3"); svg.append(dot); }
      dot.setAttribute("cx", near[0]); dot.setAttribute("cy", near[1]);
      point("step " + near[2] + ": " + show(near[3]), event.clientX, event.clientY);
    });
    svg.addEventListener("pointerleave", () => { leave(); if (dot) { dot.remove(); dot = null; } });
  }

  const holder = byId("data");
  if (!holder) return;
  const data = JSON.parse(holder.textContent);
  holder.textContent = "";
  const { rows, strings, rewards, sources } = data;
  const SOURCE = 0, STEP = 1, TASK = 2, PROMPT = 3, GROUP = 4, SAMPLE = 5, TEXT = 6, TOTAL = 7, CORRECT = 8, TOKENS = 9, TRUNCATED = 10, ADVANTAGE = 11, CUT = 12, CELLS = 13, REFERENCE = 14, TRAINED = 15;
  const REWARD = 0, VALUE = 1, WEIGHT = 2, UNSCORED = 3, GATED = 4, TERMINAL = 5, FEEDBACK = 6, SPANS = 7;
  const BATCH = 20;

  // One completion: every character with the sum of the spans over it. Offsets count characters, not UTF-16 units.
  const paint = (row, only) => {
    const box = make("pre", "text");
    box.dir = "auto";
    const characters = Array.from(row[TEXT]);
    if (!characters.length) { box.append(make("span", "empty", "nothing was written")); return box; }
    const spans = [];
    const add = (from, to, credit, why) => {
      const start = Math.max(0, from), end = Math.min(characters.length, to);
      if (end > start) spans.push({ start, end, credit, why });
    };
    if (only === "trained") for (let i = 0; i < row[TRAINED].length; i += 3) add(row[TRAINED][i], row[TRAINED][i + 1], row[TRAINED][i + 2], "token, as trained  " + signed(row[TRAINED][i + 2]));
    else for (const cell of row[CELLS]) {
      if (only !== null && cell[REWARD] !== only) continue;
      const times = cell[WEIGHT] === 1 ? "" : " × " + show(cell[WEIGHT]);
      for (let i = 0; i < cell[SPANS].length; i += 4) {
        const [start, end, value, label] = cell[SPANS].slice(i, i + 4);
        add(start, end, value * cell[WEIGHT], rewards[cell[REWARD]] + (strings[label] ? ": " + strings[label] : "") + "  " + signed(value) + times);
      }
    }
    const cuts = [...new Set([0, characters.length, ...spans.flatMap((span) => [span.start, span.end])])].sort((a, b) => a - b);
    const opening = [...spans].sort((a, b) => a.start - b.start);
    let open = [], next = 0;
    for (let i = 0; i + 1 < cuts.length; i += 1) {
      const [from, to] = [cuts[i], cuts[i + 1]];
      open = open.filter((span) => span.end > from);
      while (next < opening.length && opening[next].start <= from) open.push(opening[next++]);
      const text = characters.slice(from, to).join("");
      if (!open.length) { box.append(text); continue; }
      const credit = open.reduce((sum, span) => sum + span.credit, 0);
      const level = Math.max(1, Math.min(5, Math.ceil(5 * Math.sqrt(Math.abs(credit) / data.scale))));
      const mark = make("mark", Math.abs(credit) < 1e-9 ? "evened" : (credit > 0 ? "paid s" : "charged s") + level, text);
      mark.dataset.tip = open.map((span) => span.why).join("\n") + (open.length > 1 ? "\ntogether " + signed(credit) : "");
      box.append(mark);
    }
    return box;
  };

  const chip = (row, cell) => {
    const name = rewards[cell[REWARD]];
    const credit = cell[VALUE] === null ? 0 : cell[VALUE] * cell[WEIGHT];
    const node = make("button", "chip");
    node.type = "button";
    node.append(name + " ");
    if (cell[UNSCORED] >= 0) { node.classList.add("unscored"); node.append("unscored: " + strings[cell[UNSCORED]]); }
    else {
      node.append(make("b", "", show(cell[VALUE])));
      if (cell[WEIGHT] !== 1) node.append(" × " + show(cell[WEIGHT]));
      if (cell[GATED]) { node.classList.add("gated"); node.append(" gated"); }
      else if (credit > 0) node.classList.add("paid");
      else if (credit < 0) node.classList.add("charged");
    }
    if (state.colour === cell[REWARD]) node.classList.add("on");
    node.dataset.tip = (cell[SPANS].length ? cell[SPANS].length / 4 + " marked, for the whole " + signed(cell[TERMINAL]) : "for the whole " + signed(cell[TERMINAL])) + (strings[cell[FEEDBACK]] ? "\n" + strings[cell[FEEDBACK]] : "") + "\nClick to colour by this reward alone.";
    node.addEventListener("click", () => { byId("f-colour").value = state.colour === cell[REWARD] ? "" : String(cell[REWARD]); refresh(); });
    return node;
  };

  const fold = (title, fill) => {
    const box = make("details");
    box.append(make("summary", "", title));
    box.addEventListener("toggle", () => { if (box.open && box.childElementCount === 1) fill(box); });
    return box;
  };
  const boxed = (text) => { const node = make("pre", "", text); node.dir = "auto"; return node; };

  const card = (index) => {
    const row = rows[index], item = make("article", "item"), top = make("div", "top");
    top.append(make("span", "", sources[row[SOURCE]] + (row[STEP] === null ? "" : ", step " + row[STEP])));
    const task = make("span", "", "task " + strings[row[TASK]]);
    task.dir = "auto";
    top.append(task);
    const group = make("button", "link", state.group === groupOf(row) ? "all groups" : "its group");
    group.type = "button";
    group.addEventListener("click", () => { state.group = state.group === groupOf(row) ? null : groupOf(row); refresh(); });
    top.append(group);
    if (row[CORRECT] !== null) top.append(make("span", row[CORRECT] ? "right" : "wrong", row[CORRECT] ? "right" : "wrong"));
    if (row[TRUNCATED]) top.append(make("span", "", "cut at " + row[TOKENS] + " tokens"));
    else if (row[TOKENS]) top.append(make("span", "", row[TOKENS] + " tokens"));
    if (row[ADVANTAGE] !== null) top.append(make("span", "", "advantage " + signed(row[ADVANTAGE])));
    top.append(make("span", "total", row[TOTAL] === null ? "no total" : show(row[TOTAL])));
    const chips = make("div", "chips");
    for (const cell of row[CELLS]) chips.append(chip(row, cell));
    if (row[CUT]) chips.append(make("span", "chip charged", "cut because wrong " + signed(row[CUT])));
    item.append(top, paint(row, state.colour), chips, fold("feedback, prompt, reference", (box) => {
      const list = make("dl");
      for (const cell of row[CELLS]) if (strings[cell[FEEDBACK]]) { list.append(make("dt", "", rewards[cell[REWARD]]), make("dd", "", strings[cell[FEEDBACK]])); list.lastChild.dir = "auto"; }
      box.append(list, make("h4", "", "prompt"), boxed(strings[row[PROMPT]]));
      if (strings[row[REFERENCE]]) box.append(make("h4", "", "reference"), boxed(strings[row[REFERENCE]]));
    }));
    return item;
  };

  const groupOf = (row) => row[SOURCE] + "/" + row[STEP] + "/" + row[GROUP];
  const state = { colour: null, group: null, found: [], drawn: 0 };

  // "12", "10-20" or "50-": what is not understood filters nothing.
  const stepRange = (text) => {
    const match = /^\s*(\d+)\s*(?:(-|–|\.\.)\s*(\d*))?\s*$/.exec(text);
    if (!match) return null;
    return [Number(match[1]), match[2] ? (match[3] ? Number(match[3]) : Infinity) : Number(match[1])];
  };

  const cellTest = (want) => ({
    "": (cell) => true,
    paid: (cell) => cell[VALUE] !== null && cell[VALUE] * cell[WEIGHT] > 0,
    nothing: (cell) => cell[VALUE] === 0,
    charged: (cell) => (cell[VALUE] !== null && cell[VALUE] * cell[WEIGHT] < 0) || cell[SPANS].some((value, i) => i % 4 === 2 && value * cell[WEIGHT] < 0),
    spans: (cell) => cell[SPANS].length > 0,
    unscored: (cell) => cell[UNSCORED] >= 0,
    gated: (cell) => Boolean(cell[GATED]),
  })[want];

  const refresh = () => {
    const source = byId("f-source").value, steps = stepRange(byId("f-step").value), correct = byId("f-correct").value;
    const reward = byId("f-reward").value, want = byId("f-state").value, order = byId("f-order").value;
    const words = byId("f-text").value.toLocaleLowerCase(), test = cellTest(want);
    const colour = byId("f-colour").value;
    state.colour = colour === "" ? null : colour === "trained" ? colour : Number(colour);
    const holds = (row) =>
      (source === "" || row[SOURCE] === Number(source)) &&
      (!steps || (row[STEP] !== null && row[STEP] >= steps[0] && row[STEP] <= steps[1])) &&
      (correct === "" || String(row[CORRECT]) === correct) &&
      (state.group === null || groupOf(row) === state.group) &&
      ((reward === "" && want === "") || row[CELLS].some((cell) => (reward === "" || cell[REWARD] === Number(reward)) && test(cell))) &&
      (words === "" || [row[TEXT], strings[row[PROMPT]], strings[row[TASK]]].some((text) => text.toLocaleLowerCase().includes(words)));
    const found = [];
    rows.forEach((row, index) => { if (holds(row)) found.push(index); });
    const total = (index) => (rows[index][TOTAL] === null ? NaN : rows[index][TOTAL]);
    const last = (a, b, sign) => (Number.isNaN(a) ? 1 : Number.isNaN(b) ? -1 : sign * (a - b)) || 0;
    if (order === "up") found.sort((a, b) => last(total(a), total(b), 1));
    if (order === "down") found.sort((a, b) => last(total(a), total(b), -1));
    if (order === "long") found.sort((a, b) => rows[b][TOKENS] - rows[a][TOKENS] || rows[b][TEXT].length - rows[a][TEXT].length);
    state.found = found;
    state.drawn = 0;
    const scored = found.map(total).filter((value) => !Number.isNaN(value));
    const known = found.filter((index) => rows[index][CORRECT] !== null);
    const right = known.filter((index) => rows[index][CORRECT] === 1).length;
    byId("count").textContent = found.length + " of " + rows.length + " completions" + (scored.length ? " · mean total " + show(scored.reduce((a, b) => a + b, 0) / scored.length) : "") + (known.length ? " · " + (100 * right / known.length).toFixed(1) + " % correct" : "") + (found.length > scored.length ? " · " + (found.length - scored.length) + " without a total" : "") + (state.group === null ? "" : " · one group");
    byId("list").replaceChildren();
    draw();
  };

  const draw = () => {
    const until = Math.min(state.drawn + BATCH, state.found.length);
    byId("list").append(...state.found.slice(state.drawn, until).map(card));
    state.drawn = until;
    byId("more").hidden = until >= state.found.length;
    if (!byId("more").hidden) requestAnimationFrame(() => { if (byId("more").getBoundingClientRect().top < innerHeight + 600) draw(); });
  };
  // Only what is near the window is ever built, so ten thousand completions cost no more than twenty.
  new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) draw(); }, { rootMargin: "600px" }).observe(byId("more"));

  const options = (select, first, names) => {
    select.append(new Option(first, ""), ...names.map((name, index) => new Option(name, String(index))));
  };
  options(byId("f-source"), "everywhere", sources);
  options(byId("f-reward"), "any", rewards);
  options(byId("f-colour"), "all rewards", rewards);
  if (rows.some((row) => row[TRAINED].length)) byId("f-colour").append(new Option("tokens, as trained", "trained"));
  let waiting = 0;
  byId("filters").addEventListener("input", (event) => { clearTimeout(waiting); waiting = setTimeout(refresh, event.target.id === "f-text" ? 150 : 0); });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());

  byId("list").addEventListener("pointermove", (event) => {
    const marked = event.target.closest("[data-tip]");
    if (marked) point(marked.dataset.tip, event.clientX, event.clientY); else leave();
  });
  byId("list").addEventListener("pointerleave", leave);
  refresh();
})();
