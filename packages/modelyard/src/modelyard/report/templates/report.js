// What makes the page's tables and pictures answer. Without it everything is still there to read.
(() => {
  "use strict";
  document.documentElement.classList.add("live");
  const all = (root, selector) => [...root.querySelectorAll(selector)];
  const make = (name, values = {}) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(values)) node.setAttribute(key, value);
    return node;
  };

  // --- light and dark --------------------------------------------------------------------------
  const theme = document.getElementById("theme");
  const dark = () => {
    const set = document.documentElement.dataset.theme;
    return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const name = () => { theme.textContent = dark() ? "light" : "dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; name(); });
  name();

  // --- the words under the pointer -------------------------------------------------------------
  const tip = document.getElementById("tip");
  const show = (text, event) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, innerWidth - box.width - 8);
    const top = event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 18;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${top}px`;
  };
  const hide = () => { tip.hidden = true; };

  // --- tables: sort by a column, filter by words -----------------------------------------------
  const key = (row, place) => {
    const cell = row.cells[place];
    const text = cell.dataset.sort ?? cell.textContent.trim().replace(/\s/g, "").replace("−", "-");
    const value = parseFloat(text);
    return Number.isNaN(value) || /^\d{4}-/.test(text) ? text.toLowerCase() : value;
  };
  for (const table of all(document, "table.sortable")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    all(table.tHead, "th").forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        all(table.tHead, "th").forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].map((row) => [key(row, place), row]);
        const order = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? 1 : -1);
        rows.sort((a, b) => (down ? -1 : 1) * order(a[0], b[0]));
        body.append(...rows.map((pair) => pair[1]));
      });
    });
    const tools = document.createElement("div");
    tools.className = "tools";
    const box = document.createElement("input");
    box.type = "search";
    box.placeholder = `filter ${table.dataset.filter}, such as boosting`;
    box.setAttribute("aria-label", `filter the ${table.dataset.filter}`);
    const left = document.createElement("span");
    const count = () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let kept = 0;
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        kept += !row.hidden;
      }
      left.textContent = `${kept} of ${body.rows.length}`;
    };
    box.addEventListener("input", count);
    tools.append(box, left);
    table.parentElement.before(tools);
    count();
  }

  // --- charts: the nearest point, and zoom -----------------------------------------------------
  const numbers = (text) => text.split(/[ ,]+/).map(Number);
  const write = (value, span) => {
    const digits = span > 0 ? Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(span)))) : 3;
    return Math.abs(value) >= 1e5 ? value.toPrecision(4) : value.toFixed(digits > 6 ? 6 : digits);
  };
  const inside = (svg, event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [point.x, point.y];
  };
  for (const svg of all(document, "svg.chart")) {
    const [left, top, right, floor] = numbers(svg.dataset.frame);
    const first = { x: numbers(svg.dataset.x), y: numbers(svg.dataset.y) };
    const now = { x: [...first.x], y: [...first.y] };
    const dots = all(svg, ".marks circle").map((node) => ({ node, at: [+node.getAttribute("cx"), +node.getAttribute("cy")] }));
    const texts = all(svg, ".marks text").map((node) => ({ node, at: [+node.getAttribute("x"), +node.getAttribute("y")] }));
    const lines = all(svg, ".marks polyline").map((node) => ({
      node, name: node.dataset.name, tips: node.dataset.tips ? JSON.parse(node.dataset.tips) : null,
      at: node.getAttribute("points").split(" ").map(numbers),
    }));
    const value = (axis, px, range) => {
      const [a, b] = axis === "x" ? [left, right] : [floor, top];
      return range[0] + ((px - a) / (b - a)) * (range[1] - range[0]);
    };
    const place = (axis, number) => {
      const [a, b] = axis === "x" ? [left, right] : [floor, top];
      return a + ((number - now[axis][0]) / (now[axis][1] - now[axis][0])) * (b - a);
    };
    const moved = ([x, y]) => [place("x", value("x", x, first.x)), place("y", value("y", y, first.y))];
    const cross = make("circle", { r: 5, fill: "none", stroke: "var(--series-6)", "stroke-width": 2, visibility: "hidden" });
    svg.append(cross);
    svg.addEventListener("pointermove", (event) => {
      const [x, y] = inside(svg, event);
      if (event.target.dataset.tip && event.target.tagName === "rect") { show(event.target.dataset.tip, event); return; }
      let best = null, close = 26;
      for (const dot of dots) {
        const at = moved(dot.at), away = Math.hypot(at[0] - x, at[1] - y);
        if (dot.node.dataset.tip && away < close) { close = away; best = { at, text: dot.node.dataset.tip }; }
      }
      if (!best) {
        close = 40;
        for (const line of lines) {
          if (!line.name && !line.tips) continue;
          line.at.forEach((point, index) => {
            const at = moved(point), away = Math.hypot(at[0] - x, (at[1] - y) * 0.6);
            if (away < close) {
              close = away;
              const say = (axis, px) => write(value(axis, px, first[axis]), now[axis][1] - now[axis][0]);
              const extra = line.tips?.[index] ? ` · ${line.tips[index]}` : "";
              best = { at, text: `${line.name ?? ""}\u2002${svg.dataset.xlabel || "x"} ${say("x", point[0])}, ${say("y", point[1])}${extra}`.trim() };
            }
          });
        }
      }
      if (!best) { hide(); cross.setAttribute("visibility", "hidden"); return; }
      cross.setAttribute("cx", best.at[0]);
      cross.setAttribute("cy", best.at[1]);
      cross.setAttribute("visibility", "visible");
      show(best.text, event);
    });
    svg.addEventListener("pointerleave", () => { hide(); cross.setAttribute("visibility", "hidden"); });
    if (!svg.dataset.zoom) continue;

    const axes = svg.querySelector(".axes");
    const ticks = (low, high) => {
      const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
      const step = power * [1, 2, 2.5, 5, 10].find((m) => raw <= m * power * 1.0000001);
      const found = [];
      for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) found.push(n * step);
      return [found, Math.max(0, Math.min(7, -Math.floor(Math.log10(step) + 1e-9) + (String(step / power).includes(".") ? 1 : 0)))];
    };
    const redraw = () => {
      for (const { node, at } of dots) { const [x, y] = moved(at); node.setAttribute("cx", x); node.setAttribute("cy", y); }
      for (const { node, at } of texts) { const [x, y] = moved(at); node.setAttribute("x", x); node.setAttribute("y", y); }
      for (const { node, at } of lines) node.setAttribute("points", at.map((point) => moved(point).map((n) => n.toFixed(1)).join(",")).join(" "));
      all(axes, ".tick").forEach((node) => node.remove());
      for (const axis of ["x", "y"]) {
        const [found, digits] = ticks(...now[axis]);
        for (const number of found) {
          const px = place(axis, number), group = make("g", { class: `tick ${axis}` });
          group.append(make("path", { d: axis === "x" ? `M${px} ${top}V${floor}` : `M${left} ${px}H${right}`, stroke: "var(--plot-grid)", "stroke-width": 0.7 }));
          const text = make("text", axis === "x" ? { x: px, y: floor + 17, "text-anchor": "middle" } : { x: left - 8, y: px + 4, "text-anchor": "end" });
          text.textContent = number.toFixed(digits);
          group.append(text);
          axes.prepend(group);
        }
      }
    };
    let start = null;
    const box = make("rect", { fill: "var(--series-1)", opacity: 0.15, visibility: "hidden" });
    svg.append(box);
    svg.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch") return;
      start = inside(svg, event);
      svg.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    svg.addEventListener("pointermove", (event) => {
      if (!start) return;
      const [x, y] = inside(svg, event);
      for (const [field, number] of [["x", Math.min(x, start[0])], ["y", Math.min(y, start[1])], ["width", Math.abs(x - start[0])], ["height", Math.abs(y - start[1])]]) box.setAttribute(field, number);
      box.setAttribute("visibility", "visible");
    });
    svg.addEventListener("pointerup", (event) => {
      if (!start) return;
      const end = inside(svg, event), begun = start;
      start = null;
      box.setAttribute("visibility", "hidden");
      if (Math.abs(end[0] - begun[0]) < 8 || Math.abs(end[1] - begun[1]) < 8) return;
      const clamp = (n, a, b) => Math.min(b, Math.max(a, n));
      const xs = [begun[0], end[0]].map((n) => value("x", clamp(n, left, right), now.x)).sort((a, b) => a - b);
      const ys = [begun[1], end[1]].map((n) => value("y", clamp(n, top, floor), now.y)).sort((a, b) => a - b);
      now.x = xs; now.y = ys;
      redraw();
    });
    svg.addEventListener("dblclick", () => { now.x = [...first.x]; now.y = [...first.y]; redraw(); });
    const caption = svg.closest("figure")?.querySelector("figcaption");
    if (caption) caption.title = "Drag a rectangle to zoom in; a double click shows all.";
  }

  // --- parallel coordinates: light a line up, keep a range -------------------------------------
  for (const svg of all(document, "svg.parallel")) {
    const lines = all(svg, ".lines polyline").map((node) => ({ node, at: node.getAttribute("points").split(" ").map(numbers) }));
    const ranges = new Map();
    const brushes = new Map();
    const apply = () => {
      for (const { node, at } of lines) {
        const kept = [...ranges].every(([axis, [low, high]]) => at[axis][1] >= low && at[axis][1] <= high);
        node.classList.toggle("off", !kept);
      }
    };
    svg.addEventListener("pointermove", (event) => {
      const [x, y] = inside(svg, event);
      let best = null, close = 9;
      for (const line of lines) {
        if (line.node.classList.contains("off")) continue;
        for (let n = 1; n < line.at.length; n += 1) {
          const [a, b] = [line.at[n - 1], line.at[n]];
          if (x < a[0] - 4 || x > b[0] + 4) continue;
          const away = Math.abs(a[1] + ((x - a[0]) / (b[0] - a[0])) * (b[1] - a[1]) - y);
          if (away < close) { close = away; best = line.node; }
        }
      }
      for (const { node } of lines) node.classList.toggle("on", node === best);
      if (best) show(best.dataset.tip, event); else hide();
    });
    svg.addEventListener("pointerleave", () => { hide(); lines.forEach(({ node }) => node.classList.remove("on")); });
    for (const upright of all(svg, ".upright")) {
      const axis = +upright.dataset.at, rect = upright.querySelector("rect");
      let from = null;
      const brush = make("rect", { class: "brush", x: rect.getAttribute("x"), width: 22, height: 0 });
      upright.append(brush);
      brushes.set(axis, brush);
      rect.addEventListener("pointerdown", (event) => { from = inside(svg, event)[1]; rect.setPointerCapture(event.pointerId); event.preventDefault(); });
      rect.addEventListener("pointermove", (event) => {
        if (from === null) return;
        const y = inside(svg, event)[1], low = Math.min(from, y), high = Math.max(from, y);
        if (high - low < 4) return;
        brush.setAttribute("y", low);
        brush.setAttribute("height", high - low);
        ranges.set(axis, [low, high]);
        apply();
      });
      rect.addEventListener("pointerup", () => { from = null; });
    }
    svg.addEventListener("dblclick", () => { ranges.clear(); brushes.forEach((brush) => brush.setAttribute("height", 0)); apply(); });
  }

  // --- the lineage: light a chain up -----------------------------------------------------------
  for (const svg of all(document, "svg.graph")) {
    const edges = all(svg, "[data-edge]").map((node) => [node, ...node.dataset.edge.split(" ")]);
    for (const node of all(svg, "[data-tip]")) {
      node.addEventListener("pointermove", (event) => show(node.dataset.tip, event));
      node.addEventListener("pointerleave", hide);
      if (!node.dataset.node) continue;
      node.addEventListener("pointerenter", () => {
        const found = new Set([node.dataset.node]);
        for (const [from, to] of [[1, 2], [2, 1]]) {
          let wave = [node.dataset.node];
          while (wave.length) {
            const next = edges.filter((edge) => wave.includes(edge[from]));
            next.forEach((edge) => { edge[0].classList.add("on"); found.add(edge[to]); });
            wave = next.map((edge) => edge[to]);
          }
        }
        svg.classList.add("some");
        all(svg, ".node").forEach((other) => other.classList.toggle("on", found.has(other.dataset.node)));
      });
      node.addEventListener("pointerleave", () => {
        svg.classList.remove("some");
        edges.forEach((edge) => edge[0].classList.remove("on"));
      });
    }
  }
})();
