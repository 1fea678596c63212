// Control: commands with the token. What sells everything, or lifts a halt, is typed out before it goes.

import { byId } from "./words.js";

const ASKED = {
  flatten: "sells everything that is held, at what the market gives, and halts. Trading begins again only when somebody resumes it.",
  resume: "lifts what a breaker or a person has put in its way:",
};

export class Control {
  #door;
  #state; // () => the status shown
  #account; // () => the account that is chosen, "" for all

  constructor(door, state, account, after) {
    this.#door = door;
    this.#state = state;
    this.#account = account;
    byId("unlock").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#unlock(byId("token").value.trim());
      after();
    });
    byId("verbs").addEventListener("click", async (event) => {
      const verb = event.target.dataset?.verb;
      if (verb) {
        await this.#command(verb);
        after();
      }
    });
    byId("confirm-name").addEventListener("input", () => this.#compare());
    byId("confirm-form").addEventListener("submit", (event) => {
      // The enter key goes with the first button, which must not do what has not been typed.
      if (event.submitter?.id === "confirm-yes" && byId("confirm-yes").disabled) event.preventDefault();
    });
  }

  #unlock(token) {
    this.#door.use(token);
    byId("token").value = "";
    for (const button of byId("verbs").children) button.disabled = !token;
    say(token ? "The token is used from here on; whether it is right the first command shows." : "Commands are locked.");
  }

  async #command(verb) {
    const status = this.#state();
    const halted = verb === "resume" && status?.state === "halted";
    if ((verb === "flatten" || halted) && !(await this.#confirmed(verb, status))) {
      say("Nothing was done.");
      return;
    }
    const account = this.#account();
    try {
      const answer = await this.#door.command(verb, { by: "dashboard", ...(account ? { account } : {}) });
      say(answer.done ?? "done");
    } catch (error) {
      say(error.message || "the daemon does not answer", "bad");
    }
  }

  #confirmed(verb, status) {
    const dialog = byId("confirm");
    byId("confirm-title").textContent = `${verb} ${this.#account() || status.name}`;
    byId("confirm-text").textContent = `This ${ASKED[verb]} ${verb === "resume" ? status.reason : ""}`;
    byId("confirm-expected").textContent = status.name;
    byId("confirm-name").value = "";
    this.#compare();
    dialog.returnValue = "no";
    dialog.showModal();
    byId("confirm-name").focus();
    return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
  }

  #compare() {
    byId("confirm-yes").disabled = byId("confirm-name").value !== byId("confirm-expected").textContent;
  }
}

function say(text, kind = "") {
  const place = byId("answer");
  place.textContent = text;
  place.className = `note ${kind}`;
}
