// Log: the newest lines, bounded, drawn once a frame however fast they come.

import { byId, element } from "./words.js";

const KEPT = 200;
const RANK = { debug: 0, info: 1, warning: 2, error: 3 };
const PLAIN = new Set(["ts", "level", "event", "name"]);

export class Log {
  #lines = []; // newest last
  #due = false;

  constructor() {
    byId("level").addEventListener("change", () => this.#draw());
  }

  hear(line) {
    this.#lines.push(line);
    if (this.#lines.length > 2 * KEPT) this.#lines.splice(0, this.#lines.length - KEPT);
    if (this.#due) return;
    this.#due = true;
    // A hidden page has no frames; it draws when somebody looks.
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  #draw() {
    const least = RANK[byId("level").value];
    const shown = this.#lines.filter((line) => (RANK[line.level] ?? 1) >= least).slice(-KEPT).reverse();
    byId("log").replaceChildren(...shown.map(row));
  }
}

function row(line) {
  const said = Object.entries(line).filter(([name, value]) => !PLAIN.has(name) && !isEmpty(value));
  const words = said.map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`).join("  ");
  return element("li", { kind: line.level }, [`${line.ts.slice(11, 19)} `, element("b", { text: line.event }), ` ${words.length > 400 ? `${words.slice(0, 400)} …` : words}`]);
}

function isEmpty(value) {
  return value === null || value === "" || (typeof value === "object" && Object.keys(value).length === 0);
}
