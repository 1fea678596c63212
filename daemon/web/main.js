// Main: what is asked when, and who is told. The events say when something has changed; the figures are then read anew, once a second at
// most, since a wave says hundreds of lines.

import { correlationChart, equityChart, weightsChart } from "./charts.js";
import { Control } from "./control.js";
import { Door, Refused } from "./door.js";
import { Log } from "./log.js";
import * as views from "./views.js";
import { why } from "./why.js";
import { byId, clock, element, seconds } from "./words.js";

const PAUSE_MS = 1000;
const ANYWAY_MS = 10000;
const POINTS = 1000;

const door = new Door();
const log = new Log();
const seen = { status: null, positions: [], orders: [], decisions: [], equity: [], analysis: null };
const chosen = { account: "", days: 0, which: "open" };
let contact = { on: false, since: Date.now(), heard: 0 };

// What a kind of event makes old; the rest waits for the next look.
const STALE = [
  [/^(slice|account|trading|daemon|stream|hold|config|drift|flow|funding|margin)\b/, ["status", "positions"]],
  [/^(order|parent)\b/, ["status", "orders", "positions"]],
  [/^trading\b/, ["decisions"]],
  [/^(targets|plan|wave|group|universe|risk)\b/, ["status", "positions", "decisions", "orders"]],
];
const ALL = ["status", "positions", "orders", "decisions", "equity", "analysis"];
const due = new Set(ALL);
let asking = false;

async function look() {
  if (asking || due.size === 0) return;
  asking = true;
  const wanted = [...due];
  due.clear();
  try {
    const found = await Promise.all(wanted.map((what) => door.read(path(what))));
    wanted.forEach((what, n) => { seen[what] = found[n]; });
    draw(new Set(wanted));
  } catch (error) {
    wanted.forEach((what) => due.add(what));
    if (error instanceof Refused) refused(error);
  } finally {
    asking = false;
  }
}

function path(what) {
  if (what === "orders") return "orders?limit=200";
  if (what === "decisions") return "decisions?limit=12";
  if (what !== "equity") return what;
  const since = chosen.days ? `&since=${new Date(Date.now() - chosen.days * 86400000).toISOString()}` : "";
  return `equity?limit=${POINTS}${since}`;
}

// --- drawing ---

function draw(fresh) {
  const { status } = seen;
  if (!status) return;
  const several = (status.accounts ?? []).length > 0;
  accounts(status);
  const mine = (row) => !several || !chosen.account || row.account === chosen.account;
  const part = several && chosen.account ? status.accounts.find((each) => each.account === chosen.account) : status;
  const quote = part.quote ?? status.accounts?.[0]?.quote ?? "";
  const held = seen.positions.filter(mine);
  const marks = seen.equity.filter(mine);
  views.head(status, part);
  views.reasons(part, status.failing);
  views.tiles(part, several && !chosen.account ? null : marks[0], quote);
  views.health(part, status.failing, behind());
  views.strategies(part.strategies ?? [], part.state);
  if (fresh.has("positions")) {
    views.positions(held, ask, several);
    whenPlotted(() => weights(held, several));
  }
  if (fresh.has("orders")) views.orders(seen.orders.filter(mine), chosen.which, ask, several);
  if (fresh.has("decisions")) views.decisions(seen.decisions.filter(mine), ask, several, part.state);
  if (fresh.has("equity")) whenPlotted(() => equity(marks, quote));
  if (fresh.has("analysis")) whenPlotted(() => correlations(several));
}

function equity(marks, quote) {
  equityChart(byId("equity-chart"), marks, quote);
}

function weights(held, several) {
  const rows = held.filter((row) => row.target !== null).map((row) => ({ ...row, label: several && !chosen.account ? `${row.symbol} ${row.account}` : row.symbol }));
  const out = weightsChart(byId("weights-chart"), rows);
  byId("weights-note").textContent = out > 0 ? `${out} smaller ones are in the table of positions only.` : "";
}

