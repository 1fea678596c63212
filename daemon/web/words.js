// Words: numbers, moments and the small pieces of a page, as people read them. What is not known is a dash.

export const NONE = "–";

export function number(value, digits = 2) {
  if (value === null || value === undefined || value === "") return NONE;
  const found = Number(value);
  return Number.isFinite(found) ? found.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }) : NONE;
}

// An amount or a price: as many digits as it has, but no noise beyond eight significant ones.
export function amount(value) {
  if (value === null || value === undefined || value === "") return NONE;
  const found = Number(value);
  return Number.isFinite(found) ? found.toLocaleString("en-US", { maximumSignificantDigits: 8 }) : NONE;
}

// A signal: what it is compared by is in its first digits.
export function figure(value) {
  const found = Number(value);
  return value === null || value === undefined || !Number.isFinite(found) ? NONE : found.toLocaleString("en-US", { maximumSignificantDigits: 5 });
}

export function percent(share, digits = 2) {
  return share === null || share === undefined ? NONE : `${number(share * 100, digits)} %`;
}

// Weights of dust are no weights to a reader.
export function weight(share) {
  return share !== null && share !== undefined && share !== 0 && Math.abs(share) < 5e-5 ? "≈ 0 %" : percent(share);
}

export function clock(moment) {
  return moment ? `${String(moment).slice(11, 19)}` : NONE;
}

export function stamp(moment) {
  return moment ? `${String(moment).slice(0, 10)} ${String(moment).slice(11, 19)}` : NONE;
}

export function seconds(count) {
  if (count < 120) return `${Math.max(0, Math.round(count))} s`;
  if (count < 7200) return `${Math.round(count / 60)} min`;
  return count < 172800 ? `${Math.round(count / 3600)} h` : `${Math.round(count / 86400)} d`;
}

export function age(moment) {
  return moment ? `${seconds((Date.now() - Date.parse(moment)) / 1000)} ago` : NONE;
}

// --- elements: text goes in as text, never as markup ---

export function element(tag, { text, kind, label, ...rest } = {}, children = []) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  if (label) made.setAttribute("aria-label", label);
  Object.assign(made, rest);
  made.append(...children);
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

// Columns are [title, cell of a row, kind]; a cell is text or an element.
export function fill(table, columns, rows, nothing) {
  const head = element("tr", {}, columns.map(([title, , kind]) => element("th", { text: title, kind, scope: "col" })));
  const body = rows.map((row) => element("tr", {}, columns.map(([, cell, kind]) => {
    const found = cell(row);
    return found instanceof Node ? element("td", { kind }, [found]) : element("td", { text: found, kind });
  })));
  const empty = rows.length ? [] : [element("tr", {}, [element("td", { text: nothing, colSpan: columns.length, kind: "text" })])];
  keepingFocus(table, () => table.replaceChildren(element("thead", {}, [head]), element("tbody", {}, [...body, ...empty])));
}

export function facts(list, pairs) {
  list.replaceChildren(...pairs.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: value })]));
}

// A table that is filled anew while somebody walks it by keyboard must not throw them back to the top of the page.
function keepingFocus(table, change) {
  const held = table.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  change();
  if (held) table.querySelector(`[data-key="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
}
