"use strict";
// Draws the figures of this page in the colours of its theme, and the table of trades with the story of each.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const phone = window.matchMedia("(max-width: 640px)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const COLOURS = ["#4c8bf5", "#e8912d", "#8a94a6", "#3fae6b", "#d65a5a", "#9c6ade", "#2bb3c0", "#c7a517", "#e377b5", "#8c6d5a", "#6fa8dc", "#7fb800", "#b05fd0"];
  const PAGE = 50;

  // --- theme ---------------------------------------------------------------------------------------------------------

  const button = document.getElementById("theme");
  let chosen = remembered();

  function remembered() {
    try { return localStorage.getItem("theme"); } catch { return null; } // a file may have no storage
  }

  function paint() {
    const theme = chosen || (dark.matches ? "dark" : "light");
    root.dataset.theme = theme;
    button.textContent = theme === "dark" ? "light" : "dark";
    button.setAttribute("aria-label", `switch to the ${button.textContent} theme`);
    for (const node of drawn) draw(node);
  }

  // --- figures -------------------------------------------------------------------------------------------------------

  const drawn = new Set();

  function colour(name) {
    return getComputedStyle(root).getPropertyValue(name).trim();
  }

  function axis(given, grid) {
    const title = { ...given.title, font: { size: 12 }, standoff: 8 };
    return { gridcolor: grid, linecolor: grid, zerolinecolor: grid, tickfont: { size: 11 }, ticks: "outside", ticklen: 6, tickcolor: "rgba(0,0,0,0)", ...given, title };
  }

  function draw(node) {
    const { data: traces, layout } = data.figures[node.dataset.figure];
    const ink = colour("--ink"), line = colour("--line");
    const legend = { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } };
    const rows = phone.matches ? Math.ceil(traces.length / 3) : 0;
    const style = {
      height: Number(node.dataset.tall) * 16 + (traces.length > 4 ? rows * 20 : 0),
      margin: { l: 64, r: 16, t: 12, b: 52, ...layout.margin },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: getComputedStyle(document.body).fontFamily },
      colorway: COLOURS, legend, showlegend: layout.showlegend !== false && traces.length > 1,
      hoverlabel: { bgcolor: colour("--card"), bordercolor: line, font: { color: ink } },
      dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom",
      hovermode: layout.hovermode || "closest", barmode: layout.barmode || "group",
      xaxis: axis(layout.xaxis, line), yaxis: axis(layout.yaxis, line),
    };
    Plotly.react(node, traces.map(toned), style, { responsive: true, displaylogo: false, displayModeBar: false });
    drawn.add(node);
  }

  // What depends on the theme or on the room that there is.
  function toned(trace, index) {
    if (trace.type === "heatmap") {
      const scale = [[0, "#c8553d"], [0.5, colour("--middle")], [1, "#3b78d8"]];
      return { ...trace, colorscale: scale, texttemplate: phone.matches ? "" : trace.texttemplate, showscale: !phone.matches || trace.showscale };
    }
    if (trace.mode !== "lines" || trace.stackgroup) return trace;
    return { ...trace, line: { width: index ? 1.2 : 2 }, fillcolor: "rgba(76, 139, 245, 0.15)" };
  }

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
    }
  }, { rootMargin: "600px" });

  // --- trades --------------------------------------------------------------------------------------------------------

  const moment = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
  const digits = (value, most = 8) => value === null ? "" : value.toLocaleString("en", { maximumSignificantDigits: most, useGrouping: true });
  const money = (value) => value === null ? "" : value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const share = (value, places = 2) => value === null ? "" : `${(100 * value).toFixed(places)} %`;

  const part = (value, places) => value === "unknown" ? value : share(value, places);

  function element(name, text = "", kind = "") {
    const made = document.createElement(name);
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  function trades(table) {
    const body = table.tBodies[0], filter = document.getElementById("filter"), at = document.getElementById("at");
    const earlier = document.getElementById("earlier"), later = document.getElementById("later");
    const { rows, symbols } = data.trades;
    let found = rows, first = 0;

    function show() {
      body.replaceChildren(...found.slice(first, first + PAGE).map(row));
      const last = Math.min(first + PAGE, found.length);
      at.textContent = found.length ? `${first + 1} to ${last} of ${found.length}, newest first` : "no trade";
      later.disabled = first === 0;
      earlier.disabled = last === found.length;
    }

    function row(trade) {
      const [time, symbol, side, amount, price, worth, fee, volume] = trade;
      const made = element("tr");
      const why = element("button", "why");
      made.className = "told";
      why.setAttribute("aria-label", `why ${symbols[symbol]} was traded at ${moment(time)}`);
      made.addEventListener("click", () => tell(trade));
      const cells = [
        [moment(time)], [symbols[symbol], "text"], [side, "text"], [digits(amount), "spare"], [digits(price), "spare"], [money(worth)],
        [money(fee), "spare"], [volume === null ? "no volume" : part(volume, 3), "spare"],
      ];
      made.append(...cells.map(([text, kind]) => element("td", text, kind)));
      const last = element("td");
      last.append(why);
      made.append(last);
      return made;
    }

    filter.addEventListener("input", () => {
      const wanted = filter.value.trim().toUpperCase();
      found = rows.filter((trade) => symbols[trade[1]].toUpperCase().includes(wanted));
      first = 0;
      show();
    });
    earlier.addEventListener("click", () => { first += PAGE; show(); });
    later.addEventListener("click", () => { first = Math.max(0, first - PAGE); show(); });
    show();
  }

  function tell(trade) {
    const [time, number, side, amount, price, worth, fee, volume, asked, planned, why] = trade;
    const symbol = data.trades.symbols[number], base = symbol.split("/")[0], quote = data.quote;
    const story = document.getElementById("story");
    const title = element("h2", `${side} ${symbol}`);
    title.id = "why-title";
    story.replaceChildren(title);
    if (why === null) story.append(element("p", "No decision is known for this trade: the program itself has ordered it."));
    else decided(story, data.trades.whys[why], symbol);
    story.append(element("h3", "Order"));
    const list = element("ul");
    if (asked !== null) list.append(element("li", `asked for: ${digits(asked)} ${base}, planned at ${digits(planned)} ${quote}`));
    const off = planned ? (side === "buy" ? 1 : -1) * (price / planned - 1) * 10000 : 0;
    list.append(element("li", `filled: ${digits(amount)} ${base} at ${digits(price)} ${quote}, ${money(worth)} ${quote}, at ${moment(time)} UTC`));
    if (planned) list.append(element("li", `against the plan: ${Math.abs(off).toFixed(1)} bps ${off >= 0 ? "worse" : "better"}`));
    list.append(element("li", `fee: ${digits(fee, 4)} ${quote}; part of the bar's volume: ${volume === null ? "there was none" : part(volume, 4)}`));
    story.append(list);
    document.getElementById("why").showModal();
  }

  function decided(story, told, symbol) {
    story.append(element("p", `decision ${told.decision}, made at ${moment(told.at)} UTC`, "soft"));
    const list = element("ul");
    list.append(element("li", `held before: ${share(told.held)} of equity`));
    for (const [strategy, weight] of told.asked) list.append(element("li", `${strategy} wanted: ${share(weight)} of its capital`));
    for (const [reason, words, of, wanted, allowed] of told.limits) {
      const size = (value) => of === "weight" ? share(value) : `${digits(value)} ${of}`;
      list.append(element("li", `limit ${reason}: ${size(wanted)} became ${size(allowed)}, since ${words}`));
    }
    if (told.target !== null) list.append(element("li", `target: ${share(told.target)} of equity`));
    story.append(list);
    if (!told.signals.length) return;
    story.append(element("h3", "Signals"));
    const table = element("table"), head = element("tr"), wide = element("div", "", "wide");
    head.append(...["signal", "value", "rank"].map((text) => element("th", text)));
    table.append(head);
    for (const [label, value, rank] of told.signals) {
      const [strategy, of, name, count] = data.trades.labels[label], row = element("tr");
      const about = of === symbol ? "" : ` of ${of}`, place = rank === null ? "" : `${rank} of ${count}`;
      row.append(...[`${strategy}: ${name}${about}`, digits(value, 6), place].map((text) => element("td", text)));
      table.append(row);
    }
    wide.append(table);
    story.append(wide);
  }

  // --- start ---------------------------------------------------------------------------------------------------------

  button.addEventListener("click", () => {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", chosen); } catch { /* then it counts for this look only */ }
    paint();
  });
  dark.addEventListener("change", paint);
  phone.addEventListener("change", paint);
  paint();
  for (const node of document.querySelectorAll("[data-figure]")) near.observe(node);
  const table = document.getElementById("trades-table");
  if (table) trades(table);
})();
