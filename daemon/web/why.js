// Why: the story of a decision for one symbol, in a dialog.

import { amount, byId, element, facts, figure, fill, number, percent, stamp, weight } from "./words.js";

export async function why(door, symbol, decision, account) {
  const dialog = byId("why");
  byId("why-title").textContent = symbol;
  byId("why-body").replaceChildren(element("p", { text: "asking the journal …" }));
  if (!dialog.open) dialog.showModal();
  try {
    const query = new URLSearchParams({ ...(decision ? { decision } : {}), ...(account ? { account } : {}) });
    tell(await door.read(`why/${symbol}?${query}`));
  } catch (error) {
    byId("why-body").replaceChildren(element("p", { text: error.message, kind: "bad" }));
  }
}

function tell(story) {
  const body = byId("why-body");
  const parts = [element("p", { text: story.summary, kind: "summary" })];
  if (story.decision_id) {
    const list = element("dl", { kind: "facts" });
    facts(list, [
      ["decision", `${story.decision_id} (${story.cause}), as of ${stamp(story.as_of)} UTC`],
      ["wanted", weight(story.wanted)],
      ["after every limit", weight(story.target)],
      story.left ? ["left alone because", story.left_says || story.left] : ["what was done", story.orders.length ? "it was traded" : "nothing yet"],
      ["held when it was settled", story.settled ? weight(story.settled.holding) : "not settled yet"],
      ["held now", story.now ? `${amount(story.now.amount)}, ${weight(story.now.weight)} of equity` : "not known"],
    ]);
    parts.push(list, ...story.strategies.map(strategy), ...limits(story), ...traded(story));
  }
  parts.push(...story.kept_apart.map(kept));
  body.replaceChildren(...parts);
}

function kept(part) {
  const since = part.since ? ` since ${stamp(part.since)} UTC` : "";
  return element("p", { text: `${amount(part.amount)} kept apart${since}, not traded: ${part.says}` });
}

function strategy(told) {
  const table = element("table");
  fill(table, [
    ["signal", (row) => (row.of ? `${row.name} of ${row.of}` : row.name)],
    ["value", (row) => figure(row.value), "n"],
    ["rank", (row) => (row.rank ? `${row.rank} of ${row.of_how_many}` : ""), "n"],
  ], told.signals, "it told no numbers");
  const words = `${told.name}: ${percent(told.weight)} of its ${percent(told.share, 0)}${told.note ? `, ${told.note}` : ""}`;
  return element("section", {}, [element("h3", { text: words }), table]);
}

function limits(story) {
  return [...story.limits, ...story.order_limits].map((cut) => {
    const change = cut.wanted === undefined ? "" : `: ${percent(cut.wanted)} became ${percent(cut.allowed)}`;
    return element("p", { text: `limit ${cut.reason ?? cut.code ?? ""}${change}. ${cut.says ?? ""}` });
  });
}

function traded(story) {
  if (!story.orders.length) return [];
  const table = element("table");
  fill(table, [
    ["order", (row) => row.id.slice(-8)],
    ["side", (row) => element("span", { text: row.side, kind: row.side })],
    ["amount", (row) => amount(row.amount), "n"],
    ["filled", (row) => amount(row.filled), "n"],
    ["mean price", (row) => amount(row.average ?? row.price), "n"],
    ["state", (row) => (row.reason ? `${row.state}: ${row.reason}` : row.state)],
  ], story.orders, "");
  const cost = story.settled?.cost_bps === undefined ? [] : [element("p", { text: `cost ${number(story.settled.cost_bps, 1)} bps`, kind: "note" })];
  return [element("section", {}, [element("h3", { text: "Orders" }), table, ...cost])];
}
