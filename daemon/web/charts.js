// Charts: plotly with the page's own colours. Every axis has its unit; a chart that has nothing to show says so.

const SHOWN_MAX = 30; // bars of a chart that a reader can tell apart

export function equityChart(place, rows, quote) {
  const lines = byAccount(rows);
  const enough = lines.some(([, marks]) => marks.length > 1);
  const at = ({ at }) => at;
  const traces = lines.flatMap(([account, marks], n) => {
    const colour = n ? undefined : tone("--accent");
    const name = account || "equity";
    const equity = { x: marks.map(at), y: marks.map((row) => Number(row.equity)), name, mode: "lines", line: { color: colour, width: 1.6 }, hovertemplate: `%{y:,.2f} ${quote}<extra>${text(name)}</extra>` };
    const below = { x: marks.map(at), y: marks.map((row) => -row.drawdown * 100), yaxis: "y2", showlegend: false, mode: "lines", fill: "tozeroy", line: { color: n ? undefined : tone("--bad"), width: 1 }, hovertemplate: `%{y:.2f} %<extra>drawdown ${text(account)}</extra>` };
    return [equity, below];
  });
  draw(place, enough ? traces : [], {
    showlegend: lines.length > 1,
    xaxis: { title: { text: "time (UTC)" }, type: "date", anchor: "y2" },
    yaxis: { title: { text: `equity (${quote})` }, domain: [0.36, 1], tickformat: ",.6~g" },
    yaxis2: { title: { text: "drawdown (%)" }, domain: [0, 0.28], rangemode: "tozero", tickformat: ".3~g" },
    hovermode: "x unified",
  }, "a line takes two marks; there is one a minute at most");
}

// The symbols that hold or want most; returns how many are left out.
export function weightsChart(place, rows) {
  const size = (row) => Math.max(Math.abs(row.weight ?? 0), Math.abs(row.target ?? 0));
  const there = rows.filter((row) => size(row) > 5e-5).sort((a, b) => size(b) - size(a));
  const shown = there.slice(0, SHOWN_MAX).reverse();
  const bars = (name, key, colour) => ({
    type: "bar", orientation: "h", name, y: shown.map((row) => row.label), x: shown.map((row) => (row[key] ?? 0) * 100),
    marker: { color: colour }, hovertemplate: `%{x:.2f} %<extra>${name}</extra>`,
  });
  place.style.height = `${Math.max(240, 90 + shown.length * 26)}px`;
  draw(place, shown.length ? [bars("target", "target", tone("--target")), bars("weight", "weight", tone("--accent"))] : [], {
    barmode: "group", bargap: 0.25, legend: { orientation: "h", y: 1.02, yanchor: "bottom", traceorder: "reversed" },
    xaxis: { title: { text: "share of equity (%)" } }, yaxis: { automargin: true },
  }, "nothing is held or wanted");
  return there.length - shown.length;
}

export function correlationChart(place, symbols, matrix) {
  const names = symbols.map((symbol) => symbol.split("/")[0]);
  const few = names.length <= 12;
  draw(place, names.length ? [{
    type: "heatmap", x: names, y: names, z: matrix, zmin: -1, zmax: 1, colorscale: "RdBu", reversescale: false,
    texttemplate: few && place.clientWidth > 55 * names.length ? "%{z:.2f}" : "", hovertemplate: "%{y} and %{x}: %{z:.2f}<extra></extra>", colorbar: { title: { text: "correlation" }, thickness: 12 },
  }] : [], { xaxis: { type: "category", title: { text: "symbol" } }, yaxis: { type: "category", autorange: "reversed", title: { text: "symbol" } } }, "there are too few bars yet");
}

function byAccount(rows) {
  const found = new Map();
  for (const row of rows) {
    const name = row.account ?? "";
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(row);
  }
  for (const marks of found.values()) marks.sort((a, b) => (a.at < b.at ? -1 : 1));
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

function draw(place, traces, layout, nothing = "there is nothing yet") {
  const ink = tone("--ink");
  const axis = (own) => ({ gridcolor: tone("--line"), zerolinecolor: tone("--line"), linecolor: tone("--line"), automargin: true, visible: traces.length > 0, ...own, title: { font: { size: 12, color: tone("--soft") }, standoff: 10, ...own?.title } });
  const empty = traces.length ? {} : { annotations: [{ text: nothing, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5, font: { color: tone("--soft") } }] };
  const whole = {
    ...layout, ...empty,
    xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis), ...(layout.yaxis2 ? { yaxis2: axis(layout.yaxis2) } : {}),
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: "system-ui, sans-serif", size: 12 },
    margin: { t: 16, r: 12, b: 40, l: 56 }, uirevision: "kept", hoverlabel: { bgcolor: tone("--card"), font: { color: ink } },
  };
  window.Plotly.react(place, traces, whole, { responsive: true, displaylogo: false, displayModeBar: false });
}

// Plotly reads a little markup in texts; names are not meant to have any.
function text(name) {
  return String(name).replaceAll("<", "‹");
}

function tone(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