function correlations(several) {
  const names = several ? Object.keys(seen.analysis.accounts) : [];
  const report = several ? seen.analysis.accounts[chosen.account || names[0]] : seen.analysis;
  const { symbols, window, left_out: out, mean_short: short, mean_long: long, high } = report.correlation;
  correlationChart(byId("correlations-chart"), symbols, window);
  const means = [["lately", short], ["usually", long]].filter(([, mean]) => mean !== null).map(([when, mean]) => `${when} ${mean.toFixed(2)}`).join(", ");
  byId("correlations-note").textContent = [means && `mean of all pairs: ${means}${high ? ", which is high" : ""}`, out ? `${out} symbols are not shown` : "", several && !chosen.account ? `of ${names[0]}` : ""].filter(Boolean).join("; ");
}

function accounts(status) {
  const names = (status.accounts ?? []).map((each) => each.account);
  const select = byId("account");
  byId("account-label").classList.toggle("hidden", names.length === 0);
  if (names.length !== select.options.length - 1) {
    select.replaceChildren(element("option", { text: "all", value: "" }), ...names.map((name) => element("option", { text: name, value: name })));
    select.value = chosen.account;
  }
}

function ask(symbol, decision, account) {
  const several = (seen.status?.accounts ?? []).length > 0;
  why(door, symbol, decision, several ? account : "");
}

// Five megabytes of plotly come after the figures, which do not wait for them.
function whenPlotted(job) {
  if (window.Plotly) job();
  else document.querySelector('script[src$="plotly.min.js"]').addEventListener("load", job, { once: true });
}

// --- contact ---

function behind() {
  return contact.heard ? seconds((Date.now() - contact.heard) / 1000) : "not known";
}

function inContact(on, reason) {
  if (on && !contact.on) ALL.forEach((what) => due.add(what));
  if (on !== contact.on) contact = { ...contact, on, since: Date.now() };
  byId("contact").className = `contact ${on ? "on" : "off"}`;
  byId("contact").textContent = on ? "live" : "no contact";
  document.body.classList.toggle("lost", !on);
  const banner = byId("lost");
  banner.hidden = on;
  if (!on) banner.textContent = `No contact with the daemon since ${clock(new Date(contact.since).toISOString())} UTC (${reason}). What is shown is from then; the page goes on trying. Trading does not need this page.`;
}

function refused(error) {
  if (error.status === 401) inContact(false, "it asks for the token: enter it under Control");
}

function heard(line) {
  contact.heard = Date.now();
  log.hear(line);
  for (const [kind, parts] of STALE) if (kind.test(line.event)) parts.forEach((part) => due.add(part));
}

// --- what a person does ---

function pressed(group, button) {
  for (const each of byId(group).children) each.setAttribute("aria-pressed", String(each === button));
}

byId("ranges").addEventListener("click", (event) => {
  if (event.target.dataset.days === undefined) return;
  chosen.days = Number(event.target.dataset.days);
  pressed("ranges", event.target);
  due.add("equity");
  look();
});
byId("which-orders").addEventListener("click", (event) => {
  if (event.target.dataset.which === undefined) return;
  chosen.which = event.target.dataset.which;
  pressed("which-orders", event.target);
  draw(new Set(["orders"]));
});
byId("account").addEventListener("change", (event) => {
  chosen.account = event.target.value;
  draw(new Set(ALL));
});
byId("why-close").addEventListener("click", () => byId("why").close());

function themed(theme) {
  document.documentElement.dataset.theme = theme;
  draw(new Set(ALL));
}

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const kept = () => localStorage.getItem("theme");
byId("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", theme);
  themed(theme);
});
dark.addEventListener("change", () => kept() ?? themed(dark.matches ? "dark" : "light"));

themed(kept() ?? (dark.matches ? "dark" : "light"));
new Control(door, () => seen.status, () => chosen.account, () => { ALL.forEach((what) => due.add(what)); look(); });
setInterval(look, PAUSE_MS);
setInterval(() => ALL.forEach((what) => due.add(what)), ANYWAY_MS);
look();
door.follow({ heard, missed: () => ALL.forEach((what) => due.add(what)), contact: inContact });
