"use strict";
/* The try-it page. In this order: colours, small tools, asking the server, the form, the answer,
   what moved it, what if, a whole table, the start. No library, no address but this server's. */

(() => {
  // --- colours: before the first paint, hence no "defer" on this script ------------------------

  const root = document.documentElement;
  const systemDark = matchMedia("(prefers-color-scheme: dark)");
  let store = null;
  try {
    store = window.localStorage;
  } catch (error) {
    console.info("this browser forbids storage, the colours will be forgotten:", error.message);
  }
  root.dataset.theme = store?.getItem("modelyard-theme") ?? "";
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);

  function startTheme() {
    const tell = () => $("theme").setAttribute("aria-pressed", String(isDark()));
    $("theme").addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      store?.setItem("modelyard-theme", root.dataset.theme);
      tell();
    });
    tell();
  }

  // --- small tools ------------------------------------------------------------------------------

  const $ = (id) => document.getElementById(id);
  const SVG = ["svg", "path", "line", "circle", "text"];

  /** Make an element; texts are set as text, so that no name of a column is ever markup. */
  function make(tag, { on = {}, ...attributes } = {}, ...children) {
    const space = SVG.includes(tag) ? "2000/svg" : "1999/xhtml";
    const node = document.createElementNS(`http://www.w3.org/${space}`, tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== false) node.setAttribute(name, value);
    }
    for (const [event, handler] of Object.entries(on)) node.addEventListener(event, handler);
    node.append(...children);
    return node;
  }

  const paragraph = (kind, ...children) => make("p", { class: kind }, ...children);

  /** One line of a bar list: a name, a bar as wide as `share` of its track, a figure. */
  function bar(name, share, text, { kind = "", chosen = false, title } = {}) {
    const fill = make("i", { class: `fill ${kind}` });
    fill.style.width = `${100 * share}%`;
    const node = typeof name === "string" ? make("span", { class: "name" }, name) : name;
    return make("li", { class: chosen ? "chosen" : "", title }, node,
      make("span", { class: "track" }, fill), make("span", { class: "num" }, text));
  }

  /** A list of which all but the first 8 are folded away; it stays open when it is drawn anew. */
  function folded(kind, items, more, place) {
    const list = (some) => make("ul", { class: kind }, ...some);
    if (items.length <= 8) return items.length ? [list(items)] : [];
    const open = place.querySelector("details")?.open;
    const summary = make("summary", {}, `${items.length - 8} ${more}`);
    return [list(items.slice(0, 8)), make("details", { open }, summary, list(items.slice(8)))];
  }

  function debounce(wait, action) {
    let timer = 0;
    return () => {
      clearTimeout(timer);
      timer = setTimeout(action, wait);
    };
  }

  const digits = { maximumSignificantDigits: 6, useGrouping: "min2" };
  const sixDigits = new Intl.NumberFormat("en-GB", digits);
  const number = (value) => sixDigits.format(value).replace("-", "−");
  const rowsText = (count) => `${number(count)} row${count === 1 ? "" : "s"}`;
  const since = (started) => `${number(Math.max(1, Math.round(performance.now() - started)))} ms`;

  function percent(share) {
    if (share > 0 && share < 0.001) return "< 0.1 %";
    if (share < 1 && share > 0.999) return "> 99.9 %";
    return share === null ? "not a number" : `${(100 * share).toFixed(1)} %`;
  }

  const isClasses = () => model.classes.length > 0;
  const scoreText = (score) => (isClasses() ? percent(score) : number(score));

  function effectText(effect) {
    const size = Math.abs(effect);
    if (isClasses() && size < 0.0005) return "≈ 0";
    const text = isClasses() ? (100 * size).toFixed(1) : number(Number(size.toPrecision(3)));
    return (effect > 0 ? "+" : "−") + text;
  }

  function cellText({ kind, levels }, value) {
    if (value === null || value === undefined) return "missing";
    if (kind === "boolean") return levels?.[Number(value)] ?? (value ? "yes" : "no");
    if (kind === "datetime") return String(value).replace("T", " ");
    return typeof value === "number" ? number(value) : String(value);
  }

  // --- asking the server ------------------------------------------------------------------------

  let model = null;

  /** An RFC 9457 problem document, thrown. */
  class Problem extends Error {
    constructor({ title = "The server could not answer", detail, problems = [] }) {
      super(detail ? `${title}: ${detail}` : title);
      this.problems = problems;
    }
  }

  async function send(path, options) {
    const answer = await fetch(path, options).catch((error) => {
      throw new Problem({ title: "The server does not answer", detail: error.message });
    });
    if (answer.ok) return answer;
    throw new Problem(await answer.json().catch(() => ({ title: answer.statusText })));
  }

  async function ask(path, body) {
    const headers = { "Content-Type": "application/json", Accept: "application/json" };
    const post = body && { method: "POST", body: JSON.stringify(body) };
    return (await send(path, { ...post, headers })).json();
  }

  /** Show a problem beside the fields that it names, and in one line at the top otherwise. */
  function showProblem(problem) {
    if (!(problem instanceof Problem)) throw problem;
    const loose = problem.problems.filter((one) => !markField(one));
    if (problem.problems.length && !loose.length) return;
    $("trouble").textContent = problem.message;
    $("trouble").hidden = false;
  }

  // --- the form ---------------------------------------------------------------------------------

  const TRUE_WORDS = ["true", "t", "yes", "y", "1", "on"];
  let fields = [];

  function findFields() {
    $("row").reset();
    fields = [...document.querySelectorAll(".field")].map((box) => {
      const { place, widget, other } = box.dataset;
      const inputs = [...box.querySelectorAll("input, select")];
      const feature = model.features[place];
      return { box, inputs, input: inputs[0], note: $(`f${place}-note`), feature, widget, other };
    });
    // What the field shows for the typical value: that is sent back exactly, though shown rounded.
    for (const field of fields) field.start = rawOf(field);
  }

  const fieldOf = (name) => fields.find((field) => field.feature.name === name);
  const rawOf = ({ widget, inputs, input }) =>
    widget === "choice" ? inputs.find((radio) => radio.checked).value : input.value;

  function valueOf(field) {
    const raw = rawOf(field);
    if (field.widget === "select") {
      if (raw.startsWith("=")) return raw.slice(1);
      return raw === "other" ? field.other : null;
    }
    if (raw === "") return null;
    if (field.widget === "choice") return raw === "true";
    if (raw === field.start) return field.feature.typical ?? null;
    return field.widget === "number" ? Number(raw) : raw;
  }

  function setField(field, value) {
    const { feature, widget, inputs, input } = field;
    if (widget === "choice") {
      const yes = [...TRUE_WORDS, feature.levels?.[1]?.toLowerCase()];
      const wanted = value === null ? "" : String(yes.includes(String(value).toLowerCase()));
      for (const radio of inputs) radio.checked = radio.value === wanted;
    } else if (widget === "select") {
      const known = feature.levels.includes(String(value)) ? `=${value}` : "other";
      input.value = value === null ? "missing" : known;
    } else {
      input.value = value ?? "";
      if (value && !input.value && widget.startsWith("date")) {
        // A date with a zone or without a time: as UTC, which is how the model reads it.
        const moment = new Date(/Z$|[+-]\d\d:?\d\d$/i.test(value) ? value : `${value}Z`);
        const text = Number.isNaN(moment.getTime()) ? "" : moment.toISOString();
        input.value = text.slice(0, widget === "date" ? 10 : 19);
      }
    }
    markState(field);
  }

  function note(field, text, kind = "") {
    field.note.textContent = text;
    field.box.dataset.state = kind;
    for (const input of field.inputs) input.setAttribute("aria-invalid", String(kind === "bad"));
  }

  /** Say what the model will make of a value that it did not see in training. */
  function markState(field) {
    const { feature, widget, input } = field;
    const hint = field.note.dataset.hint ?? "";
    const value = valueOf(field);
    if (input.validity.badInput) return note(field, "cannot be read", "bad");
    const far = widget === "number" && (value < feature.minimum || value > feature.maximum);
    if (far && value !== null) return note(field, `outside ${hint} of training`, "odd");
    const unseen = widget === "search" && value !== null && !feature.levels.includes(value);
    return unseen ? note(field, "not seen in training", "odd") : note(field, hint);
  }

  function markField({ column, expected, got }) {
    const field = fieldOf(column);
    if (field) note(field, `expected ${expected}, got ${got}`, "bad");
    return Boolean(field);
  }

  function readRow() {
    $("trouble").hidden = true;
    fields.forEach(markState);
    if (fields.some((field) => field.box.dataset.state === "bad")) return null;
    return Object.fromEntries(fields.map((field) => [field.feature.name, valueOf(field)]));
  }

  function startForm() {
    $("row").addEventListener("submit", (event) => {
      event.preventDefault();
      refresh();
    });
    $("row").addEventListener("input", debounce(250, refresh));
    $("row").addEventListener("reset", () => setTimeout(refresh)); // once the fields are reset
    let pick = -1;
    $("example").addEventListener("click", () => {
      const others = model.examples.length - 1; // never the same twice
      pick = (pick + 1 + Math.floor(Math.random() * others)) % model.examples.length;
      for (const field of fields) setField(field, model.examples[pick][field.feature.name]);
      refresh();
    });
  }

  // --- the answer -------------------------------------------------------------------------------

  let turns = 0;
  let shown = null;

  /** Ask for the form's row; an answer that a newer question has overtaken is dropped. */
  async function refresh() {
    const turn = ++turns;
    const row = readRow();
    if (!row) return;
    const started = performance.now();
    try {
      const asked = [ask("v1/predict", { rows: [row] }), ask("v1/explain", { row })];
      const [answer, why] = await Promise.all(asked);
      if (turn !== turns) return;
      $("took").textContent = since(started);
      shown = { row, answer, why };
      showResult(answer);
      showMoved(why);
      await refreshWhatIf();
    } catch (problem) {
      if (turn === turns) showProblem(problem);
    }
  }

  const speak = debounce(500, () => {
    $("spoken").textContent = `${model.target}: ${$("brief").textContent}`;
  });

  function showResult({ predictions: [label], probabilities }) {
    const share = isClasses() && percent(probabilities[0][model.classes.indexOf(label)]);
    const headline = isClasses() ? String(label) : number(label);
    const beside = isClasses() ? `${share} likely` : model.target;
    const body = isClasses() ? classBars(label, probabilities[0]) : interval(label);
    $("result").replaceChildren(
      paragraph("headline", make("strong", {}, headline), make("span", {}, beside)), ...body);
    $("brief").textContent = isClasses() ? `${label}, ${share}` : headline;
    speak();
  }

  function classBars(label, shares) {
    const cut = model.task === "binary" ? model.threshold : null;
    const order = model.classes.map((name, index) => ({ name, index, share: shares[index] }));
    if (model.task !== "binary") order.sort((a, b) => b.share - a.share);
    const bars = order.map(({ name, index, share }) => {
      const line = bar(name, share, percent(share), { chosen: name === label });
      if (cut !== null && index === 1) {
        const tick = make("i", { class: "tick" });
        tick.style.left = `${100 * cut}%`;
        line.querySelector(".track").append(tick);
      }
      return line;
    });
    const parts = folded("bars", bars, "more", $("result"));
    if (cut === null) return parts;
    const legend = `Decides “${model.classes[1]}” from ${percent(cut)} on.`;
    return [...parts, paragraph("faint", make("i", { class: "tick sample" }), legend)];
  }

  /** How far the held-out rows were off: the honest interval that the metrics allow. */
  function interval(value) {
    const { median_absolute_error: half, rmse } = model.metrics;
    const parts = [];
    if (half !== undefined) {
      const ends = `${number(value - half)} to ${number(value + half)}`;
      parts.push(paragraph("interval", make("b", {}, ends), ` (± ${number(half)})`));
      parts.push(paragraph("faint", "For half of the held-out rows the truth lay within this "
        + "distance. It is one distance for all rows, not a promise for this one."));
    }
    const text = `Root mean squared error on held-out rows: ${number(rmse)}.`;
    return rmse === undefined ? parts : [...parts, paragraph("faint", text)];
  }

  // --- what moved it ----------------------------------------------------------------------------

  function showMoved({ output, score, typical_score: start, effects }) {
    const moved = effects.filter(({ effect }) => effect);
    const still = effects.filter(({ effect }) => !effect).map(({ feature }) => feature).join(", ");
    const items = moved.map((effect) => movedItem(effect, Math.abs(moved[0].effect)));
    const of = isClasses() ? ` of “${output}”` : "";
    const unit = isClasses() ? ", in percentage points" : "";
    $("moved").replaceChildren(
      paragraph("from", "A typical row gives ", make("b", {}, scoreText(start)), `${of}, this one `,
        make("b", {}, scoreText(score)), "."),
      ...folded("moves", items, "smaller", $("moved")),
      ...(still ? [make("p", { class: "faint clip", title: still }, `No effect: ${still}`)] : []),
      paragraph("faint", `Each bar is what a column adds compared with its typical value${unit}, `
        + "all else unchanged. Columns act together, so the bars need not add up."));
  }

  function movedItem({ feature: name, value, typical, effect }, largest) {
    const { feature } = fieldOf(name);
    const label = make(walks(feature) ? "button" : "span", { class: "name", type: "button",
      on: { click: () => walks(feature) && chooseColumn(name, true) } },
    make("b", {}, name), make("small", {}, cellText(feature, value)));
    const title = `typical: ${cellText(feature, typical)}`;
    const kind = effect > 0 ? "up" : "down";
    return bar(label, Math.abs(effect) / largest / 2, effectText(effect), { kind, title });
  }

  // --- what if ----------------------------------------------------------------------------------

  const what = { name: "", curve: null, key: "" };
  const isNumber = ({ kind }) => kind === "number" || kind === "integer";
  const isListed = ({ kind }) => kind === "category" || kind === "boolean";
  const walks = (feature) =>
    isListed(feature) || (isNumber(feature) && feature.maximum > feature.minimum);

  function startWhatIf() {
    for (const [label, kind] of [["Numbers", isNumber], ["Categories", isListed]]) {
      const found = model.features.filter((feature) => kind(feature) && walks(feature));
      const options = found.map(({ name }) => make("option", { value: name }, name));
      if (options.length) $("what-column").append(make("optgroup", { label }, ...options));
    }
    $("what-column").disabled = !$("what-column").options.length;
    $("what-column").addEventListener("change", (event) => chooseColumn(event.target.value));
    const soon = debounce(60, refresh);
    $("what-range").addEventListener("input", (event) => {
      const field = fieldOf(what.name);
      setField(field, positions(field.feature).value(event.target.value));
      drawWhatIf();
      soon();
    });
    new ResizeObserver(debounce(50, drawWhatIf)).observe($("what-chart"));
  }

  function chooseColumn(name, focus = false) {
    what.name = $("what-column").value = name;
    if (focus) $("what-column").focus();
    refreshWhatIf().catch(showProblem);
  }

  async function refreshWhatIf() {
    const ranked = shown.why.effects.map(({ feature }) => fieldOf(feature).feature).filter(walks);
    if (!ranked.length) return;
    what.name ||= (ranked.find((one) => one.maximum - one.minimum > 1) ?? ranked[0]).name;
    $("what-column").value = what.name;
    // The curve does not depend on the column's own value: while one slides, it stays.
    const wanted = JSON.stringify([what.name, { ...shown.row, [what.name]: null }]);
    if (wanted !== what.key) {
      what.key = wanted;
      const curve = await ask("v1/what-if", { row: shown.row, feature: what.name });
      if (what.key !== wanted) return;
      what.curve = curve;
    }
    drawWhatIf();
  }

  /** The slider's positions: whole numbers for integers, two hundredths of the range otherwise. */
  function positions({ kind, minimum, maximum }) {
    const whole = kind === "integer";
    const [span, count] = [maximum - minimum, whole ? Math.min(maximum - minimum, 500) : 200];
    const round = whole ? Math.round : (value) => Number(value.toPrecision(6));
    const value = (place) => round(minimum + (span * place) / count);
    return { count, value, place: (x) => Math.round(((x - minimum) / span) * count) };
  }

  function drawWhatIf() {
    const { curve, name } = what;
    if (!curve || curve.feature !== name) return;
    const field = fieldOf(name);
    const value = valueOf(field);
    const title = isClasses() ? `Probability of “${curve.output}”` : curve.output;
    $("what-slide").hidden = !isNumber(field.feature);
    $("what-value").textContent = cellText(field.feature, value);
    if (isNumber(field.feature)) {
      const { count, place } = positions(field.feature);
      const range = $("what-range");
      range.max = count;
      range.value = place(value ?? field.feature.typical);
      range.setAttribute("aria-label", `What if: ${name}`);
      range.setAttribute("aria-valuetext", cellText(field.feature, value));
      $("what-chart").replaceChildren(lineChart(curve, value, title));
    } else {
      const focused = $("what-chart").contains(document.activeElement);
      $("what-chart").replaceChildren(levelBars(curve, field, value));
      if (focused) $("what-chart").querySelector(".chosen button")?.focus();
    }
    $("what-note").textContent = `${title} along ${name}, all else unchanged.`;
  }

  /** The score's range on the chart: 0 to 1, or the values with some room. */
  function bounds(scores) {
    if (isClasses()) return [0, 1];
    const [low, high] = [Math.min(...scores), Math.max(...scores)];
    const room = (high - low || Math.abs(high) || 1) * 0.15;
    return [low - room, high + room];
  }

  /** The row's score: the answer's, or read off the line until the server has answered. */
  function scoreAt({ feature, output, values, scores }, value) {
    if (shown.row[feature] === value) {
      const [label, shares] = [shown.answer.predictions[0], shown.answer.probabilities?.[0]];
      return isClasses() ? shares[model.classes.indexOf(output)] : label;
    }
    return scores[values.findIndex((each) => each >= value)];
  }

  function lineChart(curve, value, title) {
    const [width, height] = [Math.max(240, $("what-chart").clientWidth), 190];
    const [left, right, top, bottom] = [52, width - 14, 14, height - 26];
    const [first, last] = [curve.values[0], curve.values.at(-1)];
    const [low, high] = bounds([...curve.scores, curve.score]);
    const x = (at) => left + ((right - left) * (at - first)) / (last - first);
    const y = (at) => bottom - ((bottom - top) * (at - low)) / (high - low);
    const across = (kind, at) => make("line", { class: kind, x1: left, x2: right, y1: at, y2: at });
    const label = (at, down, anchor, text, kind = "axis") =>
      make("text", { class: kind, x: at, y: down, "text-anchor": anchor }, text);
    const ends = [curve.scores[0], curve.scores.at(-1)].map(scoreText);
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label":
      `${title}: ${ends[0]} at ${number(first)}, ${ends[1]} at ${number(last)}` });
    for (const at of [low, (low + high) / 2, high]) {
      const text = isClasses() ? `${100 * at} %` : number(Number(at.toPrecision(3)));
      svg.append(across("grid", y(at)), label(left - 8, y(at) + 4, "end", text));
    }
    const middle = curve.values[Math.floor(curve.values.length / 2)];
    for (const [at, anchor] of new Map([[middle, "middle"], [first, "start"], [last, "end"]])) {
      svg.append(label(x(at), height - 6, anchor, number(at)));
    }
    if (model.task === "binary" && model.threshold !== null) {
      svg.append(across("cut", y(model.threshold)));
    }
    const line = `M${curve.values.map((at, i) => `${x(at)} ${y(curve.scores[i])}`).join("L")}`;
    svg.append(make("path", { class: "area", d: `${line}L${right} ${bottom}L${left} ${bottom}Z` }));
    svg.append(make("path", { class: "line", d: line }));
    if (value !== null && value >= first && value <= last) {
      const score = scoreAt(curve, value);
      const [cx, cy, anchor] = [x(value), y(score), value > middle ? "end" : "start"];
      svg.append(make("line", { class: "now", x1: cx, x2: cx, y1: top, y2: bottom }));
      svg.append(make("circle", { class: "now", cx, cy, r: 5.5 }));
      const [aside, down] = [anchor === "end" ? -10 : 10, cy < top + 20 ? 22 : -10];
      svg.append(label(cx + aside, cy + down, anchor, scoreText(score), "said"));
    }
    return svg;
  }

  function levelBars({ values, scores }, field, value) {
    const [low, high] = bounds(scores);
    const order = values.map((level, index) => ({ level, score: scores[index] }));
    const items = order.sort((a, b) => b.score - a.score).map(({ level, score }) => {
      const chosen = String(level) === String(value);
      const click = () => {
        setField(field, level);
        refresh();
      };
      const name = make("button", { type: "button", class: "name", "aria-pressed": String(chosen),
        on: { click } }, cellText(field.feature, level));
      return bar(name, (score - low) / (high - low), scoreText(score), { chosen });
    });
    return make("ul", { class: "bars levels" }, ...items);
  }

  // --- a whole table ----------------------------------------------------------------------------

  const ROWS_SHOWN = 50;
  const CELL = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g;
  let download = "";

  /** Read RFC 4180 text: the first `most` lines as cells, and how many lines there are. */
  function parseCsv(text, most) {
    const rows = [];
    let [row, total] = [[], 0];
    for (const [, quoted, plain, end] of text.matchAll(CELL)) {
      const cell = quoted === undefined ? plain : quoted.replaceAll('""', '"');
      if (end !== "," && !row.length && !cell && quoted === undefined) continue; // a blank line
      row.push(cell);
      if (end === ",") continue;
      if (total++ < most) rows.push(row);
      row = [];
    }
    return { rows, total };
  }

  function toCsv(rows) {
    const names = model.features.map((feature) => feature.name);
    const quote = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
    const line = (cells) => cells.map((cell) => quote(String(cell ?? ""))).join(",");
    return [line(names), ...rows.map((row) => line(names.map((name) => row[name])))].join("\n");
  }

  async function sendTable(body) {
    $("csv-status").textContent = "Asking the model …";
    $("csv-result").replaceChildren();
    const started = performance.now();
    const headers = { "Content-Type": "text/csv", Accept: "text/csv" };
    try {
      const text = await (await send("v1/predict", { method: "POST", headers, body })).text();
      const { rows, total } = parseCsv(text, ROWS_SHOWN + 1);
      $("csv-status").textContent = `${rowsText(total - 1)} in ${since(started)}`;
      showTable(text, rows, total - 1);
    } catch (problem) {
      $("csv-status").textContent = "";
      const cells = (problem.problems ?? []).map(({ row, column, expected, got }) =>
        make("li", {}, make("b", {}, row === null ? column : `row ${row}, ${column}`),
          `: expected ${expected}, got ${got}`));
      if (cells.length) cells.push(make("li", { class: "faint" }, "Rows are counted from 0."));
      $("csv-result").append(
        paragraph("notice bad", problem.message), make("ul", { class: "cells" }, ...cells));
    }
  }

  /** The first rows. The answers were appended to the sent columns; here they come first. */
  function showTable(text, [names, ...rows], total) {
    const label = names.length - 1 - model.classes.length;
    const columns = names.map((name, at) => {
      const show = at > label ? (cell) => percent(Number(cell)) : String;
      return { name, at, kind: at < label ? "" : "said", show };
    });
    columns.unshift(...columns.splice(label));
    const head = columns.map(({ name, kind }) => make("th", { scope: "col", class: kind }, name));
    const body = rows.map((row) => make("tr", {}, ...columns.map(({ at, kind, show }) =>
      make("td", { class: kind }, show(row[at] ?? "")))));
    const table = make("table", {},
      make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
    URL.revokeObjectURL(download);
    download = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    const first = total > rows.length ? `The first ${rows.length} of ${rowsText(total)}. ` : "";
    const link = { href: download, download: `${model.name}-predictions.csv` };
    $("csv-result").replaceChildren(
      make("div", { class: "sheet", tabindex: 0, role: "region", "aria-label": "Answers" }, table),
      paragraph("after", first, make("a", link, "Download as CSV")));
  }

  function startTable() {
    const ready = () => ($("csv-send").disabled = !$("csv-text").value.trim());
    $("csv-text").addEventListener("input", ready);
    $("csv-send").addEventListener("click", () => sendTable($("csv-text").value));
    $("csv-examples").addEventListener("click", () => {
      $("csv-text").value = toCsv(model.examples);
      ready();
    });
    $("csv-file").addEventListener("change", ({ target }) => {
      if (target.files.length) sendTable(target.files[0]);
    });
    for (const name of ["dragover", "dragleave", "drop"]) {
      $("drop").addEventListener(name, (event) => {
        event.preventDefault();
        $("drop").classList.toggle("over", name === "dragover");
        if (name === "drop" && event.dataTransfer.files[0]) sendTable(event.dataTransfer.files[0]);
      });
    }
  }

  // --- the start --------------------------------------------------------------------------------

  async function start() {
    model = await ask("v1/model");
    findFields();
    startForm();
    startWhatIf();
    startTable();
    for (const id of ["predict", "typical"]) $(id).disabled = false;
    for (const id of ["example", "csv-examples"]) $(id).disabled = !model.examples.length;
    refresh();
  }

  document.addEventListener("DOMContentLoaded", () => {
    startTheme();
    start().catch(showProblem);
  });
})();
