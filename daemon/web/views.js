// Views: what the daemon says, as tiles and tables. Nothing here asks or commands.

import { NONE, age, amount, byId, clock, element, facts, fill, number, percent, seconds, stamp, weight } from "./words.js";

const OPEN = new Set(["new", "sent", "acked", "partial", "cancel_sent", "unknown"]);

export function head(status, chosen) {
  byId("name").textContent = status.name;
  document.title = `${status.state === "running" ? "" : `${status.state} · `}${status.name}`;
  badge(byId("mode"), [status.mode, status.exchange].filter(Boolean).join(" · "), status.mode === "live" ? "badge live" : "badge");
  badge(byId("state"), chosen.state, `badge state ${chosen.state}`);
}

// Why trading is restricted, a sentence each: holds first, then what is not ready.
export function reasons(status, failing) {
  const holds = (status.holds ?? []).map((hold) => `${hold.scope === "account" ? "" : `${hold.scope}: `}${hold.text} (${hold.code}, since ${stamp(hold.since)})`);
  const disabled = Object.entries(status.disabled ?? {}).map(([name, why]) => `strategy ${name} is asked no more: ${why}`);
  const approval = status.reason && !holds.length && status.state !== "running" ? [status.reason] : [];
  const texts = [...new Set([...holds, ...approval, ...disabled, ...(holds.length ? [] : failing)])];
  const banner = byId("reasons");
  banner.hidden = texts.length === 0;
  banner.replaceChildren(...texts.map((text) => element("p", { text })));
}

export function tiles(status, mark, quote) {
  const told = [
    [`Equity (${quote})`, number(status.equity ?? status.worth)],
    [`Cash (${quote})`, number(status.cash)],
    [`Profit (${quote})`, mark ? number(Number(status.equity ?? mark.equity) - Number(mark.contributed)) : NONE],
    ["Drawdown", percent(status.drawdown)],
    ["Gross / net", `${percent(status.gross, 1)} / ${percent(status.net, 1)}`],
    ["Positions", status.positions ?? NONE],
    ["Open orders", status.open_orders ?? NONE],
    ["Orders in doubt", status.unknown_orders ?? NONE],
    ["Drift", percent(status.drift, 4)],
    ["Last bars", age(status.last_slice)],
    ["Last decision", age(status.last_decision)],
    ["Last reconciled", age(status.last_reconcile)],
  ];
  byId("tiles").replaceChildren(...told.map(([name, value]) => element("div", {}, [element("dt", { text: name }), element("dd", { text: value })])));
}

// What keeps the whole account from trading keeps its strategies from it too.
export function strategies(rows, state) {
  fill(byId("strategies"), [
    ["strategy", (row) => row.name],
    ["share", (row) => percent(row.share, 0), "n"],
    ["profit", (row) => number(row.pnl), "n"],
    ["return", (row) => percent(row.return), "n"],
    ["drawdown", (row) => percent(row.drawdown), "n"],
    ["state", (row) => restricted(row.state === "running" ? state : row.state, row.reason)],
  ], rows, "there is no strategy");
}

function restricted(state, reason) {
  return element("span", { text: state, title: reason ?? "", kind: state === "running" ? "good" : "warn" });
}

export function positions(rows, ask, several) {
  const shown = rows.filter((row) => Number(row.amount) || row.target || row.hold || row.outside || !row.symbol.includes("/"));
  const order = shown.sort((a, b) => Math.abs(b.weight ?? 0) - Math.abs(a.weight ?? 0));
  const idle = rows.length - shown.length;
  byId("positions-note").textContent = `A symbol's button tells why it is held as it is.${idle ? ` Neither held nor wanted: ${idle} more.` : ""}`;
  fill(byId("positions"), [
    ["symbol", (row) => (row.symbol.includes("/") ? asking(row.symbol, () => ask(row.symbol, "", row.account)) : row.symbol)],
    ...(several ? [["account", (row) => row.account]] : []),
    ["amount", (row) => amount(row.amount), "n"],
    ["price", (row) => amount(row.price), "n"],
    ["value", (row) => number(row.value), "n"],
    ["weight", (row) => weight(row.weight), "n"],
    ["target", (row) => weight(row.target), "n"],
    ["off target", (row) => (row.target === null || row.weight === null ? NONE : weight(row.weight - row.target)), "n"],
    ["restricted", (row) => row.hold ?? row.outside ?? ""],
  ], order, "nothing is known yet");
}

