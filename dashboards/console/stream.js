// Keeps the live stream of alerts open: reconnects with back-off and jitter, resumes by
// Last-Event-ID, and gives up a connection on which nothing (not even a keep-alive) was heard.

import { request } from "./api.js";
import { SseParser } from "./sse.js";

const PATH = "/api/v1/stream";
const PAUSE_MS_MIN = 1000;
const PAUSE_MS_MAX = 30_000;
/** The server sends a comment at least every 15 s. */
const SILENCE_MS_MAX = 45_000;

/** Events: `alert` (detail: the `alert`, and whether it was `opened` now), `state` (detail: `live`, `connecting` or `off`), and
 * `resumed` after every connection but the first: the listener should read again what it shows. */
export class AlertStream extends EventTarget {
  #stop = null;
  #last_id = "";
  #failures = 0;
  #wake = null;
  #connected_before = false;
  state = "off";

  start() {
    if (this.#stop) return;
    this.#stop = new AbortController();
    this.#run(this.#stop.signal);
  }

  stop() {
    this.#stop?.abort();
    this.#stop = null;
    this.#last_id = "";
    this.#failures = 0;
    this.#connected_before = false;
    this.#set("off");
  }

  /** Ends the present pause: the user pressed "try again", or the network came back. */
  retry_now() {
    this.#wake?.();
  }

  async #run(stop) {
    while (!stop.aborted) {
      this.#set("connecting");
      let retry_ms = null;
      try {
        retry_ms = await this.#connection(stop);
      } catch (error) {
        if (stop.aborted) return;
        // The session is over, or this role may not listen: trying again cannot help.
        if (error.status === 401 || error.status === 403) return this.stop();
      }
      if (stop.aborted) return;
      this.#set("connecting");
      await this.#pause(retry_ms, stop);
    }
  }

  async #connection(stop) {
    const quiet = new AbortController();
    let timer = setTimeout(() => quiet.abort(), SILENCE_MS_MAX);
    try {
      const headers = { accept: "text/event-stream" };
      if (this.#last_id) headers["last-event-id"] = this.#last_id;
      const response = await request(PATH, { headers, signal: AbortSignal.any([stop, quiet.signal]) });
      this.#opened();
      const parser = new SseParser();
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return parser.retry_ms;
        clearTimeout(timer);
        timer = setTimeout(() => quiet.abort(), SILENCE_MS_MAX);
        for (const frame of parser.push(value)) this.#frame(frame);
        this.#failures = 0;
      }
    } finally {
      clearTimeout(timer);
      quiet.abort();
    }
  }

  #opened() {
    this.#set("live");
    if (this.#connected_before) this.dispatchEvent(new Event("resumed"));
    this.#connected_before = true;
  }

  #frame({ event, data, id }) {
    if (id) this.#last_id = id;
    let alert;
    try {
      alert = JSON.parse(data);
    } catch {
      return;
    }
    if (typeof alert?.id === "string") this.dispatchEvent(new CustomEvent("alert", { detail: { alert, opened: event === "alert.opened" } }));
  }

  async #pause(retry_ms, stop) {
    const least = Math.max(PAUSE_MS_MIN, retry_ms ?? 0);
    const most = Math.min(PAUSE_MS_MAX, least * 2 ** Math.min(this.#failures, 6));
    this.#failures += 1;
    const pause_ms = most / 2 + Math.random() * (most / 2);
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, pause_ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      stop.addEventListener("abort", this.#wake, { once: true });
    });
    this.#wake = null;
  }

  #set(state) {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}
