// Door: the daemon's API. The token lives in this object alone: no cookie, no storage, no address ever holds it.

const FIRST_MS = 1000;
const MOST_MS = 15000;
// The daemon says something every 15 s, a comment at least.
const SILENT_MS = 40000;

export class Door {
  #token = "";

  use(token) {
    this.#token = token;
  }

  get unlocked() {
    return this.#token !== "";
  }

  async read(path) {
    const answer = await fetch(`api/v1/${path}`, { headers: this.#headers(), cache: "no-store", signal: AbortSignal.timeout(15000) });
    if (!answer.ok) throw new Refused(answer.status, await sentence(answer));
    return answer.json();
  }

  async command(verb, body) {
    const answer = await fetch(`api/v1/${verb}`, {
      method: "POST",
      headers: { ...this.#headers(), "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Refused(answer.status, await sentence(answer));
    return answer.json();
  }

  // Follow the events for as long as the page lives; what is lost in between is asked for again by number.
  async follow({ heard, missed, contact }) {
    let last = "";
    let pause = FIRST_MS;
    for (;;) {
      try {
        await this.#listen(last, (message) => {
          pause = FIRST_MS;
          if (message.id) last = message.id;
          if (message.event === "missed") missed(Number(message.data));
          else if (message.data) heard(JSON.parse(message.data));
        }, contact);
        contact(false, "the stream has ended");
      } catch (error) {
        contact(false, error instanceof Refused ? error.message : "no answer");
      }
      await new Promise((resolve) => setTimeout(resolve, pause * (0.75 + Math.random() / 2)));
      pause = Math.min(MOST_MS, pause * 2);
    }
  }

  async #listen(last, told, contact) {
    const silence = new Watch(SILENT_MS);
    try {
      const headers = last ? { ...this.#headers(), "Last-Event-ID": last } : this.#headers();
      const answer = await fetch(`api/v1/events${last ? "" : "?tail=100"}`, { headers, cache: "no-store", signal: silence.signal });
      if (!answer.ok) throw new Refused(answer.status, await sentence(answer));
      contact(true, "");
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        silence.rewind();
        const parts = (rest + value).split("\n\n");
        rest = parts.pop();
        for (const part of parts) told(fields(part));
      }
    } finally {
      silence.end();
    }
  }

  #headers() {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }
}

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

class Watch {
  #timer = 0;
  #control = new AbortController();
  #after;

  constructor(after) {
    this.#after = after;
    this.rewind();
  }

  get signal() {
    return this.#control.signal;
  }

  rewind() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#control.abort(), this.#after);
  }

  end() {
    clearTimeout(this.#timer);
    this.#control.abort();
  }
}

function fields(part) {
  const message = {};
  for (const line of part.split("\n")) {
    const at = line.indexOf(": ");
    if (at > 0) message[line.slice(0, at)] = line.slice(at + 2);
  }
  return message;
}

async function sentence(answer) {
  try {
    return (await answer.json()).error;
  } catch {
    return `the daemon answered ${answer.status}`;
  }
}