export function orders(rows, which, ask, several) {
  const shown = which === "open" ? rows.filter((row) => OPEN.has(row.state)) : rows.slice(0, 50);
  fill(byId("orders"), [
    ["at (UTC)", (row) => element("span", { text: clock(row.at), title: stamp(row.at) })],
    ["symbol", (row) => asking(row.symbol, () => ask(row.symbol, row.decision_id, row.account), row.id)],
    ...(several ? [["account", (row) => row.account]] : []),
    ["side", (row) => element("span", { text: row.side, kind: row.side })],
    ["amount", (row) => amount(row.amount), "n"],
    ["filled", (row) => amount(row.filled), "n"],
    ["price", (row) => amount(row.price), "n"],
    ["state", (row) => element("span", { text: row.reason ? `${row.state}: ${row.reason}` : row.state, kind: { unknown: "bad", rejected: "warn", denied: "warn" }[row.state] ?? "", title: row.id })],
  ], shown, which === "open" ? "no order is open" : "there has been no order");
}

// A decision without a wave is being worked on, unless nothing may be traded.
export function decisions(rows, ask, several, state) {
  const waiting = ["halted", "paused"].includes(state) ? `not traded: ${state}` : "under way";
  fill(byId("decisions"), [
    ["as of (UTC)", (row) => stamp(row.as_of)],
    ...(several ? [["account", (row) => row.account]] : []),
    ["cause", (row) => row.cause],
    ["wanted", (row) => wanted(row, ask), "text"],
    ["sent", (row) => row.wave?.sent ?? NONE, "n"],
    ["filled", (row) => row.wave?.filled ?? NONE, "n"],
    ["off target", (row) => (row.wave ? weight(Math.max(0, ...Object.values(row.wave.off_target).map(Math.abs))) : NONE), "n"],
    ["cost", (row) => (row.wave?.sent ? `${number(row.wave.cost_bps, 1)} bps` : NONE), "n"],
    ["took", (row) => (row.wave ? `${number(row.wave.took_ms, 0)} ms` : NONE), "n"],
    ["left alone", (row) => (row.wave ? counted({ ...row.wave.left, ...row.wave.refused }) : waiting), "text"],
  ], rows, "there has been no decision yet");
}

export function health(status, failing, lag) {
  byId("checks").replaceChildren(...(failing.length
    ? failing.map((text) => element("li", { text: `✗ ${text}`, kind: "bad" }))
    : [element("li", { text: "✓ reconciled, data fresh, trading allowed", kind: "good" })]));
  const told = [
    ["bars by", status.bars ?? NONE],
    ["own orders by", status.user_stream ?? NONE],
    ["loop stood still at most", status.loop_lag_max_ms === undefined ? NONE : `${status.loop_lag_max_ms} ms`],
    ["running for", seconds(status.uptime_s)],
    ["version", status.version],
    ["limited by", Object.entries(status.limited ?? {}).map(([code, symbols]) => `${code}: ${symbols.join(", ")}`).join("; ") || NONE],
    ["not ours", Object.entries({ ...status.ringfenced, ...status.kept_apart }).map(([coin, held]) => `${amount(held)} ${coin}`).join(", ") || NONE],
    ["this page is behind by", lag],
  ];
  facts(byId("facts"), told);
}

function wanted(row, ask) {
  const targets = Object.entries(row.targets).filter(([, share]) => share).sort(([, a], [, b]) => Math.abs(b) - Math.abs(a));
  const shown = targets.slice(0, 8).flatMap(([symbol, share]) => [asking(`${symbol.split("/")[0]} ${percent(share, 1)}`, () => ask(symbol, row.id, row.account), `${row.id} ${symbol}`), document.createTextNode(" ")]);
  const more = targets.length > 8 ? `and ${targets.length - 8} more` : "";
  return element("span", { text: targets.length ? undefined : "nothing" }, [...shown, more]);
}

// Codes with how many symbols have each.
function counted(reasons) {
  const counts = new Map();
  for (const code of Object.values(reasons)) counts.set(code, (counts.get(code) ?? 0) + 1);
  return [...counts].map(([code, count]) => (count > 1 ? `${code} (${count})` : code)).join(", ");
}

function asking(text, onclick, key = text) {
  const made = element("button", { text, type: "button", kind: "link", onclick });
  made.dataset.key = key;
  return made;
}

function badge(place, text, kind) {
  // A live region is told only when it changes.
  if (place.textContent !== text) place.textContent = text;
  place.className = kind;
}
