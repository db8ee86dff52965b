// Signing in with an API token. The token is tried against the status route before it is kept.

import { get_status, set_token } from "./api.js";
import { el, fill, untrusted } from "./dom.js";

const TOKEN_CHARS_MAX = 512;

function explain(error) {
  if (error.status === 401) return "This token is not accepted: mistyped, expired or revoked.";
  if (error.status === 403) return "This token may not read. The console needs the role viewer, analyst or admin.";
  if (error.status === 0) return "The daemon does not answer. Is it running?";
  return error.message;
}

/** Shows the form in `main`; `done(status)` once a token was accepted. `notice` says why one is here. */
export function show_sign_in(main, notice, done) {
  const message = el("p.message", { role: "alert" }, notice ?? "");
  const field = el("input", { type: "password", name: "token", id: "token", required: true, autocomplete: "off", spellcheck: "false", autocapitalize: "off", maxlength: TOKEN_CHARS_MAX, "aria-describedby": "token-help" });
  const button = el("button.primary", { type: "submit" }, "Sign in");
  const form = el("form.sign-in", { "aria-labelledby": "sign-in" },
    el("img", { src: "/console/favicon.svg", alt: "", width: 44, height: 44 }), el("h1", { id: "sign-in" }, "Bartizan"),
    el("label.field", { for: "token" }, el("span", {}, "API token"), field), button, message,
    el("p.more", { id: "token-help" }, "The daemon prints one on its first start. Another: ", el("code", {}, "bartizan token create --role analyst --name you"), ". It is kept in this tab alone, until you sign out or close it."));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const value = field.value.trim();
    // A header cannot carry anything else, and a pasted line break is the usual mistake.
    if (!/^[\x21-\x7e]+$/.test(value)) return void fill(message, "A token has no spaces and only plain characters.");
    button.disabled = true;
    fill(message, "");
    set_token(value);
    try {
      done(await get_status());
    } catch (error) {
      set_token(null);
      fill(message, untrusted(explain(error), 300));
      field.select();
    }
    button.disabled = false;
  });
  fill(main, form);
  field.focus();
}
